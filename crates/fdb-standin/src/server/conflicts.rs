//! At which version each part of the key space was written last.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// More pieces than this are worth looking through for old ones.
const MANY: usize = 100_000;

/// A step function: a piece holds from its key to the next one's.
#[derive(Default)]
pub(super) struct Writes {
    pieces: BTreeMap<Vec<u8>, u64>,
}

impl Writes {
    /// The newest write to `start..end`.
    pub(super) fn newest(&self, start: &[u8], end: &[u8]) -> u64 {
        if start >= end {
            return 0;
        }
        let inside = self.pieces.range::<[u8], _>((Excluded(start), Excluded(end)));
        inside.map(|(_, version)| *version).fold(self.at(start), u64::max)
    }

    fn at(&self, key: &[u8]) -> u64 {
        self.pieces
            .range::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .map_or(0, |(_, version)| *version)
    }

    pub(super) fn note(&mut self, start: &[u8], end: &[u8], version: u64) {
        if start >= end {
            return;
        }
        let behind = self.at(end);
        let inside = self.pieces.range::<[u8], _>((Included(start), Excluded(end)));
        let inside: Vec<Vec<u8>> = inside.map(|(key, _)| key.clone()).collect();
        for key in inside {
            self.pieces.remove(&key);
        }
        self.pieces.insert(start.to_vec(), version);
        self.pieces.entry(end.to_vec()).or_insert(behind);
    }

    /// Forgets what was written at or before a version, if there is much to remember.
    pub(super) fn forget(&mut self, horizon: u64) {
        if self.pieces.len() < MANY {
            return;
        }
        let mut last = 0;
        self.pieces.retain(|_, version| {
            let now = if *version <= horizon { 0 } else { *version };
            *version = now;
            let keep = now != last;
            last = now;
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_cover_their_ranges_and_no_more() {
        let mut writes = Writes::default();
        writes.note(b"b", b"d", 1);
        writes.note(b"c", b"c\0", 2);
        assert_eq!(writes.newest(b"a", b"b"), 0);
        assert_eq!(writes.newest(b"a", b"c"), 1);
        assert_eq!(writes.newest(b"a", b"z"), 2);
        assert_eq!(writes.newest(b"c\0", b"z"), 1);
        assert_eq!(writes.newest(b"d", b"z"), 0);
        writes.note(b"a", b"z", 3);
        assert_eq!(writes.newest(b"c", b"c\0"), 3);
        assert_eq!(writes.newest(b"z", b"zz"), 0);
    }
}
