//! A connection that the host accepted is served as one that tlsloop accepted.

mod common;

use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;

use common::{Program, config};
use tlsloop::server::{Mode, Server, Workers};

/// What is sent in two callbacks leaves in two packets, without the wait for an acknowledgement that TCP would put between
/// them: 40 ms, which a peer can delay it for.
#[test]
fn small_sends_of_an_adopted_connection_leave_at_once() {
    let server = Server::start(&config(Mode::Plain, Workers::Threads(1)), Box::new(Program::new(|_, _| {})));
    let server = server.expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let _peer = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (socket, _) = listener.accept().expect("a connection");
    let watched = socket.try_clone().expect("a copy");
    assert!(!watched.nodelay().expect("an option"), "it is so already");
    server.adopt(socket.into_raw_fd(), 0, |_| {}).expect("it is taken");
    assert!(watched.nodelay().expect("an option"));
}
