//! The client against peers that are nothing but sockets, and against servers of ours.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::calls;
use crate::host::{Host, Level, Reason};
use crate::id::Id;
use crate::server::{self, Listen, Server, Timeout, Workers};
use crate::tls::policy::{Policy, Verify};

fn to(port: u16, mode: Mode) -> Config {
    let policy = Policy::new();
    policy.set_verify(Verify::None).unwrap();
    Config {
        host: "127.0.0.1".to_owned(),
        server_name: None,
        policy: Some(Arc::new(policy)),
        mode,
        port,
        connect_timeout: Some(10_000),
        io_timeout: Some(10_000),
    }
}

/// A peer that does one thing with one connection.
fn peer(act: impl FnOnce(TcpStream) + Send + 'static) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || act(listener.accept().unwrap().0)))
}

fn receive_all(client: &mut Client) -> Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 50_000]);
    loop {
        match client.recv(&mut buf)? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// "send: all of it": also to a peer that does not read on while nobody reads its answer.
#[test]
fn a_peer_that_answers_while_it_is_written_to_does_not_wait_for_ever() {
    const LEN: usize = 32 << 20;
    let (port, thread) = peer(|mut stream| {
        let (mut buf, mut left) = ([0; 8192], LEN);
        while left > 0 {
            let n = stream.read(&mut buf).unwrap();
            assert_ne!(n, 0, "{left} bytes are missing");
            stream.write_all(&buf[..n]).unwrap();
            left -= n;
        }
    });
    let mut client = Client::connect(&to(port, Mode::Plain)).unwrap();
    let data = pattern(LEN);
    client.send(&data).unwrap();
    client.end().unwrap();
    assert!(receive_all(&mut client).unwrap() == data, "the echo differs");
    client.close();
    thread.join().unwrap();
}

/// What is taken in while a send waits has a bound.
#[test]
fn a_peer_that_floods_and_never_reads_costs_no_more_than_the_bound() {
    let (port, thread) = peer(|mut stream| while stream.write_all(&[7; 65536]).is_ok() {});
    let mut client = Client::connect(&Config { io_timeout: Some(300), ..to(port, Mode::Plain) }).unwrap();
    let data = vec![0; 16 << 20];
    assert_eq!(client.send(&data).unwrap_err().code(), Code::TimedOut);
    assert!(client.kept.len() <= KEPT + data.len() + (64 << 10), "{} bytes are kept", client.kept.len());
    assert!(client.kept.len() > 1 << 20, "nothing was taken in");
    // The direction that works goes on; the other tells again what became of it.
    assert_eq!(client.recv(&mut [0; 10]).unwrap(), 10);
    assert_eq!(client.send(b"x").unwrap_err().code(), Code::TimedOut);
    assert_eq!(client.end().unwrap_err().code(), Code::TimedOut);
    client.close();
    thread.join().unwrap();
}

/// "PLAIN: FIN" is the clean end, and stays so; our own end leaves the other direction alone.
#[test]
fn plain_text_ends_by_fin_one_direction_after_the_other() {
    let (port, thread) = peer(|mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"a question");
        stream.write_all(b"an answer").unwrap();
    });
    let mut client = Client::connect(&to(port, Mode::Plain)).unwrap();
    client.send(b"a question").unwrap();
    client.end().unwrap();
    assert_eq!(client.end().unwrap_err().code(), Code::Closed);
    assert_eq!(client.send(b"more").unwrap_err().code(), Code::Closed);
    assert_eq!(receive_all(&mut client).unwrap(), b"an answer");
    assert_eq!(client.recv(&mut [0]).unwrap(), 0);
    let told = client.told();
    assert_eq!((told.bytes_in, told.bytes_out), (9, 10));
    assert!(told.facts.tls.is_none());
    client.close();
    thread.join().unwrap();
}

#[test]
fn a_peer_may_end_first_and_still_be_written_to() {
    let (port, thread) = peer(|mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"later");
    });
    let mut client = Client::connect(&to(port, Mode::Plain)).unwrap();
    assert_eq!(client.recv(&mut [0]).unwrap(), 0);
    client.send(b"later").unwrap();
    client.close();
    thread.join().unwrap();
}

