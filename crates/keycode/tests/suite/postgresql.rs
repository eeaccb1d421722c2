//! Values that a real PostgreSQL put in order: `tests/postgresql.sql` made the list, of binary
//! outputs and their ranks. Neither the encoding nor `reference` had a hand in it.

use std::collections::BTreeMap;
use std::ops::Bound;

use keycode::{Address, Array, Dimension, Json, Member, Numeric, Range, Value, strip_blanks};

use crate::{ORDERS, key, prefix_free, reference};

const GOLDEN: &str = include_str!("postgresql.golden");

/// Binary output, read from the front.
struct Reader(&'static [u8]);

impl Reader {
    fn take(&mut self, len: usize) -> &'static [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("as long as was asked for")
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.array())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.array())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.array())
    }

    /// A value behind its length; −1 is NULL.
    fn field(&mut self, name: &str) -> Option<Value<'static>> {
        let len = usize::try_from(self.i32()).ok()?;
        Some(Reader(self.take(len)).value(name))
    }

    fn value(&mut self, name: &str) -> Value<'static> {
        match name {
            "bool" => Value::Bool(self.take(1) == [1]),
            "\"char\"" => Value::Unsigned(self.take(1)[0].into()),
            "int2" => Value::Integer(self.i16().into()),
            "int4" | "date" => Value::Integer(self.i32().into()),
            "int8" | "money" | "time" | "timestamp" | "timestamptz" => Value::Integer(self.i64()),
            "oid" => Value::Unsigned((self.i32() as u32).into()),
            "xid8" | "pg_lsn" => Value::Unsigned(self.i64() as u64),
            "float4" => Value::Float(f32::from_be_bytes(self.array()).into()),
            "float8" => Value::Float(f64::from_be_bytes(self.array())),
            "numeric" => Value::Numeric(self.numeric()),
            "bytea" | "text" => Value::Bytes(self.take(self.0.len())),
            "bpchar" => Value::Bytes(strip_blanks(self.take(self.0.len()))),
            "uuid" => Value::Uuid(self.array()),
            "macaddr" => Value::MacAddr(self.array()),
            "macaddr8" => Value::MacAddr8(self.array()),
            "inet" | "cidr" => self.inet(),
            "varbit" => Value::Bits { len: self.i32() as u32, bytes: self.take(self.0.len()) },
            "tid" => Value::Tid { block: self.i32() as u32, offset: self.i16() as u16 },
            "timetz" => Value::TimeTz { time: self.i64(), zone: self.i32() },
            "interval" => {
                let (time, days, months) = (self.i64(), self.i32(), self.i32());
                Value::Interval { months, days, time }
            }
            "oidvector" => self.oid_vector(),
            "int4[]" | "text[]" => Value::Array(self.elements(name.trim_end_matches("[]"))),
            "numrange" => Value::Range(self.range()),
            "nummultirange" => self.multirange(),
            "jsonb" => {
                let _version = self.take(1);
                let text = serde_json::from_slice(self.take(self.0.len())).expect("JSON");
                Value::Json(json(&text))
            }
            "pair" => self.pair(),
            _ => panic!("the script has a type that the test does not know: {name}"),
        }
    }

    fn numeric(&mut self) -> Numeric<'static> {
        let (len, weight, sign, _scale) = (self.i16(), self.i16(), self.i16(), self.i16());
        match sign as u16 {
            0xc000 => Numeric::NaN,
            0xd000 => Numeric::Infinity,
            0xf000 => Numeric::NegativeInfinity,
            sign => {
                let digits: Vec<_> = (0..len).map(|_| self.i16()).collect();
                Numeric::Finite { negative: sign == 0x4000, weight, digits: digits.leak() }
            }
        }
    }

    fn inet(&mut self) -> Value<'static> {
        let [_family, bits, _is_cidr, len] = self.array();
        let address = match len {
            4 => Address::V4(self.array()),
            _ => Address::V6(self.array()),
        };
        Value::Inet { address, bits }
    }

    fn elements(&mut self, element: &str) -> Array<'static> {
        let (dimensions, _has_nulls, _element_type) = (self.i32(), self.i32(), self.i32());
        let dimensions: Vec<_> = (0..dimensions)
            .map(|_| Dimension { length: self.i32(), lower_bound: self.i32() })
            .collect();
        let mut elements = Vec::new();
        while !self.0.is_empty() {
            elements.push(self.field(element));
        }
        Array { elements: elements.leak(), dimensions: dimensions.leak() }
    }

    fn oid_vector(&mut self) -> Value<'static> {
        let elements = self.elements("oid").elements;
        let oids: Vec<_> = elements
            .iter()
            .map(|element| match element {
                Some(Value::Unsigned(oid)) => *oid as u32,
                other => panic!("an oidvector has {other:?}"),
            })
            .collect();
        Value::OidVector(oids.leak())
    }

    fn range(&mut self) -> Range<'static> {
        const EMPTY: u8 = 0x01;
        const INCLUSIVE: [u8; 2] = [0x02, 0x04];
        const INFINITE: [u8; 2] = [0x08, 0x10];
        let flags = self.take(1)[0];
        let mut bound = |side: usize| {
            if flags & INFINITE[side] != 0 {
                return Bound::Unbounded;
            }
            let value = self.field("numeric").expect("a bound is not NULL");
            let value: &'static _ = Box::leak(Box::new(value));
            let inclusive = flags & INCLUSIVE[side] != 0;
            if inclusive { Bound::Included(value) } else { Bound::Excluded(value) }
        };
        match flags & EMPTY {
            0 => Range::Bounds { lower: bound(0), upper: bound(1) },
            _ => Range::Empty,
        }
    }

    fn multirange(&mut self) -> Value<'static> {
        let count = self.i32();
        let ranges: Vec<_> = (0..count)
            .map(|_| {
                let len = self.i32() as usize;
                Reader(self.take(len)).range()
            })
            .collect();
        Value::Multirange(ranges.leak())
    }

    fn pair(&mut self) -> Value<'static> {
        let _columns = self.i32();
        let columns = ["numeric", "text[]"].map(|name| {
            let _type = self.i32();
            self.field(name)
        });
        Value::Record(columns.to_vec().leak())
    }
}

