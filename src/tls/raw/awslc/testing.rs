//! For tests: what they alone ask of AWS-LC.

use std::ffi::{CStr, c_int};

use openssl_sys as ffi;

use super::new_key;

pub(in crate::tls::raw) use ffi::{BIO_new_bio_pair, OCSP_basic_add1_status, OCSP_basic_sign};

/// A new RSA key of so many bits.
pub(in crate::tls::raw) fn new_rsa_key(bits: u16) -> *mut ffi::EVP_PKEY {
    // SAFETY: a live context that is about to make an RSA key.
    new_key(ffi::EVP_PKEY_RSA, |ctx| unsafe { ffi::EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits.into()) })
}

/// A new Ed25519 key.
pub(in crate::tls::raw) fn new_ed25519_key() -> *mut ffi::EVP_PKEY {
    new_key(ffi::EVP_PKEY_ED25519, |_| 1)
}

/// Which signatures a connection makes and takes.
///
/// # Safety
/// `ssl` is a live connection before its handshake.
pub(in crate::tls::raw) unsafe fn limit_signatures(ssl: *mut ffi::SSL, list: &CStr) -> c_int {
    // SAFETY: as promised by the caller; AWS-LC copies what it reads.
    unsafe { ffi::SSL_set1_sigalgs_list(ssl, list.as_ptr()) }
}
