//! What is known of one connection, and what the header promises of it: a small model beside the library.

use std::ffi::c_int;

use crate::c::*;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before `on_connect`.
    Opening,
    /// Up.
    Open,
    /// In its last callback.
    Last,
    /// Its last callback has returned.
    Gone,
}

/// One connection.
#[derive(Debug)]
pub struct Life {
    /// TLSLOOP_MODE_* of it.
    pub mode: c_int,
    /// What the other end says, byte by byte, where that is known.
    pub speaks: Option<fn(u64) -> u8>,
    /// How far it has come.
    pub phase: Phase,
    /// Whether what it hands over comes through TLS.
    pub is_tls: bool,
    /// TLSLOOP_OK was answered to these calls.
    pub paused: bool,
    /// -
    pub ended: bool,
    /// -
    pub closed: bool,
    /// -
    pub aborted: bool,
    /// -
    pub tls_asked: bool,
    /// The peer's end was told.
    pub heard_end: bool,
    /// A send was refused, and `on_drain` has not come yet.
    pub full: bool,
    /// Posted functions that have not run.
    pub posts: usize,
    /// Bytes that were accepted for the peer.
    pub accepted: u64,
    /// Bytes that came in plain text.
    pub plain: Vec<u8>,
    /// How many bytes came through TLS.
    pub secure: u64,
    /// The host's own pointer.
    pub data: usize,
    /// Why it has ended, if it had been up.
    pub reason: Option<c_int>,
}

/// Bytes that do not repeat themselves: a piece that is missing is not made up for by the next.
fn byte_at(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// The byte of the host's that stands there in what it sends.
pub fn host_byte(at: u64) -> u8 {
    byte_at(at)
}

/// The byte of the client's that stands there in what it says through TLS.
pub fn client_byte(at: u64) -> u8 {
    !byte_at(at + 1)
}

/// A part of what somebody sends.
pub fn part(byte: fn(u64) -> u8, from: u64, len: usize) -> Vec<u8> {
    (from..).take(len).map(byte).collect()
}

impl Life {
    /// One that was just handed over, with this pointer of the host's.
    pub fn new(mode: c_int, data: usize) -> Life {
        Life {
            mode,
            speaks: None,
            phase: Phase::Opening,
            is_tls: false,
            paused: false,
            ended: false,
            closed: false,
            aborted: false,
            tls_asked: false,
            heard_end: false,
            full: false,
            posts: 0,
            accepted: 0,
            plain: Vec::new(),
            secure: 0,
            data,
            reason: None,
        }
    }

    /// Whether a call may be answered with something else than TLSLOOP_ECLOSED.
    pub fn lives(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Open)
    }

    /// Whether the host has begun to end it.
    pub fn is_sealed(&self) -> bool {
        self.closed || self.aborted
    }

    /// Whether sends can be taken.
    pub fn takes_sends(&self) -> bool {
        self.lives() && !self.is_sealed() && !self.ended
    }

    /// Takes what `on_data` has brought; the words of a promise that is broken.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), &'static str> {
        if self.tls_asked && !self.is_tls {
            return Err("data between start_tls and on_tls");
        }
        if self.is_tls {
            let differs = |speaks: fn(u64) -> u8| data.iter().zip(self.secure..).any(|(byte, at)| *byte != speaks(at));
            if self.speaks.is_some_and(differs) {
                return Err("other bytes came through TLS than the client has said");
            }
            self.secure += data.len() as u64;
        } else {
            self.plain.extend_from_slice(data);
        }
        match () {
            () if self.phase != Phase::Open => Err("data, and it is not up"),
            () if data.is_empty() => Err("no data"),
            () if self.paused => Err("data while paused"),
            () if self.is_sealed() => Err("data after close or abort"),
            () if self.heard_end => Err("data after on_end"),
            () => Ok(()),
        }
    }

    /// Whether it can have ended for this reason.
    pub fn may_end(&self, reason: c_int, stopping: bool) -> Result<(), &'static str> {
        match reason {
            _ if self.phase != Phase::Open => Err("on_disconnect, and it is not up"),
            _ if self.posts > 0 => Err("on_disconnect before a posted function has run"),
            TLSLOOP_REASON_ABORTED if self.aborted => Ok(()),
            TLSLOOP_REASON_STOPPED if stopping => Ok(()),
            _ if self.aborted => Err("an abort that did not stay one"),
            TLSLOOP_REASON_HOST if self.closed || self.ended => Ok(()),
            TLSLOOP_REASON_PEER | TLSLOOP_REASON_RESET => Ok(()),
            TLSLOOP_REASON_TRUNCATED | TLSLOOP_REASON_PROTOCOL if self.mode != TLSLOOP_MODE_PLAIN => Ok(()),
            _ => Err("a reason that cannot be"),
        }
    }
}
