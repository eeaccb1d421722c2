//! A transaction: what it has seen of the store, what it wants to write, and its savepoints.

use std::cell::Cell;
use std::rc::Rc;

use kv::{Durability, Environment, Error, Layout, Limits, Page, ReadStamp, Result, Store, Version};

use crate::ahead::Ahead;
use crate::bulk::Bulk;
use crate::reads::Reads;
use crate::value::{self, HEADER};
use crate::writes::{WriteId, Writes};
use crate::{Command, Snapshot, key};

/// What the writer of a key saw in the store when it decided to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// The key has never existed and nobody else can write it (row ids are never reused). Nothing
    /// is checked at commit.
    New,
    /// The store has no current slot for the key, not even a tombstone. Checked at commit.
    Absent,
    /// The committed current version, a value or a tombstone; [`Version::ZERO`] for a row of an
    /// unpublished space, or for a key that is absent as far as the writer knows. It must still be
    /// the current version at commit: first committer wins.
    Seen(Version),
}

/// What to do with a key.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Give it a body: the parts one after the other.
    Put(&'a [&'a [u8]]),
    /// Leave a tombstone.
    Delete,
    /// Leave a tombstone with a note for who looks at the key as it is now
    /// ([`Transaction::newest`]); to everybody else the key is deleted.
    DeleteNoted(&'a [u8]),
}

/// How a transaction behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether everything that it reads must be unchanged when it commits writes.
    pub serializable: bool,
    /// Most bytes of buffered writes; exceeded, it is `TooLarge`. The ranges that a serializable
    /// transaction remembers may take as much again.
    pub max_buffered: usize,
    /// How long replaced versions are kept, in microseconds.
    pub retention: u64,
    /// Where bodies are placed in pages; also the layout of the pages given to
    /// [`Transaction::get`] and its like, which [`Transaction::page`] makes.
    pub layout: Layout,
}

/// A version that this transaction made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnVersion<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The body; `None` if it is a deletion.
    pub body: Option<&'a [u8]>,
    /// The command that made it.
    pub command: Command,
}

