//! One direction-aware stream over a wire, in TLS or in plain text: bytes in, [`Step`] out.

use super::raw::{Answer, Ssl, Transport};
use super::wire::Wire;
use crate::error::{Code, Error};
use crate::sys::socket;

/// How the peer's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// close_notify; in plain text FIN.
    Clean,
    /// FIN without close_notify.
    Truncated,
}

/// Why a stream is beyond use.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The peer reset the connection, or the network lost it.
    Reset(Error),
    /// TLS failed, or the peer's certificate is not trusted.
    Protocol(Error),
    /// The kernel failed us.
    System(Error),
}

impl Failure {
    /// The code and the sentence.
    pub(crate) fn error(&self) -> &Error {
        match self {
            Failure::Reset(error) | Failure::Protocol(error) | Failure::System(error) => error,
        }
    }

    /// Sorts what a socket call answered.
    pub(crate) fn socket(error: &std::io::Error) -> Failure {
        let told = Error::new(Code::System, error.to_string());
        match error.raw_os_error() {
            Some(libc::EBADF | libc::ENOTSOCK | libc::ENOMEM | libc::ENOBUFS | libc::EFAULT | libc::EINVAL) => {
                Failure::System(told)
            }
            _ => Failure::Reset(told),
        }
    }
}

/// All that one step can say.
#[must_use]
pub(crate) enum Step<T> {
    /// Done, with its result.
    Done(T),
    /// Needs more from the peer.
    WantRead,
    /// The kernel takes no more for now.
    WantWrite,
    /// The peer's direction has ended.
    End(End),
    /// The stream is beyond use.
    Failed(Failure),
}

enum State {
    Handshake,
    Open,
    /// Our close_notify has been written.
    Closed,
    /// A step failed: OpenSSL must not be asked again (SSL_get_error(3), SSL_ERROR_SSL).
    Broken,
}

/// TLS over a wire.
pub(crate) struct Tls {
    ssl: Ssl,
    state: State,
}

/// What carries a connection's bytes.
pub(crate) enum Stream {
    /// As they are.
    Plain,
    /// Encrypted.
    Tls(Tls),
}

impl Tls {
    /// Before the first byte of the handshake.
    pub(crate) fn new(ssl: Ssl) -> Tls {
        Tls { ssl, state: State::Handshake }
    }

    /// The connection of OpenSSL's, for what it knows of the peer.
    pub(crate) fn ssl(&self) -> &Ssl {
        &self.ssl
    }

    fn settle(&mut self, wire: &Wire<'_>, answer: Answer) -> Step<usize> {
        match answer {
            Answer::Done(n) => Step::Done(n),
            Answer::WantRead => starved(wire, End::Truncated),
            Answer::WantWrite => Step::WantWrite,
            Answer::Closed => Step::End(End::Clean),
            Answer::Failed(error) => {
                self.state = State::Broken;
                // A defect of ours is not the peer's doing.
                let is_ours = error.code() == Code::Internal;
                Step::Failed(if is_ours { Failure::System(error) } else { Failure::Protocol(error) })
            }
        }
    }

    fn read(&mut self, wire: &mut Wire<'_>, buf: &mut [u8]) -> Step<usize> {
        wire.patience.expect_data();
        let answer = loop {
            let answer = self.ssl.read(wire, buf);
            // OpenSSL pauses behind each message of its own, so they count however many one record holds.
            if !matches!(answer, Answer::WantRead) || wire.patience.is_starved() || !wire.patience.allows() {
                break answer;
            }
            wire.patience.note_pause();
        };
        match answer {
            Answer::Done(n) => wire.patience.note_data(n),
            Answer::WantRead if !wire.patience.allows() => {
                self.state = State::Broken;
                return Step::Failed(Failure::Protocol(Error::new(Code::Tls, TOO_MANY)));
            }
            Answer::WantWrite => wire.choke(),
            Answer::WantRead | Answer::Closed | Answer::Failed(_) => {}
        }
        self.settle(wire, answer)
    }

    fn handshake(&mut self, wire: &mut Wire<'_>) -> Step<()> {
        let answer = self.ssl.handshake(wire);
        if matches!(answer, Answer::Failed(_)) && !wire.link().has_spoken() {
            // OpenSSL leaves without a word when the first bytes are no TLS at all (plain HTTP); the peer deserves one.
            wire.write(&UNEXPECTED_MESSAGE);
        }
        if matches!(answer, Answer::WantWrite) {
            wire.choke();
        }
        match self.settle(wire, answer) {
            Step::Done(_) => {
                self.state = State::Open;
                Step::Done(())
            }
            other => other.unit(),
        }
    }
}

