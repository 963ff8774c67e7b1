//! A client that knows its server's certificate beforehand.

use std::ffi::{c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

use super::handle::Cert;
use super::{SslCtx, contain, decl, hooks};

impl SslCtx {
    /// Lets [`hooks::Hooks::accepts_leaf`] decide about the peer's certificate, instead of chain and name.
    pub(crate) fn verify_by_pin(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe {
            decl::SSL_CTX_set_cert_verify_callback(self.as_ptr(), Some(verify), ptr::null_mut());
        }
    }
}

/// Decides about the peer's certificate by its digest alone.
///
/// # Safety
/// Called by OpenSSL in a handshake, with a live verification context.
unsafe extern "C" fn verify(ctx: *mut ffi::X509_STORE_CTX, _: *mut c_void) -> c_int {
    contain(0, || {
        // SAFETY: the context belongs to the handshake of a live connection
        // (SSL_CTX_set_cert_verify_callback(3)) and owns the leaf for as long.
        let accepted = unsafe {
            let place = ffi::SSL_get_ex_data_X509_STORE_CTX_idx();
            let ssl = ffi::X509_STORE_CTX_get_ex_data(ctx, place).cast::<ffi::SSL>();
            let leaf = Cert::share(decl::X509_STORE_CTX_get0_cert(ctx));
            match leaf.and_then(|leaf| leaf.sha256()) {
                Some(digest) if !ssl.is_null() => hooks::of(ssl).is_some_and(|hooks| hooks.accepts_leaf(&digest)),
                _ => false,
            }
        };
        let verdict = if accepted { ffi::X509_V_OK } else { ffi::X509_V_ERR_CERT_REJECTED };
        // SAFETY: the live context of this call.
        unsafe { ffi::X509_STORE_CTX_set_error(ctx, verdict) };
        c_int::from(accepted)
    })
}
