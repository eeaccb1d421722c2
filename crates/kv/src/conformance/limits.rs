//! Sizes: what the limits allow fits, what they forbid is refused as a whole.
//!
//! Where a limit is so far away that a test would drown in it, the case tries a few megabytes.

use super::Fixture;
use super::client::{Client, expected, request};
use crate::{Batch, Durability, Error, Page, ScanRequest};

/// More than this is too much for a test.
const PLENTY: usize = 12 << 20;

/// Bytes that are no repetition of a short pattern.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn refused(client: &Client<'_>, what: &str, fill: impl FnOnce(&mut Batch)) {
    let before = client.everything();
    match client.try_commit(fill) {
        Err(Error::TooLarge { what: named, size, limit }) => {
            assert_eq!(named, what);
            assert!(size > limit);
        }
        answer => panic!("{answer:?} instead of TooLarge"),
    }
    assert_eq!(client.everything(), before, "nothing was applied");
}

/// Every way to write a key of the full length, and every way to read it.
pub fn the_longest_key_fits(fixture: &Fixture) {
    let client = fixture.client();
    let longest = noise(client.store.limits().max_key.min(PLENTY), 1);
    let mut neighbour = longest.clone();
    *neighbour.last_mut().expect("keys have a length") ^= 1;
    client.put_all(&[(&longest, "1"), (&neighbour, "2")]);
    assert_eq!(client.get(&longest).as_deref(), Some(b"1".as_slice()));
    assert_eq!(client.get(&neighbour).as_deref(), Some(b"2".as_slice()));
    let mut both = expected(&[(&longest, "1"), (&neighbour, "2")]);
    both.sort();
    let one_by_one = ScanRequest { max_rows: 1, ..request(b"", &[0xff; 8]) };
    assert_eq!(client.scan(one_by_one), both);
    client.commit(|batch| batch.delete(&longest));
    assert_eq!(client.everything(), expected(&[(&neighbour, "2")]));
}

/// By every operation that would write it.
pub fn a_longer_key_is_refused(fixture: &Fixture) {
    let client = fixture.client();
    let limit = client.store.limits().max_key;
    if limit > PLENTY {
        return;
    }
    client.put_stamped(b"a", b"body");
    let longer = noise(limit + 1, 1);
    refused(&client, "key", |batch| batch.put(&longer, b""));
    refused(&client, "key", |batch| batch.put_stamped(&longer, &[]));
    refused(&client, "key", |batch| batch.add(&longer, 1));
    refused(&client, "key", |batch| batch.archive(b"a", &longer, Some(b"body")));
    refused(&client, "key", |batch| {
        batch.put(b"b", b"");
        batch.put(&longer, b"");
    });
}

/// What cannot be written is not there, and removing it removes nothing.
pub fn a_longer_key_is_absent_when_read(fixture: &Fixture) {
    let client = fixture.client();
    let longer = noise(client.store.limits().max_key.min(PLENTY) + 1, 1);
    client.put_stamped(&longer[..1], b"");
    assert_eq!(client.get(&longer), None);
    let mut end = longer.clone();
    end.extend_from_slice(&[0xff; 9]);
    client.commit(|batch| {
        batch.check(&longer, crate::Version::ZERO);
        batch.delete(&longer);
        batch.clear(&longer, &end);
    });
    assert_eq!(client.scan(request(&longer, &end)), expected::<&[u8], &[u8]>(&[]));
}

/// To the last byte, plain and stamped.
pub fn the_largest_value_fits(fixture: &Fixture) {
    let client = fixture.client();
    let limits = client.store.limits();
    let value = noise(limits.max_value.min(limits.max_batch - 1024).min(PLENTY), 2);
    client.put_all(&[("a", &value)]);
    assert!(client.get(b"a").as_deref() == Some(&value));
    let version = client.put_stamped(b"a", &value[8..]);
    let held = client.get(b"a").expect("it was written");
    assert!(held[8..] == value[8..] && held[..8] == version.0.to_be_bytes());
}

