//! Stapled OCSP responses (RFC 6960, RFC 6066 8).

use std::ffi::{c_int, c_void};
use std::{ptr, slice};

use openssl_sys as ffi;

use super::handle::{Cert, OcspBasic, OcspResponse};
use super::x509::seconds_until;
use super::{SslCtx, clear_errors, contain, decl, drain_errors, hooks, init};
use crate::error::{Error, Result};

/// For how long a response may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It names no end.
    Always,
    /// Seconds from now; negative if they are over.
    Seconds(i64),
}

/// Checks that `der` is a successful response about `leaf`, and tells for how long.
pub(crate) fn check_ocsp(der: &[u8], leaf: &Cert, source: &str) -> Result<Freshness> {
    init();
    clear_errors();
    let refuse = |words: &str| Error::tls(source, words);
    let len = der.len().try_into().map_err(|_| refuse("too large"))?;
    let mut start = der.as_ptr();
    // SAFETY: `len` bytes to read; the answers are new, or NULL. A response with bytes behind it is
    // refused below.
    let response = unsafe { OcspResponse::own(ffi::d2i_OCSP_RESPONSE(ptr::null_mut(), &mut start, len)) };
    let Some(response) = response.filter(|_| ptr::eq(start, der.as_ptr_range().end)) else {
        let words = format!("this is no OCSP response in DER: {}", drain_errors());
        return Err(refuse(&words));
    };
    // SAFETY: a live response.
    if unsafe { ffi::OCSP_response_status(response.as_ptr()) } != 0 {
        return Err(refuse("the OCSP responder did not answer with success"));
    }
    // SAFETY: as above; the answer is new, or NULL.
    let basic = unsafe { OcspBasic::own(ffi::OCSP_response_get1_basic(response.as_ptr())) };
    let basic = basic.ok_or_else(|| refuse(&drain_errors()))?;
    freshness_for(&basic, leaf).ok_or_else(|| refuse("the OCSP response does not speak of the certificate added last"))
}

/// Looks for the part of the response that has the certificate's number, and the name of its issuer.
fn freshness_for(basic: &OcspBasic, leaf: &Cert) -> Option<Freshness> {
    // SAFETY: live objects; `i` is below the count; numbers and dates belong to the response, NULL
    // stands for what is not asked.
    unsafe {
        let own = decl::X509_get0_serialNumber(leaf.as_ptr());
        (0..decl::OCSP_resp_count(basic.as_ptr())).find_map(|i| {
            let single = decl::OCSP_resp_get0(basic.as_ptr(), i);
            let id = decl::OCSP_SINGLERESP_get0_id(single).cast_mut();
            let (none, mut serial, mut until) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            let (mut name, mut digest) = (ptr::null_mut(), ptr::null_mut());
            decl::OCSP_id_get0_info(&mut name, &mut digest, none, &mut serial, id);
            if serial.is_null() || ffi::ASN1_INTEGER_cmp(serial, own) != 0 || !is_issuer(leaf, name, digest) {
                return None;
            }
            let no_time = ptr::null_mut();
            decl::OCSP_single_get0_status(single, ptr::null_mut(), no_time, no_time, &mut until);
            if until.is_null() {
                return Some(Freshness::Always);
            }
            // A generalized time is a kind of ASN1_TIME (ASN1_TIME(3)).
            Some(Freshness::Seconds(seconds_until(until.cast()).unwrap_or(-1)))
        })
    }
}

/// Whether this is the digest of the name of a certificate's issuer (RFC 6960, 4.1.1).
///
/// # Safety
/// Both belong to a live part of a response, or are NULL.
unsafe fn is_issuer(leaf: &Cert, name: *mut ffi::ASN1_OCTET_STRING, digest: *mut ffi::ASN1_OBJECT) -> bool {
    let mut own = [0; ffi::EVP_MAX_MD_SIZE as usize];
    let mut len = 0;
    if name.is_null() || digest.is_null() {
        return false;
    }
    // SAFETY: as promised by the caller; a digest has no more bytes than there is room for.
    unsafe {
        let kind = ffi::EVP_get_digestbynid(ffi::OBJ_obj2nid(digest));
        if kind.is_null() {
            return false;
        }
        let issuer = ffi::X509_get_issuer_name(leaf.as_ptr());
        let done = decl::X509_NAME_digest(issuer, kind, own.as_mut_ptr(), &mut len) == 1;
        let told = ffi::ASN1_STRING_get0_data(name.cast());
        let told_len = usize::try_from(ffi::ASN1_STRING_length(name.cast())).unwrap_or(0);
        done && told_len == len as usize && !told.is_null() && slice::from_raw_parts(told, told_len) == &own[..told_len]
    }
}

impl SslCtx {
    /// Asks [`hooks::Hooks::staple`] when a client wants a response with the certificate.
    pub(crate) fn staple(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe { ffi::SSL_CTX_set_tlsext_status_cb(self.as_ptr(), Some(staple)) };
    }
}

/// # Safety
/// Called by OpenSSL in a handshake of a live connection, after its certificate was picked.
unsafe extern "C" fn staple(ssl: *mut ffi::SSL, _: *mut c_void) -> c_int {
    contain(ffi::SSL_TLSEXT_ERR_NOACK, || {
        // SAFETY: as promised by OpenSSL; the certificate is only named, not looked into.
        let found = unsafe {
            let leaf = ffi::SSL_get_certificate(ssl) as usize;
            hooks::of(ssl).and_then(|hooks| hooks.staple(leaf))
        };
        match found {
            // SAFETY: a live connection.
            Some(der) if unsafe { hand_over(ssl, der) } => ffi::SSL_TLSEXT_ERR_OK,
            _ => ffi::SSL_TLSEXT_ERR_NOACK,
        }
    })
}

/// Gives the connection a copy of the response.
///
/// # Safety
/// `ssl` is a live connection in its status callback.
unsafe fn hand_over(ssl: *mut ffi::SSL, der: &[u8]) -> bool {
    let Ok(len) = der.len().try_into() else { return false };
    // SAFETY: the copy has room for all bytes; the connection frees it by OPENSSL_free.
    unsafe {
        let copy = ffi::OPENSSL_malloc(der.len()).cast::<u8>();
        if copy.is_null() {
            return false;
        }
        ptr::copy_nonoverlapping(der.as_ptr(), copy, der.len());
        decl::SSL_set_tlsext_status_ocsp_resp(ssl, copy, len) == 1
    }
}
