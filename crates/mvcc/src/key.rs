//! Every key that this layer writes. The tags are a format: they are never reused.

use kv::{Batch, Version};

/// What a key in the store is, told by its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// `0x01 ‖ key`: unversioned (counters and markers of the layers above).
    Plain = 1,
    /// `0x02 ‖ key`: the newest version of a key.
    Current = 2,
    /// `0x03 ‖ escaped key ‖ 0x00 0x00 ‖ !version`: an older version of a key.
    History = 3,
    /// `0x04`, one key: tombstones up to the version that it begins with may have been removed.
    Collected = 4,
}

/// The key of [`Kind::Collected`].
pub(crate) const COLLECTED: &[u8] = &[Kind::Collected as u8];

/// What a zero byte of a key becomes in a history key; a zero that ends the key is followed by
/// another zero, which sorts before this.
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xff];

const TERMINATOR: [u8; 2] = [0x00, 0x00];

const VERSION: usize = 8;

/// The store key of an unversioned key.
pub fn plain(key: &[u8]) -> Vec<u8> {
    prefixed(Kind::Plain, key)
}

/// The store key of a key's current slot.
pub fn current(key: &[u8]) -> Vec<u8> {
    prefixed(Kind::Current, key)
}

/// Appends the store key of a key's current slot.
pub(crate) fn push_current(key: &[u8], out: &mut Vec<u8>) {
    out.push(Kind::Current as u8);
    out.extend_from_slice(key);
}

/// The store key of an older version of a key.
pub fn history(key: &[u8], version: Version) -> Vec<u8> {
    let mut out = history_prefix(key);
    out.extend_from_slice(&(!version.0).to_be_bytes());
    out
}

/// The store keys of the versions of a key at or before `newest`, from the newest to the oldest.
pub fn history_until(key: &[u8], newest: Version) -> (Vec<u8>, Vec<u8>) {
    (history(key, newest), after_prefix(&history_prefix(key)))
}

/// The store keys of the older versions of every key in `start..end`.
pub fn history_span(start: &[u8], end: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (escaped(start), escaped(end))
}

/// Takes a history key apart. `None` if it is not one.
pub fn parse_history(key: &[u8]) -> Option<(Vec<u8>, Version)> {
    let (prefix, version) = key.split_at_checked(key.len().checked_sub(VERSION)?)?;
    let escaped = prefix.strip_prefix(&[Kind::History as u8])?.strip_suffix(&TERMINATOR)?;
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((byte, tail)) = rest.split_first() {
        out.push(*byte);
        rest = if *byte == 0 { tail.strip_prefix(&[0xff])? } else { tail };
    }
    Some((out, Version(!u64::from_be_bytes(version.try_into().ok()?))))
}

/// How long the longest store key of a key is: what must stay within the store's `max_key`.
pub fn longest(key: &[u8]) -> usize {
    let zeros = key.iter().filter(|byte| **byte == 0).count();
    1 + key.len() + zeros + TERMINATOR.len() + VERSION
}

/// Removes every key that begins with `prefix`, with its history. Plain keys stay.
///
/// Only for keys that nobody can reach any more, such as those of a dropped space: readers of older
/// snapshots would find nothing, and no check of a concurrent writer notices.
pub fn clear_prefix(batch: &mut Batch, prefix: &[u8]) {
    let start = current(prefix);
    batch.clear(&start, &after_prefix(&start));
    let start = escaped(prefix);
    batch.clear(&start, &after_prefix(&start));
}

/// The first key after every key that begins with `prefix`. A prefix of nothing but 0xff bytes has
/// none, and gives the empty key.
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    let mut end = prefix[..kept].to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The key that directly follows `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn prefixed(kind: Kind, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(kind as u8);
    out.extend_from_slice(key);
    out
}

fn history_prefix(key: &[u8]) -> Vec<u8> {
    let mut out = escaped(key);
    out.extend_from_slice(&TERMINATOR);
    out
}

fn escaped(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(longest(key));
    out.push(Kind::History as u8);
    for byte in key {
        match byte {
            0 => out.extend_from_slice(&ESCAPED_ZERO),
            other => out.push(*other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)], 0..6)
    }

    proptest! {
        #[test]
        fn history_keys_sort_by_key_then_newest_first(a in key(), b in key(), v: u64, w: u64) {
            let order = a.cmp(&b).then(w.cmp(&v));
            prop_assert_eq!(history(&a, Version(v)).cmp(&history(&b, Version(w))), order);
        }

        #[test]
        fn history_keys_can_be_taken_apart(a in key(), v: u64) {
            let encoded = history(&a, Version(v));
            prop_assert!(encoded.len() <= longest(&a));
            prop_assert_eq!(parse_history(&encoded), Some((a, Version(v))));
        }

        #[test]
        fn a_span_holds_the_history_of_its_keys_and_no_other(a in key(), b in key(), k in key(), v: u64) {
            let (start, end) = history_span(&a, &b);
            let inside = (start..end).contains(&history(&k, Version(v)));
            prop_assert_eq!(inside, (a..b).contains(&k));
        }

        #[test]
        fn a_prefix_covers_its_keys_and_no_other(prefix in key(), k in key(), v: u64) {
            let start = escaped(&prefix);
            let inside = (start.clone()..after_prefix(&start)).contains(&history(&k, Version(v)));
            prop_assert_eq!(inside, k.starts_with(&prefix));
            let start = current(&prefix);
            let inside = (start.clone()..after_prefix(&start)).contains(&current(&k));
            prop_assert_eq!(inside, k.starts_with(&prefix));
        }
    }

    #[test]
    fn the_versions_until_one_begin_with_it() {
        let (start, end) = history_until(b"k", Version(5));
        assert!(!(&start..&end).contains(&&history(b"k", Version(6))));
        assert!((&start..&end).contains(&&history(b"k", Version(5))));
        assert!((&start..&end).contains(&&history(b"k", Version::ZERO)));
        assert!(!(&start..&end).contains(&&history(b"k\0", Version(5))));
    }
}
