//! A worker's work in pieces: a defect in one is logged, and ends it and nothing behind it.

use super::Turn;
use super::shard::Shard;
use crate::contain;
use crate::error::{Error, Result};
use crate::host::Level;
use crate::log::Line;
use crate::slab::Key;

impl Turn {
    /// Does a piece of work. A defect in it is logged, and ends this piece and nothing behind it.
    pub(super) fn contained<R>(&mut self, what: &str, work: impl FnOnce(&mut Turn) -> R) -> Result<R> {
        self.contained_about(None, what, work)
    }

    /// The same for one connection, which the log then names.
    pub(super) fn contained_for<R>(
        &mut self,
        shard: &Shard,
        key: Key,
        what: &str,
        work: impl FnOnce(&mut Turn) -> R,
    ) -> Result<R> {
        self.contained_about(Some((shard, key)), what, work)
    }

    fn contained_about<R>(
        &mut self,
        subject: Option<(&Shard, Key)>,
        what: &str,
        work: impl FnOnce(&mut Turn) -> R,
    ) -> Result<R> {
        let done = contain::run(what, || Ok(work(self)));
        if let Err(defect) = &done {
            self.log_defect(subject, defect);
        }
        // What OpenSSL called could only give an answer.
        if let Some(defect) = contain::take_defect() {
            self.log_defect(subject, &defect);
        }
        done
    }

    #[cold]
    fn log_defect(&self, subject: Option<(&Shard, Key)>, defect: &Error) {
        // Where even the log fails, nobody can be told.
        let _ = contain::run("the log", || {
            let line = |(shard, key): (&Shard, Key)| shard.line("defect", key);
            self.service.log(Level::Error, || subject.map_or_else(|| Line::of("defect"), line).with("why", defect));
            Ok(())
        });
    }
}
