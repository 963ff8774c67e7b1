//! What the log tells of a server's life.

use std::time::Duration;

use super::{Crew, Server};
use crate::host::Level;
use crate::log::Line;
use crate::service::Mode;
use crate::tls::policy::ServerContext;
use crate::tls::raw;

impl Server {
    /// It serves from now on, by this policy.
    pub(super) fn tell_start(&self) {
        self.service.log(Level::Info, || {
            let workers = match &self.crew {
                Crew::Threads(threads) => threads.len().to_string(),
                Crew::HostDriven(_) => "host".to_owned(),
            };
            Line::of("start")
                .with("address", self.address.as_ref().map_or("none".to_owned(), ToString::to_string))
                .with("mode", name_of(self.service.mode()))
                .with("workers", workers)
                .with("version", env!("CARGO_PKG_VERSION"))
                .with("openssl", raw::version().to_string_lossy())
        });
        let context = self.service.context.lock().clone();
        for warning in context.iter().flat_map(|context| context.warnings()) {
            self.service.log(Level::Warn, || Line::of("tls_warning").with("why", &warning));
        }
    }

    /// New handshakes use another policy.
    pub(super) fn tell_policy(&self, context: &ServerContext) {
        self.service.log_by_worker(Level::Info, || Line::of("set_tls"));
        for warning in context.warnings() {
            self.service.log_by_worker(Level::Warn, || Line::of("tls_warning").with("why", &warning));
        }
    }

    /// It accepts no more.
    pub(super) fn tell_drain(&self) {
        self.service.log_by_worker(Level::Info, || Line::of("drain").with("open", self.stats().open()));
    }

    /// Its connections are being ended.
    pub(super) fn tell_stop(&self, grace: Duration) {
        self.service.log(Level::Info, || {
            Line::of("stop").with("grace_ms", grace.as_millis()).with("open", self.stats().open())
        });
    }

    /// It is gone.
    pub(super) fn tell_end(&self) {
        self.service.write_lines();
        self.service.log(Level::Info, || {
            let stats = self.stats();
            Line::of("stopped")
                .with("connects", stats.connects)
                .with("handshakes_failed", stats.handshakes_failed)
                .with("bytes_in", stats.bytes_in)
                .with("bytes_out", stats.bytes_out)
        });
    }
}

fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Tls => "tls",
        Mode::Plain => "plain",
        Mode::StartTls => "starttls",
        Mode::Detect => "detect",
    }
}
