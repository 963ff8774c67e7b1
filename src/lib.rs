//! TLS servers and clients for C programs: an `epoll(7)` and OpenSSL core behind a small C header.
//!
//! C programs see `include/tlsloop.h`, made from `ffi`. The rest is safe Rust above two thin doors,
//! `sys` (libc) and `tls::raw` (OpenSSL).

#![deny(unsafe_code, unsafe_op_in_unsafe_fn, missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]

pub mod address;
mod calls;
mod cell;
pub mod client;
mod conn;
pub mod contain;
pub mod error;
mod exit;
#[doc(hidden)]
pub mod ffi;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod host;
pub mod id;
mod inbox;
mod info;
mod listener;
mod log;
pub mod proxy;
pub mod queue;
pub mod rare;
mod registry;
mod resolver;
pub mod server;
mod service;
pub mod slab;
pub mod stats;
mod sync;
mod sys;
mod target;
pub mod timer;
pub mod tls;
pub mod trust;
mod worker;
