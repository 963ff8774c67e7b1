//! Which suite of TLS 1.3 is used. AWS-LC takes the client's order; here the server's counts, as with OpenSSL: the suite
//! that this server wants is left as the only one of its connection.

use std::ffi::{c_char, c_int};

use openssl_sys as ffi;

use super::choice;

/// TLS_CHACHA20_POLY1305_SHA256 (RFC 8446 B.4).
const CHACHA20: u16 = 0x1303;

/// Also sees to it that the order of the list counts, if the context is a server's.
///
/// # Safety
/// `ctx` is a live context that is not shared yet, `list` a C string.
pub(in crate::tls::raw) unsafe fn SSL_CTX_set_ciphersuites(ctx: *mut ffi::SSL_CTX, list: *const c_char) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::SSL_CTX_set_select_certificate_cb(ctx, Some(on_hello));
        ffi::SSL_CTX_set_ciphersuites(ctx, list)
    }
}

/// # Safety
/// Called by AWS-LC for a live connection, with the ClientHello that it has just read.
unsafe extern "C" fn on_hello(hello: *const ffi::SSL_CLIENT_HELLO) -> ffi::ssl_select_cert_result_t {
    const SUCCESS: ffi::ssl_select_cert_result_t = 1;
    const ERROR: ffi::ssl_select_cert_result_t = -1;
    // SAFETY: as promised by AWS-LC.
    let done = unsafe { order_suites(hello) && choice::note_suites(hello) };
    if done { SUCCESS } else { ERROR }
}

/// Leaves to the connection the suite that its server wants most, if it would be another without that; false if that
/// fails. For a client without a suite of TLS 1.3, or without one in common, nothing changes.
///
/// # Safety
/// As for [`choice::note_suites`].
unsafe fn order_suites(hello: *const ffi::SSL_CLIENT_HELLO) -> bool {
    // SAFETY: as promised by the caller; the list belongs to the context, or is NULL, of which the count is 0; `i` is
    // below the count; suites and their names are static tables.
    unsafe {
        let ssl = (*hello).ssl;
        let listed = ffi::SSL_get_ciphers(ssl);
        let ours = (0..ffi::OPENSSL_sk_num(listed.cast()))
            .map(|i| ffi::OPENSSL_sk_value(listed.cast(), i).cast::<ffi::SSL_CIPHER>().cast_const())
            .filter(|suite| c_int::from(ffi::SSL_CIPHER_get_min_version(*suite)) == ffi::TLS1_3_VERSION);
        let ours: Vec<_> = ours.collect();
        let number = |suite| ffi::SSL_CIPHER_get_protocol_id(suite);
        let offered = std::slice::from_raw_parts((*hello).cipher_suites, (*hello).cipher_suites_len);
        let theirs = offered.chunks_exact(2).map(|suite| u16::from_be_bytes([suite[0], suite[1]]));
        let first = theirs.clone().find(|theirs| ours.iter().any(|ours| number(*ours) == *theirs));
        // Who puts ChaCha20 first has no AES in its processor.
        let Some(first) = first.filter(|first| *first != CHACHA20) else { return true };
        let wanted = ours.iter().find(|ours| theirs.clone().any(|theirs| theirs == number(**ours)));
        match wanted {
            Some(wanted) if number(*wanted) != first => {
                ffi::SSL_set_ciphersuites(ssl, ffi::SSL_CIPHER_standard_name(*wanted)) == 1
            }
            _ => true,
        }
    }
}
