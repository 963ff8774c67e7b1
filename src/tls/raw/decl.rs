//! C functions of OpenSSL 3.0 that openssl-sys does not declare, as `openssl/ssl.h`, `tls1.h`, `x509.h`,
//! `x509_vfy.h`, `ocsp.h` and `params.h` give them; and under one name what AWS-LC has otherwise (`awslc.rs`).
#![allow(non_camel_case_types, non_snake_case)]

pub(super) mod expiry;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the harnesses need less than the tests"))]
pub(super) mod testing;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr;

use openssl_sys::{
    ASN1_GENERALIZEDTIME, ASN1_INTEGER, ASN1_OBJECT, ASN1_OCTET_STRING, ASN1_STRING, BIO, CRYPTO_EX_DATA,
    EVP_CIPHER_CTX, EVP_MAC_CTX, EVP_PKEY, GENERAL_NAME, OCSP_BASICRESP, OCSP_CERTID, OSSL_PARAM, SSL, SSL_CIPHER,
    SSL_CTX, SSL_SESSION, X509, X509_CRL, X509_NAME, X509_STORE, X509_STORE_CTX, X509_VERIFY_PARAM,
    stack_st_SSL_CIPHER, stack_st_X509,
};

use super::x509::KeyKind;

pub(super) use openssl_sys::{
    BIO_meth_set_create__fixed_rust as BIO_meth_set_create, BIO_meth_set_ctrl__fixed_rust as BIO_meth_set_ctrl,
    BIO_meth_set_read__fixed_rust as BIO_meth_set_read, BIO_meth_set_write__fixed_rust as BIO_meth_set_write,
    BIO_new_mem_buf, EVP_MAC_CTX as TicketMac, OPENSSL_sk_pop_free,
    SSL_CTX_set_alpn_select_cb__fixed_rust as SSL_CTX_set_alpn_select_cb, SSL_CTX_set_cipher_list,
    SSL_CTX_set_ciphersuites, SSL_CTX_set_max_early_data, SSL_CTX_set_max_proto_version, SSL_CTX_set_min_proto_version,
    SSL_CTX_set_mode, SSL_CTX_set_options, SSL_CTX_set_security_level,
    SSL_CTX_set_tlsext_servername_callback__fixed_rust as SSL_CTX_set_tlsext_servername_callback,
    SSL_OP_PRIORITIZE_CHACHA, SSL_do_handshake, SSL_get_verify_result, SSL_get1_peer_certificate,
    SSL_set_tlsext_status_ocsp_resp, X509_NAME_add_entry_by_NID, X509_STORE_set_flags,
};

pub(super) type ErrorCode = c_ulong;
pub(super) type VerifyFlags = c_ulong;

/// The part of OpenSSL that speaks of TLS, and three of its reasons (`sslerr.h`).
pub(super) const ERR_LIB_SSL: c_int = 20;
pub(super) const SSL_R_BAD_EXTENSION: c_int = 110;
pub(super) const SSL_R_CERTIFICATE_VERIFY_FAILED: c_int = 134;
pub(super) const SSL_R_NO_APPLICATION_PROTOCOL: c_int = 235;

/// How a suite of TLS 1.2 proves the server's identity (`obj_mac.h`).
pub(super) const NID_AUTH_RSA: c_int = 1046;
pub(super) const NID_AUTH_ECDSA: c_int = 1047;

/// What the callback for tickets answers if none can be made: the connection lives on without.
pub(super) const NO_TICKET: c_int = 0;

type FreeData = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut CRYPTO_EX_DATA, c_int, c_long, *mut c_void);

pub(super) type CertCb = unsafe extern "C" fn(*mut SSL, *mut c_void) -> c_int;
pub(super) type VerifyCb = unsafe extern "C" fn(c_int, *mut X509_STORE_CTX) -> c_int;
pub(super) type CertVerifyCb = unsafe extern "C" fn(*mut X509_STORE_CTX, *mut c_void) -> c_int;
pub(super) type TicketKeyCb =
    unsafe extern "C" fn(*mut SSL, *mut u8, *mut u8, *mut EVP_CIPHER_CTX, *mut EVP_MAC_CTX, c_int) -> c_int;

