//! The blocking client, for programs that only want to talk to a server.

use std::ffi::{c_int, c_long, c_void};
use std::sync::Arc;

use super::config::timeout;
use super::guard::{guard, guard_int, guard_long, visiting};
use super::read::{host_bytes, host_optional_text, host_out, host_room, host_struct, host_text};
use super::tls::policy;
use super::types::*;
use super::write::fill_struct;
use crate::client::{Client, Config, Mode};
use crate::error::{Error, Result};

/// The client behind a handle.
///
/// # Safety
/// `client` is NULL or came from `tlsloop_client_connect` and was not closed; no other thread uses it during `'a`.
unsafe fn client<'a>(client: *mut tlsloop_client) -> Result<&'a mut Client> {
    // SAFETY: as this function.
    unsafe { client.cast::<Client>().as_mut() }.ok_or_else(|| Error::invalid("client is NULL"))
}

/// The same for calls that change nothing.
///
/// # Safety
/// As [`client`].
unsafe fn client_ref<'a>(client: *const tlsloop_client) -> Result<&'a Client> {
    // SAFETY: as this function.
    unsafe { client.cast::<Client>().as_ref() }.ok_or_else(|| Error::invalid("client is NULL"))
}

/// Where to connect to, from the host's struct.
///
/// # Safety
/// The pointers in `config` are as the header says.
pub(super) unsafe fn client_config(config: &tlsloop_client_config) -> Result<Config> {
    let mode = match config.mode {
        TLSLOOP_MODE_TLS => Mode::Tls,
        TLSLOOP_MODE_PLAIN => Mode::Plain,
        TLSLOOP_MODE_STARTTLS => Mode::StartTls,
        TLSLOOP_MODE_DETECT => return Err(Error::invalid("config->mode is TLSLOOP_MODE_DETECT, which is for servers")),
        mode => return Err(Error::invalid(format!("config->mode is {mode}"))),
    };
    // SAFETY: as this function.
    let host = unsafe { host_text("config->host", config.host)? };
    // SAFETY: as this function.
    let server_name = unsafe { host_optional_text("config->server_name", config.server_name)? };
    let policy = match config.tls.is_null() {
        true => None,
        // SAFETY: as this function; the handle keeps its own reference.
        false => Some(Arc::clone(&*unsafe { policy(config.tls)? })),
    };
    Ok(Config {
        host: host.to_owned(),
        server_name: server_name.map(str::to_owned),
        policy,
        mode,
        port: config.port,
        connect_timeout: timeout(config.connect_timeout_ms, Some(10_000)),
        io_timeout: timeout(config.io_timeout_ms, Some(30_000)),
    })
}

/// Connects to a server: look-up, connection and, in TLSLOOP_MODE_TLS, the handshake, all within `connect_timeout_ms`.
///
/// Every address of a name is tried until one answers. The server's certificate must come from somebody who is trusted and
/// carry `server_name`, unless `config->tls` says TLSLOOP_VERIFY_NONE or has a pin. An earlier session with the same
/// `config->tls`, host and port is resumed where the server allows it. `config` and its texts are read during the call only;
/// `config->tls` keeps a reference of the client's own and is frozen. `*out` is written on TLSLOOP_OK only; the host ends
/// the client with tlsloop_client_close(). A look-up that takes longer than it may is left to a thread that ends with it.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for a member that is wrong; TLSLOOP_ETIMEDOUT; TLSLOOP_ESYS where the name has no
/// address or the connection was refused or reset; TLSLOOP_ETRUNCATED if the server left during the handshake;
/// TLSLOOP_EVERIFY if its certificate is not trusted; TLSLOOP_ETLS for an alert or another failure of TLS.
/// tlsloop_last_error() names the server and has errno's or OpenSSL's own words.
///
/// # Safety
/// `config` is NULL or points to a struct of the size that it states; `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_connect(
    config: *const tlsloop_client_config,
    out: *mut *mut tlsloop_client,
) -> c_int {
    guard(
        "tlsloop_client_connect",
        visiting(|| {
            let out = host_out("out", out)?;
            // SAFETY: the caller's promise.
            let config = unsafe { client_config(&host_struct("config", config)?)? };
            let client = Box::new(Client::connect(&config)?);
            // SAFETY: the caller's promise.
            unsafe { out.write(Box::into_raw(client).cast()) };
            Ok(())
        }),
    )
}

/// Sends `len` bytes: all of them have been handed to the kernel when it returns TLSLOOP_OK. `len` 0 sends nothing.
///
/// While the server takes none, what it sends meanwhile is taken in and kept for tlsloop_client_recv(): as many bytes as
/// this call sends, and 4 MiB more. After a failure nobody knows how much has left, so every later call answers the same;
/// tlsloop_client_recv() goes on.
///
/// Returns TLSLOOP_OK; TLSLOOP_ECLOSED after tlsloop_client_end(); TLSLOOP_ETIMEDOUT after `io_timeout_ms` in all;
/// TLSLOOP_ESYS if the connection was reset; TLSLOOP_ETLS if the server said by an alert why it left; TLSLOOP_EINVAL for
/// NULL.
///
/// # Safety
/// `client` is NULL or a client that was not closed; `data` is NULL or has `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_send(client: *mut tlsloop_client, data: *const c_void, len: usize) -> c_int {
    guard(
        "tlsloop_client_send",
        visiting(|| {
            // SAFETY: the caller's promise; no reference outlives this call.
            let data = unsafe { host_bytes("data", data, len)? };
            // SAFETY: the caller's promise.
            unsafe { self::client(client)? }.send(data)
        }),
    )
}

