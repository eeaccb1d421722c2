//! Versions, snapshots and transactions over a [`kv::Store`].

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
