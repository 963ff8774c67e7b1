//! How long a visit waits for data while OpenSSL is busy with messages of its own.
//!
//! A record costs two reads, its header and the rest. Between two pieces of data a peer may put a few records without any
//! (new keys, tickets); each may cost a derivation of keys and an answer, so many of them are an attack (RFC 8446, 4.6.3).

/// How many reads may give no data: 32 records, the number at which others stop, too, and some that come in pieces.
const READS: u8 = 80;
/// Those that a record with data takes.
const USEFUL: u8 = 2;
/// How many useless ones a visit may have made before others have their turn.
const WORN: u8 = 16;

/// The patience of one visit.
pub(crate) struct Patience {
    /// Reads that may still pass before the next data; `None`: none is expected.
    left: Option<u8>,
    /// Reads that gave none, though data came behind them.
    barren: u8,
}

impl Patience {
    /// At the beginning of a visit.
    pub(crate) fn new() -> Patience {
        Patience { left: None, barren: 0 }
    }

    /// Data is to be read.
    pub(crate) fn expect_data(&mut self) {
        self.left = Some(READS);
    }

    /// Whether one more read may be made.
    pub(crate) fn allows(&self) -> bool {
        self.left != Some(0)
    }

    /// A read has given something.
    pub(crate) fn note_read(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// Data has come of it.
    pub(crate) fn note_data(&mut self) {
        let used = self.left.take().map_or(0, |left| READS - left);
        self.barren = self.barren.saturating_add(used.saturating_sub(USEFUL));
    }

    /// Whether so much of this visit gave no data that others should have their turn.
    pub(crate) fn is_worn(&self) -> bool {
        self.barren >= WORN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(patience: &mut Patience, reads: usize) -> usize {
        patience.expect_data();
        (0..reads).take_while(|_| patience.allows() && (patience.note_read(), true).1).count()
    }

    /// "Work per turn is bounded": so many are the most that one read of data may meet.
    #[test]
    fn it_ends_after_so_many_records_without_data() {
        let mut patience = Patience::new();
        assert_eq!(read(&mut patience, 1000), usize::from(READS));
        assert!(!patience.allows());
    }

    /// Records with data cost it nothing, however many come in one visit.
    #[test]
    fn data_does_not_wear_it() {
        let mut patience = Patience::new();
        for _ in 0..10_000 {
            assert_eq!(read(&mut patience, 2), 2);
            patience.note_data();
        }
        assert!(patience.allows() && !patience.is_worn());
    }

    /// What comes between two pieces of data adds up within a visit.
    #[test]
    fn what_stands_between_data_wears_it() {
        let mut patience = Patience::new();
        for _ in 0..4 {
            assert!(!patience.is_worn());
            assert_eq!(read(&mut patience, 6), 6);
            patience.note_data();
        }
        assert!(patience.is_worn());
    }

    /// A handshake takes as many reads as it takes: its own deadline bounds it.
    #[test]
    fn where_no_data_is_expected_it_does_not_end() {
        let mut patience = Patience::new();
        (0..1000).for_each(|_| patience.note_read());
        assert!(patience.allows());
    }
}
