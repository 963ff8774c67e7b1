//! Plaintext that has arrived and was not fetched yet.
//!
//! Invariant: `start <= end <= buf.len()`; what is kept lies between them.

/// Room for one record's plaintext (RFC 8446, 5.1): OpenSSL then keeps nothing back.
pub(super) const RECORD: usize = 16 * 1024;
/// What one look at the socket gives fits into it.
const USUAL: usize = 80 * 1024;

/// Bytes that wait for the host, in order.
#[derive(Default)]
pub(super) struct Kept {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Kept {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Room for at least one record behind them; `None` if there would be more than `most` bytes.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        if self.len() > 0 && self.len() + RECORD > most {
            return None;
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buf.len() - self.end < RECORD && self.start > self.buf.len() / 2 {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buf.len() - self.end < RECORD {
            self.buf.resize((2 * self.buf.len()).max(USUAL), 0);
        }
        Some(&mut self.buf[self.end..])
    }

    /// The front of the room holds `n` bytes now.
    pub(super) fn push(&mut self, n: usize) {
        self.end += n;
    }

    /// Moves the oldest bytes out, as many as fit.
    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let n = self.len().min(into.len());
        into[..n].copy_from_slice(&self.buf[self.start..self.start + n]);
        self.start += n;
        if self.start == self.end && self.buf.len() > USUAL {
            *self = Kept::default();
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(kept: &mut Kept, most: usize, bytes: &[u8]) -> bool {
        let Some(room) = kept.room(most) else { return false };
        room[..bytes.len()].copy_from_slice(bytes);
        kept.push(bytes.len());
        true
    }

    #[test]
    fn there_is_a_bound_but_never_none_for_the_first_record() {
        let mut kept = Kept::default();
        assert!(put(&mut kept, 0, &[7; RECORD]));
        assert!(!put(&mut kept, 2 * RECORD - 1, &[7]));
        assert!(put(&mut kept, 2 * RECORD, &[7]));
    }

    proptest! {
        /// Whatever the sizes, bytes leave in the order in which they came.
        #[test]
        fn what_goes_in_comes_out(steps in proptest::collection::vec((any::<bool>(), 0..RECORD), 1..60)) {
            let (mut kept, mut given, mut taken) = (Kept::default(), Vec::new(), Vec::new());
            for (number, (put_in, n)) in steps.into_iter().enumerate() {
                if put_in {
                    let bytes = vec![number as u8; n];
                    prop_assert!(put(&mut kept, usize::MAX, &bytes));
                    given.extend(bytes);
                } else {
                    let mut out = vec![0; n];
                    let got = kept.take(&mut out);
                    taken.extend_from_slice(&out[..got]);
                }
                prop_assert_eq!(kept.len(), given.len() - taken.len());
            }
            prop_assert_eq!(&given[..taken.len()], &taken[..]);
        }
    }
}
