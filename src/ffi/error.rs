//! Codes, reasons and the last error, as C sees them.
//!
//! The last error is a buffer in the thread itself: it needs no memory that could be out, is there
//! until the thread's very end, and stays readable in a forked child.

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::OnceLock;

use super::types::*;
use super::write::fitting;
use crate::error::Code;
use crate::host::Reason;

/// Room for one sentence and its NUL; a longer one is cut. Two paths of usual length fit.
const ROOM: usize = 2048;

thread_local! {
    static LAST: UnsafeCell<[u8; ROOM]> = const { UnsafeCell::new(first()) };
}

const fn first() -> [u8; ROOM] {
    let text = b"no error";
    let mut buffer = [0; ROOM];
    let mut i = 0;
    while i < text.len() {
        buffer[i] = text[i];
        i += 1;
    }
    buffer
}

/// Sets what `tlsloop_last_error` says on this thread. A NUL inside becomes a space.
///
/// The guard calls it for every failure; whoever runs `on_disconnect` calls it just before, with the
/// sentence that tells the end.
pub(crate) fn set_last_error(sentence: &str) {
    let text = fitting(sentence, ROOM - 1);
    LAST.with(|last| {
        // SAFETY: only this thread reaches the buffer, and no reference to it outlives one of these two
        // functions; the host's pointer is one that the contract ends with this very call.
        let buffer = unsafe { &mut *last.get() };
        for (to, from) in buffer.iter_mut().zip(text.bytes()) {
            *to = if from == 0 { b' ' } else { from };
        }
        buffer[text.len()] = 0;
    });
}

/// The code that a number from C stands for; `None` for TLSLOOP_OK and for numbers that are no code.
pub(crate) fn code_of(number: c_int) -> Option<Code> {
    Some(match number {
        TLSLOOP_EINVAL => Code::Invalid,
        TLSLOOP_ENOMEM => Code::NoMemory,
        TLSLOOP_ESYS => Code::System,
        TLSLOOP_ETLS => Code::Tls,
        TLSLOOP_EVERIFY => Code::Verify,
        TLSLOOP_ECLOSED => Code::Closed,
        TLSLOOP_EFULL => Code::Full,
        TLSLOOP_ETIMEDOUT => Code::TimedOut,
        TLSLOOP_ETRUNCATED => Code::Truncated,
        TLSLOOP_EDEADLK => Code::Deadlock,
        TLSLOOP_ESTATE => Code::State,
        TLSLOOP_EINTERNAL => Code::Internal,
        _ => return None,
    })
}

/// The number of a code, for C.
pub(crate) fn number_of(code: Code) -> c_int {
    code as c_int
}

/// The reason that a number from C stands for.
pub(crate) fn reason_of(number: c_int) -> Option<Reason> {
    Some(match number {
        TLSLOOP_REASON_PEER => Reason::Peer,
        TLSLOOP_REASON_HOST => Reason::Host,
        TLSLOOP_REASON_TRUNCATED => Reason::Truncated,
        TLSLOOP_REASON_RESET => Reason::Reset,
        TLSLOOP_REASON_PROTOCOL => Reason::Protocol,
        TLSLOOP_REASON_IDLE_TIMEOUT => Reason::IdleTimeout,
        TLSLOOP_REASON_SEND_TIMEOUT => Reason::SendTimeout,
        TLSLOOP_REASON_STOPPED => Reason::Stopped,
        TLSLOOP_REASON_ABORTED => Reason::Aborted,
        TLSLOOP_REASON_SYSTEM => Reason::System,
        _ => return None,
    })
}

fn words_of(code: Code) -> &'static CStr {
    match code {
        Code::Invalid => c"an argument is wrong",
        Code::NoMemory => c"memory is out",
        Code::System => c"a system call failed",
        Code::Tls => c"OpenSSL refused",
        Code::Verify => c"the peer's certificate is not trusted",
        Code::Closed => c"the connection is ended or ending",
        Code::Full => c"the send queue is full, nothing was queued",
        Code::TimedOut => c"a deadline passed",
        Code::Truncated => c"the peer ended without close_notify",
        Code::Deadlock => c"the call would wait for itself",
        Code::State => c"not possible in this state or mode",
        Code::Internal => c"a defect in tlsloop, contained",
    }
}

// These four can neither fail nor panic and touch nothing that a fork could have left half done, so
// they stand outside the guard.

/// The version of tlsloop and of the OpenSSL that is really loaded: "0.1.0 (OpenSSL 3.0.19 27 Jan 2026)".
///
/// Never NULL, and valid until the process ends. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_version() -> *const c_char {
    static TEXT: OnceLock<CString> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let openssl = crate::tls::raw::version().to_string_lossy();
        let text = format!("{} ({openssl})", env!("CARGO_PKG_VERSION"));
        // It came from a C string, so no NUL is inside.
        CString::new(text).unwrap_or_default()
    });
    text.as_ptr()
}

