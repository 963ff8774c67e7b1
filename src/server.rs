//! A server's life: start, wait, drain, stop; with worker threads or driven by the host.

mod adopt;
mod connect;
mod tell;
mod wait;

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::address::Address;
use crate::conn::Limits;
use crate::error::{Code, Error, Result};
use crate::exit;
use crate::host::{Host, Level};
use crate::id::MAX_WORKERS;
use crate::inbox::Inbox;
pub use crate::listener::Listen;
use crate::listener::{self, SocketFile};
use crate::resolver::Resolver;
pub use crate::service::Mode;
use crate::service::{Service, Stage, Terms};
use crate::stats::Snapshot;
use crate::sys::wake::Wake;
use crate::sys::{fork, socket, thread};
use crate::tls::policy::Policy;
use crate::trust::TrustedSources;
pub use crate::worker::Timeout;
use crate::worker::shard::in_callback;
use crate::worker::{LONGEST, Worker};

/// Who runs a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many threads.
    Threads(usize),
    /// A thread for each CPU that the process may use.
    PerCpu,
    /// No thread: the host polls.
    HostDriven,
}

/// What a server is to be. Times are in milliseconds; `None`: never.
#[derive(Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// The queue of the listening socket.
    pub backlog: i32,
    /// What it speaks.
    pub mode: Mode,
    /// Who sends a PROXY header before anything else; nobody else is taken then.
    pub balancers: Option<TrustedSources>,
    /// Certificates and policy; only plain mode needs none.
    pub policy: Option<Arc<Policy>>,
    /// Who runs it.
    pub workers: Workers,
    /// 0: none.
    pub max_connections: usize,
    /// From how many handshakes on accepting pauses.
    pub max_handshakes: usize,
    /// 0: none.
    pub max_per_ip: usize,
    /// From accept to the end of the handshake.
    pub handshake_timeout: Option<u64>,
    /// Without a byte in either direction.
    pub idle_timeout: Option<u64>,
    /// Without the kernel taking a byte.
    pub send_timeout: Option<u64>,
    /// For the end of a connection that the host closes.
    pub close_timeout: Option<u64>,
    /// From how many queued bytes on a send is refused.
    pub high_water: usize,
    /// To how many they fall before the host is told.
    pub low_water: usize,
    /// How loud the log is.
    pub log_level: Level,
}

/// Lets all workers begin, or none.
#[derive(Default)]
struct Gate {
    open: Mutex<Option<bool>>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, open: bool) {
        *self.open.lock() = Some(open);
        self.changed.notify_all();
    }

    fn wait(&self) -> bool {
        let mut open = self.open.lock();
        loop {
            if let Some(open) = *open {
                return open;
            }
            self.changed.wait(&mut open);
        }
    }
}

enum Crew {
    Threads(Vec<JoinHandle<()>>),
    /// The one worker, for whoever polls.
    HostDriven(Box<Mutex<Worker>>),
}

/// A running server.
pub struct Server {
    service: Arc<Service>,
    crew: Crew,
    gate: Arc<Gate>,
    busy: Vec<exit::Busy>,
    address: Option<Address>,
    stop_requested: AtomicBool,
    stop_wake: Wake,
    waiting: AtomicUsize,
    next: AtomicUsize,
    /// The descriptor that a host watches.
    fd: Option<RawFd>,
    /// The file of a unix socket that this server made, and nobody else was given.
    socket_file: Mutex<Option<SocketFile>>,
    /// Looks up the names of connections that go out.
    resolver: Resolver,
    _live: fork::Live,
}

