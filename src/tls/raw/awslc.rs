//! What AWS-LC has in another form than OpenSSL, under OpenSSL's names (`decl.rs` is the other half).
//!
//! AWS-LC descends from BoringSSL: no providers, no EVP_MAC, numbers of other widths in C's prototypes, and a few things
//! that OpenSSL does by itself and that are done here: the server's order of suites ([`order`]), the choice among several
//! certificates ([`choice`]), the refusal of weak keys and signatures ([`strength`]), tickets that are bound to a server
//! name ([`bound`]) and end with what was believed ([`expiry`]).
#![allow(non_snake_case)]

mod bound;
mod choice;
pub(super) mod expiry;
mod order;
mod strength;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the harnesses need less than the tests"))]
pub(super) mod testing;
mod verdict;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr;

use openssl_sys as ffi;

pub(super) use choice::{
    SSL_CTX_set_cert_cb, SSL_certs_clear, SSL_check_chain, offers_signatures_of, offers_suites_of,
};
pub(super) use ffi::{
    BIO_meth_set_create, BIO_meth_set_ctrl, BIO_meth_set_read, BIO_meth_set_write, ERR_LIB_SSL, ERR_peek_error,
    EVP_Digest, EVP_PKEY_id as EVP_PKEY_get_base_id, HMAC_CTX as TicketMac, NID_auth_ecdsa as NID_AUTH_ECDSA,
    NID_auth_rsa as NID_AUTH_RSA, OCSP_SINGLERESP_get0_id, OCSP_id_get0_info, OCSP_resp_count, OCSP_single_get0_status,
    OPENSSL_cleanse, SSL_CTX_add_client_CA, SSL_CTX_get_ciphers, SSL_CTX_set_alpn_select_cb,
    SSL_CTX_set_cert_verify_callback, SSL_CTX_set_tlsext_servername_callback, SSL_CTX_set_tlsext_ticket_key_cb,
    SSL_R_CERTIFICATE_VERIFY_FAILED, SSL_R_ERROR_PARSING_EXTENSION as SSL_R_BAD_EXTENSION,
    SSL_R_NO_APPLICATION_PROTOCOL, SSL_SESSION_get0_ticket, SSL_SESSION_is_resumable,
    SSL_get_peer_certificate as SSL_get1_peer_certificate, SSL_get_servername, SSL_get1_session, SSL_in_init,
    SSL_use_cert_and_key, X509_NAME_digest, X509_NAME_get_text_by_NID, X509_NAME_print_ex, X509_STORE_CTX_get0_cert,
    X509_STORE_add_crl, X509_check_private_key, X509_get0_serialNumber, sk_pop_free as OPENSSL_sk_pop_free,
};
pub(super) use order::SSL_CTX_set_ciphersuites;
pub(super) use strength::{SSL_CTX_set_security_level, SSL_CTX_set_verify, SSL_CTX_use_cert_and_key};
pub(super) use verdict::{SSL_get_verify_result, verdict_words};

pub(super) type ErrorCode = c_uint;
pub(super) type VerifyFlags = c_int;

/// Which of two suites of one strength is used, AES or ChaCha20, is settled by the lists themselves.
pub(super) const SSL_OP_PRIORITIZE_CHACHA: c_int = 0;

/// What the callback for tickets answers if none can be made. Anything above would let AWS-LC use the empty contexts.
pub(super) const NO_TICKET: c_int = -1;

type FreeData = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut ffi::CRYPTO_EX_DATA, c_int, c_long, *mut c_void);

/// AWS-LC's words are the names of its constants, "NO_SHARED_CIPHER"; OpenSSL writes "no shared cipher".
pub(super) fn words(reason: &CStr) -> String {
    match reason.to_bytes() {
        b"KEY_SIZE_TOO_SMALL" => "key too small".to_owned(),
        b"NO_SHARED_GROUP" => "no suitable key share".to_owned(),
        b"NO_COMMON_SIGNATURE_ALGORITHMS" => "no suitable signature algorithm".to_owned(),
        _ => reason.to_string_lossy().to_lowercase().replace('_', " "),
    }
}

/// "AWS-LC 1.73.0". Its own OpenSSL_version would speak of the OpenSSL that it was once compatible with.
pub(super) fn version() -> &'static CStr {
    const NAME: &[u8] = ffi::AWSLC_VERSION_NAME;
    const NUMBER: &[u8] = ffi::AWSLC_VERSION_NUMBER_STRING;
    /// The name, a space in the place of its zero, the number with its zero.
    const TEXT: [u8; NAME.len() + NUMBER.len()] = {
        let mut text = [b' '; NAME.len() + NUMBER.len()];
        let (front, back) = text.split_at_mut(NAME.len());
        let (front, _) = front.split_at_mut(NAME.len() - 1);
        front.copy_from_slice(NAME.split_at(NAME.len() - 1).0);
        back.copy_from_slice(NUMBER);
        text
    };
    CStr::from_bytes_with_nul(&TEXT).unwrap_or(c"AWS-LC")
}

