//! Where connections come in: listening sockets, and one worker's share in one.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use crate::address::Address;
use crate::error::{Code, Error, Result};
use crate::slab::Key;
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::{lock, socket};

/// Where connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; without an address, both families.
    Address(Option<String>, u16),
    /// This listening socket, which passes to the server when the start succeeds.
    Socket(RawFd),
    /// Only from the host.
    Nowhere,
}

/// What an address begins with that is the path of a unix socket.
const UNIX: &str = "unix:";

/// Binds and listens where the host asked for it.
fn listen(address: Option<&str>, port: u16, backlog: i32) -> Result<OwnedFd> {
    let Some(text) = address else {
        return listen_everywhere(port, backlog);
    };
    if let Some(path) = text.strip_prefix(UNIX) {
        if path.is_empty() {
            return Err(Error::invalid("address: \"unix:\" without a path"));
        }
        let listening = listen_at_path(Path::new(path), backlog);
        return listening.map_err(|error| Error::system(format!("address \"{text}\""), &error));
    }
    let address = resolve(text, port)?;
    socket::listen_inet(address, backlog).map_err(|error| Error::system(format!("address {address}"), &error))
}

/// Listens at a path. The file of a server that is gone, which nobody listens behind, is replaced.
fn listen_at_path(path: &Path, backlog: i32) -> io::Result<OwnedFd> {
    // Of several that begin at once, one at a time: bind(2) makes the file, but only listen(2) puts somebody behind it, and
    // until then it looks like one that is left over.
    let _turn = path.parent().and_then(lock::take);
    match socket::listen_unix(path, backlog) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) && is_stale(path) => {
            fs::remove_file(path)?;
            socket::listen_unix(path, backlog)
        }
        other => other,
    }
}

fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.raw_os_error() == Some(libc::ECONNREFUSED);
    is_socket && socket::connect(&Address::unix(path)).is_err_and(refused)
}

/// The file of a unix socket: it goes with this, unless another has taken its place.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// The file that a server has just made; `None` where it made none.
    pub(crate) fn made_by(listen: &Listen) -> Option<SocketFile> {
        let Listen::Address(Some(text), _) = listen else { return None };
        let path = text.strip_prefix(UNIX)?;
        // The host may go to another directory, as daemon(3) does.
        let path = path::absolute(path).ok()?;
        let identity = SocketFile::identity(&path)?;
        Some(SocketFile { path, identity })
    }

    fn identity(path: &Path) -> Option<(u64, u64)> {
        fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
    }

    /// Another server goes on behind it.
    pub(crate) fn leave(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if SocketFile::identity(&self.path) == Some(self.identity) {
            // Nobody is left to be told of a failure; the next server sees that nobody listens there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where connections of a host that uses `select` begin: its own descriptors stay below FD_SETSIZE.
const ABOVE_SELECT: RawFd = 1024;

/// A duplicate of a connection's descriptor that leaves the low numbers to the host; `None` if the process may have none
/// that high, or no more of them: then a low one is better than none.
pub(crate) fn above_select(fd: RawFd) -> io::Result<Option<OwnedFd>> {
    match socket::with_raw(fd, |fd| socket::duplicate(fd, ABOVE_SELECT)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMFILE)) => Ok(None),
        moved => moved.map(Some),
    }
}

/// Both families by one socket, or IPv4 alone where the kernel has no IPv6.
fn listen_everywhere(port: u16, backlog: i32) -> Result<OwnedFd> {
    let six = SocketAddr::from(([0_u16; 8], port));
    match socket::listen_inet(six, backlog) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            let four = SocketAddr::from(([0_u8; 4], port));
            socket::listen_inet(four, backlog).map_err(|error| Error::system(format!("address {four}"), &error))
        }
        other => other.map_err(|error| Error::system(format!("address {six}"), &error)),
    }
}

/// The first address of a name or a numeric text.
fn resolve(text: &str, port: u16) -> Result<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let found = (bare, port).to_socket_addrs();
    let mut found = found.map_err(|error| Error::new(Code::System, format!("address \"{text}\": {error}")))?;
    found.next().ok_or_else(|| Error::new(Code::System, format!("address \"{text}\": the name has no address")))
}

