//! Group commit: requests of many clients in one write transaction with one sync of the log.
//!
//! The group opens a write transaction with its first request and applies each request as it comes.
//! Nobody is answered before the group is committed, so a group that comes to nothing (the map is
//! full, the disk is full, one batch turns out to be impossible halfway) is rolled back and its
//! requests are simply applied again: to a larger map, one at a time, or without the impossible one.
//!
//! Deferred batches may wait for others to share the sync with, up to [`MAX_BYTES`] and
//! [`MAX_AGE`]; whatever somebody waits for makes the group due at once.

use std::collections::HashSet;
use std::sync::Arc;

use heed::RwTxn;
use kv::{Batch, CommitId, Durability, Error, Result, Version};

use crate::apply::Applier;
use crate::failure::Failure;
use crate::files::Files;
use crate::journal::Journal;
use crate::log::Item;
use crate::namespace::{self, Namespace};
use crate::wire::Reply;

/// Bytes of batches after which a group is committed although nobody waits.
const MAX_BYTES: usize = 16 << 20;
/// Requests after which a group is committed.
const MAX_ENTRIES: usize = 1024;
/// Microseconds after which a group is committed although nobody waits.
const MAX_AGE: u64 = 100_000;
/// Microseconds after which a relaxed commit is synced although nothing durable follows it.
const RELAXED_AGE: u64 = 200_000;

/// What a client asked for.
#[derive(Debug)]
pub(crate) enum Work {
    Commit(Batch),
    Flush,
    Clear,
    Outcome(CommitId),
}

/// A request in a group.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The connection that it came from.
    pub(crate) client: u64,
    /// The namespace, as [`Group::namespace`] numbers them.
    pub(crate) namespace: usize,
    pub(crate) work: Work,
    /// Why it cannot be done, if that was found out after it had been begun.
    pub(crate) refused: Option<Error>,
    /// The version of its commit, if it is one that changes something.
    pub(crate) committed: Option<Version>,
    /// What the client will be told, if anything.
    pub(crate) reply: Option<Reply>,
}

impl Entry {
    fn durability(&self) -> Durability {
        match &self.work {
            Work::Commit(batch) => batch.durability,
            Work::Outcome(_) => Durability::Durable,
            Work::Flush | Work::Clear => Durability::Relaxed,
        }
    }

    /// Whether a client waits for the reply.
    pub(crate) fn is_awaited(&self) -> bool {
        !matches!(&self.work, Work::Clear) && self.durability() != Durability::Deferred
    }

    fn size(&self) -> usize {
        match &self.work {
            Work::Commit(batch) => batch.size(),
            _ => 0,
        }
    }
}

/// The group that is being put together, and everything that is committed through it.
#[derive(Debug)]
pub(crate) struct Group<'e> {
    files: &'e Files,
    pub(crate) journal: Journal,
    max_map: usize,
    namespaces: Vec<Namespace>,
    open: Open<'e>,
    finished: Vec<Entry>,
    /// Clients with a failed deferred batch whose next awaited request the failure answers.
    failed: HashSet<u64>,
    /// Since when there are commits whose loss in a crash of the machine their clients accepted.
    relaxed_since: Option<u64>,
    scratch: Vec<u8>,
    counts: Counts,
}

/// The open write transaction and what is in it.
#[derive(Default)]
struct Open<'e> {
    txn: Option<RwTxn<'e>>,
    entries: Vec<Entry>,
    bytes: usize,
    since: u64,
    awaited: usize,
    /// The request that is being applied.
    current: usize,
    failed_before: HashSet<u64>,
}

/// What was done since the writer started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) groups: u64,
    pub(crate) requests: u64,
}

