//! The secrets of connections, for a person who looks at a recording of their packets.

use std::ffi::{CStr, c_char};

use openssl_sys as ffi;

use super::{SslCtx, contain, hooks};

impl SslCtx {
    /// Hands each line to [`hooks::Hooks::key_log`].
    pub(crate) fn log_keys(&mut self) {
        // SAFETY: a live context that is not shared yet, and a function that lives as long.
        unsafe { ffi::SSL_CTX_set_keylog_callback(self.as_ptr(), Some(log)) }
    }
}

/// # Safety
/// Called by OpenSSL for a live connection, with a C string.
unsafe extern "C" fn log(ssl: *const ffi::SSL, line: *const c_char) {
    contain((), || {
        // SAFETY: as promised by OpenSSL; neither is used after this call.
        let (hooks, line) = unsafe { (hooks::of(ssl), CStr::from_ptr(line)) };
        if let Some(hooks) = hooks {
            hooks.key_log(line.to_bytes());
        }
    });
}
