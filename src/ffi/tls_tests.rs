//! The policy through its C functions: what is wrong is named, and what is right arrives.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use super::super::error::tlsloop_last_error;
use super::super::tls_protocol::*;
use super::super::tls_trust::*;
use super::*;
use crate::tls::raw::{Issued, Wish};

fn last_error() -> String {
    // SAFETY: never NULL, always terminated, and copied at once.
    unsafe { CStr::from_ptr(tlsloop_last_error()) }.to_str().unwrap().to_owned()
}

/// A policy that is freed at the end of the test.
struct Handle(*mut tlsloop_tls);

impl Handle {
    fn new() -> Handle {
        Handle(tlsloop_tls_new())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { tlsloop_tls_free(self.0) }
    }
}

const NONE: *const c_char = ptr::null();

/// Calls every function that changes a policy, with `text` for each text and path.
fn call_all(tls: *mut tlsloop_tls, text: *const c_char) -> Vec<(&'static str, c_int)> {
    let paths = [text];
    let (bytes, len) = (text.cast::<c_void>(), usize::from(!text.is_null()));
    // SAFETY: `text` is NULL or a C string, of which one byte is read as bytes; `paths` has one member.
    unsafe {
        vec![
            ("chain_pem", tlsloop_tls_add_certificate_file(tls, text, text)),
            ("chain", tlsloop_tls_add_certificate(tls, bytes, len, bytes, len)),
            ("names", tlsloop_tls_add_self_signed(tls, text)),
            ("der", tlsloop_tls_set_ocsp_file(tls, text)),
            ("ca_pem", tlsloop_tls_set_trust(tls, bytes, len)),
            ("crl_pem", tlsloop_tls_set_crl_file(tls, text)),
            ("verify", tlsloop_tls_set_verify(tls, 7)),
            ("sha256_hex", tlsloop_tls_set_pin(tls, text)),
            ("min", tlsloop_tls_set_versions(tls, 0x0302, TLSLOOP_TLS1_3)),
            ("max", tlsloop_tls_set_versions(tls, TLSLOOP_TLS1_2, 0)),
            ("groups", tlsloop_tls_set_groups(tls, text)),
            ("comma_separated", tlsloop_tls_set_alpn(tls, text, 1)),
            ("paths", tlsloop_tls_set_ticket_key_files(tls, paths.as_ptr(), 1)),
            ("path", tlsloop_tls_set_keylog_file(tls, text)),
        ]
    }
}

#[test]
fn a_missing_value_is_named() {
    let tls = Handle::new();
    for (name, code) in call_all(tls.0, NONE) {
        assert_eq!(code, TLSLOOP_EINVAL, "{name}");
    }
    assert_eq!(last_error(), "path is NULL");
    // SAFETY: NULL is allowed everywhere.
    unsafe {
        tlsloop_tls_add_certificate_file(tls.0, c"x".as_ptr(), NONE);
        assert_eq!(last_error(), "key_pem is NULL");
        tlsloop_tls_set_ticket_key_files(tls.0, [NONE].as_ptr(), 1);
        assert_eq!(last_error(), "paths[0] is NULL");
        tlsloop_tls_set_verify(tls.0, 7);
        assert_eq!(last_error(), "verify is 7, which is none of TLSLOOP_VERIFY_*");
        tlsloop_tls_set_versions(tls.0, TLSLOOP_TLS1_2, 0);
        assert_eq!(last_error(), "max is 0x0, neither TLSLOOP_TLS1_2 nor TLSLOOP_TLS1_3");
    }
}

#[test]
fn without_a_policy_there_is_nothing_to_change() {
    let none = ptr::null_mut();
    for (name, code) in call_all(none, c"x".as_ptr()) {
        assert_eq!(code, TLSLOOP_EINVAL, "{name}");
    }
    // SAFETY: NULL is allowed everywhere.
    unsafe {
        assert_eq!(tlsloop_tls_set_key_password(none, NONE), TLSLOOP_EINVAL);
        assert_eq!(last_error(), "tls is NULL");
        assert_eq!(tlsloop_tls_set_ciphers(none, NONE, NONE), TLSLOOP_EINVAL);
        assert_eq!(tlsloop_tls_set_trust_file(none, NONE), TLSLOOP_EINVAL);
        tlsloop_tls_free(none);
    }
}

#[test]
fn what_may_be_null_may_be_null() {
    let tls = Handle::new();
    // SAFETY: NULL is allowed everywhere.
    unsafe {
        assert_eq!(tlsloop_tls_set_key_password(tls.0, NONE), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_trust_file(tls.0, NONE), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_ciphers(tls.0, NONE, NONE), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_trust(tls.0, ptr::null(), 0), TLSLOOP_EINVAL);
        assert_eq!(last_error(), "ca_pem is empty");
    }
}

#[test]
fn what_is_right_arrives() {
    let root = Issued::root("root");
    let leaf = root.issue(Wish::default());
    let (chain, key) = (leaf.chain_pem(), leaf.key_pem(Some("sesame \u{e9}")));
    let password = CString::new("sesame \u{e9}").unwrap();
    let tls = Handle::new();
    // SAFETY: C strings, and bytes with their lengths.
    unsafe {
        let (chain, chain_len) = (chain.as_ptr().cast(), chain.len());
        let (key, key_len) = (key.as_ptr().cast(), key.len());
        assert_eq!(tlsloop_tls_add_certificate(tls.0, chain, chain_len, key, key_len), TLSLOOP_ETLS);
        assert!(last_error().starts_with("key: the key is encrypted"), "{}", last_error());
        assert_eq!(tlsloop_tls_set_key_password(tls.0, password.as_ptr()), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_add_certificate(tls.0, chain, chain_len, key, key_len), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_versions(tls.0, TLSLOOP_TLS1_3, TLSLOOP_TLS1_3), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_alpn(tls.0, c"h2,http/1.1".as_ptr(), 0), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_groups(tls.0, c"P-256".as_ptr()), TLSLOOP_OK);
        assert_eq!(tlsloop_tls_set_verify(tls.0, TLSLOOP_VERIFY_NONE), TLSLOOP_OK);
        let policy = policy(tls.0).unwrap();
        policy.server_context().unwrap();
        for (name, code) in call_all(tls.0, c"/x".as_ptr()) {
            let expected = if matches!(name, "verify" | "min" | "max") { TLSLOOP_EINVAL } else { TLSLOOP_ESTATE };
            assert_eq!(code, expected, "{name}: {}", last_error());
        }
    }
}
