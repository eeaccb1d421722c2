//! PostgreSQL's comparisons, line by line after the functions of its sources (15.18,
//! `src/backend/utils/adt`) that each is named after. Clumsy where they are, so that the two can be
//! laid side by side.

use std::cmp::Ordering;
use std::ops::Bound;

use keycode::{Address, Array, Json, Member, Numeric, Order, Range, Value};

/// The btree comparison of two values of one type.
pub(crate) fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (*a, *b) {
        (Value::Bool(a), Value::Bool(b)) => (a as i32 - b as i32).cmp(&0),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(&b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(&b),
        (Value::Float(a), Value::Float(b)) => float8_cmp_internal(a, b),
        (Value::Numeric(a), Value::Numeric(b)) => cmp_numerics(a, b),
        (Value::Bytes(a), Value::Bytes(b)) => byteacmp(a, b),
        (
            Value::Collated { sort_key: a, tiebreak: a_text },
            Value::Collated { sort_key: b, tiebreak: b_text },
        ) => byteacmp(a, b).then(a_text.cmp(&b_text)),
        (Value::TimeTz { time: a, zone: a_zone }, Value::TimeTz { time: b, zone: b_zone }) => {
            timetz_cmp_internal((a, a_zone), (b, b_zone))
        }
        (Value::Interval { .. }, Value::Interval { .. }) => {
            interval_cmp_value(a).cmp(&interval_cmp_value(b))
        }
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(&b),
        (Value::MacAddr(a), Value::MacAddr(b)) => macaddr_cmp_internal(a, b),
        (Value::MacAddr8(a), Value::MacAddr8(b)) => {
            u64::from_be_bytes(a).cmp(&u64::from_be_bytes(b))
        }
        (Value::Inet { address: a, bits: a_bits }, Value::Inet { address: b, bits: b_bits }) => {
            network_cmp_internal(a, a_bits.into(), b, b_bits.into())
        }
        (Value::Bits { bytes: a, len: a_len }, Value::Bits { bytes: b, len: b_len }) => {
            bit_cmp(a, a_len, b, b_len)
        }
        (Value::Tid { block: a, offset: a_offset }, Value::Tid { block: b, offset: b_offset }) => {
            a.cmp(&b).then(a_offset.cmp(&b_offset))
        }
        (Value::OidVector(a), Value::OidVector(b)) => a.len().cmp(&b.len()).then(a.cmp(b)),
        (Value::Array(a), Value::Array(b)) => array_cmp(a, b),
        (Value::Record(a), Value::Record(b)) => record_cmp(a, b),
        (Value::Range(a), Value::Range(b)) => range_cmp(a, b),
        (Value::Multirange(a), Value::Multirange(b)) => multirange_cmp(a, b),
        (Value::Json(a), Value::Json(b)) => compare_jsonb_containers(a, b),
        _ => panic!("a column has one type: {a:?}, {b:?}"),
    }
}

/// The comparison of a column, as `_bt_compare` of nbtree makes it.
pub(crate) fn compare_column(
    order: Order,
    a: &Option<Value<'_>>,
    b: &Option<Value<'_>>,
) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) if order.nulls_first => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) if order.nulls_first => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if order.descending => compare(a, b).reverse(),
        (Some(a), Some(b)) => compare(a, b),
    }
}

fn float8_cmp_internal(a: f64, b: f64) -> Ordering {
    if !b.is_nan() && (a.is_nan() || a > b) {
        return Ordering::Greater;
    }
    if !a.is_nan() && (b.is_nan() || a < b) {
        return Ordering::Less;
    }
    Ordering::Equal
}

fn cmp_numerics(a: Numeric<'_>, b: Numeric<'_>) -> Ordering {
    match (a, b) {
        (Numeric::NaN, Numeric::NaN) => Ordering::Equal,
        (Numeric::NaN, _) => Ordering::Greater,
        (Numeric::Infinity, Numeric::NaN) => Ordering::Less,
        (Numeric::Infinity, Numeric::Infinity) => Ordering::Equal,
        (Numeric::Infinity, _) => Ordering::Greater,
        (Numeric::NegativeInfinity, Numeric::NegativeInfinity) => Ordering::Equal,
        (Numeric::NegativeInfinity, _) => Ordering::Less,
        (_, Numeric::NegativeInfinity) => Ordering::Greater,
        (_, Numeric::NaN | Numeric::Infinity) => Ordering::Less,
        (
            Numeric::Finite { negative: a_negative, weight: a_weight, digits: a },
            Numeric::Finite { negative: b_negative, weight: b_weight, digits: b },
        ) => cmp_var_common((a, a_weight, a_negative), (b, b_weight, b_negative)),
    }
}

type Var<'a> = (&'a [i16], i16, bool);

