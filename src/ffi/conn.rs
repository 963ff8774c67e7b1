//! Connections: what a host may do with them, from any thread and from inside callbacks.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use super::config::timeout;
use super::guard::{guard, guard_ptr, guard_size, visiting};
use super::read::{host_bytes, host_out, host_slices};
use super::types::*;
use super::write::fill_struct;
use crate::calls;
use crate::error::{Error, Result};
use crate::id::Id;

/// The id behind a number of the host's; one that no connection can have is answered like one that has ended.
fn id(conn: tlsloop_conn) -> Result<Id> {
    Id::from_u64(conn).ok_or_else(Error::closed)
}

/// Queues `len` bytes for the peer: all of them, in order, or none.
///
/// The bytes are copied before the call returns. Any thread, and any callback, may call it; it never waits and never calls
/// back. Bytes sent before on_connect leave when the connection is up. An empty send queues nothing and is refused like any
/// other.
///
/// Returns TLSLOOP_OK; TLSLOOP_EFULL with nothing queued while the queue is at or above high water (on_drain will follow);
/// TLSLOOP_ECLOSED if the connection has ended or begun to; TLSLOOP_ENOMEM; TLSLOOP_EINVAL if `data` is NULL and `len` not 0.
///
/// # Safety
/// `data` is NULL or has `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_conn_send(conn: tlsloop_conn, data: *const c_void, len: usize) -> c_int {
    guard("tlsloop_conn_send", || {
        // SAFETY: the caller promises `len` readable bytes until this call returns; no reference outlives it.
        calls::send(id(conn)?, &[unsafe { host_bytes("data", data, len)? }])
    })
}

/// Queues `n` pieces as one tlsloop_conn_send() of all of them: none gets between, and all are queued or none.
///
/// Returns as tlsloop_conn_send(); TLSLOOP_EINVAL also if `parts` is NULL and `n` not 0.
///
/// # Safety
/// `parts` is NULL or has `n` members, each of which is NULL or has its `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_conn_sendv(conn: tlsloop_conn, parts: *const tlsloop_slice, n: usize) -> c_int {
    guard("tlsloop_conn_sendv", || {
        // SAFETY: the caller's promise; no reference outlives this call.
        calls::send(id(conn)?, &unsafe { host_slices("parts", parts, n)? })
    })
}

/// How many bytes are accepted and not yet in the kernel's hands; 0 once the connection has ended. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_queued(conn: tlsloop_conn) -> usize {
    guard_size("tlsloop_conn_queued", || calls::queued(id(conn)?))
}

/// Ends this side's direction behind what is queued, with close_notify (in plain modes FIN); the connection goes on
/// receiving until the peer's end.
///
/// Any thread, any callback; returns at once. If the peer stays silent for `close_timeout_ms` after that, the connection
/// ends with TLSLOOP_REASON_HOST. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if it has ended or begun to.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_end(conn: tlsloop_conn) -> c_int {
    guard("tlsloop_conn_end", || calls::end(id(conn)?))
}

/// Ends the connection: what is queued leaves, then close_notify; what arrives is dropped until the peer's end or
/// `close_timeout_ms`, so that unread input never destroys the answer. on_disconnect comes from the loop, later.
///
/// Any thread, any callback; returns at once. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if it has ended or is being closed.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_close(conn: tlsloop_conn) -> c_int {
    guard("tlsloop_conn_close", || calls::close(id(conn)?))
}

/// Ends the connection at once with RST; queued bytes are dropped. on_disconnect comes from the loop, later, with
/// TLSLOOP_REASON_ABORTED. A forked child that holds a copy of the socket does not prevent the reset. A unix socket knows no
/// reset (unix(7)): its peer sees the end.
///
/// Any thread, any callback. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if it has ended or was aborted before.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_abort(conn: tlsloop_conn) -> c_int {
    guard("tlsloop_conn_abort", || calls::abort(id(conn)?))
}

/// Holds back on_data, and what stands behind the data: on_end and a clean or truncated end. Reset, timeouts and the
/// host's own close come at once. TCP then makes the peer wait.
///
/// Any thread, any callback. From another thread, a callback that runs already is not stopped. Returns TLSLOOP_OK, or
/// TLSLOOP_ECLOSED if the connection has ended.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_pause(conn: tlsloop_conn) -> c_int {
    guard("tlsloop_conn_pause", || calls::pause(id(conn)?, true))
}

/// Undoes tlsloop_conn_pause(), however often that was called. Bytes that had arrived before come though no packet does.
///
/// Any thread, any callback. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if the connection has ended.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_resume(conn: tlsloop_conn) -> c_int {
    guard("tlsloop_conn_resume", || calls::pause(id(conn)?, false))
}

/// Sets this connection's idle timeout, in milliseconds without a byte in either direction, counted from now. 0 or
/// TLSLOOP_NONE: never.
///
/// Any thread, any callback. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if the connection has ended.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_set_idle_timeout(conn: tlsloop_conn, ms: c_uint) -> c_int {
    guard("tlsloop_conn_set_idle_timeout", || calls::set_idle_timeout(id(conn)?, timeout(ms, None)))
}

