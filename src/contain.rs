//! Panics stay inside: a defect becomes an error with a sentence, never an unwinding into C and never
//! a line on the host's terminal.
//!
//! Invariant: a thread counts as inside from [`enter`] until its guard is dropped. The panic hook
//! keeps the words of a panic on such a thread and leaves every other panic to the hook that was
//! there before.

#[cfg(feature = "fault-injection")]
pub mod faults;

use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::thread;

use crate::error::{Code, Error, Result};

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// The words and the place of the last panic on this thread that nobody has fetched yet.
    static REPORT: Cell<Option<String>> = const { Cell::new(None) };
    /// [`DEFECT`] has words. It is asked at each step of a connection, and needs no destructor, which makes it cheap.
    static IS_DEFECT: Cell<bool> = const { Cell::new(false) };
    /// The words of a panic that [`quietly`] has ended.
    static DEFECT: Cell<Option<String>> = const { Cell::new(None) };
}

/// Marks the calling thread as inside until it is dropped, there.
#[derive(Debug)]
pub struct Inside(PhantomData<*const ()>);

/// Marks the calling thread as inside. A worker holds the guard for its whole life.
pub fn enter() -> Inside {
    install();
    DEPTH.set(DEPTH.get() + 1);
    Inside(PhantomData)
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Runs `body`; a panic in it becomes [`Code::Internal`], whose sentence holds `what`, the words of
/// the panic and its place.
///
/// What `body` was changing is left half changed: the caller ends the connection, or whatever `body`
/// worked on, and uses nothing of it again.
pub fn run<T>(what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let _inside = enter();
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let words = words_of(payload);
        Err(Error::new(Code::Internal, format!("{what}: a defect in tlsloop, contained: {words}")))
    })
}

/// Runs `body`, where nothing but an answer can be given; a panic in it becomes `refusal`, and [`take_defect`] tells of it.
pub(crate) fn quietly<T>(refusal: T, body: impl FnOnce() -> T) -> T {
    let _inside = enter();
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let words = words_of(payload);
        // At the end of a thread the place for them may be gone; the refusal stands.
        let _ = DEFECT.try_with(|defect| defect.set(Some(words)));
        IS_DEFECT.set(true);
        refusal
    })
}

/// The defect that [`quietly`] has met on this thread since the last call.
pub(crate) fn take_defect() -> Option<Error> {
    if !IS_DEFECT.replace(false) {
        return None;
    }
    let words = DEFECT.try_with(Cell::take).ok().flatten()?;
    Some(Error::new(Code::Internal, format!("a defect in tlsloop, contained: {words}")))
}

/// A step of the library's, where a test may let the thread panic. Without the feature `fault-injection` it is nothing.
#[inline(always)]
pub(crate) fn fault(_step: &'static str) {
    #[cfg(feature = "fault-injection")]
    faults::step(_step);
}

/// Puts the hook in place, once in the life of the process.
fn install() {
    static ONCE: Once = Once::new();
    // The hook cannot be changed while this thread unwinds (a destructor of a Rust host that calls us);
    // then the next call does it.
    if ONCE.is_completed() || thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 || !keep(info) {
                previous(info);
            }
        }));
    });
}

/// Keeps the words for [`run`]; false if they should be seen at once.
///
/// That is so for a second panic during the first one's unwinding, which ends the process, and on a
/// thread whose thread-locals are gone already.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    let words = payload_words(info.payload()).unwrap_or("no words");
    let report = match info.location() {
        Some(place) => format!("{words} ({place})"),
        None => words.to_owned(),
    };
    REPORT.try_with(|kept| kept.replace(Some(report)).is_none()).unwrap_or(false)
}

/// What the hook kept; without it (a Rust host may set a hook of its own) what the payload says.
fn words_of(payload: Box<dyn Any + Send>) -> String {
    let kept = REPORT.try_with(Cell::take).ok().flatten();
    let said = payload_words(&*payload).map(str::to_owned);
    if said.is_none() {
        // A payload of a foreign type may panic when dropped; a leak is the smaller harm.
        std::mem::forget(payload);
    }
    kept.or(said).unwrap_or_else(|| "no words".to_owned())
}

fn payload_words(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words_and_place() {
        let error = run("turning", || -> Result<()> { panic!("slot {} is empty", 7) }).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        let sentence = error.sentence();
        assert!(sentence.starts_with("turning: a defect in tlsloop, contained: "), "{sentence}");
        assert!(sentence.contains("slot 7 is empty (src/contain.rs:"), "{sentence}");
    }

    #[test]
    fn results_pass_unchanged() {
        assert_eq!(run("x", || Ok(5)), Ok(5));
        assert_eq!(run("x", || -> Result<()> { Err(Error::closed()) }), Err(Error::closed()));
    }

    #[test]
    fn a_payload_that_is_not_text_is_survived() {
        struct Angry;
        impl Drop for Angry {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let error = run("x", || -> Result<()> { panic::panic_any(Angry) }).unwrap_err();
        assert!(error.sentence().contains("no words (src/contain.rs:"), "{}", error.sentence());
    }

    #[test]
    fn the_depth_is_restored_after_a_panic_and_words_are_not_used_twice() {
        assert_eq!(DEPTH.get(), 0);
        let outer = run("outer", || {
            assert_eq!(DEPTH.get(), 1);
            let inner = run("inner", || -> Result<()> { panic!("first") });
            assert!(inner.unwrap_err().sentence().contains("first"));
            assert_eq!(DEPTH.get(), 1);
            Ok(REPORT.take())
        });
        assert_eq!(outer, Ok(None));
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn a_thread_is_inside_until_the_last_guard_is_dropped() {
        let outer = enter();
        drop(enter());
        assert_eq!(DEPTH.get(), 1);
        drop(outer);
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn it_works_in_a_destructor_during_the_hosts_own_unwinding() {
        struct Caller;
        impl Drop for Caller {
            fn drop(&mut self) {
                assert_eq!(run("late", || Ok(1)), Ok(1));
            }
        }
        // Inside only so that the host's own panic does not clutter the test's output.
        let _inside = enter();
        let host = panic::catch_unwind(|| {
            let _caller = Caller;
            panic!("the host's own");
        });
        assert!(host.is_err());
        REPORT.take();
    }
}
