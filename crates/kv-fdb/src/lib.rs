//! The engine on FoundationDB 7.3 and newer.
//!
//! FoundationDB is an ordered map with transactions of its own, which last for five seconds. One
//! batch is one of its transactions, and its *commit version*, 64 bits that grow by about a million
//! in a second, is the contract's version. For the namespace `n` (see [`keys`]):
//!
//! ```text
//! "fakegres" 00 n 00 00 name           format, floor
//! "fakegres" 00 n 00 01 key            value, as `value` writes it
//! "fakegres" 00 n 00 02 escaped key …  the rest of a value of more than 90,000 bytes
//! "fakegres" 00 n 00 03 age id         versionstamp of the commit with this id, empty for a fence
//! "fakegres" 00 n 00 04 micros         versionstamp and micros(8) of a moment
//! ```
//!
//! # Versions
//!
//! FoundationDB's *versionstamp* has ten bytes: the commit version and the order within a group of
//! commits that share it. Stamped values hold all ten, because it writes no fewer; readers are shown
//! the first eight. That two commits may share a version is sound: nobody can read between them,
//! because a read version shows all of a version or nothing, and of two that share it the later one
//! in the group is refused if it checks what the earlier one wrote. A version names a moment, not a
//! commit.
//!
//! # Commits
//!
//! A batch's checks become read conflict ranges. FoundationDB finds what was written to them after
//! the transaction's read version; so
//!
//! - where the caller says at which version its checks held ([`kv::Batch::observed`]), and this
//!   version is younger than what the cluster keeps, it becomes the read version, and nothing is read;
//! - otherwise the read version is the newest one, and what is checked is read at it.
//!
//! The second way is also how a refusal is looked into: FoundationDB refuses for any write, the
//! contract for newer stamps only, and the error names the key.
//!
//! Every batch writes a marker under its id and has a conflict on it. So a commit whose reply is
//! missing (1021, 1039, 1031) is settled by committing it again: if the marker is there, that is the
//! answer, and if both arrive, the second finds the first. Before a failure is reported after such
//! doubt, and whenever [`kv::Store::outcome`] says no, a fence is written in the marker's place.
//! Markers stand under the high bits of their transaction's read version, their *age* of 35 minutes,
//! so that those of an age are removed at once. Versions may jump over ages, in disasters over
//! hundreds; so whoever doubts looks into those that the newest moments name.
//!
//! # Reads
//!
//! A reply is read at one read version. The floor comes with it: whoever raises it changes
//! `\xff/metadataVersion`, which the cluster hands out with every read version; only when that has
//! changed is the floor itself read. So it is with the keys that are watched
//! ([`FdbOptions::watched`]). Where any state after a version will do
//! ([`kv::Store::get_many_since`]), the transaction that is at hand is used, and a read costs one
//! round trip.
//!
//! The row of an entry that a lookup finds is asked for together with the entry, if it was found before
//! (see [`hints`]) or its neighbours make it probable which one it is ([`lines`]); else one after the
//! other.
//!
//! # Life
//!
//! The client library is loaded and its network thread started by the first call that needs it, once
//! in a process, with all signals blocked; [`stop_network`] ends and joins it. A process that has a
//! network thread must not fork.
//!
//! # What is promised
//!
//! What FoundationDB promises: an acknowledged commit is on the disks of as many machines as the
//! cluster's redundancy mode says. While the cluster cannot be reached, every call asks whether to
//! stop, and gives up after the time-out for connecting.
//!
//! # What is not
//!
//! - A batch of more than FoundationDB's 10 MB is `TooLarge`. What it adds to a batch (its own keys,
//!   conflict ranges, archived values) counts, so that batches of many small operations may be
//!   refused before [`kv::Limits::max_batch`].
//! - A check of a range that is older than five seconds reads the whole range within five seconds.
//! - Ids of commits are known for at least 35 minutes.

mod address;
mod client;
mod commit;
mod deferred;
mod failure;
mod hints;
mod keys;
mod limits;
mod lines;
mod moments;
mod network;
mod pages;
mod recent;
mod runs;
mod status;
mod store;
mod value;
mod view;
mod wait;

pub use address::Address;
pub use network::stop_network;
pub use store::{Fdb, FdbOptions};
