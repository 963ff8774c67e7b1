//! Servers: start, wait, stop, and what they tell.

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::IntoRawFd;
use std::time::Duration;

use super::client::client_config;
use super::config::{callbacks, server_config};
use super::guard::{guard, guard_int, visiting};
use super::host::Callbacks;
use super::read::{host_out, host_ref, host_struct};
use super::tls::policy;
use super::types::*;
use super::write::fill_struct;
use crate::error::{Error, Result};
use crate::server::Server;
use crate::stats::Snapshot;
use crate::sys::fork;
use crate::worker::Timeout;

/// The server behind a handle.
///
/// # Safety
/// `server` is NULL or came from `tlsloop_server_start` and was not stopped; no stop runs during `'a`.
unsafe fn server<'a>(server: *const tlsloop_server) -> Result<&'a Server> {
    // SAFETY: as this function.
    unsafe { host_ref("server", server.cast::<Server>()) }
}

/// Starts a server: it listens, and its workers run, when the call returns TLSLOOP_OK.
///
/// `config`, its texts and its callback table are copied and may go when the call returns; `config->tls` keeps a
/// reference of the server's own and is frozen, but in TLSLOOP_MODE_PLAIN. `config->listen_fd` passes to the server on
/// TLSLOOP_OK only.
/// `*out` is written before the first callback runs, and only on TLSLOOP_OK; the host ends the server with
/// tlsloop_server_stop(). Any thread may call it; not to be called before daemon(3), which would leave the threads behind.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for a member that is wrong (a certificate or trust that is missing, too);
/// TLSLOOP_ESYS where the system refused, for example a port in use; TLSLOOP_ETLS where OpenSSL did; TLSLOOP_ESTATE if the
/// process would have more than 4096 workers; TLSLOOP_EDEADLK for a host-driven server in a callback.
/// tlsloop_last_error() names the culprit. On failure nothing is left behind.
///
/// # Safety
/// `config` is NULL or points to a struct of the size that it states; `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_start(
    config: *const tlsloop_server_config,
    out: *mut *mut tlsloop_server,
) -> c_int {
    guard("tlsloop_server_start", || {
        // SAFETY: the caller's promise.
        let config = unsafe { host_struct("config", config)? };
        let out = host_out("out", out)?;
        // SAFETY: the caller's promise.
        let host = Callbacks::new(unsafe { callbacks(config.callbacks)? }, config.user);
        // SAFETY: the caller's promise.
        let server = Box::new(Server::start(&unsafe { server_config(&config)? }, Box::new(host))?);
        let server = Box::into_raw(server);
        // SAFETY: `out` is writable, and the server was just made.
        unsafe {
            out.write(server.cast());
            (*server).begin();
        }
        Ok(())
    })
}

/// Waits until tlsloop_server_request_stop() was called; a host-driven server is polled until then.
///
/// Returns TLSLOOP_OK, at once if the stop was requested before; TLSLOOP_EDEADLK in a callback; TLSLOOP_ESTATE if another
/// thread is polling; TLSLOOP_EINVAL for NULL. The server runs on: tlsloop_server_stop() ends it.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_wait(server: *mut tlsloop_server) -> c_int {
    // SAFETY: the caller's promise.
    guard("tlsloop_server_wait", || unsafe { self::server(server)? }.wait())
}

/// Makes tlsloop_server_wait() return; host-driven, the descriptor becomes readable and tlsloop_server_poll() returns 1.
/// Nothing else changes: connections are served until tlsloop_server_stop().
///
/// Async-signal-safe (signal-safety(7)): meant for handlers of SIGTERM. errno and tlsloop_last_error() stay as they are.
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE in a forked child.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_request_stop(server: *mut tlsloop_server) -> c_int {
    // No guard: it would set the last error, and a signal may arrive in the middle of that.
    if fork::is_child() {
        return TLSLOOP_ESTATE;
    }
    // SAFETY: the caller's promise.
    match unsafe { server.cast::<Server>().as_ref() } {
        Some(server) => {
            server.request_stop();
            TLSLOOP_OK
        }
        None => TLSLOOP_EINVAL,
    }
}

/// Stops accepting and serves on. What the kernel has queued is still accepted, up to `max_connections`; then the server
/// closes its copy of the listening socket, and the file of a unix socket goes. Where another process holds the socket, no
/// connection is lost.
///
/// Any thread and any callback may call it; again, it does nothing. Returns TLSLOOP_OK or TLSLOOP_EINVAL for NULL.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_drain(server: *mut tlsloop_server) -> c_int {
    guard("tlsloop_server_drain", || {
        // SAFETY: the caller's promise.
        unsafe { self::server(server)? }.drain();
        Ok(())
    })
}

