//! Rows that go straight to the store: deferred batches of version zero, in spaces that nobody else
//! can see.
//!
//! Such a row has no command and no savepoint: every later read of its transaction sees it, even
//! one with an older snapshot. A statement that reads a space and puts into it must therefore
//! write through the buffer, or bound its scan by the last key that was there when it began.

use std::ops::Range;

use kv::{Batch, CommitId, Durability, Error, Result, Version};

use crate::value::Flags;
use crate::{Transaction, key};

/// Bulk rows on their way: in the batch being filled, and in deferred batches that the store may
/// not show yet.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    batch: Batch,
    /// The store keys in `batch`.
    pending: Keys,
    /// The store key of the row that is put, whose memory is used again.
    slot: Vec<u8>,
    /// From the smallest to the largest key of each batch that was sent and not flushed.
    sent: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether anything was ever put.
    pub used: bool,
    /// Why rows were lost. The transaction cannot commit after that.
    broken: Option<Error>,
}

impl Bulk {
    /// Whether a range of store keys may have rows that a read would not see.
    pub(crate) fn hides(&mut self, start: &[u8], end: &[u8]) -> bool {
        start < end
            && (self.pending.meets(start, end)
                || self.sent.iter().any(|(low, high)| low.as_slice() < end && start <= high))
    }

    fn healthy(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn break_on<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.broken = Some(error.clone());
        }
        result
    }

    /// Moves the keys of the batch being filled to those sent.
    fn mark_sent(&mut self) {
        self.sent.extend(self.pending.bounds());
        self.pending.clear();
    }
}

/// A set of keys that mostly come in their order, and are seldom asked for.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where each key lies.
    places: Vec<Range<usize>>,
    unordered: bool,
}

impl Keys {
    fn push(&mut self, key: &[u8]) {
        self.unordered |= self.places.last().is_some_and(|last| key < &self.bytes[last.clone()]);
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.places.push(begin..self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
        self.unordered = false;
    }

    fn order(&mut self) {
        if std::mem::take(&mut self.unordered) {
            let bytes = &self.bytes;
            self.places.sort_by(|a, b| bytes[a.clone()].cmp(&bytes[b.clone()]));
        }
    }

    /// Whether there is a key in `start..end`.
    fn meets(&mut self, start: &[u8], end: &[u8]) -> bool {
        self.order();
        let first = self.places.partition_point(|place| &self.bytes[place.clone()] < start);
        self.places.get(first).is_some_and(|place| &self.bytes[place.clone()] < end)
    }

    /// The smallest and the largest key.
    fn bounds(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.order();
        let key = |place: &Range<usize>| self.bytes[place.clone()].to_vec();
        Some((key(self.places.first()?), key(self.places.last()?)))
    }
}

impl Transaction {
    /// Puts a row straight into the store, as version zero, in a space that nobody else can see and
    /// where the key has no current slot. It shows in every later read of this transaction, whatever
    /// the command, and rolling back a savepoint does not remove it.
    pub fn bulk_put(&mut self, key: &[u8], body: &[u8]) -> Result<()> {
        self.bulk.healthy()?;
        self.check_size(key, body.len())?;
        let full = self.limits.bulk_batch.min(self.limits.max_batch);
        if self.bulk.batch.size() + key.len() + body.len() + OP_OVERHEAD > full {
            self.send_bulk()?;
        }
        let Bulk { batch, pending, slot, used, .. } = &mut self.bulk;
        slot.clear();
        key::push_current(key, slot);
        batch.put_versioned(slot, Version::ZERO, &[&[Flags::FRESH], body]);
        pending.push(slot);
        *used = true;
        Ok(())
    }

    /// Waits until every row put in bulk can be read.
    pub fn bulk_flush(&mut self) -> Result<()> {
        self.bulk.healthy()?;
        self.send_bulk()?;
        if self.bulk.sent.is_empty() {
            return Ok(());
        }
        match self.store.flush(&*self.env) {
            Ok(()) => self.bulk.sent.clear(),
            // The rows are still on their way; only the wait for them is over.
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => return self.bulk.break_on(Err(error)),
        }
        Ok(())
    }

    /// Makes the bulk rows of a range of store keys readable.
    pub(crate) fn reveal_bulk(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        if self.bulk.hides(start, end) { self.bulk_flush() } else { Ok(()) }
    }

    fn send_bulk(&mut self) -> Result<()> {
        if self.bulk.batch.is_empty() {
            return Ok(());
        }
        self.bulk.batch.durability = Durability::Deferred;
        self.bulk.batch.id = CommitId::random(&*self.env);
        self.bulk.batch.observed = self.first.get().unwrap_or(Version::ZERO);
        let mut batch = std::mem::take(&mut self.bulk.batch);
        let sent = self.settle(&mut batch);
        self.bulk.break_on(sent)?;
        batch.reset(CommitId::default());
        self.bulk.batch = batch;
        self.bulk.mark_sent();
        Ok(())
    }
}

/// What a row takes in a batch besides its key and body, at most.
const OP_OVERHEAD: usize = 32;
