//! For tests and fuzzers: an issuer of certificates, revocation lists and OCSP responses, all made in memory.

use std::ffi::{c_int, c_long, c_uchar, c_void};
use std::ptr;

use openssl_sys as ffi;

use super::decl::testing;
use super::handle::{Cert, Crl, Key, MemBio, OcspBasic, OcspResponse};
use super::issue::{SubjectName, alt_names, extend, random_serial, yes};
use super::x509::KeyKind;
use super::{clear_errors, decl, init};

const DAY: c_long = 24 * 60 * 60;

/// A certificate with its key, and that of its issuer.
pub(crate) struct Issued {
    pub(crate) cert: Cert,
    key: Key,
    issuer: Option<Cert>,
}

/// How a certificate is to be.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) dns: &'a [&'a str],
    pub(crate) kind: KeyKind,
    /// First and last day, from now.
    pub(crate) days: (c_long, c_long),
    /// Seconds from now, instead of the last day.
    pub(crate) ends_in: Option<c_long>,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Wish { common_name: "somebody", dns: &[], kind: KeyKind::Ecdsa, days: (-1, 30), ends_in: None }
    }
}

/// A key of the kind.
fn new_key(kind: KeyKind) -> Key {
    init();
    let key = match kind {
        KeyKind::Rsa => testing::new_rsa_key(2048),
        KeyKind::EdDsa => testing::new_ed25519_key(),
        _ => decl::new_p256_key(),
    };
    // SAFETY: new, and owned by nobody else.
    unsafe { Key::own(key) }.unwrap()
}

/// A new certificate, not yet signed.
fn draft(wish: Wish<'_>, key: &Key) -> Cert {
    // SAFETY: new objects of our own, the arguments as the calls ask for them.
    unsafe {
        let cert = Cert::own(ffi::X509_new()).unwrap();
        let x = cert.as_ptr();
        yes(ffi::X509_set_version(x, 2)).unwrap();
        yes(ffi::ASN1_INTEGER_set(ffi::X509_get_serialNumber(x), random_serial().unwrap())).unwrap();
        ffi::X509_gmtime_adj(ffi::X509_getm_notBefore(x), wish.days.0 * DAY);
        ffi::X509_gmtime_adj(ffi::X509_getm_notAfter(x), wish.ends_in.unwrap_or(wish.days.1 * DAY));
        yes(ffi::X509_set_pubkey(x, key.as_ptr())).unwrap();
        let (name, text) = (ffi::X509_get_subject_name(x), wish.common_name);
        let len = text.len() as c_int;
        let (kind, at) = (ffi::NID_commonName, text.as_ptr());
        yes(decl::X509_NAME_add_entry_by_NID(name, kind, ffi::MBSTRING_UTF8, at, len, -1, 0)).unwrap();
        cert
    }
}

/// RFC 5280 4.2.1.9 and 4.2.1.3: cA TRUE; keyCertSign and cRLSign and digitalSignature.
fn let_issue(cert: &Cert) {
    extend(cert, ffi::NID_basic_constraints, true, &[0x30, 3, 1, 1, 0xff]).unwrap();
    extend(cert, ffi::NID_key_usage, true, &[3, 2, 1, 0x86]).unwrap();
}

fn sign(cert: &Cert, issuer: &Cert, key: &Key) {
    // SAFETY: live objects; Ed25519 has its digest built in, which NULL says.
    unsafe {
        yes(ffi::X509_set_issuer_name(cert.as_ptr(), ffi::X509_get_subject_name(issuer.as_ptr()))).unwrap();
        assert!(ffi::X509_sign(cert.as_ptr(), key.as_ptr(), ffi::EVP_sha256()) > 0);
    }
}

impl Issued {
    /// A root.
    pub(crate) fn root(common_name: &str) -> Issued {
        let key = new_key(KeyKind::Ecdsa);
        let cert = draft(Wish { common_name, ..Wish::default() }, &key);
        let_issue(&cert);
        sign(&cert, &cert, &key);
        Issued { cert, key, issuer: None }
    }

    /// An issuer below this one.
    pub(crate) fn issue_issuer(&self, common_name: &str) -> Issued {
        let key = new_key(KeyKind::Ecdsa);
        let cert = draft(Wish { common_name, ..Wish::default() }, &key);
        let_issue(&cert);
        sign(&cert, &self.cert, &self.key);
        Issued { cert, key, issuer: Some(self.cert.clone()) }
    }

    /// A leaf that this one signs.
    pub(crate) fn issue(&self, wish: Wish<'_>) -> Issued {
        let key = new_key(wish.kind);
        let cert = draft(wish, &key);
        let names: Vec<_> = wish.dns.iter().map(|name| SubjectName::Dns((*name).to_owned())).collect();
        if !names.is_empty() {
            extend(&cert, ffi::NID_subject_alt_name, false, &alt_names(&names)).unwrap();
        }
        sign(&cert, &self.cert, &self.key);
        Issued { cert, key, issuer: Some(self.cert.clone()) }
    }

    /// A leaf whose key nobody should use any more.
    pub(crate) fn issue_weak(&self) -> Issued {
        // SAFETY: new, and owned by nobody else.
        let key = unsafe { Key::own(testing::new_rsa_key(1024)).unwrap() };
        let cert = draft(Wish::default(), &key);
        sign(&cert, &self.cert, &self.key);
        Issued { cert, key, issuer: Some(self.cert.clone()) }
    }