impl Server {
    /// Makes everything a server needs; it begins with [`Server::begin`]. On failure nothing is left, and a socket that
    /// was handed in is still the host's.
    pub fn start(config: &Config, host: Box<dyn Host>) -> Result<Server> {
        if in_callback() && config.workers == Workers::HostDriven {
            return Err(Error::new(Code::Deadlock, "a host-driven server cannot be started in a callback"));
        }
        let _visit = exit::visit()?;
        let count = match config.workers {
            Workers::Threads(n) => n,
            Workers::PerCpu => thread::cpus(),
            Workers::HostDriven => 1,
        };
        if count > MAX_WORKERS {
            return Err(Error::invalid(format!("workers is {count}: at most {MAX_WORKERS}")));
        }
        let listener = listener::open(&config.listen, config.backlog)?;
        let file = SocketFile::made_by(&config.listen);
        let address = listener.as_ref().map(|listener| socket::local_address(listener.as_fd())).transpose();
        let address = address.map_err(|error| Error::system("getsockname", &error))?;
        let inbox = |_| Inbox::new(config.high_water).map(Arc::new);
        let inboxes: std::io::Result<Vec<Arc<Inbox>>> = (0..count).map(inbox).collect();
        let inboxes = inboxes.map_err(|error| Error::system("eventfd", &error))?;
        let terms = terms(config, &*host);
        let service = Arc::new(Service::new(terms, host, listener, inboxes));
        let workers: Result<Vec<Worker>> = (0..count).map(|n| Worker::new(n, service.clone())).collect();
        Server::assemble(config, service, workers?, address, file)
    }

    fn assemble(
        config: &Config,
        service: Arc<Service>,
        workers: Vec<Worker>,
        address: Option<Address>,
        file: Option<SocketFile>,
    ) -> Result<Server> {
        let live = fork::enter()?;
        let stop_wake = Wake::new().map_err(|error| Error::system("eventfd", &error))?;
        let busy: Vec<exit::Busy> = workers.iter().map(Worker::busy).collect();
        let fd = (config.workers == Workers::HostDriven).then(|| workers.iter().map(Worker::fd).next()).flatten();
        let mut server = Server {
            service,
            crew: Crew::Threads(Vec::new()),
            gate: Arc::new(Gate::default()),
            busy,
            stop_requested: AtomicBool::new(false),
            stop_wake,
            waiting: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            fd,
            socket_file: Mutex::new(file),
            address,
            resolver: Resolver::default(),
            _live: live,
        };
        server.busy.iter().try_for_each(|busy| exit::watch(busy.clone()))?;
        server.employ(config, workers)?;
        // What fails before, a port that is taken, say, must not freeze the policy: the host may change it and try again.
        let context = config.policy.as_ref().map(|policy| policy.server_context()).transpose()?;
        *server.service.context.lock() = context;
        let listener = server.service.listener.lock().clone();
        if let (Listen::Socket(fd), Some(listener)) = (&config.listen, listener) {
            listener::take_over(*fd, listener.as_fd())?;
        }
        Ok(server)
    }

    /// Gives each worker its thread, which waits at the gate; or keeps the one worker for the host.
    fn employ(&mut self, config: &Config, workers: Vec<Worker>) -> Result<()> {
        if config.workers == Workers::HostDriven {
            if let Some(worker) = workers.into_iter().next() {
                self.crew = Crew::HostDriven(Box::new(Mutex::new(worker)));
            }
            return Ok(());
        }
        for (number, worker) in workers.into_iter().enumerate() {
            let gate = self.gate.clone();
            let spawned = thread::spawn(&format!("tlsloop-{number}"), move || {
                if gate.wait() {
                    worker.run();
                }
            });
            match (spawned, &mut self.crew) {
                (Ok(thread), Crew::Threads(threads)) => threads.push(thread),
                (Err(error), _) => return Err(Error::system(format!("worker {number}: pthread_create"), &error)),
                (Ok(_), Crew::HostDriven(_)) => {}
            }
        }
        Ok(())
    }

    /// Lets the workers begin; from now on the host is called.
    pub fn begin(&self) {
        self.tell_start();
        self.gate.set(true);
    }

    /// Accepts what the kernel has queued, then no more; serves on.
    pub fn drain(&self) {
        if self.service.stage() < Stage::Draining {
            self.tell_drain();
        }
        self.leave_path();
        self.service.advance(Stage::Draining);
    }

    /// Takes the file of a unix socket away, while somebody still listens behind it: without, another server may take it for
    /// one that is left over, put its own into its place, and lose that to us.
    fn leave_path(&self) {
        drop(self.socket_file.lock().take());
    }

