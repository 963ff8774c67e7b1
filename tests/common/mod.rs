//! A program in Rust that uses the library as C programs do: it hears callbacks and answers with the exports.
// Each test uses a part of it.
#![allow(dead_code)]

use std::ffi::{CStr, c_int};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use tlsloop::client;
use tlsloop::error::Code;
use tlsloop::ffi::conn::tlsloop_conn_send;
use tlsloop::ffi::error::tlsloop_last_error;
use tlsloop::host::{Host, Level, Reason};
use tlsloop::id::Id;
use tlsloop::server::{Config, Listen, Mode, Workers};
use tlsloop::tls::policy::{Policy, Verify};

/// What a program has heard of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Connect,
    Data(usize),
    Disconnect(Reason),
    Failed(Code),
}

/// What was heard, in order.
#[derive(Default)]
pub struct Record {
    events: Mutex<Vec<(u64, Heard)>>,
    sentences: Mutex<Vec<String>>,
}

impl Record {
    fn add(&self, id: Id, heard: Heard) {
        self.events.lock().unwrap().push((id.to_u64(), heard));
    }

    /// All of it.
    pub fn all(&self) -> Vec<(u64, Heard)> {
        self.events.lock().unwrap().clone()
    }

    /// A sentence that the library has said, or left as the last error.
    pub fn note(&self, sentence: &str) {
        self.sentences.lock().unwrap().push(sentence.to_owned());
    }

    /// Whether a sentence had these words in it.
    pub fn has_words(&self, words: &str) -> bool {
        self.sentences.lock().unwrap().iter().any(|sentence| sentence.contains(words))
    }

    /// How many entries `which` picks.
    pub fn count(&self, which: impl Fn(&Heard) -> bool) -> usize {
        self.all().iter().filter(|(_, heard)| which(heard)).count()
    }
}

type OnConnect = Box<dyn Fn(Id) + Send + Sync>;
type OnData = Box<dyn Fn(Id, &[u8]) + Send + Sync>;

/// A program that writes down what it hears and does one thing at each event.
pub struct Program {
    pub record: Arc<Record>,
    pub on_connect: OnConnect,
    pub on_data: OnData,
}

impl Program {
    /// One that does nothing but what it does with data.
    pub fn new(on_data: impl Fn(Id, &[u8]) + Send + Sync + 'static) -> Program {
        Program { record: Arc::default(), on_connect: Box::new(|_| {}), on_data: Box::new(on_data) }
    }
}

impl Host for Program {
    fn on_connect(&self, id: Id) {
        self.record.add(id, Heard::Connect);
        (self.on_connect)(id);
    }

    fn on_data(&self, id: Id, data: &[u8]) {
        self.record.add(id, Heard::Data(data.len()));
        (self.on_data)(id, data);
    }

    fn on_drain(&self, _: Id) {}

    fn on_end(&self, _: Id) {}

    fn on_disconnect(&self, id: Id, reason: Reason, why: &str) {
        self.record.note(why);
        self.record.add(id, Heard::Disconnect(reason));
    }

    fn on_tls(&self, _: Id) {}

    fn on_handshake_failed(&self, id: Id, code: Code, _: &str, why: &str) {
        self.record.note(why);
        self.record.add(id, Heard::Failed(code));
    }

    fn on_accept(&self, _: &str) -> bool {
        true
    }

    fn on_log(&self, _: Level, line: &str) {
        self.record.note(line);
    }

    fn on_worker_start(&self, _: usize) {}

    fn on_worker_stop(&self, _: usize) {}

    fn wants_end(&self) -> bool {
        false
    }

    fn wants_accept(&self) -> bool {
        false
    }
}

/// tlsloop_last_error().
pub fn last_error() -> String {
    // SAFETY: never NULL, terminated, valid until the next call on this thread; copied at once.
    unsafe { CStr::from_ptr(tlsloop_last_error()) }.to_string_lossy().into_owned()
}

/// tlsloop_conn_send().
pub fn send(id: Id, data: &[u8]) -> c_int {
    // SAFETY: `data` is readable for its length during the call.
    unsafe { tlsloop_conn_send(id.to_u64(), data.as_ptr().cast(), data.len()) }
}

/// A server on a free port of the loopback, with what a C program gets that says nothing.
pub fn config(mode: Mode, workers: Workers) -> Config {
    Config {
        listen: Listen::Address(Some("127.0.0.1".to_owned()), 0),
        backlog: 128,
        mode,
        balancers: None,
        policy: None,
        workers,
        max_connections: 0,
        max_handshakes: 1024,
        max_per_ip: 0,
        handshake_timeout: Some(10_000),
        idle_timeout: None,
        send_timeout: Some(30_000),
        close_timeout: Some(5_000),
        high_water: 1 << 20,
        low_water: 1 << 18,
        log_level: Level::Error,
    }
}

/// Waits until `fact` is true; false if it does not become so for a long time.
pub fn eventually(mut fact: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if fact() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    fact()
}

/// A certificate made for the test.
pub fn policy() -> Arc<Policy> {
    let policy = Policy::new();
    policy.add_self_signed("localhost").expect("a certificate");
    Arc::new(policy)
}

/// A client of a server on the loopback, which trusts whatever it shows. All share one policy: making it takes longer
/// than a handshake.
pub fn client_config(port: u16) -> client::Config {
    static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
        let policy = Policy::new();
        policy.set_verify(Verify::None).expect("no trust");
        Arc::new(policy)
    });
    client::Config {
        host: "127.0.0.1".to_owned(),
        server_name: None,
        policy: Some(POLICY.clone()),
        mode: client::Mode::Tls,
        port,
        connect_timeout: Some(20_000),
        io_timeout: Some(20_000),
    }
}
