//! One TLS connection of OpenSSL's.

use std::ptr::NonNull;

use openssl_sys as ffi;

/// Owns an `SSL`. Used by one thread at a time.
pub(crate) struct Ssl {
    ptr: NonNull<ffi::SSL>,
}

// SAFETY: an SSL has no tie to the thread that made it; `&mut self` keeps its use to one at a time.
unsafe impl Send for Ssl {}

impl Ssl {
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
