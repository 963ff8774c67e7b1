//! What a host's thread does while a server runs: it waits for a stop, or drives the loop itself.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use super::{Crew, Server};
use crate::error::{Code, Error, Result};
use crate::exit;
use crate::worker::shard::in_callback;
use crate::worker::{Timeout, Worker};

impl Server {
    /// Waits until a stop is requested; host-driven it polls until then.
    pub fn wait(&self) -> Result<()> {
        exit::check()?;
        if in_callback() {
            return Err(Error::new(Code::Deadlock, "tlsloop_server_wait was called in a callback"));
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waited = self.wait_here();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        waited
    }

    fn wait_here(&self) -> Result<()> {
        if let Crew::HostDriven(worker) = &self.crew {
            // Between two turns, too: who polls meanwhile is turned away, not who waits.
            let mut worker = worker.try_lock().ok_or_else(polled)?;
            while !self.turn(&mut worker, Timeout::Forever) {
                exit::check()?;
            }
            return Ok(());
        }
        while !self.stop_requested.load(Ordering::SeqCst) {
            self.stop_wake.wait();
        }
        Ok(())
    }

    /// Makes [`Server::wait`] return. Async-signal-safe: a store and writes to eventfds.
    pub fn request_stop(&self) {
        self.stop_requested.store(true, Ordering::SeqCst);
        self.stop_wake.wake();
        if let Crew::HostDriven(_) = self.crew {
            self.service.inboxes.iter().for_each(|inbox| inbox.signal());
        }
    }

    /// One turn on the calling thread; true if a stop was requested.
    pub fn poll(&self, timeout: Timeout) -> Result<bool> {
        exit::check()?;
        if in_callback() {
            return Err(Error::new(Code::Deadlock, "tlsloop_server_poll was called in a callback"));
        }
        let Crew::HostDriven(worker) = &self.crew else {
            return Err(Error::state("tlsloop_server_poll: the server has worker threads"));
        };
        let mut worker = worker.try_lock().ok_or_else(polled)?;
        Ok(self.turn(&mut worker, timeout))
    }

    fn turn(&self, worker: &mut Worker, timeout: Timeout) -> bool {
        let timeout = if self.stop_requested.load(Ordering::SeqCst) { Timeout::Millis(0) } else { timeout };
        worker.poll(timeout);
        self.stop_requested.load(Ordering::SeqCst)
    }

    /// The descriptor that is readable while there is work for [`Server::poll`].
    pub fn fd(&self) -> Result<RawFd> {
        self.fd.ok_or_else(|| Error::state("tlsloop_server_fd: the server has worker threads"))
    }
}

fn polled() -> Error {
    Error::state("another thread is polling this server")
}
