//! Where things stand in FoundationDB. Numbers of kinds are never reused.

use kv::CommitId;

use crate::limits::clipped;

/// What every key of ours begins with.
const ROOT: &[u8] = b"fakegres\0";

const META: u8 = 0x00;
const DATA: u8 = 0x01;
const PARTS: u8 = 0x02;
const MARKERS: u8 = 0x03;
const MOMENTS: u8 = 0x04;

/// The cluster's own key that changes when anybody's metadata do.
pub(crate) const METADATA_VERSION: &[u8] = b"\xff/metadataVersion";

/// A version's bits below these do not matter for where a marker stands: 2^31 versions are about
/// 35 minutes.
const AGE_BITS: u32 = 31;

/// The age of markers that a transaction with this read version writes.
pub(crate) fn age(read_version: u64) -> u32 {
    (read_version >> AGE_BITS) as u32
}

/// The keys of one namespace.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: Vec<u8>,
}

impl Keys {
    /// The name has no zero byte.
    pub(crate) fn of(namespace: &str) -> Keys {
        Keys { prefix: [ROOT, namespace.as_bytes(), &[0]].concat() }
    }

    fn key(&self, kind: u8, rest: &[&[u8]]) -> Vec<u8> {
        let length = rest.iter().map(|part| part.len()).sum::<usize>();
        let mut key = Vec::with_capacity(self.prefix.len() + 1 + length);
        key.extend_from_slice(&self.prefix);
        key.push(kind);
        rest.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    pub(crate) fn format(&self) -> Vec<u8> {
        self.key(META, &[b"format"])
    }

    pub(crate) fn floor(&self) -> Vec<u8> {
        self.key(META, &[b"floor"])
    }

    /// A key of the contract, or a bound of a range.
    pub(crate) fn data(&self, key: &[u8]) -> Vec<u8> {
        self.key(DATA, &[clipped(key)])
    }

    /// The key of the contract that a stored key stands for.
    pub(crate) fn user<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        &stored[self.prefix.len() + 1..]
    }

    /// Where the parts of the values of keys from this bound on stand.
    pub(crate) fn parts_from(&self, bound: &[u8]) -> Vec<u8> {
        self.key(PARTS, &[&escape(clipped(bound))])
    }

    /// One part of a value, counted from zero.
    pub(crate) fn part(&self, key: &[u8], number: u32) -> Vec<u8> {
        self.key(PARTS, &[&escape(key), &[0, 0], &number.to_be_bytes()])
    }

    /// Before the first part of a value, and behind the last.
    pub(crate) fn parts_of(&self, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let escaped = escape(clipped(key));
        (self.key(PARTS, &[&escaped, &[0, 0]]), self.key(PARTS, &[&escaped, &[0, 1]]))
    }

    pub(crate) fn marker(&self, age: u32, id: CommitId) -> Vec<u8> {
        self.key(MARKERS, &[&age.to_be_bytes(), &id.0])
    }

    /// Where the markers of an age begin.
    pub(crate) fn markers_from(&self, age: u32) -> Vec<u8> {
        self.key(MARKERS, &[&age.to_be_bytes()])
    }

    pub(crate) fn moment(&self, micros: u64) -> Vec<u8> {
        self.key(MOMENTS, &[&micros.to_be_bytes()])
    }
}

/// Bytes of which none of two different ones is the beginning of the other when `00 00` follows,
/// in the order of what they stand for.
fn escape(key: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(key.len() + 2);
    for byte in key {
        escaped.push(*byte);
        if *byte == 0 {
            escaped.push(0xff);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_bytes_that_the_format_says() {
        let keys = Keys::of("n");
        assert_eq!(keys.format(), b"fakegres\0n\0\x00format");
        assert_eq!(keys.floor(), b"fakegres\0n\0\x00floor");
        assert_eq!(keys.data(b"k\0"), b"fakegres\0n\0\x01k\0");
        assert_eq!(keys.user(b"fakegres\0n\0\x01k\0"), b"k\0");
        assert_eq!(keys.part(b"k\0", 258), b"fakegres\0n\0\x02k\0\xff\0\0\0\0\x01\x02");
        let marker = keys.marker(1, CommitId([7; 16]));
        assert_eq!(marker, [b"fakegres\0n\0\x03\0\0\0\x01".as_slice(), &[7; 16]].concat());
        assert_eq!(keys.moment(2), b"fakegres\0n\0\x04\0\0\0\0\0\0\0\x02");
        assert_eq!(age(1 << 31), 1);
    }

    /// Clearing a range of keys clears exactly the parts of their values.
    #[test]
    fn parts_are_ordered_like_their_keys() {
        let keys = Keys::of("n");
        let ordered: [&[u8]; 8] =
            [b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"a\0\xff", b"ab", b"\xff"];
        for (i, one) in ordered.iter().enumerate() {
            for (j, two) in ordered.iter().enumerate() {
                let first = keys.part(one, 0);
                assert_eq!(first < keys.parts_from(two), i < j, "{one:?} {two:?}");
                let (start, end) = keys.parts_of(two);
                assert_eq!((start..end).contains(&first), i == j, "{one:?} {two:?}");
            }
        }
    }
}
