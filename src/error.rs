//! A code to branch on and a sentence to read.
//!
//! The sentence is built where the fact is known and has the form *what failed: whose words*. The
//! numbers are the C constants `TLSLOOP_E…`; they are never reused.

use std::fmt;
use std::io;

/// What the host can do about a failure. The discriminants are the numbers of the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// An argument is wrong.
    Invalid = -1,
    /// Memory for a send queue or for OpenSSL is out.
    NoMemory = -2,
    /// A system call failed.
    System = -3,
    /// OpenSSL refused.
    Tls = -4,
    /// The peer's certificate is not trusted.
    Verify = -5,
    /// The connection is ended or ending.
    Closed = -6,
    /// The send queue is full and nothing was queued.
    Full = -7,
    /// A deadline passed.
    TimedOut = -8,
    /// The peer ended without close_notify.
    Truncated = -9,
    /// The call would wait for itself.
    Deadlock = -10,
    /// Not possible in this state or mode.
    State = -11,
    /// A defect in tlsloop, contained.
    Internal = -12,
}

/// A failure: its code and one sentence that names the argument, file or peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    sentence: String,
}

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Joins a code and a sentence.
    pub fn new(code: Code, sentence: impl Into<String>) -> Error {
        Error { code, sentence: sentence.into() }
    }

    /// An argument is wrong; the sentence names it.
    pub fn invalid(sentence: impl Into<String>) -> Error {
        Error::new(Code::Invalid, sentence)
    }

    /// Not possible in this state or mode.
    pub fn state(sentence: impl Into<String>) -> Error {
        Error::new(Code::State, sentence)
    }

    /// The connection is ended or ending.
    pub fn closed() -> Error {
        Error::new(Code::Closed, "the connection has ended or is ending")
    }

    /// A system call failed: `what` was tried, `cause` holds errno's own words.
    pub fn system(what: impl fmt::Display, cause: &io::Error) -> Error {
        Error::new(Code::System, format!("{what}: {cause}"))
    }

    /// OpenSSL refused: `what` was tried, `words` are those of its error queue.
    pub fn tls(what: impl fmt::Display, words: impl fmt::Display) -> Error {
        Error::new(Code::Tls, format!("{what}: {words}"))
    }

    /// The same, and before its sentence what it is about.
    pub fn about(&self, what: impl fmt::Display) -> Error {
        Error::new(self.code, format!("{what}: {}", self.sentence))
    }

    /// The code to branch on.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence to read.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}
