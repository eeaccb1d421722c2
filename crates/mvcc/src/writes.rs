//! What a transaction has written and not committed: versions of keys in the order in which they
//! were made, row locks, counters, and the undo log of its savepoints.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use kv::{Error, Result, Version};

use crate::value::{Flags, HEADER};
use crate::{Base, Change, Command};

/// Names one buffered version. Ids count from 0 within a transaction and are not used again: one
/// whose savepoint was rolled back names nothing, one that was superseded still names its version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WriteId(pub u64);

/// A version that a transaction made.
#[derive(Debug)]
pub(crate) struct Record {
    /// The store key of the current slot.
    pub key: Rc<[u8]>,
    /// As it would lie in the store, with version zero.
    pub value: Box<[u8]>,
    pub command: Command,
    /// The own version that this one replaced.
    previous: Option<WriteId>,
}

impl Record {
    pub(crate) fn flags(&self) -> Flags {
        Flags(self.value[HEADER - 1])
    }

    pub(crate) fn body(&self) -> Option<&[u8]> {
        (!self.flags().tombstone()).then(|| &self.value[HEADER..])
    }

    fn size(&self) -> usize {
        self.key.len() + self.value.len() + RECORD_OVERHEAD
    }
}

/// How far back a count looks for one of the same key to add itself to.
const RECENT_COUNTS: usize = 4;

/// What a record occupies besides its key and value, about.
const RECORD_OVERHEAD: usize = 128;

/// A key with an own live version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub head: WriteId,
    /// What the first writer of the key saw in the store.
    pub base: Base,
}

#[derive(Debug)]
enum Undo {
    Write(WriteId),
    Lock(Vec<u8>),
    Count(Vec<u8>, i64),
}

#[derive(Debug, Default)]
pub(crate) struct Writes {
    records: Vec<Option<Record>>,
    pub slots: BTreeMap<Rc<[u8]>, Slot>,
    pub locks: BTreeMap<Vec<u8>, Version>,
    pub counters: BTreeMap<Vec<u8>, i64>,
    undo: Vec<Undo>,
    /// The length of `undo` when each open savepoint began.
    savepoints: Vec<usize>,
    bytes: usize,
}