/// Says in the thread's error queue why TLS fails.
pub(super) fn put_ssl_error(reason: c_int) {
    put_error(ERR_LIB_SSL, reason);
}

fn put_error(library: c_int, reason: c_int) {
    // SAFETY: touches only the calling thread's queue, which keeps the pointer to a static string.
    unsafe { ffi::ERR_put_error(library, 0, reason, c"tlsloop".as_ptr(), 0) }
}

/// A place among the extra data of every context.
///
/// # Safety
/// `free` takes what will be left there.
pub(super) unsafe fn SSL_CTX_get_ex_new_index(free: FreeData) -> c_int {
    // SAFETY: as promised by the caller; the function lives as long as the process.
    unsafe { ffi::SSL_CTX_get_ex_new_index(0, ptr::null_mut(), ptr::null_mut(), None, Some(free)) }
}

/// The same for connections.
///
/// # Safety
/// `free` takes what will be left there.
pub(super) unsafe fn SSL_get_ex_new_index(free: FreeData) -> c_int {
    // SAFETY: as promised by the caller; the function lives as long as the process.
    unsafe { ffi::SSL_get_ex_new_index(0, ptr::null_mut(), ptr::null_mut(), None, Some(free)) }
}

/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn SSL_CTX_set_mode(ctx: *mut ffi::SSL_CTX, mode: c_int) {
    // SAFETY: as promised by the caller.
    unsafe { ffi::SSL_CTX_set_mode(ctx, mode.cast_unsigned()) };
}

/// Nothing stops AWS-LC within a record; the record's length bounds it.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn stop_after_each_message(_: *mut ffi::SSL_CTX) {}

/// How many bytes a peer's message with its certificates may have.
///
/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn set_max_cert_list(ctx: *mut ffi::SSL_CTX, bytes: u16) {
    // SAFETY: as promised by the caller.
    unsafe { ffi::SSL_CTX_set_max_cert_list(ctx, bytes.into()) };
}

/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn SSL_CTX_set_options(ctx: *mut ffi::SSL_CTX, options: c_int) {
    // SAFETY: as promised by the caller.
    unsafe { ffi::SSL_CTX_set_options(ctx, options.cast_unsigned()) };
}

/// Early data is off unless it is switched on.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn SSL_CTX_set_max_early_data(_: *mut ffi::SSL_CTX, _: u32) -> c_int {
    1
}

/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn SSL_CTX_set_min_proto_version(ctx: *mut ffi::SSL_CTX, version: c_int) -> c_int {
    // SAFETY: as promised by the caller.
    u16::try_from(version).map_or(0, |version| unsafe { ffi::SSL_CTX_set_min_proto_version(ctx, version) })
}

/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn SSL_CTX_set_max_proto_version(ctx: *mut ffi::SSL_CTX, version: c_int) -> c_int {
    // SAFETY: as promised by the caller.
    u16::try_from(version).map_or(0, |version| unsafe { ffi::SSL_CTX_set_max_proto_version(ctx, version) })
}

/// AWS-LC takes a list of nothing where OpenSSL refuses it.
///
/// # Safety
/// `ctx` is a live context that is not shared yet, and `list` a C string.
pub(super) unsafe fn SSL_CTX_set_cipher_list(ctx: *mut ffi::SSL_CTX, list: *const c_char) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        if list.read() == 0 {
            put_ssl_error(ffi::SSL_R_NO_CIPHER_MATCH);
            return 0;
        }
        ffi::SSL_CTX_set_cipher_list(ctx, list)
    }
}

/// # Safety
/// Both are alive.
pub(super) unsafe fn SSL_CTX_add1_to_CA_list(ctx: *mut ffi::SSL_CTX, issuer: *mut ffi::X509) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { SSL_CTX_add_client_CA(ctx, issuer) }
}

/// Another reference instead of a copy: a session is never changed once it is complete.
///
/// # Safety
/// `session` is alive.
pub(super) unsafe fn SSL_SESSION_dup(session: *mut ffi::SSL_SESSION) -> *mut ffi::SSL_SESSION {
    // SAFETY: as promised by the caller.
    unsafe { ffi::SSL_SESSION_up_ref(session) };
    session
}

/// AWS-LC gives buffers back whenever they are empty.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn keep_buffers(_: *mut ffi::SSL, _: bool) {}

/// A ticket would wait for the first write, which a server that only receives never makes; a write of nothing takes it along.
///
/// # Safety
/// `ssl` is a live connection.
pub(super) unsafe fn SSL_do_handshake(ssl: *mut ffi::SSL) -> c_int {
    // SAFETY: as promised by the caller; no byte is read from NULL. What does not leave now, leaves with the next write.
    unsafe {
        let answer = ffi::SSL_do_handshake(ssl);
        if answer == 1 {
            ffi::SSL_write(ssl, ptr::null(), 0);
        }
        answer
    }
}

