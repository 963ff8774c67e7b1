//! What the connections of one policy have in common: an `SSL_CTX`.
//!
//! Invariant: it is configured by `&mut self` before it is shared, and never changed afterwards, so
//! that all workers may make connections from it at once.

use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};

use openssl_sys as ffi;

use super::handle::{Cert, Chain, Key, Store, no_memory};
use super::hooks::{self, Hooks};
use super::{clear_errors, decl, drain_errors, init, verify};
use crate::error::{Error, Result};

/// Forward-secret suites with authenticated encryption, ECDSA before RSA. AES-128 stands first: its key schedule takes
/// a tenth off a handshake, and nobody breaks either. A client without AES in its processor gets ChaCha20.
const TLS12_CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:\
                             ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:\
                             ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384";
/// The same for TLS 1.3.
const TLS13_SUITES: &str = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";

/// The best key exchange that this OpenSSL knows comes first; the finite-field groups, which let a
/// client burn the server's processor, are in none of them. The first line that is accepted counts.
const GROUPS: [&str; 3] =
    ["*X25519MLKEM768/*X25519:P-256/P-384", "X25519MLKEM768:X25519:P-256:P-384", "X25519:P-256:P-384"];

/// RSA of 2048 bits and more, no SHA-1: SSL_CTX_set_security_level(3).
const SECURITY_LEVEL: c_int = 2;

/// How many bytes a peer's certificates may have in all. Each may hold keys that take a millisecond to unpack, and all stay
/// in memory, unpacked, as long as the connection.
const CERTIFICATES: u16 = 32 * 1024;

/// Which side of the handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Accepts.
    Server,
    /// Connects.
    Client,
}

/// What is asked of the peer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// A server asks for none; a client takes any.
    Nothing,
    /// A server asks for one, takes none, and refuses a wrong one.
    IfGiven,
    /// One that verifies.
    Required,
}

/// Owns an `SSL_CTX`.
pub(crate) struct SslCtx {
    ptr: NonNull<ffi::SSL_CTX>,
}

// SAFETY: an SSL_CTX has no tie to a thread.
unsafe impl Send for SslCtx {}
// SAFETY: `&self` only makes connections, which OpenSSL allows from several threads at once; what that
// touches in the context is counted atomically or locked inside OpenSSL.
unsafe impl Sync for SslCtx {}

impl SslCtx {
    /// A context with tlsloop's defaults. `hooks` answers when OpenSSL asks.
    pub(crate) fn new(side: Side, hooks: Box<dyn Hooks>) -> Result<SslCtx> {
        init();
        clear_errors();
        // SAFETY: the methods are static tables.
        let ctx = unsafe {
            ffi::SSL_CTX_new(match side {
                Side::Server => ffi::TLS_server_method(),
                Side::Client => ffi::TLS_client_method(),
            })
        };
        let ptr = NonNull::new(ctx).ok_or_else(|| no_memory("an SSL_CTX"))?;
        let mut ctx = SslCtx { ptr };
        // SAFETY: new, not shared, and without hooks.
        if !unsafe { hooks::attach(ctx.as_ptr(), hooks) } {
            return Err(no_memory("extra data for an SSL_CTX"));
        }
        ctx.set_defaults(side)?;
        Ok(ctx)
    }