    /// Begins the end: connections have `grace` to end in good order. On success the caller drops the server, which waits
    /// for the rest; on failure it goes on.
    pub fn stop(&self, grace: Duration) -> Result<()> {
        // A worker that is held would be waited for in vain.
        exit::check()?;
        if in_callback() {
            return Err(Error::new(Code::Deadlock, "tlsloop_server_stop was called in a callback"));
        }
        let is_polled = matches!(&self.crew, Crew::HostDriven(worker) if worker.is_locked());
        if is_polled || self.waiting.load(Ordering::SeqCst) > 0 {
            let why = "tlsloop_server_stop: another thread is in tlsloop_server_wait or tlsloop_server_poll";
            return Err(Error::state(why));
        }
        self.tell_stop(grace);
        self.leave_path();
        self.service.stop_by(Instant::now() + grace.min(LONGEST));
        Ok(())
    }

    /// The port that it listens on; 0 on a unix socket.
    pub fn port(&self) -> Result<u16> {
        self.address.as_ref().map(Address::port).ok_or_else(|| Error::state("the server has no listening socket"))
    }

    /// A duplicate of the listening socket, to hand to a successor.
    pub fn listen_fd(&self) -> Result<OwnedFd> {
        let listener = self.service.listener.lock().clone();
        let listener = listener.ok_or_else(|| Error::state("the server has no listening socket, or no longer"))?;
        let duplicate = socket::duplicate(listener.as_fd(), 0).map_err(|error| Error::system("fcntl", &error))?;
        // The successor goes on under the same path.
        self.socket_file.lock().take().into_iter().for_each(SocketFile::leave);
        Ok(duplicate)
    }

    /// Uses another policy for new handshakes; connections live on.
    pub fn set_tls(&self, policy: &Policy) -> Result<()> {
        if self.service.context.lock().is_none() {
            return Err(Error::state("tlsloop_server_set_tls: the server is in plain mode"));
        }
        let context = policy.server_context()?;
        *self.service.context.lock() = Some(context.clone());
        self.tell_policy(&context);
        Ok(())
    }

    /// What it has counted.
    pub fn stats(&self) -> Snapshot {
        Snapshot::of(self.service.inboxes.iter().map(|inbox| &inbox.counters))
    }
}

impl Drop for Server {
    /// The last part of a stop: whatever still runs is ended and joined, and the host is not called any more.
    fn drop(&mut self) {
        let has_begun = self.service.stop_deadline().is_some();
        if !has_begun {
            // The gate stays shut, and the threads end without a turn.
            self.leave_path();
            self.gate.set(false);
            self.service.stop_by(Instant::now());
        }
        match &mut self.crew {
            Crew::Threads(threads) => {
                let _pause = exit::pause();
                threads.drain(..).for_each(|thread| drop(thread.join()));
            }
            Crew::HostDriven(worker) => while worker.get_mut().poll(Timeout::Forever) {},
        }
        self.busy.iter().for_each(exit::forget);
        // What OpenSSL has a part in goes while that may be used.
        let _visit = exit::visit();
        drop(self.service.context.lock().take());
        if has_begun {
            self.tell_end();
        }
    }
}

fn terms(config: &Config, host: &dyn Host) -> Terms {
    Terms {
        limits: Limits {
            handshake_timeout: config.handshake_timeout,
            idle_timeout: config.idle_timeout,
            send_timeout: config.send_timeout,
            close_timeout: config.close_timeout,
            high_water: config.high_water,
            low_water: config.low_water,
            may_start_tls: config.mode == Mode::StartTls,
            wants_end: host.wants_end(),
        },
        mode: config.mode,
        balancers: config.balancers.clone(),
        log_level: config.log_level,
        host_driven: config.workers == Workers::HostDriven,
        max_connections: config.max_connections,
        max_handshakes: config.max_handshakes,
        max_per_ip: config.max_per_ip,
    }
}

/// A server is used from many threads at once.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Server>();
};
