//! Keys against PostgreSQL's comparisons.
//!
//! | module | what it shows |
//! |---|---|
//! | `order` | cells of every type sort as its btree comparison says, and none is a prefix of another |
//! | `columns` | so do keys of several columns in mixed orders, with NULLs |
//! | `ranges` | a range has exactly the keys for which its condition is true |
//! | `long` | what shortening keeps |
//! | `postgresql` | so does a list of values that a real PostgreSQL sorted |
//! | `format` | the bytes themselves, which stores hold |
//! | `reference` | the comparisons, written after PostgreSQL's sources |
//! | `values` | values of every type, at random and at the edges |

mod columns;
mod format;
mod long;
mod order;
mod postgresql;
mod ranges;
mod reference;
mod values;

use keycode::{Encoder, Order, Value};

/// A column's value.
type Cell = Option<Value<'static>>;

const ORDERS: [Order; 4] = [
    Order { descending: false, nulls_first: false },
    Order { descending: false, nulls_first: true },
    Order { descending: true, nulls_first: false },
    Order { descending: true, nulls_first: true },
];

fn key(orders: &[Order], row: &[Cell]) -> Vec<u8> {
    let mut key = Vec::new();
    let mut encoder = Encoder::new(&mut key);
    orders.iter().zip(row).for_each(|(order, cell)| {
        encoder.column(*order, *cell);
    });
    key
}

/// Neither is a proper prefix of the other.
fn prefix_free(a: &[u8], b: &[u8]) -> bool {
    a == b || !(a.starts_with(b) || b.starts_with(a))
}
