//! Every first byte that a cell can have.
//!
//! Numbers are never used again for something else. Types never meet in one column, so only the
//! order within a type matters: of the classes of numbers, of the families of addresses, of the
//! empty range and others.

/// Behind the last element of an array, record or multirange: below every element.
pub(crate) const END: u8 = 0x01;
/// NULL in a column with NULLS FIRST. Below every value, inverted or not.
pub(crate) const NULL_FIRST: u8 = 0x02;
/// Below every value, above [`NULL_FIRST`].
pub(crate) const FIRST_VALUE: u8 = 0x03;

pub(crate) const NUMERIC_NEGATIVE_INFINITY: u8 = 0x10;
pub(crate) const NUMERIC_NEGATIVE: u8 = 0x11;
pub(crate) const NUMERIC_ZERO: u8 = 0x12;
pub(crate) const NUMERIC_POSITIVE: u8 = 0x13;
pub(crate) const NUMERIC_INFINITY: u8 = 0x14;
pub(crate) const NUMERIC_NAN: u8 = 0x15;

pub(crate) const FALSE: u8 = 0x18;
pub(crate) const TRUE: u8 = 0x19;
pub(crate) const FLOAT: u8 = 0x1a;
pub(crate) const BYTES: u8 = 0x1b;
pub(crate) const COLLATED: u8 = 0x1c;
pub(crate) const BITS: u8 = 0x1d;
pub(crate) const TIMETZ: u8 = 0x1e;
pub(crate) const TID: u8 = 0x1f;
pub(crate) const UUID: u8 = 0x20;
pub(crate) const MACADDR: u8 = 0x21;
pub(crate) const MACADDR8: u8 = 0x22;
pub(crate) const INET_V4: u8 = 0x23;
pub(crate) const INET_V6: u8 = 0x24;

pub(crate) const OID_VECTOR: u8 = 0x30;
pub(crate) const ARRAY: u8 = 0x31;
pub(crate) const RECORD: u8 = 0x32;
pub(crate) const RANGE_EMPTY: u8 = 0x33;
pub(crate) const RANGE: u8 = 0x34;
pub(crate) const MULTIRANGE: u8 = 0x35;

pub(crate) const UNORDERED: u8 = 0x38;
pub(crate) const UNORDERED_DIGEST: u8 = 0x39;

pub(crate) const JSON_NULL: u8 = 0x40;
pub(crate) const JSON_STRING: u8 = 0x41;
pub(crate) const JSON_NUMBER: u8 = 0x42;
pub(crate) const JSON_FALSE: u8 = 0x43;
pub(crate) const JSON_TRUE: u8 = 0x44;
pub(crate) const JSON_ARRAY: u8 = 0x45;
pub(crate) const JSON_OBJECT: u8 = 0x46;

/// The integer zero; one more per byte of a positive integer, up to 0x90.
pub(crate) const INTEGER_ZERO: u8 = 0x80;
/// The integer minus one; one less per byte of a lower integer, down to 0x6f.
pub(crate) const INTEGER_MINUS_ONE: u8 = 0x7f;

/// NULL in a column with NULLS LAST. Above every value, inverted or not.
pub(crate) const NULL_LAST: u8 = 0xfd;
/// Above every cell.
pub(crate) const AFTER_ALL: u8 = 0xfe;
