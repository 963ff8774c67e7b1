//! The library as a C program sees it: its exports, called as C calls them, with values that Rust can check.
#![allow(unsafe_code)]

mod host;
mod policy;
mod structs;

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use tlsloop::ffi::conn::*;
use tlsloop::ffi::error::tlsloop_last_error;
use tlsloop::ffi::server::*;
pub use tlsloop::ffi::types::*;

pub use host::Host;
pub use policy::{Tls, text};
pub use structs::{SANE_SIZE, connect_with, file, fill_info, fill_stats, start_with, start_with_callbacks};

/// The last error of this thread.
pub fn last_error() -> String {
    // SAFETY: never NULL, terminated, valid until the next call on this thread; copied at once.
    unsafe { CStr::from_ptr(tlsloop_last_error()) }.to_string_lossy().into_owned()
}

/// A server that this thread drives, and the host that it calls.
pub struct Server<H: Host> {
    raw: *mut tlsloop_server,
    /// The callbacks have its address.
    host: Box<H>,
}

/// Zeros, which are everybody's defaults.
pub fn config() -> tlsloop_server_config {
    // SAFETY: numbers, and pointers that may be NULL.
    let zeroed: tlsloop_server_config = unsafe { mem::zeroed() };
    tlsloop_server_config { size: size_of::<tlsloop_server_config>(), ..zeroed }
}

impl<H: Host> Server<H> {
    /// Starts it; `config` has everything but the callbacks and who drives it.
    ///
    /// # Errors
    /// The code of the library's.
    pub fn start(config: tlsloop_server_config, host: Box<H>) -> Result<Server<H>, c_int> {
        let callbacks = host::table(&*host);
        let mut config = config;
        config.callbacks = &raw const callbacks;
        config.user = ptr::from_ref(&*host).cast_mut().cast();
        config.workers = TLSLOOP_HOST_DRIVEN;
        let mut raw = ptr::null_mut();
        // SAFETY: the struct is whole, what it points to outlives the call, and the host outlives the server.
        match unsafe { tlsloop_server_start(&raw const config, &raw mut raw) } {
            TLSLOOP_OK => Ok(Server { raw, host }),
            code => Err(code),
        }
    }

    /// Whom it calls.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// For calls from inside callbacks.
    pub fn handle(&self) -> Handle {
        Handle(self.raw)
    }

    /// Ends it, without waiting for anybody.
    pub fn stop(self) -> (c_int, Box<H>) {
        // SAFETY: the server was started and not stopped.
        (unsafe { tlsloop_server_stop(self.raw, 0) }, self.host)
    }
}

/// A server that may be called, by whoever has it, until it is stopped.
#[derive(Clone, Copy)]
pub struct Handle(*mut tlsloop_server);

impl Handle {
    /// One turn, without waiting.
    pub fn poll(self) -> c_int {
        // SAFETY: a live server.
        unsafe { tlsloop_server_poll(self.0, 0) }
    }

    /// Hands over a connected socket, and gives it back where it is refused.
    pub fn adopt(self, socket: OwnedFd, data: usize) -> Result<tlsloop_conn, (c_int, OwnedFd)> {
        let mut conn = 0;
        // SAFETY: a live server, and a descriptor of our own.
        let code = unsafe {
            let data = ptr::without_provenance_mut(data);
            tlsloop_server_adopt(self.0, socket.as_raw_fd(), data, &raw mut conn)
        };
        if code != TLSLOOP_OK {
            return Err((code, socket));
        }
        // It is the library's now.
        mem::forget(socket);
        Ok(conn)
    }

    /// Goes out to an address of the loopback.
    pub fn connect(self, mode: c_int, port: u16, tls: &Tls, data: usize) -> Result<tlsloop_conn, c_int> {
        // SAFETY: numbers, and pointers that may be NULL.
        let zeroed: tlsloop_client_config = unsafe { mem::zeroed() };
        let config = tlsloop_client_config {
            size: size_of::<tlsloop_client_config>(),
            host: c"127.0.0.1".as_ptr(),
            tls: tls.raw(),
            data: ptr::without_provenance_mut(data),
            mode,
            port,
            connect_timeout_ms: TLSLOOP_NONE,
            ..zeroed
        };
        let mut conn = 0;
        // SAFETY: a live server, a whole struct, and a place to write to.
        match unsafe { tlsloop_server_connect(self.0, &raw const config, &raw mut conn) } {
            TLSLOOP_OK => Ok(conn),
            code => Err(code),
        }
    }

    /// Another policy for those who come.
    pub fn set_tls(self, tls: &Tls) -> c_int {
        // SAFETY: both are alive.
        unsafe { tlsloop_server_set_tls(self.0, tls.raw()) }
    }

    /// Accepts no more.
    pub fn drain(self) -> c_int {
        // SAFETY: a live server.
        unsafe { tlsloop_server_drain(self.0) }
    }

