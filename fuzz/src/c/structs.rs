//! Structs of any size, as programs of other releases have them, and files in memory.

use std::ffi::{CString, c_int};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use tlsloop::ffi::conn::tlsloop_conn_info;
use tlsloop::ffi::server::*;
use tlsloop::ffi::types::*;

/// A `size` above this is refused before anything is read.
pub const SANE_SIZE: usize = 1 << 20;

/// A file that holds these bytes, and the path that leads to it while the descriptor is open.
pub fn file(bytes: &[u8]) -> (OwnedFd, CString) {
    use std::io::Write;
    // SAFETY: a C string; the descriptor is new.
    let fd = unsafe {
        let fd = libc::memfd_create(c"fuzz".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    let path = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("no zero in it");
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).expect("memory");
    (file.into(), path)
}

/// The memory of a struct that says to be so large: exactly so much of it, or as little as lets `size` be read.
fn memory(size: usize, filling: &[u8]) -> Vec<u64> {
    let words = if size > SANE_SIZE { 1 } else { size.div_ceil(8).max(1) };
    let mut memory = vec![0_u64; words];
    for (word, bytes) in memory.iter_mut().zip(filling.chunks(8)).skip(1) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    memory[0] = size as u64;
    memory
}

/// Starts a server, which is not listening and driven by nobody, from a configuration of this size and filling, and stops
/// it. `fix` has the last word about what a whole one holds. The code, and the configuration as it was read.
pub fn start_with(
    size: usize,
    filling: &[u8],
    fix: impl FnOnce(&mut tlsloop_server_config),
) -> (c_int, Option<tlsloop_server_config>) {
    let mut memory = memory(size, filling);
    let is_whole = memory.len() * 8 >= size_of::<tlsloop_server_config>();
    let config = memory.as_mut_ptr().cast::<tlsloop_server_config>();
    let mut given = None;
    if is_whole {
        // SAFETY: there is room for a whole one, and every pattern of bytes is one until a pointer is followed; those that
        // could be are replaced.
        let config = unsafe { &mut *config };
        (config.address, config.callbacks, config.user) = (ptr::null(), ptr::null(), ptr::null_mut());
        (config.tls, config.proxy_trusted) = (ptr::null_mut(), ptr::null());
        (config.listen_fd, config.workers) = (TLSLOOP_NO_LISTENER, TLSLOOP_HOST_DRIVEN);
        fix(config);
        given = Some(*config);
    } else {
        // Too small, whatever it holds: it is refused before a pointer in it is followed.
        assert!(memory.len() * 8 < offset_of!(tlsloop_server_config, proxy_trusted) + 8);
    }
    let mut server = ptr::null_mut();
    // SAFETY: as many bytes as the struct says, or a size that is refused; the pointers in it are NULL or live.
    let code = unsafe { tlsloop_server_start(config, &raw mut server) };
    if code == TLSLOOP_OK {
        // SAFETY: a live server.
        unsafe {
            assert!((0..=1).contains(&tlsloop_server_poll(server, 0)));
            assert_eq!(tlsloop_server_stop(server, 0), TLSLOOP_OK);
        }
    } else {
        assert!(server.is_null(), "an out parameter was written on failure");
    }
    (code, given)
}

/// Starts a server with a callback table of this size, all NULL, and `filling` behind what this release knows.
pub fn start_with_callbacks(size: usize, filling: &[u8]) -> c_int {
    let known = size_of::<tlsloop_callbacks>();
    let memory = memory(size, &[&[0; 256][..known], filling].concat());
    let config = tlsloop_server_config {
        callbacks: memory.as_ptr().cast(),
        mode: TLSLOOP_MODE_PLAIN,
        listen_fd: TLSLOOP_NO_LISTENER,
        workers: TLSLOOP_HOST_DRIVEN,
        ..super::config()
    };
    let mut server = ptr::null_mut();
    // SAFETY: whole structs, one as large as it says or refused; a table of NULLs is never followed.
    unsafe {
        let code = tlsloop_server_start(&raw const config, &raw mut server);
        if code == TLSLOOP_OK {
            assert_eq!(tlsloop_server_stop(server, 0), TLSLOOP_OK);
        }
        code
    }
}

/// Lets a server go out, by a configuration of this size, to a port where nobody listens.
pub fn connect_with(server: super::Handle, size: usize, filling: &[u8]) -> c_int {
    let known = size_of::<tlsloop_client_config>();
    let mut memory = memory(size, &[&[0; 256][..known], filling].concat());
    if memory.len() * 8 >= known {
        let config = memory.as_mut_ptr().cast::<tlsloop_client_config>();
        // SAFETY: there is room for a whole one, and zeros are one.
        let config = unsafe { &mut *config };
        (config.host, config.mode, config.port) = (c"127.0.0.1".as_ptr(), TLSLOOP_MODE_PLAIN, 1);
    }
    let mut conn = 0;
    // SAFETY: a live server; as many bytes as the struct says, or a size that is refused.
    unsafe { tlsloop_server_connect(server.0, memory.as_ptr().cast(), &raw mut conn) }
}

/// Fills a struct of this size by `fill`; nothing but the struct is written to, and what this release does not know is 0.
fn filled(size: usize, known: usize, fill: impl FnOnce(*mut u64) -> c_int) -> c_int {
    const BEHIND: u64 = 0x5555_5555_5555_5555;
    let mut memory = memory(size, &[0xaa; 8192]);
    memory.push(BEHIND);
    let code = fill(memory.as_mut_ptr());
    assert_eq!(memory.last(), Some(&BEHIND), "more was written than there is room for");
    assert_eq!(memory[0], size as u64, "`size` was changed");
    if code == TLSLOOP_OK {
        let mut excess = memory[..size / 8].iter().skip(known / 8);
        assert!(excess.all(|word| *word == 0), "what this release does not know is not 0");
    }
    code
}

/// Asks a server for its counts in a struct of this size.
pub fn fill_stats(server: super::Handle, size: usize) -> c_int {
    // SAFETY: a live server, and as many bytes as the struct says, or a size that is refused.
    filled(size, size_of::<tlsloop_stats>(), |out| unsafe { tlsloop_server_stats(server.0, out.cast()) })
}

/// Asks for the facts of a connection in a struct of this size.
pub fn fill_info(conn: tlsloop_conn, size: usize) -> c_int {
    // SAFETY: as many bytes as the struct says, or a size that is refused.
    filled(size, size_of::<tlsloop_info>(), |out| unsafe { tlsloop_conn_info(conn, out.cast()) })
}
