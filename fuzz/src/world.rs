//! The program around a server: it is called back, answers as the fuzzer's bytes say, and writes down each promise that was
//! not kept. Nothing panics in a callback; who drives the world looks at what was written down.

mod calls;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_int;

use crate::c::{self, *};
use crate::life::{Life, Phase};
use crate::reached::Reached;

/// More reactions than this in one run make no new sense; a host that answers each answer would never come to an end.
const MOST_REACTIONS: usize = 400;

/// The host of one server.
pub struct World {
    mode: c_int,
    has_on_end: bool,
    /// Connections come that nobody has handed over.
    listens: bool,
    /// What is done in callbacks, again and again from the front.
    reactions: Vec<u8>,
    at: Cell<usize>,
    lives: RefCell<BTreeMap<tlsloop_conn, Life>>,
    /// In the order of their coming.
    names: RefCell<Vec<tlsloop_conn>>,
    /// Whose callback runs.
    inside: Cell<Option<tlsloop_conn>>,
    is_stopping: Cell<bool>,
    handle: Cell<Option<Handle>>,
    broken: RefCell<Vec<String>>,
    reached: RefCell<Reached>,
}

/// How the mode is called in marks.
pub fn mode_name(mode: c_int) -> &'static str {
    match mode {
        TLSLOOP_MODE_PLAIN => "plain",
        TLSLOOP_MODE_STARTTLS => "starttls",
        TLSLOOP_MODE_DETECT => "detect",
        _ => "tls",
    }
}

impl World {
    /// A host that knows of nobody yet.
    pub fn new(mode: c_int, has_on_end: bool, listens: bool, reactions: &[u8]) -> World {
        World {
            mode,
            has_on_end,
            listens,
            reactions: reactions.to_vec(),
            at: Cell::new(0),
            lives: RefCell::default(),
            names: RefCell::default(),
            inside: Cell::new(None),
            is_stopping: Cell::new(false),
            handle: Cell::new(None),
            broken: RefCell::default(),
            reached: RefCell::default(),
        }
    }

    /// Its server is there.
    pub fn meet(&self, handle: Handle) {
        self.handle.set(Some(handle));
    }

    /// A connection that was handed over, or that goes out.
    pub fn expect(&self, conn: tlsloop_conn, life: Life) {
        if self.lives.borrow_mut().insert(conn, life).is_some() {
            self.object(conn, "a name that was given before");
        }
        self.names.borrow_mut().push(conn);
    }

    /// The server is being stopped.
    pub fn begin_to_stop(&self) {
        self.is_stopping.set(true);
    }

    /// The n-th connection, counted round.
    pub fn name(&self, n: usize) -> Option<tlsloop_conn> {
        let names = self.names.borrow();
        names.get(n % names.len().max(1)).copied()
    }

    /// What is known of one.
    pub fn with<T>(&self, conn: tlsloop_conn, look: impl FnOnce(&Life) -> T) -> Option<T> {
        self.lives.borrow().get(&conn).map(look)
    }

    /// All, with what is known of them.
    pub fn each(&self, mut look: impl FnMut(tlsloop_conn, &Life)) {
        self.lives.borrow().iter().for_each(|(conn, life)| look(*conn, life));
    }

    /// Comes to a place.
    pub fn mark(&self, place: &str) {
        self.reached.borrow_mut().mark(format!("{} {place}", mode_name(self.mode)));
    }

    /// A promise was not kept.
    pub fn object(&self, conn: tlsloop_conn, why: &str) {
        let known = self.lives.try_borrow().ok().and_then(|lives| lives.get(&conn).map(|life| format!("{life:?}")));
        self.broken.borrow_mut().push(format!("connection {conn}: {why}; {}", known.unwrap_or_default()));
    }