/// The group of the key exchange by OpenSSL's name, "x25519"; NULL where there was none.
///
/// # Safety
/// `ssl` is a live connection.
pub(super) unsafe fn group_name(ssl: *const ffi::SSL) -> *const c_char {
    // SAFETY: as promised by the caller; names are static strings.
    unsafe {
        let group = ffi::SSL_get_group_id(ssl);
        match group.into() {
            0 => ptr::null(),
            ffi::SSL_GROUP_SECP256R1 => c"secp256r1".as_ptr(),
            ffi::SSL_GROUP_SECP384R1 => c"secp384r1".as_ptr(),
            ffi::SSL_GROUP_SECP521R1 => c"secp521r1".as_ptr(),
            ffi::SSL_GROUP_X25519 => c"x25519".as_ptr(),
            _ => ffi::SSL_get_group_name(group),
        }
    }
}

/// A new key on P-256, or NULL.
pub(super) fn new_p256_key() -> *mut ffi::EVP_PKEY {
    new_key(ffi::EVP_PKEY_EC, |ctx| {
        // SAFETY: a live context that is about to make a key on a curve.
        unsafe { ffi::EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, ffi::NID_X9_62_prime256v1) }
    })
}

fn new_key(kind: c_int, configure: impl FnOnce(*mut ffi::EVP_PKEY_CTX) -> c_int) -> *mut ffi::EVP_PKEY {
    let mut key = ptr::null_mut();
    // SAFETY: the context is made, used and freed here; a key is written on success only.
    unsafe {
        let ctx = ffi::EVP_PKEY_CTX_new_id(kind, ptr::null_mut());
        if !ctx.is_null() && ffi::EVP_PKEY_keygen_init(ctx) == 1 && configure(ctx) == 1 {
            ffi::EVP_PKEY_keygen(ctx, &mut key);
        }
        ffi::EVP_PKEY_CTX_free(ctx);
    }
    key
}

/// Puts the secret of a ticket's seal into its context.
///
/// # Safety
/// `mac` is the live context that the callback for tickets was given.
pub(super) unsafe fn set_ticket_mac(mac: *mut TicketMac, secret: &[u8]) -> bool {
    // SAFETY: as promised by the caller; the secret is read in the call.
    unsafe { ffi::HMAC_Init_ex(mac, secret.as_ptr().cast(), secret.len(), ffi::EVP_sha256(), ptr::null_mut()) == 1 }
}

/// # Safety
/// As for the function of C: `len` readable bytes that outlive the object.
pub(super) unsafe fn BIO_new_mem_buf(bytes: *const c_void, len: c_int) -> *mut ffi::BIO {
    // SAFETY: as promised by the caller; a length of 32 bits fits.
    unsafe { ffi::BIO_new_mem_buf(bytes, len as isize) }
}

/// # Safety
/// As for the function of C: a live name and `len` readable bytes.
pub(super) unsafe fn X509_NAME_add_entry_by_NID(
    name: *mut ffi::X509_NAME,
    nid: c_int,
    kind: c_int,
    text: *const u8,
    len: c_int,
    place: c_int,
    set: c_int,
) -> c_int {
    // SAFETY: as promised by the caller; a length of 32 bits fits.
    unsafe { ffi::X509_NAME_add_entry_by_NID(name, nid, kind, text, len as isize, place, set) }
}

/// # Safety
/// As for the function of C: a live connection takes over `len` bytes.
pub(super) unsafe fn SSL_set_tlsext_status_ocsp_resp(ssl: *mut ffi::SSL, response: *mut u8, len: c_long) -> c_int {
    // SAFETY: as promised by the caller.
    usize::try_from(len).map_or(0, |len| unsafe { ffi::SSL_set_tlsext_status_ocsp_resp(ssl, response, len) })
}

/// # Safety
/// `basic` is alive; `i` is below the count.
pub(super) unsafe fn OCSP_resp_get0(basic: *mut ffi::OCSP_BASICRESP, i: c_int) -> *mut ffi::OCSP_SINGLERESP {
    // SAFETY: as promised by the caller.
    usize::try_from(i).map_or(ptr::null_mut(), |i| unsafe { ffi::OCSP_resp_get0(basic, i) })
}

/// # Safety
/// `store` is a live store that is not shared yet.
pub(super) unsafe fn X509_STORE_set_flags(store: *mut ffi::X509_STORE, flags: VerifyFlags) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { ffi::X509_STORE_set_flags(store, c_ulong::from(flags.cast_unsigned())) }
}

/// AWS-LC knows no other way.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn no_partial_wildcards(_: *mut ffi::X509_VERIFY_PARAM) {}

/// The string of an entry of subjectAltName.
///
/// # Safety
/// The entry is of a kind that holds a string.
pub(super) unsafe fn string_of(entry: &ffi::GENERAL_NAME) -> *mut ffi::ASN1_STRING {
    // SAFETY: as promised by the caller; all members of the union are one pointer.
    unsafe { entry.d.ptr.cast() }
}
