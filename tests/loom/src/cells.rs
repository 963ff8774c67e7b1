//! What other threads leave with a connection: it reaches that connection or nobody, once.

use std::sync::Arc;

use loom::thread;

use crate::address::Address;
use crate::calls;
use crate::cell::{Ask, Cell, Left};
use crate::id::Id;
use crate::inbox::Inbox;
use crate::inboxes::turn;
use crate::info::Facts;
use crate::queue::Mark;
use crate::registry::LANE;
use crate::sync::atomic::{AtomicUsize, Ordering};

const FIRST: u32 = 1;
const SECOND: u32 = 2;

fn id(generation: u32) -> Id {
    Id::new(0, 0, generation)
}

/// A lane whose cell has a connection of the first generation.
fn begin() -> (&'static Cell, Arc<Inbox>) {
    let inbox = Arc::new(Inbox::new(8).expect("no descriptor is needed"));
    LANE.set_inbox(inbox.clone());
    open(&LANE.cell, FIRST);
    (&LANE.cell, inbox)
}

fn open(cell: &Cell, generation: u32) {
    cell.open(generation, 0, generation as usize, Arc::new(Facts { peer: Address::unix("") }));
}

/// What `Shard::absorb` takes over.
fn absorb(cell: &Cell) -> Option<Box<Left>> {
    if cell.gauge.has_left() { cell.take_left(false) } else { None }
}

/// What `Turn::retire` takes, before the last callback and the end of the name.
fn retire(cell: &Cell) -> Option<Box<Left>> {
    cell.gauge.seal(Mark::Aborted);
    let left = cell.take_left(true);
    cell.close();
    left
}

/// Runs what was posted; answers how many bytes there were.
fn serve(left: Option<Box<Left>>) -> usize {
    let Some(left) = left else { return 0 };
    for ask in left.asks {
        if let Ask::Post(_, post) = ask {
            post(id(FIRST));
        }
    }
    left.bytes.iter().map(Vec::len).sum()
}

/// A worker that looks at a cell only when a note says so gets each byte that was taken, in order.
pub fn what_is_sent_arrives() {
    let (cell, inbox) = begin();
    let send = |byte: &'static [u8]| calls::send(id(FIRST), &[byte]).expect("there is room");
    let other = thread::spawn(move || send(b"a"));
    let sender = thread::spawn(move || {
        send(b"1");
        send(b"2");
    });
    let (mut got, mut notes) = (Vec::new(), Vec::new());
    while got.len() < 3 {
        if turn(&inbox, || true, &mut notes) > 0 {
            got.extend(absorb(cell).into_iter().flat_map(|left| left.bytes).flatten());
        }
    }
    other.join().unwrap();
    sender.join().unwrap();
    got.retain(|byte| *byte != b'a');
    assert_eq!(got, b"12");
    assert_eq!(cell.gauge.count(), 3);
}

/// "A `post` that returned OK runs exactly once", also when the connection ends meanwhile, and none under the next name.
pub fn what_is_posted_runs_once_or_is_refused() {
    let (cell, _) = begin();
    let runs = Arc::new(AtomicUsize::new(0));
    let poster = {
        let runs = runs.clone();
        thread::spawn(move || {
            let post = Box::new(move |_| {
                runs.fetch_add(1, Ordering::Relaxed);
            });
            calls::post(id(FIRST), 0, post).is_ok()
        })
    };
    serve(absorb(cell));
    serve(retire(cell));
    open(cell, SECOND);
    let accepted = poster.join().unwrap();
    assert!(absorb(cell).is_none(), "something of the old connection's was left with the new one");
    assert_eq!(runs.load(Ordering::Relaxed), usize::from(accepted));
}

/// What was taken before the connection ends is with the worker when it ends; the next one under the same slot begins
/// clean, whatever those do who have the old id.
pub fn a_stale_id_reaches_nobody() {
    let (cell, _) = begin();
    let sender = thread::spawn(|| calls::send(id(FIRST), &[b"x"]).is_ok());
    let closer = thread::spawn(|| {
        let _ = calls::set_data(id(FIRST), 7);
        calls::close(id(FIRST)).is_ok()
    });
    let bytes = serve(absorb(cell)) + serve(retire(cell));
    open(cell, SECOND);
    let sent = sender.join().unwrap();
    closer.join().unwrap();
    assert_eq!(bytes, usize::from(sent), "what was taken was not with the worker");
    assert!(absorb(cell).is_none(), "something of the old connection's was left with the new one");
    assert_eq!(cell.gauge.count(), 0);
    assert!(!cell.gauge.is_sealed(), "the new connection was closed by an old id");
    assert_eq!(calls::data(id(SECOND)), Ok(SECOND as usize));
    assert!(calls::data(id(FIRST)).is_err());
}

/// "Bytes accepted by `send` are handed to the kernel, or the reason is not `HOST` or `PEER`": the end of the stream leaves
/// only when nothing that was taken before the seal still waits with the cell (`Conn::end_outbound`).
pub fn the_end_leaves_behind_all_that_was_taken() {
    let (cell, inbox) = begin();
    let sender = thread::spawn(|| calls::send(id(FIRST), &[b"x"]).is_ok());
    let mut notes = Vec::new();
    let mut bytes = serve(absorb(cell));
    cell.gauge.seal(Mark::Closed);
    while cell.gauge.has_left() {
        // The note is on its way.
        if turn(&inbox, || true, &mut notes) > 0 {
            bytes += serve(absorb(cell));
        }
    }
    // Here close_notify leaves.
    assert_eq!(bytes, cell.gauge.count(), "counted, and not with the worker");
    let sent = sender.join().unwrap();
    assert_eq!(bytes, usize::from(sent));
    assert!(retire(cell).is_none());
}
