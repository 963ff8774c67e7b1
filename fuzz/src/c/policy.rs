//! A `tlsloop_tls`, as C programs fill it.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use tlsloop::ffi::tls::*;
use tlsloop::ffi::tls_protocol::*;
use tlsloop::ffi::tls_trust::*;
use tlsloop::ffi::types::*;

/// A policy of our own.
pub struct Tls(*mut tlsloop_tls);

impl Default for Tls {
    fn default() -> Tls {
        Tls::new()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // SAFETY: made by `tlsloop_tls_new`, and not freed before.
        unsafe { tlsloop_tls_free(self.0) };
    }
}

/// A C string of what stands before the first zero.
pub fn text(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

fn pointer(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}

// SAFETY of all calls below: the handle is alive; texts and ranges outlive the call.
impl Tls {
    /// An empty one.
    pub fn new() -> Tls {
        let raw = tlsloop_tls_new();
        assert!(!raw.is_null());
        Tls(raw)
    }

    /// For calls that take it.
    pub(super) fn raw(&self) -> *mut tlsloop_tls {
        self.0
    }

    /// The same, for a configuration; it must not outlive this.
    pub fn for_config(&self) -> *mut tlsloop_tls {
        self.0
    }

    /// tlsloop_tls_set_key_password()
    pub fn set_key_password(&self, password: Option<&CStr>) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_key_password(self.0, pointer(password)) }
    }

    /// tlsloop_tls_add_certificate()
    pub fn add_certificate(&self, chain: &[u8], key: &[u8]) -> c_int {
        // SAFETY: as above.
        unsafe {
            tlsloop_tls_add_certificate(self.0, chain.as_ptr().cast(), chain.len(), key.as_ptr().cast(), key.len())
        }
    }

    /// tlsloop_tls_add_certificate_file()
    pub fn add_certificate_file(&self, chain: &CStr, key: &CStr) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_add_certificate_file(self.0, chain.as_ptr(), key.as_ptr()) }
    }

    /// tlsloop_tls_add_self_signed()
    pub fn add_self_signed(&self, names: &CStr) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_add_self_signed(self.0, names.as_ptr()) }
    }

    /// tlsloop_tls_set_ocsp_file()
    pub fn set_ocsp_file(&self, der: &CStr) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_ocsp_file(self.0, der.as_ptr()) }
    }

    /// tlsloop_tls_set_trust()
    pub fn set_trust(&self, pem: &[u8]) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_trust(self.0, pem.as_ptr().cast(), pem.len()) }
    }

    /// tlsloop_tls_set_trust_file()
    pub fn set_trust_file(&self, pem: Option<&CStr>) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_trust_file(self.0, pointer(pem)) }
    }

    /// tlsloop_tls_set_crl_file()
    pub fn set_crl_file(&self, pem: &CStr) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_crl_file(self.0, pem.as_ptr()) }
    }

    /// tlsloop_tls_set_verify()
    pub fn set_verify(&self, verify: c_int) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_verify(self.0, verify) }
    }

    /// tlsloop_tls_set_pin()
    pub fn set_pin(&self, hex: &CStr) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_pin(self.0, hex.as_ptr()) }
    }

    /// tlsloop_tls_set_versions()
    pub fn set_versions(&self, min: c_int, max: c_int) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_versions(self.0, min, max) }
    }

    /// tlsloop_tls_set_ciphers()
    pub fn set_ciphers(&self, tls12: Option<&CStr>, tls13: Option<&CStr>) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_ciphers(self.0, pointer(tls12), pointer(tls13)) }
    }

    /// tlsloop_tls_set_groups()
    pub fn set_groups(&self, groups: &CStr) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_groups(self.0, groups.as_ptr()) }
    }

    /// tlsloop_tls_set_alpn()
    pub fn set_alpn(&self, protocols: &CStr, required: bool) -> c_int {
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_alpn(self.0, protocols.as_ptr(), required.into()) }
    }

    /// tlsloop_tls_set_ticket_key_files()
    pub fn set_ticket_key_files(&self, paths: &[&CStr]) -> c_int {
        let paths: Vec<_> = paths.iter().map(|path| path.as_ptr()).collect();
        // SAFETY: as above.
        unsafe { tlsloop_tls_set_ticket_key_files(self.0, paths.as_ptr(), paths.len()) }
    }
}