pub(super) type MakeTicketCb = unsafe extern "C" fn(*mut SSL, *mut c_void) -> c_int;
pub(super) type DecryptTicketCb =
    unsafe extern "C" fn(*mut SSL, *mut SSL_SESSION, *const u8, usize, c_int, *mut c_void) -> c_int;

pub(super) enum OCSP_SINGLERESP {}

unsafe extern "C" {
    pub(super) fn ERR_peek_error() -> c_ulong;

    pub(super) fn SSL_CTX_use_cert_and_key(
        ctx: *mut SSL_CTX,
        x509: *mut X509,
        key: *mut EVP_PKEY,
        chain: *mut stack_st_X509,
        replace: c_int,
    ) -> c_int;
    pub(super) fn SSL_use_cert_and_key(
        ssl: *mut SSL,
        x509: *mut X509,
        key: *mut EVP_PKEY,
        chain: *mut stack_st_X509,
        replace: c_int,
    ) -> c_int;
    pub(super) fn SSL_certs_clear(ssl: *mut SSL);
    pub(super) fn SSL_CTX_set_cert_cb(ctx: *mut SSL_CTX, cb: Option<CertCb>, arg: *mut c_void);
    pub(super) fn SSL_CTX_set_verify(ctx: *mut SSL_CTX, mode: c_int, cb: Option<VerifyCb>);
    pub(super) fn SSL_CTX_set_cert_verify_callback(ctx: *mut SSL_CTX, cb: Option<CertVerifyCb>, arg: *mut c_void);
    #[link_name = "SSL_CTX_set_tlsext_ticket_key_evp_cb"]
    pub(super) fn SSL_CTX_set_tlsext_ticket_key_cb(ctx: *mut SSL_CTX, cb: Option<TicketKeyCb>) -> c_int;
    pub(super) fn SSL_CTX_get_ciphers(ctx: *const SSL_CTX) -> *mut stack_st_SSL_CIPHER;
    pub(super) fn SSL_CTX_add1_to_CA_list(ctx: *mut SSL_CTX, x: *const X509) -> c_int;
    fn SSL_get_sigalgs(
        ssl: *mut SSL,
        i: c_int,
        sign: *mut c_int,
        hash: *mut c_int,
        both: *mut c_int,
        raw_sign: *mut u8,
        raw_hash: *mut u8,
    ) -> c_int;
    fn SSL_get_client_ciphers(ssl: *const SSL) -> *mut stack_st_SSL_CIPHER;
    fn SSL_CIPHER_get_auth_nid(cipher: *const SSL_CIPHER) -> c_int;
    pub(super) fn SSL_check_chain(ssl: *mut SSL, x: *mut X509, key: *mut EVP_PKEY, chain: *mut stack_st_X509) -> c_int;
    pub(super) fn SSL_in_init(ssl: *const SSL) -> c_int;
    fn SSL_free_buffers(ssl: *mut SSL) -> c_int;
    fn SSL_rstate_string(ssl: *const SSL) -> *const c_char;
    pub(super) fn SSL_get_servername(ssl: *const SSL, kind: c_int) -> *const c_char;
    fn SSL_group_to_name(ssl: *mut SSL, id: c_int) -> *const c_char;
    pub(super) fn SSL_SESSION_dup(session: *const SSL_SESSION) -> *mut SSL_SESSION;
    pub(super) fn SSL_SESSION_is_resumable(session: *const SSL_SESSION) -> c_int;
    pub(super) fn SSL_SESSION_get0_ticket(session: *const SSL_SESSION, ticket: *mut *const u8, len: *mut usize);

    pub(super) fn SSL_SESSION_get0_hostname(session: *const SSL_SESSION) -> *const c_char;
    pub(super) fn SSL_get1_session(ssl: *mut SSL) -> *mut SSL_SESSION;
    pub(super) fn SSL_CTX_set_session_ticket_cb(
        ctx: *mut SSL_CTX,
        made: Option<MakeTicketCb>,
        opened: Option<DecryptTicketCb>,
        arg: *mut c_void,
    ) -> c_int;

    pub(super) fn OCSP_resp_count(basic: *mut OCSP_BASICRESP) -> c_int;
    pub(super) fn OCSP_resp_get0(basic: *mut OCSP_BASICRESP, i: c_int) -> *mut OCSP_SINGLERESP;
    pub(super) fn OCSP_SINGLERESP_get0_id(single: *const OCSP_SINGLERESP) -> *const OCSP_CERTID;
    pub(super) fn OCSP_id_get0_info(
        name_hash: *mut *mut ASN1_OCTET_STRING,
        digest: *mut *mut ASN1_OBJECT,
        key_hash: *mut *mut ASN1_OCTET_STRING,
        serial: *mut *mut ASN1_INTEGER,
        id: *mut OCSP_CERTID,
    ) -> c_int;
    pub(super) fn OCSP_single_get0_status(
        single: *mut OCSP_SINGLERESP,
        reason: *mut c_int,
        revoked: *mut *mut ASN1_GENERALIZEDTIME,
        this_update: *mut *mut ASN1_GENERALIZEDTIME,
        next_update: *mut *mut ASN1_GENERALIZEDTIME,
    ) -> c_int;
    fn OSSL_PARAM_construct_utf8_string(key: *const c_char, text: *mut c_char, size: usize) -> OSSL_PARAM;

    pub(super) fn X509_check_private_key(x: *const X509, key: *const EVP_PKEY) -> c_int;
    pub(super) fn X509_STORE_add_crl(store: *mut X509_STORE, crl: *mut X509_CRL) -> c_int;
    pub(super) fn X509_STORE_CTX_get0_cert(ctx: *const X509_STORE_CTX) -> *mut X509;
    pub(super) fn X509_NAME_print_ex(out: *mut BIO, name: *const X509_NAME, indent: c_int, flags: c_ulong) -> c_int;
    pub(super) fn X509_NAME_get_text_by_NID(name: *const X509_NAME, nid: c_int, buf: *mut c_char, len: c_int) -> c_int;
    pub(super) fn X509_get0_serialNumber(x: *const X509) -> *const ASN1_INTEGER;
    pub(super) fn X509_NAME_digest(
        name: *const X509_NAME,
        kind: *const openssl_sys::EVP_MD,
        md: *mut u8,
        size: *mut c_uint,
    ) -> c_int;
    pub(super) fn EVP_PKEY_get_base_id(key: *const EVP_PKEY) -> c_int;
    pub(super) fn EVP_Digest(
        data: *const c_void,
        count: usize,
        md: *mut u8,
        size: *mut c_uint,
        kind: *const openssl_sys::EVP_MD,
        engine: *mut c_void,
    ) -> c_int;
    pub(super) fn OPENSSL_cleanse(ptr: *mut c_void, len: usize);
}