/// Goes over from plain text to TLS, in TLSLOOP_MODE_STARTTLS; on_tls tells that it is up.
///
/// Only from a callback of this connection or a posted function. Sends that were accepted before leave first, in plain;
/// later ones wait for TLS. Bytes that had arrived and were not handed over yet have to be the beginning of TLS; others end
/// the connection with TLSLOOP_REASON_PROTOCOL, because they could pass for bytes that came through TLS. Bytes behind the
/// command in the same on_data are the host's to refuse. If the handshake fails, on_disconnect tells it, never
/// on_handshake_failed.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESTATE elsewhere, in another mode, or the second time; TLSLOOP_ECLOSED if the connection has
/// ended or begun to.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_start_tls(conn: tlsloop_conn) -> c_int {
    guard("tlsloop_conn_start_tls", || calls::start_tls(id(conn)?))
}

/// Tells what is known of a connection: addresses, what TLS has agreed on, the peer's certificate, counts. Text is cut to
/// fit and ends in 0; the struct outlives the connection.
///
/// Any thread; in on_disconnect too. Returns TLSLOOP_OK; TLSLOOP_ECLOSED if the connection has ended; TLSLOOP_EINVAL for NULL
/// or a `size` that is not set.
///
/// # Safety
/// `out` is NULL or a struct of the size that it states.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_conn_info(conn: tlsloop_conn, out: *mut tlsloop_info) -> c_int {
    guard(
        "tlsloop_conn_info",
        visiting(|| {
            let told = calls::info(id(conn)?)?;
            // SAFETY: the caller's promise.
            unsafe { fill_struct("out", out, &(&told).into()) }
        }),
    )
}

/// The peer's certificate in DER. `*len` is the room at `der` and becomes the certificate's length.
///
/// Any thread; in on_disconnect too. Returns TLSLOOP_OK; TLSLOOP_EINVAL if there is too little room, with `*len` set, so a
/// first call with room 0 asks for the length; TLSLOOP_ESTATE if the peer has shown none; TLSLOOP_ECLOSED if the connection
/// has ended.
///
/// # Safety
/// `len` is NULL or writable; `der` is NULL or has `*len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_conn_peer_certificate(conn: tlsloop_conn, der: *mut c_void, len: *mut usize) -> c_int {
    guard(
        "tlsloop_conn_peer_certificate",
        visiting(|| {
            let len = host_out("len", len)?;
            let told = calls::info(id(conn)?)?;
            let certificate = told.facts.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
            let bytes = certificate.ok_or_else(|| Error::state("the peer has shown no certificate"))?.der();
            // SAFETY: the caller's promise.
            let room = unsafe { len.read() };
            // SAFETY: the caller's promise.
            unsafe { len.write(bytes.len()) };
            if room < bytes.len() || der.is_null() {
                return Err(Error::invalid(format!("der: room for {room} bytes, and there are {}", bytes.len())));
            }
            // SAFETY: `room` bytes are writable, and `bytes` is ours.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), der.cast(), bytes.len()) };
            Ok(())
        }),
    )
}

/// Sets the host's own pointer for a connection. tlsloop never looks behind it; free it in on_disconnect.
///
/// Any thread. Returns TLSLOOP_OK, or TLSLOOP_ECLOSED if the connection has ended.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_set_data(conn: tlsloop_conn, data: *mut c_void) -> c_int {
    guard("tlsloop_conn_set_data", || calls::set_data(id(conn)?, data.expose_provenance()))
}

/// The host's own pointer for a connection; NULL if none was set, and once on_disconnect has returned. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_conn_data(conn: tlsloop_conn) -> *mut c_void {
    guard_ptr("tlsloop_conn_data", || Ok(ptr::with_exposed_provenance_mut(calls::data(id(conn)?)?)))
}

/// Runs `run(conn, arg)` on the connection's worker, between its other callbacks: the way to touch a connection's state
/// from another thread without a lock of the host's.
///
/// Any thread, any callback. What returned TLSLOOP_OK runs exactly once, before the connection's on_disconnect. Returns
/// TLSLOOP_OK; TLSLOOP_ECLOSED if the connection has ended; TLSLOOP_EINVAL if `run` is NULL.
///
/// # Safety
/// `run` may be called on the worker's thread with `arg`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_conn_post(
    conn: tlsloop_conn,
    run: Option<unsafe extern "C" fn(conn: tlsloop_conn, arg: *mut c_void)>,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    guard("tlsloop_conn_post", || unsafe { post(conn, 0, run, arg) })
}

/// tlsloop_conn_post() in `ms` milliseconds, or earlier if the connection ends first.
///
/// # Safety
/// As tlsloop_conn_post().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_conn_post_after(
    conn: tlsloop_conn,
    ms: c_uint,
    run: Option<unsafe extern "C" fn(conn: tlsloop_conn, arg: *mut c_void)>,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    guard("tlsloop_conn_post_after", || unsafe { post(conn, ms, run, arg) })
}

/// A pointer of the host's on its way to another thread.
struct Arg(*mut c_void);
// SAFETY: it is only handed back; the host promised that it may be used there.
unsafe impl Send for Arg {}

/// # Safety
/// As [`tlsloop_conn_post`].
unsafe fn post(
    conn: tlsloop_conn,
    ms: c_uint,
    run: Option<unsafe extern "C" fn(conn: tlsloop_conn, arg: *mut c_void)>,
    arg: *mut c_void,
) -> Result<()> {
    let run = run.ok_or_else(|| Error::invalid("run is NULL"))?;
    let arg = Arg(arg);
    let post = Box::new(move |id: Id| {
        // The whole wrapper moves here, not just the pointer in it.
        let Arg(arg) = { arg };
        // SAFETY: the host's promise.
        unsafe { run(id.to_u64(), arg) }
    });
    calls::post(id(conn)?, u64::from(ms), post)
}
