//! What all workers of one server share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::conn::{Limits, Opening};
use crate::host::{self, Host, Level};
use crate::inbox::Inbox;
use crate::log::Line;
use crate::proxy::Reader;
use crate::stats::Counters;
use crate::sys::terminal;
use crate::tls::policy::ServerContext;
use crate::trust::TrustedSources;

/// How far a server has gone towards its end; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Accepts and serves.
    Running = 0,
    /// Takes what the kernel has queued, then accepts no more; serves.
    Draining = 1,
    /// Ends its connections.
    Stopping = 2,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// TLS from the first byte.
    Tls,
    /// Plain text.
    Plain,
    /// Plain text, until the host starts TLS.
    StartTls,
    /// What the first bytes say.
    Detect,
}

/// The state of a server that is not one worker's.
pub(crate) struct Service {
    pub(crate) host: Box<dyn Host>,
    pub(crate) limits: Limits,
    mode: Mode,
    /// Who may send a PROXY header, and must.
    pub(crate) balancers: Option<TrustedSources>,
    log_level: Level,
    /// What somebody at the terminal asked to see, by TLSLOOP_LOG.
    terminal_level: Option<Level>,
    pub(crate) host_driven: bool,
    /// 0: none.
    max_connections: usize,
    max_handshakes: usize,
    /// 0: none.
    max_per_ip: usize,
    /// The context for new handshakes; none in plain mode, and before a start has succeeded.
    pub(crate) context: Mutex<Option<Arc<ServerContext>>>,
    /// The listening socket; workers keep a reference while they accept.
    pub(crate) listener: Mutex<Option<Arc<OwnedFd>>>,
    /// One for each worker, in their order.
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    stage: AtomicU8,
    stop_by: Mutex<Option<Instant>>,
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    /// Lines for the log that a worker will write.
    lines: Mutex<Vec<(Level, Line)>>,
    has_lines: AtomicBool,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The server has as many as it may.
    Limit,
    /// The address has as many as it may.
    PerIp,
}

/// The parts of a service that its configuration decides.
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    pub(crate) mode: Mode,
    pub(crate) balancers: Option<TrustedSources>,
    pub(crate) log_level: Level,
    pub(crate) host_driven: bool,
    pub(crate) max_connections: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) max_per_ip: usize,
}

/// A place among the handshakes that is kept until somebody has come, who then counts, or nobody has.
pub(crate) struct Place(Arc<Service>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.end_handshake();
    }
}

