//! Which issuers are believed, and what they have revoked.

use openssl_sys as ffi;

use super::handle::{Cert, Crl, Store, no_memory};
use super::{clear_errors, decl, drain_errors};
use crate::error::{Error, Result};

/// Where distributions keep the issuers that they believe, in one file each. An OpenSSL of our own inside the library was
/// compiled for a directory that none of them fills.
#[cfg(any(feature = "vendored", feature = "aws-lc"))]
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL and their kin
    "/etc/ssl/ca-bundle.pem",             // SUSE
    "/etc/ssl/cert.pem",                  // Alpine
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
        // Whoever names a file of their own means it instead of the system's, with every OpenSSL.
        #[cfg(any(feature = "vendored", feature = "aws-lc"))]
        if crate::sys::terminal::variable(c"SSL_CERT_FILE").is_none() {
            self.add_bundle(&BUNDLES)?;
        }
        Ok(())
    }

    /// Believes what the first of these files that is there lists.
    #[cfg(any(feature = "vendored", feature = "aws-lc"))]
    fn add_bundle(&mut self, candidates: &[&str]) -> Result<()> {
        let first = candidates.iter().find_map(|path| Some((path, std::fs::read(path).ok()?)));
        let Some((path, pem)) = first else { return Ok(()) };
        super::certs_from_pem(&pem, path)?.iter().try_for_each(|cert| self.add_issuer(cert))
    }

    /// Believes one certificate, also if it is no root: what the host names is an end of the chain.
    pub(crate) fn add(&mut self, cert: &Cert) -> Result<()> {
        self.add_issuer(cert)?;
        self.set_flags(ffi::X509_V_FLAG_PARTIAL_CHAIN)
    }

    fn add_issuer(&mut self, cert: &Cert) -> Result<()> {
        clear_errors();
        // SAFETY: both are alive; the store takes a reference of its own and is not shared yet.
        ok(unsafe { ffi::X509_STORE_add_cert(self.as_ptr(), cert.as_ptr()) }, "a trusted certificate")
    }

    /// Refuses what the list revokes, and every certificate whose issuer has no list that is up to date.
    pub(crate) fn add_crl(&mut self, crl: &Crl) -> Result<()> {
        clear_errors();
        // SAFETY: both are alive; the store takes a reference of its own and is not shared yet.
        ok(unsafe { decl::X509_STORE_add_crl(self.as_ptr(), crl.as_ptr()) }, "a revocation list")?;
        self.set_flags(ffi::X509_V_FLAG_CRL_CHECK | ffi::X509_V_FLAG_CRL_CHECK_ALL)
    }

    fn set_flags(&mut self, flags: decl::VerifyFlags) -> Result<()> {
        // SAFETY: a live store that is not shared yet.
        ok(unsafe { decl::X509_STORE_set_flags(self.as_ptr(), flags) }, "a trust store")
    }
}

fn ok(done: std::ffi::c_int, what: &str) -> Result<()> {
    if done == 1 { Ok(()) } else { Err(Error::tls(what, drain_errors())) }
}

#[cfg(all(test, any(feature = "vendored", feature = "aws-lc")))]
mod tests {
    use super::super::Issued;
    use super::*;

    fn believed(store: &Store) -> i64 {
        // SAFETY: a live store that no other thread knows; what is counted stays its own.
        let count = unsafe { ffi::OPENSSL_sk_num(ffi::X509_STORE_get0_objects(store.as_ptr()).cast()) };
        count.try_into().unwrap()
    }

    #[test]
    fn a_builtin_openssl_believes_the_first_list_that_a_distribution_keeps() {
        let path = std::env::temp_dir().join(format!("tlsloop-bundle-{}", std::process::id()));
        let list = [Issued::root("one").cert_pem(), Issued::root("two").cert_pem()].concat();
        std::fs::write(&path, list).unwrap();
        let mut store = Store::new().unwrap();
        store.add_bundle(&["/nowhere/list", path.to_str().unwrap(), "/nowhere/else"]).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(believed(&store), 2);
        store.add_bundle(&["/nowhere/list"]).unwrap();
        assert_eq!(believed(&store), 2);
    }
}