/// Ends a server: accepts no more, ends each connection in good order (queued bytes, close_notify, the peer's end) for up
/// to `grace_ms` milliseconds, cuts off those that are left, joins the threads, frees everything.
///
/// Connections that it ends are reported with TLSLOOP_REASON_STOPPED; host-driven, the remaining callbacks run on the
/// calling thread. When it has returned, no callback runs any more and `server` is gone. `grace_ms` 0: no waiting.
///
/// Returns TLSLOOP_OK, also for NULL. TLSLOOP_EDEADLK in a callback and TLSLOOP_ESTATE while another thread is in
/// tlsloop_server_wait() or tlsloop_server_poll(): the server runs on. Any other result has freed it.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_stop(server: *mut tlsloop_server, grace_ms: c_uint) -> c_int {
    guard("tlsloop_server_stop", || {
        if server.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self::server(server)? }.stop(Duration::from_millis(u64::from(grace_ms)))?;
        // SAFETY: it came from `Box::into_raw`, and the caller gives it up.
        drop(unsafe { Box::from_raw(server.cast::<Server>()) });
        Ok(())
    })
}

/// The port that the server listens on, for configurations with port 0; 0 on a unix socket.
///
/// Returns the port; TLSLOOP_ESTATE without a listening socket; TLSLOOP_EINVAL for NULL.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_port(server: *const tlsloop_server) -> c_int {
    // SAFETY: the caller's promise.
    guard_int("tlsloop_server_port", || unsafe { self::server(server)? }.port().map(c_int::from))
}

/// A duplicate of the listening socket, close-on-exec, to hand to a successor process. The host closes it.
///
/// Returns the descriptor; TLSLOOP_ESTATE without a listening socket or after tlsloop_server_drain(); TLSLOOP_ESYS where
/// the system refused; TLSLOOP_EINVAL for NULL.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_listen_fd(server: *const tlsloop_server) -> c_int {
    // SAFETY: the caller's promise.
    guard_int("tlsloop_server_listen_fd", || Ok(unsafe { self::server(server)? }.listen_fd()?.into_raw_fd()))
}

/// Uses another policy for new handshakes. One whose ClientHello was read keeps the old one, and so do connections.
///
/// Any thread and any callback may call it. Returns TLSLOOP_OK; otherwise nothing has changed: TLSLOOP_EINVAL for NULL or a
/// policy that cannot serve, TLSLOOP_ESTATE in plain mode, TLSLOOP_ETLS where OpenSSL refused.
///
/// # Safety
/// Both are NULL or alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_set_tls(server: *mut tlsloop_server, tls: *mut tlsloop_tls) -> c_int {
    // SAFETY: the caller's promises.
    guard("tlsloop_server_set_tls", || unsafe { self::server(server)?.set_tls(&*policy(tls)?) })
}

/// Takes over a connected stream socket that the host accepted itself, also descriptor 0 under inetd. The handshake
/// follows, then on_connect, or on_handshake_failed instead.
///
/// `data` is the connection's data from the start. `*out` (may be NULL) is written before the first callback can run, on
/// TLSLOOP_OK only, and only then does `fd` pass to the server: non-blocking, close-on-exec and, over TCP, with TCP_NODELAY.
/// Any thread and any callback may call it.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or an `fd` that is not a connected stream socket; TLSLOOP_ESTATE at a limit
/// of connections, or for a peer that must send a PROXY header and is not in `config->proxy_trusted`; TLSLOOP_ECLOSED once
/// the server is stopping; TLSLOOP_ESYS where the system refused.
///
/// # Safety
/// `server` is NULL or a server that was not stopped; `out` is NULL or writable; `fd` is the host's to give.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_adopt(
    server: *mut tlsloop_server,
    fd: c_int,
    data: *mut c_void,
    out: *mut tlsloop_conn,
) -> c_int {
    guard("tlsloop_server_adopt", || {
        // SAFETY: the caller's promise.
        unsafe { self::server(server)? }.adopt(fd, data.expose_provenance(), |id| {
            if !out.is_null() {
                // SAFETY: the caller's promise.
                unsafe { out.write(id.to_u64()) }
            }
        })
    })
}

