//! One batch: its checks, then its operations, in the open write transaction.
//!
//! Everything that a well-formed batch can fail of is found before anything is written, so that a
//! refusal costs the rest of its group nothing. What can only be found on the way (an addition to
//! something that is no counter) is [`Failure::Refused`], and the group is done again without it.

use std::io::Write;
use std::ops::Bound;

use heed::{MdbError, PutFlags, RwTxn};
use kv::{Batch, Error, Op, Outcome, Result, STAMP, Version};

use crate::failure::Failure;
use crate::files::Files;
use crate::gap::Aside;
use crate::limits::LIMITS;
use crate::namespace::Namespace;

/// Longer stamped values are written where they will lie instead of being put together first.
const IN_PLACE: usize = 4096;

type Heed<T> = std::result::Result<T, Failure>;

/// A write transaction with what is needed to use it for one batch after another.
pub(crate) struct Applier<'a, 'e> {
    pub(crate) files: &'a Files,
    pub(crate) namespace: &'a mut Namespace,
    pub(crate) txn: &'a mut RwTxn<'e>,
    pub(crate) scratch: &'a mut Vec<u8>,
}

impl Applier<'_, '_> {
    /// Checks and applies a batch. The inner error is a refusal that wrote nothing.
    pub(crate) fn commit(&mut self, batch: &Batch, now: u64) -> Heed<Result<Version>> {
        match self.namespace.known(batch.id) {
            Some(Outcome::Committed(version)) => return Ok(Ok(version)),
            Some(Outcome::NotCommitted) => return Ok(Err(Error::Conflict { key: Vec::new() })),
            None => {}
        }
        if let Err(error) = batch.obey(&LIMITS).and_then(|()| no_empty_keys(batch)) {
            return Ok(Err(error));
        }
        if let Err(refusal) = self.check(batch)? {
            return Ok(Err(refusal));
        }
        let version = self.namespace.next_version(now);
        self.write(batch, version)?;
        Ok(Ok(version))
    }

    /// Applies a batch as the commit of this version. Nothing is checked.
    pub(crate) fn write(&mut self, batch: &Batch, version: Version) -> Heed<()> {
        let aside = Aside::step(batch, self.namespace.data, self.txn);
        let aside = aside.map_err(|e| self.files.failure(e))?;
        self.apply(batch, version)?;
        if !aside.is_empty() {
            // What comes back may be greater than what was appended.
            self.namespace.last_key = None;
        }
        let back = aside.back(self.namespace.data, self.txn);
        back.map_err(|e| self.files.failure(e))?;
        self.namespace.note_commit(batch.id, version);
        Ok(())
    }

