//! A session may be continued only as long as what was believed when it began: until the first certificate of the chain,
//! or the first revocation list that was asked, is out of date. OpenSSL gives each session that continues another a new
//! life, so the moment travels in the session itself, from one to the next.

use std::ffi::{c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

use crate::tls::raw::{hooks, now, x509};

unsafe extern "C" {
    fn SSL_SESSION_set1_ticket_appdata(session: *mut ffi::SSL_SESSION, data: *const c_void, len: usize) -> c_int;
    fn SSL_SESSION_get0_ticket_appdata(
        session: *mut ffi::SSL_SESSION,
        data: *mut *mut c_void,
        len: *mut usize,
    ) -> c_int;
}

/// Writes the moment into a session of this connection, unless the one that it continues had it.
///
/// # Safety
/// Both are alive, and nobody else uses the session.
pub(in crate::tls::raw) unsafe fn limit(ssl: *const ffi::SSL, session: *mut ffi::SSL_SESSION) {
    // SAFETY: as promised by the caller; the chain belongs to the connection, or is NULL, of which the count is -1; `i`
    // is below the count; OpenSSL copies the bytes.
    unsafe {
        let Some(end) = hooks::of(ssl).and_then(hooks::Hooks::verdicts_end) else { return };
        if written(session).is_some() {
            return;
        }
        let chain = ffi::SSL_get0_verified_chain(ssl);
        let certs = (0..ffi::OPENSSL_sk_num(chain.cast())).map(|i| ffi::OPENSSL_sk_value(chain.cast(), i).cast());
        let end = certs.map(|cert| x509::ends_at(ffi::X509_getm_notAfter(cert))).fold(end, i64::min);
        let bytes = end.to_be_bytes();
        // Without it (there is no memory) the session is one that is over.
        SSL_SESSION_set1_ticket_appdata(session, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Whether the moment has passed, or is not known and should be.
///
/// # Safety
/// Both are alive, and nobody else uses the session.
pub(in crate::tls::raw) unsafe fn is_over(ssl: *const ffi::SSL, session: *mut ffi::SSL_SESSION) -> bool {
    // SAFETY: as promised by the caller.
    let (is_limited, written) =
        unsafe { (hooks::of(ssl).and_then(hooks::Hooks::verdicts_end).is_some(), written(session)) };
    is_limited && written.is_none_or(|end| end < now())
}

/// # Safety
/// `session` is alive, and nobody else uses it.
unsafe fn written(session: *mut ffi::SSL_SESSION) -> Option<i64> {
    let (mut start, mut len) = (ptr::null_mut(), 0);
    // SAFETY: as promised by the caller; the bytes belong to the session and are copied at once.
    unsafe {
        let found = SSL_SESSION_get0_ticket_appdata(session, &mut start, &mut len) == 1 && !start.is_null();
        let bytes = found.then(|| std::slice::from_raw_parts(start.cast::<u8>(), len))?;
        bytes.try_into().ok().map(i64::from_be_bytes)
    }
}
