//! Keys of several columns sort as nbtree sorts their rows.

use std::cmp::Ordering;

use keycode::Order;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::values::{any_type, nullable};
use crate::{Cell, ORDERS, key, prefix_free, reference};

/// The columns' orders, and rows of one shape. Each row shares some of its columns with the first,
/// so that later columns decide too.
fn table() -> impl Strategy<Value = (Vec<Order>, Vec<Vec<Cell>>)> {
    let column = (select(ORDERS.to_vec()), any_type());
    vec(column, 1..=4).prop_flat_map(|columns| {
        let (orders, types): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let row: Vec<_> = types.into_iter().map(nullable).collect();
        let shared = 0..=orders.len();
        (Just(orders), vec((row, shared), 10)).prop_map(|(orders, rows)| (orders, share(rows)))
    })
}

fn share(rows: Vec<(Vec<Cell>, usize)>) -> Vec<Vec<Cell>> {
    let first = rows[0].0.clone();
    let shared = rows.into_iter().map(|(row, n)| [&first[..n], &row[n..]].concat());
    shared.collect()
}

fn compare_rows(orders: &[Order], a: &[Cell], b: &[Cell]) -> Ordering {
    let columns = orders.iter().zip(a.iter().zip(b));
    columns
        .map(|(order, (a, b))| reference::compare_column(*order, a, b))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

proptest! {
    #[test]
    fn rows_sort_column_by_column((orders, rows) in table()) {
        let keys: Vec<_> = rows.iter().map(|row| key(&orders, row)).collect();
        for (i, j) in (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let expected = compare_rows(&orders, &rows[i], &rows[j]);
            prop_assert_eq!(keys[i].cmp(&keys[j]), expected, "{:?} {:?}", &rows[i], &rows[j]);
            prop_assert!(prefix_free(&keys[i], &keys[j]), "{:?} {:?}", &rows[i], &rows[j]);
        }
    }

    /// A row id behind the columns decides between equal keys and nothing else.
    #[test]
    fn row_ids_come_last((orders, rows) in table(), ids in vec(any::<[u8; 5]>(), 10)) {
        let entry = |i: usize| [key(&orders, &rows[i]).as_slice(), &ids[i]].concat();
        for i in 1..rows.len() {
            let expected = compare_rows(&orders, &rows[0], &rows[i]).then(ids[0].cmp(&ids[i]));
            prop_assert_eq!(entry(0).cmp(&entry(i)), expected);
        }
    }
}
