//! The server: what it calls, how it is set up, what it counts.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::conn::tlsloop_conn;

/// Certificates, trust and TLS policy. Any number of servers and clients may use one; each keeps a
/// reference, so the host may free its own at once.
pub struct tlsloop_tls {
    _private: [u8; 0],
}

/// A running server. Made by `tlsloop_server_start`, freed by `tlsloop_server_stop`.
pub struct tlsloop_server {
    _private: [u8; 0],
}

/// What the server tells the host. Set `size`, best by TLSLOOP_CALLBACKS_INIT; any other member may be
/// NULL.
///
/// A connection's callbacks run on its worker's thread, never two at once, and `on_disconnect` is the
/// last of them. They may call every function that takes a connection. No lock of tlsloop's is held
/// meanwhile, but the other connections of that worker wait: don't block. A callback must return: it
/// may neither throw nor `longjmp` nor end its thread. `user` is the configuration's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tlsloop_callbacks {
    /// `sizeof(tlsloop_callbacks)` as the host was compiled.
    pub size: usize,
    /// The connection is up. With TLS: its handshake is done; in plain modes: it was accepted.
    pub on_connect: Option<unsafe extern "C" fn(conn: tlsloop_conn, user: *mut c_void)>,
    /// `len` bytes arrived, at least one. `data` is valid until the callback returns.
    pub on_data: Option<unsafe extern "C" fn(conn: tlsloop_conn, data: *const c_void, len: usize, user: *mut c_void)>,
    /// The send queue was full (a send answered TLSLOOP_EFULL) and has fallen to low water. Once for
    /// each time that it was full; not once the connection has begun to close.
    pub on_drain: Option<unsafe extern "C" fn(conn: tlsloop_conn, user: *mut c_void)>,
    /// The peer sent close_notify and will send no more; the host may go on sending until it closes.
    /// NULL: tlsloop closes the connection itself.
    pub on_end: Option<unsafe extern "C" fn(conn: tlsloop_conn, user: *mut c_void)>,
    /// The connection has ended, once for each `on_connect`. `reason` is one of TLSLOOP_REASON_*, and
    /// `tlsloop_last_error` tells the end in a sentence. The connection's data and facts can still be
    /// read here, not after.
    pub on_disconnect: Option<unsafe extern "C" fn(conn: tlsloop_conn, reason: c_int, user: *mut c_void)>,
    /// A peer has connected; TLS has not begun. Non-zero refuses it, and nothing more is said of it.
    /// It belongs to no connection: several workers may run it at once. `peer` is valid until the
    /// callback returns.
    pub on_accept: Option<unsafe extern "C" fn(peer: *const c_char, user: *mut c_void) -> c_int>,
    /// TLS is up on a connection that began in TLSLOOP_MODE_STARTTLS.
    pub on_tls: Option<unsafe extern "C" fn(conn: tlsloop_conn, user: *mut c_void)>,
    /// A connection failed before its `on_connect`, which will not come. `code` is one of TLSLOOP_E*,
    /// `why` is a sentence; both strings are valid until the callback returns. Several workers may run
    /// it at once.
    pub on_handshake_failed: Option<
        unsafe extern "C" fn(
            conn: tlsloop_conn,
            code: c_int,
            peer: *const c_char,
            why: *const c_char,
            user: *mut c_void,
        ),
    >,
    /// One line for the log, without a line end, valid until the callback returns. `level` is one of
    /// TLSLOOP_LOG_*. Any worker may run it, several at once, and also a thread that is inside a call. Calls that
    /// it makes write no lines to it.
    pub on_log: Option<unsafe extern "C" fn(level: c_int, line: *const c_char, user: *mut c_void)>,
    /// A worker's thread begins; on that thread, before any other callback there.
    pub on_worker_start: Option<unsafe extern "C" fn(worker: c_uint, user: *mut c_void)>,
    /// A worker's thread ends; on that thread, after every other callback there.
    pub on_worker_stop: Option<unsafe extern "C" fn(worker: c_uint, user: *mut c_void)>,
}

