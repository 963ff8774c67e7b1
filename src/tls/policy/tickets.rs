//! The keys of tickets: from files in nginx's layouts, or made here and replaced in time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::files::read_secret;
use crate::error::{Error, Result};
use crate::tls::raw::{Secret, TicketKey};

/// For how long a key that was made here encrypts. For as long again it decrypts: longer than any ticket lives. Whoever
/// takes the keys out of a process can then read the recorded connections of TLS 1.2 of one day, and no older ones.
const TURN: Duration = Duration::from_secs(12 * 3600);

/// The keys of the servers of one policy.
pub(super) enum TicketKeys {
    /// From files. They stay, for other processes have the same.
    Given(Arc<Vec<TicketKey>>),
    /// Made here. The mutex guards the ring for one look, in the middle of a handshake.
    Own(Mutex<Ring>),
}

impl TicketKeys {
    /// Those that were given; random ones, if there are none.
    pub(super) fn new(given: &Arc<Vec<TicketKey>>) -> Result<TicketKeys> {
        if given.is_empty() {
            let first = TicketKey::random().ok_or_else(|| Error::tls("ticket keys", "OpenSSL has no random bytes"))?;
            return Ok(TicketKeys::Own(Mutex::new(Ring { keys: Arc::new(vec![first]), since: Instant::now() })));
        }
        Ok(TicketKeys::Given(Arc::clone(given)))
    }

    /// The first encrypts, all decrypt.
    pub(super) fn current(&self) -> Arc<Vec<TicketKey>> {
        match self {
            TicketKeys::Given(keys) => Arc::clone(keys),
            TicketKeys::Own(ring) => ring.lock().at(Instant::now()),
        }
    }
}

/// A key that encrypts, and the one before it. Invariant: neither has encrypted for more than a turn, nor is known two
/// turns after it began; the handshake that comes first after such a moment sees to it.
pub(super) struct Ring {
    keys: Arc<Vec<TicketKey>>,
    /// When the first began.
    since: Instant,
}

impl Ring {
    fn at(&mut self, now: Instant) -> Arc<Vec<TicketKey>> {
        let age = now.saturating_duration_since(self.since);
        // Without random bytes the old key goes on: it is better than no ticket.
        if age >= TURN
            && let Some(next) = TicketKey::random()
        {
            let before = self.keys.first().filter(|_| age < 2 * TURN);
            self.keys = Arc::new(std::iter::once(next).chain(before.cloned()).collect());
            self.since = now;
        }
        Arc::clone(&self.keys)
    }
}

/// Reads all files; they must have one size. The first encrypts.
pub(super) fn read_ticket_keys(paths: &[&Path]) -> Result<Vec<TicketKey>> {
    if paths.is_empty() {
        return Err(Error::invalid("paths: there must be at least one ticket-key file"));
    }
    let mut keys = Vec::new();
    let mut size = None;
    for path in paths {
        let bytes = read_secret(path)?;
        let len = bytes.bytes().len();
        let key = parse(bytes.bytes()).ok_or_else(|| {
            let what = format!("{}: a ticket key has 48 or 80 bytes, not {len}", path.display());
            Error::invalid(what)
        })?;
        if *size.get_or_insert(len) != len {
            let what = "48 and 80 bytes cannot be mixed";
            return Err(Error::invalid(format!("{}: {what} among ticket keys", path.display())));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// 48 bytes: name 16, AES 16, HMAC 16. 80 bytes: name 16, HMAC 32, AES 32.
fn parse(bytes: &[u8]) -> Option<TicketKey> {
    let (name, rest) = bytes.split_first_chunk::<16>()?;
    let secret = |bytes: &[u8]| Secret::new(bytes.to_vec());
    let (aes, hmac) = match rest.len() {
        32 => (secret(&rest[..16]), secret(&rest[16..])),
        64 => (secret(&rest[32..]), secret(&rest[..32])),
        _ => return None,
    };
    Some(TicketKey { name: *name, aes, hmac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_our_own_encrypts_for_one_turn_and_decrypts_for_two() {
        let start = Instant::now();
        let mut ring = Ring { keys: Arc::new(vec![TicketKey::random().unwrap()]), since: start };
        let mut names = |at: Duration| ring.at(start + at).iter().map(|key| key.name).collect::<Vec<_>>();
        let moment = Duration::from_secs(1);
        let first = names(Duration::ZERO);
        assert_eq!((first.len(), names(TURN - moment)), (1, first.clone()));
        let second = names(TURN);
        assert_eq!((second.len(), second[1]), (2, first[0]));
        assert_eq!(names(2 * TURN - moment), second);
        let third = names(2 * TURN);
        assert_eq!((third.len(), third[1]), (2, second[0]), "the first is forgotten");
        assert!(third[0] != second[0] && third[0] != first[0]);
        // Nobody came for a long time: none of the old ones is good for anything.
        let last = names(4 * TURN);
        assert_eq!(last.len(), 1);
        assert!(!third.contains(&last[0]));
    }

    #[test]
    fn both_layouts_are_nginxs() {
        let bytes: Vec<u8> = (0..80).collect();
        let short = parse(&bytes[..48]).unwrap();
        assert_eq!(short.name, bytes[..16]);
        assert_eq!((short.aes.bytes(), short.hmac.bytes()), (&bytes[16..32], &bytes[32..48]));
        let long = parse(&bytes).unwrap();
        assert_eq!(long.name, bytes[..16]);
        assert_eq!((long.hmac.bytes(), long.aes.bytes()), (&bytes[16..48], &bytes[48..80]));
        for len in [0, 15, 16, 47, 49, 79] {
            assert!(parse(&bytes[..len]).is_none(), "{len}");
        }
    }
}
