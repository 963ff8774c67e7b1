//! The types and numbers of the contract, in the header's order.
//!
//! These files use nothing but `std` and each other, so that the ABI test can hold them against the
//! header as C compiles it. Structs grow only at their end.
#![allow(non_camel_case_types, reason = "the names are those of the C header")]

mod client;
mod conn;
mod constants;
mod server;

pub use client::*;
pub use conn::*;
pub use constants::*;
pub use server::*;
