//! C functions of OpenSSL 3.0 that openssl-sys does not declare, as `openssl/ssl.h`, `tls1.h`, `x509.h`,
//! `x509_vfy.h`, `ocsp.h` and `params.h` give them.
#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

use openssl_sys::{
    ASN1_GENERALIZEDTIME, ASN1_INTEGER, ASN1_OBJECT, ASN1_OCTET_STRING, BIO, EVP_CIPHER_CTX, EVP_MAC_CTX, EVP_PKEY,
    OCSP_BASICRESP, OCSP_CERTID, OSSL_PARAM, SSL, SSL_CIPHER, SSL_CTX, SSL_SESSION, X509, X509_CRL, X509_NAME,
    X509_STORE, X509_STORE_CTX, stack_st_SSL_CIPHER, stack_st_X509,
};

pub(super) type CertCb = unsafe extern "C" fn(*mut SSL, *mut c_void) -> c_int;
pub(super) type CertVerifyCb = unsafe extern "C" fn(*mut X509_STORE_CTX, *mut c_void) -> c_int;
pub(super) type TicketKeyCb =
    unsafe extern "C" fn(*mut SSL, *mut u8, *mut u8, *mut EVP_CIPHER_CTX, *mut EVP_MAC_CTX, c_int) -> c_int;

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
    pub(super) fn SSL_CTX_set_cert_verify_callback(ctx: *mut SSL_CTX, cb: Option<CertVerifyCb>, arg: *mut c_void);
    pub(super) fn SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx: *mut SSL_CTX, cb: Option<TicketKeyCb>) -> c_int;
    pub(super) fn SSL_CTX_get_ciphers(ctx: *const SSL_CTX) -> *mut stack_st_SSL_CIPHER;
    pub(super) fn SSL_CTX_add1_to_CA_list(ctx: *mut SSL_CTX, x: *const X509) -> c_int;
    pub(super) fn SSL_get_client_ciphers(ssl: *const SSL) -> *mut stack_st_SSL_CIPHER;
    pub(super) fn SSL_CIPHER_get_auth_nid(cipher: *const SSL_CIPHER) -> c_int;
    pub(super) fn SSL_check_chain(ssl: *mut SSL, x: *mut X509, key: *mut EVP_PKEY, chain: *mut stack_st_X509) -> c_int;
    pub(super) fn SSL_free_buffers(ssl: *mut SSL) -> c_int;
    pub(super) fn SSL_rstate_string(ssl: *const SSL) -> *const c_char;
    pub(super) fn SSL_get_servername(ssl: *const SSL, kind: c_int) -> *const c_char;
    pub(super) fn SSL_group_to_name(ssl: *mut SSL, id: c_int) -> *const c_char;
    pub(super) fn SSL_SESSION_dup(session: *const SSL_SESSION) -> *mut SSL_SESSION;
    pub(super) fn SSL_SESSION_is_resumable(session: *const SSL_SESSION) -> c_int;

    pub(super) fn SSL_SESSION_get0_hostname(session: *const SSL_SESSION) -> *const c_char;
    pub(super) fn SSL_get1_session(ssl: *mut SSL) -> *mut SSL_SESSION;
    pub(super) fn SSL_CTX_set_session_ticket_cb(
        ctx: *mut SSL_CTX,
        made: *const c_void,
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
    pub(super) fn OSSL_PARAM_construct_utf8_string(key: *const c_char, text: *mut c_char, size: usize) -> OSSL_PARAM;

    pub(super) fn X509_check_private_key(x: *const X509, key: *const EVP_PKEY) -> c_int;
    pub(super) fn X509_STORE_add_crl(store: *mut X509_STORE, crl: *mut X509_CRL) -> c_int;
    pub(super) fn X509_STORE_CTX_get0_cert(ctx: *const X509_STORE_CTX) -> *mut X509;
    pub(super) fn X509_NAME_print_ex(out: *mut BIO, name: *const X509_NAME, indent: c_int, flags: c_ulong) -> c_int;
    pub(super) fn X509_NAME_get_text_by_NID(name: *const X509_NAME, nid: c_int, buf: *mut c_char, len: c_int) -> c_int;
    pub(super) fn X509_get0_serialNumber(x: *const X509) -> *const ASN1_INTEGER;
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