    /// Makes a poll tell of it.
    pub fn request_stop(self) -> c_int {
        // SAFETY: a live server.
        unsafe { tlsloop_server_request_stop(self.0) }
    }

    /// What it tells of its listening socket; a copy of that is closed again.
    pub fn look(self) -> (c_int, c_int) {
        // SAFETY: a live server; the copy is ours to close.
        unsafe {
            let (port, copy) = (tlsloop_server_port(self.0), tlsloop_server_listen_fd(self.0));
            if copy >= 0 {
                libc::close(copy);
            }
            (port, copy)
        }
    }

    /// A stop where none is possible.
    pub fn stop_in_callback(self) -> c_int {
        // SAFETY: a live server; in a callback the call changes nothing.
        unsafe { tlsloop_server_stop(self.0, 0) }
    }

    /// What it has counted.
    pub fn stats(self) -> tlsloop_stats {
        // SAFETY: numbers; filled below.
        let mut stats: tlsloop_stats = unsafe { mem::zeroed() };
        stats.size = size_of::<tlsloop_stats>();
        // SAFETY: a live server and a whole struct.
        let code = unsafe { tlsloop_server_stats(self.0, &raw mut stats) };
        assert_eq!(code, TLSLOOP_OK, "{}", last_error());
        stats
    }
}

/// tlsloop_conn_send().
pub fn send(conn: tlsloop_conn, bytes: &[u8]) -> c_int {
    // SAFETY: `bytes` is readable for its length.
    unsafe { tlsloop_conn_send(conn, bytes.as_ptr().cast(), bytes.len()) }
}

/// tlsloop_conn_sendv().
pub fn sendv(conn: tlsloop_conn, parts: [&[u8]; 2]) -> c_int {
    let slices = parts.map(|part| tlsloop_slice { data: part.as_ptr().cast(), len: part.len() });
    // SAFETY: two slices, each readable for its length.
    unsafe { tlsloop_conn_sendv(conn, slices.as_ptr(), slices.len()) }
}

/// The calls that need nothing but the connection, as they stand in the header.
pub use tlsloop::ffi::conn::{
    tlsloop_conn_abort as abort, tlsloop_conn_close as close, tlsloop_conn_end as end, tlsloop_conn_pause as pause,
    tlsloop_conn_queued as queued, tlsloop_conn_resume as resume, tlsloop_conn_set_idle_timeout as set_idle_timeout,
    tlsloop_conn_start_tls as start_tls,
};

/// What is looked at of a tlsloop_info.
pub struct Info {
    /// The call's answer.
    pub code: c_int,
    /// It is TLS.
    pub is_tls: bool,
    /// A PROXY header has named the client.
    pub has_balancer: bool,
}

/// tlsloop_conn_info().
pub fn info(conn: tlsloop_conn) -> Info {
    // SAFETY: numbers and text; filled below.
    let mut info: tlsloop_info = unsafe { mem::zeroed() };
    info.size = size_of::<tlsloop_info>();
    // SAFETY: a whole struct.
    let code = unsafe { tlsloop_conn_info(conn, &raw mut info) };
    Info { code, is_tls: info.is_tls != 0, has_balancer: info.balancer[0] != 0 }
}

/// tlsloop_conn_peer_certificate(), with this much room.
pub fn peer_certificate(conn: tlsloop_conn, room: usize) -> c_int {
    let (mut der, mut len) = (vec![0_u8; room], room);
    // SAFETY: `len` bytes of room.
    unsafe { tlsloop_conn_peer_certificate(conn, der.as_mut_ptr().cast(), &raw mut len) }
}

/// tlsloop_conn_set_data().
pub fn set_data(conn: tlsloop_conn, data: usize) -> c_int {
    tlsloop_conn_set_data(conn, ptr::without_provenance_mut(data))
}

/// tlsloop_conn_data().
pub fn data(conn: tlsloop_conn) -> usize {
    tlsloop_conn_data(conn).addr()
}

/// A posted function: tells the host.
///
/// # Safety
/// `arg` is the host, which outlives its server.
unsafe extern "C" fn posted<H: Host>(conn: tlsloop_conn, arg: *mut c_void) {
    // SAFETY: as this function.
    unsafe { &*arg.cast::<H>() }.on_post(conn);
}

/// tlsloop_conn_post(), or post_after if there is a delay.
pub fn post<H: Host>(conn: tlsloop_conn, host: &H, after: Option<c_uint>) -> c_int {
    let arg = ptr::from_ref(host).cast_mut().cast();
    // SAFETY: the host outlives its server, and nothing is run after that.
    unsafe {
        match after {
            None => tlsloop_conn_post(conn, Some(posted::<H>), arg),
            Some(ms) => tlsloop_conn_post_after(conn, ms, Some(posted::<H>), arg),
        }
    }
}

/// Gives a socket the least room that the kernel allows, so that writes come to a stop soon.
pub fn shrink(socket: &impl AsRawFd) {
    let least: c_int = 1;
    for option in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        let len = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: a live descriptor and one int.
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const least).cast(), len) };
    }
}
