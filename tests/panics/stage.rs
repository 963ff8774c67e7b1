//! A server and those who talk to it.

use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tlsloop::client::{self, Client};
use tlsloop::contain::{self, faults};
use tlsloop::error::{Code, Error, Result};
use tlsloop::id::Id;
use tlsloop::server::{Mode, Server, Timeout, Workers};
use tlsloop::tls::policy::Policy;

use crate::common::{Heard, client_config, config, eventually};
use crate::program::Program;

/// How the connection comes to be that the steps are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// It is accepted.
    Accepted,
    /// The host accepted it and hands it in.
    Adopted,
    /// It begins in plain text and goes over to TLS.
    StartTls,
    /// The server itself begins it, to a name, and accepts it too.
    Outgoing,
}

/// A server that has not stopped by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and the program that it serves.
pub struct Stage {
    scene: Scene,
    server: Arc<Server>,
    pub program: Arc<Program>,
    /// Polls, host-driven.
    driver: Option<JoinHandle<()>>,
    port: u16,
}

impl Stage {
    pub fn set(policy: &Arc<Policy>, scene: Scene, workers: Workers) -> Stage {
        Stage::begin(policy, scene, workers, false)
    }

    /// A server whose own steps do not count.
    pub fn set_spared(policy: &Arc<Policy>) -> Stage {
        Stage::begin(policy, Scene::Accepted, Workers::HostDriven, true)
    }

    fn begin(policy: &Arc<Policy>, scene: Scene, workers: Workers, is_spared: bool) -> Stage {
        let program = Arc::new(Program::default());
        let mode = if scene == Scene::StartTls { Mode::StartTls } else { Mode::Tls };
        let mut config = config(mode, workers);
        config.policy = Some(policy.clone());
        let server = Arc::new(Server::start(&config, Box::new(program.as_host())).expect("a server"));
        server.begin();
        let driver = (workers == Workers::HostDriven).then(|| {
            let server = server.clone();
            thread::spawn(move || {
                if is_spared {
                    faults::spare_this_thread();
                }
                while !server.poll(Timeout::Forever).expect("a turn") {}
            })
        });
        let port = server.port().expect("a port");
        Stage { scene, server, program, driver, port }
    }

    fn client_config(&self) -> client::Config {
        let mode = if self.scene == Scene::StartTls { client::Mode::StartTls } else { client::Mode::Tls };
        client::Config { mode, ..client_config(self.port) }
    }

    /// A client that is up, behind TLS.
    pub fn connect(&self) -> Result<Client> {
        let mut client = Client::connect(&self.client_config())?;
        if self.scene == Scene::StartTls {
            expect(&mut client, b"tls?", b"tls!")?;
            client.start_tls()?;
        }
        Ok(client)
    }

    /// A client's calls, each as an export makes it; answers what they said.
    pub fn talk_step_by_step(&self) -> [Option<Code>; 3] {
        let call = |call: &mut dyn FnMut() -> Result<()>| contain::run("a call", call).err().map(|error| error.code());
        let mut client = None;
        let connected = call(&mut || {
            client = Some(self.connect()?);
            Ok(())
        });
        let Some(mut client) = client else { return [connected; 3] };
        let said = [connected, call(&mut || echo(&mut client)), call(&mut || client.end())];
        let mut client = Some(client);
        call(&mut || {
            client.take().into_iter().for_each(Client::close);
            Ok(())
        });
        said
    }

    /// What the steps are taken for.
    pub fn play(&self) -> Result<()> {
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
        let mut named = None;
        self.server.adopt(socket.into_raw_fd(), 0, |id| named = Some(id)).expect("it is taken");
        let talked = peer.join().expect("the peer");
        self.await_end(named.expect("a name"));
        talked
    }

    /// Two connections in truth: when one suffers, the other ends. The program gives up what it is told of.
    fn go_out(&self) -> Result<()> {
        let mut to = self.client_config();
        to.host = "localhost".to_owned();
        let mut named = None;
        let name = |id| {
            self.program.name_outgoing(id);
            named = Some(id);
        };
        self.server.connect(&to, 0, name).expect("it begins");
        self.await_end(named.expect("a name"));
        Ok(())
    }

    /// The program knows the name, so there is a last callback.
    fn await_end(&self, id: Id) {
        let is_last = |heard: &Heard| matches!(heard, Heard::Disconnect(_) | Heard::Failed(_));
        let has_ended = || self.program.record.all().iter().any(|(of, heard)| *of == id.to_u64() && is_last(heard));
        assert!(eventually(has_ended), "connection {} has no end: {:?}", id.to_u64(), faults::disarm());
    }

    /// Nothing is counted any more of those who have come and gone; the bystander may stand.
    pub fn check_counts(&self, what: &str) {
        let is_calm = || {
            let stats = self.server.stats();
            stats.open() <= 1 && stats.handshaking() == 0 && stats.queued_bytes() == 0
        };
        assert!(eventually(is_calm), "{what}: {:?}: {:?}", faults::disarm(), self.server.stats());
    }

    /// Ends the server while a client stands by: in good order, or at once.
    pub fn stop(self, what: &str, mut bystander: Client) {
        let grace = if self.scene == Scene::Accepted { PATIENCE } else { Duration::ZERO };
        self.server.request_stop();
        let (server, driver) = (self.server, self.driver);
        let (tell, told) = mpsc::channel();
        let end = thread::spawn(move || {
            driver.into_iter().for_each(|driver| driver.join().expect("no panic crosses"));
            let server = Arc::into_inner(server).expect("the driver has let go");
            server.stop(grace).expect("nobody else is in it");
            drop(server);
            // Nobody listens once the test has failed.
            let _ = tell.send(());
        });
        // Its end, of whatever kind, as long as it does not wait in vain.
        let end_of_bystander = bystander.recv(&mut [0]);
        assert!(
            !end_of_bystander.is_err_and(|error| error.code() == Code::TimedOut),
            "{what}: nobody ends the bystander"
        );
        drop(bystander);
        assert!(told.recv_timeout(PATIENCE).is_ok(), "{what}: the stop does not return");
        end.join().expect("no panic crosses");
    }
}

/// A whole conversation, with an end in good order.
pub fn talk(mut client: Client) -> Result<()> {
    echo(&mut client)?;
    expect(&mut client, b"elsewhere", b"sentposted")?;
    client.end()?;
    assert_eq!(client.recv(&mut [0])?, 0, "more than was asked for");
    Ok(())
}

/// One question and its answer.
pub fn echo(client: &mut Client) -> Result<()> {
    expect(client, b"ping", b"ping")
}

/// A question and the answer that it has to have.
pub fn expect(client: &mut Client, question: &[u8], answer: &[u8]) -> Result<()> {
    client.send(question)?;
    let mut got = Vec::new();
    let mut room = [0; 64];
    while got.len() < answer.len() {
        match client.recv(&mut room)? {
            0 => return Err(Error::closed()),
            n => got.extend_from_slice(&room[..n]),
        }
    }
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(answer));
    Ok(())
}
