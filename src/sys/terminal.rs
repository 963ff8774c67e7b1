//! The terminal and the environment, for the one who asks by `TLSLOOP_LOG` to see what happens.

use std::ffi::{CStr, c_char};

use super::cvt_len;
use super::pipe::without_signals;

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

/// A variable of the environment; absent in programs that run with the rights of others (secure_getenv(3)).
pub(crate) fn variable(name: &CStr) -> Option<String> {
    // SAFETY: `name` is terminated. The value is copied at once; a host that changes its environment at this moment breaks
    // the rule of getenv(3) for everybody.
    unsafe {
        let value = secure_getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

/// Writes to standard error in one piece, as far as it goes.
pub(crate) fn write(text: &str) {
    // SAFETY: `text` is readable for its length.
    let write = || cvt_len(unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) });
    let _lost = without_signals(write);
}
