//! What a client keeps of a connection so that the next one to the same server is shorter.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;

use openssl_sys as ffi;

use super::handle::{Session, no_memory};
use super::{Ssl, SslCtx, clear_errors, contain, decl, hooks, init};
use crate::error::Result;

/// The longest ticket that is kept. Servers put a client's certificate into it, rarely more.
const LONGEST_TICKET: usize = 8 * 1024;

/// Which server a session is good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey {
    /// Name or address as the host gave it.
    pub(crate) host: String,
    /// The name that is asked for, and expected in the certificate.
    pub(crate) server_name: String,
    /// The port.
    pub(crate) port: u16,
}

impl Session {
    /// A copy: OpenSSL spoils its own when the connection ends without close_notify.
    fn copy(&self) -> Option<Session> {
        // SAFETY: a live session; the answer is new.
        unsafe { Session::own(decl::SSL_SESSION_dup(self.as_ptr())) }
    }

    /// Whether it is small enough to be kept, one for each of a thousand servers: its ticket would have to fit into the next
    /// ClientHello, too.
    fn is_small(&self) -> bool {
        let (mut ticket, mut len) = (ptr::null(), 0);
        // SAFETY: a live session, and two places for the answer.
        unsafe { decl::SSL_SESSION_get0_ticket(self.as_ptr(), &mut ticket, &mut len) };
        len <= LONGEST_TICKET
    }

    /// Whether a handshake may continue it.
    fn is_resumable(&self) -> bool {
        // SAFETY: a live session.
        unsafe { decl::SSL_SESSION_is_resumable(self.as_ptr()) == 1 }
    }
}

impl SslCtx {
    /// Hands each new session of a client to [`hooks::Hooks::keep_session`].
    pub(crate) fn keep_sessions(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that lives as long.
        unsafe { ffi::SSL_CTX_sess_set_new_cb(self.as_ptr(), Some(keep)) }
    }
}

impl Ssl {
    /// Names the server that sessions of this connection are kept for.
    pub(crate) fn set_peer_key(&mut self, key: PeerKey) -> Result<()> {
        let boxed = Box::into_raw(Box::new(key));
        // SAFETY: a live connection that has no key yet; on success `free_key` owns the box.
        if unsafe { ffi::SSL_set_ex_data(self.as_ptr(), index(), boxed.cast()) } == 1 {
            return Ok(());
        }
        // SAFETY: nobody has taken it over.
        drop(unsafe { Box::from_raw(boxed) });
        Err(no_memory("extra data for a connection"))
    }

    /// The server that sessions of this connection are kept for.
    pub(crate) fn peer_key(&self) -> Option<&PeerKey> {
        // SAFETY: what lies at our index was put there by `set_peer_key` and lives as long as `self`.
        unsafe { peer_key(self.as_ptr()) }
    }

    /// Offers to continue a session. One that cannot be continued costs nothing.
    pub(crate) fn resume(&mut self, session: &Session) {
        // SAFETY: both are alive.
        if unsafe { decl::expiry::is_over(self.as_ptr(), session.as_ptr()) } {
            return;
        }
        clear_errors();
        // SAFETY: a live connection before its handshake; it takes a reference of its own.
        if unsafe { ffi::SSL_set_session(self.as_ptr(), session.as_ptr()) } != 1 {
            clear_errors();
        }
    }

    /// A copy of the session of this connection, if the next one could continue it.
    pub(crate) fn session(&self) -> Option<Session> {
        // SAFETY: a live connection; the answer is one reference of our own, or NULL.
        let session = unsafe { Session::own(decl::SSL_get1_session(self.as_ptr())) };
        let copy = session.filter(|session| session.is_resumable() && session.is_small())?.copy()?;
        // SAFETY: both are alive, and the copy is ours alone.
        unsafe { decl::expiry::limit(self.as_ptr(), copy.as_ptr()) };
        Some(copy)
    }
}

/// The place of the key among the extra data of every connection; negative if OpenSSL has none left.
fn index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    *INDEX.get_or_init(|| {
        init();
        // SAFETY: registers a function that lives as long as the process (the library stays mapped).
        unsafe { decl::SSL_get_ex_new_index(free_key) }
    })
}

/// # Safety
/// `ssl` is a live connection; the result is not used after it.
unsafe fn peer_key<'a>(ssl: *const ffi::SSL) -> Option<&'a PeerKey> {
    // SAFETY: as promised by the caller; what lies at our index was put there by `set_peer_key`.
    unsafe { ffi::SSL_get_ex_data(ssl, index()).cast::<PeerKey>().as_ref() }
}

/// # Safety
/// Called by OpenSSL for a live connection, with a live session.
unsafe extern "C" fn keep(ssl: *mut ffi::SSL, session: *mut ffi::SSL_SESSION) -> c_int {
    /// SSL_CTX_sess_set_new_cb(3): the session stays OpenSSL's.
    const NOT_TAKEN: c_int = 0;
    contain(NOT_TAKEN, || {
        // SAFETY: as promised by OpenSSL; the copy is new.
        let (copy, key, hooks) =
            unsafe { (Session::own(decl::SSL_SESSION_dup(session)), peer_key(ssl), hooks::of(ssl)) };
        if let (Some(copy), Some(key), Some(hooks)) = (copy.filter(Session::is_small), key, hooks) {
            // SAFETY: both are alive, and the copy is ours alone.
            unsafe { decl::expiry::limit(ssl, copy.as_ptr()) };
            hooks.keep_session(key, copy);
        }
        NOT_TAKEN
    })
}

/// # Safety
/// Called by OpenSSL when a connection is freed, with what `set_peer_key` left at our index, or NULL.
unsafe extern "C" fn free_key(
    _: *mut c_void,
    boxed: *mut c_void,
    _: *mut ffi::CRYPTO_EX_DATA,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    if !boxed.is_null() {
        // SAFETY: made by `set_peer_key`, and OpenSSL calls this once.
        contain((), || drop(unsafe { Box::from_raw(boxed.cast::<PeerKey>()) }));
    }
}
