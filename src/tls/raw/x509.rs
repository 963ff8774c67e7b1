//! What a certificate says about itself.

use std::ffi::{c_char, c_int, c_void};
use std::net::IpAddr;
use std::ptr;

use openssl_sys as ffi;

use super::handle::{Cert, Crl, Key, MemBio};
use super::{clear_errors, decl, drain_errors};
use crate::error::{Error, Result};

/// How distinguished names are written: RFC 2253, with control characters escaped, in UTF-8.
const NAME_FLAGS: std::ffi::c_ulong = {
    const ESC_2253: std::ffi::c_ulong = 1;
    const ESC_CTRL: std::ffi::c_ulong = 2;
    const UTF8_CONVERT: std::ffi::c_ulong = 0x10;
    const DUMP_UNKNOWN: std::ffi::c_ulong = 0x100;
    const DUMP_DER: std::ffi::c_ulong = 0x200;
    const SEP_COMMA_PLUS: std::ffi::c_ulong = 1 << 16;
    const DN_REV: std::ffi::c_ulong = 1 << 20;
    const DUMP_UNKNOWN_FIELDS: std::ffi::c_ulong = 1 << 24;
    ESC_2253 | ESC_CTRL | UTF8_CONVERT | DUMP_UNKNOWN | DUMP_DER | SEP_COMMA_PLUS | DN_REV | DUMP_UNKNOWN_FIELDS
};

/// One entry of a certificate's subjectAltName, as its bytes stand there.
pub(crate) enum AltName {
    /// A DNS name.
    Dns(Vec<u8>),
    /// An IP address.
    Ip(IpAddr),
    /// A mail address.
    Email(Vec<u8>),
    /// A URI.
    Uri(Vec<u8>),
}

/// Where the present moment stands against a certificate's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Within the dates.
    Now,
    /// Before `notBefore`.
    NotYet,
    /// After `notAfter`.
    Expired,
}

impl Cert {
    /// Tells this object from others while it lives.
    pub(crate) fn address(&self) -> usize {
        self.as_ptr() as usize
    }

    /// The DER encoding.
    pub(crate) fn der(&self) -> Vec<u8> {
        // SAFETY: a live certificate; NULL asks for the length only, and then there is room for it.
        der_by(|out| unsafe { ffi::i2d_X509(self.as_ptr(), out) })
    }

