//! A certificate that nobody vouches for, made in memory.

use std::ffi::c_int;
use std::net::IpAddr;
use std::ptr;

use openssl_sys as ffi;

use super::handle::{Cert, Key, no_memory};
use super::{clear_errors, decl, drain_errors, init};
use crate::error::{Error, Result};

const DAY: std::ffi::c_long = 24 * 60 * 60;
/// Clocks of clients may lag.
const SINCE: std::ffi::c_long = -DAY;
/// For first runs and tests, not for years.
const UNTIL: std::ffi::c_long = 30 * DAY;

/// RFC 5280 4.2.1.9: cA FALSE, the default, so an empty sequence.
const NOT_A_CA: [u8; 2] = [0x30, 0x00];
/// RFC 5280 4.2.1.3: digitalSignature, bit 0 of eight.
const SIGNS: [u8; 4] = [0x03, 0x02, 0x07, 0x80];
/// RFC 5280 4.2.1.12: id-kp-serverAuth and id-kp-clientAuth.
const SERVER_AND_CLIENT: [u8; 22] = [
    0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05,
    0x07, 0x03, 0x02,
];

/// A name that a certificate is made for.
pub(crate) enum SubjectName {
    /// A DNS name in ASCII.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Makes an ECDSA P-256 key and a certificate of its own for `names`, valid from now for 30 days.
pub(crate) fn self_signed(names: &[SubjectName]) -> Result<(Cert, Key)> {
    init();
    clear_errors();
    // SAFETY: the answer is new, or NULL.
    let key = unsafe { Key::own(decl::new_p256_key()) };
    let key = key.ok_or_else(|| Error::tls("a key on P-256", drain_errors()))?;
    // SAFETY: a new certificate, owned by nobody yet.
    let cert = unsafe { Cert::own(ffi::X509_new()) }.ok_or_else(|| no_memory("a certificate"))?;
    fill(&cert, &key, names).ok_or_else(|| Error::tls("a self-signed certificate", drain_errors()))?;
    Ok((cert, key))
}

/// Writes everything into a new certificate and signs it; `None` leaves the words in the error queue.
fn fill(cert: &Cert, key: &Key, names: &[SubjectName]) -> Option<()> {
    const V3: std::ffi::c_long = 2;
    let (x, pkey) = (cert.as_ptr(), key.as_ptr());
    // SAFETY: a certificate that is not shared yet and a key, both alive; dates, number and name belong
    // to the certificate.
    unsafe {
        yes(ffi::X509_set_version(x, V3))?;
        yes(ffi::ASN1_INTEGER_set(ffi::X509_get_serialNumber(x), random_serial()?))?;
        (!ffi::X509_gmtime_adj(ffi::X509_getm_notBefore(x), SINCE).is_null()).then_some(())?;
        (!ffi::X509_gmtime_adj(ffi::X509_getm_notAfter(x), UNTIL).is_null()).then_some(())?;
        yes(ffi::X509_set_pubkey(x, pkey))?;
        let name = ffi::X509_get_subject_name(x);
        let text = common_name(names);
        let len = c_int::try_from(text.len()).ok()?;
        let utf8 = ffi::MBSTRING_UTF8;
        yes(decl::X509_NAME_add_entry_by_NID(name, ffi::NID_commonName, utf8, text.as_ptr(), len, -1, 0))?;
        yes(ffi::X509_set_issuer_name(x, name))?;
    }
    extend(cert, ffi::NID_basic_constraints, true, &NOT_A_CA)?;
    extend(cert, ffi::NID_key_usage, true, &SIGNS)?;
    extend(cert, ffi::NID_ext_key_usage, false, &SERVER_AND_CLIENT)?;
    extend(cert, ffi::NID_subject_alt_name, false, &alt_names(names))?;
    // SAFETY: as above; the answer is the signature's length, 0 on failure.
    (unsafe { ffi::X509_sign(x, pkey, ffi::EVP_sha256()) } > 0).then_some(())
}

/// The first name; a common name has at most 64 characters (RFC 5280, ub-common-name).
fn common_name(names: &[SubjectName]) -> String {
    match names.first() {
        Some(SubjectName::Dns(name)) if name.len() <= 64 => name.clone(),
        Some(SubjectName::Ip(ip)) => ip.to_string(),
        _ => "tlsloop".to_owned(),
    }
}

/// A positive number that no other certificate of the same name is likely to have.
pub(super) fn random_serial() -> Option<std::ffi::c_long> {
    let mut bytes = [0; 8];
    // SAFETY: room for the 8 bytes asked for.
    yes(unsafe { ffi::RAND_bytes(bytes.as_mut_ptr(), 8) })?;
    Some((i64::from_ne_bytes(bytes) & i64::MAX) as std::ffi::c_long | 1)
}

/// Adds one extension whose value is already encoded.
pub(super) fn extend(cert: &Cert, nid: c_int, critical: bool, value: &[u8]) -> Option<()> {
    let len = c_int::try_from(value.len()).ok()?;
    // SAFETY: the octet string and the extension are made, copied from and freed here; the certificate
    // is alive and takes a copy.
    unsafe {
        let octets = ffi::ASN1_OCTET_STRING_new();
        if octets.is_null() {
            return None;
        }
        let mut done = ffi::ASN1_OCTET_STRING_set(octets, value.as_ptr(), len);
        let extension = ffi::X509_EXTENSION_create_by_NID(ptr::null_mut(), nid, critical.into(), octets);
        if done == 1 && !extension.is_null() {
            done = ffi::X509_add_ext(cert.as_ptr(), extension, -1);
        } else {
            done = 0;
        }
        ffi::X509_EXTENSION_free(extension);
        ffi::ASN1_OCTET_STRING_free(octets);
        yes(done)
    }
}

/// RFC 5280 4.2.1.6: SEQUENCE OF GeneralName, of which dNSName is `[2]` and iPAddress `[7]`.
pub(super) fn alt_names(names: &[SubjectName]) -> Vec<u8> {
    let mut entries = Vec::new();
    for name in names {
        match name {
            SubjectName::Dns(dns) => push_der(&mut entries, 0x82, dns.as_bytes()),
            SubjectName::Ip(IpAddr::V4(ip)) => push_der(&mut entries, 0x87, &ip.octets()),
            SubjectName::Ip(IpAddr::V6(ip)) => push_der(&mut entries, 0x87, &ip.octets()),
        }
    }
    let mut sequence = Vec::new();
    push_der(&mut sequence, 0x30, &entries);
    sequence
}

/// Tag, length (X.690 8.1.3: short below 128, else the number of its bytes first) and value.
fn push_der(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let len = value.len().to_be_bytes();
    let used = len.iter().position(|&byte| byte != 0).map_or(&[0][..], |first| &len[first..]);
    match used {
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | long.len() as u8);
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
}

pub(super) fn yes(done: c_int) -> Option<()> {
    (done == 1).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_encoded_as_short_as_it_can_be() {
        for (len, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            push_der(&mut out, 4, &vec![7; len]);
            assert_eq!(&out[..head.len()], head, "length {len}");
            assert_eq!(out.len(), head.len() + len);
        }
    }
}