/// What a code means in general: "the send queue is full, nothing was queued".
///
/// For what was wrong this time, see `tlsloop_last_error`. Never NULL, also for numbers that are no
/// code, and valid until the process ends. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_strerror(code: c_int) -> *const c_char {
    let words = match code_of(code) {
        Some(code) => words_of(code),
        None if code == TLSLOOP_OK => c"no error",
        None => c"unknown code",
    };
    words.as_ptr()
}

/// The short name of a TLSLOOP_REASON_*, for logs: "peer", "truncated", "idle_timeout".
///
/// Never NULL, "unknown" for numbers that are no reason, and valid until the process ends. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_reason_name(reason: c_int) -> *const c_char {
    reason_of(reason).map_or(c"unknown", |reason| reason.name()).as_ptr()
}

/// What was wrong with the last call that failed on this thread, in one sentence.
///
/// It names the argument, file or peer and holds errno's or OpenSSL's own words; in `on_disconnect` it
/// tells how the connection ended. Like errno it is set by failures only: a call that succeeds leaves
/// it as it was, so ask after a call that failed, and at once.
///
/// Never NULL, "no error" at first; valid until the next call of tlsloop's on that thread, or the
/// thread's end. A very long sentence is cut.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_last_error() -> *const c_char {
    LAST.with(|last| last.get().cast::<c_char>().cast_const())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pointer: *const c_char) -> String {
        // SAFETY: the functions under test never return NULL and always a terminated string.
        unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_numbers_of_the_codes_are_those_of_the_header() {
        for number in TLSLOOP_EINTERNAL..=TLSLOOP_EINVAL {
            let code = code_of(number).unwrap_or_else(|| panic!("{number} is no code"));
            assert_eq!(number_of(code), number, "{code:?}");
        }
        for number in [TLSLOOP_OK, TLSLOOP_EINTERNAL - 1, 1, c_int::MAX, c_int::MIN] {
            assert_eq!(code_of(number), None);
        }
    }

    #[test]
    fn the_numbers_of_the_reasons_are_those_of_the_header() {
        for number in TLSLOOP_REASON_PEER..=TLSLOOP_REASON_SYSTEM {
            let reason = reason_of(number).unwrap_or_else(|| panic!("{number} is no reason"));
            assert_eq!(reason as c_int, number, "{reason:?}");
        }
        for number in [-1, TLSLOOP_REASON_SYSTEM + 1, c_int::MAX, c_int::MIN] {
            assert_eq!(reason_of(number), None);
        }
    }

    #[test]
    fn every_code_and_reason_has_words_of_its_own() {
        let codes = (TLSLOOP_EINTERNAL..=TLSLOOP_OK).map(|code| text(tlsloop_strerror(code)));
        assert_eq!(codes.collect::<std::collections::HashSet<_>>().len(), 13);
        let names = (0..=TLSLOOP_REASON_SYSTEM).map(|reason| text(tlsloop_reason_name(reason)));
        assert_eq!(names.collect::<std::collections::HashSet<_>>().len(), 10);
        assert_eq!(text(tlsloop_strerror(TLSLOOP_OK)), "no error");
        assert_eq!(text(tlsloop_strerror(99)), "unknown code");
        assert_eq!(text(tlsloop_reason_name(TLSLOOP_REASON_PEER)), "peer");
        assert_eq!(text(tlsloop_reason_name(TLSLOOP_REASON_TRUNCATED)), "truncated");
        assert_eq!(text(tlsloop_reason_name(-1)), "unknown");
    }

    #[test]
    fn the_version_names_this_release_and_the_loaded_library() {
        let version = text(tlsloop_version());
        let library = if cfg!(feature = "aws-lc") { "AWS-LC 1." } else { "OpenSSL 3." };
        let expected = format!("{} ({library}", env!("CARGO_PKG_VERSION"));
        assert!(version.starts_with(&expected), "{version}");
        assert!(version.ends_with(')'), "{version}");
        assert_eq!(tlsloop_version(), tlsloop_version(), "one string for the whole life");
    }

    #[test]
    fn the_last_error_belongs_to_its_thread() {
        set_last_error("mine");
        let other = std::thread::spawn(|| {
            let first = text(tlsloop_last_error());
            set_last_error("theirs");
            first
        });
        assert_eq!(other.join().unwrap(), "no error");
        assert_eq!(text(tlsloop_last_error()), "mine");
        set_last_error("a longer sentence");
        set_last_error("short");
        assert_eq!(text(tlsloop_last_error()), "short", "nothing of the longer one is left");
    }

    #[test]
    fn a_sentence_is_cut_between_characters_and_keeps_what_follows_a_nul() {
        set_last_error(&"ö".repeat(ROOM));
        let kept = text(tlsloop_last_error());
        assert_eq!(kept.len(), ROOM - 2, "an odd byte is left over, not half a character");
        assert!(kept.chars().all(|c| c == 'ö'));
        set_last_error(&"x".repeat(ROOM - 1));
        assert_eq!(text(tlsloop_last_error()).len(), ROOM - 1);
        set_last_error("file a\0b: missing");
        assert_eq!(text(tlsloop_last_error()), "file a b: missing");
    }
}