fn cmp_var_common(a: Var<'_>, b: Var<'_>) -> Ordering {
    let ((a, a_weight, a_negative), (b, b_weight, b_negative)) = (a, b);
    if a.is_empty() {
        return match () {
            () if b.is_empty() => Ordering::Equal,
            () if b_negative => Ordering::Greater,
            () => Ordering::Less,
        };
    }
    if b.is_empty() {
        return if a_negative { Ordering::Less } else { Ordering::Greater };
    }
    match (a_negative, b_negative) {
        (false, true) => Ordering::Greater,
        (false, false) => cmp_abs_common((a, a_weight.into()), (b, b_weight.into())),
        (true, false) => Ordering::Less,
        (true, true) => cmp_abs_common((b, b_weight.into()), (a, a_weight.into())),
    }
}

fn cmp_abs_common((a, mut a_weight): (&[i16], i32), (b, mut b_weight): (&[i16], i32)) -> Ordering {
    let (mut i, mut j) = (0, 0);
    while a_weight > b_weight && i < a.len() {
        if a[i] != 0 {
            return Ordering::Greater;
        }
        i += 1;
        a_weight -= 1;
    }
    while b_weight > a_weight && j < b.len() {
        if b[j] != 0 {
            return Ordering::Less;
        }
        j += 1;
        b_weight -= 1;
    }
    if a_weight == b_weight {
        while i < a.len() && j < b.len() {
            if a[i] != b[j] {
                return a[i].cmp(&b[j]);
            }
            i += 1;
            j += 1;
        }
    }
    if a[i..].iter().any(|digit| *digit != 0) {
        return Ordering::Greater;
    }
    if b[j..].iter().any(|digit| *digit != 0) {
        return Ordering::Less;
    }
    Ordering::Equal
}

fn byteacmp(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.len().min(b.len());
    a[..common].cmp(&b[..common]).then(a.len().cmp(&b.len()))
}

fn timetz_cmp_internal(a: (i64, i32), b: (i64, i32)) -> Ordering {
    let instant = |(time, zone): (i64, i32)| time + i64::from(zone) * 1_000_000;
    instant(a).cmp(&instant(b)).then(a.1.cmp(&b.1))
}

fn interval_cmp_value(value: &Value<'_>) -> i128 {
    let Value::Interval { months, days, time } = *value else { panic!("{value:?}") };
    (i128::from(months) * 30 + i128::from(days)) * 86_400_000_000 + i128::from(time)
}

fn macaddr_cmp_internal(a: [u8; 6], b: [u8; 6]) -> Ordering {
    let hibits = |m: [u8; 6]| u32::from_be_bytes([0, m[0], m[1], m[2]]);
    let lobits = |m: [u8; 6]| u32::from_be_bytes([0, m[3], m[4], m[5]]);
    hibits(a).cmp(&hibits(b)).then(lobits(a).cmp(&lobits(b)))
}

fn network_cmp_internal(a: Address, a_bits: usize, b: Address, b_bits: usize) -> Ordering {
    let network = |a: &[u8], b: &[u8]| {
        bitncmp(a, b, a_bits.min(b_bits))
            .then(a_bits.cmp(&b_bits))
            .then_with(|| bitncmp(a, b, a.len() * 8))
    };
    match (a, b) {
        (Address::V4(a), Address::V4(b)) => network(&a, &b),
        (Address::V6(a), Address::V6(b)) => network(&a, &b),
        (Address::V4(_), Address::V6(_)) => Ordering::Less,
        (Address::V6(_), Address::V4(_)) => Ordering::Greater,
    }
}

