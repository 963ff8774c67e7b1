//! One TLS connection of OpenSSL's: clear the error queue, call, translate.

use std::ffi::c_int;
use std::ptr::NonNull;

use openssl_sys as ffi;

use super::bio::{self, Transport};
use super::ctx::SslCtx;
use super::handle::no_memory;
use super::verify::verdict_words;
use super::{clear_errors, decl, drain_errors};
use crate::contain;
use crate::error::{Code, Error, Result};

/// All that OpenSSL can answer to a step.
pub(crate) enum Answer {
    /// Done; for reads and writes, how many bytes.
    Done(usize),
    /// Needs more from the peer.
    WantRead,
    /// The transport takes no more for now.
    WantWrite,
    /// The peer has sent close_notify.
    Closed,
    /// The connection is beyond use; nothing but flushing an alert may follow.
    Failed(Error),
}

/// Owns an `SSL` and the BIO in it. Used by one thread at a time.
pub(crate) struct Ssl {
    ptr: NonNull<ffi::SSL>,
}

// SAFETY: an SSL has no tie to the thread that made it; `&mut self` keeps its use to one at a time.
unsafe impl Send for Ssl {}

impl Ssl {
    /// A new connection under `ctx`. Client or server is decided by the caller's next call.
    pub(crate) fn new(ctx: &SslCtx) -> Result<Ssl> {
        clear_errors();
        // SAFETY: the context is alive, and the SSL takes a reference of its own.
        let ptr = NonNull::new(unsafe { ffi::SSL_new(ctx.as_ptr()) }).ok_or_else(|| no_memory("a connection"))?;
        let ssl = Ssl { ptr };
        let bio = bio::new()?.as_ptr();
        // SAFETY: both are alive; the SSL becomes the owner of the one BIO, for both directions (SSL_set_bio(3):
        // the same BIO twice takes one reference).
        unsafe { ffi::SSL_set_bio(ssl.as_ptr(), bio, bio) };
        Ok(ssl)
    }

    /// The object for calls within this door.
    pub(super) fn as_ptr(&self) -> *mut ffi::SSL {
        self.ptr.as_ptr()
    }

    /// One step of the handshake.
    pub(crate) fn handshake(&mut self, transport: &mut dyn Transport) -> Answer {
        // SAFETY: `ssl` is alive for the call.
        self.step(transport, |ssl| unsafe { decl::SSL_do_handshake(ssl) })
    }

    /// Decrypts into `buf`.
    pub(crate) fn read(&mut self, transport: &mut dyn Transport, buf: &mut [u8]) -> Answer {
        let len = c_int::try_from(buf.len()).unwrap_or(c_int::MAX);
        // SAFETY: `buf` is writable for `len` bytes.
        self.step(transport, |ssl| unsafe { ffi::SSL_read(ssl, buf.as_mut_ptr().cast(), len) })
    }

    /// Encrypts the front of `data`, which must not be empty.
    pub(crate) fn write(&mut self, transport: &mut dyn Transport, data: &[u8]) -> Answer {
        let len = c_int::try_from(data.len()).unwrap_or(c_int::MAX);
        // SAFETY: `data` is readable for `len` bytes.
        self.step(transport, |ssl| unsafe { ffi::SSL_write(ssl, data.as_ptr().cast(), len) })
    }

    /// Sends close_notify. Not to be called before the handshake is done or after a failure (SSL_shutdown(3)).
    pub(crate) fn close_notify(&mut self, transport: &mut dyn Transport) -> Answer {
        // SAFETY: `ssl` is alive for the calls.
        self.step(transport, |ssl| unsafe {
            // While a ticket or a key update of the peer's has come in part (RFC 8446, 5.1), or its answer has yet to
            // leave, OpenSSL counts as in a handshake and refuses to end. A write first goes on with that; so does this.
            let ready = if decl::SSL_in_init(ssl) == 1 { decl::SSL_do_handshake(ssl) } else { 1 };
            if ready != 1 {
                return ready;
            }
            match ffi::SSL_shutdown(ssl) {
                // Ours has gone and the peer's has not come: done, for this direction.
                0 => 1,
                // It has gone before, together with something else, and now the peer's is awaited.
                other if ffi::SSL_get_error(ssl, other) == ffi::SSL_ERROR_WANT_READ => 1,
                other => other,
            }
        })
    }

    /// Whether a ticket or a key update of the peer's has come in part, or its answer has yet to leave.
    pub(crate) fn is_in_message(&self) -> bool {
        // SAFETY: a live connection, which the call only looks at.
        unsafe { decl::SSL_in_init(self.as_ptr()) == 1 }
    }

    /// Whether the buffers for records stay when they are empty. If not, they are given back at once; those that hold a part
    /// of a record, when OpenSSL is done with it.
    pub(crate) fn keep_buffers(&mut self, keep: bool) {
        // SAFETY: a live connection.
        unsafe { decl::keep_buffers(self.as_ptr(), keep) }
    }

    fn step(&mut self, transport: &mut dyn Transport, call: impl FnOnce(*mut ffi::SSL) -> c_int) -> Answer {
        clear_errors();
        let ssl = self.as_ptr();
        // SAFETY: the SSL has had its BIO since `new`.
        let bio = unsafe { ffi::SSL_get_rbio(ssl) };
        contain::take_defect();
        let result = bio::lend(bio, transport, || call(ssl));
        if let Some(defect) = contain::take_defect() {
            clear_errors();
            return Answer::Failed(defect);
        }
        if result > 0 { Answer::Done(result as usize) } else { self.translate(result) }
    }

    /// The one place that reads what OpenSSL means. The return code has been looked at first; errno is not looked
    /// at, because no system call is made below OpenSSL that the transport does not know better.
    fn translate(&self, result: c_int) -> Answer {
        // SAFETY: same thread and object as the call that gave `result`, with no call between.
        match unsafe { ffi::SSL_get_error(self.as_ptr(), result) } {
            ffi::SSL_ERROR_WANT_READ => Answer::WantRead,
            ffi::SSL_ERROR_WANT_WRITE => Answer::WantWrite,
            ffi::SSL_ERROR_ZERO_RETURN => Answer::Closed,
            _ => Answer::Failed(self.failure()),
        }
    }

    fn failure(&self) -> Error {
        let verdict = self.verify_result();
        // The handshake's own words come last: below them may stand those of a signature that did not fit.
        // SAFETY: touches only the calling thread's error queue.
        let code = unsafe { ffi::ERR_peek_last_error() };
        let refused = ffi::ERR_GET_LIB(code) == decl::ERR_LIB_SSL
            && ffi::ERR_GET_REASON(code) == decl::SSL_R_CERTIFICATE_VERIFY_FAILED;
        let words = drain_errors();
        if verdict != ffi::X509_V_OK && refused {
            return Error::new(
                Code::Verify,
                format!("the peer's certificate is not trusted: {}", verdict_words(verdict)),
            );
        }
        Error::new(Code::Tls, words)
    }
}

impl Drop for Ssl {
    fn drop(&mut self) {
        // SAFETY: owned, and freed only here; the BIO goes with it.
        unsafe { ffi::SSL_free(self.as_ptr()) }
    }
}
