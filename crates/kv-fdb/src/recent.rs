//! Values that were read a moment ago, so that a commit which archives them need not read them again.

use std::collections::HashMap;

use kv::Version;

/// Most keys and bytes that are remembered.
const KEYS: usize = 1024;
const BYTES: usize = 1 << 20;

/// Stored values by their stored keys, and the version at which each was read. When there are too many, the
/// older half is forgotten.
#[derive(Default)]
pub(crate) struct Recent {
    newer: Half,
    older: Half,
}

#[derive(Default)]
struct Half {
    values: HashMap<Vec<u8>, (Version, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Recent {
    /// Remembers what was read, unless something newer is remembered.
    pub(crate) fn note(&mut self, key: &[u8], at: Version, value: Option<&[u8]>) {
        let size = key.len() + value.map_or(0, <[u8]>::len);
        if size > BYTES / 16 || self.known(key).is_some_and(|(known, _)| *known >= at) {
            return;
        }
        if self.newer.values.len() >= KEYS / 2 || self.newer.bytes + size > BYTES / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.bytes += size;
        self.newer.values.insert(key.to_vec(), (at, value.map(<[u8]>::to_vec)));
    }

    /// What the key held when it was read, if that was at or after `since`.
    pub(crate) fn get(&self, key: &[u8], since: Version) -> Option<Option<Vec<u8>>> {
        let (at, value) = self.known(key)?;
        (*at >= since).then(|| value.clone())
    }

    /// What is in both halves is newer in the newer one.
    fn known(&self, key: &[u8]) -> Option<&(Version, Option<Vec<u8>>)> {
        self.newer.values.get(key).or_else(|| self.older.values.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_reading_counts_and_only_if_it_is_new_enough() {
        let mut recent = Recent::default();
        recent.note(b"k", Version(5), Some(b"five"));
        recent.note(b"k", Version(4), Some(b"four"));
        assert_eq!(recent.get(b"k", Version(5)), Some(Some(b"five".to_vec())));
        assert_eq!(recent.get(b"k", Version(6)), None);
        recent.note(b"k", Version(6), None);
        assert_eq!(recent.get(b"k", Version(6)), Some(None));
        assert_eq!(recent.get(b"other", Version(0)), None);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut recent = Recent::default();
        for i in 0..10_000u32 {
            recent.note(&i.to_be_bytes(), Version(1), Some(&[0; 3000]));
            let halves = [&recent.newer, &recent.older];
            assert!(halves.iter().map(|half| half.values.len()).sum::<usize>() <= KEYS);
            assert!(halves.iter().map(|half| half.bytes).sum::<usize>() <= BYTES);
        }
        assert!(recent.get(&9_999u32.to_be_bytes(), Version(1)).is_some());
        recent.note(b"large", Version(1), Some(&vec![0; BYTES]));
        assert_eq!(recent.get(b"large", Version(1)), None);
    }
}