impl<T> Step<T> {
    /// Why it failed, if it did.
    pub(crate) fn failure(self) -> Option<Failure> {
        if let Step::Failed(failure) = self { Some(failure) } else { None }
    }

    /// Forgets the result.
    fn unit(self) -> Step<()> {
        match self {
            Step::Done(_) => Step::Done(()),
            Step::WantRead => Step::WantRead,
            Step::WantWrite => Step::WantWrite,
            Step::End(end) => Step::End(end),
            Step::Failed(failure) => Step::Failed(failure),
        }
    }
}

impl Stream {
    /// Brings the stream to where it carries data; done at once in plain text.
    pub(crate) fn handshake(&mut self, wire: &mut Wire<'_>) -> Step<()> {
        match self {
            Stream::Tls(tls) if matches!(tls.state, State::Handshake) => tls.handshake(wire),
            Stream::Tls(_) | Stream::Plain => Step::Done(()),
        }
    }

    /// Fills the front of `buf` with plaintext.
    pub(crate) fn read(&mut self, wire: &mut Wire<'_>, buf: &mut [u8]) -> Step<usize> {
        match self {
            Stream::Plain => match wire.read(buf) {
                Some(n) => Step::Done(n),
                None => starved(wire, End::Clean),
            },
            Stream::Tls(Tls { state: State::Broken, .. }) => {
                // What is no TLS any more is nobody's; only the end of it means something.
                wire.drop_input();
                starved(wire, End::Truncated)
            }
            Stream::Tls(tls) => tls.read(wire, buf),
        }
    }

    /// Takes the front of `data`, which must not be empty.
    pub(crate) fn write(&mut self, wire: &mut Wire<'_>, data: &[u8]) -> Step<usize> {
        match self {
            Stream::Plain => match wire.write(&data[..data.len().min(PLAIN_WRITE)]) {
                Some(n) => Step::Done(n),
                None => Step::WantWrite,
            },
            Stream::Tls(tls) => {
                let answer = tls.ssl.write(wire, data);
                tls.settle(wire, answer)
            }
        }
    }

    /// Whether the buffers for records stay when they are empty.
    pub(crate) fn keep_buffers(&mut self, keep: bool) {
        if let Stream::Tls(tls) = self {
            tls.ssl.keep_buffers(keep);
        }
    }

    /// Whether writing and ending wait for the rest of a message that has come in part.
    pub(crate) fn is_in_message(&self) -> bool {
        matches!(self, Stream::Tls(Tls { ssl, state: State::Open }) if ssl.is_in_message())
    }

    /// Whether the end is a message of the stream's own, which stands behind the bytes before it.
    pub(crate) fn ends_in_band(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Ends our direction: close_notify, or FIN in plain text, for which everything written before must have left. Until
    /// it answers [`Step::Done`] the end has not been made. It reads if it has to, but no data.
    pub(crate) fn end(&mut self, wire: &mut Wire<'_>) -> Step<()> {
        match self {
            Stream::Plain => {
                // The peer may have left already; reading will tell.
                let _ = socket::shutdown_write(wire.link().fd());
                Step::Done(())
            }
            Stream::Tls(tls) => match tls.state {
                State::Open => {
                    let answer = tls.ssl.close_notify(wire);
                    // What cannot be made yet, or not be taken, is made or sent when it is asked for again.
                    if !matches!(answer, Answer::WantRead | Answer::WantWrite) {
                        tls.state = State::Closed;
                    }
                    tls.settle(wire, answer).unit()
                }
                State::Handshake | State::Closed | State::Broken => Step::Done(()),
            },
        }
    }
}

/// A fatal alert in the clear, unexpected_message (RFC 8446, 5.1 and 6).
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 1, 0, 2, 2, 10];

/// Why a peer is left that only ever asks for new keys.
const TOO_MANY: &str = "the peer sent too many messages of TLS at once, and no data";

/// How much plain text is collected at a time, like a record of TLS.
const PLAIN_WRITE: usize = 16 * 1024;

/// What it means that no byte came: the socket's own facts decide.
fn starved(wire: &Wire<'_>, at_eof: End) -> Step<usize> {
    let link = wire.link();
    if let Some(error) = link.recv_error() {
        Step::Failed(Failure::socket(&error))
    } else if link.at_eof() {
        Step::End(at_eof)
    } else {
        Step::WantRead
    }
}