/// A sentence of OpenSSL's tables.
pub(super) fn words(reason: &CStr) -> String {
    reason.to_string_lossy().into_owned()
}

/// The words for a verdict on a certificate.
pub(super) fn verdict_words(verdict: c_int) -> String {
    // SAFETY: always a static C string, also for an unknown number.
    words(unsafe { CStr::from_ptr(openssl_sys::X509_verify_cert_error_string(verdict.into())) })
}

/// Version text of the library that is really loaded, "OpenSSL 3.0.19 27 Jan 2026".
pub(super) fn version() -> &'static CStr {
    // SAFETY: always a static string of the library.
    unsafe { CStr::from_ptr(openssl_sys::OpenSSL_version(openssl_sys::OPENSSL_VERSION)) }
}

/// Says in the thread's error queue why TLS fails.
pub(super) fn put_ssl_error(reason: c_int) {
    // SAFETY: touches only the calling thread's queue; there is no text to format.
    unsafe {
        openssl_sys::ERR_new();
        openssl_sys::ERR_set_error(ERR_LIB_SSL, reason, ptr::null());
    }
}

/// A place among the extra data of every context.
///
/// # Safety
/// `free` takes what will be left there.
pub(super) unsafe fn SSL_CTX_get_ex_new_index(free: FreeData) -> c_int {
    // SAFETY: as promised by the caller; the function lives as long as the process.
    unsafe { openssl_sys::SSL_CTX_get_ex_new_index(0, ptr::null_mut(), None, None, Some(free)) }
}

