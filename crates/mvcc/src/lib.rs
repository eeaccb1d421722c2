//! Versions, snapshots and transactions over a [`kv::Store`].
//!
//! A store shows its newest state and nothing else. This layer keeps older versions beside the
//! newest one, so that a reader can see one moment for as long as it likes, and makes transactions
//! out of atomic batches. It knows keys and bodies, and nothing of tables.
//!
//! # Keys and values
//!
//! Every key that this layer writes begins with a [`key::Kind`]:
//!
//! | store key | value |
//! |---|---|
//! | `0x01 ‖ key` | no older versions: a counter, or what is published behind the commit's version |
//! | `0x02 ‖ key` | current slot: `version(8) ‖ flags(1) ‖ body` |
//! | `0x03 ‖ escape(key) ‖ 0x00 0x00 ‖ !version(8)` | history: `flags(1) ‖ body` |
//! | `0x04` | `version(8)`: tombstones up to it may have been collected |
//!
//! Versions are big-endian. `escape` writes `0x00` as `0x00 0xff`, so that history sorts by key and
//! then from the newest version to the oldest, and a prefix of keys is a prefix of their history.
//! Flags: `0x01` a tombstone, `0x02` *fresh*, `0x80` reserved for intents; anything else is refused.
//!
//! Three commits, and where their versions lie afterwards:
//!
//! ```text
//!        @10      @20      @30        current          history
//!  a     1        2        3          a @30 3          a @20 2, a @10 1 fresh
//!  b     1        deleted             b @20 deleted    b @10 1 fresh
//!  c     1                            c @10 1 fresh
//!  d              1                   d @20 1 fresh
//! ```
//!
//! # Reading
//!
//! A [`Snapshot`] is a version S and a command. A reader takes the current slot if its version is
//! at most S, else the newest history entry at or before S. In the grid, a snapshot at @10 reads
//! `c` from its slot, `a` and `b` from history, and knows without looking that there was no `d`:
//! a *fresh* version is one whose key had no earlier version that any reader could need. In the
//! common case nothing is newer than S, and a scan reads one pair per row. What a page of a scan
//! needs of history is asked for in one pipelined step.
//!
//! The pieces are not read atomically, and need not be: while the reader looks, a commit can only
//! move the version that it needs from the slot into history, where it is looked for afterwards.
//!
//! Over that lie the transaction's own writes: of each key the newest by a command before the
//! snapshot's. They are fixed for the life of a scan, so they are merged once per page. Rolling back
//! a savepoint, found by an undo log, forgets exactly what was written since it.
//!
//! # Committing
//!
//! One batch: for every written key a check that it still is at the version that the writer saw
//! ([`Base`]), the move of that version into history, and the stamped new value. First committer
//! wins; the other gets `Conflict`. A delete leaves a tombstone, which conflicts like a value.
//! Locked keys are checked, too, and at SERIALIZABLE every key and range that was read: such a
//! transaction commits as if it had run at the moment of its commit, and one that writes nothing
//! as if it had run at its snapshot. Counters are added to in the same batch.
//!
//! When a connection breaks during the commit, the store is asked what became of it until it says
//! so; a commit that certainly did not happen is tried again under a new name. Only when the
//! environment loses patience does `OutcomeUnknown` reach the caller.
//!
//! # Version zero
//!
//! Rows of a space that nobody else can see yet may go straight to the store
//! ([`Transaction::bulk_put`]), outside of any batch of size and memory. They have version zero,
//! which a reader takes for the version at which the space was published; it knows that version and
//! passes it as `zero`. When such a row is replaced, its history entry has either version: both mean
//! the same.
//!
//! # Garbage
//!
//! The *floor*, kept by the store, is the version below which snapshots are given up: commits and
//! [`collect`] raise it to the retention horizon. Every reply says the floor, atomically with its
//! data, and a reader below it gets `TooOld`; so what is removed is never missed silently. An entry
//! whose successor is at or below the floor may go. A write that replaces a version at or below the
//! floor clears the key's history; a hot key's history is looked at now and then; [`collect`] does
//! the rest, and removes tombstones at or below the floor with all of their keys' history.
//!
//! A removed tombstone could hide a conflict: a writer that saw the key before it was deleted finds
//! nothing there, which passes a check. Therefore the highest floor under which tombstones were
//! removed is kept as a stamped value at `0x04`, and every commit that relies on what it saw checks
//! that it is not above the moment at which the transaction first looked. If it is, the bases are
//! read again; a SERIALIZABLE transaction is `TooOld` then.
//!
//! # What is not promised
//!
//! Nobody waits here: two transactions that write one key find out at commit, and locks with
//! queues, deadlock detection and uniqueness are made above. Bulk rows have neither commands nor
//! savepoints. A transaction must fit into one batch. SERIALIZABLE validates whole pages, so it may
//! fail for a row that the caller did not ask for.

mod ahead;
mod bulk;
mod collect;
mod commit;
mod history;
pub mod key;
mod own;
mod read;
mod reads;
mod scan;
mod transaction;
mod value;
mod writes;

pub use collect::{Collected, collect};
pub use read::{Committed, Found, Newest, Own};
pub use scan::{Entry, Scan, ScanOptions};
pub use transaction::{Base, Change, Options, OwnVersion, Transaction};
pub use value::{HEADER, body_with_headroom, page};
pub use writes::WriteId;

/// Numbers the commands of a transaction, as PostgreSQL's `CommandId` does.
pub type Command = u32;

/// What a reader sees: commits up to a version, and own writes of earlier commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Commits up to this one are seen.
    pub version: kv::Version,
    /// Own writes of commands before this one are seen.
    pub command: Command,
}
