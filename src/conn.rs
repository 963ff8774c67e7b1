//! One connection: its stream, its send queue, its deadlines, and how it ends. It decides and calls no host code: what
//! the host is to be told goes up as [`News`].
//!
//! A connection goes through [`Phase`] in order and never back. Invariants: [`Phase::Over`] comes with a [`Verdict`], and
//! the first verdict stands, except that bytes which are then lost on the way out make it a worse one.

mod burial;
mod deadline;
mod dial;
mod input;
mod interest;
mod opening;
mod output;
mod verdict;
mod warmth;

pub(crate) use opening::Opening;
pub(crate) use output::refused;
pub(crate) use verdict::Verdict;

use std::os::fd::BorrowedFd;

use crate::cell::{Ask, Cell, Post};
use crate::contain;
use crate::error::Code;
use crate::host::Reason;
use crate::id::Id;
use crate::info::Usual;
use crate::queue::{Mark, Pool, Queue};
use crate::rare::Rare;
use crate::stats::Counters;
use crate::sys::epoll::Interest;
use crate::tls::stream::Stream;
use crate::tls::wire::{Buffers, Link};

/// The limits of a server that its connections keep. Times are in milliseconds; `None`: never.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) handshake_timeout: Option<u64>,
    pub(crate) idle_timeout: Option<u64>,
    pub(crate) send_timeout: Option<u64>,
    pub(crate) close_timeout: Option<u64>,
    pub(crate) high_water: usize,
    pub(crate) low_water: usize,
    /// The host may start TLS on a connection in plain text.
    pub(crate) may_start_tls: bool,
    /// The host is told of the peer's end, and ends the connection itself.
    pub(crate) wants_end: bool,
}

/// What a worker lends to the connection that it is working on.
pub(crate) struct Tools<'a> {
    pub(crate) bufs: &'a mut Buffers,
    /// What connections have in common.
    pub(crate) usual: &'a mut Usual,
    /// Where plaintext is put.
    pub(crate) plain: &'a mut [u8],
    pub(crate) pool: &'a mut Pool,
    pub(crate) limits: &'a Limits,
    pub(crate) counters: &'a Counters,
    /// Milliseconds since the worker began, as of this turn.
    pub(crate) now: u64,
}

/// What the host is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing.
    Nothing,
    /// The PROXY header was read: it is known who the client is.
    Introduced,
    /// A handshake begins: [`Conn::secure`] gives it what it needs.
    Hello,
    /// The next address is to be tried: [`Conn::next_address`].
    Dial,
    /// The connection is up.
    Connected,
    /// TLS is up on a connection that began in plain text.
    Secured,
    /// So many bytes of plaintext lie in [`Tools::plain`].
    Data(usize),
    /// The peer has sent close_notify.
    PeerEnded,
    /// The queue was full and has fallen to low water.
    Drained,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// On its way up, or from plain text to TLS.
    Opening,
    /// Up: data flows.
    Open,
    /// What is queued leaves, then our end; what arrives is dropped.
    Closing,
    /// To be retired.
    Over,
}

/// Our own direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outbound {
    /// Takes sends.
    Open,
    /// What is queued leaves, then close_notify.
    Ending,
    /// close_notify has left, or nothing can.
    Ended,
}

/// The peer's direction.
enum Inbound {
    /// Delivers.
    Open,
    /// Has ended, which the host has not been told: data stands before it, or a pause.
    Pending(Box<input::Fate>),
    /// Has ended; true if by close_notify.
    Ended(bool),
    /// Has ended, and the peer goes on sending, which means nothing any more (RFC 8446, 6.1); until it leaves, that is read
    /// and dropped, because the kernel would answer it with a reset, which destroys what the peer has not fetched.
    Noise,
}