/// A transaction. Dropping it without [`Transaction::commit`] rolls it back; rows put in bulk stay
/// in their spaces, which nobody can see.
pub struct Transaction {
    pub(crate) store: Rc<dyn Store>,
    pub(crate) env: Rc<dyn Environment>,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) writes: Writes,
    pub(crate) reads: Reads,
    pub(crate) bulk: Bulk,
    /// Plain stamped keys to write with the commit.
    pub(crate) published: Vec<(Vec<u8>, Vec<u8>)>,
    /// The oldest version of any reply: everything this transaction saw, it saw at or after it.
    pub(crate) first: Cell<Option<Version>>,
    /// The newest version of any reply.
    pub(crate) latest: Cell<Version>,
    /// The highest floor of any reply.
    pub(crate) floor: Cell<Version>,
    /// Receives history entries.
    pub(crate) scratch: Page,
    /// What was seen of keys before anybody asked for them.
    pub(crate) ahead: Ahead,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Transaction {
    /// A transaction that has done nothing. Costs no call of the store.
    pub fn new(store: Rc<dyn Store>, env: Rc<dyn Environment>, options: Options) -> Transaction {
        Transaction {
            limits: store.limits(),
            store,
            env,
            options,
            durability: Durability::Durable,
            writes: Writes::default(),
            reads: Reads::default(),
            bulk: Bulk::default(),
            published: Vec::new(),
            first: Cell::new(None),
            latest: Cell::new(Version::ZERO),
            floor: Cell::new(Version::ZERO),
            scratch: Page::default(),
            ahead: Ahead::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Rc<dyn Store> {
        &self.store
    }

    /// The environment.
    pub fn env(&self) -> &Rc<dyn Environment> {
        &self.env
    }

    /// An empty page for [`Transaction::get`] and its like.
    pub fn page(&self) -> Page {
        value::page(self.options.layout)
    }

    /// What the commit must survive; `Durable` unless said otherwise. `Deferred` is not for commits
    /// and counts as `Durable`.
    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = match durability {
            Durability::Relaxed => Durability::Relaxed,
            Durability::Durable | Durability::Deferred => Durability::Durable,
        };
    }

    /// The version of a new snapshot: every commit acknowledged before the call is in it.
    pub fn read_version(&self) -> Result<Version> {
        let stamp = self.store.read_version(&*self.env)?;
        self.observe(stamp);
        Ok(stamp.version)
    }

    /// Opens a savepoint.
    pub fn begin_sub(&mut self) {
        self.writes.begin_sub();
    }

    /// Gives what the innermost savepoint did to the one around it.
    pub fn release_sub(&mut self) {
        self.writes.release_sub();
    }

    /// Forgets the writes, locks and counts since the innermost savepoint, and the savepoint. What
    /// was read stays read, and rows put in bulk stay put: they may only go to spaces that were
    /// created in the same savepoint or a deeper one.
    pub fn rollback_sub(&mut self) {
        self.writes.rollback_sub();
    }

    /// How many savepoints are open.
    pub fn depth(&self) -> usize {
        self.writes.depth()
    }

    /// Buffers a version of a key. `base` says what the writer saw in the store; it is ignored if
    /// the key has an own live version already.
    ///
    /// `TooLarge` if the key, the value or all that is buffered exceeds a limit; nothing is
    /// buffered then.
    pub fn write(
        &mut self,
        key: &[u8],
        change: Change<'_>,
        command: Command,
        base: Base,
    ) -> Result<WriteId> {
        let body = match change {
            Change::Put(parts) => parts.iter().map(|part| part.len()).sum(),
            Change::Delete => 0,
            Change::DeleteNoted(note) => note.len(),
        };
        self.check_size(key, body)?;
        let limit = self.options.max_buffered;
        self.writes.write(&key::current(key), change, command, base, limit)
    }

    /// Says what the store held, once it was looked at, of a key that was written over as
    /// [`Base::Absent`] without looking.
    pub fn rebase(&mut self, key: &[u8], base: Base) {
        self.writes.rebase(&key::current(key), base);
    }

    /// Forgets a version that was written last of its key, and its key with it.
    pub fn unwrite(&mut self, id: WriteId) {
        self.writes.forget(id);
    }

    /// If this transaction commits writes, the key must still be at version `seen` then
    /// ([`Version::ZERO`]: absent). The first lock of a key decides.
    pub fn lock(&mut self, key: &[u8], seen: Version) {
        self.writes.lock(&key::current(key), seen);
    }

    /// If this transaction commits writes, no key in `start..end` may be newer than `seen` then. Not
    /// undone by savepoints: a check too many can only fail.
    pub fn guard(&mut self, start: &[u8], end: &[u8], seen: Version) {
        let limit = self.options.max_buffered;
        self.reads.add(&key::current(start), &key::current(end), seen, limit);
    }

    /// The version that an id names; `None` once its savepoint was rolled back.
    pub fn own(&self, id: WriteId) -> Option<OwnVersion<'_>> {
        let record = self.writes.record(id)?;
        Some(OwnVersion { key: &record.key[1..], body: record.body(), command: record.command })
    }

    /// Whether [`Transaction::commit`] would write anything.
    pub fn has_writes(&self) -> bool {
        !self.writes.slots.is_empty()
            || !self.published.is_empty()
            || self.writes.counters.values().any(|delta| *delta != 0)
            || self.bulk.used
    }

    /// Whether its commit checks all that it has read.
    pub fn is_serializable(&self) -> bool {
        self.options.serializable
    }

    /// The keys that have own versions.
    pub fn written_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.writes.slots.keys().map(|slot| &slot[1..])
    }

    /// Whether keys in `start..end` have own versions, or bulk rows that the store may not show
    /// yet: then only this transaction can read the range as it should be read.
    pub fn has_writes_in(&mut self, start: &[u8], end: &[u8]) -> bool {
        let (start, end) = (key::current(start), key::current(end));
        self.writes.any_in(&start, &end) || self.bulk.hides(&start, &end)
    }

    /// Bytes of buffered writes, about, as [`Options::max_buffered`] counts.
    pub fn buffered(&self) -> usize {
        self.writes.bytes()
    }

    /// Adds to the counter at the plain key `key` when this transaction commits.
    pub fn count(&mut self, key: &[u8], delta: i64) {
        self.writes.count(key, delta);
    }

    /// What this transaction will add to a counter.
    pub fn counter_delta(&self, key: &[u8]) -> i64 {
        self.writes.counters.get(key).copied().unwrap_or(0)
    }

    /// Says that nobody else can see `start..end` before this transaction commits, because it
    /// created the space: what it reads there needs no check when it is serializable.
    pub fn exclusive(&mut self, start: &[u8], end: &[u8]) {
        self.reads.exclude(key::current(start), key::current(end));
    }

    /// Takes note of what a reply says besides its data.
    pub(crate) fn observe(&self, stamp: ReadStamp) {
        // A page that was asked for early may be older than replies that came before it.
        let first = self.first.get().map_or(stamp.version, |first| first.min(stamp.version));
        self.first.set(Some(first));
        self.latest.set(self.latest.get().max(stamp.version));
        self.floor.set(self.floor.get().max(stamp.floor));
    }

    /// Takes note of the reply to a read at a snapshot, which may come too late.
    pub(crate) fn observe_at(&self, stamp: ReadStamp, at: &Snapshot) -> Result<()> {
        self.observe(stamp);
        if stamp.floor > at.version { Err(Error::TooOld) } else { Ok(()) }
    }

    /// Remembers a read of store keys, if commit must validate it.
    pub(crate) fn track(&mut self, start: &[u8], end: &[u8], version: Version) {
        if self.options.serializable {
            self.reads.add(start, end, version, self.options.max_buffered);
        }
    }

    /// Refuses what the store would refuse at commit, when the statement can still say so.
    pub(crate) fn check_size(&self, key: &[u8], body: usize) -> Result<()> {
        within("key", key::longest(key), self.limits.max_key)?;
        within("value", HEADER + body, self.limits.max_value)
    }
}

pub(crate) fn within(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}
