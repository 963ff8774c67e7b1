//! A ticket of TLS 1.2 is good under the server name that it was made for, and under no other. AWS-LC writes no name into
//! its sessions, so the name becomes a part of the session id context, which it does compare.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

use crate::tls::raw::{SslCtx, contain, hello};

impl SslCtx {
    /// Does not resume a session of TLS 1.2 under another server name than its own (RFC 6066 3). TLS 1.3
    /// names the server anew in each handshake (RFC 8446 4.2.11).
    pub(crate) fn bind_tickets(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe { ffi::SSL_CTX_set_tlsext_servername_callback(self.as_ptr(), Some(named)) };
    }
}

/// # Safety
/// Called by AWS-LC in a handshake of a live connection that has agreed on its version, before it looks for a session.
unsafe extern "C" fn named(ssl: *mut ffi::SSL, alert: *mut c_int, data: *mut c_void) -> c_int {
    contain(ffi::SSL_TLSEXT_ERR_ALERT_FATAL, || {
        // SAFETY: as promised by AWS-LC; the name belongs to the connection and is copied.
        unsafe {
            let name = ffi::SSL_get_servername(ssl, ffi::TLSEXT_NAMETYPE_host_name);
            let older = ffi::SSL_version(ssl) < ffi::TLS1_3_VERSION;
            if older && !name.is_null() && !bind(ssl, CStr::from_ptr(name).to_bytes()) {
                return ffi::SSL_TLSEXT_ERR_ALERT_FATAL;
            }
            hello::named(ssl, alert, data)
        }
    })
}

/// Mixes the name into the context that the connection has from its policy.
///
/// # Safety
/// `ssl` is a live connection in its handshake.
unsafe fn bind(ssl: *mut ffi::SSL, name: &[u8]) -> bool {
    let mut id = [0; 32];
    // SAFETY: as promised by the caller; the old context belongs to the connection and is copied before it changes.
    unsafe {
        let mut len = 0;
        let start = ffi::SSL_get0_session_id_context(ssl, &mut len);
        let policy = if len == 0 { &[][..] } else { std::slice::from_raw_parts(start, len) };
        let facts = [policy, name].concat();
        let (size, engine) = (ptr::null_mut(), ptr::null_mut());
        ffi::EVP_Digest(facts.as_ptr().cast(), facts.len(), id.as_mut_ptr(), size, ffi::EVP_sha256(), engine) == 1
            && ffi::SSL_set_session_id_context(ssl, id.as_ptr(), id.len()) == 1
    }
}
