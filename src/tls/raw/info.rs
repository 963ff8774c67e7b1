//! What a connection has agreed on with its peer, and who the peer is.

use std::ffi::{CStr, c_uint};
use std::fmt::Write;
use std::ptr;

use openssl_sys as ffi;

use super::handle::Cert;
use super::x509::AltName;
use super::{Ssl, clear_errors, decl};

impl Ssl {
    /// "TLSv1.3".
    pub(crate) fn version_name(&self) -> &'static CStr {
        // SAFETY: a live connection; the answer is a static string.
        unsafe { CStr::from_ptr(ffi::SSL_get_version(self.as_ptr())) }
    }

    /// The suite by OpenSSL's name; "" before one is agreed on.
    pub(crate) fn cipher_name(&self) -> &'static CStr {
        // SAFETY: a live connection; suites are static tables, and NULL is answered by "(NONE)".
        unsafe {
            let cipher = ffi::SSL_get_current_cipher(self.as_ptr());
            if cipher.is_null() { c"" } else { CStr::from_ptr(ffi::SSL_CIPHER_get_name(cipher)) }
        }
    }

    /// The group of the key exchange, "x25519"; "" where there was none.
    pub(crate) fn group_name(&self) -> String {
        // SAFETY: a live connection; the name belongs to its context and is copied at once.
        unsafe { owned(decl::group_name(self.as_ptr())) }
    }

    /// The protocol that ALPN chose; empty where there was none.
    pub(crate) fn alpn(&self) -> Vec<u8> {
        let (mut start, mut len): (_, c_uint) = (ptr::null(), 0);
        // SAFETY: a live connection, and two places to write the answer to.
        unsafe { ffi::SSL_get0_alpn_selected(self.as_ptr(), &mut start, &mut len) };
        if start.is_null() {
            return Vec::new();
        }
        // SAFETY: `len` bytes that belong to the connection and are copied at once.
        unsafe { std::slice::from_raw_parts(start, len as usize) }.to_vec()
    }

    /// The host name that the client asked for; "" where it did not.
    pub(crate) fn sni(&self) -> String {
        // SAFETY: a live connection; the name belongs to it and is copied at once.
        unsafe { owned(decl::SSL_get_servername(self.as_ptr(), ffi::TLSEXT_NAMETYPE_host_name)) }
    }

    /// Whether the handshake continued an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        // SAFETY: a live connection.
        unsafe { ffi::SSL_session_reused(self.as_ptr()) == 1 }
    }

    /// The certificate that the peer showed, now or in the session that was resumed.
    pub(crate) fn peer_certificate(&self) -> Option<PeerCertificate> {
        // SAFETY: a live connection; the answer is one reference of our own, or NULL.
        let cert = unsafe { Cert::own(decl::SSL_get1_peer_certificate(self.as_ptr())) };
        clear_errors();
        cert.map(|cert| PeerCertificate { cert })
    }
}

/// Copies a C string; "" for NULL.
///
/// # Safety
/// `text` is NULL or a live C string.
unsafe fn owned(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The certificate of the other side. One pointer large; texts are made when they are asked for, on
/// any thread, also after the connection has ended.
#[derive(Clone)]
pub(crate) struct PeerCertificate {
    cert: Cert,
}

impl PeerCertificate {
    /// Whom it names, "CN=a,O=b" (RFC 2253).
    pub(crate) fn subject(&self) -> String {
        self.cert.subject()
    }

    /// Who signed it.
    pub(crate) fn issuer(&self) -> String {
        self.cert.issuer()
    }

    /// SHA-256 of the DER encoding, in 64 small hexadecimal digits.
    pub(crate) fn sha256_hex(&self) -> String {
        self.cert.sha256().map(|digest| hex(&digest)).unwrap_or_default()
    }

    /// The DER encoding.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.cert.der()
    }

    /// "DNS:a,IP:b" in at most `room` bytes, and whether entries were left out. An entry is there as a
    /// whole or not at all, so that no cut name can be taken for another.
    pub(crate) fn alt_names(&self, room: usize) -> (String, bool) {
        let mut text = String::new();
        for name in self.cert.alt_names() {
            let entry = entry_text(&name);
            let comma = usize::from(!text.is_empty());
            if text.len() + comma + entry.len() > room {
                return (text, true);
            }
            if comma == 1 {
                text.push(',');
            }
            text.push_str(&entry);
        }
        (text, false)
    }
}

/// One entry. A certificate may hold any bytes: those that could end an entry or begin another are
/// written as `\xx`.
fn entry_text(name: &AltName) -> String {
    match name {
        AltName::Ip(ip) => format!("IP:{ip}"),
        AltName::Dns(bytes) => escaped("DNS:", bytes),
        AltName::Email(bytes) => escaped("email:", bytes),
        AltName::Uri(bytes) => escaped("URI:", bytes),
    }
}

fn escaped(kind: &str, bytes: &[u8]) -> String {
    let mut text = kind.to_owned();
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b',' && byte != b'\\' {
            text.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:02x}");
        }
    }
    text
}

/// Two small digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_cannot_forge_another() {
        let forged = AltName::Dns(b"a,DNS:bank.example\0\\".to_vec());
        assert_eq!(entry_text(&forged), r"DNS:a\2cDNS:bank.example\00\5c");
    }
}
