//! A range has exactly the keys of the rows for which its condition is true, in whatever order the
//! columns are, and whatever stands behind the keys.

use std::cmp::Ordering;

use keycode::{Comparison, Encoder, KeyRange, Order, RowOperand, Value, after_prefix};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::values::{Type, bytes, inets, integers, nullable, numerics, small_integers};
use crate::{Cell, ORDERS, key, reference};

const COMPARISONS: [Comparison; 5] = [
    Comparison::Less,
    Comparison::LessEqual,
    Comparison::Equal,
    Comparison::GreaterEqual,
    Comparison::Greater,
];

fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessEqual => order.is_le(),
        Comparison::Equal => order.is_eq(),
        Comparison::GreaterEqual => order.is_ge(),
        Comparison::Greater => order.is_gt(),
    }
}

/// An index of up to three columns, and a row to search by.
#[derive(Clone, Debug)]
struct Table {
    orders: Vec<Order>,
    rows: Vec<Vec<Cell>>,
    operands: Vec<Value<'static>>,
}

fn table() -> impl Strategy<Value = Table> {
    let types: [fn() -> Type; 6] =
        [small_integers, small_integers, integers, numerics, bytes, inets];
    let column = (select(ORDERS.to_vec()), select(types.to_vec()));
    vec(column, 1..=3).prop_flat_map(|columns| {
        let (orders, types): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let operands: Vec<_> = types.iter().map(|make| make()).collect();
        let row: Vec<_> = types.iter().map(|make| nullable(make())).collect();
        (Just(orders), vec((row, 0..=3usize), 12), operands).prop_map(|(orders, rows, operands)| {
            let rows = rows.into_iter().map(|(row, shared)| share(row, &operands, shared));
            Table { rows: rows.collect(), orders, operands }
        })
    })
}

/// A row that begins as the operands do, so that prefixes are found.
fn share(mut row: Vec<Cell>, operands: &[Value<'static>], shared: usize) -> Vec<Cell> {
    let cells = row.iter_mut().zip(operands).take(shared);
    cells.for_each(|(cell, operand)| *cell = Some(*operand));
    row
}

const INDEX: &[u8] = b"\xffindex";

impl Table {
    /// The key of a row with the prefix of the index before it and the highest row id behind it.
    fn entry(&self, row: &[Cell]) -> Vec<u8> {
        [INDEX, &key(&self.orders, row), &[0xff; 5]].concat()
    }

    /// The cells of the first operands, behind the prefix of the index.
    fn prefix(&self, columns: usize) -> Vec<u8> {
        let mut prefix = INDEX.to_vec();
        let mut encoder = Encoder::new(&mut prefix);
        for i in 0..columns {
            encoder.column(self.orders[i], Some(self.operands[i]));
        }
        prefix
    }

    /// Whether the first columns of a row equal the operands.
    fn begins(&self, row: &[Cell], columns: usize) -> bool {
        (0..columns).all(|i| self.compare(row, i) == Some(Ordering::Equal))
    }

    fn compare(&self, row: &[Cell], i: usize) -> Option<Ordering> {
        row[i].map(|value| reference::compare(&value, &self.operands[i]))
    }

    fn check(&self, what: &str, range: &KeyRange, holds: impl Fn(&[Cell]) -> bool) {
        for row in &self.rows {
            assert_eq!(range.contains(&self.entry(row)), holds(row), "{what}: {row:?}");
        }
    }

    fn operand(&self, i: usize, null: Option<usize>) -> RowOperand<'static> {
        let value = (null != Some(i)).then_some(self.operands[i]);
        RowOperand { order: self.orders[i], value }
    }
}

/// A comparison of rows as SQL has it: the first columns that differ decide, and NULL is no answer.
fn row_compare(table: &Table, row: &[Cell], from: usize, null: Option<usize>) -> Option<Ordering> {
    for i in from..row.len() {
        if null == Some(i) {
            return None;
        }
        match table.compare(row, i)? {
            Ordering::Equal => continue,
            decided => return Some(decided),
        }
    }
    Some(Ordering::Equal)
}

proptest! {
    #[test]
    fn conditions_on_a_column_behind_equalities(table in table()) {
        for i in 0..table.orders.len() {
            let (prefix, order) = (table.prefix(i), table.orders[i]);
            for comparison in COMPARISONS {
                let range = KeyRange::compare(&prefix, order, comparison, table.operands[i]);
                table.check("comparison", &range, |row| {
                    let compared = table.compare(row, i);
                    table.begins(row, i) && compared.is_some_and(|order| holds(comparison, order))
                });
            }
            let is_null = |row: &[Cell]| row[i].is_none();
            table.check("all", &KeyRange::all(&prefix), |row| table.begins(row, i));
            table.check("nulls", &KeyRange::nulls(&prefix, order), |row| {
                table.begins(row, i) && is_null(row)
            });
            table.check("not nulls", &KeyRange::not_nulls(&prefix), |row| {
                table.begins(row, i) && !is_null(row)
            });
            table.check("equal", &KeyRange::equal(&table.prefix(i + 1)), |row| {
                table.begins(row, i + 1)
            });
        }
    }

    #[test]
    fn two_conditions_meet_in_an_intersection(table in table(), other in small_integers()) {
        let order = table.orders[0];
        let low = KeyRange::compare(INDEX, order, Comparison::Greater, table.operands[0]);
        let high = KeyRange::compare(INDEX, order, Comparison::LessEqual, other);
        let both = low.clone().intersect(high.clone());
        table.check("both", &both, |row| {
            low.contains(&table.entry(row)) && high.contains(&table.entry(row))
        });
        prop_assert_eq!(both.is_empty(), low.start.max(high.start) >= low.end.min(high.end));
    }

    #[test]
    fn comparisons_of_rows(table in table(), from in 0..3usize, null in prop::option::of(0..3usize)) {
        let columns = table.orders.len();
        let from = from.min(columns - 1);
        let operands: Vec<_> = (from..columns).map(|i| table.operand(i, null)).collect();
        for comparison in COMPARISONS {
            let ranges = KeyRange::compare_rows(&table.prefix(from), comparison, &operands);
            for row in &table.rows {
                let entry = table.entry(row);
                let found = ranges.iter().filter(|range| range.contains(&entry)).count();
                let compared = row_compare(&table, row, from, null);
                let expected = table.begins(row, from)
                    && compared.is_some_and(|order| holds(comparison, order));
                prop_assert_eq!(found, usize::from(expected), "{:?} {:?}", comparison, row);
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    /// Keys that begin so are before it, and keys that do not are on the side on which they were.
    #[test]
    fn after_a_prefix(prefix in vec(select(vec![0u8, 1, 0xfe, 0xff]), 0..4),
                      key in vec(select(vec![0u8, 1, 2, 0xfe, 0xff]), 0..7)) {
        match after_prefix(&prefix) {
            Some(after) => prop_assert_eq!(key < after, key < prefix || key.starts_with(&prefix)),
            None => prop_assert!(prefix.iter().all(|byte| *byte == 0xff)),
        }
    }
}
