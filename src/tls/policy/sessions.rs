//! The sessions of a client, one for each server. A session is out of the shelf while a handshake tries
//! it, so one that a server cannot take spoils one attempt and not all.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::tls::raw::{PeerKey, Session};

/// A client that talks to more servers than this forgets the session that was put here first.
const MAX_SERVERS: usize = 1024;

/// Sessions by server.
#[derive(Default)]
pub(super) struct Sessions {
    /// Guards the shelf; held for one look-up, never while OpenSSL runs.
    shelf: Mutex<Shelf<Session>>,
}

impl Sessions {
    /// Keeps a new session in the place of the older one.
    pub(super) fn put(&self, peer: &PeerKey, session: Session) {
        // What falls out is freed after the lock was given back.
        let _old = self.shelf.lock().put(peer, session);
    }

    /// Puts a session back that proved good, unless the server has sent a newer one.
    pub(super) fn put_back(&self, peer: &PeerKey, session: Session) {
        let mut shelf = self.shelf.lock();
        let left = if shelf.by_peer.contains_key(peer) { Some(session) } else { shelf.put(peer, session) };
        drop(shelf);
        drop(left);
    }

    /// Takes the session out.
    pub(super) fn take(&self, peer: &PeerKey) -> Option<Session> {
        self.shelf.lock().by_peer.remove(peer).map(|(_, session)| session)
    }
}

/// Things with the number of the moment when each was put.
struct Shelf<T> {
    by_peer: HashMap<PeerKey, (u64, T)>,
    moment: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf { by_peer: HashMap::new(), moment: 0 }
    }
}

impl<T> Shelf<T> {
    /// Puts one in; what had to make room comes out.
    fn put(&mut self, peer: &PeerKey, thing: T) -> Option<T> {
        self.moment += 1;
        let replaced = self.by_peer.insert(peer.clone(), (self.moment, thing));
        if replaced.is_some() || self.by_peer.len() <= MAX_SERVERS {
            return replaced.map(|(_, thing)| thing);
        }
        let oldest = self.by_peer.iter().min_by_key(|(_, (moment, _))| *moment)?.0.clone();
        self.by_peer.remove(&oldest).map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shelf_forgets_the_oldest() {
        let peer =
            |port: usize| PeerKey { host: "a.example".into(), server_name: "a.example".into(), port: port as u16 };
        let mut shelf = Shelf::default();
        for port in 0..MAX_SERVERS {
            assert_eq!(shelf.put(&peer(port), port), None);
        }
        assert_eq!(shelf.put(&peer(0), 7), Some(0), "a newer one in its place");
        assert_eq!(shelf.put(&peer(MAX_SERVERS), 8), Some(1), "1 is now the oldest");
        assert_eq!(shelf.by_peer.len(), MAX_SERVERS);
    }
}
