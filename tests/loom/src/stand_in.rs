//! What stands in for the rest of the library: loom's locks and atomics, one lane with one cell, and a wake descriptor
//! that can only be waited for.

/// How many branches a run may have before it counts as endless.
const BRANCHES: usize = 10_000;

/// Runs `model` once for each order of events that makes a difference. Panics with the first that fails: when the model
/// does, or when all threads wait for one another.
pub fn try_every_order(model: impl Fn() + Sync + Send + 'static) {
    explore(None, model);
}

/// The same for models whose orders are too many: those in which a thread is interrupted at most so often, which is
/// where defects are found in practice.
pub fn try_orders(interruptions: usize, model: impl Fn() + Sync + Send + 'static) {
    explore(Some(interruptions), model);
}

fn explore(interruptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = BRANCHES;
    builder.preemption_bound = interruptions;
    builder.check(model);
}

pub(crate) mod sync {
    pub(crate) use loom::sync::MutexGuard;

    /// Loom's mutex with the manners of parking_lot's.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model goes on after a panic")
        }
    }

    /// Loom's atomics, with every order tried. By itself loom 0.7 remembers only the last access to an atomic, and when a
    /// thread reads one and then writes it, forgets who read it before: orders that matter are left out. Here all accesses
    /// touch one more object, which makes each of them a point where another thread may come first.
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::Ordering;

        loom::lazy_static! {
            /// Only ever written, relaxed, so it makes nothing visible that would not be without it.
            static ref TURNSTILE: loom::sync::atomic::AtomicBool = loom::sync::atomic::AtomicBool::new(false);
        }

        macro_rules! atomics {
            ($($name:ident: $type:ty { $($method:ident($($argument:ident: $of:ty),*) -> $answer:ty;)* })*) => {$(
                #[derive(Debug, Default)]
                pub(crate) struct $name(loom::sync::atomic::$name);

                impl $name {
                    pub(crate) fn new(value: $type) -> $name {
                        $name(loom::sync::atomic::$name::new(value))
                    }

                    $(pub(crate) fn $method(&self, $($argument: $of),*) -> $answer {
                        TURNSTILE.store(true, Ordering::Relaxed);
                        self.0.$method($($argument),*)
                    })*
                }
            )*};
        }

        atomics! {
            AtomicBool: bool {
                load(by: Ordering) -> bool;
                store(to: bool, by: Ordering) -> ();
                swap(to: bool, by: Ordering) -> bool;
            }
            AtomicI32: i32 { load(by: Ordering) -> i32; store(to: i32, by: Ordering) -> (); }
            AtomicU32: u32 { load(by: Ordering) -> u32; store(to: u32, by: Ordering) -> (); }
            AtomicUsize: usize {
                load(by: Ordering) -> usize;
                store(to: usize, by: Ordering) -> ();
                fetch_add(n: usize, by: Ordering) -> usize;
            }
            AtomicU64: u64 {
                load(by: Ordering) -> u64;
                store(to: u64, by: Ordering) -> ();
                fetch_add(n: u64, by: Ordering) -> u64;
                fetch_sub(n: u64, by: Ordering) -> u64;
                fetch_or(bits: u64, by: Ordering) -> u64;
                fetch_and(bits: u64, by: Ordering) -> u64;
                compare_exchange_weak(from: u64, to: u64, by: Ordering, or_by: Ordering) -> Result<u64, u64>;
            }
        }
    }
}

pub(crate) mod sys {
    pub(crate) mod wake {
        use std::io;
        use std::os::fd::{AsFd, BorrowedFd};

        use std::sync::atomic::{AtomicUsize, Ordering};

        use loom::sync::Notify;

        /// What an eventfd that is watched for edges knows. The count is the model's own, not the threads'.
        #[derive(Default)]
        struct Eventfd {
            written: Notify,
            writes: AtomicUsize,
        }

        loom::lazy_static! {
            /// A model has one worker, which has one descriptor.
            static ref EVENTFD: Eventfd = Eventfd::default();
        }

