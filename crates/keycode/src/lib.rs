//! Index keys: column values as bytes that sort as PostgreSQL's btree would sort the values.
//!
//! An index key is a sequence of *cells*, one per column. For two keys of one index,
//!
//! - the keys compare bytewise as the rows of values compare column by column, each with the btree
//!   comparison of its type, reversed where the column is `DESC`, and NULLs at the end that the
//!   column's [`Order`] says;
//! - the keys are equal exactly when the values compare as equal. What compares as equal and looks
//!   different (`1.0` and `1.00`, `'1 month'` and `'30 days'`, `-0` and `0`) has one key, so a key
//!   does not tell the value back;
//! - no cell is a proper prefix of another cell of its column, so the columns behind it, and a row
//!   id behind all of them, never take part in its comparison.
//!
//! The caller turns a Datum into a [`Value`]; [`Encoder`] appends its cell; [`KeyRange`] says where
//! the keys lie that a condition on a column asks for; [`shorten`] makes a key fit a store.
//!
//! ```
//! use keycode::{Comparison, Encoder, KeyRange, Order, Value};
//!
//! // An index on (a, b DESC) of the row (7, NULL), and the condition a = 7 AND b IS NULL.
//! let mut key = b"index 1:".to_vec();
//! let mut encoder = Encoder::new(&mut key);
//! encoder.column(Order::ASCENDING, Some(Value::Integer(7)));
//! encoder.column(Order::DESCENDING, None);
//!
//! let a = KeyRange::compare(b"index 1:", Order::ASCENDING, Comparison::Equal, Value::Integer(7));
//! assert!(a.contains(&key));
//! assert!(KeyRange::nulls(&a.start, Order::DESCENDING).contains(&key));
//! ```
//!
//! # Cells
//!
//! The first byte of a cell is its *lead* (the table in `lead.rs`). NULL is nothing but a lead, below
//! all others or above them. `DESC` inverts every bit of a cell but not the NULL lead, because
//! NULLS FIRST and LAST do not depend on the direction. Leads of values keep out of the way of both,
//! inverted or not:
//!
//! ```text
//!  00   01    02          03 … FC              FD         FE FF
//!  -    end   null first  values, as they are  null last  -
//!                         or inverted
//! ```
//!
//! | value | behind the lead |
//! |---|---|
//! | integer | the lead says sign and length; as many big-endian bytes as needed, two's complement |
//! | float | 8 bytes big-endian; the sign bit is inverted for positive numbers, all bits for negative ones; NaN is all ones |
//! | numeric | the lead says NaN, infinity or sign; weight as an integer; each base-10000 digit doubled, plus one if another follows, in two bytes; all this inverted for negative numbers |
//! | bytes | the bytes with `00` as `00 FF`, then `00 01` |
//! | collated text | the sort key as bytes, then the text as bytes where the collation is deterministic |
//! | bits | bytes as above, then one byte: how many bits the last one has |
//! | timetz | the instant in UTC, then the zone, as integers |
//! | interval | its length in microseconds, with 30-day months, as an integer |
//! | uuid, macaddr, macaddr8 | the bytes |
//! | inet, cidr | the lead says the family; network address, one byte of netmask length, whole address |
//! | tid | block, offset, as integers |
//! | oidvector | length, then the elements, as integers |
//! | array | cells of the elements, NULLs last, end; dimensions (one byte), their lengths and lower bounds as integers |
//! | record | cells of the columns, NULLs last, end |
//! | range | the lead says whether it is empty; lower bound, upper bound |
//! | lower bound | `00` if there is none; else `01`, the cell, `00` or, if exclusive, `01` |
//! | upper bound | `01` if there is none; else `00`, the cell, `01` or, if exclusive, `00` |
//! | multirange | cells of the ranges, end |
//! | jsonb | the lead says which type, or the boolean; a string or number: its cell; an array: how many elements as an integer, `00` for the false array around a scalar that is alone, else `01`, the elements; an object: how many members as an integer, the cells of keys, each with its value |
//! | unordered | the lead says which: up to 32 bytes as bytes, or the SHA-256 of more |
//!
//! Leads are a format: a number is never used again for something else.
//!
//! # Which types share cells
//!
//! Types that one operator family compares with each other have the same cells, so that a key can
//! be sought by an operand of another type: `smallint`, `integer` and `bigint` are
//! [`Value::Integer`], `real` and `double precision` [`Value::Float`], `text`, `varchar` and `name`
//! [`Value::Bytes`] or [`Value::Collated`], by the collation alone. The exception is the family of
//! `date`, `timestamp` and `timestamptz`: how they compare with each other depends on the session's
//! time zone, so the caller converts such an operand to the column's type and looks at what rounding
//! did to the condition.
//!
//! # What has no order here
//!
//! `tsvector`, `tsquery` and the `record_image_ops` compare by rules that would make a format of
//! PostgreSQL's internals, and text of a collation without a dependable sort key cannot be ordered at all. Such
//! columns, and types that have nothing but equality, are [`Value::Unordered`]: the index finds what
//! is equal, and promises no order.

mod cell;
mod encoder;
mod json;
mod lead;
mod long;
mod nested;
mod numeric;
mod range;
mod value;

pub use encoder::{Encoder, Order};
pub use long::{DIGEST, is_shortened, same_run, shorten};
pub use range::{Comparison, KeyRange, RowOperand, after_prefix};
pub use value::{Address, Array, Dimension, Json, Member, Numeric, Range, Value, strip_blanks};
