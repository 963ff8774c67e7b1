//! The other end of a connection: raw bytes, or OpenSSL's client whose records can be cut, changed and held back on their
//! way; and what has come back.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::c::tlsloop_conn;
use crate::life::{client_byte, host_byte, part};
use crate::openssl::{Client, Session, Wish};

/// One peer.
pub struct Peer {
    /// The connection's name on the other side.
    pub conn: tlsloop_conn,
    socket: Option<UnixStream>,
    wish: Wish,
    session: Option<Session>,
    client: Option<Client>,
    /// On its way to the socket.
    outbox: Vec<u8>,
    /// All that has gone to the socket.
    pub wire: Vec<u8>,
    /// What has come that was not for a client.
    pub raw: Vec<u8>,
    /// How many bytes had come before there was a client.
    before: u64,
    /// How far in what the host sends the client has heard.
    heard: u64,
    /// Whether they were the host's, in order.
    pub heard_right: bool,
    /// How many bytes the client was given to say.
    pub said: u64,
    /// Nothing was put between, changed, lost or repeated.
    is_honest: bool,
    /// The other side has ended its direction.
    pub at_eof: bool,
    /// The socket has failed.
    pub has_failed: bool,
}

impl Peer {
    /// One at this end of a socket pair.
    pub fn new(conn: tlsloop_conn, socket: UnixStream, wish: Wish, session: Option<Session>) -> Peer {
        socket.set_nonblocking(true).expect("a socket");
        Peer {
            conn,
            socket: Some(socket),
            wish,
            session,
            client: None,
            outbox: Vec::new(),
            wire: Vec::new(),
            raw: Vec::new(),
            before: 0,
            heard: 0,
            heard_right: true,
            said: 0,
            is_honest: true,
            at_eof: false,
            has_failed: false,
        }
    }

    /// The client, which begins now if there was none.
    fn client(&mut self) -> &mut Client {
        if self.client.is_none() {
            // What the host has sent in plain text until now stands before what comes through TLS.
            self.before = self.raw.len() as u64;
            self.heard = self.before;
        }
        self.client.get_or_insert_with(|| Client::new(self.wish, self.session.as_ref()))
    }

    fn collect(&mut self) {
        if let Some(client) = &mut self.client {
            self.outbox.extend(client.take());
        }
    }

    /// The client does what it can.
    pub fn shake(&mut self) {
        self.client().go_on();
        self.collect();
    }

    /// The client says so many bytes, once it can.
    pub fn say(&mut self, len: usize) {
        let bytes = part(client_byte, self.said, len);
        self.said += len as u64;
        self.client().say(&bytes);
        self.collect();
    }

    /// The client says that it will say no more.
    pub fn say_goodbye(&mut self) {
        self.client().end();
        self.collect();
    }

    /// The client changes its keys.
    pub fn renew(&mut self, asks_back: bool) {
        self.client().renew(asks_back);
        self.collect();
    }

    /// Puts bytes behind those on their way.
    pub fn put(&mut self, bytes: &[u8]) {
        self.is_honest &= bytes.is_empty();
        self.outbox.extend_from_slice(bytes);
    }

    /// Changes one byte on its way.
    pub fn damage(&mut self, at: usize, by: u8) {
        if let Some(byte) = self.outbox.get_mut(at) {
            *byte ^= by;
            self.is_honest = false;
        }
    }

    /// Loses bytes on their way.
    pub fn lose(&mut self, at: usize, len: usize) {
        let at = at.min(self.outbox.len());
        let end = (at + len).min(self.outbox.len());
        self.is_honest &= self.outbox.drain(at..end).len() == 0;
    }

    /// Repeats all that is on its way.
    pub fn repeat(&mut self) {
        if self.outbox.len() < 1 << 16 {
            self.is_honest &= self.outbox.is_empty();
            self.outbox.extend_from_within(..);
        }
    }

    /// Hands up to so many bytes to the kernel. Whether anything moved.
    pub fn flush(&mut self, most: usize) -> bool {
        let most = most.min(self.outbox.len());
        let Some(socket) = self.socket.as_mut().filter(|_| most > 0) else { return false };
        match socket.write(&self.outbox[..most]) {
            Ok(n) => {
                self.wire.extend(self.outbox.drain(..n));
                n > 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.has_failed = true;
                self.outbox.clear();
                false
            }
        }
    }

    /// Takes what has come, up to so many pieces of 4 KiB. Whether anything moved.
    pub fn read(&mut self, pieces: usize) -> bool {
        let (mut room, mut moved) = ([0_u8; 4096], false);
        for _ in 0..pieces {
            let Some(socket) = &mut self.socket else { break };
            match socket.read(&mut room) {
                Ok(0) => {
                    self.at_eof = true;
                    break;
                }
                Ok(n) => {
                    moved = true;
                    self.hear(&room[..n]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.has_failed = true;
                    break;
                }
            }
        }
        moved
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Some(client) = &mut self.client else { return self.raw.extend_from_slice(bytes) };
        let (heard, right) = (&mut self.heard, &mut self.heard_right);
        client.hear(bytes, |plain| {
            *right &= plain.iter().zip(*heard..).all(|(byte, at)| *byte == host_byte(at));
            *heard += plain.len() as u64;
        });
        self.collect();
    }

    /// What the client can come back with.
    pub fn session(&self) -> Option<Session> {
        self.client.as_ref().and_then(Client::session)
    }

    /// Whether there is a client, and it is in good order.
    pub fn is_up(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_up)
    }

    /// Whether the client has heard the server's goodbye.
    pub fn has_heard_goodbye(&self) -> bool {
        self.client.as_ref().is_some_and(Client::has_heard_goodbye)
    }

    /// How far in what the host sends the client has heard, if it has heard anything.
    pub fn heard(&self) -> u64 {
        if self.heard == self.before { 0 } else { self.heard }
    }

    /// Whether so many bytes are all that the host has sent: before there was a client, or to it.
    pub fn has_heard(&self, accepted: u64) -> bool {
        self.heard == accepted
    }

    /// How many bytes of what the client has said went out whole, if all of its records went out as they were.
    pub fn surely_said(&self) -> Option<u64> {
        let client = self.client.as_ref().filter(|client| client.is_up())?;
        let all_went = self.is_honest && self.outbox.is_empty() && !self.has_failed;
        all_went.then(|| self.said - client.unsaid() as u64)
    }

    /// Whether nothing but raw bytes has gone either way.
    pub fn is_raw(&self) -> bool {
        self.client.is_none()
    }

    /// Ends its direction.
    pub fn shut(&self) {
        if let Some(socket) = &self.socket {
            // One that is shut already stays so.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Leaves.
    pub fn leave(&mut self) {
        self.socket = None;
    }

    /// Whether it is still there.
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }
}
