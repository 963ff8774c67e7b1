//! "No panic crosses. A defect becomes EINTERNAL or one connection's SYSTEM, logged": each step of the library panics in
//! turn, while connections come, talk and go and others stand by.

mod common;

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{Heard, Program, Record, client_config, config, eventually, policy, send};
use tlsloop::client::{self, Client};
use tlsloop::contain::faults;
use tlsloop::error::{Code, Result};
use tlsloop::ffi::conn::{tlsloop_conn_abort, tlsloop_conn_close, tlsloop_conn_post, tlsloop_conn_start_tls};
use tlsloop::id::Id;
use tlsloop::server::{Mode, Server, Timeout, Workers};
use tlsloop::tls::policy::Policy;

/// How the connection comes to be that the steps are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// It is accepted.
    Accepted,
    /// The host accepted it and hands it in.
    Adopted,
    /// It begins in plain text and goes over to TLS.
    StartTls,
    /// The server itself begins it, to a name of its own.
    Outgoing,
}

const OK: i32 = 0;
/// A server that has not stopped by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn each_step_panics_and_nobody_else_suffers() {
    faults::spare_this_thread();
    let policy = policy();
    // What is made once in the life of a process is made before descriptors are counted.
    run(&policy, Scene::Outgoing, Workers::Threads(1), u64::MAX);
    let mut runs = 0;
    for scene in [Scene::Accepted, Scene::Adopted, Scene::StartTls, Scene::Outgoing] {
        for workers in [Workers::Threads(1), Workers::HostDriven] {
            let mut n = 1;
            while let Some(step) = run(&policy, scene, workers, n) {
                println!("{scene:?} {workers:?} {n}: {step}");
                n += 1;
            }
            runs += n;
        }
    }
    println!("{runs} runs");
    assert_eq!(missed(), Vec::<String>::new(), "steps of the source that no run has come to");
}

/// One life of a server whose `n`-th step panics; answers which, if there are so many.
fn run(policy: &Arc<Policy>, scene: Scene, workers: Workers, n: u64) -> Option<&'static str> {
    let what = format!("{scene:?} {workers:?} {n}");
    let descriptors = descriptors();
    let stage = Stage::set(policy, scene, workers);
    let mut by: Vec<Client> = (0..2).map(|_| stage.connect().expect("nothing panics yet")).collect();
    by.iter_mut().for_each(|client| echo(client).expect("nothing panics yet"));
    faults::arm(n);
    let mut failures = vec![stage.play().err()];
    failures.extend(by.iter_mut().map(|client| echo(client).err()));
    failures.push(stage.connect().and_then(talk).err());
    let failed: Vec<_> = failures.into_iter().flatten().collect();
    assert!(failed.len() <= 1, "{what}: more than one connection suffers: {failed:?}");
    assert!(failed.iter().all(|error| error.code() != Code::TimedOut), "{what}: somebody waited: {failed:?}");
    let record = stage.program.clone();
    stage.stop(&what, by);
    let fired = faults::disarm();
    assert!(fired.is_some() || failed.is_empty(), "{what}: without a panic: {failed:?}");
    let what = format!("{what}: {}", fired.unwrap_or("nothing"));
    check(&what, &record.all());
    assert!(eventually(|| self::descriptors() == descriptors), "{what}: descriptors");
    fired
}

/// A server, and the program that it serves.
struct Stage {
    scene: Scene,
    server: Arc<Server>,
    program: Arc<Record>,
    /// Connections that the server has begun.
    outgoing: Arc<Mutex<Vec<u64>>>,
    /// Polls, host-driven.
    driver: Option<JoinHandle<()>>,
    port: u16,
}

impl Stage {
    fn set(policy: &Arc<Policy>, scene: Scene, workers: Workers) -> Stage {
        let outgoing: Arc<Mutex<Vec<u64>>> = Arc::default();
        let theirs = outgoing.clone();
        let mut program = Program::new(move |id, data| answer(id, data, theirs.lock().unwrap().contains(&id.to_u64())));
        let theirs = outgoing.clone();
        program.on_connect = Box::new(move |id| {
            if theirs.lock().unwrap().contains(&id.to_u64()) {
                or_abort(id, send(id, b"ping"));
            }
        });
        let record = program.record.clone();
        let mode = if scene == Scene::StartTls { Mode::StartTls } else { Mode::Tls };
        let mut config = config(mode, workers);
        config.policy = Some(policy.clone());
        let server = Arc::new(Server::start(&config, Box::new(program)).expect("a server"));
        server.begin();
        let driver = (workers == Workers::HostDriven).then(|| {
            let server = server.clone();
            thread::spawn(move || while !server.poll(Timeout::Forever).expect("a turn") {})
        });
        let port = server.port().expect("a port");
        Stage { scene, server, program: record, outgoing, driver, port }
    }

    fn client_config(&self) -> client::Config {
        let mode = if self.scene == Scene::StartTls { client::Mode::StartTls } else { client::Mode::Tls };
        client::Config { mode, ..client_config(self.port) }
    }

    /// A client that is up, behind TLS.
    fn connect(&self) -> Result<Client> {
        self.up(Client::connect(&self.client_config())?)
    }

    fn up(&self, mut client: Client) -> Result<Client> {
        if self.scene == Scene::StartTls {
            expect(&mut client, b"tls?", &[b"tls!"])?;
            client.start_tls()?;
        }
        Ok(client)
    }

    /// What the steps are taken for.
    fn play(&self) -> Result<()> {
        match self.scene {
            Scene::Accepted | Scene::StartTls => talk(self.connect()?),
            Scene::Adopted => self.adopt(),
            Scene::Outgoing => self.go_out(),
        }
    }

