//! The blocking client, and what a server needs to connect to another.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::server::tlsloop_tls;

/// A blocking client. Made by `tlsloop_client_connect`, freed by `tlsloop_client_close`; one thread at
/// a time.
pub struct tlsloop_client {
    _private: [u8; 0],
}

/// Where to connect to and how. Set `size`, best by TLSLOOP_CLIENT_CONFIG_INIT; 0 is each other
/// member's default.
///
/// Strings and the struct itself are read during the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tlsloop_client_config {
    /// `sizeof(tlsloop_client_config)` as the host was compiled.
    pub size: usize,
    /// Name or address of the server: "a.example", "192.0.2.7", "2001:db8::7" (also in brackets), or "unix:/run/x.sock".
    pub host: *const c_char,
    /// The name to ask for (SNI, RFC 6066) and to find in the certificate; NULL: `host`, or "localhost" for a unix socket.
    pub server_name: *const c_char,
    /// Trust and policy; NULL: the system's trust, verified. A reference is kept.
    pub tls: *mut tlsloop_tls,
    /// Connections that a server makes: the connection's data from its start. Else not used.
    pub data: *mut c_void,
    /// TLSLOOP_MODE_TLS, TLSLOOP_MODE_PLAIN or TLSLOOP_MODE_STARTTLS.
    pub mode: c_int,
    /// The server's port; not looked at for a unix socket.
    pub port: u16,
    /// Milliseconds for everything from the look-up to the end of the handshake; 0: 10 s;
    /// TLSLOOP_NONE: never ends.
    pub connect_timeout_ms: c_uint,
    /// Milliseconds for one blocking send or receive; 0: 30 s; TLSLOOP_NONE: never ends.
    pub io_timeout_ms: c_uint,
}