fn bitncmp(a: &[u8], b: &[u8], n: usize) -> Ordering {
    let bit = |bytes: &[u8], i: usize| bytes[i / 8] >> (7 - i % 8) & 1;
    (0..n).map(|i| bit(a, i).cmp(&bit(b, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn bit_cmp(a: &[u8], a_len: u32, b: &[u8], b_len: u32) -> Ordering {
    let common = a.len().min(b.len());
    a[..common].cmp(&b[..common]).then(a_len.cmp(&b_len))
}

/// What `array_cmp` and `record_cmp` have in common: "We consider two NULLs equal; NULL > not-NULL."
fn elements_cmp(a: &[Option<Value<'_>>], b: &[Option<Value<'_>>]) -> Ordering {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(a, b)| compare_column(Order::ASCENDING, a, b))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn array_cmp(a: Array<'_>, b: Array<'_>) -> Ordering {
    let dimensions = || a.dimensions.iter().zip(b.dimensions);
    elements_cmp(a.elements, b.elements)
        .then(a.elements.len().cmp(&b.elements.len()))
        .then(a.dimensions.len().cmp(&b.dimensions.len()))
        .then_with(|| dimensions().map(|(a, _)| a.length).cmp(dimensions().map(|(_, b)| b.length)))
        .then_with(|| {
            dimensions().map(|(a, _)| a.lower_bound).cmp(dimensions().map(|(_, b)| b.lower_bound))
        })
}

fn record_cmp(a: &[Option<Value<'_>>], b: &[Option<Value<'_>>]) -> Ordering {
    assert_eq!(a.len(), b.len(), "cannot compare record types with different numbers of columns");
    elements_cmp(a, b)
}

fn range_cmp(a: Range<'_>, b: Range<'_>) -> Ordering {
    match (a, b) {
        (Range::Empty, Range::Empty) => Ordering::Equal,
        (Range::Empty, _) => Ordering::Less,
        (_, Range::Empty) => Ordering::Greater,
        (
            Range::Bounds { lower: a_lower, upper: a_upper },
            Range::Bounds { lower: b_lower, upper: b_upper },
        ) => range_cmp_bounds(true, a_lower, b_lower)
            .then_with(|| range_cmp_bounds(false, a_upper, b_upper)),
    }
}

/// For two lower bounds or two upper bounds.
fn range_cmp_bounds(lower: bool, a: Bound<&Value<'_>>, b: Bound<&Value<'_>>) -> Ordering {
    let below = if lower { Ordering::Less } else { Ordering::Greater };
    let (a_value, a_inclusive) = match a {
        Bound::Unbounded if matches!(b, Bound::Unbounded) => return Ordering::Equal,
        Bound::Unbounded => return below,
        Bound::Included(value) => (value, true),
        Bound::Excluded(value) => (value, false),
    };
    let (b_value, b_inclusive) = match b {
        Bound::Unbounded => return below.reverse(),
        Bound::Included(value) => (value, true),
        Bound::Excluded(value) => (value, false),
    };
    compare(a_value, b_value).then(match (a_inclusive, b_inclusive) {
        (false, false) | (true, true) => Ordering::Equal,
        (false, true) => below.reverse(),
        (true, false) => below,
    })
}

fn multirange_cmp(a: &[Range<'_>], b: &[Range<'_>]) -> Ordering {
    for i in 0..a.len().max(b.len()) {
        let order = match (a.get(i), b.get(i)) {
            (None, _) => Ordering::Less,
            (_, None) => Ordering::Greater,
            (Some(a), Some(b)) => range_cmp(*a, *b),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// What `JsonbIterator` shows of a container, one after the other.
enum Token<'a> {
    BeginArray { raw_scalar: bool, len: usize },
    BeginObject { len: usize },
    Scalar(Json<'a>),
}

impl Token<'_> {
    /// `jbvType`
    fn rank(&self) -> u8 {
        match self {
            Token::Scalar(Json::Null) => 0,
            Token::Scalar(Json::String(_)) => 1,
            Token::Scalar(Json::Number(_)) => 2,
            Token::Scalar(_) => 3,
            Token::BeginArray { .. } => 0x10,
            Token::BeginObject { .. } => 0x11,
        }
    }
}

fn tokens<'a>(json: Json<'a>, raw_scalar: bool, tokens: &mut Vec<Token<'a>>) {
    match json {
        Json::Array(elements) => {
            tokens.push(Token::BeginArray { raw_scalar, len: elements.len() });
            elements.iter().for_each(|element| self::tokens(*element, false, tokens));
        }
        Json::Object(members) => {
            tokens.push(Token::BeginObject { len: members.len() });
            for Member { key, value } in members {
                tokens.push(Token::Scalar(Json::String(key)));
                self::tokens(*value, false, tokens);
            }
        }
        scalar => tokens.push(Token::Scalar(scalar)),
    }
}

fn container(json: Json<'_>) -> Vec<Token<'_>> {
    let mut all = Vec::new();
    if !matches!(json, Json::Array(_) | Json::Object(_)) {
        all.push(Token::BeginArray { raw_scalar: true, len: 1 });
    }
    tokens(json, false, &mut all);
    all
}

fn compare_jsonb_containers(a: Json<'_>, b: Json<'_>) -> Ordering {
    for (a, b) in container(a).iter().zip(&container(b)) {
        let order = match (a, b) {
            (
                Token::BeginArray { raw_scalar: a_raw, len: a_len },
                Token::BeginArray { raw_scalar: b_raw, len: b_len },
            ) => {
                let mut order = Ordering::Equal;
                if a_raw != b_raw {
                    order = if *a_raw { Ordering::Less } else { Ordering::Greater };
                }
                if a_len != b_len {
                    order = a_len.cmp(b_len);
                }
                order
            }
            (Token::BeginObject { len: a }, Token::BeginObject { len: b }) => a.cmp(b),
            (Token::Scalar(Json::Null), Token::Scalar(Json::Null)) => Ordering::Equal,
            (Token::Scalar(Json::String(a)), Token::Scalar(Json::String(b))) => compare(a, b),
            (Token::Scalar(Json::Number(a)), Token::Scalar(Json::Number(b))) => {
                cmp_numerics(*a, *b)
            }
            (Token::Scalar(Json::Bool(a)), Token::Scalar(Json::Bool(b))) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}
