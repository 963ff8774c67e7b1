//! One connection's ciphertext: what the socket gave and what it has yet to take.
//!
//! [`Link`] stays with the connection, [`Wire`] joins it with the worker's buffers while the connection is worked on.
//! Several records arrive by one `recv` and leave by one `send`. What is collected leaves at the end of the piece of work,
//! or, if an answer of the host's may follow at once, together with it ([`Wire::hold`]). Invariant: between two turns the
//! worker's buffers hold nothing of any connection; what is left over has moved to its [`Link`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::patience::Patience;
use super::raw::Transport;
use crate::contain;
use crate::rare::Rare;
use crate::sys::socket;

/// How much one `recv` asks for.
const INPUT: usize = 64 * 1024;
/// From how many collected bytes on the next record waits until the kernel has taken them.
const OUTPUT: usize = 64 * 1024;
/// How many `recv` calls one visit may make before others have their turn, where the kernel tells once of what comes. One
/// that gives less than was asked for says nothing about the rest: urgent data and descriptors that come along end it early
/// (tcp(7), unix(7)). Where the kernel tells until all is read, one is enough, however little it gives.
const RECVS: u8 = 4;

/// The socket of a connection and what is known of it.
pub(crate) struct Link {
    fd: OwnedFd,
    rest_in: Rare<u8>,
    rest_out: Rare<u8>,
    /// The kernel tells of what is there until it has been read, so nobody has to find the end of it.
    reminded: bool,
    /// The kernel had no more when asked last, or will say so if it had, and has not said so since.
    dry: bool,
    /// The peer's FIN was read.
    eof: bool,
    /// The kernel takes no more for now.
    blocked: bool,
    /// OpenSSL has something of its own to send, and reads no more until there is room for it.
    choked: bool,
    /// Something was handed over to be sent.
    spoke: bool,
    /// Nothing may follow what was sent: what OpenSSL would still say (an answer to a key update) is dropped.
    mute: bool,
    recv_errno: i32,
    send_errno: i32,
}

impl Link {
    /// Takes over a connected, non-blocking socket.
    pub(crate) fn new(fd: OwnedFd) -> Link {
        Link {
            fd,
            rest_in: Rare::new(),
            rest_out: Rare::new(),
            reminded: false,
            // The registration itself tells if there is something already.
            dry: true,
            eof: false,
            blocked: false,
            choked: false,
            spoke: false,
            mute: false,
            recv_errno: 0,
            send_errno: 0,
        }
    }

    /// The socket.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The kernel says that there is something to read, perhaps the peer's end.
    pub(crate) fn readable(&mut self) {
        self.dry = false;
    }

    /// Whether the kernel tells of what is there until it has been read, or once.
    pub(crate) fn set_reminded(&mut self, reminded: bool) {
        self.reminded = reminded;
    }

    /// The kernel takes bytes again.
    pub(crate) fn writable(&mut self) {
        (self.blocked, self.choked) = (false, false);
    }

    /// The kernel takes nothing until it says so: the socket is not connected yet.
    pub(crate) fn await_room(&mut self) {
        self.blocked = true;
    }

    /// Whether the kernel refused bytes and has not said otherwise since.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether nothing is read until the kernel takes bytes: OpenSSL has to answer first.
    pub(crate) fn is_choked(&self) -> bool {
        self.choked && self.blocked && self.send_errno == 0
    }

    /// Whether another visit would find something to read without a new event.
    pub(crate) fn has_more(&self) -> bool {
        (self.has_rest() || self.has_unread()) && !self.is_choked()
    }

    /// Whether another visit would find something: bytes, or an end that may not have been seen.
    pub(crate) fn has_news(&self) -> bool {
        (self.has_rest() || self.has_unread() || self.has_ended()) && !self.is_choked()
    }

    /// Whether the kernel may have something that no event has told of yet.
    pub(crate) fn has_unread(&self) -> bool {
        !(self.dry || self.eof || self.recv_errno != 0)
    }

