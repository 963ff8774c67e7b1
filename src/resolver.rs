//! Names to addresses, without holding up whoever asks: getaddrinfo(3) blocks for as long as a name server likes, and
//! nothing can stop it.
//!
//! A resolver has one thread, which begins when there is something to look up. While it waits for an answer, others help,
//! until nothing is left to ask: a name server that is silent about one name holds no other up. A resolver that is dropped
//! waits for its threads, unless they are inside a look-up: then they are abandoned, and end by themselves when the look-up
//! does. Invariant: an abandoned thread touches nothing but the resolver's own shared state, and drops its answer unheard.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::address::Address;
use crate::contain;
use crate::error::{Code, Error, Result};
use crate::exit;
use crate::sys::{socket, thread};

/// What a host may name as its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An address, which needs no look-up.
    At(Address),
    /// A name, and a port.
    Named(String, u16),
}

impl Place {
    /// Reads `192.0.2.7`, `2001:db8::7`, `[2001:db8::7]`, `fe80::1%eth0`, `unix:/run/x.sock` or a name.
    pub(crate) fn read(host: &str, port: u16) -> Result<Place> {
        if let Some(path) = host.strip_prefix("unix:") {
            return match path {
                "" => Err(Error::invalid("config->host: \"unix:\" without a path")),
                path => Ok(Place::At(Address::unix(path))),
            };
        }
        if host.is_empty() {
            return Err(Error::invalid("config->host is empty"));
        }
        if port == 0 {
            return Err(Error::invalid("config->port is 0"));
        }
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (numeric(inner.unwrap_or(host), port), inner) {
            (Some(SocketAddr::V4(_)) | None, Some(_)) => {
                Err(Error::invalid(format!("config->host: \"{host}\" holds no IPv6 address")))
            }
            (Some(address), _) => Ok(Place::At(Address::inet(address))),
            (None, None) => Ok(Place::Named(host.to_owned(), port)),
        }
    }
}

/// An address, perhaps with the zone that a link-local one needs (RFC 4007, 11).
fn numeric(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port));
    }
    let (address, zone) = text.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let zone = zone.parse().ok().or_else(|| socket::zone_index(zone))?;
    Some(SocketAddrV6::new(address, port, 0, zone).into())
}

/// Hears what a look-up gave, at most once, on the resolver's thread.
pub(crate) type Answer = Box<dyn FnOnce(Result<Vec<Address>>) + Send>;

struct Question {
    name: String,
    port: u16,
    /// Nobody waits any longer then.
    until: Option<Instant>,
    answer: Answer,
}

#[derive(Default)]
struct State {
    questions: VecDeque<Question>,
    /// Threads that are about to take one.
    idle: usize,
    /// The resolver is gone.
    is_closed: bool,
}

/// What a resolver and its thread share.
#[derive(Default)]
struct Shared {
    /// Guards the questions; never held while anything is looked up or answered.
    state: Mutex<State>,
    changed: Condvar,
}

/// How many look-ups may be under way at once.
const MOST: usize = 8;

/// Looks names up.
#[derive(Default)]
pub(crate) struct Resolver {
    shared: Arc<Shared>,
    /// The first stays, the others help.
    threads: Mutex<Vec<Thread>>,
}

struct Thread {
    handle: JoinHandle<()>,
    /// Inside a look-up; changed under the state's lock.
    is_looking: Arc<AtomicBool>,
}