    /// SHA-256 of the DER encoding; `None` only if OpenSSL has no memory, or no SHA-256.
    pub(crate) fn sha256(&self) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        // SAFETY: a live certificate, and room for the 32 bytes of a SHA-256; the length is not asked.
        let done = unsafe { ffi::X509_digest(self.as_ptr(), ffi::EVP_sha256(), digest.as_mut_ptr(), ptr::null_mut()) };
        if done != 1 {
            clear_errors();
        }
        (done == 1).then_some(digest)
    }

    /// Whom the certificate names, "CN=a,O=b".
    pub(crate) fn subject(&self) -> String {
        // SAFETY: a live certificate, which owns the name.
        self.name_text(unsafe { ffi::X509_get_subject_name(self.as_ptr()) })
    }

    /// How many bytes its name takes in a list of names (RFC 8446 4.2.4).
    pub(crate) fn name_len(&self) -> usize {
        // SAFETY: the name belongs to the live certificate; NULL asks for its length only.
        let len = unsafe { ffi::i2d_X509_NAME(ffi::X509_get_subject_name(self.as_ptr()), ptr::null_mut()) };
        2 + usize::try_from(len).unwrap_or(0)
    }

    /// Who signed it.
    pub(crate) fn issuer(&self) -> String {
        // SAFETY: a live certificate, which owns the name.
        self.name_text(unsafe { ffi::X509_get_issuer_name(self.as_ptr()) })
    }

    /// Writes a name that belongs to this certificate.
    fn name_text(&self, name: *const ffi::X509_NAME) -> String {
        let Ok(out) = MemBio::collector() else { return String::new() };
        // SAFETY: `name` lives as long as `self`, `out` is alive.
        if unsafe { decl::X509_NAME_print_ex(out.as_ptr(), name, 0, NAME_FLAGS) } < 0 {
            clear_errors();
        }
        String::from_utf8_lossy(&out.bytes()).into_owned()
    }

    /// The last common name of the subject; `None` if there is none or it has an embedded zero.
    pub(crate) fn common_name(&self) -> Option<Vec<u8>> {
        let mut text = [0_u8; 256];
        let room = c_int::try_from(text.len()).ok()?;
        // SAFETY: the name belongs to the live certificate, and the call writes at most `room` bytes.
        let len = unsafe {
            let name = ffi::X509_get_subject_name(self.as_ptr());
            decl::X509_NAME_get_text_by_NID(name, ffi::NID_commonName, text.as_mut_ptr().cast::<c_char>(), room)
        };
        let name = text.get(..usize::try_from(len).ok()?)?;
        (!name.is_empty() && !name.contains(&0)).then(|| name.to_vec())
    }

    /// The entries of subjectAltName that name hosts and people; other kinds are left out.
    pub(crate) fn alt_names(&self) -> Vec<AltName> {
        // SAFETY: a live certificate; the answer is a new stack of GENERAL_NAME, or NULL.
        let names = unsafe {
            ffi::X509_get_ext_d2i(self.as_ptr(), ffi::NID_subject_alt_name, ptr::null_mut(), ptr::null_mut())
        };
        if names.is_null() {
            clear_errors();
            return Vec::new();
        }
        // SAFETY: not NULL, so a live stack.
        let count = unsafe { ffi::OPENSSL_sk_num(names.cast()) };
        let found = (0..count)
            // SAFETY: `i` is below the count, and the entries live until the stack is freed below.
            .filter_map(|i| unsafe { alt_name(ffi::OPENSSL_sk_value(names.cast(), i).cast()) })
            .collect();
        // SAFETY: owned here, and not used after this.
        unsafe { decl::OPENSSL_sk_pop_free(names.cast(), Some(free_general_name)) };
        found
    }

    /// How the certificate's dates stand to the clock.
    pub(crate) fn validity(&self) -> Validity {
        // SAFETY: the times belong to the live certificate.
        let (since, until) =
            unsafe { (ffi::X509_getm_notBefore(self.as_ptr()), ffi::X509_getm_notAfter(self.as_ptr())) };
        // SAFETY: as above. A time that cannot be read is one at which the certificate is not valid.
        match unsafe { (seconds_until(since), seconds_until(until)) } {
            (Some(..=0), Some(0..)) => Validity::Now,
            (Some(1..), _) => Validity::NotYet,
            _ => Validity::Expired,
        }
    }

    /// Whether `key` is the private key of this certificate; if not, OpenSSL's words.
    pub(crate) fn check_key(&self, key: &Key) -> std::result::Result<(), String> {
        clear_errors();
        // SAFETY: both are alive.
        match unsafe { decl::X509_check_private_key(self.as_ptr(), key.as_ptr()) } {
            1 => Ok(()),
            _ => Err(drain_errors()),
        }
    }
}

impl Crl {
    /// Until when it is up to date, in seconds since 1970; [`i64::MAX`] if it does not say.
    pub(crate) fn ends_at(&self) -> i64 {
        // SAFETY: the time belongs to the live list.
        unsafe { ends_at(ffi::X509_CRL_get0_nextUpdate(self.as_ptr())) }
    }

    /// The DER encoding.
    pub(crate) fn der(&self) -> Vec<u8> {
        // SAFETY: a live list; NULL asks for the length only, and then there is room for that length.
        der_by(|out| unsafe { ffi::i2d_X509_CRL(self.as_ptr(), out) })
    }
}

/// Asks an encoder for its length, then for its bytes.
fn der_by(encode: impl Fn(*mut *mut u8) -> c_int) -> Vec<u8> {
    let mut der = vec![0; usize::try_from(encode(ptr::null_mut())).unwrap_or(0)];
    if !der.is_empty() {
        let mut end = der.as_mut_ptr();
        encode(&mut end);
    }
    der
}

/// When `time` is, in seconds since 1970; [`i64::MAX`] for NULL, which says "never".
///
/// # Safety
/// `time` is NULL or a live time.
pub(super) unsafe fn ends_at(time: *const ffi::ASN1_TIME) -> i64 {
    if time.is_null() {
        return i64::MAX;
    }
    // SAFETY: as promised by the caller. What cannot be read is over.
    unsafe { seconds_until(time) }.map_or(i64::MIN, |seconds| super::now().saturating_add(seconds))
}

