//! The numbers of the contract. They are never changed and never used again for something else.

use std::ffi::{c_int, c_uint};

/// Done.
pub const TLSLOOP_OK: c_int = 0;
/// An argument is wrong; the sentence of `tlsloop_last_error` names it.
pub const TLSLOOP_EINVAL: c_int = -1;
/// Memory for a send queue or for OpenSSL is out. Elsewhere tlsloop ends the process when memory is out.
pub const TLSLOOP_ENOMEM: c_int = -2;
/// A system call failed; the sentence holds errno's own words.
pub const TLSLOOP_ESYS: c_int = -3;
/// OpenSSL refused; the sentence holds its own words.
pub const TLSLOOP_ETLS: c_int = -4;
/// The peer's certificate is not trusted.
pub const TLSLOOP_EVERIFY: c_int = -5;
/// The connection is ended or ending, also long ago.
pub const TLSLOOP_ECLOSED: c_int = -6;
/// The send queue is full and nothing was queued; `on_drain` will follow.
pub const TLSLOOP_EFULL: c_int = -7;
/// A deadline passed.
pub const TLSLOOP_ETIMEDOUT: c_int = -8;
/// The peer ended without close_notify: what came before may be cut off (RFC 8446, 6.1).
pub const TLSLOOP_ETRUNCATED: c_int = -9;
/// The call would wait for itself, for instance a stop inside a callback.
pub const TLSLOOP_EDEADLK: c_int = -10;
/// Not possible in this state or mode; also every call in a child forked under a running server.
pub const TLSLOOP_ESTATE: c_int = -11;
/// A defect in tlsloop, contained. The sentence is worth a bug report.
pub const TLSLOOP_EINTERNAL: c_int = -12;

/// The peer sent close_notify (in plain mode: FIN), and everything before it was delivered.
pub const TLSLOOP_REASON_PEER: c_int = 0;
/// The host ended or closed the connection, and every byte it sent was handed to the kernel.
pub const TLSLOOP_REASON_HOST: c_int = 1;
/// FIN without close_notify: the peer, or somebody between, may have cut the stream off.
pub const TLSLOOP_REASON_TRUNCATED: c_int = 2;
/// RST, or a failed write.
pub const TLSLOOP_REASON_RESET: c_int = 3;
/// A TLS error or alert.
pub const TLSLOOP_REASON_PROTOCOL: c_int = 4;
/// Nothing moved for `idle_timeout_ms`.
pub const TLSLOOP_REASON_IDLE_TIMEOUT: c_int = 5;
/// The kernel took no byte for `send_timeout_ms`, or for `close_timeout_ms` with bytes left.
pub const TLSLOOP_REASON_SEND_TIMEOUT: c_int = 6;
/// Ended by the stop of the server.
pub const TLSLOOP_REASON_STOPPED: c_int = 7;
/// The host aborted the connection.
pub const TLSLOOP_REASON_ABORTED: c_int = 8;
/// A system call, or tlsloop itself, failed.
pub const TLSLOOP_REASON_SYSTEM: c_int = 9;

/// Every connection begins with a TLS handshake.
pub const TLSLOOP_MODE_TLS: c_int = 0;
/// No TLS at all.
pub const TLSLOOP_MODE_PLAIN: c_int = 1;
/// Plain until the host starts TLS on the connection.
pub const TLSLOOP_MODE_STARTTLS: c_int = 2;
/// TLS if the first bytes are 16 03 0x (RFC 8446, 5.1), else plain; decided within the handshake deadline.
pub const TLSLOOP_MODE_DETECT: c_int = 3;

/// Servers ask for no certificate, clients require one.
pub const TLSLOOP_VERIFY_DEFAULT: c_int = 0;
/// The peer's certificate is not looked at: the peer may be anybody.
pub const TLSLOOP_VERIFY_NONE: c_int = 1;
/// Servers only: a certificate is asked for; one that is sent must be trusted.
pub const TLSLOOP_VERIFY_OPTIONAL: c_int = 2;
/// The peer must send a certificate that is trusted.
pub const TLSLOOP_VERIFY_REQUIRED: c_int = 3;

/// No PROXY protocol: the first bytes are the client's own.
pub const TLSLOOP_PROXY_OFF: c_int = 0;
/// A PROXY header of version 1 or 2 must come before anything else.
pub const TLSLOOP_PROXY_REQUIRED: c_int = 1;

/// The server cannot do its work.
pub const TLSLOOP_LOG_ERROR: c_int = 1;
/// Something unusual that a person should see. A level of 0 in the configuration means this one.
pub const TLSLOOP_LOG_WARN: c_int = 2;
/// The life of the server.
pub const TLSLOOP_LOG_INFO: c_int = 3;
/// The life of each connection.
pub const TLSLOOP_LOG_DEBUG: c_int = 4;

// cbindgen prints neither `~0u` nor 0x0303: in the header these stand in the trailer (cbindgen.toml).

/// TLS 1.2 (RFC 5246), the number on the wire.
pub const TLSLOOP_TLS1_2: c_int = 0x0303;
/// TLS 1.3 (RFC 8446), the number on the wire.
pub const TLSLOOP_TLS1_3: c_int = 0x0304;
/// Of a limit: none; of a timeout: never.
pub const TLSLOOP_NONE: c_uint = !0;
/// Of `workers`: no thread, the host polls.
pub const TLSLOOP_HOST_DRIVEN: c_uint = !0;
/// Of `workers`: one thread for each CPU in the affinity mask.
pub const TLSLOOP_PER_CPU: c_uint = !0 - 1;
/// Of `listen_fd`: the server has no listening socket.
pub const TLSLOOP_NO_LISTENER: c_int = -1;
