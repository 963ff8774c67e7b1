//! Bytes that `tlsloop_conn_send` took are sent before the end, also those that another thread sent while the worker was
//! on its way to that end.

mod common;

use std::sync::mpsc;

use common::{Heard, Program, client_config, config, eventually, policy, send};
use tlsloop::client::Client;
use tlsloop::host::Reason;
use tlsloop::server::{Mode, Server, Timeout, Workers};

/// "Bytes accepted by `send` are handed to this machine's kernel, in order, or the reason is not `HOST` or `PEER`": the
/// peer's end lies behind its data, and the answer comes from another thread while `on_data` runs.
#[test]
fn an_answer_from_another_thread_leaves_before_the_end_that_stood_behind_the_question() {
    let answer = |id, _: &[u8]| {
        let elsewhere = std::thread::spawn(move || send(id, b"answer"));
        assert_eq!(elsewhere.join().expect("the other thread"), 0);
    };
    let program = Program::new(answer);
    let record = program.record.clone();
    let mut config = config(Mode::Tls, Workers::HostDriven);
    config.policy = Some(policy());
    let server = Server::start(&config, Box::new(program)).expect("a server");
    let port = server.port().expect("a port");
    let (asked, has_asked) = mpsc::channel();
    let peer = std::thread::spawn(move || {
        let mut client = Client::connect(&client_config(port)).expect("a handshake");
        // Both lie in the socket before the server looks again.
        client.send(b"question").expect("room");
        client.end().expect("an end");
        asked.send(()).expect("somebody waits");
        let mut got = [0; 16];
        let n = client.recv(&mut got).expect("an answer, or a clean end");
        got[..n].to_vec()
    });
    let poll = || server.poll(Timeout::Millis(0)).expect("a turn");
    assert!(eventually(|| !poll() && record.count(|heard| *heard == Heard::Connect) == 1));
    has_asked.recv().expect("the peer");
    assert!(eventually(|| !poll() && record.count(|heard| matches!(heard, Heard::Disconnect(_))) == 1));
    let got = peer.join().expect("the peer");
    let heard = record.all();
    assert_eq!(String::from_utf8_lossy(&got), "answer", "{heard:?}");
    assert_eq!(heard.last().map(|(_, heard)| *heard), Some(Heard::Disconnect(Reason::Peer)), "{heard:?}");
}
