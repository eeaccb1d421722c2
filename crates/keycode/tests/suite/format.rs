//! The bytes of keys. Stores hold them: a test that fails here says that old indexes cannot be read.

use std::ops::Bound;

use keycode::{
    Address, Array, DIGEST, Dimension, Encoder, Json, Member, Numeric, Order, Range, Value, shorten,
};

fn ascending(value: Value<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    Encoder::new(&mut key).column(Order::ASCENDING, Some(value));
    key
}

const SHA256_OF_33_X: &str = "11ba55a3a7c1ee0f8eb8867dc40a62c67240eb4a5ea125ee5c383fe996b57cd6";

/// A space stands between what the module's text tells apart.
#[track_caller]
fn is(value: Value<'_>, expected: &str) {
    assert_hex(&ascending(value), expected);
}

#[track_caller]
fn assert_hex(key: &[u8], expected: &str) {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected.replace(' ', ""));
}

#[test]
fn integers() {
    is(Value::Integer(0), "80");
    is(Value::Integer(1), "81 01");
    is(Value::Integer(255), "81 ff");
    is(Value::Integer(256), "82 0100");
    is(Value::Integer(i64::MAX), "88 7fffffffffffffff");
    is(Value::Integer(-1), "7f");
    is(Value::Integer(-2), "7e fe");
    is(Value::Integer(-256), "7e 00");
    is(Value::Integer(-257), "7d feff");
    is(Value::Integer(i64::MIN), "77 8000000000000000");
    is(Value::Unsigned(1), "81 01");
    is(Value::Unsigned(u64::MAX), "88 ffffffffffffffff");
    is(Value::Interval { months: 1, days: 0, time: 1 }, "86 025b7f3d4001");
}

#[test]
fn floats_and_booleans() {
    is(Value::Bool(false), "18");
    is(Value::Bool(true), "19");
    is(Value::Float(1.5), "1a bff8000000000000");
    is(Value::Float(-0.0), "1a 8000000000000000");
    is(Value::Float(-1.5), "1a 4007ffffffffffff");
    is(Value::Float(f64::NAN), "1a ffffffffffffffff");
}

#[test]
fn numerics() {
    let number =
        |negative, weight, digits| Value::Numeric(Numeric::Finite { negative, weight, digits });
    is(Value::Numeric(Numeric::NegativeInfinity), "10");
    is(number(true, 0, &[123, 4500]), "11 7f ff08 dcd7");
    is(number(false, 0, &[]), "12");
    is(number(false, 0, &[123, 4500]), "13 80 00f7 2328");
    is(number(false, 1, &[1, 0, 9999]), "13 8101 0003 0001 4e1e");
    is(Value::Numeric(Numeric::Infinity), "14");
    is(Value::Numeric(Numeric::NaN), "15");
}

#[test]
fn strings() {
    is(Value::Bytes(b""), "1b 0001");
    is(Value::Bytes(b"a\0\xffb"), "1b 61 00ff ff 62 0001");
    is(Value::Collated { sort_key: b"k", tiebreak: Some(b"t") }, "1c 6b 0001 74 0001");
    is(Value::Collated { sort_key: b"k", tiebreak: None }, "1c 6b 0001");
    is(Value::Bits { bytes: &[], len: 0 }, "1d 0001 07");
    is(Value::Bits { bytes: &[0xa0], len: 3 }, "1d a0 0001 02");
    is(Value::Unordered(b"abc"), "38 616263 0001");
    is(Value::Unordered(&[b'x'; 33]), &format!("39 {SHA256_OF_33_X}"));
}

#[test]
fn fixed() {
    is(Value::TimeTz { time: 3_600_000_000, zone: -3600 }, "1e 80 7d f1f0");
    is(Value::Tid { block: 256, offset: 1 }, "1f 820100 8101");
    is(Value::Uuid([7; 16]), "20 07070707070707070707070707070707");
    is(Value::MacAddr([8; 6]), "21 080808080808");
    is(Value::MacAddr8([9; 8]), "22 0909090909090909");
    let four = Address::V4([10, 1, 255, 4]);
    is(Value::Inet { address: four, bits: 20 }, "23 0a01f000 14 0a01ff04");
    let six = Address::V6([0xff; 16]);
    let (network, address) = ("fffe".to_owned() + &"00".repeat(14), "ff".repeat(16));
    is(Value::Inet { address: six, bits: 15 }, &format!("24 {network} 0f {address}"));
}

#[test]
fn nested() {
    let one = Value::Integer(1);
    let elements = [Some(one), None];
    let dimensions = [Dimension { length: 2, lower_bound: 1 }];
    is(Value::OidVector(&[1, 0]), "30 8102 8101 80");
    let array = Array { elements: &elements, dimensions: &dimensions };
    is(Value::Array(array), "31 8101 fd 01 01 8102 8101");
    is(Value::Array(Array { elements: &[], dimensions: &[] }), "31 01 00");
    is(Value::Record(&elements), "32 8101 fd 01");
    let range = |lower, upper| Range::Bounds { lower, upper };
    let closed = range(Bound::Included(&one), Bound::Included(&one));
    let open = range(Bound::Excluded(&one), Bound::Excluded(&one));
    let endless = range(Bound::Unbounded, Bound::Unbounded);
    is(Value::Range(Range::Empty), "33");
    is(Value::Range(closed), "34 01 8101 00 00 8101 01");
    is(Value::Range(open), "34 01 8101 01 00 8101 00");
    is(Value::Range(endless), "34 00 01");
    is(Value::Multirange(&[endless]), "35 34 00 01 01");
}

#[test]
fn json() {
    let text = Value::Bytes(b"a");
    let number = Json::Number(Numeric::Finite { negative: false, weight: 0, digits: &[1] });
    let member = Member { key: text, value: Json::Bool(true) };
    is(Value::Json(Json::Null), "45 8101 00 40");
    is(Value::Json(Json::Array(&[])), "45 80 01");
    let array = [Json::String(&text), number, Json::Bool(false), Json::Null];
    is(Value::Json(Json::Array(&array)), "45 8104 01 41 1b610001 42 13800002 43 40");
    is(Value::Json(Json::Object(&[member])), "46 8101 1b610001 44");
}

#[test]
fn columns() {
    let mut key = b"index".to_vec();
    let nulls_last = Order { descending: true, nulls_first: false };
    Encoder::new(&mut key)
        .column(Order::ASCENDING, Some(Value::Integer(1)))
        .column(Order::DESCENDING, Some(Value::Bytes(b"a")))
        .column(Order::ASCENDING, None)
        .column(Order::DESCENDING, None)
        .column(nulls_last, None);
    assert_hex(&key, "696e646578 8101 e49efffe fd 02 fd");
}

#[test]
fn shortened() {
    let limit = DIGEST + 3;
    let mut key = [b'x'; 33].to_vec();
    assert!(shorten(&mut key, limit));
    assert_hex(&key, &format!("787878 {SHA256_OF_33_X}"));
    let mut key = b"xxx".to_vec();
    assert!(!shorten(&mut key, limit));
    assert_hex(&key, "787878");
}