impl Resolver {
    /// Starts the thread, unless it runs. To be called before the first question.
    pub(crate) fn begin(&self) -> Result<()> {
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            let first = self.start(false);
            threads.push(first.map_err(|error| Error::system("the resolver's thread: pthread_create", &error))?);
        }
        Ok(())
    }

    fn start(&self, helps: bool) -> io::Result<Thread> {
        let (shared, is_looking) = (self.shared.clone(), Arc::<AtomicBool>::default());
        let its_own = is_looking.clone();
        // Before it runs, so that nobody takes it for busy.
        self.shared.state.lock().idle += 1;
        let spawned = thread::spawn("tlsloop-names", move || shared.run(helps, &its_own));
        let handle = spawned.inspect_err(|_| self.shared.state.lock().idle -= 1)?;
        Ok(Thread { handle, is_looking })
    }

    /// All threads are busy with other names.
    fn help(&self) {
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.handle.is_finished());
        // If there can be no more, the question waits for those that there are.
        if threads.len() < MOST
            && let Ok(helper) = self.start(true)
        {
            threads.push(helper);
        }
    }

    /// Asks for the addresses of a name. `answer` hears them, or why there are none; after `until` it may be dropped
    /// unheard.
    pub(crate) fn ask(&self, name: &str, port: u16, until: Option<Instant>, answer: Answer) {
        let question = Question { name: name.to_owned(), port, until, answer };
        let mut state = self.shared.state.lock();
        state.questions.push_back(question);
        let wants_help = state.questions.len() > state.idle;
        drop(state);
        self.shared.changed.notify_one();
        if wants_help {
            self.help();
        }
    }

    /// Asks, and waits until `until`.
    pub(crate) fn wait_for(&self, name: &str, port: u16, until: Option<Instant>) -> Result<Vec<Address>> {
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let theirs = slot.clone();
        let answer = move |answer| {
            *theirs.0.lock() = Some(answer);
            theirs.1.notify_one();
        };
        self.begin().map_err(|error| error.about(format_args!("the look-up of {name}")))?;
        self.ask(name, port, until, Box::new(answer));
        let _pause = exit::pause();
        let mut answer = slot.0.lock();
        while answer.is_none() {
            let in_time = match until {
                None => {
                    slot.1.wait(&mut answer);
                    true
                }
                Some(until) => !slot.1.wait_until(&mut answer, until).timed_out(),
            };
            if !in_time && answer.is_none() {
                return Err(Error::new(Code::TimedOut, too_late(name)));
            }
        }
        answer.take().unwrap_or_else(|| Err(Error::new(Code::TimedOut, too_late(name))))
    }
}

/// The sentence for a look-up that took too long.
pub(crate) fn too_late(name: &str) -> String {
    format!("the look-up of {name}: no answer within the time")
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.is_closed = true;
        let unheard = std::mem::take(&mut state.questions);
        let threads = std::mem::take(self.threads.get_mut());
        let waited_for: Vec<_> = threads.into_iter().filter(|one| !one.is_looking.load(Ordering::Relaxed)).collect();
        drop(state);
        drop(unheard);
        self.shared.changed.notify_all();
        for thread in waited_for {
            // Its last answer is short.
            drop(thread.handle.join());
        }
    }
}

impl Shared {
    /// A thread's life.
    fn run(&self, helps: bool, is_looking: &AtomicBool) {
        let _inside = contain::enter();
        while let Some(question) = self.next(helps, is_looking) {
            let Question { name, port, until, answer } = question;
            let is_late = until.is_some_and(|until| until <= Instant::now());
            let found = if is_late { None } else { Some(contain::run("a look-up", || look_up(&name, port))) };
            if !self.may_answer(is_looking) {
                return;
            }
            if let Some(found) = found {
                let _ = contain::run("the answer to a look-up", || {
                    answer(found);
                    Ok(())
                });
            }
        }
    }

    /// Waits for a question; `None`: there is none and the thread only helps, or the resolver is gone.
    fn next(&self, helps: bool, is_looking: &AtomicBool) -> Option<Question> {
        let mut state = self.state.lock();
        while state.questions.is_empty() && !helps && !state.is_closed {
            self.changed.wait(&mut state);
        }
        state.idle -= 1;
        let question = state.questions.pop_front()?;
        is_looking.store(true, Ordering::Relaxed);
        Some(question)
    }

