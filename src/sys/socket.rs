//! Stream sockets: non-blocking, close-on-exec, and never a SIGPIPE.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{cvt, cvt_len, own};
use crate::address::Address;

/// How many messages beside the data are dropped at once.
const MESSAGES: usize = 64;

/// Reads what the kernel holds; 0 is the peer's FIN.
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buf` is writable for its length.
    cvt_len(unsafe { libc::recv(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT) })
}

/// Hands bytes to the kernel; a peer that has left is an error, not a signal.
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `buf` is readable for its length.
    cvt_len(unsafe { libc::send(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), flags) })
}

/// Takes one waiting connection, non-blocking and close-on-exec, and its peer's address.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut name = Name::room();
    // SAFETY: `name` has room for `len` bytes, and the kernel writes no more.
    let fd = unsafe { cvt(libc::accept4(listener.as_raw_fd(), name.as_mut_ptr(), &mut name.len, flags))? };
    // SAFETY: a new descriptor, ours alone.
    let fd = unsafe { own(fd) };
    Ok((fd, name.to_address()))
}

/// A listening socket on an internet address. A wildcard IPv6 address takes IPv4 too.
pub(crate) fn listen_inet(address: SocketAddr, backlog: libc::c_int) -> io::Result<OwnedFd> {
    let fd = new_socket(if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET })?;
    set_flag(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
    // Accepted sockets inherit it, so it costs no call per connection.
    set_flag(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, true)?;
    if let SocketAddr::V6(v6) = address {
        set_flag(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, !v6.ip().is_unspecified())?;
    }
    bind(&fd, &Name::of(&Address::Inet(address))?)?;
    listen(&fd, backlog)?;
    Ok(fd)
}

/// A listening unix socket at `path`.
pub(crate) fn listen_unix(path: &Path, backlog: libc::c_int) -> io::Result<OwnedFd> {
    let fd = new_socket(libc::AF_UNIX)?;
    bind(&fd, &Name::of(&Address::unix(path))?)?;
    // The file is there already.
    listen(&fd, backlog).inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(fd)
}

fn bind(fd: &OwnedFd, name: &Name) -> io::Result<()> {
    // SAFETY: `name` holds `len` bytes of an address.
    cvt(unsafe { libc::bind(fd.as_raw_fd(), name.as_ptr(), name.len) }).map(|_| ())
}

fn listen(fd: &OwnedFd, backlog: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    cvt(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(|_| ())
}

/// A socket that is connected to nothing.
pub(crate) fn unconnected() -> io::Result<OwnedFd> {
    new_socket(libc::AF_INET)
}

/// Begins to connect; the result shows when the socket is writable, as [`take_error`].
pub(crate) fn connect(address: &Address) -> io::Result<OwnedFd> {
    let family = match address {
        Address::Inet(SocketAddr::V4(_)) => libc::AF_INET,
        Address::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
        Address::Unix(_) => libc::AF_UNIX,
    };
    let fd = new_socket(family)?;
    let _ = set_flag(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, true);
    let name = Name::of(address)?;
    // SAFETY: `name` holds `len` bytes of an address.
    match cvt(unsafe { libc::connect(fd.as_raw_fd(), name.as_ptr(), name.len) }) {
        // Interrupted, it goes on by itself as well (connect(2), EINTR).
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => Err(error),
        _ => Ok(fd),
    }
}

/// How many bytes the peer's kernel has not taken yet, our FIN included (tcp(7), SIOCOUTQ). A unix socket has none: what is
/// sent lies with the peer at once.
pub(crate) fn unacknowledged(fd: BorrowedFd<'_>) -> usize {
    if is_unix(fd) {
        return 0;
    }
    let mut count: libc::c_int = 0;
    // SAFETY: `count` is the one int that this request writes.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if done == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
}

/// The number of a network interface.
pub(crate) fn zone_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string, which outlives the call.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|index| *index != 0)
}

/// Ends our half: the peer reads what was sent and then FIN.
pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    cvt(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) })?;
    Ok(())
}

/// Resets the connection at once, also while a forked child holds a copy of the descriptor.
///
/// Dissolving the association sends RST (connect(2), AF_UNSPEC). Unix sockets know no reset, and get an end; SO_LINGER
/// covers what is left to the close.
pub(crate) fn reset(fd: BorrowedFd<'_>) {
    let unspecified = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    set_linger(fd, true);
    let fd = fd.as_raw_fd();
    // SAFETY: the struct outlives its call and its size is given. A failure leaves the plain close.
    unsafe {
        libc::connect(fd, &unspecified, mem::size_of_val(&unspecified) as libc::socklen_t);
        libc::shutdown(fd, libc::SHUT_RDWR);
    }
}

/// With it the close resets; without it the close neither waits nor destroys (socket(7), SO_LINGER).
fn set_linger(fd: BorrowedFd<'_>, on: bool) {
    let linger = libc::linger { l_onoff: on.into(), l_linger: 0 };
    let len = mem::size_of_val(&linger) as libc::socklen_t;
    // SAFETY: `linger` outlives the call and its size is given.
    unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), len);
    }
}

/// The error that the socket holds, which reading it clears.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> Option<io::Error> {
    match option(fd, libc::SOL_SOCKET, libc::SO_ERROR) {
        Ok(0) => None,
        Ok(errno) => Some(io::Error::from_raw_os_error(errno)),
        Err(error) => Some(error),
    }
}

/// Drops what the kernel says about the socket beside the data: time stamps of a socket that was given away with them on.
/// While it is not fetched, epoll(7) tells of it as of an error. The caller asks again as long as it is told.
pub(crate) fn drop_messages(fd: BorrowedFd<'_>) {
    // A unix socket has no such queue, and takes the question for one about its data.
    if is_unix(fd) {
        return;
    }
    let mut message: MaybeUninit<libc::msghdr> = MaybeUninit::zeroed();
    for _ in 0..MESSAGES {
        // SAFETY: a zeroed header has room for nothing, so the kernel writes to nothing but the header itself.
        let n = unsafe { libc::recvmsg(fd.as_raw_fd(), message.as_mut_ptr(), libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
        if n < 0 {
            return;
        }
    }
}

/// The address of our end.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<Address> {
    let mut name = Name::room();
    // SAFETY: `name` has room for `len` bytes, and the kernel writes no more.
    cvt(unsafe { libc::getsockname(fd.as_raw_fd(), name.as_mut_ptr(), &mut name.len) })?;
    Ok(name.to_address())
}

/// The address of the other end.
pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<Address> {
    let mut name = Name::room();
    // SAFETY: `name` has room for `len` bytes, and the kernel writes no more.
    cvt(unsafe { libc::getpeername(fd.as_raw_fd(), name.as_mut_ptr(), &mut name.len) })?;
    Ok(name.to_address())
}

/// Process and user behind a unix socket, at the time it connected; unix(7), SO_PEERCRED. `None` for others.
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> Option<(i32, i32)> {
    if !is_unix(fd) {
        return None;
    }
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = mem::size_of_val(&cred) as libc::socklen_t;
    // SAFETY: `cred` has `len` writable bytes.
    let done = cvt(unsafe {
        let value = (&raw mut cred).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, value, &mut len)
    });
    done.ok().map(|_| (cred.pid, cred.uid as i32))
}

/// Whether `fd` is a stream socket, and if so whether it listens.
pub(crate) fn is_listening(fd: BorrowedFd<'_>) -> io::Result<Option<bool>> {
    if option(fd, libc::SOL_SOCKET, libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Ok(None);
    }
    Ok(Some(option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0))
}

/// Undoes what the host may have set on a socket that it hands in, or on the listening one from which others inherit it:
/// small writes that wait for an acknowledgement or for more, bytes that are told of only when there are many, a close that
/// holds its thread up or destroys what is on its way.
pub(crate) fn make_ordinary(fd: BorrowedFd<'_>) {
    let _ = set_flag(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, true);
    let _ = set_flag(fd, libc::IPPROTO_TCP, libc::TCP_CORK, false);
    let _ = set_flag(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, true);
    set_linger(fd, false);
}

/// Whether a socket is as [`make_ordinary`] makes it.
pub(crate) fn is_ordinary(fd: BorrowedFd<'_>) -> bool {
    let has = |level, name, wanted| option(fd, level, name).is_ok_and(|value| value == wanted);
    // The first member of the struct says whether it is on.
    has(libc::SOL_SOCKET, libc::SO_LINGER, 0)
        && has(libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1)
        && (is_unix(fd) || has(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1) && has(libc::IPPROTO_TCP, libc::TCP_CORK, 0))
}

/// Makes a descriptor that came from the host non-blocking and close-on-exec, or leaves it as it was.
pub(crate) fn adopt_flags(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: integers only.
    unsafe {
        let flags = cvt(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        cvt(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
        let done = cvt(libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC));
        if done.is_err() {
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags);
        }
        done.map(|_| ())
    }
}

/// A second descriptor for the same socket, close-on-exec, numbered `least` or above.
pub(crate) fn duplicate(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    let least = least.max(libc::STDERR_FILENO + 1);
    // SAFETY: integers only; the descriptor that comes back is ours alone.
    unsafe { Ok(OwnedFd::from_raw_fd(cvt(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least))?)) }
}

/// Borrows a descriptor that the caller knows to be open, by its number, for the length of `ask`.
pub(crate) fn with_raw<R>(fd: RawFd, ask: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
    // SAFETY: the one caller holds the lock of the connection that owns the descriptor, under which it is not closed.
    ask(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Takes over a descriptor that the host gives up.
pub(crate) fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: the contract of the two calls that lead here: the descriptor is open, and the host lets go of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn new_socket(family: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the descriptor that comes back is ours alone.
    unsafe { Ok(own(cvt(libc::socket(family, kind, 0))?)) }
}

fn set_flag(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, on: bool) -> io::Result<()> {
    let value = libc::c_int::from(on);
    let len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` outlives the call and its size is given.
    cvt(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len) })?;
    Ok(())
}

