//! Harnesses: each takes any bytes, makes of them what a peer sends, what a program calls or what a file holds, and holds
//! the library to what it promises. Without a panic there is no finding.
//!
//! The same bytes do the same: one thread, a loop in the harness's hands, no deadline that could pass, and random numbers
//! that are counted ([`openssl::reseed`]). `unsafe` is in `c` (the library as C sees it) and `openssl` alone.

#![deny(unsafe_code, unsafe_op_in_unsafe_fn, missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]

pub mod api;
pub mod c;
pub mod detect;
pub mod header;
pub mod input;
pub mod life;
pub mod loaders;
pub mod openssl;
pub mod peer;
pub mod reached;
pub mod server;
pub mod settings;
pub mod stage;
pub mod world;

use reached::Reached;

/// A harness: its name, which is its corpus' too, what it does, and what its corpus must reach.
pub struct Harness {
    /// As `make fuzz TARGET=` takes it.
    pub name: &'static str,
    /// Runs it once; a panic is a finding.
    pub run: fn(&[u8]) -> Reached,
    /// If one of these is missed by all of the corpus, the harness has lost its way in.
    pub must_reach: &'static [&'static str],
}

/// All of them.
pub const HARNESSES: [Harness; 6] = [
    Harness { name: "server", run: server::run, must_reach: server::MUST_REACH },
    Harness { name: "api", run: api::run, must_reach: api::MUST_REACH },
    Harness { name: "proxy", run: header::run, must_reach: header::MUST_REACH },
    Harness { name: "detect", run: detect::run, must_reach: detect::MUST_REACH },
    Harness { name: "loaders", run: loaders::run, must_reach: loaders::MUST_REACH },
    Harness { name: "settings", run: settings::run, must_reach: settings::MUST_REACH },
];

/// The harness of that name.
pub fn harness(name: &str) -> Option<&'static Harness> {
    HARNESSES.iter().find(|harness| harness.name == name)
}
