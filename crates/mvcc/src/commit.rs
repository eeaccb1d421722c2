//! Committing: one batch of checks, archived versions and stamped values.

use std::time::Duration;

use kv::{Batch, CommitId, Error, Outcome, Page, Result, STAMP, Version};

use crate::history::{PIPELINE, first_of, newest_version};
use crate::key::COLLECTED;
use crate::transaction::within;
use crate::value::{Flags, HEADER, head};
use crate::writes::{Slot, WriteId};
use crate::{Base, Transaction, key};

/// How often a commit is tried: each time after the store said for certain that nothing happened.
const ATTEMPTS: usize = 4;

/// How many keys are read at a time before a commit.
const READ_AHEAD: usize = 1000;

/// One commit in so many looks whether the floor lags.
const FLOOR_SAMPLE: u64 = 32;

/// One replaced version in so many whose predecessors may still be needed has its history pruned.
const PRUNE_SAMPLE: u64 = 64;

/// Between two questions about an unknown outcome.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What was read of the bases just before the commit.
struct Bases {
    /// The old value of each slot, in order, without its stamp; empty if nobody needs them.
    values: Vec<Option<Vec<u8>>>,
    /// The highest mark of collected tombstones with which the bases are known to be what they
    /// were: a tombstone that was removed since can only lie above it.
    collected: Version,
}

impl Transaction {
    /// Commits. Returns the version, or `None` if there was nothing to write.
    ///
    /// `Conflict`: a key (or a range beginning with it) was written since it was seen; run the transaction again. `TooOld`: the
    /// transaction is older than the history that is kept, so that conflicts cannot be told any
    /// more. `OutcomeUnknown`: the environment asked to stop before the store could say.
    pub fn commit(mut self) -> Result<Option<Version>> {
        if !self.has_writes() {
            return Ok(None);
        }
        if self.reads.overflowed() {
            let (size, limit) = (self.reads.bytes(), self.options.max_buffered);
            return Err(Error::TooLarge { what: "transaction", size, limit });
        }
        self.bulk_flush()?;
        let mut bases = self.first_bases()?;
        for _ in 0..ATTEMPTS {
            let mut batch = self.batch(&bases)?;
            within("transaction", batch.size(), self.limits.max_batch)?;
            match self.settle(&mut batch) {
                // Tombstones were collected that this transaction might have had to see.
                Err(Error::Conflict { key }) if key == COLLECTED => bases = self.read_bases()?,
                result => return result.map(Some).map_err(without_kind),
            }
        }
        Err(Error::TooOld)
    }