        /// The one descriptor.
        pub(crate) struct Wake;

        impl Wake {
            pub(crate) fn new() -> io::Result<Wake> {
                Ok(Wake)
            }

            pub(crate) fn wake(&self) -> bool {
                EVENTFD.writes.fetch_add(1, Ordering::Relaxed);
                EVENTFD.written.notify();
                true
            }
        }

        /// What `epoll_wait` does without a timeout: returns when something was written since it last did.
        pub(crate) fn wait() {
            EVENTFD.written.wait();
        }

        /// How often it was written to.
        pub(crate) fn writes() -> usize {
            EVENTFD.writes.load(Ordering::Relaxed)
        }

        impl AsFd for Wake {
            fn as_fd(&self) -> BorrowedFd<'_> {
                unreachable!("a model has no descriptors")
            }
        }
    }

    pub(crate) mod socket {
        use std::io;
        use std::os::fd::{BorrowedFd, RawFd};

        use crate::address::Address;

        pub(crate) fn with_raw<R>(_: RawFd, _: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
            unreachable!("a model has no descriptors")
        }

        pub(crate) fn local_address(_: BorrowedFd<'_>) -> io::Result<Address> {
            unreachable!("a model has no descriptors")
        }

        pub(crate) fn peer_credentials(_: BorrowedFd<'_>) -> Option<(i32, i32)> {
            unreachable!("a model has no descriptors")
        }
    }
}

pub(crate) mod registry {
    use std::sync::Arc;

    use crate::cell::Cell;
    use crate::error::Result;
    use crate::id::Id;
    use crate::inbox::Inbox;

    use super::sync::Mutex;

    /// The names of one worker, which has one cell.
    #[derive(Default)]
    pub(crate) struct Lane {
        pub(crate) cell: Cell,
        inbox: Mutex<Option<Arc<Inbox>>>,
    }

    loom::lazy_static! {
        /// The only lane; each run of a model begins with a new one.
        pub(crate) static ref LANE: Lane = Lane::default();
    }

    impl Lane {
        pub(crate) fn set_inbox(&self, inbox: Arc<Inbox>) {
            *self.inbox.lock() = Some(inbox);
        }

        pub(crate) fn with_inbox<R>(&self, act: impl FnOnce(&Inbox) -> R) -> Option<R> {
            self.inbox.lock().as_deref().map(act)
        }
    }

    pub(crate) fn find(_: Id) -> Result<(&'static Lane, &'static Cell)> {
        Ok((&LANE, &LANE.cell))
    }
}

pub(crate) mod info {
    use crate::address::Address;

    #[derive(Clone)]
    pub(crate) struct Facts {
        pub(crate) peer: Address,
    }
}

pub(crate) mod contain {
    pub(crate) fn fault(_: &str) {}
}

pub(crate) mod target {
    pub(crate) struct Target;
}

pub(crate) mod conn {
    use crate::error::{Code, Error};
    use crate::queue::Refusal;

    pub(crate) struct Conn {
        pub(crate) is_ending: bool,
    }

    pub(crate) fn refused(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Full => Error::new(Code::Full, "full"),
            Refusal::Sealed => Error::closed(),
        }
    }
}

pub(crate) mod worker {
    /// No thread of a model is the worker that a call looks for: all calls come from elsewhere.
    pub(crate) mod shard {
        use crate::cell::Ask;
        use crate::conn::Conn;
        use crate::error::Result;
        use crate::id::Id;

        pub(crate) fn send_locally(_: Id, _: &[&[u8]]) -> Option<Result<()>> {
            None
        }

        pub(crate) fn ask_locally(_: Id, ask: Ask, _: impl FnOnce(&Conn) -> Result<()>) -> Result<Option<Ask>> {
            Ok(Some(ask))
        }

        pub(crate) fn start_tls(_: Id) -> Option<Result<()>> {
            None
        }
    }
}