    /// The certificate alone.
    pub(crate) fn cert_pem(&self) -> Vec<u8> {
        let out = MemBio::collector().unwrap();
        // SAFETY: live objects.
        unsafe { yes(ffi::PEM_write_bio_X509(out.as_ptr(), self.cert.as_ptr())) }.unwrap();
        out.bytes()
    }

    /// The certificate and its issuer.
    pub(crate) fn chain_pem(&self) -> Vec<u8> {
        let out = MemBio::collector().unwrap();
        if let Some(issuer) = &self.issuer {
            // SAFETY: live objects.
            unsafe { yes(ffi::PEM_write_bio_X509(out.as_ptr(), issuer.as_ptr())) }.unwrap();
        }
        [self.cert_pem(), out.bytes()].concat()
    }

    /// The key, encrypted if there is a password.
    pub(crate) fn key_pem(&self, password: Option<&str>) -> Vec<u8> {
        let out = MemBio::collector().unwrap();
        let none = ptr::null_mut::<c_void>();
        let (text, len) = password.map_or((ptr::null(), 0), |text| (text.as_ptr(), text.len()));
        // SAFETY: live objects, and `len` bytes of password where a cipher is named.
        let done = unsafe {
            let cipher = if password.is_some() { ffi::EVP_aes_256_cbc() } else { ptr::null() };
            let (bio, key) = (out.as_ptr(), self.key.as_ptr());
            ffi::PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, text.cast(), len as c_int, None, none)
        };
        yes(done).unwrap();
        out.bytes()
    }

    /// A list that revokes these, in PEM.
    pub(crate) fn crl_pem(&self, revoked: &[&Issued]) -> Vec<u8> {
        self.crl_pem_until(revoked, DAY)
    }

    /// The same, up to date for so many seconds.
    pub(crate) fn crl_pem_until(&self, revoked: &[&Issued], until: c_long) -> Vec<u8> {
        // SAFETY: new objects of our own; a revoked entry passes to the list.
        unsafe {
            let crl = Crl::own(ffi::X509_CRL_new()).unwrap();
            let (list, now) = (crl.as_ptr(), time(0));
            yes(ffi::X509_CRL_set_version(list, 1)).unwrap();
            yes(ffi::X509_CRL_set_issuer_name(list, ffi::X509_get_subject_name(self.cert.as_ptr()))).unwrap();
            let next = time(until);
            yes(ffi::X509_CRL_set1_lastUpdate(list, now)).unwrap();
            yes(ffi::X509_CRL_set1_nextUpdate(list, next)).unwrap();
            for one in revoked {
                let entry = ffi::X509_REVOKED_new();
                let serial = ffi::X509_get_serialNumber(one.cert.as_ptr());
                yes(ffi::X509_REVOKED_set_serialNumber(entry, serial)).unwrap();
                yes(ffi::X509_REVOKED_set_revocationDate(entry, now)).unwrap();
                yes(ffi::X509_CRL_add0_revoked(list, entry)).unwrap();
            }
            ffi::ASN1_TIME_free(now);
            ffi::ASN1_TIME_free(next);
            assert!(ffi::X509_CRL_sign(list, self.key.as_ptr(), ffi::EVP_sha256()) > 0);
            let out = MemBio::collector().unwrap();
            yes(ffi::PEM_write_bio_X509_CRL(out.as_ptr(), list)).unwrap();
            out.bytes()
        }
    }

    /// The same with the number of another issuer's certificate. Its own issuer's signature no longer fits.
    pub(crate) fn numbered_like(self, other: &Issued) -> Issued {
        // SAFETY: two live certificates; the number is copied.
        unsafe {
            let number = ffi::X509_get_serialNumber(other.cert.as_ptr());
            yes(ffi::X509_set_serialNumber(self.cert.as_ptr(), number)).unwrap();
        }
        self
    }

    /// "good" for a leaf of this issuer until so many seconds from now, in DER.
    pub(crate) fn ocsp_der(&self, leaf: &Issued, until: c_long) -> Vec<u8> {
        // SAFETY: new objects of our own; the response takes copies.
        unsafe {
            let basic = OcspBasic::own(ffi::OCSP_BASICRESP_new()).unwrap();
            let id = ffi::OCSP_cert_to_id(ptr::null(), leaf.cert.as_ptr(), self.cert.as_ptr());
            let (since, until) = (time(-DAY), time(until));
            let (bare, none) = (basic.as_ptr(), ptr::null_mut());
            assert!(!testing::OCSP_basic_add1_status(bare, id, 0, 0, none, since, until).is_null());
            let (cert, key) = (self.cert.as_ptr(), self.key.as_ptr());
            yes(testing::OCSP_basic_sign(bare, cert, key, ffi::EVP_sha256(), ptr::null_mut(), 0)).unwrap();
            let response = OcspResponse::own(ffi::OCSP_response_create(0, bare)).unwrap();
            ffi::OCSP_CERTID_free(id);
            ffi::ASN1_TIME_free(since);
            ffi::ASN1_TIME_free(until);
            let mut der: *mut c_uchar = ptr::null_mut();
            let len = ffi::i2d_OCSP_RESPONSE(response.as_ptr(), &mut der);
            let bytes = std::slice::from_raw_parts(der, len as usize).to_vec();
            ffi::OPENSSL_free(der.cast());
            clear_errors();
            bytes
        }
    }
}

/// So many seconds from now.
fn time(from_now: c_long) -> *mut ffi::ASN1_TIME {
    // SAFETY: NULL asks for a new object.
    unsafe { ffi::X509_gmtime_adj(ptr::null_mut(), from_now) }
}