    fn check(&self, batch: &Batch) -> Heed<Result<()>> {
        for op in batch.ops() {
            let checked = match op {
                Op::Check { key, newest } => self.check_key(key, newest, key)?,
                Op::CheckRange { start, end, newest } => self.check_range(start, end, newest)?,
                _ => Ok(()),
            };
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }

    fn check_key(&self, key: &[u8], newest: Version, named: &[u8]) -> Heed<Result<()>> {
        let value = self.get(key)?;
        Ok(value.map_or(Ok(()), |value| check_stamp(value, newest, named)))
    }

    /// A key that was written since and is there still is looked at again: it may have been written
    /// back with an older stamp, or removed and put back by a batch that the check allows.
    fn check_range(&self, start: &[u8], end: &[u8], newest: Version) -> Heed<Result<()>> {
        if start >= end {
            return Ok(Ok(()));
        }
        let Some(recent) = self.namespace.writes.since(newest) else {
            return self.scan_range(start, end, newest);
        };
        for key in recent.filter(|key| start <= *key && *key < end) {
            let checked = self.check_key(key, newest, start)?;
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }

    fn scan_range(&self, start: &[u8], end: &[u8], newest: Version) -> Heed<Result<()>> {
        let entries = self.namespace.data.range(self.txn, &bounds(start, end));
        for entry in entries.map_err(|e| self.files.failure(e))? {
            let (_, value) = entry.map_err(|e| self.files.failure(e))?;
            let checked = check_stamp(value, newest, start);
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }

    fn apply(&mut self, batch: &Batch, version: Version) -> Heed<()> {
        let mut archived = self.archived(batch)?.into_iter();
        for op in batch.ops() {
            match op {
                Op::Put { key, value } => {
                    // Rows that a bulk load writes carry version zero and conflict with nobody.
                    let stamp = Version::of_stamped(value).unwrap_or_default();
                    if stamp > Version::ZERO {
                        self.namespace.writes.push(version, stamp, key);
                    }
                    self.put(key, value)?;
                }
                Op::PutStamped { key, value } => {
                    self.namespace.writes.push(version, version, key);
                    self.put_stamped(key, value, version)?;
                }
                Op::Delete { key } => self.delete(key)?,
                Op::Clear { start, end } => self.clear(start, end)?,
                Op::Add { key, delta } => self.add(key, delta)?,
                Op::Archive { to, .. } => {
                    if let Some(value) = archived.next().flatten() {
                        self.put(to, &value)?;
                    }
                }
                Op::RaiseFloor { floor } => {
                    let stamp = &mut self.namespace.stamp;
                    stamp.floor = stamp.floor.max(floor);
                }
                Op::Check { .. } | Op::CheckRange { .. } => {}
            }
        }
        Ok(())
    }

    /// What the archiving operations copy, read before any of the batch is applied.
    fn archived(&self, batch: &Batch) -> Heed<Vec<Option<Vec<u8>>>> {
        let keys = batch.ops().filter_map(|op| match op {
            Op::Archive { key, .. } => Some(key),
            _ => None,
        });
        keys.map(|key| match self.get(key)? {
            None => Ok(None),
            Some(value) => match value.get(STAMP..) {
                Some(body) => Ok(Some(body.to_vec())),
                None => Err(Failure::Refused(unstamped(key))),
            },
        })
        .collect()
    }

    fn get(&self, key: &[u8]) -> Heed<Option<&[u8]>> {
        if key.is_empty() {
            return Ok(None);
        }
        self.namespace.data.get(self.txn, key).map_err(|e| self.files.failure(e))
    }

    /// Appends where the key is the last one, which keeps pages full and costs no search.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Heed<()> {
        let namespace = &mut *self.namespace;
        let flags = if namespace.is_last(key, self.txn).map_err(|e| self.files.failure(e))? {
            PutFlags::APPEND
        } else {
            PutFlags::empty()
        };
        let put = namespace.data.put_with_flags(self.txn, flags, key, value);
        put.map_err(|e| self.files.failure(e))
    }

    fn put_stamped(&mut self, key: &[u8], value: &[u8], version: Version) -> Heed<()> {
        let stamp = version.0.to_be_bytes();
        let body = value.get(STAMP..).unwrap_or_default();
        if value.len() > IN_PLACE {
            let put =
                self.namespace.data.put_reserved(self.txn, key, STAMP + body.len(), |space| {
                    space.write_all(&stamp)?;
                    space.write_all(body)
                });
            self.namespace.last_key = None;
            return put.map_err(|e| self.files.failure(e));
        }
        let mut whole = std::mem::take(self.scratch);
        whole.clear();
        whole.extend_from_slice(&stamp);
        whole.extend_from_slice(body);
        let put = self.put(key, &whole);
        *self.scratch = whole;
        put
    }

    fn delete(&mut self, key: &[u8]) -> Heed<()> {
        if key.is_empty() || key.len() > LIMITS.max_key {
            return Ok(());
        }
        self.namespace.data.delete(self.txn, key).map(drop).map_err(|e| self.files.failure(e))
    }

    fn clear(&mut self, start: &[u8], end: &[u8]) -> Heed<()> {
        if start >= end {
            return Ok(());
        }
        let cleared = self.namespace.data.delete_range(self.txn, &bounds(start, end));
        cleared.map(drop).map_err(|e| self.files.failure(e))
    }

    fn add(&mut self, key: &[u8], delta: i64) -> Heed<()> {
        let before = match self.get(key)? {
            None => 0,
            Some(value) => match value.try_into() {
                Ok(bytes) => i64::from_le_bytes(bytes),
                Err(_) => return Err(Failure::Refused(corrupt(key, "is no counter"))),
            },
        };
        self.put(key, &before.wrapping_add(delta).to_le_bytes())
    }
}

impl Namespace {
    /// Whether `key` is greater than every key of the data, if that is cheap to say.
    fn is_last(&mut self, key: &[u8], txn: &RwTxn<'_>) -> heed::Result<bool> {
        if self.last_key.is_none() {
            let last = self.data.last(txn)?;
            self.last_key = Some(last.map_or(Vec::new(), |(key, _)| key.to_vec()));
        }
        let Some(last) = &mut self.last_key else { return Err(MdbError::Problem.into()) };
        let greater = key > &last[..];
        if greater {
            last.clear();
            last.extend_from_slice(key);
        }
        Ok(greater)
    }
}

/// A range as LMDB takes it, which knows no empty keys.
pub(crate) fn bounds<'a>(start: &'a [u8], end: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    let start = if start.is_empty() { Bound::Unbounded } else { Bound::Included(start) };
    (start, Bound::Excluded(end))
}

fn check_stamp(value: &[u8], newest: Version, named: &[u8]) -> Result<()> {
    match Version::of_stamped(value) {
        None => Err(unstamped(named)),
        Some(stamp) if stamp > newest => Err(Error::Conflict { key: named.to_vec() }),
        Some(_) => Ok(()),
    }
}

fn no_empty_keys(batch: &Batch) -> Result<()> {
    let empty = batch.ops().any(|op| match op {
        Op::Put { key, .. } | Op::PutStamped { key, .. } | Op::Add { key, .. } => key.is_empty(),
        Op::Archive { to, .. } => to.is_empty(),
        _ => false,
    });
    if empty { Err(Error::Misconfigured("a key cannot be empty".into())) } else { Ok(()) }
}

fn unstamped(key: &[u8]) -> Error {
    corrupt(key, "has no stamp")
}

fn corrupt(key: &[u8], what: &str) -> Error {
    Error::Corrupt(format!("the key {} {what}", key.escape_ascii()))
}