/// A reset is one, however it is met: here a failed write takes the error before a read can see it.
#[test]
fn a_reset_that_a_send_has_met_is_no_clean_end_for_a_receive() {
    let (port, thread) = peer(|stream| {
        // Unread input turns the close into a reset.
        let mut byte = [0];
        assert_eq!(stream.peek(&mut byte).unwrap(), 1);
    });
    let mut client = Client::connect(&to(port, Mode::Plain)).unwrap();
    client.send(b"x").unwrap();
    thread.join().unwrap();
    let mut sends = 0;
    let error = loop {
        match client.send(b"into the void") {
            Err(error) => break error,
            Ok(()) => sends += 1,
        }
        assert!(sends < 1000, "nothing is wrong");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(error.code(), Code::System);
    for _ in 0..2 {
        assert_eq!(client.recv(&mut [0]).unwrap_err().code(), Code::System);
    }
    client.close();
}

#[test]
fn every_address_is_tried_until_one_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = Address::inet(listener.local_addr().unwrap());
    let bad = Address::inet(refuses);
    let deadline = Deadline::after(Some(10_000));
    let (_, reached) = connect::reach(&[bad.clone(), good.clone()], "both", &deadline).unwrap();
    assert_eq!(reached, good);
    let error = connect::reach(std::slice::from_ref(&bad), "both", &deadline).unwrap_err();
    assert_eq!(error.code(), Code::System);
    assert!(error.sentence().starts_with(&format!("both: connect to {bad}: ")), "{error}");
}

#[test]
fn a_path_is_a_place_too() {
    let path = std::env::temp_dir().join(format!("tlsloop-client-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let config = Config { host: format!("unix:{}", path.display()), ..to(0, Mode::Plain) };
    let mut client = Client::connect(&config).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"hello").unwrap();
    assert_eq!(client.recv(&mut [0; 9]).unwrap(), 5);
    let told = client.told();
    assert_eq!(told.facts.peer.to_string(), config.host);
    assert_eq!(told.credentials.map(|(pid, _)| pid), i32::try_from(std::process::id()).ok());
    client.close();
    drop(listener);
    let error = Client::connect(&config).map(|_| ()).unwrap_err();
    assert!(error.code() == Code::System && error.sentence().contains(&config.host), "{error}");
    std::fs::remove_file(&path).unwrap();
}

/// Whoever says nothing at all does not hold anybody up for longer than was asked for.
#[test]
fn a_receive_has_its_time_and_may_be_repeated() {
    let (port, thread) = peer(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"y").unwrap();
    });
    let mut client = Client::connect(&Config { io_timeout: Some(50), ..to(port, Mode::Plain) }).unwrap();
    assert_eq!(client.recv(&mut [0]).unwrap_err().code(), Code::TimedOut);
    client.send(b"x").unwrap();
    client.io_timeout = Some(10_000);
    assert_eq!(client.recv(&mut [0]).unwrap(), 1);
    assert_eq!(client.recv(&mut []).unwrap_err().code(), Code::Invalid);
    client.close();
    thread.join().unwrap();
}

/// Echoes; the line "STARTTLS" is answered by "go" and begins TLS.
struct Echo;

impl Host for Echo {
    fn on_connect(&self, _: Id) {}
    fn on_data(&self, id: Id, data: &[u8]) {
        if data == b"STARTTLS" {
            calls::send(id, &[b"go"]).unwrap();
            calls::start_tls(id).unwrap();
        } else {
            calls::send(id, &[data]).unwrap();
        }
    }
    fn on_drain(&self, _: Id) {}
    fn on_end(&self, _: Id) {}
    fn on_disconnect(&self, _: Id, _: Reason, _: &str) {}
    fn on_tls(&self, _: Id) {}
    fn on_handshake_failed(&self, _: Id, _: Code, _: &str, _: &str) {}
    fn on_accept(&self, _: &str) -> bool {
        true
    }
    fn on_log(&self, _: Level, _: &str) {}
    fn on_worker_start(&self, _: usize) {}
    fn on_worker_stop(&self, _: usize) {}
    fn wants_end(&self) -> bool {
        false
    }
    fn wants_accept(&self) -> bool {
        false
    }
}

fn serve(mode: server::Mode) -> Server {
    let policy = Policy::new();
    policy.add_self_signed("localhost").unwrap();
    let config = server::Config {
        listen: Listen::Address(Some("127.0.0.1".to_owned()), 0),
        backlog: 16,
        mode,
        balancers: None,
        policy: Some(Arc::new(policy)),
        workers: Workers::Threads(1),
        max_connections: 0,
        max_handshakes: 16,
        max_per_ip: 0,
        handshake_timeout: Some(10_000),
        idle_timeout: None,
        send_timeout: Some(10_000),
        close_timeout: Some(5_000),
        high_water: 1 << 20,
        low_water: 1 << 18,
        log_level: Level::Error,
    };
    let server = Server::start(&config, Box::new(Echo)).unwrap();
    server.begin();
    server
}

