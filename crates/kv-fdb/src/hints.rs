//! Which row an entry pointed to when it was last looked up.
//!
//! FoundationDB follows an entry to its row by itself only where keys and values are tuples of its own and
//! read conflicts are taken (mapped ranges), so that here a lookup by a key is two reads, one after the
//! other. An update keeps its row's id, and so what was true of an entry mostly still is: the row that it
//! pointed to is asked for together with the entry, and used if the entry still says so.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

/// Most entries that are remembered, about 100 bytes each.
const ENTRIES: usize = 1 << 16;

/// The keys of rows by a hash of where the lookup began. Two lookups with one hash only mislead each
/// other.
#[derive(Default)]
pub(crate) struct Hints {
    /// What was noted since the older half was forgotten, and that half.
    newer: HashMap<u64, Box<[u8]>>,
    older: HashMap<u64, Box<[u8]>>,
}

impl Hints {
    /// The row that a lookup from this place found.
    pub(crate) fn get(&mut self, start: &[u8]) -> Option<&[u8]> {
        let place = place_of(start);
        if let Some(row) = self.older.remove(&place) {
            self.note_at(place, row);
        }
        self.newer.get(&place).map(|row| &**row)
    }

    /// Remembers the row that it found.
    pub(crate) fn note(&mut self, start: &[u8], row: &[u8]) {
        let place = place_of(start);
        if self.newer.get(&place).is_none_or(|known| **known != *row) {
            self.note_at(place, row.into());
        }
    }

    fn note_at(&mut self, place: u64, row: Box<[u8]>) {
        if self.newer.len() >= ENTRIES / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(place, row);
    }
}

pub(crate) fn place_of(start: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(start);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_counts() {
        let mut hints = Hints::default();
        assert_eq!(hints.get(b"a"), None);
        hints.note(b"a", b"1");
        hints.note(b"b", b"2");
        hints.note(b"a", b"3");
        assert_eq!(hints.get(b"a"), Some(&b"3"[..]));
        assert_eq!(hints.get(b"b"), Some(&b"2"[..]));
    }

    #[test]
    fn what_is_used_stays_and_they_do_not_grow_for_ever() {
        let mut hints = Hints::default();
        hints.note(b"used", b"row");
        for i in 0..4 * ENTRIES {
            hints.note(&i.to_be_bytes(), b"other");
            assert!(hints.newer.len() + hints.older.len() <= ENTRIES);
            if i % 1000 == 0 {
                assert!(hints.get(b"used").is_some());
            }
        }
        assert_eq!(hints.get(&0_usize.to_be_bytes()), None);
    }
}
