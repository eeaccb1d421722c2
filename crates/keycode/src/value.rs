//! Column values as plain data: what a caller turns a Datum into.

use std::ops::Bound;

/// A value that is not NULL. Each variant says which types it is for and whose comparison it keeps;
/// function names are those of PostgreSQL's sources.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `boolean`: false before true.
    Bool(bool),
    /// Whatever PostgreSQL compares as a signed integer: `smallint`, `integer`, `bigint`, `money`,
    /// `date` (days), `time`, `timestamp` and `timestamptz` (microseconds). The infinities of dates
    /// and timestamps are the least and greatest integers of their types and need no care.
    Integer(i64),
    /// Whatever it compares as an unsigned integer: `oid`, `xid8`, `pg_lsn`, and `"char"`, which
    /// `btcharcmp` takes for an unsigned byte.
    Unsigned(u64),
    /// `real`, widened, and `double precision` (`float8_cmp_internal`): −0 equals 0, NaN equals
    /// itself and is greater than everything else. Also an enum, by the position of its label
    /// (`pg_enum.enumsortorder`); `ALTER TYPE … ADD VALUE` may move the positions of all labels once
    /// there is no float left between two (`RenumberEnumType`), and keys made before are wrong then.
    Float(f64),
    /// `numeric` (`cmp_numerics`).
    Numeric(Numeric<'a>),
    /// Bytes in `memcmp` order, the shorter first: `bytea`; and text as [`Value::Collated`] says
    /// under a collation that orders bytes (`C`, `POSIX`, the builtin `C.UTF-8`), and under the
    /// `*_pattern_ops`. `name` goes without its padding, `bpchar` through [`strip_blanks`].
    Bytes(&'a [u8]),
    /// Text under a collation with sort keys (`varstr_cmp`).
    Collated {
        /// What `strxfrm` or `ucol_getSortKey` made of the text. Bytewise comparison of two of them
        /// must agree with the collation's own comparison.
        sort_key: &'a [u8],
        /// The text itself, which decides between equals of a deterministic collation; `None` for a
        /// nondeterministic one. Must be the same for all values of a column.
        tiebreak: Option<&'a [u8]>,
    },
    /// `timetz` (`timetz_cmp_internal`): by instant, then by zone.
    TimeTz {
        /// Local time of day, in microseconds.
        time: i64,
        /// Seconds west of Greenwich, as PostgreSQL stores it.
        zone: i32,
    },
    /// `interval` (`interval_cmp_value`): a month is 30 days, a day 24 hours. PostgreSQL 17's
    /// infinities are the least and greatest of all fields and need no care.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Microseconds.
        time: i64,
    },
    /// `uuid` (`memcmp`).
    Uuid([u8; 16]),
    /// `macaddr` (`macaddr_cmp_internal`).
    MacAddr([u8; 6]),
    /// `macaddr8` (`macaddr8_cmp_internal`).
    MacAddr8([u8; 8]),
    /// `inet` and `cidr` (`network_cmp_internal`): by family, then by the network bits that both
    /// have, then the shorter netmask first, then by all bits.
    Inet {
        /// The address, with its host bits.
        address: Address,
        /// Bits in the netmask.
        bits: u8,
    },
    /// `bit` and `varbit` (`bit_cmp`): by bytes, then by length.
    Bits {
        /// The bits from the highest of the first byte on; unused bits of the last byte are zero.
        bytes: &'a [u8],
        /// How many bits there are.
        len: u32,
    },
    /// `tid` (`ItemPointerCompare`).
    Tid {
        /// Block.
        block: u32,
        /// Offset.
        offset: u16,
    },
    /// `oidvector` (`btoidvectorcmp`): by length, then by elements.
    OidVector(&'a [u32]),
    /// An array of a type that has values here (`array_cmp`).
    Array(Array<'a>),
    /// A composite (`record_cmp`): column by column, NULLs equal and last. Dropped columns are left
    /// out.
    Record(&'a [Option<Value<'a>>]),
    /// A range (`range_cmp`).
    Range(Range<'a>),
    /// A multirange (`multirange_cmp`): range by range, a prefix first.
    Multirange(&'a [Range<'a>]),
    /// `jsonb` (`compareJsonbContainers`).
    Json(Json<'a>),
    /// A value of which nothing but equality is kept: bytes that are equal whenever two values are.
    /// Where bytes may be equal although values are not (a 64-bit hash), whoever finds the key must
    /// compare the values. Cells of different bytes differ, in an order that means nothing.
    Unordered(&'a [u8]),
}

/// A `numeric`, as PostgreSQL stores it.
#[derive(Clone, Copy, Debug)]
pub enum Numeric<'a> {
    /// Below every other.
    NegativeInfinity,
    /// A number: the sum of `digits[i]` × 10000^(`weight` − i). Its scale does not matter, nor do
    /// zeros at either end of its digits.
    Finite {
        /// Whether it is below zero. Zero has no sign.
        negative: bool,
        /// Exponent of the first digit, to the base 10000.
        weight: i16,
        /// Digits, each in 0 ..= 9999.
        digits: &'a [i16],
    },
    /// Above every number.
    Infinity,
    /// Above everything, and equal to itself.
    NaN,
}

/// An address of the internet. The older family comes first.
#[derive(Clone, Copy, Debug)]
pub enum Address {
    /// Family `PGSQL_AF_INET`.
    V4([u8; 4]),
    /// Family `PGSQL_AF_INET6`.
    V6([u8; 16]),
}

/// An array. Compared by elements (NULLs are equal and last), then by how many there are, how many
/// dimensions, their lengths, and their lower bounds.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    /// The elements in storage order.
    pub elements: &'a [Option<Value<'a>>],
    /// The dimensions, at most 6 (`MAXDIM`); none for an empty array. Their lengths multiply to the
    /// number of elements.
    pub dimensions: &'a [Dimension],
}

/// One dimension of an array.
#[derive(Clone, Copy, Debug)]
pub struct Dimension {
    /// How many elements it has.
    pub length: i32,
    /// The subscript of the first.
    pub lower_bound: i32,
}

/// A range. The empty one comes first; others compare by lower bound, then by upper bound.
#[derive(Clone, Copy, Debug)]
pub enum Range<'a> {
    /// No points.
    Empty,
    /// From one bound to the other.
    Bounds {
        /// `Unbounded` is below everything; of equal values the inclusive bound comes first.
        lower: Bound<&'a Value<'a>>,
        /// `Unbounded` is above everything; of equal values the exclusive bound comes first.
        upper: Bound<&'a Value<'a>>,
    },
}

/// A `jsonb`, or a part of one. Types come in this order; of arrays and objects those with fewer
/// elements or members come first, then their contents decide one by one. A scalar that is all of a
/// `jsonb` counts as an array of one element, before other such arrays.
#[derive(Clone, Copy, Debug)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// A string, as the database's default collation compares it: [`Value::Bytes`] or
    /// [`Value::Collated`].
    String(&'a Value<'a>),
    /// A number.
    Number(Numeric<'a>),
    /// `false` or `true`
    Bool(bool),
    /// The elements of an array.
    Array(&'a [Json<'a>]),
    /// The members of an object, in the order in which `jsonb` stores them: shorter keys first, then
    /// bytewise.
    Object(&'a [Member<'a>]),
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The key, like a string.
    pub key: Value<'a>,
    /// What it holds.
    pub value: Json<'a>,
}

/// A `bpchar` as it is compared: without trailing blanks (`bpchartruelen`).
pub fn strip_blanks(text: &[u8]) -> &[u8] {
    let len = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..len]
}
