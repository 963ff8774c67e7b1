//! Structs of any size, as programs of other releases have them, and files in memory.

use std::ffi::{CString, c_int};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

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

/// Asks a server for its counts in a struct of this size; what stands behind it must stay.
pub fn fill_stats(server: super::Handle, size: usize) -> c_int {
    const BEHIND: u64 = 0x5555_5555_5555_5555;
    let mut memory = memory(size, &[0xaa; 1024]);
    memory.push(BEHIND);
    // SAFETY: a live server, and as many bytes as the struct says, or a size that is refused.
    let code = unsafe { tlsloop_server_stats(server.0, memory.as_mut_ptr().cast()) };
    assert_eq!(memory.last(), Some(&BEHIND), "more was written than there is room for");
    assert_eq!(memory[0], size as u64, "`size` was changed");
    if code == TLSLOOP_OK {
        let known = size_of::<tlsloop_stats>();
        let whole_words = size / 8;
        let excess = memory[..whole_words].iter().skip(known / 8);
        assert!(excess.into_iter().all(|word| *word == 0), "what this release does not know is not 0");
    }
    code
}
