//! TLS: the door to OpenSSL, the policy that a host sets, and one connection's stream.

mod patience;
pub mod policy;
pub(crate) mod raw;
pub(crate) mod stream;
pub(crate) mod wire;
