//! How values stand in FoundationDB.
//!
//! | stored | stands for |
//! |---|---|
//! | exactly eight bytes | themselves: FoundationDB adds to a counter where it lies |
//! | `00` value | a value |
//! | `01` versionstamp(10) body | the first eight bytes of the versionstamp, then the body |
//! | `02` `00` value(7) | a value of seven bytes, which would be taken for a counter |
//! | `03` length(4) beginning | a value of this length, with the rest in parts |
//! | `04` versionstamp(10) length(4) beginning | the same of a stamped value; the length is its body's |
//!
//! Lengths are big-endian.

use kv::{Error, Result, STAMP, Version};

/// Length of a versionstamp, in bytes.
pub(crate) const VERSIONSTAMP: usize = 10;

/// The longest beginning of a value that stands with its key, and the longest part, in bytes.
pub(crate) const PART: usize = 90_000;

/// Length of a counter, in bytes.
const COUNTER: usize = 8;

const PLAIN: u8 = 0x00;
const STAMPED: u8 = 0x01;
const SEVEN: u8 = 0x02;
const LONG: u8 = 0x03;
const LONG_STAMPED: u8 = 0x04;

/// A stored value, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stored<'a> {
    /// What a stamped value begins with.
    pub(crate) stamp: &'a [u8],
    /// The value behind the stamp, as far as it stands with its key.
    pub(crate) body: &'a [u8],
    /// How many bytes of the body stand in parts.
    pub(crate) rest: usize,
}

impl<'a> Stored<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Stored<'a>> {
        Stored::try_decode(bytes).ok_or_else(|| Error::Corrupt("a value cannot be decoded".into()))
    }

    fn try_decode(bytes: &'a [u8]) -> Option<Stored<'a>> {
        let whole = |stamp, body| Stored { stamp, body, rest: 0 };
        if bytes.len() == COUNTER {
            return Some(whole(&[], bytes));
        }
        let (tag, bytes) = bytes.split_first()?;
        let (stamp, bytes) = match *tag {
            STAMPED | LONG_STAMPED => {
                let (stamp, bytes) = bytes.split_at_checked(VERSIONSTAMP)?;
                (&stamp[..STAMP], bytes)
            }
            PLAIN | LONG | SEVEN => (&[] as &[u8], bytes),
            _ => return None,
        };
        match *tag {
            LONG | LONG_STAMPED => {
                let (length, body) = bytes.split_first_chunk()?;
                let rest = (u32::from_be_bytes(*length) as usize).checked_sub(body.len())?;
                Some(Stored { stamp, body, rest })
            }
            SEVEN => Some(whole(stamp, bytes.get(1..)?)),
            _ => Some(whole(stamp, bytes)),
        }
    }

    /// How many parts the rest stands in.
    pub(crate) fn parts(&self) -> usize {
        self.rest.div_ceil(PART)
    }

    /// Length of the value, in bytes.
    pub(crate) fn length(&self) -> usize {
        self.stamp.len() + self.body.len() + self.rest
    }

    /// The version of a value that is checked, which has a stamp of ours or of the caller's.
    pub(crate) fn version(&self) -> Option<Version> {
        Version::of_stamped(if self.stamp.is_empty() { self.body } else { self.stamp })
    }
}

/// What a plain value is stored as with its key; the rest goes into parts.
pub(crate) fn plain(value: &[u8]) -> (Vec<u8>, &[u8]) {
    let (head, rest) = value.split_at(value.len().min(PART));
    let stored = match value.len() {
        COUNTER => value.to_vec(),
        7 => [&[SEVEN, 0], value].concat(),
        _ if rest.is_empty() => [&[PLAIN], value].concat(),
        length => [&[LONG], length_field(length).as_slice(), head].concat(),
    };
    (stored, rest)
}

/// As [`plain`], for a stamped value: the parameter of an atomic operation, which ends with where
/// FoundationDB puts the versionstamp.
pub(crate) fn stamped(body: &[u8]) -> (Vec<u8>, &[u8]) {
    let (head, rest) = body.split_at(body.len().min(PART));
    let mut stored = Vec::with_capacity(1 + VERSIONSTAMP + 4 + head.len() + 4);
    stored.push(if rest.is_empty() { STAMPED } else { LONG_STAMPED });
    stored.extend_from_slice(&[0; VERSIONSTAMP]);
    if !rest.is_empty() {
        stored.extend_from_slice(&length_field(body.len()));
    }
    stored.extend_from_slice(head);
    stored.extend_from_slice(&1u32.to_le_bytes());
    (stored, rest)
}

/// The parameter of an atomic operation that stores a versionstamp and nothing else.
pub(crate) const BARE_VERSIONSTAMP: [u8; VERSIONSTAMP + 4] = [0; VERSIONSTAMP + 4];

fn length_field(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("callers obey Limits::max_value").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What FoundationDB makes of the parameter.
    fn stamp(mut parameter: Vec<u8>) -> Vec<u8> {
        let at = parameter.split_off(parameter.len() - 4);
        let at = u32::from_le_bytes(at.try_into().expect("four bytes")) as usize;
        parameter[at..at + VERSIONSTAMP].copy_from_slice(b"VERSION8or");
        parameter
    }

    #[test]
    fn every_length_comes_back() {
        let lengths = (0..20).chain([PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1, 300_000]);
        for length in lengths {
            let value: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let (stored, rest) = plain(&value);
            let decoded = Stored::decode(&stored).expect("it was encoded");
            assert_eq!(
                (decoded.stamp, decoded.body),
                (&[] as &[u8], &value[..length - rest.len()])
            );
            assert_eq!((decoded.rest, decoded.length()), (rest.len(), length));
            assert!(stored.len() < 100_000);
            let (stored, rest) = stamped(&value);
            let stored = stamp(stored);
            let decoded = Stored::decode(&stored).expect("it was encoded");
            assert_eq!(decoded.stamp, b"VERSION8");
            assert_eq!(decoded.body, &value[..length - rest.len()]);
            assert_eq!((decoded.rest, decoded.length()), (rest.len(), length + STAMP));
            assert_eq!(decoded.parts(), rest.len().div_ceil(PART));
            assert!(stored.len() < 100_000);
        }
    }

    #[test]
    fn only_counters_have_eight_bytes() {
        for length in 0..20 {
            assert_eq!(plain(&vec![1; length]).0.len() == COUNTER, length == COUNTER);
            assert_ne!(stamp(stamped(&vec![1; length]).0).len(), COUNTER);
        }
    }

    #[test]
    fn what_is_no_value_is_corrupt() {
        for bytes in [b"".as_slice(), b"\x09", b"\x01123456789", b"\x03\0\0\0", b"\x03\0\0\0\x01ab"]
        {
            assert!(matches!(Stored::decode(bytes), Err(Error::Corrupt(_))), "{bytes:?}");
        }
    }
}
