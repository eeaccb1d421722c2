//! Values that are not made of others and need no collation.

use keycode::{Address, Numeric, Value};
use pgrx::pg_sys::{Datum, Oid};
use pgrx::prelude::*;

use super::arena::Arena;
use super::{Class, varlena};
use crate::error::raise;

/// How a Datum is read.
#[derive(Clone, Copy)]
pub(super) enum Scalar {
    Bool,
    Char,
    Int2,
    Int4,
    Int8,
    Oid,
    Unsigned8,
    Float4,
    Float8,
    Numeric,
    Bytes,
    TimeTz,
    Interval,
    Uuid,
    MacAddr,
    MacAddr8,
    Inet,
    Bits,
    Tid,
    OidVector,
    Enum,
    /// A `date` that is compared with values of `timestamp`.
    DateAsTimestamp,
    /// A `date` that is compared with values of `timestamptz`.
    DateAsTimestampTz,
    /// A `timestamp` that is compared with values of `timestamptz`.
    TimestampAsTimestampTz,
}

/// `float_ops`
const FLOAT_FAMILY: u32 = 1970;
/// `integer_ops`
const INTEGER_FAMILY: u32 = 1976;
/// `datetime_ops`
const DATETIME_FAMILY: u32 = 434;

/// The scalar of a builtin family and one of its input types.
pub(super) fn of(family: Oid, input: Oid) -> Option<Scalar> {
    Some(match (family.to_u32(), input) {
        (424, pg_sys::BOOLOID) => Scalar::Bool,
        (429, pg_sys::CHAROID) => Scalar::Char,
        (INTEGER_FAMILY, pg_sys::INT2OID) => Scalar::Int2,
        (INTEGER_FAMILY, pg_sys::INT4OID) => Scalar::Int4,
        (INTEGER_FAMILY, pg_sys::INT8OID) => Scalar::Int8,
        (1989, pg_sys::OIDOID) => Scalar::Oid,
        (3253, pg_sys::PG_LSNOID) => Scalar::Unsigned8,
        (5067, pg_sys::XID8OID) => Scalar::Unsigned8,
        (FLOAT_FAMILY, pg_sys::FLOAT4OID) => Scalar::Float4,
        (FLOAT_FAMILY, pg_sys::FLOAT8OID) => Scalar::Float8,
        (1988, pg_sys::NUMERICOID) => Scalar::Numeric,
        (2099, pg_sys::MONEYOID) => Scalar::Int8,
        (428, pg_sys::BYTEAOID) => Scalar::Bytes,
        (DATETIME_FAMILY, pg_sys::DATEOID) => Scalar::Int4,
        (DATETIME_FAMILY, pg_sys::TIMESTAMPOID) => Scalar::Int8,
        (DATETIME_FAMILY, pg_sys::TIMESTAMPTZOID) => Scalar::Int8,
        (1996, pg_sys::TIMEOID) => Scalar::Int8,
        (2000, pg_sys::TIMETZOID) => Scalar::TimeTz,
        (1982, pg_sys::INTERVALOID) => Scalar::Interval,
        (2968, pg_sys::UUIDOID) => Scalar::Uuid,
        (1984, pg_sys::MACADDROID) => Scalar::MacAddr,
        (3371, pg_sys::MACADDR8OID) => Scalar::MacAddr8,
        (1974, pg_sys::INETOID) => Scalar::Inet,
        (423, pg_sys::BITOID) => Scalar::Bits,
        (2002, pg_sys::VARBITOID) => Scalar::Bits,
        (2789, pg_sys::TIDOID) => Scalar::Tid,
        (1991, pg_sys::OIDVECTOROID) => Scalar::OidVector,
        (3522, pg_sys::ANYENUMOID) => Scalar::Enum,
        _ => return None,
    })
}

/// The scalar of an operand that is compared with a column of the type `column`. The other
/// directions of `datetime_ops` lose digits: a `timestamp` is no whole `date`.
pub(super) fn of_operand(operand: Class, column: Oid) -> Option<Scalar> {
    match (operand.family.to_u32(), operand.input, column) {
        (INTEGER_FAMILY | FLOAT_FAMILY, input, _) => of(operand.family, input),
        (DATETIME_FAMILY, pg_sys::DATEOID, pg_sys::TIMESTAMPOID) => Some(Scalar::DateAsTimestamp),
        (DATETIME_FAMILY, pg_sys::DATEOID, pg_sys::TIMESTAMPTZOID) => {
            Some(Scalar::DateAsTimestampTz)
        }
        (DATETIME_FAMILY, pg_sys::TIMESTAMPOID, pg_sys::TIMESTAMPTZOID) => {
            Some(Scalar::TimestampAsTimestampTz)
        }
        _ => None,
    }
}

