//! A ClientHello that a server has read, and the certificates that answer it.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::{ptr, slice};

use openssl_sys as ffi;

use super::handle::{Cert, Chain, Key};
use super::x509::KeyKind;
use super::{SslCtx, clear_errors, contain, decl, hooks};

/// SSL_check_chain(3): the peer takes signature and parameters of the certificate.
const CERT_PKEY_VALID: c_int = 0x1;

/// A handshake at the moment when its certificate is picked. Lives only inside [`hooks::Hooks::choose`].
pub(crate) struct Hello {
    ssl: *mut ffi::SSL,
}

impl Hello {
    /// The host name that the client asks for.
    pub(crate) fn server_name(&self) -> Option<&[u8]> {
        // SAFETY: a live connection in its handshake; the name belongs to it and cannot change in a call.
        unsafe {
            let name = decl::SSL_get_servername(self.ssl, ffi::TLSEXT_NAMETYPE_host_name);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())
        }
    }

    /// Whether the client can verify a signature of this certificate's key.
    pub(crate) fn takes(&self, leaf: &Cert, rest: &Chain, key: &Key, kind: KeyKind) -> bool {
        // SAFETY: a live connection whose ClientHello was read, and live objects that are only read.
        let flags = unsafe { decl::SSL_check_chain(self.ssl, leaf.as_ptr(), key.as_ptr(), rest.as_ptr()) };
        clear_errors();
        flags & CERT_PKEY_VALID != 0 && self.offers_suite_for(kind)
    }

    /// TLS 1.2 names the kind of key in the suite; TLS 1.3 does not.
    fn offers_suite_for(&self, kind: KeyKind) -> bool {
        // SAFETY: a live connection that has agreed on its version.
        if unsafe { ffi::SSL_version(self.ssl) } >= ffi::TLS1_3_VERSION {
            return true;
        }
        let wanted = match kind {
            KeyKind::Rsa | KeyKind::RsaPss => decl::NID_AUTH_RSA,
            KeyKind::Ecdsa | KeyKind::EdDsa => decl::NID_AUTH_ECDSA,
            KeyKind::Newer => return false,
        };
        // SAFETY: a live connection in the callback that picks its certificate.
        unsafe { decl::offers_suites_of(self.ssl, wanted) && decl::offers_signatures_of(self.ssl, kind) }
    }

    /// Whether the connection would show this certificate as things are.
    pub(crate) fn shows(&self, leaf: &Cert) -> bool {
        // SAFETY: a live connection; the certificate is only named, not looked into.
        unsafe { ptr::eq(ffi::SSL_get_certificate(self.ssl), leaf.as_ptr()) }
    }

    /// Forgets the certificates that the connection would show.
    pub(crate) fn show_none(&self) {
        // SAFETY: a live connection, in the callback that may change its certificates.
        unsafe { decl::SSL_certs_clear(self.ssl) }
    }

    /// Adds a certificate to those that the connection shows; `false` if OpenSSL refuses it.
    pub(crate) fn show(&self, leaf: &Cert, rest: &Chain, key: &Key) -> bool {
        // SAFETY: as above; OpenSSL takes references of its own to all three.
        let done = unsafe {
            let (leaf, key, rest) = (leaf.as_ptr(), key.as_ptr(), rest.as_ptr());
            decl::SSL_use_cert_and_key(self.ssl, leaf, key, rest, 1)
        };
        done == 1
    }
}

impl SslCtx {
    /// Asks [`hooks::Hooks::choose`] in every full handshake of a server.
    pub(crate) fn choose_by_hello(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe { decl::SSL_CTX_set_cert_cb(self.as_ptr(), Some(choose), ptr::null_mut()) }
    }

    /// Tells clients that their server name was understood, and writes it into their sessions.
    pub(crate) fn acknowledge_names(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe { decl::SSL_CTX_set_tlsext_servername_callback(self.as_ptr(), Some(named)) };
    }

    /// Looks at each ClientHello before OpenSSL does: it must not ask for more work than a handshake is worth, and must
    /// offer a list of protocols if one is required. A list that has none of ours is refused by [`hooks::Hooks::alpn`].
    pub(crate) fn look_at_hello(&mut self, requires_alpn: bool) {
        let look = if requires_alpn { is_modest_with_alpn } else { is_modest };
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe { ffi::SSL_CTX_set_client_hello_cb(self.as_ptr(), Some(look), ptr::null_mut()) }
    }

    /// Asks [`hooks::Hooks::alpn`] when a client offers protocols.
    pub(crate) fn choose_alpn(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that takes no data.
        unsafe {
            decl::SSL_CTX_set_alpn_select_cb(self.as_ptr(), Some(alpn), ptr::null_mut());
        }
    }
}

/// # Safety
/// Called by OpenSSL in a handshake of a live connection.
unsafe extern "C" fn choose(ssl: *mut ffi::SSL, _: *mut c_void) -> c_int {
    contain(0, || {
        // SAFETY: as promised by OpenSSL; the hello ends with this call.
        let chosen = unsafe { hooks::of(ssl) }.is_some_and(|hooks| hooks.choose(&Hello { ssl }));
        c_int::from(chosen)
    })
}