fn stop(server: Server) {
    assert!(server.poll(Timeout::Millis(0)).is_err(), "it has a thread of its own");
    server.stop(Duration::from_secs(5)).unwrap();
}

fn ask(client: &mut Client, question: &[u8]) -> Vec<u8> {
    let mut answer = [0; 100];
    client.send(question).unwrap();
    let n = client.recv(&mut answer).unwrap();
    answer[..n].to_vec()
}

#[test]
fn starttls_goes_from_plain_text_to_tls_once() {
    let server = serve(server::Mode::StartTls);
    let config = to(server.port().unwrap(), Mode::StartTls);
    let mut client = Client::connect(&config).unwrap();
    assert_eq!(ask(&mut client, b"in plain"), b"in plain");
    assert!(client.told().facts.tls.is_none());
    assert_eq!(ask(&mut client, b"STARTTLS"), b"go");
    client.start_tls().unwrap();
    assert_eq!(client.start_tls().unwrap_err().code(), Code::State);
    assert!(client.told().facts.tls.as_ref().is_some_and(|tls| tls.version == c"TLSv1.3"));
    assert_eq!(ask(&mut client, b"in private"), b"in private");
    client.close();
    let mut plain = Client::connect(&to(config.port, Mode::Plain)).unwrap();
    assert_eq!(plain.start_tls().unwrap_err().code(), Code::State);
    assert_eq!(ask(&mut plain, b"goes on"), b"goes on");
    plain.close();
    stop(server);
}

/// L31, the client's side of it: plaintext behind the server's answer never passes for what came through TLS.
#[test]
fn l31_what_arrives_before_tls_is_refused() {
    for injected in ["go, and more", "go"] {
        let (port, thread) = peer(move |mut stream| {
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(injected.as_bytes()).unwrap();
            if injected == "go" {
                // Behind what the client has received, but before it has begun.
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(b", and more").unwrap();
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert_eq!(rest, b"", "the client has begun a handshake");
        });
        let mut client = Client::connect(&to(port, Mode::StartTls)).unwrap();
        client.send(b"STARTTLS").unwrap();
        assert_eq!(client.recv(&mut [0; 2]).unwrap(), 2);
        if injected == "go" {
            client.send(b"!").unwrap();
            while !crate::sys::poll::poll(client.link.fd(), true, false, None)
                .unwrap()
                .is_some_and(|ready| ready.readable)
            {}
        }
        let error = client.start_tls().unwrap_err();
        assert_eq!(error.code(), Code::Tls, "{error}");
        assert!(error.sentence().contains("before TLS began"), "{error}");
        assert_eq!(client.recv(&mut [0; 9]).unwrap_err().code(), Code::Tls);
        assert_eq!(client.send(b"secret").unwrap_err().code(), Code::Tls);
        client.close();
        thread.join().unwrap();
    }
}

/// "A client resumes by itself, per tlsloop_tls, host and port."
#[test]
fn a_second_connection_resumes_by_itself() {
    let server = serve(server::Mode::Tls);
    let config = to(server.port().unwrap(), Mode::Tls);
    let mut resumed = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&config).unwrap();
        assert_eq!(ask(&mut client, b"hello"), b"hello");
        resumed.push(client.told().facts.tls.as_ref().unwrap().is_resumed);
        client.close();
    }
    assert_eq!(resumed, [false, true, true]);
    stop(server);
}

/// "all of it", through TLS, in pieces of every size, both ways.
#[test]
fn large_messages_come_back_through_tls() {
    let server = serve(server::Mode::Tls);
    let mut client = Client::connect(&to(server.port().unwrap(), Mode::Tls)).unwrap();
    for len in [1, 16_383, 16_384, 16_385, 200_000, 900_000] {
        let data = pattern(len);
        client.send(&data).unwrap();
        let mut back = vec![0; len];
        let mut got = 0;
        while got < len {
            let step = (len - got).min(1 + got % 5000);
            got += client.recv(&mut back[got..got + step]).unwrap();
        }
        assert!(back == data, "{len} bytes differ");
    }
    client.close();
    stop(server);
}
