//! The one guard around every export: no panic crosses, each failure leaves its sentence, and a forked
//! child is turned away before anything is touched.

use std::ffi::{c_int, c_long};
use std::ptr;

use super::error::{number_of, set_last_error};
use super::types::TLSLOOP_OK;
use crate::contain;
use crate::error::{Code, Result};
use crate::exit;
use crate::sys::fork;
use crate::sys::thread::Uncancelled;

/// For exports that answer TLSLOOP_OK or a code.
pub(crate) fn guard(export: &str, body: impl FnOnce() -> Result<()>) -> c_int {
    match call(export, body) {
        Ok(()) => TLSLOOP_OK,
        Err(code) => number_of(code),
    }
}

/// For exports that answer a number that is not negative (a port, a descriptor), or a code.
pub(crate) fn guard_int(export: &str, body: impl FnOnce() -> Result<c_int>) -> c_int {
    call(export, body).unwrap_or_else(number_of)
}

/// For exports that answer a count that is not negative, or a code.
pub(crate) fn guard_long(export: &str, body: impl FnOnce() -> Result<c_long>) -> c_long {
    call(export, body).unwrap_or_else(|code| c_long::from(number_of(code)))
}

/// For exports that answer a size; 0 on failure.
pub(crate) fn guard_size(export: &str, body: impl FnOnce() -> Result<usize>) -> usize {
    call(export, body).unwrap_or(0)
}

/// For exports that answer a pointer; NULL on failure.
pub(crate) fn guard_ptr<T>(export: &str, body: impl FnOnce() -> Result<*mut T>) -> *mut T {
    call(export, body).unwrap_or(ptr::null_mut())
}

/// For exports that answer nothing.
pub(crate) fn guard_void(export: &str, body: impl FnOnce() -> Result<()>) {
    // The sentence is kept; there is nobody to hand the code to.
    let _ = call(export, body);
}

/// The body of an export that uses OpenSSL on the calling thread: refused once the process exits.
pub(crate) fn visiting<T>(body: impl FnOnce() -> Result<T>) -> impl FnOnce() -> Result<T> {
    || {
        let _visit = exit::visit()?;
        body()
    }
}

fn call<T>(export: &str, body: impl FnOnce() -> Result<T>) -> std::result::Result<T, Code> {
    let _whole = Uncancelled::begin();
    if fork::is_child() {
        set_last_error("this process was forked under a running server: it may only exec or exit");
        return Err(Code::State);
    }
    let body = || {
        contain::fault("an export");
        body()
    };
    contain::run(export, body).map_err(|error| {
        set_last_error(error.sentence());
        error.code()
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::super::error::tlsloop_last_error;
    use super::super::types::*;
    use super::*;
    use crate::error::Error;
    use crate::sys::fork::tests::status_of_child;

    fn last_error() -> String {
        // SAFETY: never NULL, always terminated, and copied at once.
        unsafe { CStr::from_ptr(tlsloop_last_error()) }.to_str().unwrap().to_owned()
    }

    fn refused<T>() -> Result<T> {
        Err(Error::new(Code::Full, "the queue of 192.0.2.7:5123 is full"))
    }

    fn broken<T>() -> Result<T> {
        panic!("a broken invariant")
    }

    #[test]
    fn a_success_passes_its_value_and_leaves_the_last_error() {
        set_last_error("before");
        let mut place = 7;
        assert_eq!(guard("f", || Ok(())), TLSLOOP_OK);
        assert_eq!(guard_int("f", || Ok(443)), 443);
        assert_eq!(guard_long("f", || Ok(1 << 20)), 1 << 20);
        assert_eq!(guard_size("f", || Ok(5)), 5);
        assert_eq!(guard_ptr("f", || Ok(&raw mut place)), &raw mut place);
        guard_void("f", || Ok(()));
        assert_eq!(last_error(), "before");
    }

    #[test]
    fn a_failure_is_a_code_and_a_sentence() {
        assert_eq!(guard("f", refused), TLSLOOP_EFULL);
        assert_eq!(last_error(), "the queue of 192.0.2.7:5123 is full");
        assert_eq!(guard_int("f", refused), TLSLOOP_EFULL);
        assert_eq!(guard_long("f", refused), c_long::from(TLSLOOP_EFULL));
        assert_eq!(guard_size("f", refused), 0);
        assert!(guard_ptr::<u8>("f", refused).is_null());
        set_last_error("before");
        guard_void("f", refused);
        assert_eq!(last_error(), "the queue of 192.0.2.7:5123 is full");
    }

    /// "No panic crosses. A defect becomes EINTERNAL".
    #[test]
    fn a_panic_is_an_internal_error_that_names_the_export() {
        assert_eq!(guard("tlsloop_conn_send", broken), TLSLOOP_EINTERNAL);
        let sentence = last_error();
        assert!(sentence.starts_with("tlsloop_conn_send: a defect in tlsloop"), "{sentence}");
        assert!(sentence.contains("a broken invariant (src/ffi/guard.rs:"), "{sentence}");
        assert_eq!(guard_int("f", broken), TLSLOOP_EINTERNAL);
        assert_eq!(guard_long("f", broken), c_long::from(TLSLOOP_EINTERNAL));
        assert_eq!(guard_size("f", broken), 0);
        assert!(guard_ptr::<u8>("f", broken).is_null());
        guard_void("f", broken);
    }

    /// "a forked child may only exec or exit: its calls answer ESTATE and touch nothing".
    #[test]
    fn a_forked_child_is_turned_away_before_anything_is_touched() {
        let live = fork::enter().unwrap();
        let status = status_of_child(|| {
            let mut touched = 0;
            let mut touch = || touched += 1;
            let code = guard("f", || {
                touch();
                Ok(())
            });
            let size = guard_size("f", || {
                touch();
                Ok(9)
            });
            let pointer = guard_ptr("f", || {
                touch();
                Ok(ptr::dangling_mut::<u8>())
            });
            // SAFETY: never NULL, always terminated.
            let said = unsafe { *tlsloop_last_error() } as u8;
            let right = code == TLSLOOP_ESTATE && size == 0 && pointer.is_null() && said == b't';
            if right { touched } else { 100 }
        });
        assert_eq!(status, 0);
        assert_eq!(guard("f", || Ok(())), TLSLOOP_OK, "the parent goes on");
        drop(live);
    }
}