/// # Safety
/// Called by OpenSSL in a handshake of a live connection.
pub(super) unsafe extern "C" fn named(ssl: *mut ffi::SSL, _: *mut c_int, _: *mut c_void) -> c_int {
    match (Hello { ssl }).server_name() {
        Some(_) => ffi::SSL_TLSEXT_ERR_OK,
        None => ffi::SSL_TLSEXT_ERR_NOACK,
    }
}

/// Extensions of a ClientHello (RFC 7301 3.1, RFC 8446 4.2.7 and 4.2.8).
const ALPN: c_uint = 16;
const SUPPORTED_GROUPS: c_uint = 10;
const KEY_SHARE: c_uint = 51;
/// Alerts (RFC 7301 3.2, RFC 8446 6).
const NO_APPLICATION_PROTOCOL: c_int = 120;
const ILLEGAL_PARAMETER: c_int = 47;

/// How many groups and key shares a client may offer. OpenSSL looks for each share among the groups, so that thousands of
/// both cost as much as a hundred handshakes; no client has a hundred of either.
const MOST_GROUPS: usize = 256;
const MOST_SHARES: usize = 64;

/// # Safety
/// Called by OpenSSL in a handshake of a live connection, with a place for an alert.
unsafe extern "C" fn is_modest(ssl: *mut ffi::SSL, alert: *mut c_int, _: *mut c_void) -> c_int {
    // SAFETY: as promised by OpenSSL.
    let extension = |kind| unsafe { extension(ssl, kind) };
    let groups = extension(SUPPORTED_GROUPS).map_or(0, |list| list.len() / 2);
    if groups > MOST_GROUPS || extension(KEY_SHARE).is_some_and(|list| !has_few_shares(list)) {
        // SAFETY: OpenSSL's place for the alert.
        return unsafe { refuse(alert, ILLEGAL_PARAMETER, decl::SSL_R_BAD_EXTENSION) };
    }
    ffi::SSL_CLIENT_HELLO_SUCCESS
}

/// # Safety
/// Called by OpenSSL in a handshake of a live connection, with a place for an alert.
unsafe extern "C" fn is_modest_with_alpn(ssl: *mut ffi::SSL, alert: *mut c_int, data: *mut c_void) -> c_int {
    // SAFETY: as promised by OpenSSL.
    unsafe {
        match extension(ssl, ALPN) {
            Some(_) => is_modest(ssl, alert, data),
            None => refuse(alert, NO_APPLICATION_PROTOCOL, decl::SSL_R_NO_APPLICATION_PROTOCOL),
        }
    }
}

/// An extension of the ClientHello.
///
/// # Safety
/// `ssl` is a live connection in the callback that may look at its ClientHello; the answer is not used behind it.
pub(super) unsafe fn extension<'a>(ssl: *mut ffi::SSL, kind: c_uint) -> Option<&'a [u8]> {
    let (mut start, mut len) = (ptr::null(), 0);
    // SAFETY: as promised by the caller, and two places for the answer; bytes that are there belong to the connection.
    unsafe {
        let is_there = ffi::SSL_client_hello_get0_ext(ssl, kind, &mut start, &mut len) == 1;
        is_there.then(|| if len == 0 { &[][..] } else { slice::from_raw_parts(start, len) })
    }
}

/// Whether a list of key shares has no more than there may be. One that is cut off is for OpenSSL to refuse.
fn has_few_shares(list: &[u8]) -> bool {
    let mut rest = list.get(2..).unwrap_or_default();
    for _ in 0..MOST_SHARES {
        let [_, _, high, low, behind @ ..] = rest else { return true };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(behind) = behind.get(len..) else { return true };
        rest = behind;
    }
    rest.is_empty()
}

/// Refuses a ClientHello; OpenSSL's own words would only be "callback failed".
///
/// # Safety
/// `place` is OpenSSL's, for the alert that it is to send.
unsafe fn refuse(place: *mut c_int, alert: c_int, reason: c_int) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe { *place = alert };
    decl::put_ssl_error(reason);
    ffi::SSL_CLIENT_HELLO_ERROR
}

/// # Safety
/// Called by OpenSSL in a handshake of a live connection, with `len` offered bytes and two places for
/// the answer.
unsafe extern "C" fn alpn(
    ssl: *mut ffi::SSL,
    out: *mut *const u8,
    out_len: *mut u8,
    offered: *const u8,
    len: c_uint,
    _: *mut c_void,
) -> c_int {
    contain(ffi::SSL_TLSEXT_ERR_ALERT_FATAL, || {
        // SAFETY: as promised by OpenSSL.
        let (hooks, offered) =
            unsafe { (hooks::of(ssl), slice::from_raw_parts(offered, usize::try_from(len).unwrap_or(0))) };
        match hooks.map_or(hooks::Alpn::Nothing, |hooks| hooks.alpn(offered)) {
            hooks::Alpn::Nothing => ffi::SSL_TLSEXT_ERR_NOACK,
            hooks::Alpn::Refused => ffi::SSL_TLSEXT_ERR_ALERT_FATAL,
            hooks::Alpn::Chosen(name) => match u8::try_from(name.len()) {
                Ok(len) => {
                    // SAFETY: the name belongs to the hooks, which live as long as the connection.
                    unsafe { (*out, *out_len) = (name.as_ptr(), len) };
                    ffi::SSL_TLSEXT_ERR_OK
                }
                Err(_) => ffi::SSL_TLSEXT_ERR_ALERT_FATAL,
            },
        }
    })
}
