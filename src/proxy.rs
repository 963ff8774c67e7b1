//! The PROXY protocol: before the first byte of its client, a balancer tells where that client comes from.
//!
//! Versions 1 and 2, by HAProxy's specification (doc/proxy-protocol.txt). [`Reader`] takes bytes as they come and answers
//! the same however they are cut. Invariant: it takes no byte behind the header, and keeps no more of it than one line or
//! one pair of addresses, whatever length the header claims.

mod crc32c;
mod v1;
mod v2;

use crate::address::Address;

/// Both ends of the client's connection to the balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEnds {
    /// Where the client comes from.
    pub source: Address,
    /// What it connected to.
    pub destination: Address,
}

/// How far a header has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes were taken, and they are not the whole header.
    NeedMore,
    /// The header is whole. `None`: it speaks for no client (LOCAL, UNKNOWN, UNSPEC), and the real peer counts.
    Done(Option<ClientEnds>),
    /// No header, or a wrong one: the words say what is wrong, to stand behind "PROXY header: ". The connection is of no
    /// further use.
    Refused(&'static str),
}

/// Reads one header. What it keeps lies on the heap from the first byte to the last of the header, below 1 KiB.
#[derive(Default)]
pub struct Reader {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Start,
    Line(Box<v1::Line>),
    Block(Box<v2::Block>),
    Over(Progress),
}

impl Reader {
    /// Begins before the first byte of a connection.
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Takes what has come and says how many bytes that was. Those behind them are the client's own.
    ///
    /// `Done` and `Refused` are final: from then on no byte is taken, and the answer stays.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Progress) {
        if let State::Start = self.state {
            self.state = match bytes.first() {
                None => return (0, Progress::NeedMore),
                Some(&v1::FIRST) => State::Line(Box::default()),
                Some(&v2::FIRST) => State::Block(Box::default()),
                Some(_) => State::Over(Progress::Refused(NO_HEADER)),
            };
        }
        let (taken, progress) = match &mut self.state {
            State::Start => (0, Progress::NeedMore),
            State::Line(line) => line.feed(bytes),
            State::Block(block) => block.feed(bytes),
            State::Over(answer) => return (0, answer.clone()),
        };
        if progress != Progress::NeedMore {
            self.state = State::Over(progress.clone());
        }
        (taken, progress)
    }
}

/// Said as soon as a byte differs from how a header begins.
const NO_HEADER: &str = "missing; the connection begins with something else";

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
