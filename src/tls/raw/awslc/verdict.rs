//! Verdicts on certificates: programs know them by OpenSSL's numbers (`openssl/x509_vfy.h`) and people by its words.

use std::ffi::{CStr, c_int, c_long};

use openssl_sys as ffi;

/// AWS-LC's number, and OpenSSL's of the same meaning, where the two differ.
const NUMBERS: [(c_int, c_int); 7] = [
    (ffi::X509_V_ERR_INVALID_CA, 79),
    (ffi::X509_V_ERR_INVALID_CALL, 69),
    (ffi::X509_V_ERR_STORE_LOOKUP, 70),
    (ffi::X509_V_ERR_EE_KEY_TOO_SMALL, 66),
    (ffi::X509_V_ERR_CA_KEY_TOO_SMALL, 67),
    (ffi::X509_V_ERR_CA_MD_TOO_WEAK, 68),
    (ffi::X509_V_ERR_EC_KEY_EXPLICIT_PARAMS, 94),
];

/// The same where OpenSSL has no number of its own for it, but one that is near: "permitted subtree violation", and
/// "unable to decode issuer public key".
const NEAR: [(c_int, c_int); 2] =
    [(ffi::X509_V_ERR_NAME_CONSTRAINTS_WITHOUT_SANS, 47), (ffi::X509_V_UNABLE_TO_GET_CERTS_PUBLIC_KEY, 6)];

/// The verdict on the peer's certificate, by OpenSSL's number.
///
/// # Safety
/// `ssl` is a live connection.
pub(in crate::tls::raw) unsafe fn SSL_get_verify_result(ssl: *const ffi::SSL) -> c_long {
    // SAFETY: as promised by the caller.
    let own = unsafe { ffi::SSL_get_verify_result(ssl) };
    NUMBERS.iter().chain(&NEAR).find(|(here, _)| c_long::from(*here) == own).map_or(own, |(_, there)| (*there).into())
}

/// OpenSSL's words for one of its numbers, "self-signed certificate".
pub(in crate::tls::raw) fn verdict_words(verdict: c_int) -> String {
    let own = match NUMBERS.iter().find(|(_, there)| *there == verdict) {
        // AWS-LC has the numbers without the words.
        Some((ffi::X509_V_ERR_EE_KEY_TOO_SMALL, _)) => return "EE certificate key too weak".to_owned(),
        Some((ffi::X509_V_ERR_CA_KEY_TOO_SMALL, _)) => return "CA certificate key too weak".to_owned(),
        Some((ffi::X509_V_ERR_CA_MD_TOO_WEAK, _)) => return "CA signature digest algorithm too weak".to_owned(),
        Some((here, _)) => *here,
        None => verdict,
    };
    // SAFETY: always a static C string, also for an unknown number.
    let words = unsafe { CStr::from_ptr(ffi::X509_verify_cert_error_string(own.into())) };
    let words = words.to_string_lossy().replace("self signed", "self-signed");
    // A sentence goes on with it: "Hostname mismatch", but "CRL has expired".
    match words.as_bytes() {
        [_, b'a'..=b'z', ..] => words[..1].to_lowercase() + &words[1..],
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_openssl() {
        for (verdict, words) in [
            (0, "ok"),
            (18, "self-signed certificate"),
            (12, "CRL has expired"),
            (62, "hostname mismatch"),
            (64, "IP address mismatch"),
            (66, "EE certificate key too weak"),
            (79, "invalid CA certificate"),
        ] {
            assert_eq!(verdict_words(verdict), words, "{verdict}");
        }
    }
}
