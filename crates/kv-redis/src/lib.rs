//! The engine on Redis 7 and Valkey: pages of sorted entries that scripts keep.
//!
//! Redis has no ordered map of bytes that is small and quick to scan, so one is made of what it
//! has: a B+tree of three levels. Entries stand in *pages* of about 4 KB, in the order of their
//! keys; pages stand in *segments* of up to 128; a list names the segments. A page or segment is
//! named by its *bound*: a key belongs to the segment, and in it to the page, with the greatest
//! bound at or below it. For the namespace `n`:
//!
//! ```text
//! fakegres:{n}                 hash: id, version, floor, segments, format
//! fakegres:{n}:r               sorted set: the bounds of all segments
//! fakegres:{n}:i:<segment>     sorted set: the bounds of its pages
//! fakegres:{n}:p:<segment>     hash: page by bound
//! fakegres:{n}:m:<half hour>   hash: version of a commit by its id, empty for a fence
//! fakegres:{n}:d:<stream>      how many deferred batches of a handle were applied
//!
//! page    count u32 · offset of the last entry u32 · entries
//! entry   length of key u16 · length of value u32 · key · value
//! ```
//!
//! A scan hands whole pages out, without looking at entries; the client cuts them. A forward scan is
//! told what comes next, and reads that outside of scripts (see `ahead`). Removing a range
//! unlinks the segments inside it, which Redis frees in the background, and touches pages only in
//! the two at its ends. `docs/redis-layout.md` has the measurements that led here.
//!
//! # Commits
//!
//! Every operation is one script (`scripts/`) or one transaction, so it is atomic and one round
//! trip. There is no rollback in Redis: `commit.lua` makes every check, reads what it needs and changes pages in
//! memory, and only when nothing can fail any more does it write. Redis itself refuses a script
//! (memory, replica, disk) at its first write or not at all. Versions are the server's microseconds,
//! or one more than the last.
//!
//! Deferred batches are sent without waiting. They carry the number of their predecessors, and the
//! script applies none whose predecessor is missing, so that a failure stops what follows it
//! although it was sent already.
//!
//! # What is promised
//!
//! - What the server was told to keep is kept: with `appendfsync always` an acknowledged commit is
//!   on the disk. Anything less is told by [`Redis::durability`], and refused on request.
//! - A server that lost data is found before it answers: each script compares the namespace's random
//!   id and last version with what the client saw last. Handles that share a [`Memory`] expect what
//!   any of them saw, and a memory that outlives them has the same for the first call of the next.
//! - A commit whose reply was lost is asked for by its id. Ids are kept for an hour; what is reported
//!   as not committed is fenced.
//! - Evicted pages are an error, never missing rows.
//!
//! # What is not
//!
//! - A replica that was promoted without the last commits and has overtaken them since looks like a
//!   server that never had them to a client that saw neither. Redis replicates after it answers.
//! - A master that was cut off from its replicas answers reads until it learns of its successor.
//! - Redis Cluster: a namespace lives on one server.

mod address;
mod ahead;
mod batch;
mod facts;
mod failure;
mod greeting;
mod limits;
mod link;
mod memory;
mod page;
mod patience;
mod pipeline;
mod reply;
mod script;
mod session;
mod socket;
mod store;
#[cfg(feature = "tls")]
mod tls;

pub use address::Address;
pub use facts::Durability;
pub use memory::{Known, Memory};
pub use store::{Redis, RedisOptions};