impl Writes {
    /// Bytes held in memory, about.
    pub(crate) fn written(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn record(&self, id: WriteId) -> Option<&Record> {
        self.records.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    /// The live version of a key.
    pub(crate) fn live(&self, key: &[u8]) -> Option<(WriteId, &Record, Base)> {
        let slot = self.slots.get(key)?;
        Some((slot.head, self.record(slot.head)?, slot.base))
    }

    /// The version of a key that commands from `command` on see, if it is an own one.
    pub(crate) fn visible(&self, key: &[u8], command: Command) -> Option<(WriteId, &Record)> {
        self.chain(self.slots.get(key)?.head).find(|(_, record)| record.command < command)
    }

    /// The visible own versions of keys in a range, in order.
    pub(crate) fn visible_in<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
        command: Command,
    ) -> impl Iterator<Item = (WriteId, &'a Record)> {
        self.slots_in(start, end).filter_map(move |(_, slot)| {
            self.chain(slot.head).find(|(_, record)| record.command < command)
        })
    }

    pub(crate) fn any_in(&self, start: &[u8], end: &[u8]) -> bool {
        self.slots_in(start, end).next().is_some()
    }

    /// The live version of a key. A load writes keys in their order, so that most are behind the last.
    fn head(&self, key: &[u8]) -> Option<WriteId> {
        let (last, _) = self.slots.last_key_value()?;
        if **last < *key { None } else { self.slots.get(key).map(|slot| slot.head) }
    }

    /// Buffers a version; refuses to hold more than `limit` bytes.
    pub(crate) fn write(
        &mut self,
        key: &[u8],
        change: Change<'_>,
        command: Command,
        base: Base,
        limit: usize,
    ) -> Result<WriteId> {
        let id = WriteId(self.records.len() as u64);
        let previous = self.head(key);
        let written = previous.and_then(|head| self.record(head));
        let shared = written.map_or_else(|| Rc::from(key), |record| Rc::clone(&record.key));
        let record = Record { key: shared, value: encode(change), command, previous };
        let size = self.bytes + record.size();
        if size > limit {
            return Err(Error::TooLarge { what: "transaction", size, limit });
        }
        self.bytes = size;
        match previous.and_then(|_| self.slots.get_mut(key)) {
            Some(slot) => slot.head = id,
            None => drop(self.slots.insert(Rc::clone(&record.key), Slot { head: id, base })),
        }
        self.records.push(Some(record));
        self.remember(|| Undo::Write(id));
        Ok(id)
    }

    /// Remembers what a locked key must still be at; the first lock decides.
    pub(crate) fn lock(&mut self, key: &[u8], seen: Version) {
        if !self.locks.contains_key(key) {
            self.locks.insert(key.to_vec(), seen);
            self.remember(|| Undo::Lock(key.to_vec()));
        }
    }

    pub(crate) fn count(&mut self, key: &[u8], delta: i64) {
        self.add(key, delta);
        // A load counts the same few keys for every row: their undo is one entry each.
        let begin = self.savepoints.last().copied().unwrap_or(self.undo.len());
        let recent = self.undo[begin..].iter_mut().rev().take(RECENT_COUNTS);
        for undo in recent {
            if let Undo::Count(counted, sum) = undo
                && counted == key
            {
                *sum = sum.wrapping_add(delta);
                return;
            }
        }
        self.remember(|| Undo::Count(key.to_vec(), delta));
    }

    pub(crate) fn depth(&self) -> usize {
        self.savepoints.len()
    }

    pub(crate) fn begin_sub(&mut self) {
        self.savepoints.push(self.undo.len());
    }

    /// Gives what the innermost savepoint did to the one around it.
    pub(crate) fn release_sub(&mut self) {
        self.savepoints.pop();
        if self.savepoints.is_empty() {
            self.undo.clear();
        }
    }

    /// Forgets what the innermost savepoint did, and the savepoint.
    pub(crate) fn rollback_sub(&mut self) {
        let Some(begin) = self.savepoints.pop() else { return };
        for undo in self.undo.split_off(begin).into_iter().rev() {
            match undo {
                Undo::Write(id) => self.forget(id),
                Undo::Lock(key) => drop(self.locks.remove(&key)),
                Undo::Count(key, delta) => self.add(&key, delta.wrapping_neg()),
            }
        }
    }

    fn slots_in(&self, start: &[u8], end: &[u8]) -> impl Iterator<Item = (&Rc<[u8]>, &Slot)> {
        let end = end.max(start);
        self.slots.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
    }

    /// The first own version of the key that a version belongs to.
    pub(crate) fn first(&self, id: WriteId) -> WriteId {
        self.chain(id).last().map_or(id, |(first, _)| first)
    }

    fn chain(&self, head: WriteId) -> impl Iterator<Item = (WriteId, &Record)> {
        let mut next = Some(head);
        std::iter::from_fn(move || {
            let id = next?;
            let record = self.record(id)?;
            next = record.previous;
            Some((id, record))
        })
    }

    fn remember(&mut self, undo: impl FnOnce() -> Undo) {
        if !self.savepoints.is_empty() {
            self.undo.push(undo());
        }
    }

    pub(crate) fn rebase(&mut self, key: &[u8], base: Base) {
        if let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.base == Base::Absent) {
            slot.base = base;
        }
    }

    /// Versions are undone from the newest to the oldest, so the one to forget is its key's head.
    pub(crate) fn forget(&mut self, id: WriteId) {
        let Some(record) = self.records.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        self.bytes -= record.size();
        match record.previous {
            None => drop(self.slots.remove(&record.key)),
            Some(previous) => {
                if let Some(slot) = self.slots.get_mut(&record.key) {
                    slot.head = previous;
                }
            }
        }
    }

    fn add(&mut self, key: &[u8], delta: i64) {
        match self.counters.get_mut(key) {
            Some(sum) => *sum = sum.wrapping_add(delta),
            None => drop(self.counters.insert(key.to_vec(), delta)),
        }
    }
}

fn encode(change: Change<'_>) -> Box<[u8]> {
    let note;
    let (parts, flags) = match change {
        Change::Put(parts) => (parts, 0),
        Change::Delete => (&[][..], Flags::TOMBSTONE),
        Change::DeleteNoted(text) => {
            note = [text];
            (&note[..], Flags::TOMBSTONE)
        }
    };
    let size = HEADER + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut value = Vec::with_capacity(size);
    value.extend_from_slice(&Version::ZERO.0.to_be_bytes());
    value.push(flags);
    parts.iter().for_each(|part| value.extend_from_slice(part));
    value.into_boxed_slice()
}
