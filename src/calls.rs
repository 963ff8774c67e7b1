//! What a host may do with a connection, from any thread and from inside callbacks.
//!
//! On the connection's own worker a call reaches the connection itself, without a lock. From elsewhere it leaves its
//! request in the connection's cell and tells the worker.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::address::Address;
use crate::cell::{Ask, Cell, Left, Post, State};
use crate::conn::refused;
use crate::contain;
use crate::error::{Code, Error, Result};
use crate::id::Id;
use crate::inbox::Note;
use crate::info::Facts;
use crate::queue::{CHUNK, Mark};
use crate::registry::{self, Lane};
use crate::sync::atomic::Ordering;
use crate::sys::socket;
use crate::worker::shard;

/// Queues bytes for the peer: all parts, in order, or none.
pub(crate) fn send(id: Id, parts: &[&[u8]]) -> Result<()> {
    let sent = match shard::send_locally(id, parts) {
        Some(sent) => sent,
        None => send_from_elsewhere(id, parts),
    };
    if let Err(error) = &sent
        && error.code() == Code::Full
    {
        registry::find(id)?.0.with_inbox(|inbox| inbox.counters.sends_refused.add_shared(1));
    }
    sent
}

fn send_from_elsewhere(id: Id, parts: &[&[u8]]) -> Result<()> {
    contain::fault("calls: send");
    let (lane, cell) = registry::find(id)?;
    let high_water = lane.with_inbox(|inbox| inbox.high_water).ok_or_else(Error::closed)?;
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let is_long = len > CHUNK;
    let mut piece = Vec::new();
    if is_long {
        // Before the lock is taken, because the worker may wait for that.
        reserve(&mut piece, len)?;
        append(&mut piece, parts);
    }
    let mut state = cell.lock(id.generation())?;
    let last = state.left.as_mut().and_then(|left| left.bytes.last_mut());
    let last = last.filter(|last| !is_long && last.len() <= CHUNK);
    let is_own = last.is_none();
    let room = last.unwrap_or(&mut piece);
    if !is_long {
        reserve(room, len)?;
    }
    cell.gauge.accept(len, high_water, true).map_err(refused)?;
    if !is_long {
        append(room, parts);
    }
    if !is_own {
        return Ok(());
    }
    // Only now is there something that the worker has to be told of.
    match &mut state.left {
        Some(left) => left.bytes.push(piece),
        None => {
            state.left = Some(Box::new(Left { bytes: vec![piece], asks: Vec::new() }));
            drop(state);
            lane.with_inbox(|inbox| inbox.push(Note::Left(id)));
        }
    }
    Ok(())
}

fn reserve(room: &mut Vec<u8>, len: usize) -> Result<()> {
    room.try_reserve(len).map_err(|error| Error::new(Code::NoMemory, format!("the send queue: {error}")))
}

/// Within what was reserved.
fn append(room: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| room.extend_from_slice(part));
}

/// Asks something of a connection; `mark` is how far that ends it, if it does.
fn ask(id: Id, ask: Ask, mark: Option<Mark>) -> Result<()> {
    let (lane, cell) = registry::find(id)?;
    let seal = || match mark {
        Some(mark) if !cell.gauge.seal(mark) => Err(Error::closed()),
        _ => Ok(()),
    };
    let Some(ask) = shard::ask_locally(id, ask, |conn| if conn.is_ending { Err(Error::closed()) } else { seal() })?
    else {
        return Ok(());
    };
    let mut state = cell.lock(id.generation())?;
    contain::fault("calls: ask");
    if state.is_ending {
        return Err(Error::closed());
    }
    seal()?;
    leave(lane, cell, id, &mut state, |left| left.asks.push(ask))
}

/// Leaves something in a cell and tells the worker, if nothing was there before.
fn leave(lane: &Lane, cell: &Cell, id: Id, state: &mut State, put: impl FnOnce(&mut Left)) -> Result<()> {
    let is_first = state.left.is_none();
    put(state.left.get_or_insert_default());
    cell.gauge.mark_left();
    if is_first {
        lane.with_inbox(|inbox| inbox.push(Note::Left(id)));
    }
    Ok(())
}

/// Ends our direction, behind what is queued.
pub(crate) fn end(id: Id) -> Result<()> {
    ask(id, Ask::End, Some(Mark::Ended))
}

/// Ends the connection, behind what is queued.
pub(crate) fn close(id: Id) -> Result<()> {
    ask(id, Ask::Close, Some(Mark::Closed))
}

/// Resets the connection.
pub(crate) fn abort(id: Id) -> Result<()> {
    ask(id, Ask::Abort, Some(Mark::Aborted))
}

/// Holds back what arrives, or goes on with it.
pub(crate) fn pause(id: Id, paused: bool) -> Result<()> {
    ask(id, Ask::Pause(paused), None)
}

/// Goes over to TLS; only from a callback of the connection's own.
pub(crate) fn start_tls(id: Id) -> Result<()> {
    let (_, cell) = registry::find(id)?;
    drop(cell.lock(id.generation())?);
    let why = "tlsloop_conn_start_tls: only in a callback of the connection or in a posted function";
    shard::start_tls(id).unwrap_or_else(|| Err(Error::state(why)))
}

/// Sets the idle timeout in milliseconds, from now; `None`: never.
pub(crate) fn set_idle_timeout(id: Id, ms: Option<u64>) -> Result<()> {
    ask(id, Ask::IdleTimeout(ms), None)
}

/// Runs a function on the connection's worker, in `ms` milliseconds or when the connection ends.
pub(crate) fn post(id: Id, ms: u64, post: Post) -> Result<()> {
    ask(id, Ask::Post(ms, post), None)
}

/// How many bytes are accepted and not yet with the kernel.
pub(crate) fn queued(id: Id) -> Result<usize> {
    let (_, cell) = registry::find(id)?;
    let _state = cell.lock(id.generation())?;
    Ok(cell.gauge.count())
}

/// Sets the host's own pointer.
pub(crate) fn set_data(id: Id, data: usize) -> Result<()> {
    let (_, cell) = registry::find(id)?;
    let _state = cell.lock(id.generation())?;
    cell.data.store(data, Ordering::Release);
    Ok(())
}

/// The host's own pointer.
pub(crate) fn data(id: Id) -> Result<usize> {
    let (_, cell) = registry::find(id)?;
    let _state = cell.lock(id.generation())?;
    Ok(cell.data.load(Ordering::Acquire))
}

/// What can be told of a connection.
pub(crate) struct Told {
    pub(crate) facts: Arc<Facts>,
    pub(crate) local: Option<Address>,
    /// Process and user, behind a unix socket.
    pub(crate) credentials: Option<(i32, i32)>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Tells what is known of a connection.
pub(crate) fn info(id: Id) -> Result<Told> {
    let (_, cell) = registry::find(id)?;
    let state = cell.lock(id.generation())?;
    let facts = state.facts.clone().ok_or_else(Error::closed)?;
    let (local, credentials) = cell.with_fd(&state, |fd: BorrowedFd<'_>| {
        let is_unix = matches!(facts.peer, Address::Unix(_));
        let credentials = if is_unix { socket::peer_credentials(fd) } else { None };
        (socket::local_address(fd).ok(), credentials)
    });
    Ok(Told {
        facts,
        local,
        credentials,
        bytes_in: cell.bytes_in.load(Ordering::Relaxed),
        bytes_out: cell.bytes_out.load(Ordering::Relaxed),
    })
}