/// Begins a connection to another server; it then has the same callbacks as an accepted one, but for on_accept.
///
/// Look-up, connection and, in TLSLOOP_MODE_TLS, the handshake have `config->connect_timeout_ms` in all; the addresses of a
/// name are tried one after the other. Then follows on_connect, or on_handshake_failed instead. `config->data` is the
/// connection's data from the start, `config->tls` says whom to trust and is frozen, the mode and the policy of the server
/// itself do not matter. With TLSLOOP_MODE_STARTTLS, tlsloop_conn_start_tls() begins the handshake of a client.
/// `config->io_timeout_ms` is not looked at. A name is looked up by a thread of the server's that begins with the first one,
/// and by others, eight in all, while that waits for an answer; an address needs none.
///
/// `config` and its texts are read during the call only. `*out` (may be NULL) is written before the first callback can run,
/// on TLSLOOP_OK only. What is sent before on_connect leaves when the connection is up; to close it before gives
/// on_handshake_failed. Any thread and any callback may call it; it never waits.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or a member that is wrong; TLSLOOP_ESTATE at the limit of connections;
/// TLSLOOP_ECLOSED once the server is stopping; TLSLOOP_ESYS without a descriptor or thread to be had; TLSLOOP_ETLS.
///
/// # Safety
/// `server` is NULL or a server that was not stopped; `config` is NULL or points to a struct of the size that it states;
/// `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_connect(
    server: *mut tlsloop_server,
    config: *const tlsloop_client_config,
    out: *mut tlsloop_conn,
) -> c_int {
    guard(
        "tlsloop_server_connect",
        visiting(|| {
            // SAFETY: the caller's promise.
            let server = unsafe { self::server(server)? };
            // SAFETY: the caller's promise.
            let config = unsafe { host_struct("config", config)? };
            // SAFETY: the caller's promise.
            let target = unsafe { client_config(&config)? };
            server.connect(&target, config.data.expose_provenance(), |id| {
                if !out.is_null() {
                    // SAFETY: the caller's promise.
                    unsafe { out.write(id.to_u64()) }
                }
            })
        }),
    )
}

/// Counts, as of now. In every snapshot `open == connects - disconnects`, and `disconnects` is the sum of its reasons.
///
/// Any thread and any callback may call it; `out->size` says how much it holds. Returns TLSLOOP_OK or TLSLOOP_EINVAL.
///
/// # Safety
/// `server` is NULL or a server that was not stopped; `out` is NULL or a struct of the size that it states.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_stats(server: *const tlsloop_server, out: *mut tlsloop_stats) -> c_int {
    guard("tlsloop_server_stats", || {
        // SAFETY: the caller's promises.
        unsafe { fill_struct("out", out, &stats(&self::server(server)?.stats())) }
    })
}

fn stats(from: &Snapshot) -> tlsloop_stats {
    tlsloop_stats {
        size: 0,
        accepted: from.accepted,
        refused_callback: from.refused_callback,
        refused_limit: from.refused_limit,
        refused_per_ip: from.refused_per_ip,
        refused_descriptors: from.refused_descriptors,
        refused_proxy: from.refused_proxy,
        handshakes: from.handshakes,
        handshakes_failed: from.handshakes_failed,
        handshakes_resumed: from.handshakes_resumed,
        connects: from.connects,
        disconnects: from.disconnects(),
        disconnects_by_reason: from.ends,
        bytes_in: from.bytes_in,
        bytes_out: from.bytes_out,
        sends_refused: from.sends_refused,
        open: from.open(),
        handshaking: from.handshaking(),
        queued_bytes: from.queued_bytes(),
    }
}

/// Host-driven: the descriptor to watch for reading in the host's own loop. It is level-triggered, stays readable while
/// work is left and becomes readable when a deadline has come, so the host needs no other wake-up. A loop that watches by
/// edge (EPOLLET) has to poll until the descriptor is no longer readable. It belongs to the server; close it not.
///
/// Returns the descriptor; TLSLOOP_ESTATE for a server with worker threads; TLSLOOP_EINVAL for NULL.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_fd(server: *const tlsloop_server) -> c_int {
    // SAFETY: the caller's promise.
    guard_int("tlsloop_server_fd", || unsafe { self::server(server)? }.fd())
}

/// Host-driven: one turn on the calling thread, in which callbacks run. Waits for work up to `timeout_ms` milliseconds; 0:
/// not at all; -1: until there is some. A signal is a turn without events.
///
/// Returns 0, or 1 once a stop was requested, and from then on without waiting; TLSLOOP_EDEADLK in a callback;
/// TLSLOOP_ESTATE while another thread polls or waits, or for a server with worker threads; TLSLOOP_EINVAL for NULL or a
/// timeout below -1.
///
/// # Safety
/// `server` is NULL or a server that was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_server_poll(server: *mut tlsloop_server, timeout_ms: c_int) -> c_int {
    guard_int("tlsloop_server_poll", || {
        let timeout = match u32::try_from(timeout_ms) {
            Ok(ms) => Timeout::Millis(ms),
            Err(_) if timeout_ms == -1 => Timeout::Forever,
            Err(_) => return Err(Error::invalid(format!("timeout_ms is {timeout_ms}"))),
        };
        // SAFETY: the caller's promise.
        unsafe { self::server(server)? }.poll(timeout).map(c_int::from)
    })
}
