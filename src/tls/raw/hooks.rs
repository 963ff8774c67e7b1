//! Where OpenSSL calls back: one trait per context, found again from every connection.
//!
//! The implementor is kept in the extra data of the `SSL_CTX`, so it lives as long as the last
//! connection. The functions that OpenSSL is given stand beside the setting that they serve.

use std::ffi::{c_int, c_long, c_void};
use std::sync::{Arc, OnceLock};

use openssl_sys as ffi;

use super::handle::Session;
use super::hello::Hello;
use super::sessions::PeerKey;
use super::tickets::TicketKey;
use super::{contain, decl};

/// What a context is asked while handshakes run. Several threads may ask at once.
pub(crate) trait Hooks: Send + Sync {
    /// Whether a client takes the server's leaf certificate with this SHA-256, whatever else it says.
    fn accepts_leaf(&self, _sha256: &[u8; 32]) -> bool {
        false
    }

    /// A server has read a ClientHello and may show other certificates than the context's own. `false`
    /// ends the handshake.
    fn choose(&self, _hello: &Hello) -> bool {
        true
    }

    /// The OCSP response, in DER, that goes with the leaf certificate of this address.
    fn staple(&self, _leaf: usize) -> Option<&[u8]> {
        None
    }

    /// Which of the offered protocols (one byte of length before each name) a server takes.
    fn alpn(&self, _offered: &[u8]) -> Alpn<'_> {
        Alpn::Nothing
    }

    /// The keys of tickets as of now: the first encrypts, all decrypt.
    fn ticket_keys(&self) -> Arc<Vec<TicketKey>> {
        Arc::default()
    }

    /// Until when the policy's revocation lists are up to date, in seconds since 1970, [`i64::MAX`] without any; `None`:
    /// nobody is verified, and sessions have nothing to do with dates.
    fn verdicts_end(&self) -> Option<i64> {
        None
    }

    /// A client was given a session that it may resume.
    fn keep_session(&self, _peer: &PeerKey, _session: Session) {}

    /// One line for the key log, without its end.
    fn key_log(&self, _line: &[u8]) {}
}

/// A server's answer to a list of protocols.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Alpn<'a> {
    /// This one.
    Chosen(&'a [u8]),
    /// None of them, and that is well.
    Nothing,
    /// None of them, and one was required.
    Refused,
}

/// The place of the hooks among the extra data of every `SSL_CTX`; negative if OpenSSL has none left.
fn index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    *INDEX.get_or_init(|| {
        super::init();
        // SAFETY: registers a function that lives as long as the process (the library stays mapped).
        unsafe { decl::SSL_CTX_get_ex_new_index(free_hooks) }
    })
}

/// Hands the hooks over to the context.
///
/// # Safety
/// `ctx` is a live context, not shared yet, that has no hooks.
pub(super) unsafe fn attach(ctx: *mut ffi::SSL_CTX, hooks: Box<dyn Hooks>) -> bool {
    // A pointer to a trait object is two words; extra data holds one.
    let boxed = Box::into_raw(Box::new(hooks));
    // SAFETY: as promised by the caller; on success `free_hooks` owns the box.
    let kept = unsafe { ffi::SSL_CTX_set_ex_data(ctx, index(), boxed.cast()) } == 1;
    if !kept {
        // SAFETY: nobody has taken it over.
        drop(unsafe { Box::from_raw(boxed) });
    }
    kept
}

/// The hooks of the context that a connection was made from.
///
/// # Safety
/// `ssl` is a live connection; the result is not used after it.
pub(super) unsafe fn of<'a>(ssl: *const ffi::SSL) -> Option<&'a dyn Hooks> {
    // SAFETY: a connection holds a reference to its context, which owns the hooks; what lies at our
    // index was put there by `attach`.
    unsafe {
        let ctx = ffi::SSL_get_SSL_CTX(ssl);
        let boxed = ffi::SSL_CTX_get_ex_data(ctx, index()).cast::<Box<dyn Hooks>>();
        boxed.as_ref().map(|hooks| &**hooks)
    }
}

/// # Safety
/// Called by OpenSSL when a context is freed, with what `attach` left at our index, or NULL.
unsafe extern "C" fn free_hooks(
    _: *mut c_void,
    boxed: *mut c_void,
    _: *mut ffi::CRYPTO_EX_DATA,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    if !boxed.is_null() {
        // SAFETY: made by `attach`, and OpenSSL calls this once.
        contain((), || drop(unsafe { Box::from_raw(boxed.cast::<Box<dyn Hooks>>()) }));
    }
}