/// Numbers of the list are single digits to the base 10000.
fn json(text: &serde_json::Value) -> Json<'static> {
    match text {
        serde_json::Value::Null => Json::Null,
        serde_json::Value::Bool(value) => Json::Bool(*value),
        serde_json::Value::String(string) => {
            Json::String(Box::leak(Box::new(string_value(string))))
        }
        serde_json::Value::Number(number) => {
            let number = number.as_f64().expect("a small number");
            let digit = number.abs() as i16;
            Json::Number(Numeric::Finite {
                negative: number < 0.0,
                weight: 0,
                digits: vec![digit].leak(),
            })
        }
        serde_json::Value::Array(elements) => {
            Json::Array(elements.iter().map(json).collect::<Vec<_>>().leak())
        }
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            let members = members
                .into_iter()
                .map(|(key, value)| Member { key: string_value(key), value: json(value) });
            Json::Object(members.collect::<Vec<_>>().leak())
        }
    }
}

fn string_value(string: &str) -> Value<'static> {
    Value::Bytes(string.as_bytes().to_vec().leak())
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Rank and value.
type Ranked = (u32, Value<'static>);

fn golden() -> BTreeMap<&'static str, Vec<Ranked>> {
    let mut types = BTreeMap::<_, Vec<_>>::new();
    for line in GOLDEN.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("type, rank, value");
        let (name, rank, output) = (word(), word(), word());
        let value = Reader(bytes(output).leak()).value(name);
        types.entry(name).or_default().push((rank.parse().expect("a rank"), value));
    }
    types
}

/// Every pair of values of a type.
fn pairs() -> impl Iterator<Item = (Ranked, Ranked)> {
    golden().into_values().flat_map(|values| {
        let others = values.clone();
        values.into_iter().flat_map(move |a| others.clone().into_iter().map(move |b| (a, b)))
    })
}

#[test]
fn keys_sort_as_postgresql_sorts() {
    for ((a_rank, a), (b_rank, b)) in pairs() {
        for order in ORDERS {
            let (a_key, b_key) = (key(&[order], &[Some(a)]), key(&[order], &[Some(b)]));
            let expected = a_rank.cmp(&b_rank);
            let expected = if order.descending { expected.reverse() } else { expected };
            assert_eq!(a_key.cmp(&b_key), expected, "{a:?} {b:?}");
            assert!(prefix_free(&a_key, &b_key), "{a:?} {b:?}");
        }
    }
}

#[test]
fn so_does_the_reference() {
    for ((a_rank, a), (b_rank, b)) in pairs() {
        assert_eq!(reference::compare(&a, &b), a_rank.cmp(&b_rank), "{a:?} {b:?}");
    }
}

#[test]
fn the_list_has_every_type() {
    let lines: Vec<_> = golden().into_iter().map(|(name, values)| (name, values.len())).collect();
    assert_eq!(lines.len(), 35, "{lines:?}");
    assert!(lines.iter().all(|(name, count)| *count >= 4 || *name == "bool"), "{lines:?}");
}
