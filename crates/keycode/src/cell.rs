//! Cells of values, ascending.

use sha2::{Digest, Sha256};

use crate::{Address, Value, json, lead, nested, numeric};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i128 = 86_400 * MICROS_PER_SECOND as i128;
const DAYS_PER_MONTH: i64 = 30;

/// Longest unordered bytes that are kept as they are: as long as a digest.
const UNORDERED_KEPT: usize = 32;

/// Appends the cell of a value.
pub(crate) fn push(out: &mut Vec<u8>, value: &Value<'_>) {
    match *value {
        Value::Bool(value) => out.push(if value { lead::TRUE } else { lead::FALSE }),
        Value::Integer(value) => push_integer(out, value.into()),
        Value::Unsigned(value) => push_integer(out, value.into()),
        Value::Float(value) => push_fixed(out, lead::FLOAT, &float_bits(value).to_be_bytes()),
        Value::Numeric(value) => numeric::push(out, value),
        Value::Bytes(bytes) => push_bytes(out, lead::BYTES, bytes),
        Value::Collated { sort_key, tiebreak } => push_collated(out, sort_key, tiebreak),
        Value::TimeTz { time, zone } => push_timetz(out, time, zone),
        Value::Interval { months, days, time } => push_integer(out, span(months, days, time)),
        Value::Uuid(bytes) => push_fixed(out, lead::UUID, &bytes),
        Value::MacAddr(bytes) => push_fixed(out, lead::MACADDR, &bytes),
        Value::MacAddr8(bytes) => push_fixed(out, lead::MACADDR8, &bytes),
        Value::Inet { address: Address::V4(address), bits } => {
            push_inet(out, lead::INET_V4, &address, bits)
        }
        Value::Inet { address: Address::V6(address), bits } => {
            push_inet(out, lead::INET_V6, &address, bits)
        }
        Value::Bits { bytes, len } => push_bits(out, bytes, len),
        Value::Tid { block, offset } => push_tid(out, block, offset),
        Value::OidVector(oids) => push_oid_vector(out, oids),
        Value::Array(array) => nested::push_array(out, array),
        Value::Record(columns) => nested::push_record(out, columns),
        Value::Range(range) => nested::push_range(out, range),
        Value::Multirange(ranges) => nested::push_multirange(out, ranges),
        Value::Json(json) => json::push(out, json),
        Value::Unordered(bytes) => push_unordered(out, bytes),
    }
}

/// An integer of any width: one encoding for all, so that widths compare with each other, and short
/// for small ones, because most ids are small. A longer positive number is greater, a longer
/// negative one is less; among equally long ones the bytes decide.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: i128) {
    let magnitude = if value < 0 { !value } else { value };
    let zeros = magnitude.leading_zeros() as usize / 8;
    let len = (size_of::<i128>() - zeros) as u8;
    out.push(if value < 0 { lead::INTEGER_MINUS_ONE - len } else { lead::INTEGER_ZERO + len });
    out.extend_from_slice(&value.to_be_bytes()[zeros..]);
}

/// Bytes of any length: an escaped zero is above the end of a shorter string and below every other
/// byte.
pub(crate) fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&[0x00, 0xff]);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[0x00, 0x01]);
}

/// IEEE 754 numbers of one sign compare as integers. Any NaN becomes the greatest integer.
fn float_bits(value: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    if value.is_nan() {
        return u64::MAX;
    }
    // Adding zero makes −0 positive and changes nothing else.
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn push_fixed(out: &mut Vec<u8>, lead: u8, bytes: &[u8]) {
    out.push(lead);
    out.extend_from_slice(bytes);
}

fn push_bytes(out: &mut Vec<u8>, lead: u8, bytes: &[u8]) {
    out.push(lead);
    push_escaped(out, bytes);
}

fn push_collated(out: &mut Vec<u8>, sort_key: &[u8], tiebreak: Option<&[u8]>) {
    push_bytes(out, lead::COLLATED, sort_key);
    if let Some(text) = tiebreak {
        push_escaped(out, text);
    }
}

fn push_timetz(out: &mut Vec<u8>, time: i64, zone: i32) {
    out.push(lead::TIMETZ);
    let utc = i128::from(time) + i128::from(zone) * i128::from(MICROS_PER_SECOND);
    push_integer(out, utc);
    push_integer(out, zone.into());
}

/// The length of an interval in microseconds. It needs more than 64 bits.
fn span(months: i32, days: i32, time: i64) -> i128 {
    let days = i64::from(months) * DAYS_PER_MONTH + i64::from(days);
    i128::from(days) * MICROS_PER_DAY + i128::from(time)
}

/// Of two networks that agree in the bits that both have, the masked address of the shorter is not
/// greater, because it has zeros where the longer has bits; where it is the same, the length of the
/// netmask decides as it should.
fn push_inet(out: &mut Vec<u8>, lead: u8, address: &[u8], bits: u8) {
    out.push(lead);
    let masked = address.iter().enumerate().map(|(i, byte)| byte & netmask(i, bits));
    out.extend(masked);
    out.push(bits);
    out.extend_from_slice(address);
}

/// Byte `i` of a netmask of this many bits.
fn netmask(i: usize, bits: u8) -> u8 {
    let kept = usize::from(bits).saturating_sub(i * 8).min(8);
    (0xff00_u16 >> kept) as u8
}

/// Equal bytes mean equally many of them, so that only the length of the last byte is left to
/// compare: 0 for one bit, 7 for eight.
fn push_bits(out: &mut Vec<u8>, bytes: &[u8], len: u32) {
    push_bytes(out, lead::BITS, bytes);
    out.push((len.wrapping_sub(1) % 8) as u8);
}

fn push_tid(out: &mut Vec<u8>, block: u32, offset: u16) {
    out.push(lead::TID);
    push_integer(out, block.into());
    push_integer(out, offset.into());
}

fn push_oid_vector(out: &mut Vec<u8>, oids: &[u32]) {
    out.push(lead::OID_VECTOR);
    push_integer(out, oids.len() as i128);
    oids.iter().for_each(|oid| push_integer(out, i128::from(*oid)));
}

fn push_unordered(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= UNORDERED_KEPT {
        push_bytes(out, lead::UNORDERED, bytes);
    } else {
        push_fixed(out, lead::UNORDERED_DIGEST, &Sha256::digest(bytes));
    }
}
