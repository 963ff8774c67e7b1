//! The door to OpenSSL: each safe method here is one call of the library, translated.
//!
//! Invariant: the thread's error queue is empty before a call that may fail and after its failure has
//! been read, so no connection ever inherits another's error (SSL_get_error(3), "the error queue must
//! be empty").
#![allow(unsafe_code)]

#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the harnesses need less than the tests"))]
mod authority;
#[cfg(feature = "aws-lc")]
mod awslc;
mod bio;
#[cfg(not(feature = "aws-lc"))]
mod bound;
mod ctx;
#[cfg(not(feature = "aws-lc"))]
mod decl;
mod handle;
mod hello;
mod hooks;
mod info;
mod issue;
mod keylog;
#[cfg(test)]
mod lockstep;
mod ocsp;
mod pem;
mod pin;
mod sessions;
mod ssl;
mod store;
mod tickets;
mod verify;
mod x509;

use std::ffi::CStr;
use std::sync::Once;

use openssl_sys as ffi;

// What OpenSSL has and openssl-sys does not declare, or what AWS-LC has instead of it: the same names either way.
#[cfg(feature = "aws-lc")]
use awslc as decl;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use authority::{Issued, Wish};
pub(crate) use bio::Transport;
pub(crate) use ctx::{Demand, Side, SslCtx};
pub(crate) use handle::{Cert, Chain, Crl, Key, Secret, Session, Store};
pub(crate) use hello::Hello;
pub(crate) use hooks::{Alpn, Hooks};
pub(crate) use info::PeerCertificate;
#[cfg(test)]
pub(crate) use info::hex;
pub(crate) use issue::{SubjectName, self_signed};
#[cfg(test)]
pub(crate) use lockstep::Pair;
pub(crate) use ocsp::{Freshness, check_ocsp};
pub(crate) use pem::{CertChain, MAX_PASSWORD, certs_from_pem, chain_from_pem, crls_from_pem, key_from_pem};
pub(crate) use sessions::PeerKey;
pub(crate) use ssl::{Answer, Ssl};
pub(crate) use tickets::{TicketKey, nonce};
#[cfg(test)]
pub(crate) use verify::verdict_words;
pub(crate) use x509::{AltName, KeyKind, Validity};

/// Initialises the library; every other function here may rely on it having run.
///
/// A host that initialised OpenSSL before has its clean-up registered with `atexit` since then, hence before any handler that
/// tlsloop registers later. Otherwise there is none: the first call here asks for none (OPENSSL_init_crypto(3),
/// OPENSSL_INIT_NO_ATEXIT).
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    // openssl-sys runs OPENSSL_init_ssl once, and again does no harm.
    ONCE.call_once(ffi::init);
}

/// Seconds since 1970, by the clock that OpenSSL holds dates against.
fn now() -> i64 {
    // SAFETY: NULL asks for the answer alone.
    unsafe { libc::time(std::ptr::null_mut()) }
}

/// Runs what OpenSSL called. A panic ends here, for unwinding through C is undefined: the answer is
/// then `refusal`, and the step that OpenSSL was asked for fails.
fn contain<T>(refusal: T, body: impl FnOnce() -> T) -> T {
    // What the closures change is either dropped with the connection or replaced as a whole.
    crate::contain::quietly(refusal, || {
        crate::contain::fault("a hook of OpenSSL's");
        body()
    })
}

/// Empties the thread's error queue without reading it.
pub(crate) fn clear_errors() {
    // Clearing walks through all places of the queue, looking does not, and nearly always it is empty.
    // SAFETY: touches only the calling thread's queue.
    unsafe {
        if decl::ERR_peek_error() != 0 {
            ffi::ERR_clear_error();
        }
    }
}

/// Empties the thread's error queue and joins its sentences, the oldest (the cause) first.
pub(crate) fn drain_errors() -> String {
    let mut words: Vec<String> = Vec::new();
    loop {
        // SAFETY: touches only the calling thread's queue.
        let code = unsafe { ffi::ERR_get_error() };
        if code == 0 {
            break;
        }
        let sentence = reason_of(code);
        if words.last() != Some(&sentence) {
            words.push(sentence);
        }
    }
    if words.is_empty() { "no reason given by OpenSSL".to_owned() } else { words.join("; ") }
}

/// OpenSSL's own words for one error code; the number where it has none.
fn reason_of(code: decl::ErrorCode) -> String {
    // SAFETY: looks the code up in tables that live as long as the library; NULL when unknown.
    let reason = unsafe { ffi::ERR_reason_error_string(code) };
    if reason.is_null() {
        /// SSL_AD_REASON_OFFSET: what a peer's alert has for a reason, besides its number.
        const ALERT: std::ffi::c_int = 1000;
        return match ffi::ERR_GET_REASON(code) {
            alert @ ALERT..=1255 if ffi::ERR_GET_LIB(code) == decl::ERR_LIB_SSL => {
                format!("the peer sent the alert {}", alert - ALERT)
            }
            _ => format!("OpenSSL error {code:#x}"),
        };
    }
    // SAFETY: not NULL, so a NUL-terminated string of the library's tables.
    decl::words(unsafe { CStr::from_ptr(reason) })
}

/// Version text of the library that is really loaded, "OpenSSL 3.0.19 27 Jan 2026".
pub(crate) fn version() -> &'static CStr {
    decl::version()
}