    /// Commits a batch, and asks what became of it if the store cannot say. Tries again under a
    /// new id when it certainly did not happen.
    pub(crate) fn settle(&self, batch: &mut Batch) -> Result<Version> {
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            match self.store.commit(batch, &*self.env) {
                Err(Error::OutcomeUnknown { id, reason: why }) if id == batch.id => reason = why,
                result => return result,
            }
            if let Outcome::Committed(version) = self.outcome(batch.id, &reason)? {
                return Ok(version);
            }
            batch.id = CommitId::random(&*self.env);
        }
        Err(Error::Unavailable(reason))
    }

    fn outcome(&self, id: CommitId, reason: &str) -> Result<Outcome> {
        let unknown = |reason: String| Error::OutcomeUnknown { id, reason };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.outcome(id, &*self.env) {
                Ok(outcome) => return Ok(outcome),
                Err(error) if error.passes() && !self.env.interrupted() => {}
                Err(error) if error.passes() || error == Error::Interrupted => {
                    return Err(unknown(reason.into()));
                }
                Err(error) => return Err(unknown(format!("{reason}; {error}"))),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Engines that archive need nothing; for the others the old values are read.
    fn first_bases(&mut self) -> Result<Bases> {
        if self.limits.archives {
            Ok(Bases { values: Vec::new(), collected: self.first_sight() })
        } else {
            self.read_bases()
        }
    }

    /// A version at or before the moment at which any base or lock was seen.
    fn first_sight(&self) -> Version {
        let bases = self.writes.slots.values().filter_map(|slot| match slot.base {
            Base::Seen(version) => Some(version),
            Base::New | Base::Absent => None,
        });
        let seen = bases.chain(self.writes.locks.values().copied()).min();
        self.first.get().or(seen).unwrap_or(Version::ZERO)
    }

    /// Reads every base again and sees whether it is what the writer saw.
    fn read_bases(&mut self) -> Result<Bases> {
        let slots = self.writes.slots.iter();
        let based: Vec<(&[u8], Base)> = slots
            .filter(|(_, slot)| slot.base != Base::New)
            .map(|(key, slot)| (&**key, slot.base))
            .collect();
        let locks = self.writes.locks.iter().map(|(key, seen)| (key.as_slice(), Base::Seen(*seen)));
        let wanted: Vec<(&[u8], Base)> = based.iter().copied().chain(locks).collect();
        let mut bases = Bases { values: Vec::new(), collected: Version::MAX };
        let mut page = Page::default();
        for chunk in wanted.chunks(READ_AHEAD) {
            let keys: Vec<&[u8]> = chunk.iter().map(|(key, _)| *key).collect();
            let stamp = self.store.get_many(&keys, &mut page, &*self.env)?;
            self.observe(stamp);
            // Whatever is collected after this reply is collected under a higher floor.
            bases.collected = bases.collected.min(stamp.floor);
            for (i, (key, base)) in chunk.iter().enumerate() {
                verify(key, *base, page.get(i))?;
                if !self.limits.archives && bases.values.len() < based.len() {
                    bases.values.push(page.get(i).map(unstamped).transpose()?);
                }
            }
        }
        Ok(bases)
    }

    fn batch(&mut self, bases: &Bases) -> Result<Batch> {
        let mut batch = Batch::new(CommitId::random(&*self.env), self.durability);
        batch.observed = self.first.get().unwrap_or(Version::ZERO);
        self.add_checks(&mut batch, bases);
        let mut old = bases.values.iter();
        for (key, slot) in &self.writes.slots {
            let old = if slot.base == Base::New { None } else { old.next() };
            self.add_version(&mut batch, key, slot, old);
        }
        self.prune_hot_keys(&mut batch)?;
        for (key, delta) in &self.writes.counters {
            if *delta != 0 {
                batch.add(&key::plain(key), *delta);
            }
        }
        for (key, body) in &self.published {
            batch.put_stamped(key, &[body]);
        }
        self.raise_floor(&mut batch)?;
        Ok(batch)
    }

    fn add_checks(&self, batch: &mut Batch, bases: &Bases) {
        let mut newest = self.reads.oldest().unwrap_or(Version::MAX);
        if !self.writes.locks.is_empty() || self.replaced().next().is_some() {
            newest = newest.min(bases.collected);
        }
        if newest < Version::MAX {
            batch.check(COLLECTED, newest);
        }
        self.reads.check(batch);
        for (key, seen) in &self.writes.locks {
            batch.check(key, *seen);
        }
    }

    /// The slots that may have been in the store before.
    fn replaced(&self) -> impl Iterator<Item = (&[u8], &Slot)> {
        let slots = self.writes.slots.iter().map(|(key, slot)| (&**key, slot));
        slots.filter(|(_, slot)| slot.base != Base::New)
    }

    /// `old` is what the slot was read to hold, where the engine needs to be told.
    fn add_version(
        &self,
        batch: &mut Batch,
        key: &[u8],
        slot: &Slot,
        old: Option<&Option<Vec<u8>>>,
    ) {
        let Some((value, deleted)) = self.live_value(slot.head) else { return };
        let fresh = match slot.base {
            Base::New => true,
            Base::Absent => {
                batch.check(key, Version::ZERO);
                true
            }
            Base::Seen(version) => {
                batch.check(key, version);
                !self.add_archive(batch, key, version, old)
            }
        };
        // A key that was not there and is gone again leaves nothing.
        if deleted && fresh {
            return;
        }
        let flags = value[0] | if fresh { Flags::FRESH } else { 0 };
        batch.put_stamped(key, &[&[flags], &value[1..]]);
    }

    /// Moves the version that is replaced into history. False if no reader could need it.
    fn add_archive(
        &self,
        batch: &mut Batch,
        slot: &[u8],
        version: Version,
        old: Option<&Option<Vec<u8>>>,
    ) -> bool {
        let key = &slot[1..];
        if version > Version::ZERO && version <= self.floor.get() {
            // Every older version ended at or before the floor.
            let (start, end) = key::history_until(key, Version::MAX);
            batch.clear(&start, &end);
        }
        let old = old.map(Option::as_deref);
        let needed = match old {
            None => true,
            Some(None) => false,
            // Also because it may be collected before the batch arrives.
            Some(Some(old)) => version > self.floor.get() || !Flags(old[0]).tombstone(),
        };
        if needed {
            batch.archive(slot, &key::history(key, version), old.flatten());
        }
        needed
    }

    /// The flags and body of an own version.
    fn live_value(&self, id: WriteId) -> Option<(&[u8], bool)> {
        let record = self.writes.record(id)?;
        Some((&record.value[HEADER - 1..], record.flags().tombstone()))
    }

    /// A key that is updated more often than the floor rises never replaces a version at or below
    /// it, so its history is looked at now and then.
    fn prune_hot_keys(&self, batch: &mut Batch) -> Result<()> {
        let floor = self.floor.get();
        if floor == Version::ZERO {
            return Ok(());
        }
        let hot = self.replaced().filter_map(|(slot, state)| match state.base {
            Base::Seen(version) if version > floor => Some(slot),
            _ => None,
        });
        let chosen: Vec<_> = hot
            .filter(|_| self.env.random().is_multiple_of(PRUNE_SAMPLE))
            .map(|slot| key::history_until(&slot[1..], floor))
            .collect();
        chosen.chunks(PIPELINE).try_for_each(|histories| self.prune(histories, batch))
    }

    /// Clears what no reader can need of some histories, each a range from the version that is the
    /// newest at or below the floor.
    fn prune(&self, histories: &[(Vec<u8>, Vec<u8>)], batch: &mut Batch) -> Result<()> {
        let requests = histories.iter().map(|(start, end)| first_of(start.clone(), end.clone(), 2));
        let mut tickets = self.start_all(Version::ZERO, requests)?.into_iter();
        let mut page = Page::default();
        for (_, end) in histories {
            let Some(ticket) = tickets.next() else { break };
            if let Err(error) = self.store.finish_scan(ticket, &mut page, &*self.env) {
                tickets.for_each(|ticket| self.store.cancel_scan(ticket));
                return Err(error);
            }
            if newest_version(&page).is_some() && page.len() > 1 {
                batch.clear(&key::successor(page.key(0)), end);
            }
        }
        Ok(())
    }

    fn raise_floor(&mut self, batch: &mut Batch) -> Result<()> {
        if !self.env.random().is_multiple_of(FLOOR_SAMPLE) {
            return Ok(());
        }
        let retention = self.options.retention;
        let now = self.env.now();
        if retention >= now {
            return Ok(());
        }
        let lagging = now.saturating_sub(retention.saturating_add(retention / 10));
        if self.store.horizon(lagging, &*self.env)? > self.floor.get() {
            let floor = self.store.horizon(now.saturating_sub(retention), &*self.env)?;
            batch.raise_floor(floor);
        }
        Ok(())
    }
}

/// Flags and body of a current slot.
fn unstamped(value: &[u8]) -> Result<Vec<u8>> {
    head(value, Version::ZERO)?;
    Ok(value[STAMP..].to_vec())
}

/// Names the conflicting key as the layers above know it.
fn without_kind(error: Error) -> Error {
    match error {
        Error::Conflict { mut key } if !key.is_empty() => {
            key.remove(0);
            Error::Conflict { key }
        }
        other => other,
    }
}

/// Whether a current slot still is what the writer saw. A version that is not there any more was
/// deleted, or was a tombstone that has been collected; who knows which runs again.
fn verify(key: &[u8], base: Base, value: Option<&[u8]>) -> Result<()> {
    let stored = value.and_then(Version::of_stamped);
    let same = match (base, stored) {
        (Base::New, _) => true,
        (Base::Absent, stored) => stored.is_none_or(|version| version == Version::ZERO),
        (Base::Seen(seen), None) => seen == Version::ZERO,
        (Base::Seen(seen), Some(stored)) => stored == seen || stored == Version::ZERO,
    };
    if same { Ok(()) } else { Err(Error::Conflict { key: key[1..].to_vec() }) }
}
