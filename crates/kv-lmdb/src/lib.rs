//! The embedded engine: an LMDB file that many processes read and one process writes.
//!
//! PostgreSQL's backends are many single-threaded processes. Each reads the file directly, in read
//! transactions that end with the call that began them, because a long reader keeps freed pages
//! from being used again. All writes go through one [`Writer`], a process of its own that holds the
//! exclusive lock on `LOCK` in the store's directory, so that commits of concurrent sessions share
//! one write transaction and one sync (group commit; see `group`). Backends talk to it over
//! `writer.sock` (see `wire`).
//!
//! What is durable is in a log (see `log`): a group is one record and one sync before anybody sees it.
//! LMDB's pages follow without a sync, until a checkpoint syncs all of them (see `journal`).
//!
//! # What is promised
//!
//! - A durable commit is synced before it is visible, and so before it is acknowledged. A crash of the
//!   machine may take relaxed ones back, each whole, the last ones first.
//! - A crash of the machine leaves LMDB's file in no state that LMDB promises anything about. The next
//!   writer puts it back to the last checkpoint and applies the log from there. Nothing is mapped
//!   writable.
//! - A commit is applied at most once, and its outcome can be asked for an hour: ids are kept in
//!   the file. What is reported as not committed is fenced in the file.
//! - A writer that is killed loses nothing that it acknowledged and half of nothing. Backends that
//!   waited for it ask its successor.
//! - A reader that is killed loses its slot within seconds, and with it the pages that it held.
//! - A second writer, or a client of another server, is refused.
//!
//! # What is not
//!
//! - The file does not shrink. Freed pages are used again.
//! - Reads do not notice that the writer is gone; they show what is committed.
//! - Network file systems do not work: LMDB needs shared memory and record locks.

mod apply;
mod connection;
#[cfg(test)]
mod crashes;
mod failure;
mod files;
mod gap;
mod group;
mod journal;
mod limits;
mod link;
mod lmdb;
mod lockfile;
mod log;
mod namespace;
mod recent;
mod record;
mod replay;
mod session;
mod socket;
mod wire;
mod writer;

pub use lmdb::{Lmdb, LmdbOptions};
pub use writer::{Writer, WriterOptions};
