//! A session may be continued only as long as what was believed when it began: until the first certificate of the chain,
//! or the first revocation list that was asked, is out of date. AWS-LC keeps to the end of the first session through all
//! that continue it, so it is enough to shorten the life of that one.

use openssl_sys as ffi;

use crate::tls::raw::{hooks, now, x509};

/// Lets the session that a handshake is about to make live no longer than the certificate that was just believed.
///
/// # Safety
/// `context` is a verification of a handshake that has just looked at a certificate.
pub(super) unsafe fn shorten(context: *mut ffi::X509_STORE_CTX) {
    // SAFETY: as promised by the caller; connection, session and certificate are alive for as long.
    unsafe {
        let place = ffi::SSL_get_ex_data_X509_STORE_CTX_idx();
        let ssl = ffi::X509_STORE_CTX_get_ex_data(context, place).cast::<ffi::SSL>();
        let cert = ffi::X509_STORE_CTX_get_current_cert(context);
        if ssl.is_null() || cert.is_null() {
            return;
        }
        let Some(end) = hooks::of(ssl).and_then(hooks::Hooks::verdicts_end) else { return };
        let session = ffi::SSL_get_session(ssl);
        if session.is_null() {
            return;
        }
        let left = end.min(x509::ends_at(ffi::X509_getm_notAfter(cert))).saturating_sub(now()).max(0);
        if let Ok(left) = u32::try_from(left)
            && left < ffi::SSL_SESSION_get_timeout(session)
        {
            ffi::SSL_SESSION_set_timeout(session, left);
        }
    }
}

/// [`shorten`] has seen to it.
///
/// # Safety
/// None is needed.
pub(in crate::tls::raw) unsafe fn limit(_: *const ffi::SSL, _: *mut ffi::SSL_SESSION) {}

/// AWS-LC looks at the time itself.
///
/// # Safety
/// None is needed.
pub(in crate::tls::raw) unsafe fn is_over(_: *const ffi::SSL, _: *mut ffi::SSL_SESSION) -> bool {
    false
}