/// How a server is set up. Set `size`, best by TLSLOOP_SERVER_CONFIG_INIT; 0 is each other member's
/// default.
///
/// Strings and both structs are copied; the host may free them once the server is started.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tlsloop_server_config {
    /// `sizeof(tlsloop_server_config)` as the host was compiled.
    pub size: usize,
    /// Where to listen: "0.0.0.0", "::", "localhost" (the first of its addresses), "unix:/run/x.sock".
    /// NULL: "::" for IPv6 and IPv4 together, or "0.0.0.0" where there is no IPv6.
    pub address: *const c_char,
    /// 0: open `address`. Above 0: use this listening stream socket; it passes to the server only if the
    /// start answers TLSLOOP_OK, and is never shut down. TLSLOOP_NO_LISTENER: listen nowhere.
    pub listen_fd: c_int,
    /// TLSLOOP_MODE_*.
    pub mode: c_int,
    /// The port; 0: the system picks a free one, which the server then tells.
    pub port: u16,
    /// Certificates and policy; may be NULL in TLSLOOP_MODE_PLAIN only. A reference is kept.
    pub tls: *mut tlsloop_tls,
    /// What to call; NULL: nothing. Copied.
    pub callbacks: *const tlsloop_callbacks,
    /// Handed to every callback; tlsloop does not look at it.
    pub user: *mut c_void,
    /// How many threads serve: 0: one; TLSLOOP_PER_CPU; TLSLOOP_HOST_DRIVEN: none.
    pub workers: c_uint,
    /// Connections at once, above which new ones are refused; 0: no limit.
    pub max_connections: c_uint,
    /// Handshakes at once; while so many run, accepting waits. 0: 1024; TLSLOOP_NONE: no limit. TLS that is started on a
    /// connection which is up (STARTTLS) does not count: `max_connections` bounds it.
    pub max_handshakes: c_uint,
    /// Connections at once from one address, above which new ones are refused; 0: no limit.
    pub max_connections_per_ip: c_uint,
    /// Milliseconds from accept to the end of the handshake, a PROXY header and the choice of
    /// TLSLOOP_MODE_DETECT included; 0: 10 s; TLSLOOP_NONE: never ends.
    pub handshake_timeout_ms: c_uint,
    /// Milliseconds without a byte in either direction; 0: never ends.
    pub idle_timeout_ms: c_uint,
    /// Milliseconds without the kernel taking a byte while some wait; 0: 30 s; TLSLOOP_NONE: never ends.
    pub send_timeout_ms: c_uint,
    /// Milliseconds for the end of a connection, restarted whenever the kernel takes bytes, and once more
    /// when close_notify has left; 0: 5 s; TLSLOOP_NONE: never ends.
    pub close_timeout_ms: c_uint,
    /// Bytes in one connection's send queue from which on sends answer TLSLOOP_EFULL; 0: 1 MiB.
    pub send_high_water: usize,
    /// Bytes to which a full queue must fall before `on_drain`; 0: a quarter of high water. Above high
    /// water: TLSLOOP_EINVAL.
    pub send_low_water: usize,
    /// Connections that the kernel keeps until they are accepted (listen(2)); 0: SOMAXCONN.
    pub backlog: c_int,
    /// Up to which level `on_log` is called, TLSLOOP_LOG_*; 0: TLSLOOP_LOG_WARN.
    pub log_level: c_int,
    /// TLSLOOP_PROXY_*.
    pub proxy_protocol: c_int,
    /// Whose PROXY headers are believed, "10.0.0.0/8, ::1, unix"; nobody else is taken then. "::/0" does not include IPv4.
    /// NULL with TLSLOOP_PROXY_REQUIRED: TLSLOOP_EINVAL.
    pub proxy_trusted: *const c_char,
}

/// What a server has counted since its start. The host sets `size` (TLSLOOP_STATS_INIT), tlsloop fills
/// the rest.
///
/// In every snapshot `open` is `connects - disconnects`, and `disconnects` is the sum of its reasons.
/// `open`, `handshaking` and `queued_bytes` are gauges; the others never fall.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tlsloop_stats {
    /// `sizeof(tlsloop_stats)` as the host was compiled; so many bytes are written.
    pub size: usize,
    /// Connections that the kernel handed out, refused ones included, those that the host did, and those that the server
    /// began for it.
    pub accepted: u64,
    /// Refused by `on_accept`.
    pub refused_callback: u64,
    /// Refused above `max_connections`.
    pub refused_limit: u64,
    /// Refused above `max_connections_per_ip`.
    pub refused_per_ip: u64,
    /// Refused because descriptors were out.
    pub refused_descriptors: u64,
    /// Refused for the PROXY header, or for the lack of one.
    pub refused_proxy: u64,
    /// TLS handshakes that were completed.
    pub handshakes: u64,
    /// Connections that failed before `on_connect`, one for each `on_handshake_failed`. One that sent a wrong PROXY header
    /// counts in `refused_proxy` as well; one that was handed in and is above `max_connections_per_ip`, in `refused_per_ip`.
    pub handshakes_failed: u64,
    /// Completed handshakes that resumed an earlier session.
    pub handshakes_resumed: u64,
    /// Connections that came up; counted before their `on_connect`.
    pub connects: u64,
    /// Connections that ended; counted after their `on_disconnect` has returned.
    pub disconnects: u64,
    /// The same by TLSLOOP_REASON_*; the places behind the last reason are 0.
    pub disconnects_by_reason: [u64; 16],
    /// Bytes handed to `on_data`.
    pub bytes_in: u64,
    /// Bytes of the host's that were handed to the kernel, before encryption.
    pub bytes_out: u64,
    /// Sends that were answered TLSLOOP_EFULL.
    pub sends_refused: u64,
    /// Connections that are up.
    pub open: u64,
    /// Connections that are not up yet.
    pub handshaking: u64,
    /// Bytes in all send queues.
    pub queued_bytes: u64,
}
