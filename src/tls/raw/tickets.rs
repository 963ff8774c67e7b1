//! The tickets of a server: under which keys they are made, and when they are not taken.

use std::ffi::c_int;
use std::ptr;

use openssl_sys as ffi;

use super::handle::Secret;
use super::{SslCtx, clear_errors, contain, decl, hooks};
use crate::error::{Code, Error, Result};

/// A key for tickets. The encryption is AES-CBC, of 128 or 256 bits by the length of its key, and the
/// seal HMAC-SHA-256 (RFC 5077 4).
#[derive(Clone)]
pub(crate) struct TicketKey {
    /// Stands in front of each ticket in plain, to find the key again.
    pub(crate) name: [u8; 16],
    /// 16 or 32 bytes.
    pub(crate) aes: Secret,
    /// 16 or 32 bytes.
    pub(crate) hmac: Secret,
}

impl TicketKey {
    /// A new one of the longer kind; `None` if OpenSSL has no random bytes.
    pub(crate) fn random() -> Option<TicketKey> {
        let mut name = [0; 16];
        name.copy_from_slice(random_bytes(16)?.bytes());
        Some(TicketKey { name, aes: random_bytes(32)?, hmac: random_bytes(32)? })
    }
}

/// Bytes that nobody has had before.
pub(crate) fn nonce() -> Result<Secret> {
    random_bytes(16).ok_or_else(|| Error::new(Code::Internal, "OpenSSL has no random bytes"))
}

fn random_bytes(len: u8) -> Option<Secret> {
    super::init();
    clear_errors();
    let mut bytes = vec![0; len.into()];
    // SAFETY: room for `len` bytes.
    let done = unsafe { ffi::RAND_priv_bytes(bytes.as_mut_ptr(), len.into()) } == 1;
    if !done {
        clear_errors();
    }
    done.then(|| Secret::new(bytes))
}

/// How a ticket becomes of use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Seal,
    Open,
}

impl SslCtx {
    /// Takes the keys of tickets from [`hooks::Hooks::ticket_keys`]. OpenSSL's own would be the same for ever.
    pub(crate) fn use_ticket_keys(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that lives as long.
        unsafe { decl::SSL_CTX_set_tlsext_ticket_key_cb(self.as_ptr(), Some(ticket_key)) };
    }
}

/// Prepares the cipher and the seal of one ticket.
///
/// # Safety
/// Called by OpenSSL for a live connection: `name` has 16 bytes and `iv` those of the cipher's, both to
/// be written if `sealing` is 1 and to be read if it is 0; both contexts are alive.
unsafe extern "C" fn ticket_key(
    ssl: *mut ffi::SSL,
    name: *mut u8,
    iv: *mut u8,
    cipher: *mut ffi::EVP_CIPHER_CTX,
    mac: *mut decl::TicketMac,
    sealing: c_int,
) -> c_int {
    // SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 means no key, so a full handshake or no ticket, and the
    // connection lives on.
    const NO_KEY: c_int = 0;
    const KEY: c_int = 1;
    const KEY_AND_RENEW: c_int = 2;
    let refusal = if sealing == 1 { decl::NO_TICKET } else { NO_KEY };
    contain(refusal, || {
        // SAFETY: as promised by OpenSSL.
        let Some(keys) = (unsafe { hooks::of(ssl) }).map(|hooks| hooks.ticket_keys()) else {
            return refusal;
        };
        if sealing == 1 {
            let Some(key) = keys.first() else { return refusal };
            // SAFETY: as promised by OpenSSL; 16 bytes for the name, and CBC's block for the start value.
            let ready = unsafe {
                ptr::copy_nonoverlapping(key.name.as_ptr(), name, key.name.len());
                ffi::RAND_bytes(iv, 16) == 1 && prepare(key, Use::Seal, iv, cipher, mac)
            };
            return if ready { KEY } else { refusal };
        }
        // SAFETY: as promised by OpenSSL.
        let wanted = unsafe { std::slice::from_raw_parts(name, 16) };
        let Some(place) = keys.iter().position(|key| key.name == wanted) else { return NO_KEY };
        // SAFETY: as promised by OpenSSL.
        let ready = unsafe { prepare(&keys[place], Use::Open, iv, cipher, mac) };
        // A client of TLS 1.3 uses a ticket once (RFC 8446 C.4), so it gets the next one.
        // SAFETY: a live connection that has agreed on its version.
        let once = unsafe { ffi::SSL_version(ssl) } >= ffi::TLS1_3_VERSION;
        match (ready, place, once) {
            (false, _, _) => NO_KEY,
            (true, 0, false) => KEY,
            (true, _, _) => KEY_AND_RENEW,
        }
    })
}

/// Puts a key into the two contexts of a ticket.
///
/// # Safety
/// `iv` has 16 readable bytes; both contexts are alive.
unsafe fn prepare(
    key: &TicketKey,
    how: Use,
    iv: *const u8,
    cipher: *mut ffi::EVP_CIPHER_CTX,
    mac: *mut decl::TicketMac,
) -> bool {
    clear_errors();
    let (aes, hmac) = (key.aes.bytes(), key.hmac.bytes());
    // SAFETY: the key's length is that of the algorithm; both contexts are alive.
    unsafe {
        let algorithm = if aes.len() == 32 { ffi::EVP_aes_256_cbc() } else { ffi::EVP_aes_128_cbc() };
        let begun = match how {
            Use::Seal => ffi::EVP_EncryptInit_ex(cipher, algorithm, ptr::null_mut(), aes.as_ptr(), iv),
            Use::Open => ffi::EVP_DecryptInit_ex(cipher, algorithm, ptr::null_mut(), aes.as_ptr(), iv),
        };
        begun == 1 && decl::set_ticket_mac(mac, hmac)
    }
}
