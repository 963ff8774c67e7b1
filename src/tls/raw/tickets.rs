//! The tickets of a server: under which keys they are made, and when they are not taken.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

use super::handle::Secret;
use super::{SslCtx, clear_errors, contain, decl, hooks};

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

fn random_bytes(len: c_int) -> Option<Secret> {
    super::init();
    clear_errors();
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    // SAFETY: room for `len` bytes.
    let done = unsafe { ffi::RAND_priv_bytes(bytes.as_mut_ptr(), len) } == 1;
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
        unsafe { decl::SSL_CTX_set_tlsext_ticket_key_evp_cb(self.as_ptr(), Some(ticket_key)) };
    }

    /// Does not resume a session of TLS 1.2 under another server name than its own (RFC 6066 3). TLS 1.3
    /// names the server anew in each handshake (RFC 8446 4.2.11).
    pub(crate) fn bind_tickets_to_names(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe {
            let none = ptr::null_mut();
            decl::SSL_CTX_set_session_ticket_cb(self.as_ptr(), none, Some(opened), none);
        }
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
    mac: *mut ffi::EVP_MAC_CTX,
    sealing: c_int,
) -> c_int {
    // SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 means no key, so a full handshake or no ticket, and the
    // connection lives on.
    const NO_KEY: c_int = 0;
    const KEY: c_int = 1;
    const KEY_AND_RENEW: c_int = 2;
    contain(NO_KEY, || {
        // SAFETY: as promised by OpenSSL.
        let Some(keys) = (unsafe { hooks::of(ssl) }).map(|hooks| hooks.ticket_keys()) else {
            return NO_KEY;
        };
        if sealing == 1 {
            let Some(key) = keys.first() else { return NO_KEY };
            // SAFETY: as promised by OpenSSL; 16 bytes for the name, and CBC's block for the start value.
            let ready = unsafe {
                ptr::copy_nonoverlapping(key.name.as_ptr(), name, key.name.len());
                ffi::RAND_bytes(iv, 16) == 1 && prepare(key, Use::Seal, iv, cipher, mac)
            };
            return if ready { KEY } else { NO_KEY };
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
    mac: *mut ffi::EVP_MAC_CTX,
) -> bool {
    clear_errors();
    let (aes, hmac) = (key.aes.bytes(), key.hmac.bytes());
    // SAFETY: the key's length is that of the algorithm; the parameters and what they point to outlive
    // the call that copies them (their `mut` is C's: setting only reads).
    unsafe {
        let algorithm = if aes.len() == 32 { ffi::EVP_aes_256_cbc() } else { ffi::EVP_aes_128_cbc() };
        let begun = match how {
            Use::Seal => ffi::EVP_EncryptInit_ex(cipher, algorithm, ptr::null_mut(), aes.as_ptr(), iv),
            Use::Open => ffi::EVP_DecryptInit_ex(cipher, algorithm, ptr::null_mut(), aes.as_ptr(), iv),
        };
        let secret = hmac.as_ptr().cast_mut().cast();
        let digest = c"SHA256".as_ptr().cast_mut();
        let params = [
            ffi::OSSL_PARAM_construct_octet_string(c"key".as_ptr(), secret, hmac.len()),
            decl::OSSL_PARAM_construct_utf8_string(c"digest".as_ptr(), digest, 0),
            ffi::OSSL_PARAM_construct_end(),
        ];
        begun == 1 && ffi::EVP_MAC_CTX_set_params(mac, params.as_ptr()) == 1
    }
}

/// Decides whether an opened ticket is taken.
///
/// # Safety
/// Called by OpenSSL for a live connection whose ClientHello is being read, with a session where
/// `status` says so.
unsafe extern "C" fn opened(
    ssl: *mut ffi::SSL,
    session: *mut ffi::SSL_SESSION,
    _: *const u8,
    _: usize,
    status: c_int,
    _: *mut c_void,
) -> c_int {
    // SSL_CTX_set_session_ticket_cb(3)
    const SUCCESS: c_int = 5;
    const SUCCESS_RENEW: c_int = 6;
    const IGNORE_RENEW: c_int = 2;
    const USE: c_int = 3;
    const USE_RENEW: c_int = 4;
    contain(IGNORE_RENEW, || {
        let verdict = match status {
            SUCCESS => USE,
            SUCCESS_RENEW => USE_RENEW,
            _ => return IGNORE_RENEW,
        };
        // SAFETY: the session was opened, as `status` says, and its name lives as long as it.
        let (older, bound) = unsafe {
            let name = decl::SSL_SESSION_get0_hostname(session);
            let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes());
            (ffi::SSL_SESSION_get_protocol_version(session) < ffi::TLS1_3_VERSION, name)
        };
        // SAFETY: as promised by OpenSSL.
        if older && unsafe { asked_name(ssl) } != bound { IGNORE_RENEW } else { verdict }
    })
}

/// The server name in a ClientHello that is being read, before OpenSSL has taken it in.
///
/// # Safety
/// `ssl` is a live connection that reads its ClientHello; the result is not used after this call of
/// OpenSSL's.
unsafe fn asked_name<'a>(ssl: *mut ffi::SSL) -> Option<&'a [u8]> {
    const SERVER_NAME: std::ffi::c_uint = 0;
    let (mut start, mut len) = (ptr::null(), 0);
    // SAFETY: as promised by the caller; the bytes belong to the ClientHello.
    let bytes = unsafe {
        match ffi::SSL_client_hello_get0_ext(ssl, SERVER_NAME, &mut start, &mut len) {
            1 if !start.is_null() => std::slice::from_raw_parts(start, len),
            _ => return None,
        }
    };
    // RFC 6066 3: the list's length (2), the kind of name (1, host_name is 0), its length (2), the name.
    match bytes {
        [_, _, 0, _, _, name @ ..] => Some(name),
        _ => None,
    }
}
