//! The data that all clients of a [`super::Memory`] share, and what a commit does to it.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Batch, CommitId, Direction, Error, Op, Outcome, Page, ReadStamp, Result, STAMP, ScanRequest,
    Version,
};

/// What to put back, newest first, if a batch turns out to be impossible halfway.
type Undo = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
pub(super) struct State {
    data: BTreeMap<Vec<u8>, Vec<u8>>,
    last: Version,
    floor: Version,
    /// What was committed, and what `outcome` promised never to commit.
    markers: HashMap<CommitId, Outcome>,
}

impl State {
    pub(super) fn stamp(&self) -> ReadStamp {
        ReadStamp { version: self.last, floor: self.floor }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.data.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    pub(super) fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.data.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn get_many(&self, keys: &[&[u8]], page: &mut Page) -> ReadStamp {
        page.clear();
        for key in keys {
            match self.data.get(*key) {
                Some(value) => page.push(key, value),
                None => page.push_absent(key),
            }
        }
        self.stamp()
    }

    pub(super) fn scan(&self, request: &ScanRequest, page: &mut Page) -> ReadStamp {
        page.clear();
        let range = self.range(&request.start, &request.end);
        match request.direction {
            Direction::Forward => fill(range, request, page),
            Direction::Backward => fill(range.rev(), request, page),
        }
        self.stamp()
    }

    /// The marker is written by whoever comes first, the commit or the question, and it decides.
    pub(super) fn outcome(&mut self, id: CommitId) -> Outcome {
        *self.markers.entry(id).or_insert(Outcome::NotCommitted)
    }

    pub(super) fn commit(&mut self, batch: &Batch, archives: bool, now: u64) -> Result<Version> {
        match self.markers.get(&batch.id) {
            Some(Outcome::Committed(version)) => return Ok(*version),
            Some(Outcome::NotCommitted) => return Err(Error::Conflict { key: Vec::new() }),
            None => {}
        }
        self.check(batch)?;
        let archived = self.archived(batch, archives)?;
        let version = Version(now.max(self.last.0 + 1));
        self.apply(batch, archived, version)?;
        self.last = version;
        self.markers.insert(batch.id, Outcome::Committed(version));
        Ok(version)
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        for op in batch.ops() {
            match op {
                Op::Check { key, newest } => {
                    let value = self.data.get(key).map(Vec::as_slice);
                    check(value, newest, key)?;
                }
                Op::CheckRange { start, end, newest } => self
                    .range(start, end)
                    .try_for_each(|(_, value)| check(Some(value), newest, start))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What each archiving operation of the batch copies, read before any of them is applied.
    fn archived(&self, batch: &Batch, archives: bool) -> Result<Vec<Option<Vec<u8>>>> {
        batch
            .ops()
            .filter_map(|op| match op {
                Op::Archive { key, value, .. } => Some(self.archive(key, value, archives)),
                _ => None,
            })
            .collect()
    }

    fn archive(&self, key: &[u8], known: Option<&[u8]>, archives: bool) -> Result<Option<Vec<u8>>> {
        let held = match self.data.get(key) {
            Some(value) => Some(value.get(STAMP..).ok_or_else(|| corrupt(key, "has no stamp"))?),
            None => None,
        };
        match known {
            None if !archives => Err(corrupt(key, "must be archived with its value")),
            Some(_) if known != held => Err(corrupt(key, "is archived with another value")),
            _ => Ok(held.map(<[u8]>::to_vec)),
        }
    }

    fn apply(
        &mut self,
        batch: &Batch,
        archived: Vec<Option<Vec<u8>>>,
        version: Version,
    ) -> Result<()> {
        let mut undo = Undo::new();
        let mut archived = archived.into_iter();
        let mut floor = self.floor;
        for op in batch.ops() {
            let done = match op {
                Op::RaiseFloor { floor: raised } => {
                    floor = floor.max(raised);
                    Ok(())
                }
                Op::Archive { to, .. } => {
                    let value = archived.next().flatten();
                    value.into_iter().for_each(|value| self.set(to, Some(value), &mut undo));
                    Ok(())
                }
                op => self.write(op, version, &mut undo),
            };
            if let Err(error) = done {
                self.roll_back(undo);
                return Err(error);
            }
        }
        self.floor = floor;
        Ok(())
    }

    fn write(&mut self, op: Op<'_>, version: Version, undo: &mut Undo) -> Result<()> {
        match op {
            Op::Put { key, value } => self.set(key, Some(value.to_vec()), undo),
            Op::PutStamped { key, value } => self.set(key, Some(stamped(value, version)), undo),
            Op::Delete { key } => self.set(key, None, undo),
            Op::Clear { start, end } => self.clear(start, end, undo),
            Op::Add { key, delta } => {
                let sum = self.counter(key)?.wrapping_add(delta);
                self.set(key, Some(sum.to_le_bytes().to_vec()), undo);
            }
            // Made before anything is applied, or applied by the caller.
            Op::Check { .. } | Op::CheckRange { .. } | Op::Archive { .. } => {}
            Op::RaiseFloor { .. } => {}
        }
        Ok(())
    }

    fn counter(&self, key: &[u8]) -> Result<i64> {
        let Some(value) = self.data.get(key) else { return Ok(0) };
        let bytes = value.as_slice().try_into().map_err(|_| corrupt(key, "is no counter"))?;
        Ok(i64::from_le_bytes(bytes))
    }

    fn clear(&mut self, start: &[u8], end: &[u8], undo: &mut Undo) {
        let keys: Vec<Vec<u8>> = self.range(start, end).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.set(key, None, undo));
    }

    fn set(&mut self, key: &[u8], value: Option<Vec<u8>>, undo: &mut Undo) {
        let before = match value {
            Some(value) => self.data.insert(key.to_vec(), value),
            None => self.data.remove(key),
        };
        undo.push((key.to_vec(), before));
    }

    fn roll_back(&mut self, undo: Undo) {
        for (key, before) in undo.into_iter().rev() {
            match before {
                Some(value) => drop(self.data.insert(key, value)),
                None => drop(self.data.remove(&key)),
            }
        }
    }

    /// Like [`BTreeMap::range`], but a range that ends before it starts is empty.
    fn range(
        &self,
        start: &[u8],
        end: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let end = end.max(start);
        self.data
            .range::<[u8], _>((std::ops::Bound::Included(start), std::ops::Bound::Excluded(end)))
    }
}

fn fill<'a>(
    mut entries: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>,
    request: &ScanRequest,
    page: &mut Page,
) {
    for (key, value) in entries.by_ref() {
        page.push(key, value);
        if request.is_met_by(page) {
            break;
        }
    }
    page.set_more(entries.next().is_some());
}

fn check(value: Option<&[u8]>, newest: Version, name: &[u8]) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    match Version::of_stamped(value) {
        None => Err(corrupt(name, "is checked and has no stamp")),
        Some(version) if version > newest => Err(Error::Conflict { key: name.to_vec() }),
        Some(_) => Ok(()),
    }
}

fn stamped(value: &[u8], version: Version) -> Vec<u8> {
    [version.0.to_be_bytes().as_slice(), value.get(STAMP..).unwrap_or_default()].concat()
}

fn corrupt(key: &[u8], what: &str) -> Error {
    Error::Corrupt(format!("the key {} {what}", key.escape_ascii()))
}