impl Service {
    /// A service that has not begun.
    pub(crate) fn new(
        terms: Terms,
        host: Box<dyn Host>,
        listener: Option<OwnedFd>,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Service {
        Service {
            host,
            limits: terms.limits,
            mode: terms.mode,
            balancers: terms.balancers,
            log_level: terms.log_level,
            terminal_level: terminal::variable(c"TLSLOOP_LOG").as_deref().and_then(Level::from_name),
            host_driven: terms.host_driven,
            max_connections: terms.max_connections,
            max_handshakes: terms.max_handshakes,
            max_per_ip: terms.max_per_ip,
            context: Mutex::new(None),
            listener: Mutex::new(listener.map(Arc::new)),
            inboxes,
            stage: AtomicU8::new(Stage::Running as u8),
            stop_by: Mutex::new(None),
            connections: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            by_ip: Mutex::new(HashMap::new()),
            lines: Mutex::new(Vec::new()),
            has_lines: AtomicBool::new(false),
        }
    }

    /// What it speaks.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// How a connection begins; `proxied`: with a PROXY header.
    pub(crate) fn opening(&self, proxied: bool) -> Opening {
        let opening = match self.mode {
            Mode::Tls => Opening::Hello,
            Mode::Plain | Mode::StartTls => Opening::Plain,
            Mode::Detect => Opening::Detection,
        };
        if proxied { Opening::Introduction(Box::new((Reader::new(), opening))) } else { opening }
    }

    /// How far it has gone.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Running,
            1 => Stage::Draining,
            _ => Stage::Stopping,
        }
    }

    /// Goes on to `stage`, unless it is beyond, and tells the workers.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        if stage >= Stage::Draining {
            self.listener.lock().take();
        }
        self.inboxes.iter().for_each(|inbox| inbox.nudge());
    }

    /// Ends all connections, the last by `deadline`.
    pub(crate) fn stop_by(&self, deadline: Instant) {
        *self.stop_by.lock() = Some(deadline);
        self.advance(Stage::Stopping);
    }

    /// When the last connection has to be ended.
    pub(crate) fn stop_deadline(&self) -> Option<Instant> {
        *self.stop_by.lock()
    }

    /// Writes a line to the host's log, if it is to be so loud.
    pub(crate) fn log(&self, level: Level, line: impl FnOnce() -> Line) {
        let to_terminal = self.terminal_level.is_some_and(|loudest| level <= loudest);
        if level > self.log_level && !to_terminal {
            return;
        }
        let line = line().to_string();
        if to_terminal {
            terminal::write(&format!("tlsloop: level={} {line}\n", level.name()));
        }
        if level <= self.log_level
            && let Some(_logging) = host::enter_log()
        {
            self.host.on_log(level, &line);
        }
    }

    /// Leaves a line to a worker: the caller may hold a lock of the host's that its log takes too.
    pub(crate) fn log_by_worker(&self, level: Level, line: impl FnOnce() -> Line) {
        if level > self.log_level.max(self.terminal_level.unwrap_or(self.log_level)) || host::is_logging() {
            return;
        }
        self.lines.lock().push((level, line()));
        self.has_lines.store(true, Ordering::Release);
        self.inboxes.iter().take(1).for_each(|inbox| inbox.nudge());
    }

    /// Whether lines were left to a worker.
    pub(crate) fn has_lines(&self) -> bool {
        self.has_lines.load(Ordering::Relaxed)
    }

    /// Writes the lines that were left to a worker.
    pub(crate) fn write_lines(&self) {
        if self.has_lines() && self.has_lines.swap(false, Ordering::AcqRel) {
            let lines = std::mem::take(&mut *self.lines.lock());
            lines.into_iter().for_each(|(level, line)| self.log(level, || line));
        }
    }

    /// A seat for one more connection, within the limit.
    pub(crate) fn admit(&self) -> Result<Seat<'_>, Refused> {
        let before = self.connections.fetch_add(1, Ordering::AcqRel);
        let seat = Seat { service: self, counts: true, ip: None };
        if self.max_connections != 0 && before >= self.max_connections { Err(Refused::Limit) } else { Ok(seat) }
    }

    /// Whether there are as many connections as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.max_connections != 0 && self.connections.load(Ordering::Acquire) >= self.max_connections
    }

    /// The seat that a connection has which was taken in without an address to count for.
    pub(crate) fn seat(&self) -> Seat<'_> {
        Seat { service: self, counts: false, ip: None }
    }

    /// Gives back what [`Seat::keep`] has kept.
    pub(crate) fn dismiss(&self, ip: Option<IpAddr>) {
        drop(Seat { service: self, counts: true, ip });
    }

    /// A place among the handshakes for whoever comes next; `None` when there is none.
    pub(crate) fn reserve_handshake(self: Arc<Service>) -> Option<Place> {
        let one_more = |count| (count < self.max_handshakes).then_some(count + 1);
        self.handshakes.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Place(self))
    }

    /// A handshake has begun.
    pub(crate) fn begin_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::AcqRel);
    }

    /// A connection is no longer on its way up; said once of each. One that goes out did not count among the handshakes,
    /// which limit what is accepted.
    pub(crate) fn settled(&self, counters: &Counters, goes_out: bool) {
        counters.settled.add(1);
        if !goes_out {
            self.end_handshake();
        }
    }

    /// A handshake has ended, one way or the other. Workers that had paused accepting look again.
    fn end_handshake(&self) {
        if self.handshakes.fetch_sub(1, Ordering::AcqRel) == self.max_handshakes {
            self.inboxes.iter().for_each(|inbox| inbox.nudge());
        }
    }

    /// Whether as many handshakes are under way as there may be.
    pub(crate) fn is_busy(&self) -> bool {
        self.handshakes.load(Ordering::Acquire) >= self.max_handshakes
    }
}

/// What a connection that is not taken in yet has been counted for. It is counted out again unless it is kept.
pub(crate) struct Seat<'a> {
    service: &'a Service,
    /// It is counted among the connections here.
    counts: bool,
    /// The address that it counts for.
    ip: Option<IpAddr>,
}

impl Seat<'_> {
    /// Counts it for its address, within that limit.
    pub(crate) fn count_for(&mut self, ip: Option<IpAddr>) -> Result<(), Refused> {
        let Some(ip) = ip.filter(|_| self.service.max_per_ip != 0) else { return Ok(()) };
        let mut by_ip = self.service.by_ip.lock();
        let count = by_ip.entry(ip).or_insert(0);
        if *count >= self.service.max_per_ip {
            return Err(Refused::PerIp);
        }
        *count += 1;
        self.ip = Some(ip);
        Ok(())
    }

    /// The connection is taken in; what it counts for is to be given to [`Service::dismiss`] at its end.
    pub(crate) fn keep(mut self) -> Option<IpAddr> {
        self.counts = false;
        self.ip.take()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.service.connections.fetch_sub(1, Ordering::AcqRel);
        }
        let Some(ip) = self.ip.take() else { return };
        let mut by_ip = self.service.by_ip.lock();
        if let Some(count) = by_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                by_ip.remove(&ip);
            }
        }
    }
}
