//! Locks and atomics of what threads share, under one name, so that `tests/loom` can put its own in their place and try
//! every order of events.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic;
