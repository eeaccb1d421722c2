//! Bulk loads into the middle of the data.
//!
//! LMDB fills pages well when keys come in order and each is the last of its page. A load between
//! two spaces has a neighbour behind it in the same page, so that every new key is the last but one
//! and every split leaves half a page empty: the file is twice as large and scans are a third
//! slower. So the neighbours in that page stand aside while a batch of such a load is applied: they
//! are removed before it and put back after it, in the same transaction.

use std::ops::Bound;

use heed::RwTxn;
use kv::{Batch, Op};

use crate::files::Database;

/// Smaller batches are not worth the trouble, in bytes.
const WORTHWHILE: usize = 64 << 10;
/// What can share a page with the last key of a load: at most a page of neighbours, in bytes.
const PAGE: usize = 4096;
/// Longer values may lie in pages of their own; a neighbour with such a one stays where it is.
const SMALL: usize = 1024;

type Heed<T> = heed::Result<T>;

/// Neighbours that stand aside.
#[derive(Debug, Default)]
pub(crate) struct Aside(Vec<(Vec<u8>, Vec<u8>)>);

impl Aside {
    /// Removes the neighbours behind a batch, if it is a load into a gap.
    pub(crate) fn step(batch: &Batch, data: Database, txn: &mut RwTxn<'_>) -> Heed<Aside> {
        let Some((first, last)) = span(batch) else { return Ok(Aside::default()) };
        let neighbours = neighbours(first, last, data, txn)?;
        for (key, _) in &neighbours {
            data.delete(txn, key)?;
        }
        Ok(Aside(neighbours))
    }

    /// Whether nobody had to.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts them back.
    pub(crate) fn back(self, data: Database, txn: &mut RwTxn<'_>) -> Heed<()> {
        self.0.iter().try_for_each(|(key, value)| data.put(txn, key, value))
    }
}

/// The first and the last key of a batch that only puts, in order.
fn span(batch: &Batch) -> Option<(&[u8], &[u8])> {
    if batch.size() < WORTHWHILE {
        return None;
    }
    let mut span: Option<(&[u8], &[u8])> = None;
    for op in batch.ops() {
        let Op::Put { key, .. } = op else { return None };
        span = match span {
            None => Some((key, key)),
            Some((first, last)) if last < key => Some((first, key)),
            Some(_) => return None,
        };
    }
    span
}

/// The entries behind `last` that may be in one page with it; none if something lies between
/// `first` and `last`, which is then no gap, or if nothing lies behind.
fn neighbours(
    first: &[u8],
    last: &[u8],
    data: Database,
    txn: &RwTxn<'_>,
) -> Heed<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut size = 0;
    for entry in data.range(txn, &(Bound::Included(first), Bound::Unbounded))? {
        let (key, value) = entry?;
        size += key.len() + value.len();
        if key <= last || value.len() > SMALL || size > PAGE {
            break;
        }
        found.push((key.to_vec(), value.to_vec()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv::{CommitId, Durability};

    fn load(keys: impl Iterator<Item = u32>) -> Batch {
        let mut batch = Batch::new(CommitId::default(), Durability::Deferred);
        keys.for_each(|key| batch.put(&key.to_be_bytes(), &[0; 100]));
        batch
    }

    #[test]
    fn only_large_batches_of_puts_in_order_are_loads() {
        let ordered = load(1..1000);
        let ends = (&1u32.to_be_bytes()[..], &999u32.to_be_bytes()[..]);
        assert_eq!(span(&ordered), Some(ends));
        assert_eq!(span(&load(1..10)), None);
        assert_eq!(span(&load((1..1000).rev())), None);
        let mut mixed = load(1..1000);
        mixed.delete(&5000u32.to_be_bytes());
        assert_eq!(span(&mixed), None);
    }
}
