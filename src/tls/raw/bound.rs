//! A ticket of TLS 1.2 is good under the server name that it was made for, and under no other; and every ticket only as
//! long as the certificates that were believed when it was made.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

use super::{SslCtx, contain, decl, hello};

impl SslCtx {
    /// Does not resume a session of TLS 1.2 under another server name than its own (RFC 6066 3). TLS 1.3
    /// names the server anew in each handshake (RFC 8446 4.2.11). Nor one whose certificates are out of date.
    pub(crate) fn bind_tickets(&mut self) {
        // SAFETY: a live context that is not shared yet, and functions that take no data.
        unsafe {
            decl::SSL_CTX_set_session_ticket_cb(self.as_ptr(), Some(made), Some(opened), ptr::null_mut());
        }
    }
}

/// Writes into a session what its ticket is bound to.
///
/// # Safety
/// Called by OpenSSL for a live connection that is about to make a ticket of its session.
unsafe extern "C" fn made(ssl: *mut ffi::SSL, _: *mut c_void) -> c_int {
    /// SSL_CTX_set_session_ticket_cb(3): the handshake goes on.
    const GO_ON: c_int = 1;
    contain(GO_ON, || {
        // SAFETY: as promised by OpenSSL; the session belongs to the connection.
        unsafe {
            let session = ffi::SSL_get_session(ssl);
            if !session.is_null() {
                decl::expiry::limit(ssl, session);
            }
        }
        GO_ON
    })
}

/// Decides whether an opened ticket is taken.
///
/// # Safety
/// Called by OpenSSL for a live connection whose ClientHello is being read, with a session where
/// `status` says so.
unsafe extern "C" fn opened(
    ssl: *mut ffi::SSL,
    session: *mut ffi::SSL_SESSION,
    _: *const u8,
    _: usize,
    status: c_int,
    _: *mut c_void,
) -> c_int {
    // SSL_CTX_set_session_ticket_cb(3)
    const SUCCESS: c_int = 5;
    const SUCCESS_RENEW: c_int = 6;
    const IGNORE_RENEW: c_int = 2;
    const USE: c_int = 3;
    const USE_RENEW: c_int = 4;
    contain(IGNORE_RENEW, || {
        let verdict = match status {
            SUCCESS => USE,
            SUCCESS_RENEW => USE_RENEW,
            _ => return IGNORE_RENEW,
        };
        // SAFETY: the session was opened, as `status` says, and its name lives as long as it.
        let (older, bound) = unsafe {
            let name = decl::SSL_SESSION_get0_hostname(session);
            let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes());
            (ffi::SSL_SESSION_get_protocol_version(session) < ffi::TLS1_3_VERSION, name)
        };
        // SAFETY: as promised by OpenSSL.
        let is_bad = unsafe { older && asked_name(ssl) != bound || decl::expiry::is_over(ssl, session) };
        if is_bad { IGNORE_RENEW } else { verdict }
    })
}

/// The server name in a ClientHello that is being read, before OpenSSL has taken it in.
///
/// # Safety
/// `ssl` is a live connection that reads its ClientHello; the result is not used after this call of
/// OpenSSL's.
unsafe fn asked_name<'a>(ssl: *mut ffi::SSL) -> Option<&'a [u8]> {
    const SERVER_NAME: std::ffi::c_uint = 0;
    // SAFETY: as promised by the caller.
    let bytes = unsafe { hello::extension(ssl, SERVER_NAME)? };
    // RFC 6066 3: the list's length (2), the kind of name (1, host_name is 0), its length (2), the name.
    match bytes {
        [_, _, 0, _, _, name @ ..] => Some(name),
        _ => None,
    }
}
