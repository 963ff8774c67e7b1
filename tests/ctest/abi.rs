//! Size, alignment, sign, offset, bytes by value: each type and number of the header, asked of C and of
//! Rust. The build script has made the questions and compiled C's answers.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::too_many_lines,
    reason = "the included file is generated"
)]

use tlsloop::ffi::types::*;

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