/// The same for connections.
///
/// # Safety
/// `free` takes what will be left there.
pub(super) unsafe fn SSL_get_ex_new_index(free: FreeData) -> c_int {
    // SAFETY: as promised by the caller; the function lives as long as the process.
    unsafe { openssl_sys::SSL_get_ex_new_index(0, ptr::null_mut(), None, None, Some(free)) }
}

/// A read comes back after each message that is not data, though a record may hold thousands.
///
/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn stop_after_each_message(ctx: *mut SSL_CTX) {
    /// SSL_CTX_clear_mode(3), a macro in C.
    const CLEAR_MODE: c_int = 78;
    // SAFETY: as promised by the caller.
    unsafe { openssl_sys::SSL_CTX_ctrl(ctx, CLEAR_MODE, openssl_sys::SSL_MODE_AUTO_RETRY, ptr::null_mut()) };
}

/// How many bytes a peer's message with its certificates may have.
///
/// # Safety
/// `ctx` is a live context that is not shared yet.
pub(super) unsafe fn set_max_cert_list(ctx: *mut SSL_CTX, bytes: u16) {
    /// SSL_CTX_set_max_cert_list(3), a macro in C.
    const SET_MAX_CERT_LIST: c_int = 51;
    // SAFETY: as promised by the caller.
    unsafe { openssl_sys::SSL_CTX_ctrl(ctx, SET_MAX_CERT_LIST, bytes.into(), ptr::null_mut()) };
}

/// The group of the key exchange, "x25519"; NULL where there was none. The name belongs to the context.
///
/// # Safety
/// `ssl` is a live connection.
pub(super) unsafe fn group_name(ssl: *mut SSL) -> *const c_char {
    /// SSL_get_negotiated_group(3), a macro in C.
    const GET_NEGOTIATED_GROUP: c_int = 134;
    // SAFETY: as promised by the caller.
    unsafe {
        match c_int::try_from(openssl_sys::SSL_ctrl(ssl, GET_NEGOTIATED_GROUP, 0, ptr::null_mut())) {
            Ok(group) if group > 0 => SSL_group_to_name(ssl, group),
            _ => ptr::null(),
        }
    }
}

/// Whether the buffers for records stay when they are empty. If not, they are given back at once; those that hold a
/// part of a record, when OpenSSL is done with it.
///
/// # Safety
/// `ssl` is a live connection.
pub(super) unsafe fn keep_buffers(ssl: *mut SSL, keep: bool) {
    /// SSL_set_mode(3) and SSL_clear_mode(3), macros in C.
    const SET_MODE: c_int = 33;
    const CLEAR_MODE: c_int = 78;
    let mode = openssl_sys::SSL_MODE_RELEASE_BUFFERS;
    // SAFETY: as promised by the caller. Buffers are freed only when no byte of a record is in them: OpenSSL before
    // 3.0.14 does not see that for itself (CVE-2024-4741).
    unsafe {
        if keep {
            openssl_sys::SSL_ctrl(ssl, CLEAR_MODE, mode, ptr::null_mut());
            return;
        }
        openssl_sys::SSL_ctrl(ssl, SET_MODE, mode, ptr::null_mut());
        if openssl_sys::SSL_pending(ssl) == 0 && CStr::from_ptr(SSL_rstate_string(ssl)) == c"RH" {
            SSL_free_buffers(ssl);
        }
    }
}

