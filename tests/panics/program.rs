//! The program that the server serves: it answers as a C program would, by the exports.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tlsloop::ffi::conn::{tlsloop_conn_abort, tlsloop_conn_close, tlsloop_conn_post_after, tlsloop_conn_start_tls};
use tlsloop::id::Id;

use crate::common::{self, Record, last_error, send};

/// What its callbacks share.
#[derive(Default)]
pub struct Program {
    pub record: Arc<Record>,
    /// Connections that the server has begun.
    outgoing: Mutex<Vec<u64>>,
    accepted: AtomicUsize,
    run: AtomicUsize,
}

impl Program {
    /// As the server takes it.
    pub fn as_host(self: &Arc<Program>) -> common::Program {
        let (program, greeter) = (self.clone(), self.clone());
        let mut host = common::Program::new(move |id, data| program.answer(id, data));
        host.record = self.record.clone();
        host.on_connect = Box::new(move |id| {
            if greeter.is_outgoing(id) {
                greeter.or_abort(id, send(id, b"ping"));
            }
        });
        host
    }

    /// A connection that goes out has this name.
    pub fn name_outgoing(&self, id: Id) {
        self.outgoing.lock().unwrap().push(id.to_u64());
    }

    fn is_outgoing(&self, id: Id) -> bool {
        self.outgoing.lock().unwrap().contains(&id.to_u64())
    }

    /// How many posts were answered with TLSLOOP_OK.
    pub fn posts_accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many posted functions have run.
    pub fn posts_run(&self) -> usize {
        self.run.load(Ordering::SeqCst)
    }

    fn answer(self: &Arc<Program>, id: Id, data: &[u8]) {
        match data {
            _ if self.is_outgoing(id) => self.or_abort(id, tlsloop_conn_close(id.to_u64())),
            b"tls?" => {
                self.or_abort(id, send(id, b"tls!"));
                self.or_abort(id, tlsloop_conn_start_tls(id.to_u64()));
            }
            b"elsewhere" => {
                let program = self.clone();
                let elsewhere = move || {
                    program.or_abort(id, send(id, b"sent"));
                    program.post(id, 1);
                };
                thread::spawn(elsewhere).join().expect("no panic crosses");
            }
            b"last post" => {
                self.post(id, 3_600_000);
                self.or_abort(id, send(id, b"taken"));
            }
            data => self.or_abort(id, send(id, data)),
        }
    }

    fn post(self: &Arc<Program>, id: Id, ms: u32) {
        // Before the call, because the function may run before it returns.
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let arg = Arc::into_raw(self.clone());
        // SAFETY: `posted` takes a reference to a program, and this one is given to it alone.
        let code = unsafe { tlsloop_conn_post_after(id.to_u64(), ms, Some(posted), arg.cast_mut().cast()) };
        if code != 0 {
            self.accepted.fetch_sub(1, Ordering::SeqCst);
            // SAFETY: what was not taken does not run, so the reference is still ours.
            drop(unsafe { Arc::from_raw(arg) });
        }
        self.or_abort(id, code);
    }

    /// A program that is told of a defect gives the connection up.
    fn or_abort(&self, id: Id, code: c_int) {
        if code != 0 {
            self.record.note(&last_error());
            if tlsloop_conn_abort(id.to_u64()) != 0 {
                self.record.note(&last_error());
            }
        }
    }
}

/// A posted function.
unsafe extern "C" fn posted(conn: u64, arg: *mut c_void) {
    // SAFETY: `post` made the argument of a reference, and a function that was taken runs once.
    let program: Arc<Program> = unsafe { Arc::from_raw(arg.cast_const().cast()) };
    program.run.fetch_add(1, Ordering::SeqCst);
    if let Some(id) = Id::from_u64(conn) {
        program.or_abort(id, send(id, b"posted"));
    }
}
