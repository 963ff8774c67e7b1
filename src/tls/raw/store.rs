//! Which issuers are believed, and what they have revoked.

use openssl_sys as ffi;

use super::handle::{Cert, Crl, Store, no_memory};
use super::{clear_errors, decl, drain_errors};
use crate::error::{Error, Result};

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
        ok(unsafe { ffi::X509_STORE_set_default_paths(self.as_ptr()) }, "the system's trust store")
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

fn ok(done: std::ffi::c_int, what: &str) -> Result<()> {
    if done == 1 { Ok(()) } else { Err(Error::tls(what, drain_errors())) }
}
