//! For the harnesses in `fuzz/`: what files hold in good order, made here so that no key is ever kept. Only with the
//! feature `fuzzing`.

use crate::tls::raw::{Issued, Wish};

/// Texts in PEM and a response in DER that belong together.
pub struct Samples {
    /// Of the issuer.
    pub authority: Vec<u8>,
    /// A certificate of its, and its own.
    pub chain: Vec<u8>,
    /// The key of the certificate.
    pub key: Vec<u8>,
    /// The same, opened by [`PASSWORD`].
    pub locked_key: Vec<u8>,
    /// The issuer's list; it revokes another certificate.
    pub revoked: Vec<u8>,
    /// "Good", of the certificate.
    pub staple: Vec<u8>,
}

/// What opens the locked key.
pub const PASSWORD: &str = "open, sesame";

/// A new issuer and what it has issued.
pub fn samples() -> Samples {
    let issuer = Issued::root("an issuer");
    let leaf = issuer.issue(Wish { dns: &["localhost", "*.test"], ..Wish::default() });
    let other = issuer.issue(Wish::default());
    Samples {
        authority: issuer.cert_pem(),
        chain: leaf.chain_pem(),
        key: leaf.key_pem(None),
        locked_key: leaf.key_pem(Some(PASSWORD)),
        revoked: issuer.crl_pem(&[&other]),
        staple: issuer.ocsp_der(&leaf, 24 * 60 * 60),
    }
}
