//! What is kept of keys that are too long: equality, the order of heads, and ranges that miss
//! nothing.

use keycode::{Comparison, DIGEST, KeyRange, Order, Value, is_shortened, same_run, shorten};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::values::bytes;
use crate::{Cell, ORDERS, key, prefix_free};

const HEAD: usize = 6;
const LIMIT: usize = DIGEST + HEAD;

fn short(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    shorten(&mut key, LIMIT);
    key
}

/// Strings that share long beginnings, some of which fit. Where a head is cut, `FF` follows most of
/// the time, or `00` under DESC: a digest is seldom beyond that.
fn text() -> impl Strategy<Value = Value<'static>> {
    let end = prop::option::of(select(vec![0u8, 1, 0xfe]));
    let long = (0..9usize, end).prop_map(|(len, end)| {
        let bytes: Vec<u8> = std::iter::repeat_n(0xff, len).chain(end).collect();
        Value::Bytes(bytes.leak())
    });
    prop_oneof![long, bytes()]
}

fn rows() -> impl Strategy<Value = ([Order; 2], Vec<[Cell; 2]>)> {
    let cell = || prop::option::weighted(0.9, text());
    let order = || select(ORDERS.to_vec());
    ([order(), order()], vec([cell(), cell()], 12))
}

proptest! {
    #[test]
    fn equality_and_the_order_of_heads((orders, rows) in rows()) {
        let keys: Vec<_> = rows.iter().map(|row| key(&orders, row)).collect();
        for (a, b) in keys.iter().flat_map(|a| keys.iter().map(move |b| (a, b))) {
            let (a_short, b_short) = (short(a), short(b));
            prop_assert!(a_short.len() <= LIMIT);
            prop_assert_eq!(a_short == b_short, a == b);
            prop_assert!(prefix_free(&a_short, &b_short));
            let entry = [&b_short[..], &[0xff; 5]].concat();
            prop_assert_eq!(KeyRange::equal(&a_short).contains(&entry), a == b);
            let one_head = a.len() > HEAD && b.len() > HEAD && a[..HEAD] == b[..HEAD];
            prop_assert_eq!(same_run(&a_short, &b_short, LIMIT), one_head);
            if !one_head {
                prop_assert_eq!(a_short.cmp(&b_short), a.cmp(b));
            }
        }
    }

    #[test]
    fn what_fits_stays((orders, rows) in rows()) {
        for row in rows {
            let full = key(&orders, &row);
            let mut short = full.clone();
            let shortened = shorten(&mut short, LIMIT);
            prop_assert_eq!(shortened, full.len() > HEAD);
            prop_assert_eq!(is_shortened(&short, LIMIT), shortened);
            prop_assert_eq!(short == full, !shortened);
            prop_assert!(!shortened || short.len() == LIMIT && short[..HEAD] == full[..HEAD]);
        }
    }

    /// A shortened range misses no key of the range, and has no key too many but shortened ones.
    #[test]
    fn ranges((orders, rows) in rows(), first in text(), second in text()) {
        let prefix = key(&orders[..1], &[Some(first)]);
        let comparisons = [
            Comparison::Less,
            Comparison::LessEqual,
            Comparison::Equal,
            Comparison::GreaterEqual,
            Comparison::Greater,
        ];
        for comparison in comparisons {
            let one = KeyRange::compare(&[], orders[0], comparison, first);
            let two = KeyRange::compare(&prefix, orders[1], comparison, second);
            let nulls = KeyRange::nulls(&prefix, orders[1]);
            for (range, row) in [one, two, nulls].into_iter().flat_map(|range| {
                rows.iter().map(move |row| (range.clone(), row))
            }) {
                let full = key(&orders, row);
                // A row id behind the key must not push it out of the range.
                let found = range.clone().shortened(LIMIT).contains(&[&short(&full)[..], &[0xff]].concat());
                let wanted = range.contains(&[&full[..], &[0xff]].concat());
                prop_assert!(found || !wanted, "{:?} {:02x?}", range, full);
                prop_assert!(!found || wanted || full.len() > HEAD, "{:?} {:02x?}", range, full);
            }
        }
    }
}

#[test]
#[should_panic(expected = "a part of the key beside its digest")]
fn a_limit_needs_room_for_a_head() {
    shorten(&mut Vec::new(), DIGEST);
}