impl<'e> Group<'e> {
    pub(crate) fn new(files: &'e Arc<Files>, journal: Journal, max_map: usize) -> Group<'e> {
        Group {
            files,
            journal,
            max_map,
            namespaces: Vec::new(),
            open: Open::default(),
            finished: Vec::new(),
            failed: HashSet::new(),
            relaxed_since: None,
            scratch: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// What was done so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The number of a namespace, which is created if it is new, or why it cannot be. An outer error
    /// ends the writer.
    pub(crate) fn namespace(&mut self, name: &str, now: u64) -> Result<Result<usize>> {
        if let Some(known) = self.namespaces.iter().position(|known| known.name == name) {
            return Ok(Ok(known));
        }
        self.commit(now)?;
        loop {
            match namespace::open(self.files, name) {
                Ok(opened) => {
                    self.namespaces.push(opened);
                    return Ok(Ok(self.namespaces.len() - 1));
                }
                Err(Failure::MapFull) if self.files.grow(self.max_map)? => {}
                // Of one namespace only.
                Err(Failure::Fatal(error @ Error::Corrupt(_))) => return Ok(Err(error)),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(failure) => return Ok(Err(failure.into_error())),
            }
        }
    }

    /// Applies a request. An error ends the writer.
    pub(crate) fn add(&mut self, entry: Entry, now: u64) -> Result<()> {
        if self.open.entries.is_empty() {
            self.open.since = now;
            self.open.failed_before.clone_from(&self.failed);
        }
        self.open.bytes += entry.size();
        self.open.awaited += usize::from(entry.is_awaited());
        self.open.entries.push(entry);
        match self.apply(self.open.entries.len() - 1, now) {
            Ok(()) => Ok(()),
            Err(failure) => self.recover(failure, now),
        }
    }

    /// How many clients wait for the group to be committed.
    pub(crate) fn awaited(&self) -> usize {
        self.open.awaited
    }

    /// Whether it must not grow any more.
    pub(crate) fn is_full(&self) -> bool {
        self.open.bytes >= MAX_BYTES || self.open.entries.len() >= MAX_ENTRIES
    }

    /// Microseconds until the group must be committed even if nobody waits; none if it is empty.
    pub(crate) fn due_in(&self, now: u64) -> Option<u64> {
        // A clock that was set back must not keep the group open.
        let age = now.checked_sub(self.open.since).unwrap_or(MAX_AGE);
        (!self.open.entries.is_empty()).then(|| MAX_AGE.saturating_sub(age))
    }

    /// Commits the group. An error ends the writer.
    pub(crate) fn commit(&mut self, now: u64) -> Result<()> {
        while !self.open.entries.is_empty() {
            match self.try_commit(now) {
                Ok(()) => break,
                Err(failure) => self.recover(failure, now)?,
            }
        }
        Ok(())
    }

    /// The requests that are done, each with its reply.
    pub(crate) fn take_finished(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.finished)
    }

    /// Makes durable what was committed without being durable at once.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.relaxed_since = None;
        self.journal.sync()
    }

    /// Sees to what is due: checkpoints, and relaxed commits that are old enough to be synced alone. An
    /// error ends the writer.
    pub(crate) fn tend(&mut self, now: u64) -> Result<()> {
        if self.relaxed_since.is_some_and(|since| now.abs_diff(since) >= RELAXED_AGE) {
            self.sync()?;
        }
        self.journal.tend(0, now)
    }

    /// As [`Journal::numbers`].
    pub(crate) fn journal_numbers(&self) -> (u64, u64) {
        self.journal.numbers()
    }

    /// Ends with a checkpoint, so that the next writer has nothing to read in the log.
    pub(crate) fn close(mut self) -> Result<Journal> {
        self.open = Open::default();
        if self.journal.holds_pages() {
            self.journal.checkpoint()?;
        }
        Ok(self.journal)
    }

    /// A client is gone.
    pub(crate) fn forget(&mut self, client: u64) {
        self.failed.remove(&client);
        self.open.failed_before.remove(&client);
    }

    fn apply(&mut self, index: usize, now: u64) -> std::result::Result<(), Failure> {
        self.open.current = index;
        let entry = &mut self.open.entries[index];
        entry.reply = None;
        entry.committed = None;
        let deferred = entry.durability() == Durability::Deferred;
        let unheard =
            !matches!(entry.work, Work::Outcome(_)) && self.failed.contains(&entry.client);
        if unheard && !deferred {
            self.failed.remove(&entry.client);
        }
        if unheard || matches!(entry.work, Work::Clear) {
            return Ok(());
        }
        let done = match &self.open.entries[index].refused {
            Some(refused) => Err(refused.clone()),
            None => self.work(index, now)?,
        };
        self.open.entries[index].reply = match done {
            Ok(_) if deferred => None,
            Ok(reply) => Some(reply),
            Err(error) => Some(self.failure_reply(index, error)),
        };
        Ok(())
    }

    fn work(&mut self, index: usize, now: u64) -> std::result::Result<Result<Reply>, Failure> {
        let files = self.files;
        let entry = &mut self.open.entries[index];
        if matches!(entry.work, Work::Flush | Work::Clear) {
            return Ok(Ok(Reply::Done(Version::ZERO)));
        }
        let txn = match &mut self.open.txn {
            Some(txn) => txn,
            closed => closed.insert(files.write()?),
        };
        let namespace = &mut self.namespaces[entry.namespace];
        match &entry.work {
            Work::Commit(batch) => {
                let (scratch, before) = (&mut self.scratch, namespace.stamp.version);
                let committed = Applier { files, namespace, txn, scratch }.commit(batch, now)?;
                // One that is sent again has the version that it got the first time.
                entry.committed = committed.clone().ok().filter(|version| *version > before);
                Ok(committed.map(Reply::Done))
            }
            Work::Outcome(id) => {
                let outcome = namespace.outcome(*id, txn, now).map_err(|e| files.failure(e))?;
                Ok(Ok(Reply::Outcome(outcome)))
            }
            Work::Flush | Work::Clear => Ok(Ok(Reply::Done(Version::ZERO))),
        }
    }

    fn failure_reply(&mut self, index: usize, error: Error) -> Reply {
        let entry = &self.open.entries[index];
        if entry.durability() != Durability::Deferred {
            return Reply::Failed(error);
        }
        self.failed.insert(entry.client);
        Reply::DeferredFailed(error)
    }

    fn try_commit(&mut self, now: u64) -> std::result::Result<(), Failure> {
        if let Some(mut txn) = self.open.txn.take() {
            let has = |wanted| self.open.entries.iter().any(|entry| entry.durability() == wanted);
            let (durable, relaxed) = (has(Durability::Durable), has(Durability::Relaxed));
            for namespace in &mut self.namespaces {
                namespace.save(&mut txn, now).map_err(|e| self.files.failure(e))?;
            }
            let items = items(&self.open.entries, &self.namespaces);
            if !items.is_empty() {
                self.journal.append(&items, durable)?;
                if let Err(error) = txn.commit() {
                    let failure = self.files.failure(error);
                    // Unless the writer ends, and its successor finds the group in the log, it must
                    // not be there.
                    if !matches!(failure, Failure::Fatal(_)) {
                        self.journal.retract().map_err(Failure::Fatal)?;
                    }
                    return Err(failure);
                }
                self.namespaces.iter_mut().for_each(Namespace::committed);
                if durable {
                    self.relaxed_since = None;
                } else if relaxed {
                    self.relaxed_since.get_or_insert(now);
                }
                self.journal.tend(1, now).map_err(Failure::Fatal)?;
            }
        }
        self.counts.groups += 1;
        self.counts.requests += self.open.entries.len() as u64;
        self.finished.append(&mut self.open.entries);
        self.open = Open::default();
        Ok(())
    }

    /// Drops the transaction, does something about the failure, and applies the group again until
    /// that succeeds or nothing is left of it.
    fn recover(&mut self, failure: Failure, now: u64) -> Result<()> {
        let mut failed = Err(failure);
        while let Err(failure) = failed {
            self.roll_back();
            match failure {
                Failure::MapFull if self.files.grow(self.max_map)? => {}
                Failure::Refused(error) => {
                    let current = self.open.current;
                    self.open.entries[current].refused = Some(error);
                }
                Failure::Fatal(error) => {
                    // Nobody may be told that any of it is done.
                    self.open = Open::default();
                    return Err(error);
                }
                // There may be room in pages that only the last checkpoint needs.
                _ if self.journal.holds_pages() => self.journal.checkpoint()?,
                _ if self.open.entries.len() > 1 => return self.one_at_a_time(now),
                full => self.give_up(full.into_error()),
            }
            failed = self.replay(now);
        }
        Ok(())
    }

    /// There is no room for all of the group; there may be for most. Commits its requests singly.
    fn one_at_a_time(&mut self, now: u64) -> Result<()> {
        for entry in std::mem::take(&mut self.open.entries) {
            let failed_before = self.failed.clone();
            self.open = Open { entries: vec![entry], since: now, failed_before, ..Open::default() };
            if let Err(failure) = self.replay(now) {
                self.recover(failure, now)?;
            }
            self.commit(now)?;
        }
        Ok(())
    }

    /// Ends a group of one with an error.
    fn give_up(&mut self, error: Error) {
        if !self.open.entries.is_empty() {
            let reply = self.failure_reply(0, error);
            self.open.entries[0].reply = Some(reply);
        }
        self.finished.append(&mut self.open.entries);
        self.open = Open::default();
    }

    fn replay(&mut self, now: u64) -> std::result::Result<(), Failure> {
        (0..self.open.entries.len()).try_for_each(|index| self.apply(index, now))
    }

    fn roll_back(&mut self) {
        self.open.txn = None;
        self.failed.clone_from(&self.open.failed_before);
        self.namespaces.iter_mut().for_each(Namespace::roll_back);
    }
}

/// What the log must have of a group.
fn items<'a>(entries: &'a [Entry], namespaces: &'a [Namespace]) -> Vec<Item<'a>> {
    let commits = entries.iter().filter_map(|entry| match (&entry.work, entry.committed) {
        (Work::Commit(batch), Some(version)) => {
            let namespace = &namespaces[entry.namespace].name[..];
            Some(Item::Commit { namespace, id: batch.id, version, ops: batch.encoded() })
        }
        _ => None,
    });
    let fences = namespaces.iter().flat_map(|known| {
        let fences = known.pending_fences().iter();
        fences.map(|&(id, made)| Item::Fence { namespace: &known.name, id, made })
    });
    commits.chain(fences).collect()
}

impl std::fmt::Debug for Open<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("entries", &self.entries).finish_non_exhaustive()
    }
}