    /// Whether there is still somebody to hear.
    fn may_answer(&self, is_looking: &AtomicBool) -> bool {
        let mut state = self.state.lock();
        is_looking.store(false, Ordering::Relaxed);
        // The answer is short.
        state.idle += 1;
        !state.is_closed
    }
}

/// All addresses of a name, in the order in which they are to be tried (getaddrinfo(3), RFC 6724).
fn look_up(name: &str, port: u16) -> Result<Vec<Address>> {
    contain::fault("resolver: look_up");
    let told = |why: &dyn std::fmt::Display| Error::new(Code::System, format!("the look-up of {name}: {why}"));
    let mut found: Vec<Address> = Vec::new();
    for address in (name, port).to_socket_addrs().map_err(|error| told(&error))?.map(Address::inet) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() { Err(told(&"the name has no address")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn read(host: &str) -> Result<String> {
        Place::read(host, 7).map(|place| match place {
            Place::At(address) => address.to_string(),
            Place::Named(name, port) => format!("{name}, {port}"),
        })
    }

    fn begun() -> Resolver {
        let resolver = Resolver::default();
        resolver.begin().unwrap();
        resolver
    }

    #[test]
    fn a_host_is_an_address_a_path_or_a_name() {
        for (host, place) in [
            ("192.0.2.7", "192.0.2.7:7"),
            ("2001:db8::7", "[2001:db8::7]:7"),
            ("[2001:db8::7]", "[2001:db8::7]:7"),
            ("::ffff:192.0.2.7", "192.0.2.7:7"),
            ("fe80::1%1", "[fe80::1%1]:7"),
            ("[fe80::1%lo]", "[fe80::1%1]:7"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("localhost", "localhost, 7"),
            ("a.example.", "a.example., 7"),
        ] {
            assert_eq!(read(host).as_deref(), Ok(place), "{host}");
        }
        for bad in ["", "unix:", "[192.0.2.7]", "[localhost]", "[]"] {
            assert_eq!(read(bad).unwrap_err().code(), Code::Invalid, "{bad}");
        }
        assert!(Place::read("localhost", 0).is_err());
        assert!(Place::read("unix:/run/x.sock", 0).is_ok());
    }

    #[test]
    fn a_name_has_addresses_with_the_port() {
        let found = Resolver::default().wait_for("localhost", 443, None).unwrap();
        assert!(!found.is_empty());
        for address in found {
            assert!(address.ip().is_some_and(|ip| ip.is_loopback()) && address.port() == 443, "{address}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_is_named_in_the_sentence() {
        let error = Resolver::default().wait_for("no name has a blank", 443, None).unwrap_err();
        assert_eq!(error.code(), Code::System);
        assert!(error.sentence().contains("no name has a blank"), "{error}");
    }

    #[test]
    fn one_after_the_other_needs_one_thread() {
        let resolver = begun();
        for _ in 0..20 {
            resolver.wait_for("localhost", 1, None).unwrap();
        }
        assert_eq!(resolver.threads.lock().len(), 1);
    }

    #[test]
    fn whom_nobody_waits_for_is_not_looked_up() {
        let resolver = begun();
        let (tell, heard) = mpsc::channel();
        let late = tell.clone();
        resolver.ask("localhost", 1, Some(Instant::now()), Box::new(move |_| late.send("late").unwrap()));
        resolver.ask("localhost", 1, None, Box::new(move |_| tell.send("in time").unwrap()));
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["in time"]);
    }

    #[test]
    fn nothing_is_heard_once_the_resolver_is_gone() {
        let (tell, heard) = mpsc::channel();
        let resolver = begun();
        for _ in 0..100 {
            let tell = tell.clone();
            let answer = move |_| {
                std::thread::sleep(Duration::from_millis(1));
                tell.send(()).unwrap();
            };
            resolver.ask("localhost", 1, None, Box::new(answer));
        }
        drop(resolver);
        while heard.try_recv().is_ok() {}
        drop(tell);
        assert!(heard.recv().is_err(), "an answer after the end");
    }
}
