//! How long a visit waits for data while OpenSSL is busy with messages of its own.
//!
//! A record costs two reads, its header and the rest. Between two pieces of data a peer may put a few records without any
//! (new keys, tickets); each may cost a derivation of keys and an answer, so many of them are an attack (RFC 8446, 4.6.3).
//! One record may hold thousands of messages; so each behind the first counts as a record, and a long record for its length.

/// How many reads may give no data: 32 records, the number at which others stop, too, and some that come in pieces.
const READS: u8 = 80;
/// What a read costs for each so many bytes of it.
const LONG: usize = 2048;
/// Those that a record takes, whatever is in it.
const RECORD: u8 = 2;
/// How often OpenSSL comes back without data for a record with one message: behind the message, and behind the record.
const PAUSES: u8 = 2;
/// How many useless ones a visit may have made before others have their turn.
const WORN: u8 = 16;

/// The patience of one visit.
pub(crate) struct Patience {
    /// Reads that may still pass before the next data; `None`: none is expected.
    left: Option<u8>,
    /// Reads that gave none, though data came behind them.
    barren: u8,
    /// The last read found nothing, so what OpenSSL does next, it can only do later.
    starved: bool,
    /// How many of OpenSSL's pauses the reads of this record have paid for.
    paid: u8,
}

impl Patience {
    /// At the beginning of a visit.
    pub(crate) fn new() -> Patience {
        Patience { left: None, barren: 0, starved: false, paid: 0 }
    }

    /// Data is to be read.
    pub(crate) fn expect_data(&mut self) {
        (self.left, self.starved) = (Some(READS), false);
    }

    /// Whether one more read may be made.
    pub(crate) fn allows(&self) -> bool {
        self.left != Some(0)
    }

    /// A read has given so many bytes.
    pub(crate) fn note_read(&mut self, n: usize) {
        self.spend(cost_of(n) + 1);
        self.paid = PAUSES;
    }

    /// A read has found nothing, or was not allowed to look.
    pub(crate) fn note_starved(&mut self) {
        self.starved = true;
    }

    /// Whether OpenSSL stands still for want of bytes.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// OpenSSL has come back behind a message of its own, and may have more in hand.
    pub(crate) fn note_pause(&mut self) {
        match self.paid.checked_sub(1) {
            Some(paid) => self.paid = paid,
            None => self.spend(RECORD),
        }
    }

    /// So many bytes of data have come of it.
    pub(crate) fn note_data(&mut self, n: usize) {
        let used = self.left.take().map_or(0, |left| READS - left);
        // A record is a little longer than its data.
        let useful = RECORD + cost_of(n) + 1;
        self.barren = self.barren.saturating_add(used.saturating_sub(useful));
    }

    fn spend(&mut self, cost: u8) {
        self.left = self.left.map(|left| left.saturating_sub(cost));
    }

    /// Whether so much of this visit gave no data that others should have their turn.
    pub(crate) fn is_worn(&self) -> bool {
        self.barren >= WORN
    }
}

/// What the length of a read costs.
fn cost_of(n: usize) -> u8 {
    u8::try_from(n / LONG).map_or(READS, |cost| cost.min(READS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(patience: &mut Patience, reads: usize) -> usize {
        patience.expect_data();
        (0..reads).take_while(|_| patience.allows() && (patience.note_read(100), true).1).count()
    }

    /// "Work per turn is bounded": so many are the most that one read of data may meet.
    #[test]
    fn it_ends_after_so_many_records_without_data() {
        let mut patience = Patience::new();
        assert_eq!(read(&mut patience, 1000), usize::from(READS));
        assert!(!patience.allows());
        patience.expect_data();
        for _ in 1..READS / RECORD {
            (0..RECORD).for_each(|_| patience.note_read(30));
            (0..PAUSES).for_each(|_| patience.note_pause());
        }
        assert!(patience.allows());
    }

    /// Records with data cost it nothing, however many come in one visit.
    #[test]
    fn data_does_not_wear_it() {
        let mut patience = Patience::new();
        for _ in 0..10_000 {
            assert_eq!(read(&mut patience, 2), 2);
            patience.note_data(80);
            patience.expect_data();
            [5, 16400].into_iter().for_each(|n| patience.note_read(n));
            patience.note_data(16384);
        }
        assert!(patience.allows() && !patience.is_worn());
    }

    /// The longest records have room for thousands of messages; they end it sooner, and other messages as records do.
    #[test]
    fn long_records_and_messages_within_one_wear_it_too() {
        let mut patience = Patience::new();
        patience.expect_data();
        let records = (0..100).take_while(|_| {
            [5, 16400].into_iter().for_each(|n| patience.note_read(n));
            patience.allows()
        });
        assert!(records.count() < 10);
        patience.expect_data();
        [5, 100].into_iter().for_each(|n| patience.note_read(n));
        (0..PAUSES + 38).for_each(|_| patience.note_pause());
        assert!(patience.allows());
        patience.note_pause();
        assert!(!patience.allows());
    }

    /// What comes between two pieces of data adds up within a visit.
    #[test]
    fn what_stands_between_data_wears_it() {
        let mut patience = Patience::new();
        for _ in 0..4 {
            assert!(!patience.is_worn());
            assert_eq!(read(&mut patience, 7), 7);
            patience.note_data(80);
        }
        assert!(patience.is_worn());
    }

    /// A handshake takes as many reads as it takes: its own deadline bounds it.
    #[test]
    fn where_no_data_is_expected_it_does_not_end() {
        let mut patience = Patience::new();
        (0..1000).for_each(|_| patience.note_read(16400));
        assert!(patience.allows());
    }
}
