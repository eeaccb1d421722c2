//! The columns of a key, one after the other.

use crate::Value;
use crate::cell;
use crate::lead;

/// How a column of an index is ordered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Order {
    /// Greater values first.
    pub descending: bool,
    /// NULLs before all values, whatever the direction; otherwise behind them.
    pub nulls_first: bool,
}

impl Order {
    /// `ASC`, for which PostgreSQL takes NULLS LAST.
    pub const ASCENDING: Order = Order { descending: false, nulls_first: false };
    /// `DESC`, for which PostgreSQL takes NULLS FIRST.
    pub const DESCENDING: Order = Order { descending: true, nulls_first: true };

    /// The cell of NULL.
    pub(crate) fn null(self) -> u8 {
        if self.nulls_first { lead::NULL_FIRST } else { lead::NULL_LAST }
    }
}

/// Appends cells to a key.
///
/// Give it the columns in the order of the index. What is in the key before the first of them, such
/// as the prefix of the index, stays as it is.
#[derive(Debug)]
pub struct Encoder<'a> {
    key: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `key`.
    pub fn new(key: &'a mut Vec<u8>) -> Encoder<'a> {
        Encoder { key }
    }

    /// Appends the cell of a column; `None` is NULL.
    pub fn column(&mut self, order: Order, value: Option<Value<'_>>) -> &mut Self {
        match value {
            None => self.key.push(order.null()),
            Some(value) => self.value(order, &value),
        }
        self
    }

    fn value(&mut self, order: Order, value: &Value<'_>) {
        let start = self.key.len();
        cell::push(self.key, value);
        if order.descending {
            invert(&mut self.key[start..]);
        }
    }
}

/// Reverses the order of cells: none is a prefix of another, so the first different byte decides.
pub(crate) fn invert(cell: &mut [u8]) {
    cell.iter_mut().for_each(|byte| *byte = !*byte);
}
