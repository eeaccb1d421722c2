//! Cells of every type sort as the type's btree comparison says.

use keycode::{Numeric, Value, strip_blanks};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::values::{self, Type};
use crate::{ORDERS, key, prefix_free, reference};

fn check(values: &[Value<'static>]) -> Result<(), TestCaseError> {
    for order in ORDERS {
        let keys: Vec<_> = values.iter().map(|value| key(&[order], &[Some(*value)])).collect();
        for (i, j) in (0..values.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let (a, b) = (Some(values[i]), Some(values[j]));
            let expected = reference::compare_column(order, &a, &b);
            prop_assert_eq!(keys[i].cmp(&keys[j]), expected, "{:?} {:?} {:?}", order, a, b);
            prop_assert!(prefix_free(&keys[i], &keys[j]), "{:?} {:?}", a, b);
        }
    }
    Ok(())
}

macro_rules! sorts {
    ($($name:ident: $values:expr;)+) => {
        proptest! {$(
            #[test]
            fn $name(values in vec($values, 12)) {
                check(&values)?;
            }
        )+}
    };
}

sorts! {
    bools: values::bools();
    integers: values::integers();
    unsigned: values::unsigned();
    floats: values::floats();
    numerics: values::numerics();
    bytes: values::bytes();
    collated: values::collated();
    nondeterministic: values::nondeterministic();
    timetzs: values::timetzs();
    intervals: values::intervals();
    uuids: values::uuids();
    macaddrs: values::macaddrs();
    macaddr8s: values::macaddr8s();
    inets: values::inets();
    bits: values::bits();
    tids: values::tids();
    oid_vectors: values::oid_vectors();
    arrays: values::arrays();
    arrays_of_text: values::arrays_of(values::bytes());
    arrays_of_arrays_in_records: values::arrays_of(record());
    records: record();
    ranges: values::ranges_of(values::small_integers());
    ranges_of_numerics: values::ranges_of(values::numerics());
    ranges_of_text: values::ranges_of(values::collated());
    jsons: values::jsons();
    multiranges: values::multiranges_of(values::small_integers());
}

fn record() -> Type {
    values::records_of(vec![values::bytes(), values::arrays(), values::small_integers()])
}

/// What is far apart, or equal though it looks different, in one order that is given by hand.
fn check_classes(classes: &[&[Value<'_>]]) {
    let cell = |value: &Value<'_>| {
        let mut key = Vec::new();
        keycode::Encoder::new(&mut key).column(ORDERS[0], Some(*value));
        key
    };
    let keys: Vec<Vec<_>> = classes.iter().map(|class| class.iter().map(cell).collect()).collect();
    for (class, keys) in classes.iter().zip(&keys) {
        assert!(keys.iter().all(|key| *key == keys[0]), "{class:?} have {keys:02x?}");
    }
    for (neighbours, keys) in classes.windows(2).zip(keys.windows(2)) {
        assert!(keys[0][0] < keys[1][0], "{neighbours:?} have {keys:02x?}");
    }
}

fn number(negative: bool, weight: i16, digits: &[i16]) -> Value<'_> {
    Value::Numeric(Numeric::Finite { negative, weight, digits })
}

#[test]
fn numerics_by_hand() {
    check_classes(&[
        &[Value::Numeric(Numeric::NegativeInfinity)],
        &[number(true, i16::MAX, &[9999])],
        &[number(true, 0, &[1, 5000])],
        &[number(true, 0, &[1]), number(true, 1, &[0, 1, 0])],
        &[number(true, i16::MIN, &[1])],
        &[number(false, 0, &[]), number(true, 3, &[0, 0]), number(false, -7, &[0])],
        &[number(false, i16::MIN, &[0, 0, 1])],
        &[number(false, i16::MIN, &[1])],
        &[number(false, -1, &[9999])],
        &[number(false, 0, &[1]), number(false, 0, &[1, 0]), number(false, 2, &[0, 0, 1])],
        &[number(false, 0, &[1, 0, 1])],
        &[number(false, 0, &[2])],
        &[number(false, 1, &[1])],
        &[number(false, i16::MAX, &[9999])],
        &[Value::Numeric(Numeric::Infinity)],
        &[Value::Numeric(Numeric::NaN)],
    ]);
}

#[test]
fn floats_by_hand() {
    let float = |value| Value::Float(value);
    let narrow = |value: f32| Value::Float(value.into());
    check_classes(&[
        &[float(f64::NEG_INFINITY), narrow(f32::NEG_INFINITY)],
        &[narrow(f32::MIN)],
        &[float(-1.5), narrow(-1.5)],
        &[float(0.0), float(-0.0), narrow(-0.0)],
        &[float(0.1)],
        &[narrow(0.1)],
        &[float(f64::INFINITY), narrow(f32::INFINITY)],
        &[float(f64::NAN), float(-f64::NAN), narrow(f32::NAN)],
    ]);
}

#[test]
fn intervals_by_hand() {
    let interval = |months, days, time| Value::Interval { months, days, time };
    check_classes(&[
        &[interval(i32::MIN, i32::MIN, i64::MIN)],
        &[interval(-1, 0, 0), interval(0, -30, 0)],
        &[interval(0, 0, 0), interval(1, -30, 0)],
        &[interval(0, 1, 0), interval(0, 0, 86_400_000_000)],
        &[interval(1, 0, 0), interval(0, 30, 0), interval(0, 29, 86_400_000_000)],
        &[interval(i32::MAX, i32::MAX, i64::MAX)],
    ]);
}

#[test]
fn padded_text() {
    let padded = |text: &'static [u8]| Value::Bytes(strip_blanks(text));
    check_classes(&[
        &[padded(b""), padded(b"   ")],
        &[padded(b" a")],
        &[padded(b"a"), padded(b"a  ")],
        &[padded(b"a\x01")],
        &[padded(b"a b"), padded(b"a b ")],
    ]);
}

proptest! {
    /// Cells without an order are still equal exactly when the bytes are, however long these are.
    #[test]
    fn unordered(bytes in vec(0..2u8, 30..36), changed in 0..40usize, cut in 0..2usize) {
        let mut other = bytes[..bytes.len() - cut].to_vec();
        if let Some(byte) = other.get_mut(changed) {
            *byte ^= 1;
        }
        for order in ORDERS {
            let cell = |bytes: &[u8]| key(&[order], &[Some(Value::Unordered(bytes.to_vec().leak()))]);
            prop_assert_eq!(cell(&bytes) == cell(&other), bytes == other);
            prop_assert!(prefix_free(&cell(&bytes), &cell(&other)));
        }
    }
}