    /// The one place where the behaviour of all connections is set.
    fn set_defaults(&mut self, side: Side) -> Result<()> {
        // A write may take a part, and be repeated from another address: the send queue moves. Buffers
        // are given back between records: idle connections are many. What is sent is the chain of the
        // file, not one guessed from the trust store.
        let mode = ffi::SSL_MODE_ENABLE_PARTIAL_WRITE
            | ffi::SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
            | ffi::SSL_MODE_RELEASE_BUFFERS
            | ffi::SSL_MODE_NO_AUTO_CHAIN;
        let options = ffi::SSL_OP_NO_RENEGOTIATION
            | ffi::SSL_OP_NO_COMPRESSION
            | ffi::SSL_OP_CIPHER_SERVER_PREFERENCE
            | decl::SSL_OP_PRIORITIZE_CHACHA;
        // A server keeps no session: its tickets hold them. A client keeps its own, by host and port.
        let cache = match side {
            Side::Server => ffi::SSL_SESS_CACHE_OFF,
            Side::Client => ffi::SSL_SESS_CACHE_CLIENT | ffi::SSL_SESS_CACHE_NO_INTERNAL,
        };
        // SAFETY: a live context that is not shared yet; each call sets a number or a flag.
        unsafe {
            let ctx = self.as_ptr();
            decl::SSL_CTX_set_mode(ctx, mode);
            decl::stop_after_each_message(ctx);
            decl::set_max_cert_list(ctx, CERTIFICATES);
            decl::SSL_CTX_set_options(ctx, options);
            ffi::SSL_CTX_set_session_cache_mode(ctx, cache);
            ffi::SSL_CTX_set_num_tickets(ctx, 1);
            decl::SSL_CTX_set_max_early_data(ctx, 0);
            decl::SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
        }
        self.set_versions(ffi::TLS1_2_VERSION, ffi::TLS1_3_VERSION)?;
        self.set_cipher_list(TLS12_CIPHERS)?;
        self.set_suites(TLS13_SUITES)?;
        // If none is known (a restricted OpenSSL), its own default stays.
        let _ = GROUPS.iter().any(|groups| self.set_groups(groups).is_ok());
        Ok(())
    }

    /// The object for calls within this door.
    pub(super) fn as_ptr(&self) -> *mut ffi::SSL_CTX {
        self.ptr.as_ptr()
    }

    /// The oldest and the newest protocol version, as TLS writes them.
    pub(crate) fn set_versions(&mut self, min: c_int, max: c_int) -> Result<()> {
        clear_errors();
        // SAFETY: a live context that is not shared yet.
        let done = unsafe {
            decl::SSL_CTX_set_min_proto_version(self.as_ptr(), min) == 1
                && decl::SSL_CTX_set_max_proto_version(self.as_ptr(), max) == 1
        };
        ok(done, "the TLS versions")
    }

    /// The suites of TLS 1.2, in OpenSSL's notation. Unknown names are skipped unless nothing is left.
    pub(crate) fn set_cipher_list(&mut self, list: &str) -> Result<()> {
        let text = c_text(list)?;
        clear_errors();
        // SAFETY: a live context that is not shared yet, and a C string that OpenSSL copies.
        ok(unsafe { decl::SSL_CTX_set_cipher_list(self.as_ptr(), text.as_ptr()) } == 1, list)
    }

    /// The suites of TLS 1.3. Unknown names are an error in some versions of OpenSSL and skipped in others.
    pub(crate) fn set_suites(&mut self, list: &str) -> Result<()> {
        let text = c_text(list)?;
        clear_errors();
        // SAFETY: a live context that is not shared yet, and a C string that OpenSSL copies.
        ok(unsafe { decl::SSL_CTX_set_ciphersuites(self.as_ptr(), text.as_ptr()) } == 1, list)
    }

    /// Whether a suite of exactly this name is among those that are offered.
    pub(crate) fn offers(&self, suite: &str) -> bool {
        // SAFETY: the list belongs to the live context, or is NULL, of which the count is -1; `i` is
        // below the count; names are static strings.
        unsafe {
            let suites = decl::SSL_CTX_get_ciphers(self.as_ptr());
            (0..ffi::OPENSSL_sk_num(suites.cast())).any(|i| {
                let cipher = ffi::OPENSSL_sk_value(suites.cast(), i).cast::<ffi::SSL_CIPHER>();
                CStr::from_ptr(ffi::SSL_CIPHER_get_name(cipher)).to_bytes() == suite.as_bytes()
            })
        }
    }