/// Receives up to `len` bytes into `buf`, and waits until there is one.
///
/// Returns how many; 0 when the server has ended in good order (close_notify, in plain text FIN), and again 0 from then on.
/// Otherwise a code, which comes again from then on, except for the time-out: TLSLOOP_ETRUNCATED if the server ended
/// without close_notify, so that data may be missing; TLSLOOP_ESYS if the connection was reset; TLSLOOP_ETLS for an alert
/// or another failure of TLS; TLSLOOP_ETIMEDOUT if nothing came for `io_timeout_ms`; TLSLOOP_EINVAL for NULL or a `len` of
/// 0. What arrived before an end is received before it.
///
/// # Safety
/// `client` is NULL or a client that was not closed; `buf` is NULL or has `len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_recv(client: *mut tlsloop_client, buf: *mut c_void, len: usize) -> c_long {
    guard_long(
        "tlsloop_client_recv",
        visiting(|| {
            // SAFETY: the caller's promise; no reference outlives this call.
            let buf = unsafe { host_room("buf", buf, len)? };
            // SAFETY: the caller's promise.
            let n = unsafe { self::client(client)? }.recv(buf)?;
            Ok(c_long::try_from(n).unwrap_or(c_long::MAX))
        }),
    )
}

/// Ends this side's direction, with close_notify (in plain text FIN): the server knows that it has everything. Receiving
/// goes on.
///
/// Returns TLSLOOP_OK; TLSLOOP_ECLOSED if it was called before; otherwise as tlsloop_client_send().
///
/// # Safety
/// `client` is NULL or a client that was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_end(client: *mut tlsloop_client) -> c_int {
    // SAFETY: the caller's promise.
    guard("tlsloop_client_end", visiting(|| unsafe { self::client(client)? }.end()))
}

/// TLSLOOP_MODE_STARTTLS: begins TLS, after the server has agreed to it in plain text, and waits for the handshake within
/// another `connect_timeout_ms`. The server's certificate is verified as by tlsloop_client_connect().
///
/// The host must have received all of the server's answer: bytes that have arrived behind it may be anybody's, and make
/// the call fail with TLSLOOP_ETLS. After any failure but TLSLOOP_ESTATE and TLSLOOP_EINVAL the client is of no use but to
/// be closed.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESTATE in another mode or the second time; otherwise as tlsloop_client_connect().
///
/// # Safety
/// `client` is NULL or a client that was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_start_tls(client: *mut tlsloop_client) -> c_int {
    // SAFETY: the caller's promise.
    guard("tlsloop_client_start_tls", visiting(|| unsafe { self::client(client)? }.start_tls()))
}

/// Ends the connection and frees the client: close_notify, if nothing has failed before, and the socket.
///
/// It does not wait for the server, except for up to a second until a message of TLS that has come in part is whole (nothing
/// can be said in the middle of one) and what was sent has reached its machine. What has arrived and was not received is
/// lost. After a send that timed out the server gets a reset. Returns TLSLOOP_OK, also for NULL; the client is gone in any
/// case but that of TLSLOOP_ESTATE in a forked child or a late exit handler.
///
/// # Safety
/// `client` is NULL or a client that was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_close(client: *mut tlsloop_client) -> c_int {
    guard(
        "tlsloop_client_close",
        visiting(|| {
            if !client.is_null() {
                // SAFETY: it came from `Box::into_raw`, and the caller gives it up.
                unsafe { Box::from_raw(client.cast::<Client>()) }.close();
            }
            Ok(())
        }),
    )
}

/// The client's descriptor, for its options or to wait for several things at once. It stays the client's: the host
/// neither reads, writes nor closes it. Bytes that tlsloop_client_recv() would give at once may have left it already, and
/// that it is readable does not mean that there are any.
///
/// Returns the descriptor, or TLSLOOP_EINVAL for NULL.
///
/// # Safety
/// `client` is NULL or a client that was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_fd(client: *const tlsloop_client) -> c_int {
    // SAFETY: the caller's promise.
    guard_int("tlsloop_client_fd", || Ok(unsafe { client_ref(client)? }.fd()))
}

/// Tells what is known of the connection, as tlsloop_conn_info() does: `peer` and the certificate are the server's, `sni`
/// is the name that was asked for.
///
/// Returns TLSLOOP_OK, or TLSLOOP_EINVAL for NULL or a `size` that is not set.
///
/// # Safety
/// `client` is NULL or a client that was not closed; `out` is NULL or a struct of the size that it states.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_client_info(client: *const tlsloop_client, out: *mut tlsloop_info) -> c_int {
    guard(
        "tlsloop_client_info",
        visiting(|| {
            // SAFETY: the caller's promise.
            let told = unsafe { client_ref(client)? }.told();
            // SAFETY: the caller's promise.
            unsafe { fill_struct("out", out, &(&told).into()) }
        }),
    )
}
