//! The callbacks: from C's functions to a trait.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::slice;

use tlsloop::ffi::types::*;

/// Who is called back, as the header says; all on the thread that polls.
pub trait Host: Sized {
    /// See tlsloop_callbacks; so for the others.
    fn on_connect(&self, conn: tlsloop_conn);
    /// -
    fn on_data(&self, conn: tlsloop_conn, data: &[u8]);
    /// -
    fn on_drain(&self, conn: tlsloop_conn);
    /// -
    fn on_end(&self, conn: tlsloop_conn);
    /// -
    fn on_disconnect(&self, conn: tlsloop_conn, reason: c_int);
    /// -
    fn on_accept(&self) -> bool;
    /// -
    fn on_tls(&self, conn: tlsloop_conn);
    /// -
    fn on_handshake_failed(&self, conn: tlsloop_conn, code: c_int, why: &str);
    /// -
    fn on_log(&self, line: &str);
    /// A function that was posted.
    fn on_post(&self, conn: tlsloop_conn);
    /// Whether there is an `on_end`.
    fn has_on_end(&self) -> bool;
}

/// All callbacks of a host.
pub(super) fn table<H: Host>(host: &H) -> tlsloop_callbacks {
    tlsloop_callbacks {
        size: size_of::<tlsloop_callbacks>(),
        on_connect: Some(on_connect::<H>),
        on_data: Some(on_data::<H>),
        on_drain: Some(on_drain::<H>),
        on_end: if host.has_on_end() { Some(on_end::<H>) } else { None },
        on_disconnect: Some(on_disconnect::<H>),
        on_accept: Some(on_accept::<H>),
        on_tls: Some(on_tls::<H>),
        on_handshake_failed: Some(on_handshake_failed::<H>),
        on_log: Some(on_log::<H>),
        on_worker_start: Some(on_worker),
        on_worker_stop: Some(on_worker),
    }
}

/// # Safety
/// `user` is the host that the server was started with, which outlives it.
unsafe fn host<'a, H: Host>(user: *mut c_void) -> &'a H {
    // SAFETY: as this function.
    unsafe { &*user.cast::<H>() }
}

/// # Safety
/// `text` is a C string.
unsafe fn words(text: *const c_char) -> String {
    // SAFETY: as this function.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// Called by the library, as all of these.
unsafe extern "C" fn on_connect<H: Host>(conn: tlsloop_conn, user: *mut c_void) {
    // SAFETY: the library hands back what it was given.
    unsafe { host::<H>(user) }.on_connect(conn);
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_data<H: Host>(conn: tlsloop_conn, data: *const c_void, len: usize, user: *mut c_void) {
    // SAFETY: `len` bytes, valid in the call; the library hands back what it was given.
    unsafe { host::<H>(user).on_data(conn, slice::from_raw_parts(data.cast(), len)) };
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_drain<H: Host>(conn: tlsloop_conn, user: *mut c_void) {
    // SAFETY: the library hands back what it was given.
    unsafe { host::<H>(user) }.on_drain(conn);
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_end<H: Host>(conn: tlsloop_conn, user: *mut c_void) {
    // SAFETY: the library hands back what it was given.
    unsafe { host::<H>(user) }.on_end(conn);
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_disconnect<H: Host>(conn: tlsloop_conn, reason: c_int, user: *mut c_void) {
    // SAFETY: the library hands back what it was given.
    unsafe { host::<H>(user) }.on_disconnect(conn, reason);
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_accept<H: Host>(_: *const c_char, user: *mut c_void) -> c_int {
    // SAFETY: the library hands back what it was given.
    c_int::from(!unsafe { host::<H>(user) }.on_accept())
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_tls<H: Host>(conn: tlsloop_conn, user: *mut c_void) {
    // SAFETY: the library hands back what it was given.
    unsafe { host::<H>(user) }.on_tls(conn);
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_handshake_failed<H: Host>(
    conn: tlsloop_conn,
    code: c_int,
    _: *const c_char,
    why: *const c_char,
    user: *mut c_void,
) {
    // SAFETY: a C string, valid in the call; the library hands back what it was given.
    unsafe { host::<H>(user).on_handshake_failed(conn, code, &words(why)) };
}

/// # Safety
/// As [`on_connect`].
unsafe extern "C" fn on_log<H: Host>(_: c_int, line: *const c_char, user: *mut c_void) {
    // SAFETY: a C string, valid in the call; the library hands back what it was given.
    unsafe { host::<H>(user).on_log(&words(line)) };
}

/// # Safety
/// Touches nothing.
unsafe extern "C" fn on_worker(_: c_uint, _: *mut c_void) {}