    /// Whether bytes were read that nobody has used yet.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest_in.is_empty()
    }

    /// Whether nothing is known to be unread.
    pub(crate) fn is_drained(&self) -> bool {
        self.dry
    }

    /// Whether nothing more will be read from the kernel.
    pub(crate) fn has_ended(&self) -> bool {
        self.eof || self.recv_errno != 0
    }

    /// Whether everything handed over is in the kernel's hands, or never will be.
    pub(crate) fn is_flushed(&self) -> bool {
        self.rest_out.is_empty()
    }

    /// Whether the peer was ever answered.
    pub(crate) fn has_spoken(&self) -> bool {
        self.spoke
    }

    /// Our end has been sent, or nothing can follow what is cut off: OpenSSL waits for no room any more.
    pub(crate) fn mute(&mut self) {
        (self.mute, self.choked) = (true, false);
    }

    /// Whether the peer's FIN was read. Bytes that came before it may still wait.
    pub(crate) fn at_eof(&self) -> bool {
        self.eof && self.rest_in.is_empty()
    }

    /// Why reading ended, if it failed.
    pub(crate) fn recv_error(&self) -> Option<io::Error> {
        (self.recv_errno != 0).then(|| io::Error::from_raw_os_error(self.recv_errno))
    }

    /// Why writing ended, if it failed.
    pub(crate) fn send_error(&self) -> Option<io::Error> {
        (self.send_errno != 0).then(|| io::Error::from_raw_os_error(self.send_errno))
    }

    /// Notes an error that the kernel reported outside a read or a write.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        self.recv_errno = error.raw_os_error().unwrap_or(libc::EIO);
    }

    /// Takes what has come out of the kernel, so that it need not tell of it again, for a visit that comes later.
    pub(crate) fn fetch(&mut self, bufs: &mut Buffers) {
        Wire::new(self, bufs).fill();
    }

    /// Reads and drops what has come; true if there was anything.
    pub(crate) fn drop_input(&mut self, bufs: &mut Buffers) -> bool {
        self.dry = !std::mem::take(&mut self.reminded) && self.dry;
        let mut wire = Wire::new(self, bufs);
        let had_rest = !wire.is_empty();
        wire.drop_input();
        had_rest || wire.received
    }
}

/// A worker's buffers, lent to one connection after the other.
pub(crate) struct Buffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
}

impl Buffers {
    /// Empty buffers.
    pub(crate) fn new() -> Buffers {
        Buffers { input: vec![0; INPUT], start: 0, end: 0, output: Vec::with_capacity(OUTPUT + OUTPUT / 2) }
    }
}

/// One visit to a connection. When it is dropped, everything collected has been sent or kept.
pub(crate) struct Wire<'a> {
    link: &'a mut Link,
    bufs: &'a mut Buffers,
    recvs: u8,
    /// Whether the kernel gave anything, be it less than a record.
    pub(crate) received: bool,
    holds: bool,
    pub(super) patience: Patience,
}

