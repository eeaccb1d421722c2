//! Values of every type. Most come from the edges, so that equals, prefixes and neighbours meet
//! often; the rest are anything. What a value borrows is leaked: it is little, and the tests end.

use std::ops::Bound;

use keycode::{Address, Array, Dimension, Json, Member, Numeric, Range, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::Cell;

/// A strategy for values of one type.
pub(crate) type Type = BoxedStrategy<Value<'static>>;

/// NULL, sometimes.
pub(crate) fn nullable(values: Type) -> BoxedStrategy<Cell> {
    prop::option::weighted(0.8, values).boxed()
}

/// Types for the columns of a key: one per form of cell.
pub(crate) fn any_type() -> impl Strategy<Value = Type> {
    let types: [fn() -> Type; 8] =
        [bools, integers, floats, numerics, bytes, collated, inets, arrays];
    select(types.to_vec()).prop_map(|make| make())
}

pub(crate) fn bools() -> Type {
    any::<bool>().prop_map(Value::Bool).boxed()
}

fn edge_integers() -> impl Strategy<Value = i64> {
    let powers = (0..64u32, -2..=2i64, any::<bool>()).prop_map(|(power, near, negative)| {
        let edge = (1i64 << power).wrapping_add(near);
        if negative { edge.wrapping_neg() } else { edge }
    });
    prop_oneof![2 => -3..=3i64, 2 => powers, 1 => any::<i64>()]
}

pub(crate) fn integers() -> Type {
    edge_integers().prop_map(Value::Integer).boxed()
}

/// Few enough of them to meet often.
pub(crate) fn small_integers() -> Type {
    (-2..=2i64).prop_map(Value::Integer).boxed()
}

pub(crate) fn unsigned() -> Type {
    edge_integers().prop_map(|value| Value::Unsigned(value as u64)).boxed()
}

fn edge_floats() -> impl Strategy<Value = f64> {
    let edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::MIN_POSITIVE,
        -f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::from_bits(u64::MAX),
        0.1,
        f64::from(0.1f32),
    ];
    let anything = any::<u64>().prop_map(f64::from_bits);
    let narrow = any::<u32>().prop_map(|bits| f64::from(f32::from_bits(bits)));
    prop_oneof![2 => select(edges.to_vec()), 1 => anything, 1 => narrow]
}

pub(crate) fn floats() -> Type {
    edge_floats().prop_map(Value::Float).boxed()
}

fn finite(negative: bool, weight: i16, digits: Vec<i16>) -> Numeric<'static> {
    // A stored zero has no digits and no sign.
    let zero = digits.iter().all(|digit| *digit == 0);
    let digits = if zero { Vec::new() } else { digits };
    Numeric::Finite { negative: negative && !zero, weight, digits: digits.leak() }
}

pub(crate) fn numerics() -> Type {
    let digit = prop_oneof![3 => select(vec![0, 1, 2, 9998, 9999]), 1 => 0..10_000i16];
    let weight =
        prop_oneof![3 => -2..=2i16, 1 => select(vec![i16::MIN, i16::MAX]), 1 => any::<i16>()];
    let number = (any::<bool>(), weight, vec(digit, 0..4))
        .prop_map(|(negative, weight, digits)| finite(negative, weight, digits));
    let special = select(vec![Numeric::NegativeInfinity, Numeric::Infinity, Numeric::NaN]);
    prop_oneof![8 => number, 1 => special].prop_map(Value::Numeric).boxed()
}

fn strings() -> impl Strategy<Value = &'static [u8]> {
    let edge = select(vec![0x00, 0x01, 0x02, b' ', b'a', 0xfd, 0xfe, 0xff]);
    let byte = prop_oneof![3 => edge, 1 => any::<u8>()];
    vec(byte, 0..6).prop_map(|bytes| &*bytes.leak())
}

pub(crate) fn bytes() -> Type {
    strings().prop_map(Value::Bytes).boxed()
}

/// A collation that does not tell cases apart: lower case is the sort key.
fn text(collate: impl Fn(&'static [u8], &'static [u8]) -> Value<'static> + 'static) -> Type {
    let texts = vec(select(b"abAB\x01\xff".to_vec()), 0..5);
    texts
        .prop_map(move |text| {
            let text = &*text.leak();
            collate(text.to_ascii_lowercase().leak(), text)
        })
        .boxed()
}

pub(crate) fn collated() -> Type {
    text(|sort_key, text| Value::Collated { sort_key, tiebreak: Some(text) })
}

pub(crate) fn nondeterministic() -> Type {
    text(|sort_key, _| Value::Collated { sort_key, tiebreak: None })
}

pub(crate) fn timetzs() -> Type {
    const HOUR: i64 = 3_600_000_000;
    let zone = prop_oneof![(-2..=2i32).prop_map(|hours| hours * 3600), -57_600..=57_600i32];
    let time = prop_oneof![(0..=24i64).prop_map(|hours| hours * HOUR), 0..=24 * HOUR];
    (time, zone).prop_map(|(time, zone)| Value::TimeTz { time, zone }).boxed()
}