/// Whether a client of TLS 1.2 offers a suite with this kind of proof.
///
/// # Safety
/// `ssl` is a live connection that has read its ClientHello.
pub(super) unsafe fn offers_suites_of(ssl: *mut SSL, auth: c_int) -> bool {
    // SAFETY: the list belongs to the connection, or is NULL, of which the count is -1; `i` is below the count.
    unsafe {
        let suites = SSL_get_client_ciphers(ssl);
        (0..openssl_sys::OPENSSL_sk_num(suites.cast())).any(|i| {
            let suite = openssl_sys::OPENSSL_sk_value(suites.cast(), i).cast::<SSL_CIPHER>();
            SSL_CIPHER_get_auth_nid(suite) == auth
        })
    }
}

/// Whether a client of TLS 1.2 takes signatures of a kind that its suites do not tell from another (RFC 8446 4.2.3);
/// SSL_check_chain(3) does not look.
///
/// # Safety
/// `ssl` is a live connection that has read its ClientHello.
pub(super) unsafe fn offers_signatures_of(ssl: *mut SSL, kind: KeyKind) -> bool {
    let wanted: &[u16] = match kind {
        KeyKind::EdDsa => &[0x0807, 0x0808],
        KeyKind::RsaPss => &[0x0809, 0x080a, 0x080b],
        KeyKind::Rsa | KeyKind::Ecdsa | KeyKind::Newer => return true,
    };
    let none = ptr::null_mut();
    // SAFETY: as promised by the caller; only the count is asked for.
    let count = unsafe { SSL_get_sigalgs(ssl, -1, none, none, none, ptr::null_mut(), ptr::null_mut()) };
    (0..count).any(|i| {
        let (mut low, mut high) = (0, 0);
        // SAFETY: as above; `i` is below the count, and there are places for two bytes.
        unsafe { SSL_get_sigalgs(ssl, i, none, none, none, &mut low, &mut high) };
        wanted.contains(&u16::from_be_bytes([high, low]))
    })
}

/// A new key on P-256, or NULL.
pub(super) fn new_p256_key() -> *mut EVP_PKEY {
    // SAFETY: the default library context and properties; the curve's name follows as "EC" asks for
    // (EVP_PKEY_Q_keygen(3)).
    unsafe { openssl_sys::EVP_PKEY_Q_keygen(ptr::null_mut(), ptr::null(), c"EC".as_ptr(), c"P-256".as_ptr()) }
}

/// Puts the secret of a ticket's seal into its context.
///
/// # Safety
/// `mac` is the live context that the callback for tickets was given.
pub(super) unsafe fn set_ticket_mac(mac: *mut TicketMac, secret: &[u8]) -> bool {
    // SAFETY: as promised by the caller; the parameters and what they point to outlive the call that copies them
    // (their `mut` is C's: setting only reads).
    unsafe {
        let digest = c"SHA256".as_ptr().cast_mut();
        let params = [
            openssl_sys::OSSL_PARAM_construct_octet_string(
                c"key".as_ptr(),
                secret.as_ptr().cast_mut().cast(),
                secret.len(),
            ),
            OSSL_PARAM_construct_utf8_string(c"digest".as_ptr(), digest, 0),
            openssl_sys::OSSL_PARAM_construct_end(),
        ];
        openssl_sys::EVP_MAC_CTX_set_params(mac, params.as_ptr()) == 1
    }
}

/// Names in certificates do not match by a "*" within a label.
///
/// # Safety
/// `param` is alive and not shared.
pub(super) unsafe fn no_partial_wildcards(param: *mut X509_VERIFY_PARAM) {
    // SAFETY: as promised by the caller.
    unsafe {
        openssl_sys::X509_VERIFY_PARAM_set_hostflags(param, openssl_sys::X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    }
}

/// The string of an entry of subjectAltName.
///
/// # Safety
/// The entry is of a kind that holds a string.
pub(super) unsafe fn string_of(entry: &GENERAL_NAME) -> *mut ASN1_STRING {
    entry.d.cast()
}