    /// The protocols that a client offers, one byte of length before each name.
    pub(crate) fn offer_alpn(&mut self, wire: &[u8]) -> Result<()> {
        #[allow(clippy::useless_conversion, reason = "OpenSSL takes an unsigned int, AWS-LC a size_t")]
        let len = wire.len().try_into().map_err(|_| Error::invalid("too many protocols"))?;
        clear_errors();
        // SAFETY: a live context that is not shared yet, and `len` bytes that OpenSSL copies.
        let failed = unsafe { ffi::SSL_CTX_set_alpn_protos(self.as_ptr(), wire.as_ptr(), len) };
        ok(failed == 0, "the list of protocols")
    }

    /// The groups of the key exchange, the preferred first.
    pub(crate) fn set_groups(&mut self, list: &str) -> Result<()> {
        let text = c_text(list)?;
        clear_errors();
        // SAFETY: a live context that is not shared yet, and a C string that OpenSSL copies.
        ok(unsafe { ffi::SSL_CTX_set1_groups_list(self.as_ptr(), text.as_ptr()) } == 1, list)
    }

    /// Adds a certificate with its chain and key; one of the same kind of key is replaced.
    pub(crate) fn use_certificate(&mut self, leaf: &Cert, rest: &Chain, key: &Key) -> Result<()> {
        clear_errors();
        // SAFETY: all are alive, and OpenSSL takes references of its own to them; `rest` is only read.
        let done =
            unsafe { decl::SSL_CTX_use_cert_and_key(self.as_ptr(), leaf.as_ptr(), key.as_ptr(), rest.as_ptr(), 1) };
        ok(done == 1, "the certificate cannot be used")
    }

    /// Whose certificates are believed.
    pub(crate) fn set_store(&mut self, store: Store) {
        // SAFETY: both are alive; the context takes over the reference that `forget` gives up.
        unsafe { ffi::SSL_CTX_set_cert_store(self.as_ptr(), store.as_ptr()) };
        std::mem::forget(store);
    }

    /// Names an issuer in the request for the client's certificate, so that it picks the right one.
    pub(crate) fn add_client_ca(&mut self, issuer: &Cert) -> Result<()> {
        clear_errors();
        // SAFETY: both are alive; OpenSSL copies the name.
        let done = unsafe { decl::SSL_CTX_add1_to_CA_list(self.as_ptr(), issuer.as_ptr()) };
        ok(done == 1, "the name of a trusted issuer")
    }

    /// What is asked of the peer's certificate.
    pub(crate) fn set_demand(&mut self, demand: Demand) {
        let mode = match demand {
            Demand::Nothing => ffi::SSL_VERIFY_NONE,
            Demand::IfGiven => ffi::SSL_VERIFY_PEER,
            Demand::Required => ffi::SSL_VERIFY_PEER | ffi::SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        };
        // SAFETY: a live context that is not shared yet, and a function that lives as long.
        unsafe { decl::SSL_CTX_set_verify(self.as_ptr(), mode, Some(verify::judge)) }
    }

    /// A session made under other `facts` than these is not resumed.
    pub(crate) fn set_session_context(&mut self, facts: &[u8]) -> Result<()> {
        let mut id = [0; 32];
        clear_errors();
        // SAFETY: `facts.len()` bytes to read, room for the 32 of a SHA-256, and a live context that is
        // not shared yet and copies them (SSL_MAX_SID_CTX_LENGTH is 32).
        let done = unsafe {
            let (text, size) = (facts.as_ptr().cast(), ptr::null_mut());
            decl::EVP_Digest(text, facts.len(), id.as_mut_ptr(), size, ffi::EVP_sha256(), ptr::null_mut()) == 1
                && ffi::SSL_CTX_set_session_id_context(self.as_ptr(), id.as_ptr(), 32) == 1
        };
        ok(done, "the session id context")
    }
}

impl Drop for SslCtx {
    fn drop(&mut self) {
        // SAFETY: one reference is owned here, and given back only here; connections hold their own.
        unsafe { ffi::SSL_CTX_free(self.as_ptr()) }
    }
}

fn ok(done: bool, what: &str) -> Result<()> {
    if done { Ok(()) } else { Err(Error::tls(what, drain_errors())) }
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid("a zero byte in a text"))
}