pub(crate) fn intervals() -> Type {
    let edge =
        || prop_oneof![3 => -2..=2i32, 1 => select(vec![i32::MIN, i32::MAX]), 1 => any::<i32>()];
    let days = prop_oneof![edge(), edge().prop_map(|months| months.wrapping_mul(30))];
    const DAY: i64 = 86_400_000_000;
    let time = prop_oneof![
        (-31..=31i64).prop_map(|days| days * DAY),
        select(vec![i64::MIN, i64::MAX, 0, 1, -1]),
        any::<i64>()
    ];
    (edge(), days, time)
        .prop_map(|(months, days, time)| Value::Interval { months, days, time })
        .boxed()
}

fn edge_bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    vec(prop_oneof![select(vec![0, 1, 0x7f, 0x80, 0xff]), any::<u8>()], N)
        .prop_map(|bytes| bytes.try_into().unwrap_or([0; N]))
}

pub(crate) fn uuids() -> Type {
    edge_bytes().prop_map(Value::Uuid).boxed()
}

pub(crate) fn macaddrs() -> Type {
    edge_bytes().prop_map(Value::MacAddr).boxed()
}

pub(crate) fn macaddr8s() -> Type {
    edge_bytes().prop_map(Value::MacAddr8).boxed()
}

pub(crate) fn inets() -> Type {
    // Few addresses, so that networks contain each other.
    let four = (vec(select(vec![0u8, 1, 0x80, 0xc0, 0xff]), 4), 0..=32u8)
        .prop_map(|(a, bits)| Value::Inet { address: Address::V4([a[0], a[1], a[2], a[3]]), bits });
    let near = (vec(0..2u8, 4), 0..=32u8)
        .prop_map(|(a, bits)| Value::Inet { address: Address::V4([10, a[1], 0, a[3]]), bits });
    let six = (edge_bytes(), 0..=128u8)
        .prop_map(|(address, bits)| Value::Inet { address: Address::V6(address), bits });
    prop_oneof![four, near, six].boxed()
}

pub(crate) fn bits() -> Type {
    (edge_bytes::<4>(), 0..=32u32)
        .prop_map(|(bytes, len)| {
            let whole = u32::from_be_bytes(bytes) & (u64::MAX << (32 - len)) as u32;
            let used = len.div_ceil(8) as usize;
            Value::Bits { bytes: whole.to_be_bytes()[..used].to_vec().leak(), len }
        })
        .boxed()
}

pub(crate) fn tids() -> Type {
    let block = prop_oneof![0..3u32, any::<u32>()];
    let offset = prop_oneof![0..3u16, any::<u16>()];
    (block, offset).prop_map(|(block, offset)| Value::Tid { block, offset }).boxed()
}

pub(crate) fn oid_vectors() -> Type {
    let oid = prop_oneof![0..3u32, any::<u32>()];
    vec(oid, 0..4).prop_map(|oids| Value::OidVector(oids.leak())).boxed()
}

/// Arrays of up to three dimensions.
pub(crate) fn arrays_of(element: Type) -> Type {
    let dimension =
        (1..=2i32, -1..=1i32).prop_map(|(length, lower_bound)| Dimension { length, lower_bound });
    let shape = vec(dimension, 0..=3);
    (shape, vec(nullable(element), 8))
        .prop_map(|(dimensions, mut elements)| {
            let product: i32 = dimensions.iter().map(|dimension| dimension.length).product();
            elements.truncate(if dimensions.is_empty() { 0 } else { product as usize });
            let dimensions = dimensions.leak();
            Value::Array(Array { elements: elements.leak(), dimensions })
        })
        .boxed()
}

pub(crate) fn arrays() -> Type {
    arrays_of(small_integers())
}

pub(crate) fn records_of(columns: Vec<Type>) -> Type {
    let columns: Vec<_> = columns.into_iter().map(nullable).collect();
    columns.prop_map(|columns| Value::Record(columns.leak())).boxed()
}

fn bound(value: Type) -> impl Strategy<Value = Bound<&'static Value<'static>>> {
    (0..5, value).prop_map(|(form, value)| match form {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(&*Box::leak(Box::new(value))),
        _ => Bound::Excluded(&*Box::leak(Box::new(value))),
    })
}

fn range_of(value: Type) -> impl Strategy<Value = Range<'static>> {
    let bounds = (bound(value.clone()), bound(value))
        .prop_map(|(lower, upper)| Range::Bounds { lower, upper });
    prop_oneof![1 => Just(Range::Empty), 9 => bounds]
}

pub(crate) fn ranges_of(value: Type) -> Type {
    range_of(value).prop_map(Value::Range).boxed()
}

pub(crate) fn multiranges_of(value: Type) -> Type {
    vec(range_of(value), 0..3).prop_map(|ranges| Value::Multirange(ranges.leak())).boxed()
}

fn json() -> impl Strategy<Value = Json<'static>> {
    let number =
        (any::<bool>(), 1..3i16).prop_map(|(negative, digit)| finite(negative, 0, vec![digit]));
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number.prop_map(Json::Number),
        bytes().prop_map(|text| Json::String(&*Box::leak(Box::new(text)))),
    ];
    scalar.prop_recursive(3, 12, 3, |part| {
        let member = (select(vec![&b""[..], b"a", b"ab", b"b"]), part.clone())
            .prop_map(|(key, value)| Member { key: Value::Bytes(key), value });
        prop_oneof![
            vec(part, 0..3).prop_map(|elements| Json::Array(elements.leak())),
            vec(member, 0..3).prop_map(|members| Json::Object(members.leak())),
        ]
    })
}

pub(crate) fn jsons() -> Type {
    json().prop_map(Value::Json).boxed()
}
