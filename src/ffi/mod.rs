//! The door to the host: what a C program calls, in the order in which the header prints it.
//!
//! Every export is three moves: convert the host's values (`read`), call one safe function of the core,
//! convert back (`write`), all within the guard (`guard`). There is no logic, lock or loop here.
//! `build.rs` names the files that make up the header.
#![allow(unsafe_code)]

pub mod types;

pub mod error;

pub mod tls;

pub mod tls_trust;

pub mod tls_protocol;

pub mod server;

pub mod conn;

pub mod client;

mod config;
pub(crate) mod guard;
mod host;
mod info;
pub(crate) mod read;
mod sizes;
pub(crate) mod write;

#[cfg(test)]
mod tests;