impl<'a> Wire<'a> {
    /// Joins a connection's link with the worker's buffers.
    pub(crate) fn new(link: &'a mut Link, bufs: &'a mut Buffers) -> Wire<'a> {
        (bufs.start, bufs.end) = (0, link.rest_in.len());
        if bufs.end > 0 {
            bufs.input[..bufs.end].copy_from_slice(&link.rest_in.take());
        }
        if !link.blocked && !link.rest_out.is_empty() {
            // It leaves with what follows it.
            bufs.output.append(&mut link.rest_out.take());
        }
        Wire { link, bufs, recvs: RECVS, received: false, holds: false, patience: Patience::new() }
    }

    /// Keeps what was collected until the next piece of work, in the same visit, sends it with its own.
    pub(crate) fn hold(mut self) {
        self.holds = true;
    }

    /// Nothing more can be read until something has left.
    pub(crate) fn choke(&mut self) {
        self.link.choked = true;
    }

    /// Whether so much of this visit gave no data that others should have their turn.
    pub(crate) fn is_barren(&self) -> bool {
        self.patience.is_worn()
    }

    /// What is known of the socket. Input that this visit has not used counts as read.
    pub(crate) fn link(&self) -> &Link {
        self.link
    }

    /// Whether all that the socket gave so far has been used.
    pub(crate) fn is_empty(&self) -> bool {
        self.bufs.start == self.bufs.end
    }

    /// Whether reading on would find nothing without a new event.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_empty() && !self.link.has_news()
    }

    /// Whether everything collected is in the kernel's hands.
    pub(crate) fn is_flushed(&self) -> bool {
        self.bufs.output.is_empty() && self.link.is_flushed() && self.link.send_errno == 0
    }

    /// Whether enough has been collected that the kernel should have it first.
    pub(crate) fn is_full(&self) -> bool {
        self.bufs.output.len() + self.link.rest_out.len() >= OUTPUT
    }

    /// Hands the collected bytes to the kernel; answers how many it took. What it does not take stays with the link.
    pub(crate) fn flush(&mut self) -> usize {
        if self.bufs.output.is_empty() {
            return 0;
        }
        let taken = self.send();
        if self.link.send_errno == 0 && taken < self.bufs.output.len() {
            // While the kernel takes nothing, older bytes may wait there.
            self.link.rest_out.list().extend_from_slice(&self.bufs.output[taken..]);
        }
        self.bufs.output.clear();
        taken
    }

    /// Sends until the kernel refuses; a failure is noted, and nothing more is sent after it.
    fn send(&mut self) -> usize {
        let mut sent = 0;
        while sent < self.bufs.output.len() && !self.link.blocked && self.link.send_errno == 0 {
            match socket::send(self.link.fd.as_fd(), &self.bufs.output[sent..]) {
                Ok(n) => sent += n,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.link.blocked = true,
                    io::ErrorKind::Interrupted => {}
                    _ => self.link.send_errno = error.raw_os_error().unwrap_or(libc::EIO),
                },
            }
        }
        sent
    }

    /// The bytes that have come and were not used, if there are at least `least`; asks the kernel for more if need be.
    pub(crate) fn peek(&mut self, least: usize) -> Option<&[u8]> {
        while self.bufs.end - self.bufs.start < least {
            self.bufs.input.copy_within(self.bufs.start..self.bufs.end, 0);
            (self.bufs.start, self.bufs.end) = (0, self.bufs.end - self.bufs.start);
            if !self.fill() {
                return None;
            }
        }
        Some(&self.bufs.input[self.bufs.start..self.bufs.end])
    }

    /// The bytes that have come and were not used, if there are any, however few.
    pub(crate) fn unused(&self) -> Option<&[u8]> {
        (!self.is_empty()).then(|| &self.bufs.input[self.bufs.start..self.bufs.end])
    }

    /// Drops them, and what the kernel has, within this visit's share.
    pub(crate) fn drop_input(&mut self) {
        self.consume(self.bufs.end - self.bufs.start);
        while self.fill() {
            self.consume(self.bufs.end - self.bufs.start);
        }
    }

    /// Counts the first `n` of them as used.
    pub(crate) fn consume(&mut self, n: usize) {
        self.bufs.start += n;
    }

    /// Asks the kernel for more, within this visit's share, until it has none or the buffer is full; false: nothing came.
    fn fill(&mut self) -> bool {
        contain::fault("wire: fill");
        let link = &mut *self.link;
        if self.bufs.start == self.bufs.end {
            (self.bufs.start, self.bufs.end) = (0, 0);
        }
        let before = self.bufs.end;
        while link.has_unread() && self.recvs > 0 && self.bufs.end < self.bufs.input.len() {
            match socket::recv(link.fd.as_fd(), &mut self.bufs.input[self.bufs.end..]) {
                Ok(0) => link.eof = true,
                Ok(n) => {
                    self.received = true;
                    self.bufs.end += n;
                    link.dry = link.reminded;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => link.dry = true,
                    io::ErrorKind::Interrupted => {}
                    _ => link.fail(&error),
                },
            }
            self.recvs -= 1;
        }
        if self.bufs.end == self.bufs.input.len() {
            // That much is a visit's share.
            self.recvs = 0;
        }
        self.bufs.end > before
    }
}

impl Transport for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Option<usize> {
        contain::fault("transport: read");
        if !self.patience.allows() || (self.is_empty() && !self.fill()) {
            self.patience.note_starved();
            return None;
        }
        let n = buf.len().min(self.bufs.end - self.bufs.start);
        self.patience.note_read(n);
        buf[..n].copy_from_slice(&self.bufs.input[self.bufs.start..self.bufs.start + n]);
        self.bufs.start += n;
        Some(n)
    }

    fn write(&mut self, buf: &[u8]) -> Option<usize> {
        contain::fault("transport: write");
        if self.link.mute || self.link.send_errno != 0 {
            // Nobody will read it; what the peer sent before it left can still be read.
            return Some(buf.len());
        }
        self.link.spoke = true;
        if self.is_full() {
            self.flush();
            if self.is_full() {
                return None;
            }
        }
        self.bufs.output.extend_from_slice(buf);
        Some(buf.len())
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        if !self.holds {
            self.flush();
        } else if !self.bufs.output.is_empty() {
            self.link.rest_out.list().append(&mut self.bufs.output);
        }
        if !self.is_empty() {
            self.link.rest_in.list().extend_from_slice(&self.bufs.input[self.bufs.start..self.bufs.end]);
        }
        (self.bufs.start, self.bufs.end) = (0, 0);
    }
}