impl Scalar {
    /// The value of a Datum.
    ///
    /// # Safety
    /// `datum` must be of the scalar's type and outlive the value.
    #[inline]
    pub(super) unsafe fn decode<'a>(self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        let word = datum.value() as u64;
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Scalar::Bool => Value::Bool(word as u8 != 0),
                Scalar::Char => Value::Unsigned(word as u8 as u64),
                Scalar::Int2 => Value::Integer(word as i16 as i64),
                Scalar::Int4 => Value::Integer(word as i32 as i64),
                Scalar::Int8 => Value::Integer(word as i64),
                Scalar::Oid => Value::Unsigned(word as u32 as u64),
                Scalar::Unsigned8 => Value::Unsigned(word),
                Scalar::Float4 => Value::Float(f32::from_bits(word as u32).into()),
                Scalar::Float8 => Value::Float(f64::from_bits(word)),
                Scalar::DateAsTimestamp => Value::Integer(date_as_timestamp(word as i32)),
                Scalar::DateAsTimestampTz => Value::Integer(date_as_timestamptz(word as i32)),
                Scalar::TimestampAsTimestampTz => {
                    Value::Integer(timestamp_as_timestamptz(word as i64))
                }
                Scalar::Enum => Value::Float(sort_order(Oid::from(word as u32))),
                _ => self.decode_referenced(datum, arena),
            }
        }
    }

    /// As `decode`, of the types that are passed by reference.
    unsafe fn decode_referenced<'a>(self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        // SAFETY: the caller's promise; the types have the layouts that are read.
        unsafe {
            match self {
                Scalar::Uuid => Value::Uuid(read(datum)),
                Scalar::MacAddr => Value::MacAddr(read(datum)),
                Scalar::MacAddr8 => Value::MacAddr8(read(datum)),
                Scalar::TimeTz => timetz(read(datum)),
                Scalar::Interval => interval(read(datum)),
                Scalar::Tid => tid(read(datum)),
                Scalar::OidVector => oid_vector(datum, arena),
                Scalar::Numeric => Value::Numeric(numeric(varlena::bytes(datum, arena), arena)),
                Scalar::Inet => inet(varlena::bytes(datum, arena)),
                Scalar::Bits => bits(varlena::bytes(datum, arena)),
                _ => Value::Bytes(varlena::bytes(datum, arena)),
            }
        }
    }
}

/// Reads a value of fixed length.
unsafe fn read<T: Copy>(datum: Datum) -> T {
    // SAFETY: the callers know what the type looks like.
    unsafe { datum.cast_mut_ptr::<T>().read_unaligned() }
}

fn timetz(value: pg_sys::TimeTzADT) -> Value<'static> {
    Value::TimeTz { time: value.time, zone: value.zone }
}

fn interval(value: pg_sys::Interval) -> Value<'static> {
    Value::Interval { months: value.month, days: value.day, time: value.time }
}

fn tid(value: pg_sys::ItemPointerData) -> Value<'static> {
    let block = u32::from(value.ip_blkid.bi_hi) << 16 | u32::from(value.ip_blkid.bi_lo);
    Value::Tid { block, offset: value.ip_posid }
}

/// The elements behind the header, which an `oidvector` shares with arrays of one dimension.
unsafe fn oid_vector(datum: Datum, arena: &Arena) -> Value<'_> {
    // SAFETY: the caller's promise.
    unsafe {
        let vector = varlena::whole::<pg_sys::oidvector>(datum, arena);
        let elements = (&raw const (*vector).values).cast::<u32>();
        Value::OidVector(std::slice::from_raw_parts(elements, (*vector).dim1.max(0) as usize))
    }
}