    fn adopt(&self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let peer = thread::spawn(move || {
            faults::spare_this_thread();
            talk(Client::connect(&client_config(port))?)
        });
        let (socket, _): (TcpStream, _) = listener.accept().expect("a connection");
        self.server.adopt(socket.into_raw_fd(), 0, |_| {}).expect("it is taken");
        peer.join().expect("the peer")
    }

    /// The outgoing end and the accepted one are two connections; if one suffers, the other ends.
    fn go_out(&self) -> Result<()> {
        let mut to = self.client_config();
        to.host = "localhost".to_owned();
        let name = |id: Id| self.outgoing.lock().unwrap().push(id.to_u64());
        let before = self.outgoing.lock().unwrap().len();
        self.server.connect(&to, 0, name).expect("it begins");
        let id = self.outgoing.lock().unwrap()[before];
        let is_last = |heard: &Heard| matches!(heard, Heard::Disconnect(_) | Heard::Failed(_));
        let has_ended = || self.program.all().iter().any(|(of, heard)| *of == id && is_last(heard));
        assert!(eventually(has_ended), "an outgoing connection has no end");
        Ok(())
    }

    /// Ends the server while clients stand by.
    fn stop(self, what: &str, clients: Vec<Client>) {
        self.server.request_stop();
        if let Some(driver) = self.driver {
            driver.join().expect("no panic crosses");
        }
        let server = Arc::into_inner(self.server).expect("the driver has let go");
        let (tell, told) = mpsc::channel();
        let end = thread::spawn(move || {
            server.stop(PATIENCE).expect("nobody else is in it");
            drop(server);
            let _ = tell.send(());
        });
        for mut client in clients {
            // In good order, or the one whose end was disturbed.
            let _ = client.recv(&mut [0]);
            client.close();
        }
        assert!(told.recv_timeout(PATIENCE).is_ok(), "{what}: the stop does not return");
        end.join().expect("no panic crosses");
    }
}

/// What the program does with data.
fn answer(id: Id, data: &[u8], is_outgoing: bool) {
    match data {
        _ if is_outgoing => or_abort(id, tlsloop_conn_close(id.to_u64())),
        b"tls?" => {
            or_abort(id, send(id, b"tls!"));
            or_abort(id, tlsloop_conn_start_tls(id.to_u64()));
        }
        b"elsewhere" => {
            let elsewhere = move || {
                or_abort(id, send(id, b"sent"));
                // SAFETY: the function takes any argument.
                or_abort(id, unsafe { tlsloop_conn_post(id.to_u64(), Some(posted), std::ptr::null_mut()) });
            };
            thread::spawn(elsewhere).join().expect("no panic crosses");
        }
        data => or_abort(id, send(id, data)),
    }
}

/// A posted function.
unsafe extern "C" fn posted(conn: u64, _: *mut std::ffi::c_void) {
    if let Some(id) = Id::from_u64(conn) {
        or_abort(id, send(id, b"posted"));
    }
}

/// A program that is told of a defect gives the connection up.
fn or_abort(id: Id, code: i32) {
    if code != OK {
        tlsloop_conn_abort(id.to_u64());
    }
}

/// A whole conversation, with an end in good order.
fn talk(mut client: Client) -> Result<()> {
    echo(&mut client)?;
    expect(&mut client, b"elsewhere", &[b"sentposted"])?;
    client.end()?;
    assert_eq!(client.recv(&mut [0])?, 0, "more than was asked for");
    client.close();
    Ok(())
}

fn echo(client: &mut Client) -> Result<()> {
    expect(client, b"ping", &[b"ping"])
}

/// Says something and hears one of the answers, whole.
fn expect(client: &mut Client, word: &[u8], answers: &[&[u8]]) -> Result<()> {
    client.send(word)?;
    let mut got = Vec::new();
    let mut room = [0; 64];
    while got.len() < answers[0].len() {
        match client.recv(&mut room)? {
            0 => return Err(tlsloop::error::Error::closed()),
            n => got.extend_from_slice(&room[..n]),
        }
    }
    assert!(answers.contains(&&got[..]), "{}", String::from_utf8_lossy(&got));
    Ok(())
}

/// Each connection has the callbacks that it is promised, and the reasons say what was wrong.
fn check(what: &str, record: &[(u64, Heard)]) {
    let mut by_id: HashMap<u64, Vec<Heard>> = HashMap::new();
    for (id, heard) in record {
        by_id.entry(*id).or_default().push(*heard);
    }
    for (id, heard) in by_id {
        let is_connect = |heard: &&Heard| **heard == Heard::Connect;
        let is_disconnect = |heard: &&Heard| matches!(heard, Heard::Disconnect(_));
        let is_failure = |heard: &&Heard| matches!(heard, Heard::Failed(_));
        let connects = heard.iter().filter(is_connect).count();
        let disconnects = heard.iter().filter(is_disconnect).count();
        let failures = heard.iter().filter(is_failure).count();
        assert_eq!((connects, connects), (disconnects, 1 - failures), "{what}: connection {id}: {heard:?}");
        let last = heard.last().expect("an entry");
        assert!(is_disconnect(&last) || is_failure(&last), "{what}: connection {id}: {heard:?}");
    }
}

/// How many descriptors the process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// The steps that stand in the source and were not taken.
fn missed() -> Vec<String> {
    let seen = faults::seen();
    let mut all = Vec::new();
    collect(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
    assert!(all.len() > 20, "the source is not where it was: {all:?}");
    all.retain(|name| !seen.contains(&name.as_str()));
    all
}

fn collect(directory: &std::path::Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else {
            let text = std::fs::read_to_string(&path).expect("text");
            let names_in = text.split("contain::fault(\"").skip(1);
            names.extend(names_in.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
}