/// Plain or stamped.
pub fn a_larger_value_is_refused(fixture: &Fixture) {
    let client = fixture.client();
    let limit = client.store.limits().max_value;
    if limit > PLENTY {
        return;
    }
    let value = noise(limit + 1, 3);
    refused(&client, "value", |batch| batch.put(b"a", &value));
    refused(&client, "value", |batch| batch.put_stamped(b"a", &[&value[8..]]));
}

/// A batch of exactly this size, out of values that keep to their own limit.
fn batch_of(client: &Client<'_>, size: usize, batch: &mut Batch) {
    let most = client.store.limits().max_value.min(1 << 20);
    let before = batch.size();
    batch.put(b"k0000", b"");
    let frame = batch.size() - before;
    let mut number = 0;
    while batch.size() < size {
        number += 1;
        let room = (size - batch.size()).checked_sub(frame).expect("a put fits into the rest");
        // What is left behind a value must be nothing, or enough for another put.
        let length = if room <= most { room } else { most.min(room - frame) };
        batch.put(format!("k{number:04}").as_bytes(), &noise(length, number));
    }
    assert_eq!(batch.size(), size);
}

/// To the last byte.
pub fn the_largest_batch_fits(fixture: &Fixture) {
    let client = fixture.client();
    let size = client.store.limits().max_batch.min(PLENTY);
    let batch = client.batch(|batch| batch_of(&client, size, batch));
    client.store.commit(&batch, client.env).expect("it is within the limits");
    let last = batch.ops().filter(|op| matches!(op, crate::Op::Put { .. })).last();
    let Some(crate::Op::Put { key, value }) = last else { panic!("the batch has puts") };
    assert!(client.get(key).as_deref() == Some(value));
}

/// Although every key and value in it is small enough.
pub fn a_larger_batch_is_refused(fixture: &Fixture) {
    let client = fixture.client();
    let limit = client.store.limits().max_batch;
    if limit > PLENTY {
        return;
    }
    refused(&client, "transaction", |batch| batch_of(&client, limit + 1, batch));
}

/// Several large values in one range, paged by bytes.
pub fn values_of_megabytes_keep_every_byte(fixture: &Fixture) {
    let client = fixture.client();
    let limits = client.store.limits();
    let length = limits.max_value.min(limits.max_batch - 1024).min(3 << 20);
    let value = |i: u8| noise(length - usize::from(i), 100 + u64::from(i));
    for i in 0..3 {
        client.put_all(&[(vec![b'k', i], value(i))]);
    }
    let range = ScanRequest { max_bytes: length + length / 2, ..request(b"k", b"l") };
    let (first, more) = client.page(&range);
    assert!(more && first.len() <= 2);
    let all = client.scan(range);
    assert_eq!(all.len(), 3);
    assert!((0..3).all(|i| all[usize::from(i)] == (vec![b'k', i], value(i))));
    let mut page = Page::default();
    let keys: [&[u8]; 3] = [b"k\x02", b"none", b"k\x00"];
    client.store.get_many(&keys, &mut page, client.env).expect("a read succeeds");
    assert!(page.value(0) == value(2) && page.get(1).is_none() && page.value(2) == value(0));
}

/// What the engine recommends for bulk loads is within what it takes.
pub fn bulk_batches_fit(fixture: &Fixture) {
    let client = fixture.client();
    let limits = client.store.limits();
    assert!((1..=limits.max_batch).contains(&limits.bulk_batch));
    let size = limits.bulk_batch.min(PLENTY);
    for _ in 0..2 {
        let mut batch = client.batch(|batch| batch_of(&client, size, batch));
        batch.durability = Durability::Deferred;
        client.store.commit(&batch, client.env).expect("it is within the limits");
    }
    client.store.flush(client.env).expect("nothing stands against them");
    assert!(client.get(b"k0001").is_some());
}
