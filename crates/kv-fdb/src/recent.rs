//! Values that were read a moment ago, so that a commit which archives them need not read them again.

use std::collections::HashMap;

use kv::Version;

/// Most keys and bytes that are remembered.
const KEYS: usize = 1024;
const BYTES: usize = 1 << 20;

/// Stored values by their stored keys, and the version at which each was read.
#[derive(Default)]
pub(crate) struct Recent {
    values: HashMap<Vec<u8>, (Version, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Recent {
    /// Remembers what was read, unless something newer is remembered. When there is too much of it,
    /// all else is forgotten.
    pub(crate) fn note(&mut self, key: &[u8], at: Version, value: Option<&[u8]>) {
        let size = key.len() + value.map_or(0, <[u8]>::len);
        if size > BYTES / 8 {
            return;
        }
        if self.values.len() >= KEYS || self.bytes + size > BYTES {
            self.values.clear();
            self.bytes = 0;
        }
        if self.values.get(key).is_none_or(|(known, _)| *known < at) {
            self.bytes += size;
            self.values.insert(key.to_vec(), (at, value.map(<[u8]>::to_vec)));
        }
    }

    /// What the key held when it was read, if that was at or after `since`.
    pub(crate) fn get(&self, key: &[u8], since: Version) -> Option<Option<Vec<u8>>> {
        let (at, value) = self.values.get(key)?;
        (*at >= since).then(|| value.clone())
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
            assert!(recent.values.len() <= KEYS && recent.bytes <= BYTES);
        }
        assert!(recent.get(&9_999u32.to_be_bytes(), Version(1)).is_some());
        recent.note(b"large", Version(1), Some(&vec![0; BYTES]));
        assert_eq!(recent.get(b"large", Version(1)), None);
    }
}