fn two_bytes(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// `NUMERIC_SIGN_MASK`: the bits of a numeric's header that say which form it has.
const NUMERIC_FORM: u16 = 0xc000;
/// `NUMERIC_NEG`, of the long form.
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_SHORT: u16 = 0x8000;
const NUMERIC_SPECIAL: u16 = 0xc000;
const NUMERIC_SHORT_NEGATIVE: u16 = 0x2000;
/// The bits of the short form's weight, the highest of which is its sign.
const NUMERIC_SHORT_WEIGHT: u16 = 0x007f;
const NUMERIC_SHORT_WEIGHT_BITS: u32 = 7;
/// `NUMERIC_EXT_SIGN_MASK`: tells the special values apart.
const NUMERIC_SPECIAL_MASK: u16 = 0xf000;
const NUMERIC_POSITIVE_INFINITY: u16 = 0xd000;
const NUMERIC_NEGATIVE_INFINITY: u16 = 0xf000;

/// A `numeric` as `numeric.c` lays it out: a header of two bytes; in the long form a weight of two
/// bytes; digits to the end.
fn numeric<'a>(bytes: &[u8], arena: &'a Arena) -> Numeric<'a> {
    let header = two_bytes(bytes, 0);
    match header & NUMERIC_FORM {
        NUMERIC_SPECIAL => match header & NUMERIC_SPECIAL_MASK {
            NUMERIC_POSITIVE_INFINITY => Numeric::Infinity,
            NUMERIC_NEGATIVE_INFINITY => Numeric::NegativeInfinity,
            _ => Numeric::NaN,
        },
        NUMERIC_SHORT => Numeric::Finite {
            negative: header & NUMERIC_SHORT_NEGATIVE != 0,
            weight: short_weight(header),
            digits: digits(&bytes[2..], arena),
        },
        sign => Numeric::Finite {
            negative: sign == NUMERIC_NEGATIVE,
            weight: two_bytes(bytes, 2) as i16,
            digits: digits(&bytes[4..], arena),
        },
    }
}

/// A shift there and back extends the sign.
fn short_weight(header: u16) -> i16 {
    let unused = i16::BITS - NUMERIC_SHORT_WEIGHT_BITS;
    ((header & NUMERIC_SHORT_WEIGHT) as i16) << unused >> unused
}

/// Copies digits, which need not be aligned.
fn digits<'a>(bytes: &[u8], arena: &'a Arena) -> &'a [i16] {
    let digits = bytes.chunks_exact(2).map(|digit| i16::from_ne_bytes([digit[0], digit[1]]));
    arena.keep(digits.collect())
}

/// `inet_struct`: family, length of the netmask, address.
fn inet(bytes: &[u8]) -> Value<'_> {
    /// `PGSQL_AF_INET`, which is the value of `AF_INET` everywhere.
    const OLDER_FAMILY: u8 = 2;
    let address = if bytes[0] == OLDER_FAMILY {
        Address::V4(*bytes[2..].first_chunk().expect("an inet has its address"))
    } else {
        Address::V6(*bytes[2..].first_chunk().expect("an inet has its address"))
    };
    Value::Inet { address, bits: bytes[1] }
}

/// `VarBit`: how many bits, and the bits.
fn bits(bytes: &[u8]) -> Value<'_> {
    let (len, bytes) = bytes.split_first_chunk().expect("bits have a length");
    Value::Bits { bytes, len: u32::from_ne_bytes(*len) }
}

/// Where a conversion to microseconds leaves their range, the converted value is greater than every
/// finite timestamp, or less, but within the infinities. Finite timestamps end long before those,
/// so there is room for it.
fn within_infinities(converted: i64, overflow: i32) -> i64 {
    match overflow {
        0 => converted,
        1.. => i64::MAX - 1,
        _ => i64::MIN + 1,
    }
}

/// As `date_cmp_timestamp` converts.
fn date_as_timestamp(date: i32) -> i64 {
    let mut overflow = 0;
    // SAFETY: says in `overflow` what it cannot convert.
    let timestamp = unsafe { pg_sys::date2timestamp_opt_overflow(date, &mut overflow) };
    within_infinities(timestamp, overflow)
}

/// As `date_cmp_timestamptz` converts, in the session's time zone.
fn date_as_timestamptz(date: i32) -> i64 {
    let mut overflow = 0;
    // SAFETY: says in `overflow` what it cannot convert.
    let timestamp = unsafe { pg_sys::date2timestamptz_opt_overflow(date, &mut overflow) };
    within_infinities(timestamp, overflow)
}

/// As `timestamp_cmp_timestamptz_internal` converts, in the session's time zone.
fn timestamp_as_timestamptz(timestamp: i64) -> i64 {
    let mut overflow = 0;
    // SAFETY: says in `overflow` what it cannot convert.
    let timestamp = unsafe { pg_sys::timestamp2timestamptz_opt_overflow(timestamp, &mut overflow) };
    within_infinities(timestamp, overflow)
}

/// The position of an enum's label among the others.
fn sort_order(label: Oid) -> f64 {
    // SAFETY: the tuple is pinned between the search and the release.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::ENUMOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, label.into());
        if tuple.is_null() {
            raise(
                PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
                format!("invalid internal value for enum: {}", label.to_u32()),
                "",
            );
        }
        let order = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_enum>()).enumsortorder;
        pg_sys::ReleaseSysCache(tuple);
        order.into()
    }
}
