//! A connection as the host sees it: its name, its facts, and parts of what it sends.

use std::ffi::{c_char, c_int, c_void};

/// Names one connection.
///
/// It is a number and not a pointer: below 2^63, never 0, and never given to a second connection of
/// this process. Once `on_disconnect` has returned, every call with it answers TLSLOOP_ECLOSED, for
/// ever, also after the server is gone. It may be copied, compared, kept, and used from any thread.
pub type tlsloop_conn = u64;

/// A range of the host's bytes, for calls that take several as one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tlsloop_slice {
    /// The first byte; may be NULL if `len` is 0. It is read during the call only.
    pub data: *const c_void,
    /// How many bytes.
    pub len: usize,
}

/// What is known of a connection. The host sets `size` (TLSLOOP_INFO_INIT), tlsloop fills the rest.
///
/// Text is cut to fit, ends in 0, and is "" where there is none. The struct is the host's own copy and
/// outlives the connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tlsloop_info {
    /// `sizeof(tlsloop_info)` as the host was compiled; so many bytes are written.
    pub size: usize,
    /// The other end: `192.0.2.7:5123`, `[2001:db8::7]:5123`, `unix:/run/x.sock`; behind a PROXY header
    /// the client that it names.
    pub peer: [c_char; 128],
    /// This end, written like `peer`.
    pub local: [c_char; 128],
    /// Behind a PROXY header: who sent it.
    pub balancer: [c_char; 128],
    /// "TLSv1.3".
    pub version: [c_char; 16],
    /// OpenSSL's name of the cipher suite, "TLS_AES_256_GCM_SHA384".
    pub cipher: [c_char; 64],
    /// The group of the key exchange, "x25519".
    pub group: [c_char; 64],
    /// The protocol that ALPN chose (RFC 7301), "h2".
    pub alpn: [c_char; 64],
    /// The name that the client asked for (RFC 6066, 3).
    pub sni: [c_char; 256],
    /// Subject of the peer's certificate (RFC 2253).
    pub subject: [c_char; 512],
    /// Issuer of the peer's certificate (RFC 2253).
    pub issuer: [c_char; 512],
    /// Subject alternative names of the peer's certificate, "DNS:a,IP:192.0.2.7".
    pub san: [c_char; 2048],
    /// SHA-256 of the peer's certificate in DER, 64 lower-case hexadecimal digits.
    pub sha256: [c_char; 65],
    /// 1 if TLS is up.
    pub is_tls: c_int,
    /// 1 if the handshake resumed an earlier session.
    pub is_resumed: c_int,
    /// 1 if the peer sent a certificate, or its resumed session did.
    pub has_certificate: c_int,
    /// OpenSSL's verdict on that certificate, X509_V_OK (0) or another X509_V_ value
    /// (SSL_get_verify_result(3)).
    pub verify_result: c_int,
    /// 1 if `san` had to be cut.
    pub san_truncated: c_int,
    /// Unix sockets: process id of the other end when it connected (unix(7), SO_PEERCRED); else -1.
    pub peer_pid: c_int,
    /// Unix sockets: user id of the other end when it connected; else -1.
    pub peer_uid: c_int,
    /// Bytes that were handed to `on_data`.
    pub bytes_in: u64,
    /// Bytes of the host's that were handed to the kernel, before encryption.
    pub bytes_out: u64,
    /// Milliseconds since the connection was accepted or made.
    pub age_ms: u64,
}
