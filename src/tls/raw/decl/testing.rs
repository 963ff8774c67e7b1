//! For tests: what they alone ask of OpenSSL.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

unsafe extern "C" {
    pub(in crate::tls::raw) fn OCSP_basic_add1_status(
        basic: *mut ffi::OCSP_BASICRESP,
        id: *mut ffi::OCSP_CERTID,
        status: c_int,
        reason: c_int,
        revoked: *mut ffi::ASN1_TIME,
        this_update: *mut ffi::ASN1_TIME,
        next_update: *mut ffi::ASN1_TIME,
    ) -> *mut c_void;
    pub(in crate::tls::raw) fn OCSP_basic_sign(
        basic: *mut ffi::OCSP_BASICRESP,
        signer: *mut ffi::X509,
        key: *mut ffi::EVP_PKEY,
        digest: *const ffi::EVP_MD,
        certs: *mut ffi::stack_st_X509,
        flags: std::ffi::c_ulong,
    ) -> c_int;
    pub(in crate::tls::raw) fn BIO_new_bio_pair(
        one: *mut *mut ffi::BIO,
        room_one: usize,
        two: *mut *mut ffi::BIO,
        room_two: usize,
    ) -> c_int;
    fn SSL_clear_options(ssl: *mut ffi::SSL, options: u64) -> u64;
    fn SSL_renegotiate(ssl: *mut ffi::SSL) -> c_int;
}

/// A new RSA key of so many bits.
pub(in crate::tls::raw) fn new_rsa_key(bits: u16) -> *mut ffi::EVP_PKEY {
    // SAFETY: the arguments that EVP_PKEY_Q_keygen(3) asks for by the kind; the answer is new.
    unsafe { ffi::EVP_PKEY_Q_keygen(ptr::null_mut(), ptr::null(), c"RSA".as_ptr(), usize::from(bits)) }
}

/// A new Ed25519 key.
pub(in crate::tls::raw) fn new_ed25519_key() -> *mut ffi::EVP_PKEY {
    // SAFETY: as above.
    unsafe { ffi::EVP_PKEY_Q_keygen(ptr::null_mut(), ptr::null(), c"ED25519".as_ptr()) }
}

/// Which signatures a connection makes and takes.
///
/// # Safety
/// `ssl` is a live connection before its handshake.
pub(in crate::tls::raw) unsafe fn limit_signatures(ssl: *mut ffi::SSL, list: &CStr) -> c_int {
    /// SSL_set1_sigalgs_list(3), a macro in C.
    const SET_SIGALGS_LIST: c_int = 98;
    // SAFETY: as promised by the caller; OpenSSL copies the text.
    let done = unsafe { ffi::SSL_ctrl(ssl, SET_SIGALGS_LIST, 0, list.as_ptr().cast_mut().cast()) };
    c_int::from(done == 1)
}

/// Asks for a second handshake of TLS 1.2, which this side refuses for itself.
///
/// # Safety
/// `ssl` is a live connection after its handshake.
pub(in crate::tls::raw) unsafe fn renegotiate(ssl: *mut ffi::SSL) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        SSL_clear_options(ssl, ffi::SSL_OP_NO_RENEGOTIATION);
        SSL_renegotiate(ssl)
    }
}
