//! What OpenSSL calls the security level, at 2: RSA of 2048 bits and more, curves of 224, no MD5 and no SHA-1, neither
//! in certificates that are shown, nor in those that are believed, nor in the handshake.

use std::ffi::c_int;
use std::ptr;

use openssl_sys as ffi;

use super::choice::chooses;
use super::{ERR_LIB_SSL, expiry, put_error};
use crate::tls::raw::verify;

/// Signatures in handshakes, the preferred first. Ed25519 is not among AWS-LC's own.
const SIGNATURES: &std::ffi::CStr = c"ECDSA+SHA256:ed25519:RSA-PSS+SHA256:RSA+SHA256:\
                                      ECDSA+SHA384:RSA-PSS+SHA384:RSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA512:RSA+SHA512";

/// Level 2, whatever is asked for.
///
/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(in crate::tls::raw) unsafe fn SSL_CTX_set_security_level(ctx: *mut ffi::SSL_CTX, _: c_int) {
    // SAFETY: as promised by the caller; the text is copied.
    let done = unsafe { ffi::SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES.as_ptr()) };
    debug_assert_eq!(done, 1);
}

/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(in crate::tls::raw) unsafe fn SSL_CTX_set_verify(
    ctx: *mut ffi::SSL_CTX,
    mode: c_int,
    _: Option<unsafe extern "C" fn(c_int, *mut ffi::X509_STORE_CTX) -> c_int>,
) {
    // SAFETY: as promised by the caller, and a function that lives as long.
    unsafe { ffi::SSL_CTX_set_verify(ctx, mode, Some(confirm)) }
}

/// Looks at a certificate once more when AWS-LC has judged it.
///
/// # Safety
/// Called by AWS-LC in a verification, for one certificate after the other.
unsafe extern "C" fn confirm(good: c_int, context: *mut ffi::X509_STORE_CTX) -> c_int {
    // SAFETY: as promised by AWS-LC.
    unsafe {
        let verdict = if verify::judge(good, context) == 1 { turn_down(context) } else { believe_itself(context) };
        if verdict == 1 {
            expiry::shorten(context);
        }
        verdict
    }
}

/// Turns a certificate down that AWS-LC has found no fault with.
///
/// # Safety
/// `context` is a verification that has just looked at a certificate.
unsafe fn turn_down(context: *mut ffi::X509_STORE_CTX) -> c_int {
    // SAFETY: as promised by the caller; the certificate belongs to the verification.
    unsafe {
        let depth = ffi::X509_STORE_CTX_get_error_depth(context);
        match fault(ffi::X509_STORE_CTX_get_current_cert(context), depth == 0) {
            None => 1,
            Some(verdict) => {
                ffi::X509_STORE_CTX_set_error(context, verdict);
                0
            }
        }
    }
}

/// A certificate that is its own issuer and may sign nothing else is to AWS-LC one whose issuer is no CA. To OpenSSL it is
/// self-signed, and good if it stands in the store itself.
///
/// # Safety
/// `context` is a verification that has found a fault.
unsafe fn believe_itself(context: *mut ffi::X509_STORE_CTX) -> c_int {
    // SAFETY: as promised by the caller; the leaf belongs to the verification, and the object is made and freed here.
    unsafe {
        let leaf = ffi::X509_STORE_CTX_get0_cert(context);
        let error = ffi::X509_STORE_CTX_get_error(context);
        let no_issuer = [
            ffi::X509_V_ERR_INVALID_CA,
            ffi::X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
            ffi::X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        ];
        if leaf.is_null() || !no_issuer.contains(&error) || !is_self_issued(leaf) {
            return 0;
        }
        let (name, found) = (ffi::X509_get_subject_name(leaf), ffi::X509_OBJECT_new());
        let known = ffi::X509_STORE_CTX_get_by_subject(context, ffi::X509_LU_X509, name, found) == 1
            && ffi::X509_cmp(ffi::X509_OBJECT_get0_X509(found), leaf) == 0;
        ffi::X509_OBJECT_free(found);
        let verdict = if known { ffi::X509_V_OK } else { ffi::X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT };
        ffi::X509_STORE_CTX_set_error(context, verdict);
        c_int::from(known)
    }
}

/// # Safety
/// `cert` is alive.
unsafe fn is_self_issued(cert: *mut ffi::X509) -> bool {
    // SAFETY: as promised by the caller.
    unsafe { ffi::X509_NAME_cmp(ffi::X509_get_subject_name(cert), ffi::X509_get_issuer_name(cert)) == 0 }
}

/// Where certificates are chosen in each handshake the context itself has none: AWS-LC could not take them away again
/// from a connection.
///
/// # Safety
/// As for the function of C: all are alive.
pub(in crate::tls::raw) unsafe fn SSL_CTX_use_cert_and_key(
    ctx: *mut ffi::SSL_CTX,
    leaf: *mut ffi::X509,
    key: *mut ffi::EVP_PKEY,
    rest: *mut ffi::stack_st_X509,
    replace: c_int,
) -> c_int {
    // SAFETY: as promised by the caller; `i` is below the count.
    unsafe {
        let of_rest = |i| fault(ffi::OPENSSL_sk_value(rest.cast(), i).cast(), false);
        match fault(leaf, true).or_else(|| (0..ffi::OPENSSL_sk_num(rest.cast())).find_map(of_rest)) {
            None if chooses(ctx) => 1,
            None => ffi::SSL_CTX_use_cert_and_key(ctx, leaf, key, rest, replace),
            Some(ffi::X509_V_ERR_CA_MD_TOO_WEAK) => {
                put_error(ERR_LIB_SSL, ffi::SSL_R_WRONG_SIGNATURE_TYPE);
                0
            }
            Some(_) => {
                put_error(ffi::ERR_LIB_RSA, ffi::RSA_R_KEY_SIZE_TOO_SMALL);
                0
            }
        }
    }
}

/// What is too weak about a certificate, if anything is.
///
/// # Safety
/// `cert` is NULL or alive.
unsafe fn fault(cert: *mut ffi::X509, is_leaf: bool) -> Option<c_int> {
    if cert.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller; the key belongs to the certificate, and may be NULL.
    unsafe {
        let key = ffi::X509_get0_pubkey(cert);
        let verdicts = [ffi::X509_V_ERR_CA_KEY_TOO_SMALL, ffi::X509_V_ERR_EE_KEY_TOO_SMALL];
        let too_small = verdicts[usize::from(is_leaf)];
        // What AWS-LC cannot read is as good as no key.
        if key.is_null() {
            return Some(too_small);
        }
        let least = match ffi::EVP_PKEY_id(key) {
            ffi::EVP_PKEY_RSA | ffi::EVP_PKEY_RSA_PSS | ffi::EVP_PKEY_DSA => 2048,
            ffi::EVP_PKEY_EC => 224,
            _ => 0,
        };
        if ffi::EVP_PKEY_bits(key) < least {
            return Some(too_small);
        }
        // The signature of a root is nobody's proof.
        let own = is_self_issued(cert);
        let mut digest = 0;
        let known = ffi::OBJ_find_sigid_algs(ffi::X509_get_signature_nid(cert), &mut digest, ptr::null_mut()) == 1;
        let weak = known && matches!(digest, ffi::NID_md5 | ffi::NID_sha1);
        (weak && !own).then_some(ffi::X509_V_ERR_CA_MD_TOO_WEAK)
    }
}
