//! The calls that take a connection, and what each may answer to one of which so much is known.

use std::ffi::c_int;

use super::World;
use crate::c::{self, *};
use crate::life::{Life, Phase, host_byte, part};

const CLOSED: &[c_int] = &[TLSLOOP_ECLOSED];
/// Of a connection that lives, as far as the host was told: its end may be on the way.
const DONE: &[c_int] = &[TLSLOOP_OK, TLSLOOP_ECLOSED];

impl World {
    /// One call; `op` says which, and `arg` how.
    pub fn call(&self, conn: tlsloop_conn, op: u8, arg: u8) {
        match op {
            2 => self.send(conn, usize::from(arg) * 7, false),
            3 => self.send(conn, usize::from(arg) * 4096, true),
            4 => self.pause(conn, true),
            5 => self.pause(conn, false),
            6 => self.end(conn),
            7 => self.close(conn),
            8 => self.abort(conn),
            9 => self.start_tls(conn),
            10 => self.post(conn, None),
            11 => self.post(conn, Some(u32::from(arg) * 100)),
            12 => self.look(conn, arg),
            13 => {
                self.send(conn, usize::from(arg) + 1, false);
                self.close(conn);
            }
            _ => {}
        }
    }

    /// Holds an answer against those that may be.
    fn check(&self, conn: tlsloop_conn, what: &str, code: c_int, may_be: &[c_int]) {
        if !may_be.contains(&code) {
            self.object(conn, &format!("{what} answers {code} ({}) instead of {may_be:?}", c::last_error()));
        }
    }

    /// Of one that nobody has been told of, nothing is known: an invented name.
    fn ask<T>(&self, conn: tlsloop_conn, of_stranger: T, look: impl FnOnce(&Life) -> T) -> T {
        self.with(conn, look).unwrap_or(of_stranger)
    }

    fn note(&self, conn: tlsloop_conn, note: impl FnOnce(&mut Life)) {
        self.change(conn, |life| {
            note(life);
            Ok(())
        });
    }

    fn send(&self, conn: tlsloop_conn, len: usize, in_parts: bool) {
        let bytes = part(host_byte, self.ask(conn, 0, |life| life.accepted), len);
        let may_be: &[c_int] = match self.ask(conn, false, Life::takes_sends) {
            true => &[TLSLOOP_OK, TLSLOOP_EFULL, TLSLOOP_ECLOSED],
            false => CLOSED,
        };
        let code = if in_parts {
            let (front, back) = bytes.split_at(len / 3);
            c::sendv(conn, [front, back])
        } else {
            c::send(conn, &bytes)
        };
        self.check(conn, "send", code, may_be);
        match code {
            TLSLOOP_OK => self.note(conn, |life| life.accepted += len as u64),
            TLSLOOP_EFULL => {
                self.mark("EFULL");
                self.note(conn, |life| life.full = true);
            }
            _ => {}
        }
    }

    fn pause(&self, conn: tlsloop_conn, paused: bool) {
        let may_be = if self.ask(conn, true, |life| life.phase == Phase::Gone) { CLOSED } else { DONE };
        let code = if paused { c::pause(conn) } else { c::resume(conn) };
        self.check(conn, "pause or resume", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.paused = paused);
        }
    }

    fn end(&self, conn: tlsloop_conn) {
        let may_be = if self.ask(conn, false, Life::takes_sends) { DONE } else { CLOSED };
        let code = c::end(conn);
        self.check(conn, "end", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.ended = true);
        }
    }

    fn close(&self, conn: tlsloop_conn) {
        let may_be = if self.ask(conn, false, |life| life.lives() && !life.is_sealed()) { DONE } else { CLOSED };
        let code = c::close(conn);
        self.check(conn, "close", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.closed = true);
        }
    }

    fn abort(&self, conn: tlsloop_conn) {
        let may_be = if self.ask(conn, false, |life| life.lives() && !life.aborted) { DONE } else { CLOSED };
        let code = c::abort(conn);
        self.check(conn, "abort", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.aborted = true);
        }
    }

    fn start_tls(&self, conn: tlsloop_conn) {
        let may_succeed = self.inside.get() == Some(conn)
            && self.ask(conn, false, |life| {
                life.mode == TLSLOOP_MODE_STARTTLS && life.phase == Phase::Open && !life.tls_asked && life.takes_sends()
            });
        let may_be: &[c_int] = match self.ask(conn, false, Life::lives) {
            true if may_succeed => &[TLSLOOP_OK, TLSLOOP_ECLOSED, TLSLOOP_ESTATE],
            true => &[TLSLOOP_ESTATE, TLSLOOP_ECLOSED],
            false => CLOSED,
        };
        let code = c::start_tls(conn);
        self.check(conn, "start_tls", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.tls_asked = true);
        }
    }

    fn post(&self, conn: tlsloop_conn, after: Option<u32>) {
        let may_be = if self.ask(conn, false, Life::lives) { DONE } else { CLOSED };
        let code = c::post(conn, self, after);
        self.check(conn, "post", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.posts += 1);
        }
    }

    /// All that only asks.
    fn look(&self, conn: tlsloop_conn, arg: u8) {
        let (phase, data) = self.ask(conn, (Phase::Gone, 0), |life| (life.phase, life.data));
        let facts: &[c_int] = match phase {
            Phase::Opening | Phase::Open => &[TLSLOOP_OK],
            Phase::Last => DONE,
            Phase::Gone => CLOSED,
        };
        self.check(conn, "info", c::info(conn).code, facts);
        let certificate: &[c_int] = match phase {
            Phase::Gone => CLOSED,
            _ => &[TLSLOOP_OK, TLSLOOP_ESTATE, TLSLOOP_EINVAL, TLSLOOP_ECLOSED],
        };
        self.check(conn, "peer_certificate", c::peer_certificate(conn, usize::from(arg) * 100), certificate);
        if c::data(conn) != if phase == Phase::Gone { 0 } else { data } {
            self.object(conn, "another pointer than the host's");
        }
        if phase == Phase::Gone && c::queued(conn) != 0 {
            self.object(conn, "bytes in the queue of one that is gone");
        }
        let may_be = if phase == Phase::Gone { CLOSED } else { DONE };
        self.check(conn, "set_idle_timeout", c::set_idle_timeout(conn, TLSLOOP_NONE), may_be);
        let code = c::set_data(conn, arg.into());
        self.check(conn, "set_data", code, may_be);
        if code == TLSLOOP_OK {
            self.note(conn, |life| life.data = arg.into());
        }
    }

    /// Every call with one that is gone.
    pub fn check_gone(&self, conn: tlsloop_conn) {
        (2..14).for_each(|op| self.call(conn, op, 1));
    }
}
