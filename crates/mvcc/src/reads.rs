//! What a SERIALIZABLE transaction has read: ranges of store keys, each with the version at which
//! nothing newer than it was seen. A key is a range of one.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use kv::{Batch, Version};

use crate::key::successor;

#[derive(Debug)]
struct Read {
    end: Vec<u8>,
    version: Version,
}

/// Disjoint ranges. Ranges that overlap or touch are one, at the older of their versions: that can
/// only make a check fail that need not, never pass one that must fail.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    ranges: BTreeMap<Vec<u8>, Read>,
    /// Ranges that nobody else can see and that need no check.
    exclusive: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    /// Set when more was read than may be remembered: the transaction can then only read.
    overflowed: bool,
}

impl Reads {
    /// Bytes held in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The oldest version that a check will name.
    pub(crate) fn oldest(&self) -> Option<Version> {
        self.ranges.values().map(|read| read.version).min()
    }

    pub(crate) fn exclude(&mut self, start: Vec<u8>, end: Vec<u8>) {
        self.exclusive.push((start, end));
    }

    /// Remembers that `start..end` was read and showed nothing newer than `version`.
    pub(crate) fn add(&mut self, start: &[u8], end: &[u8], version: Version, limit: usize) {
        if start >= end || self.overflowed || self.is_exclusive(start, end) {
            return;
        }
        if self.covers(start, end, version) {
            return;
        }
        self.insert(start.to_vec(), Read { end: end.to_vec(), version });
        if self.bytes > limit {
            self.overflowed = true;
            self.ranges.clear();
        }
    }

    /// Adds the checks to a batch.
    pub(crate) fn check(&self, batch: &mut Batch) {
        for (start, read) in &self.ranges {
            if read.end == successor(start) {
                batch.check(start, read.version);
            } else {
                batch.check_range(start, &read.end, read.version);
            }
        }
    }

    fn is_exclusive(&self, start: &[u8], end: &[u8]) -> bool {
        self.exclusive.iter().any(|(from, to)| from.as_slice() <= start && end <= to.as_slice())
    }

    fn covers(&self, start: &[u8], end: &[u8], version: Version) -> bool {
        let before = self.ranges.range::<[u8], _>((Unbounded, Included(start))).next_back();
        before.is_some_and(|(_, read)| read.end.as_slice() >= end && read.version <= version)
    }

    fn insert(&mut self, mut start: Vec<u8>, mut read: Read) {
        while let Some(key) = self.touching(&start, &read.end) {
            let Some(other) = self.ranges.remove(&key) else { break };
            self.bytes -= size(&key, &other);
            start = start.min(key);
            read.end = read.end.max(other.end);
            read.version = read.version.min(other.version);
        }
        self.bytes += size(&start, &read);
        self.ranges.insert(start, read);
    }

    fn touching(&self, start: &[u8], end: &[u8]) -> Option<Vec<u8>> {
        let (key, read) = self.ranges.range::<[u8], _>((Unbounded, Included(end))).next_back()?;
        (read.end.as_slice() >= start).then(|| key.clone())
    }
}

fn size(start: &[u8], read: &Read) -> usize {
    const OVERHEAD: usize = 96;
    start.len() + read.end.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kv::{CommitId, Durability, Op};
    use proptest::prelude::*;

    use super::*;

    fn checks(reads: &Reads) -> Vec<(Vec<u8>, Vec<u8>, Version)> {
        let mut batch = Batch::new(CommitId::default(), Durability::Durable);
        reads.check(&mut batch);
        let ranges = batch.ops().map(|op| match op {
            Op::Check { key, newest } => (key.to_vec(), successor(key), newest),
            Op::CheckRange { start, end, newest } => (start.to_vec(), end.to_vec(), newest),
            other => panic!("{other:?} is not a check"),
        });
        ranges.collect()
    }

    proptest! {
        #[test]
        fn every_key_read_is_checked_at_its_oldest_version_and_no_other_key(
            added in prop::collection::vec((0u8..20, 0u8..20, 1u64..5), 0..12),
        ) {
            let mut reads = Reads::default();
            let mut expected = BTreeMap::new();
            for (start, end, version) in added {
                reads.add(&[start], &[end], Version(version), usize::MAX);
                for key in start..end {
                    let oldest = expected.entry(key).or_insert(version);
                    *oldest = version.min(*oldest);
                }
            }
            let checks = checks(&reads);
            for key in 0..20u8 {
                let found = checks.iter().find(|(start, end, _)| (start..end).contains(&&vec![key]));
                match expected.get(&key) {
                    Some(version) => prop_assert!(found.is_some_and(|c| c.2 <= Version(*version))),
                    None => prop_assert!(found.is_none()),
                }
            }
            let disjoint = checks.windows(2).all(|pair| pair[0].1 < pair[1].0);
            prop_assert!(disjoint);
            let bytes: usize = reads.ranges.iter().map(|(start, read)| size(start, read)).sum();
            prop_assert_eq!(reads.bytes, bytes);
        }
    }

    #[test]
    fn what_nobody_else_can_see_is_not_checked() {
        let mut reads = Reads::default();
        reads.exclude(vec![5], vec![9]);
        reads.add(&[5], &[9], Version(1), usize::MAX);
        reads.add(&[6], &[7], Version(1), usize::MAX);
        assert!(checks(&reads).is_empty());
        reads.add(&[4], &[7], Version(1), usize::MAX);
        assert_eq!(checks(&reads), [(vec![4], vec![7], Version(1))]);
    }

    #[test]
    fn too_much_is_remembered_as_too_much() {
        let mut reads = Reads::default();
        reads.add(&[1], &[2], Version(1), 10);
        assert!(reads.overflowed());
    }
}
