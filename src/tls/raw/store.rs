//! Which issuers are believed, and what they have revoked.

use std::ffi::{CStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use openssl_sys as ffi;

use super::handle::{Cert, Crl, Store, no_memory};
use super::{clear_errors, decl, drain_errors};
use crate::error::{Error, Result};
use crate::sys::terminal;

/// Where distributions have the certificates that they believe, all in one file: Debian and Alpine, Fedora, SUSE,
/// others.
const BUNDLES: [&CStr; 4] = [
    c"/etc/ssl/certs/ca-certificates.crt",
    c"/etc/pki/tls/certs/ca-bundle.crt",
    c"/etc/ssl/ca-bundle.pem",
    c"/etc/ssl/cert.pem",
];

impl Store {
    /// An empty store.
    pub(crate) fn new() -> Result<Store> {
        super::init();
        clear_errors();
        // SAFETY: a new store, owned by nobody yet.
        unsafe { Store::own(ffi::X509_STORE_new()) }.ok_or_else(|| no_memory("a trust store"))
    }

    /// Believes the issuers that this machine believes.
    pub(crate) fn add_system(&mut self) -> Result<()> {
        clear_errors();
        // SAFETY: a live store that is not shared yet.
        ok(unsafe { ffi::X509_STORE_set_default_paths(self.as_ptr()) }, "the system's trust store")?;
        let Some(bundle) = bundle_elsewhere() else { return Ok(()) };
        // SAFETY: as above, and a C string that is read during the call.
        let done = unsafe { decl::X509_STORE_load_file(self.as_ptr(), bundle.as_ptr()) };
        ok(done, &bundle.to_string_lossy())
    }

    /// Believes one certificate, also if it is no root: what the host names is an end of the chain.
    pub(crate) fn add(&mut self, cert: &Cert) -> Result<()> {
        clear_errors();
        // SAFETY: both are alive; the store takes a reference of its own and is not shared yet.
        let done = unsafe { ffi::X509_STORE_add_cert(self.as_ptr(), cert.as_ptr()) };
        ok(done, "a trusted certificate")?;
        self.set_flags(ffi::X509_V_FLAG_PARTIAL_CHAIN)
    }

    /// Refuses what the list revokes, and every certificate whose issuer has no list that is up to date.
    pub(crate) fn add_crl(&mut self, crl: &Crl) -> Result<()> {
        clear_errors();
        // SAFETY: both are alive; the store takes a reference of its own and is not shared yet.
        ok(unsafe { decl::X509_STORE_add_crl(self.as_ptr(), crl.as_ptr()) }, "a revocation list")?;
        self.set_flags(ffi::X509_V_FLAG_CRL_CHECK | ffi::X509_V_FLAG_CRL_CHECK_ALL)
    }

    fn set_flags(&mut self, flags: std::ffi::c_ulong) -> Result<()> {
        // SAFETY: a live store that is not shared yet.
        ok(unsafe { ffi::X509_STORE_set_flags(self.as_ptr(), flags) }, "a trust store")
    }
}

/// The distribution's certificates, if OpenSSL looks where there are none: one that was built in has places of its own,
/// below /usr/local. Whoever names others in the environment has decided.
fn bundle_elsewhere() -> Option<&'static CStr> {
    // SAFETY: static strings of the library.
    let [file_env, dir_env, file, dir] = unsafe {
        [
            static_text(ffi::X509_get_default_cert_file_env()),
            static_text(ffi::X509_get_default_cert_dir_env()),
            static_text(ffi::X509_get_default_cert_file()),
            static_text(ffi::X509_get_default_cert_dir()),
        ]
    };
    let is_decided = [file_env, dir_env].into_iter().any(|name| terminal::variable(name).is_some());
    let has_entries = || path(dir).read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if is_decided || path(file).exists() || has_entries() {
        return None;
    }
    BUNDLES.into_iter().find(|bundle| path(bundle).exists())
}

fn path(text: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(text.to_bytes()))
}

/// # Safety
/// `text` is a C string that lives as long as the process.
unsafe fn static_text(text: *const c_char) -> &'static CStr {
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(text) }
}

fn ok(done: std::ffi::c_int, what: &str) -> Result<()> {
    if done == 1 { Ok(()) } else { Err(Error::tls(what, drain_errors())) }
}