/// The socket that the workers of a server share, if it has one; of one that was handed in, a duplicate.
pub(crate) fn open(listen: &Listen, backlog: i32) -> Result<Option<OwnedFd>> {
    match listen {
        Listen::Nowhere => Ok(None),
        Listen::Address(address, port) => self::listen(address.as_deref(), *port, backlog).map(Some),
        Listen::Socket(fd) => duplicate_handed_in(*fd).map(Some),
    }
}

/// A duplicate of a listening socket that the host hands in. It shares its flags, so it stays as it is until nothing else
/// can fail.
fn duplicate_handed_in(fd: RawFd) -> Result<OwnedFd> {
    let told = |error: io::Error| of_handed_in(format!("listen_fd {fd}"), &error);
    match socket::with_raw(fd, socket::is_listening).map_err(told)? {
        Some(true) => {}
        Some(false) => return Err(Error::invalid(format!("listen_fd {fd}: the socket does not listen"))),
        None => return Err(Error::invalid(format!("listen_fd {fd}: not a stream socket"))),
    }
    socket::with_raw(fd, |fd| socket::duplicate(fd, 0)).map_err(told)
}

/// Gives a listening socket that was handed in, in form of a duplicate, to its server: a worker must not hang in `accept`.
pub(crate) fn take_over(fd: RawFd, own: BorrowedFd<'_>) -> Result<()> {
    socket::adopt_flags(own).map_err(|error| of_handed_in(format!("listen_fd {fd}"), &error))?;
    // The service works with the duplicate; the host's own number is given up only now.
    drop(socket::take(fd));
    Ok(())
}

/// What went wrong with a descriptor that the host hands in: some errors say that it is not what it should be.
pub(crate) fn of_handed_in(what: String, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EBADF | libc::ENOTSOCK | libc::ENOTCONN) => Error::new(Code::Invalid, format!("{what}: {error}")),
        _ => Error::system(what, error),
    }
}

/// What one look at the door gave.
pub(crate) enum Visitor {
    /// A connection.
    Came(OwnedFd, Address),
    /// Nobody, or somebody who left again: look again.
    Left,
    /// One had to be turned away for want of descriptors; true the first time.
    TurnedAway(bool, io::Error),
    /// Nobody waits.
    Nobody,
    /// Accepting has to rest: for want of descriptors or memory, or for an error that would repeat.
    Rest(bool, io::Error),
}

/// How long accepting rests after a failure, in milliseconds.
pub(crate) const REST: u64 = 100;

/// One worker's share in the listening socket.
pub(crate) struct Door {
    listener: Arc<OwnedFd>,
    /// Keeps one descriptor free, to take a connection with and turn it away when there is no other.
    reserve: Option<OwnedFd>,
    key: Key,
    /// The kernel says that somebody waits.
    knocked: bool,
    /// How many a turn may take.
    share: usize,
    /// Registered; not while accepting rests.
    watched: bool,
    rests_until: Option<u64>,
    /// Nobody is to be taken in any more.
    is_closing: bool,
    exhausted: bool,
    /// Accepted sockets inherit what it has: true only of a listening socket that was handed in.
    is_odd: bool,
}

impl Door {
    /// Begins to watch.
    pub(crate) fn open(listener: Arc<OwnedFd>, epoll: &Epoll, key: Key) -> Result<Door> {
        let told = |call: &'static str| move |error: io::Error| Error::system(call, &error);
        let reserve = Some(socket::duplicate(listener.as_fd(), 0).map_err(told("fcntl"))?);
        epoll.add(listener.as_fd(), key.to_u64(), Interest::Shared).map_err(told("epoll_ctl"))?;
        let is_odd = !socket::is_ordinary(listener.as_fd());
        let (knocked, share, watched, rests_until, is_closing, exhausted) = (false, 1, true, None, false, false);
        Ok(Door { listener, reserve, key, knocked, share, watched, rests_until, is_closing, exhausted, is_odd })
    }

    /// Somebody waits.
    pub(crate) fn knock(&mut self) {
        self.knocked = true;
    }

    /// Whether it is worth looking.
    pub(crate) fn has_knocked(&self) -> bool {
        self.knocked
    }

    /// How many to take now: one, and more if somebody still waited after the last turn. To find nobody costs a call, too.
    pub(crate) fn share(&mut self, most: usize) -> usize {
        let share = if self.knocked { self.share } else { 1 };
        self.share = if self.knocked { most.min(share * 2) } else { 1 };
        share
    }