    /// Fails if a promise was not kept.
    pub fn judge(&self) {
        let broken = self.broken.borrow();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// How far the run has come.
    pub fn reached(&self) -> Reached {
        self.reached.borrow().clone()
    }

    /// One that came by the port: its first callback names it.
    fn welcome(&self, conn: tlsloop_conn) {
        if self.listens && self.with(conn, |_| ()).is_none() {
            self.expect(conn, Life::new(self.mode, 0));
        }
    }

    /// Changes what is known of one; a broken promise is written down.
    fn change(&self, conn: tlsloop_conn, change: impl FnOnce(&mut Life) -> Result<(), &'static str>) {
        let objection = match self.lives.borrow_mut().get_mut(&conn) {
            Some(life) => change(life).err(),
            None => Some("nobody knows it"),
        };
        if let Some(objection) = objection {
            self.object(conn, objection);
        }
    }

    fn next_reaction(&self) -> u8 {
        let at = self.at.get();
        self.at.set(at + 1);
        if at >= MOST_REACTIONS {
            0
        } else {
            self.reactions.get(at % self.reactions.len().max(1)).copied().unwrap_or(0)
        }
    }

    /// Does in a callback what the bytes say: mostly to the connection whose callback it is.
    fn react(&self, conn: tlsloop_conn) {
        let before = self.inside.replace(Some(conn));
        if before.is_some() {
            self.object(conn, "a callback in a callback");
        }
        let (op, arg) = split(self.next_reaction());
        match (op, self.handle.get()) {
            (15, _) => {
                let other = self.name(arg.into()).unwrap_or(conn);
                let (op, arg) = split(self.next_reaction());
                self.call(other, op, arg);
            }
            (14, Some(handle)) => self.call_server(handle, arg),
            _ => self.call(conn, op, arg),
        }
        self.inside.set(before);
    }

    /// Calls of the server's that a callback may make, and those that it may not.
    fn call_server(&self, server: Handle, arg: u8) {
        let answer = match arg {
            0..=3 => (server.poll(), TLSLOOP_EDEADLK),
            4..=7 => (server.stop_in_callback(), TLSLOOP_EDEADLK),
            8 => (server.request_stop(), TLSLOOP_OK),
            9 => (server.drain(), TLSLOOP_OK),
            _ => {
                let stats = server.stats();
                let sum = stats.disconnects_by_reason.iter().sum::<u64>();
                (c_int::from(stats.open != stats.connects - stats.disconnects || stats.disconnects != sum), 0)
            }
        };
        if answer.0 != answer.1 {
            self.object(0, &format!("server call {arg} in a callback: {answer:?}: {}", c::last_error()));
        }
    }
}

/// What to do, and how much of it.
pub fn split(byte: u8) -> (u8, u8) {
    (byte & 15, byte >> 4)
}

impl Host for World {
    fn on_connect(&self, conn: tlsloop_conn) {
        self.welcome(conn);
        let info = c::info(conn);
        let is_tls = self.with(conn, |life| life.mode) != Some(TLSLOOP_MODE_STARTTLS) && info.is_tls;
        if info.has_balancer {
            self.mark("behind a balancer");
        }
        self.mark(if is_tls { "on_connect by TLS" } else { "on_connect in plain" });
        self.change(conn, |life| {
            let may_come = life.phase == Phase::Opening && !life.is_sealed();
            (life.phase, life.is_tls) = (Phase::Open, is_tls);
            if may_come { Ok(()) } else { Err("on_connect, and it is not opening") }
        });
        self.react(conn);
    }

    fn on_data(&self, conn: tlsloop_conn, data: &[u8]) {
        let by_tls = self.with(conn, |life| life.is_tls).unwrap_or(false);
        self.mark(if by_tls { "on_data by TLS" } else { "on_data in plain" });
        self.change(conn, |life| life.receive(data));
        self.react(conn);
    }

    fn on_drain(&self, conn: tlsloop_conn) {
        self.mark("on_drain");
        self.change(conn, |life| {
            let may_come = life.phase == Phase::Open && life.full && !life.is_sealed() && !life.ended;
            life.full = false;
            if may_come { Ok(()) } else { Err("on_drain, and it was not full, or is closing") }
        });
        self.react(conn);
    }

    fn on_end(&self, conn: tlsloop_conn) {
        self.mark("on_end");
        self.change(conn, |life| {
            let may_come = life.phase == Phase::Open && !life.heard_end && !life.paused && !life.is_sealed();
            life.heard_end = true;
            if may_come && self.has_on_end { Ok(()) } else { Err("on_end out of place") }
        });
        self.react(conn);
    }

    fn on_disconnect(&self, conn: tlsloop_conn, reason: c_int) {
        self.mark(&format!("on_disconnect {reason}"));
        self.change(conn, |life| {
            let may_end = life.may_end(reason, self.is_stopping.get());
            (life.phase, life.reason) = (Phase::Last, Some(reason));
            may_end
        });
        if c::info(conn).code != TLSLOOP_OK {
            self.object(conn, "no facts in on_disconnect");
        }
        self.react(conn);
        self.change(conn, |life| {
            life.phase = Phase::Gone;
            Ok(())
        });
    }

    fn on_accept(&self) -> bool {
        self.next_reaction() & 31 != 31
    }

    fn on_tls(&self, conn: tlsloop_conn) {
        self.mark("on_tls");
        self.change(conn, |life| {
            // A close does not hold it back: what was sent for TLS waits for it, and leaves before the end.
            let may_come = life.phase == Phase::Open && life.tls_asked && !life.is_tls && !life.aborted;
            life.is_tls = true;
            if may_come { Ok(()) } else { Err("on_tls out of place") }
        });
        self.react(conn);
    }

    fn on_handshake_failed(&self, conn: tlsloop_conn, code: c_int, why: &str) {
        self.welcome(conn);
        self.mark(&format!("on_handshake_failed {code}"));
        self.change(conn, |life| {
            let may_come = life.phase == Phase::Opening && life.posts == 0;
            life.phase = Phase::Last;
            if may_come { Ok(()) } else { Err("on_handshake_failed out of place") }
        });
        if [TLSLOOP_EINTERNAL, TLSLOOP_ETIMEDOUT, TLSLOOP_OK].contains(&code) || why.is_empty() {
            self.object(conn, &format!("a failure that cannot be: {code}, {why}"));
        }
        self.react(conn);
        self.change(conn, |life| {
            life.phase = Phase::Gone;
            Ok(())
        });
    }

    fn on_log(&self, line: &str) {
        if line.contains("a defect in tlsloop") {
            self.object(0, line);
        }
    }

    fn on_post(&self, conn: tlsloop_conn) {
        self.mark("a posted function");
        self.change(conn, |life| {
            let may_come = life.lives() && life.posts > 0;
            life.posts = life.posts.saturating_sub(1);
            if may_come { Ok(()) } else { Err("a posted function out of place") }
        });
        self.react(conn);
    }

    fn has_on_end(&self) -> bool {
        self.has_on_end
    }
}
