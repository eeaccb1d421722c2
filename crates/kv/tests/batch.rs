//! Batches as bytes: what is encoded is decoded, and what is damaged is refused.

use kv::memory::{Config, Memory};
use kv::{Batch, CommitId, Durability, Error, Limits, Op, Store, Version};
use proptest::collection::vec;
use proptest::prelude::*;

const ID: CommitId = CommitId([7; 16]);

fn sample() -> Batch {
    let mut batch = Batch::new(ID, Durability::Relaxed);
    batch.check(b"checked", Version(1));
    batch.check_range(b"from", b"", Version::MAX);
    batch.put(b"plain", b"");
    batch.put_stamped(b"stamped", &[b"one", b"", b"two"]);
    batch.put_versioned(b"versioned", Version(0x0102), &[b"body"]);
    batch.delete(b"deleted");
    batch.clear(b"", b"\xff");
    batch.add(b"counter", -2);
    batch.archive(b"unknown", b"to", None);
    batch.archive(b"known", b"to", Some(b""));
    batch.raise_floor(Version(9));
    batch
}

fn decode(bytes: &[u8]) -> kv::Result<Batch> {
    Batch::decode(ID, Durability::Relaxed, bytes.to_vec())
}

#[test]
fn operations_come_back_as_they_went_in() {
    let batch = sample();
    let ops: Vec<Op<'_>> = batch.ops().collect();
    let expected = [
        Op::Check { key: b"checked", newest: Version(1) },
        Op::CheckRange { start: b"from", end: b"", newest: Version::MAX },
        Op::Put { key: b"plain", value: b"" },
        Op::PutStamped { key: b"stamped", value: b"\0\0\0\0\0\0\0\0onetwo" },
        Op::Put { key: b"versioned", value: b"\0\0\0\0\0\0\x01\x02body" },
        Op::Delete { key: b"deleted" },
        Op::Clear { start: b"", end: b"\xff" },
        Op::Add { key: b"counter", delta: -2 },
        Op::Archive { key: b"unknown", to: b"to", value: None },
        Op::Archive { key: b"known", to: b"to", value: Some(b"") },
        Op::RaiseFloor { floor: Version(9) },
    ];
    assert_eq!(ops, expected);
    assert_eq!((batch.len(), batch.size()), (expected.len(), batch.encoded().len()));
    assert_eq!(decode(batch.encoded()), Ok(batch));
}

#[test]
fn a_reset_batch_is_empty_and_keeps_its_durability() {
    let mut batch = sample();
    batch.reset(CommitId([8; 16]));
    assert_eq!(batch, Batch::new(CommitId([8; 16]), Durability::Relaxed));
    assert!(batch.is_empty() && batch.size() == 0 && batch.ops().next().is_none());
}

#[test]
fn a_batch_cut_short_is_corrupt_unless_it_ends_between_operations() {
    let batch = sample();
    let mut whole = 0;
    for length in 0..batch.size() {
        match decode(&batch.encoded()[..length]) {
            Ok(shorter) => {
                assert!(batch.ops().take(shorter.len()).eq(shorter.ops()));
                whole += 1;
            }
            Err(error) => assert!(matches!(error, Error::Corrupt(_))),
        }
    }
    assert_eq!(whole, batch.len());
}

/// A batch that was damaged may still be a batch, but then its operations lie within it.
fn is_sound(bytes: &[u8]) {
    match decode(bytes) {
        Ok(batch) => assert_eq!(batch.ops().count(), batch.len()),
        Err(error) => assert!(matches!(error, Error::Corrupt(_))),
    }
}

#[test]
fn no_flipped_bit_panics() {
    let mut bytes = sample().encoded().to_vec();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        is_sound(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_stamped_value_without_room_for_its_stamp_is_corrupt() {
    let mut batch = Batch::new(ID, Durability::Durable);
    batch.put_stamped(b"k", &[]);
    let mut bytes = batch.encoded().to_vec();
    let length = bytes.len() - 12;
    assert_eq!(bytes[length..length + 4], 8u32.to_le_bytes());
    bytes[length] = 7;
    bytes.pop();
    assert!(matches!(decode(&bytes), Err(Error::Corrupt(_))));
}

proptest! {
    #[test]
    fn no_noise_panics(bytes in vec(prop_oneof![0..12u8, any::<u8>()], 0..60)) {
        is_sound(&bytes);
    }

    #[test]
    fn puts_of_any_bytes_come_back(entries in vec((vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..300)), 0..20)) {
        let mut batch = Batch::default();
        entries.iter().for_each(|(key, value)| batch.put(key, value));
        let puts = entries.iter().map(|(key, value)| Op::Put { key, value });
        prop_assert!(batch.ops().eq(puts));
    }
}

fn limits() -> Limits {
    let limits = Memory::new(Config::default()).limits();
    Limits { max_key: 5, max_value: 20, max_batch: 100, ..limits }
}

fn obeys(fill: impl FnOnce(&mut Batch)) -> Result<(), &'static str> {
    let mut batch = Batch::default();
    fill(&mut batch);
    batch.obey(&limits()).map_err(|error| match error {
        Error::TooLarge { what, size, limit } if size > limit => what,
        error => panic!("{error:?} is not about size"),
    })
}

#[test]
fn limits_bind_what_is_written_and_not_what_is_named() {
    assert_eq!(obeys(|batch| batch.put(b"12345", &[0; 20])), Ok(()));
    assert_eq!(obeys(|batch| batch.put(b"123456", b"")), Err("key"));
    assert_eq!(obeys(|batch| batch.put(b"1", &[0; 21])), Err("value"));
    assert_eq!(obeys(|batch| batch.put_stamped(b"1", &[&[0; 12]])), Ok(()));
    assert_eq!(obeys(|batch| batch.put_stamped(b"1", &[&[0; 12], &[0]])), Err("value"));
    assert_eq!(obeys(|batch| batch.put_stamped(b"123456", &[])), Err("key"));
    assert_eq!(obeys(|batch| batch.add(b"123456", 1)), Err("key"));
    assert_eq!(obeys(|batch| batch.archive(b"1", b"123456", None)), Err("key"));
    assert_eq!(obeys(|batch| batch.archive(b"1", b"2", Some(&[0; 21]))), Err("value"));
    assert_eq!(obeys(|batch| batch.archive(b"123456", b"2", None)), Ok(()));
    assert_eq!(obeys(|batch| batch.check(b"123456", Version::ZERO)), Ok(()));
    assert_eq!(obeys(|batch| batch.clear(b"123456", b"1234567")), Ok(()));
    assert_eq!(obeys(|batch| (0..20).for_each(|_| batch.delete(b"1"))), Err("transaction"));
}

#[test]
fn ids_are_printed_in_hexadecimal() {
    let id = CommitId([0, 1, 0xab, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]);
    assert_eq!(id.to_string(), "0001abff000000000000000000000010");
}