fn is_unix(fd: BorrowedFd<'_>) -> bool {
    option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN).ok() == Some(libc::AF_UNIX)
}

fn option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` has `len` writable bytes.
    cvt(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &mut len) })?;
    Ok(value)
}

/// An address as the kernel writes it.
struct Name {
    storage: MaybeUninit<libc::sockaddr_storage>,
    len: libc::socklen_t,
}

const PATH_AT: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

impl Name {
    fn room() -> Name {
        Name { storage: MaybeUninit::zeroed(), len: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    fn as_ptr(&self) -> *const libc::sockaddr {
        self.storage.as_ptr().cast()
    }

    fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        self.storage.as_mut_ptr().cast()
    }

    fn of(address: &Address) -> io::Result<Name> {
        let mut name = Name::room();
        match address {
            Address::Inet(SocketAddr::V4(v4)) => name.put(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            Address::Inet(SocketAddr::V6(v6)) => name.put(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
            Address::Unix(path) => {
                let bytes = path.as_os_str().as_bytes();
                let mut unix = libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
                if bytes.is_empty() || bytes.len() >= unix.sun_path.len() {
                    return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
                }
                for (to, from) in unix.sun_path.iter_mut().zip(bytes) {
                    *to = *from as libc::c_char;
                }
                name.put(unix);
                name.len = (PATH_AT + bytes.len() + 1) as libc::socklen_t;
            }
        }
        Ok(name)
    }

    fn put<T>(&mut self, address: T) {
        const { assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>()) };
        // SAFETY: the storage is large enough (checked above) and aligned for every kind of address.
        unsafe { self.storage.as_mut_ptr().cast::<T>().write(address) };
        self.len = mem::size_of::<T>() as libc::socklen_t;
    }

    fn to_address(&self) -> Address {
        // SAFETY: zeroed at first, so all of it is initialised, and every kind below fits into it.
        let storage = unsafe { self.storage.assume_init_ref() };
        let at = (&raw const *storage).cast::<u8>();
        match libc::c_int::from(storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that it is a sockaddr_in, and the storage is aligned for it.
                let v4 = unsafe { &*at.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Address::inet(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that it is a sockaddr_in6, and the storage is aligned for it.
                let v6 = unsafe { &*at.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let scope = v6.sin6_scope_id;
                Address::inet(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, scope).into())
            }
            _ => {
                // SAFETY: the storage is at least as long as a sockaddr_un and wholly initialised.
                let unix = unsafe { &*at.cast::<libc::sockaddr_un>() };
                let room = (self.len as usize).saturating_sub(PATH_AT).min(unix.sun_path.len());
                let bytes: Vec<u8> = unix.sun_path[..room].iter().map(|c| *c as u8).collect();
                let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                Address::unix(Path::new(OsStr::from_bytes(path)))
            }
        }
    }
}
