//! What the threads of tlsloop share, under a scheduler that tries every order of events and every value that a weak
//! memory may show (<https://docs.rs/loom>).
//!
//! The sources are those of the library; only their locks, their atomics and what wakes a worker are loom's. What a
//! model says of a worker in its own words names the function that it stands for.

// A model uses a part of what it includes.
#![allow(dead_code)]

#[path = "../../../src/address.rs"]
mod address;
#[path = "../../../src/calls.rs"]
mod calls;
#[path = "../../../src/cell.rs"]
mod cell;
#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/host.rs"]
mod host;
#[path = "../../../src/id.rs"]
mod id;
#[path = "../../../src/inbox.rs"]
mod inbox;
#[path = "../../../src/queue.rs"]
mod queue;
#[path = "../../../src/slab.rs"]
mod slab;
#[path = "../../../src/stats.rs"]
mod stats;

mod stand_in;
use stand_in::{conn, contain, info, registry, sync, sys, target, worker};
pub use stand_in::{try_every_order, try_orders};

pub mod cells;
pub mod gauges;
pub mod inboxes;
pub mod snapshots;