/// One connection, in the hands of its worker.
pub(crate) struct Conn {
    id: Id,
    cell: &'static Cell,
    link: Link,
    stream: Stream,
    queue: Queue,
    /// Of the queued bytes, those that are encrypted and not yet with the kernel.
    in_flight: usize,
    /// Those that the kernel has taken since the count of the queued bytes was last brought up to date.
    delivered: usize,
    phase: Phase,
    opening: Opening,
    way: dial::Way,
    /// Bytes at the front of the queue that leave in plain text before TLS begins.
    plain_left: usize,
    inbound: Inbound,
    outbound: Outbound,
    verdict: Option<Box<Verdict>>,
    /// Functions to run, each with its time, in the order of posting.
    posts: Rare<(u64, Post)>,
    idle_timeout: Option<u64>,
    born: u64,
    moved_in: u64,
    moved_out: u64,
    /// When reading began to wait for the kernel to take OpenSSL's own words, if it does.
    choked_at: u64,
    /// When the host last set the idle timeout, which counts from then.
    idle_since: u64,
    /// The deadline for which the kernel was asked once more.
    looked_at: u64,
    /// The time of the connection's entry among the worker's deadlines; [`u64::MAX`]: none.
    pub(crate) armed: u64,
    /// Its last callback is due: it obeys no more.
    pub(crate) is_ending: bool,
    /// It stands in the worker's list of connections to look at.
    pub(crate) is_listed: bool,
    /// What the worker has registered it for.
    interest: Interest,
    paused: bool,
    /// An event came while paused: until resume, no more are wanted.
    unwanted: bool,
    /// The host has been told that it is up.
    pub(crate) is_announced: bool,
    /// It no longer counts among those on their way up.
    pub(crate) is_settled: bool,
    /// Its last callback has begun.
    pub(crate) is_told: bool,
    /// Our FIN was sent.
    fin_sent: bool,
    /// A write failed while bytes of the host's were on their way.
    lost: bool,
    wants_reset: bool,
    warmth: warmth::Warmth,
    /// Refused on its way up: the host is not told.
    pub(crate) is_refused: bool,
}

impl Conn {
    /// A connection that begins with `opening`.
    pub(crate) fn new(id: Id, cell: &'static Cell, link: Link, opening: Opening, tools: &Tools<'_>) -> Conn {
        let mut conn = Conn {
            id,
            cell,
            link,
            stream: Stream::Plain,
            queue: Queue::new(),
            in_flight: 0,
            delivered: 0,
            phase: Phase::Opening,
            opening,
            way: dial::Way::of_server(tools.limits.handshake_timeout),
            plain_left: 0,
            inbound: Inbound::Open,
            outbound: Outbound::Open,
            verdict: None,
            posts: Rare::new(),
            idle_timeout: tools.limits.idle_timeout,
            born: tools.now,
            moved_in: tools.now,
            moved_out: tools.now,
            choked_at: 0,
            idle_since: 0,
            looked_at: u64::MAX,
            armed: u64::MAX,
            is_ending: false,
            is_listed: false,
            interest: Interest::Level,
            paused: false,
            unwanted: false,
            is_announced: false,
            is_settled: false,
            is_told: false,
            fin_sent: false,
            lost: false,
            wants_reset: false,
            warmth: warmth::Warmth::default(),
            is_refused: false,
        };
        conn.set_interest(Interest::Level);
        conn
    }