    /// The turn's share is used up: whether more wait, the kernel will say.
    pub(crate) fn forget_knock(&mut self) {
        self.knocked = false;
    }

    /// Whether it rests until it is told otherwise.
    pub(crate) fn is_paused(&self) -> bool {
        !self.watched && self.rests_until.is_none()
    }

    /// When it is to be watched again.
    pub(crate) fn reopens_at(&self) -> Option<u64> {
        self.rests_until
    }

    /// Whether accepting failed, and waits for its time.
    pub(crate) fn has_failed(&self) -> bool {
        self.rests_until.is_some()
    }

    /// Stops watching until `resume`; a listener that is not watched wakes nobody.
    pub(crate) fn rest(&mut self, epoll: &Epoll, until: Option<u64>) {
        // What cannot be taken away stays watched, and the next knock tries again.
        self.watched = self.watched && epoll.remove(self.listener.as_fd()).is_err();
        self.knocked = false;
        self.rests_until = until.filter(|_| !self.watched);
    }

    /// Stops watching for good. False: the kernel still tells of those who wait, and it is to be closed again.
    pub(crate) fn close(&mut self, epoll: &Epoll, now: u64) -> bool {
        self.rest(epoll, None);
        self.is_closing = true;
        self.rests_until = self.watched.then_some(now + REST);
        !self.watched
    }

    /// Whether it was to be closed, and is still there.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Watches again, if it rested and its time has come.
    pub(crate) fn resume(&mut self, epoll: &Epoll, now: u64) {
        if self.watched || self.rests_until.is_some_and(|until| until > now) {
            return;
        }
        self.rests_until = None;
        self.watched = epoll.add(self.listener.as_fd(), self.key.to_u64(), Interest::Shared).is_ok();
        if !self.watched {
            self.rests_until = Some(now + REST);
        }
    }

    /// Somebody could not be taken in; true the first time since somebody was.
    pub(crate) fn exhaust(&mut self) -> bool {
        !std::mem::replace(&mut self.exhausted, true)
    }

    /// Somebody was taken in. The reserve may have gone to another thread while there was none to be had.
    pub(crate) fn recover(&mut self) {
        self.exhausted = false;
        if self.reserve.is_none() {
            self.reserve = socket::duplicate(self.listener.as_fd(), 0).ok();
        }
    }

    /// Takes the next who waits.
    pub(crate) fn next(&mut self, draining: bool) -> Visitor {
        match socket::accept(self.listener.as_fd()) {
            Ok((fd, peer)) => {
                if self.is_odd {
                    socket::make_ordinary(fd.as_fd());
                }
                Visitor::Came(fd, self.name(peer))
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => {
                    (self.knocked, self.share) = (false, 1);
                    Visitor::Nobody
                }
                // While it drains, another process may hold the socket, too, and have what it takes.
                Some(libc::EMFILE | libc::ENFILE) if !draining => self.turn_away(error),
                // The one who waited left, or its network failed (accept(2), error handling).
                Some(
                    libc::ECONNABORTED
                    | libc::EINTR
                    | libc::EPROTO
                    | libc::ENOPROTOOPT
                    | libc::ENETDOWN
                    | libc::ENETUNREACH
                    | libc::ENONET
                    | libc::EHOSTDOWN
                    | libc::EHOSTUNREACH
                    | libc::EOPNOTSUPP,
                ) => Visitor::Left,
                // Memory may be there again soon.
                _ => Visitor::Rest(self.exhaust(), error),
            },
        }
    }

    /// A peer of a unix socket has no name of its own; it is shown by the socket's.
    fn name(&self, peer: Address) -> Address {
        match peer {
            Address::Unix(_) => socket::local_address(self.listener.as_fd()).unwrap_or(peer),
            Address::Inet(_) => peer,
        }
    }

    /// Takes one with the reserve descriptor and lets it go, so that it does not wait in vain and the listener does not
    /// stay ready for ever.
    fn turn_away(&mut self, error: io::Error) -> Visitor {
        let is_first = self.exhaust();
        let had_reserve = self.reserve.take().is_some();
        let turned_away = had_reserve && socket::accept(self.listener.as_fd()).is_ok();
        self.reserve = socket::duplicate(self.listener.as_fd(), 0).ok();
        if turned_away && self.reserve.is_some() {
            Visitor::TurnedAway(is_first, error)
        } else {
            Visitor::Rest(is_first, error)
        }
    }
}
