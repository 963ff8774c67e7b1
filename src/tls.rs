//! TLS: the door to OpenSSL, the policy that a host sets, and one connection's stream.

#[allow(dead_code, reason = "the server and the client call it")]
pub mod policy;
#[allow(dead_code, unused_imports, reason = "the server and the client call it")]
pub(crate) mod raw;
pub(crate) mod stream;
pub(crate) mod wire;