    /// Its name.
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Its shared part.
    pub(crate) fn cell(&self) -> &'static Cell {
        self.cell
    }

    /// Its socket.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.link.fd()
    }

    /// Whether it is on its way up.
    pub(crate) fn is_opening(&self) -> bool {
        self.phase == Phase::Opening
    }

    /// Whether it has to wait for those who are up: its next step may be one of a handshake, which costs more than any other.
    pub(crate) fn is_newcomer(&self) -> bool {
        self.is_opening() && !matches!(self.opening, Opening::Plain)
    }

    /// Whether it is to be retired.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// How it ended; asked when it is over.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
            .as_deref()
            .cloned()
            .unwrap_or_else(|| Verdict::new(Reason::System, Code::Internal, "the connection ended without a verdict"))
    }

    /// Ends it at once with this verdict, unless it has one. One in good order needs that everything has left.
    pub(crate) fn finish(&mut self, verdict: Verdict) {
        if self.has_unsent() {
            self.verdict.take_if(|before| before.is_good());
        }
        self.verdict.get_or_insert_with(|| Box::new(verdict));
        self.phase = Phase::Over;
    }

    /// Ends it at once with this verdict, whatever was said before.
    pub(crate) fn overrule(&mut self, verdict: Verdict) {
        self.verdict = Some(Box::new(verdict));
        self.phase = Phase::Over;
    }

    /// Ends it in good order: what is queued leaves, then our end; the peer's is awaited for the close timeout.
    pub(crate) fn close(&mut self, verdict: Verdict, now: u64) {
        contain::fault("conn: close");
        self.cell.gauge.seal(Mark::Closed);
        match self.phase {
            Phase::Opening if self.is_announced => {
                self.verdict.get_or_insert_with(|| Box::new(verdict));
                self.moved_out = now;
                self.close_before_tls();
            }
            Phase::Opening => self.finish(verdict),
            Phase::Open => {
                self.verdict.get_or_insert_with(|| Box::new(verdict));
                self.moved_out = now;
                self.begin_closing();
            }
            Phase::Closing | Phase::Over => {}
        }
    }

    /// TLS was started, and then the close: what was sent for TLS waits for it, and so does the end; plain text leaves as it
    /// is.
    fn close_before_tls(&mut self) {
        if self.cell.gauge.has_left() {
            // Sent by another thread before the close; the note about it is on its way.
        } else if !self.has_unsent() {
            self.finish(self.verdict());
        } else if self.is_all_plain() {
            self.begin_closing();
        }
    }

    fn begin_closing(&mut self) {
        self.phase = Phase::Closing;
        if self.outbound == Outbound::Open {
            self.outbound = Outbound::Ending;
        }
    }

    /// Resets it at once.
    pub(crate) fn abort(&mut self, verdict: Verdict) {
        self.wants_reset = true;
        self.overrule(verdict);
    }

    /// Does what the host asked for. The cell's gauge says already what the host may no longer do.
    pub(crate) fn obey(&mut self, ask: Ask, now: u64) {
        match ask {
            Ask::End => {
                // It may be over already, for a reason that the host does not know of yet.
                if let (Inbound::Ended(true), None) = (&self.inbound, &self.verdict) {
                    self.verdict = Some(Box::new(self.close_verdict()));
                }
                if self.outbound == Outbound::Open {
                    self.outbound = Outbound::Ending;
                    self.moved_out = now;
                }
            }
            Ask::Close => self.close(self.close_verdict(), now),
            Ask::Abort => {
                self.abort(Verdict::new(Reason::Aborted, Code::Closed, "the host aborted the connection"));
            }
            Ask::Pause(paused) => {
                self.paused = paused;
                self.unwanted &= paused;
            }
            Ask::IdleTimeout(ms) => {
                self.idle_timeout = ms;
                self.idle_since = now;
            }
            Ask::Post(ms, post) => self.posts.list().push((now.saturating_add(ms), post)),
        }
    }

    /// What it means that the host ends the connection now.
    fn close_verdict(&self) -> Verdict {
        match (self.phase, &self.inbound) {
            (Phase::Opening, _) if !self.is_announced => {
                Verdict::new(Reason::Host, Code::Closed, "the host closed the connection before it was up")
            }
            (_, Inbound::Ended(true)) => Verdict::new(Reason::Peer, Code::Closed, "the peer ended the connection"),
            _ => Verdict::new(Reason::Host, Code::Closed, "the host closed the connection"),
        }
    }

    /// The functions that are due by `now`, in the order of their times.
    pub(crate) fn take_posts(&mut self, now: u64) -> Vec<Post> {
        if self.posts.is_empty() {
            return Vec::new();
        }
        let (mut due, mut later): (Vec<_>, Vec<_>) = self.posts.take().into_iter().partition(|(when, _)| *when <= now);
        if !later.is_empty() {
            self.posts.list().append(&mut later);
        }
        due.sort_by_key(|(when, _)| *when);
        due.into_iter().map(|(_, post)| post).collect()
    }

    /// Whether another visit would find something to do without a new event.
    pub(crate) fn wants_visit(&self) -> bool {
        match self.phase {
            Phase::Opening => self.can_open(),
            Phase::Open => match self.inbound {
                Inbound::Open => self.link.has_news() && (!self.paused || self.link.recv_error().is_some()),
                Inbound::Pending(ref fate) => !self.paused || fate.cannot_wait(),
                Inbound::Ended(_) | Inbound::Noise => false,
            },
            Phase::Closing => !matches!(self.inbound, Inbound::Ended(_)) && self.link.has_news(),
            Phase::Over => true,
        }
    }

    /// Whether the peer's end is known and the host has yet to be told.
    pub(crate) fn has_fate(&self) -> bool {
        matches!(self.inbound, Inbound::Pending(_))
    }
}
