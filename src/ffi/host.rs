//! The host's callbacks as a [`Host`].

use std::ffi::{CString, c_int, c_uint, c_void};

use super::error::{number_of, set_last_error};
use super::types::tlsloop_callbacks;
use crate::error::Code;
use crate::host::{Host, Level, Reason};
use crate::id::Id;
use crate::sys::probe;

/// The callbacks and the pointer that each of them gets.
pub(super) struct Callbacks {
    table: tlsloop_callbacks,
    user: *mut c_void,
}

// SAFETY: the functions may be called on any thread, which the header says; `user` is only handed back.
unsafe impl Send for Callbacks {}
// SAFETY: as above.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// The table is a copy; `user` is the host's business.
    pub(super) fn new(table: tlsloop_callbacks, user: *mut c_void) -> Callbacks {
        Callbacks { table, user }
    }
}

/// Text for C; a NUL inside, which no text of ours has, would become a space.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

// SAFETY of all calls below: the host promised functions of these types for the life of the server; what is lent is valid
// during the call.
impl Host for Callbacks {
    fn on_connect(&self, id: Id) {
        probe::connect(id);
        if let Some(call) = self.table.on_connect {
            // SAFETY: as above.
            unsafe { call(id.to_u64(), self.user) }
        }
    }

    fn on_data(&self, id: Id, data: &[u8]) {
        probe::data(id, data.len());
        if let Some(call) = self.table.on_data {
            // SAFETY: as above.
            unsafe { call(id.to_u64(), data.as_ptr().cast(), data.len(), self.user) }
        }
        probe::data_done(id, data.len());
    }

    fn on_drain(&self, id: Id) {
        probe::drain(id);
        if let Some(call) = self.table.on_drain {
            // SAFETY: as above.
            unsafe { call(id.to_u64(), self.user) }
        }
    }

    fn on_end(&self, id: Id) {
        if let Some(call) = self.table.on_end {
            // SAFETY: as above.
            unsafe { call(id.to_u64(), self.user) }
        }
    }

    fn on_disconnect(&self, id: Id, reason: Reason, why: &str) {
        probe::disconnect(id, reason as c_int);
        if let Some(call) = self.table.on_disconnect {
            set_last_error(why);
            // SAFETY: as above.
            unsafe { call(id.to_u64(), reason as c_int, self.user) }
        }
    }

    fn on_tls(&self, id: Id) {
        if let Some(call) = self.table.on_tls {
            // SAFETY: as above.
            unsafe { call(id.to_u64(), self.user) }
        }
    }

    fn on_handshake_failed(&self, id: Id, code: Code, peer: &str, why: &str) {
        probe::handshake_failed(id, number_of(code));
        if let Some(call) = self.table.on_handshake_failed {
            let (peer, text) = (c_text(peer), c_text(why));
            set_last_error(why);
            // SAFETY: as above.
            unsafe { call(id.to_u64(), number_of(code), peer.as_ptr(), text.as_ptr(), self.user) }
        }
    }

    fn on_accept(&self, peer: &str) -> bool {
        let Some(call) = self.table.on_accept else { return true };
        let peer = c_text(peer);
        // SAFETY: as above.
        unsafe { call(peer.as_ptr(), self.user) == 0 }
    }

    fn on_log(&self, level: Level, line: &str) {
        if let Some(call) = self.table.on_log {
            let line = c_text(line);
            // SAFETY: as above.
            unsafe { call(level as c_int, line.as_ptr(), self.user) }
        }
    }

    fn on_worker_start(&self, worker: usize) {
        if let Some(call) = self.table.on_worker_start {
            // SAFETY: as above.
            unsafe { call(worker as c_uint, self.user) }
        }
    }

    fn on_worker_stop(&self, worker: usize) {
        if let Some(call) = self.table.on_worker_stop {
            // SAFETY: as above.
            unsafe { call(worker as c_uint, self.user) }
        }
    }

    fn wants_end(&self) -> bool {
        self.table.on_end.is_some()
    }

    fn wants_accept(&self) -> bool {
        self.table.on_accept.is_some()
    }
}
