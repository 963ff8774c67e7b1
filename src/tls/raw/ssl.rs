//! One TLS connection of OpenSSL's.

use std::ptr::NonNull;

use openssl_sys as ffi;

use super::handle::no_memory;
use super::{SslCtx, clear_errors};
use crate::error::Result;

/// Owns an `SSL`. Used by one thread at a time.
pub(crate) struct Ssl {
    ptr: NonNull<ffi::SSL>,
}

// SAFETY: an SSL has no tie to the thread that made it; `&mut self` keeps its use to one at a time.
unsafe impl Send for Ssl {}

impl Ssl {
    /// A connection before its handshake, with the settings of `ctx`.
    pub(crate) fn new(ctx: &SslCtx) -> Result<Ssl> {
        clear_errors();
        // SAFETY: a live context; the connection takes a reference of its own to it.
        let ssl = unsafe { ffi::SSL_new(ctx.as_ptr()) };
        NonNull::new(ssl).map(|ptr| Ssl { ptr }).ok_or_else(|| no_memory("a connection"))
    }

    /// The object for calls within this door.
    pub(super) fn as_ptr(&self) -> *mut ffi::SSL {
        self.ptr.as_ptr()
    }
}

impl Drop for Ssl {
    fn drop(&mut self) {
        // SAFETY: owned, and freed only here.
        unsafe { ffi::SSL_free(self.as_ptr()) }
    }
}
