//! OpenSSL's way to the socket: one BIO per connection, which borrows its transport for the length of one call.
//!
//! The BIO only ever says "done" or "try again". What the socket knows beyond that (its end, its error) stays with
//! the transport, so OpenSSL never turns a peer's bare FIN into a fatal error that would forbid the last writes.

use std::any::Any;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::OnceLock;

use openssl_sys as ffi;

use super::{clear_errors, decl, drain_errors};
use crate::error::{Error, Result};

/// Ciphertext in and out. `None`: nothing for now.
pub(crate) trait Transport {
    /// Fills the front of `buf`.
    fn read(&mut self, buf: &mut [u8]) -> Option<usize>;
    /// Takes the front of `buf`.
    fn write(&mut self, buf: &[u8]) -> Option<usize>;
}

/// What the BIO points to while a call of OpenSSL runs.
pub(super) struct Lent<'a> {
    pub(super) transport: &'a mut dyn Transport,
    /// A panic in the transport, carried past OpenSSL's frames.
    pub(super) panic: Option<Box<dyn Any + Send>>,
}

/// A new BIO with nothing lent to it.
pub(super) fn new() -> Result<NonNull<ffi::BIO>> {
    clear_errors();
    // SAFETY: the method table lives for ever; a failure answers NULL.
    let bio = unsafe { ffi::BIO_new(method()?.0.as_ptr()) };
    NonNull::new(bio).ok_or_else(|| Error::tls("a BIO cannot be made", drain_errors()))
}

/// Runs `call` with `transport` behind `bio`, and takes it away again.
pub(super) fn lend<T>(bio: *mut ffi::BIO, transport: &mut dyn Transport, call: impl FnOnce() -> T) -> T {
    let mut lent = Lent { transport, panic: None };
    // SAFETY: `bio` is alive (its SSL is borrowed by our caller). The pointer to `lent` is taken away before
    // `lent` ends, and `call` cannot unwind: it is a call into C whose callbacks catch.
    let result = unsafe {
        ffi::BIO_set_data(bio, (&raw mut lent).cast());
        let result = call();
        ffi::BIO_set_data(bio, ptr::null_mut());
        result
    };
    if let Some(panic) = lent.panic {
        std::panic::resume_unwind(panic);
    }
    result
}

struct Method(NonNull<ffi::BIO_METHOD>);
// SAFETY: the table is written before it is shared and only read afterwards.
unsafe impl Send for Method {}
// SAFETY: as above.
unsafe impl Sync for Method {}

fn method() -> Result<&'static Method> {
    static METHOD: OnceLock<Option<Method>> = OnceLock::new();
    // SAFETY: the table is new and not shared yet; the functions have the types that it asks for.
    let method = METHOD.get_or_init(|| unsafe {
        let table = NonNull::new(ffi::BIO_meth_new(ffi::BIO_TYPE_NONE, c"tlsloop".as_ptr()))?;
        decl::BIO_meth_set_write(table.as_ptr(), Some(write));
        decl::BIO_meth_set_read(table.as_ptr(), Some(read));
        decl::BIO_meth_set_ctrl(table.as_ptr(), Some(ctrl));
        decl::BIO_meth_set_create(table.as_ptr(), Some(create));
        Some(Method(table))
    });
    method.as_ref().ok_or_else(|| Error::tls("a BIO method cannot be made", drain_errors()))
}

/// Finds the lent transport and runs `act` on it; OpenSSL hears "try again" for everything but success.
///
/// # Safety
/// `bio` must be one of ours.
unsafe fn with_lent(bio: *mut ffi::BIO, retry: c_int, act: impl FnOnce(&mut dyn Transport) -> Option<usize>) -> c_int {
    // SAFETY: the data is NULL or a `Lent` that `lend` keeps alive for this call, reached by nobody else meanwhile.
    let lent = unsafe { ffi::BIO_get_data(bio).cast::<Lent<'_>>().as_mut() };
    // SAFETY: `bio` is alive during its own callback.
    unsafe { ffi::BIO_clear_flags(bio, ffi::BIO_FLAGS_RWS | ffi::BIO_FLAGS_SHOULD_RETRY) };
    let answer = match lent {
        Some(lent) if lent.panic.is_none() => {
            let transport = &mut *lent.transport;
            match catch_unwind(AssertUnwindSafe(|| act(transport))) {
                Ok(answer) => answer,
                Err(panic) => {
                    lent.panic = Some(panic);
                    None
                }
            }
        }
        _ => None,
    };
    match answer {
        Some(n) => n as c_int,
        None => {
            // SAFETY: as above.
            unsafe { ffi::BIO_set_flags(bio, retry | ffi::BIO_FLAGS_SHOULD_RETRY) };
            -1
        }
    }
}

unsafe extern "C" fn read(bio: *mut ffi::BIO, buf: *mut c_char, len: c_int) -> c_int {
    let Ok(len) = usize::try_from(len) else { return -1 };
    // SAFETY: OpenSSL gives `len` writable bytes, and the BIO is ours: only our table names this function.
    unsafe { with_lent(bio, ffi::BIO_FLAGS_READ, |lent| lent.read(slice::from_raw_parts_mut(buf.cast(), len))) }
}

unsafe extern "C" fn write(bio: *mut ffi::BIO, buf: *const c_char, len: c_int) -> c_int {
    let Ok(len) = usize::try_from(len) else { return -1 };
    // SAFETY: OpenSSL gives `len` readable bytes, and the BIO is ours: only our table names this function.
    unsafe { with_lent(bio, ffi::BIO_FLAGS_WRITE, |lent| lent.write(slice::from_raw_parts(buf.cast(), len))) }
}

/// A flush has nothing to do: the transport sends what it has collected after the call.
unsafe extern "C" fn ctrl(_bio: *mut ffi::BIO, command: c_int, _num: c_long, _ptr: *mut c_void) -> c_long {
    c_long::from(command == ffi::BIO_CTRL_FLUSH)
}

unsafe extern "C" fn create(bio: *mut ffi::BIO) -> c_int {
    // SAFETY: `bio` is the new object.
    unsafe { ffi::BIO_set_init(bio, 1) };
    1
}
