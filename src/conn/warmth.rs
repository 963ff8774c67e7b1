//! Whether the buffers for records stay between one record and the next.
//!
//! They are as large as all the rest of a connection, so those at rest give them back; but whoever is busy would otherwise
//! pay for two allocations with each record.

use super::{Conn, Phase};

/// What a connection has of it.
#[derive(Default)]
pub(super) struct Warmth {
    /// The buffers stay.
    keeps: bool,
    /// Records have passed since somebody asked.
    busy: bool,
}

impl Warmth {
    /// A record has passed.
    pub(super) fn note_record(&mut self) {
        self.busy = true;
    }
}

impl Conn {
    /// Whether it is busy and pays for its buffers each time.
    pub(crate) fn wants_warmth(&self) -> bool {
        self.warmth.busy && !self.warmth.keeps && self.phase == Phase::Open && self.stream.ends_in_band()
    }

    /// Lets it keep its buffers.
    pub(crate) fn warm_up(&mut self) {
        self.warmth.keeps = true;
        self.stream.keep_buffers(true);
    }

    /// Takes the buffers from it, unless records have passed since it was last asked; false: not now.
    pub(crate) fn cool_down(&mut self) -> bool {
        if std::mem::take(&mut self.warmth.busy) {
            return false;
        }
        self.warmth.keeps = false;
        self.stream.keep_buffers(false);
        true
    }
}
