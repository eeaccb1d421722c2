//! Where the keys lie that a condition asks for.
//!
//! Conditions on an index come as equalities on its first columns and something about the next one.
//! The cells of the equalities are the *prefix* here; what stands in front of them, such as the
//! prefix of the index, belongs to it too. Every range covers keys that go on behind the column:
//! with further columns, with a row id.
//!
//! No comparison with NULL is true, so a NULL operand has no range: the caller answers it with no
//! rows. `IS NULL` is [`KeyRange::nulls`].

use crate::{Encoder, Order, Value, lead};

/// Keys from `start` on and before `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRange {
    /// The first key that may be in it.
    pub start: Vec<u8>,
    /// The first key that may not.
    pub end: Vec<u8>,
}

/// What a column is compared by: `column < operand`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// What it is in key order.
    fn under(self, order: Order) -> Comparison {
        match self {
            Comparison::Less if order.descending => Comparison::Greater,
            Comparison::LessEqual if order.descending => Comparison::GreaterEqual,
            Comparison::GreaterEqual if order.descending => Comparison::LessEqual,
            Comparison::Greater if order.descending => Comparison::Less,
            same => same,
        }
    }

    /// What the first columns of a row comparison must be for the others to decide it.
    pub fn or_equal(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::LessEqual,
            Comparison::Greater => Comparison::GreaterEqual,
            same => same,
        }
    }

    /// What the columns before the last one of a row comparison must be for it to be decided there.
    fn strict(self) -> Comparison {
        match self {
            Comparison::LessEqual => Comparison::Less,
            Comparison::GreaterEqual => Comparison::Greater,
            same => same,
        }
    }
}

/// A column of a row comparison, in the order of the index.
#[derive(Clone, Copy, Debug)]
pub struct RowOperand<'a> {
    /// How the index orders the column.
    pub order: Order,
    /// What the column is compared with; where it comes to comparing with NULL, the answer is not
    /// true.
    pub value: Option<Value<'a>>,
}

/// The first key after all keys that begin with `prefix`; `None` if there is none, because the
/// prefix is empty or nothing but `FF` bytes. A prefix that ends with a cell always has one.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

impl KeyRange {
    /// Every key that goes on behind `prefix` with a column, NULL or not.
    pub fn all(prefix: &[u8]) -> KeyRange {
        KeyRange::leads(prefix, lead::NULL_FIRST, lead::AFTER_ALL)
    }

    /// The keys whose column behind `prefix` is NULL.
    pub fn nulls(prefix: &[u8], order: Order) -> KeyRange {
        KeyRange::leads(prefix, order.null(), order.null() + 1)
    }

    /// The keys whose column behind `prefix` is not NULL, whatever its order.
    pub fn not_nulls(prefix: &[u8]) -> KeyRange {
        KeyRange::leads(prefix, lead::FIRST_VALUE, lead::NULL_LAST)
    }

    /// The keys that begin with `cells`, the last of which is complete: `=` on all their columns.
    pub fn equal(cells: &[u8]) -> KeyRange {
        KeyRange { start: cells.to_vec(), end: after(cells) }
    }

    /// The keys whose column behind `prefix` compares so with `value`.
    pub fn compare(
        prefix: &[u8],
        order: Order,
        comparison: Comparison,
        value: Value<'_>,
    ) -> KeyRange {
        KeyRange::compare_cell(prefix, order, comparison, &cell(order, value))
    }

    /// As [`KeyRange::compare`], with the cell of the value in that column.
    pub fn compare_cell(
        prefix: &[u8],
        order: Order,
        comparison: Comparison,
        cell: &[u8],
    ) -> KeyRange {
        let cells = [prefix, cell].concat();
        let KeyRange { start: first, end: last } = KeyRange::not_nulls(prefix);
        let (start, end) = match comparison.under(order) {
            Comparison::Less => (first, cells),
            Comparison::LessEqual => (first, after(&cells)),
            Comparison::Equal => return KeyRange::equal(&cells),
            Comparison::GreaterEqual => (cells, last),
            Comparison::Greater => (after(&cells), last),
        };
        KeyRange { start, end }
    }

    /// The keys for which a comparison of rows, `(a, b) < (1, 2)`, is true, as ranges without a
    /// common key, in key order. The columns are those behind `prefix`, without a gap.
    ///
    /// With columns of mixed directions, or NULLs in the middle, these keys are not neighbours:
    /// one range for every column that can decide.
    pub fn compare_rows(
        prefix: &[u8],
        comparison: Comparison,
        operands: &[RowOperand<'_>],
    ) -> Vec<KeyRange> {
        let cells: Vec<_> = operands
            .iter()
            .map(|operand| (operand.order, operand.value.map(|value| cell(operand.order, value))))
            .collect();
        KeyRange::compare_row_cells(prefix, comparison, &cells)
    }

    /// As [`KeyRange::compare_rows`], with the cells of the values in their columns.
    pub fn compare_row_cells(
        prefix: &[u8],
        comparison: Comparison,
        operands: &[(Order, Option<Vec<u8>>)],
    ) -> Vec<KeyRange> {
        let mut cells = prefix.to_vec();
        let mut ranges = Vec::new();
        for (i, (order, cell)) in operands.iter().enumerate() {
            let Some(cell) = cell else { break };
            let is_last = i + 1 == operands.len();
            if is_last || comparison != Comparison::Equal {
                let comparison = if is_last { comparison } else { comparison.strict() };
                ranges.push(KeyRange::compare_cell(&cells, *order, comparison, cell));
            }
            cells.extend_from_slice(cell);
        }
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        ranges
    }

    /// The keys of both, for `a > 1 AND a < 5`.
    pub fn intersect(self, other: KeyRange) -> KeyRange {
        KeyRange { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether a key is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }

    fn leads(prefix: &[u8], first: u8, end: u8) -> KeyRange {
        KeyRange { start: [prefix, &[first]].concat(), end: [prefix, &[end]].concat() }
    }
}

fn cell(order: Order, value: Value<'_>) -> Vec<u8> {
    let mut cell = Vec::new();
    Encoder::new(&mut cell).column(order, Some(value));
    cell
}

fn after(cells: &[u8]) -> Vec<u8> {
    after_prefix(cells).expect("no cell begins with FF")
}