/// How many seconds from now until `time`, negative if it is past; `None` if it cannot be read.
///
/// # Safety
/// `time` is NULL or a live time.
pub(super) unsafe fn seconds_until(time: *const ffi::ASN1_TIME) -> Option<i64> {
    const DAY: i64 = 24 * 60 * 60;
    if time.is_null() {
        return None;
    }
    let (mut days, mut seconds) = (0, 0);
    // SAFETY: as promised by the caller; NULL for the first time means now (ASN1_TIME_diff(3)).
    match unsafe { ffi::ASN1_TIME_diff(&mut days, &mut seconds, ptr::null(), time) } {
        1 => Some(i64::from(days) * DAY + i64::from(seconds)),
        _ => {
            clear_errors();
            None
        }
    }
}

/// Reads one entry; `None` for kinds that name neither host nor person.
///
/// # Safety
/// `entry` is NULL or a live GENERAL_NAME.
unsafe fn alt_name(entry: *const ffi::GENERAL_NAME) -> Option<AltName> {
    // SAFETY: as promised by the caller.
    let entry = unsafe { entry.as_ref()? };
    let kind = entry.type_;
    if !matches!(kind, ffi::GEN_DNS | ffi::GEN_IPADD | ffi::GEN_EMAIL | ffi::GEN_URI) {
        return None;
    }
    // SAFETY: of these kinds the union holds an ASN1_STRING, which owns `len` bytes.
    let bytes = unsafe {
        let text = decl::string_of(entry);
        let len = usize::try_from(ffi::ASN1_STRING_length(text)).ok()?;
        let start = ffi::ASN1_STRING_get0_data(text);
        if start.is_null() { &[][..] } else { std::slice::from_raw_parts(start, len) }
    };
    match kind {
        ffi::GEN_DNS => Some(AltName::Dns(bytes.to_vec())),
        ffi::GEN_EMAIL => Some(AltName::Email(bytes.to_vec())),
        ffi::GEN_URI => Some(AltName::Uri(bytes.to_vec())),
        _ => ip_from(bytes).map(AltName::Ip),
    }
}

/// An address of 4 or 16 bytes in network order.
fn ip_from(bytes: &[u8]) -> Option<IpAddr> {
    let four: std::result::Result<[u8; 4], _> = bytes.try_into();
    let sixteen: std::result::Result<[u8; 16], _> = bytes.try_into();
    four.map(IpAddr::from).or(sixteen.map(IpAddr::from)).ok()
}

/// # Safety
/// `name` is an owned GENERAL_NAME.
unsafe extern "C" fn free_general_name(name: *mut c_void) {
    // SAFETY: as promised by the caller.
    unsafe { ffi::GENERAL_NAME_free(name.cast()) }
}

/// What a key signs with, as far as the choice of a certificate asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyKind {
    /// RSA, signing by PKCS #1 or PSS.
    Rsa,
    /// RSA restricted to PSS.
    RsaPss,
    /// An elliptic curve.
    Ecdsa,
    /// Ed25519 or Ed448.
    EdDsa,
    /// A kind that only TLS 1.3 knows.
    Newer,
}

impl Key {
    /// The kind of the key, or the reason why TLS cannot use it.
    pub(crate) fn kind(&self, source: &str) -> Result<KeyKind> {
        // SAFETY: a live key.
        match unsafe { decl::EVP_PKEY_get_base_id(self.as_ptr()) } {
            ffi::EVP_PKEY_RSA => Ok(KeyKind::Rsa),
            ffi::EVP_PKEY_RSA_PSS => Ok(KeyKind::RsaPss),
            ffi::EVP_PKEY_EC => Ok(KeyKind::Ecdsa),
            ffi::EVP_PKEY_ED25519 | ffi::EVP_PKEY_ED448 => Ok(KeyKind::EdDsa),
            ffi::EVP_PKEY_DSA | ffi::EVP_PKEY_DH | ffi::EVP_PKEY_X25519 | ffi::EVP_PKEY_X448 => {
                Err(Error::tls(source, "a key of this kind cannot sign in TLS 1.2 or 1.3"))
            }
            _ => Ok(KeyKind::Newer),
        }
    }
}
