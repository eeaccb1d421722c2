//! Rows that are read many at once, by their ids, and shown one by one.

use kv::{Page, Result, Version};
use mvcc::{Found, Snapshot};
use pgrx::prelude::*;
use relation::{RowId, key};

use crate::row::{self, LAYOUT};
use crate::table::Table;
use crate::transaction;

/// Bytes of rows that are held at once, about.
const BYTES: usize = 1 << 20;

/// How many rows of an average length may be held at once.
pub(crate) fn fitting(average: usize) -> usize {
    (BYTES / average.max(1)).max(1)
}

/// Rows as a snapshot sees them.
#[derive(Default)]
pub(crate) struct Rows {
    /// Where they lie, once any were read.
    page: Option<Page>,
    found: Vec<Option<Found>>,
}

impl Rows {
    /// Forgets the rows, not their memory.
    pub(crate) fn clear(&mut self) {
        self.found.clear();
    }

    /// Reads rows in one step. `known` has current slots that need not be read again.
    pub(crate) fn read(
        &mut self,
        table: &Table,
        ids: &[RowId],
        at: &Snapshot,
        zero: Version,
        known: &Page,
    ) -> Result<()> {
        let Rows { page, found } = self;
        let keys: Vec<_> = ids.iter().map(|row| key::row_key(table.space, *row)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
        transaction::with(|active| {
            let page = page.get_or_insert_with(|| active.store.page());
            active.store.get_many_knowing(known, &keys, at, zero, page, found)?;
            for (row, found) in ids.iter().zip(found.iter_mut()) {
                let hidden = |found: &Found| active.hides(table.space, found.version, *row, at);
                if found.as_ref().is_some_and(hidden) {
                    *found = None;
                }
            }
            Ok(())
        })
    }

    /// Whether the snapshot sees row `i` of those read; nothing if it was not read.
    pub(crate) fn is_seen(&self, i: usize) -> Option<bool> {
        self.found.get(i).map(Option::is_some)
    }

    /// Bytes of a row, on average of those read; nothing if none was found.
    pub(crate) fn average(&self) -> Option<usize> {
        let page = self.page.as_ref().filter(|page| !page.is_empty())?;
        Some((page.payload() / page.len()).max(1))
    }

    /// Row `i`, which is seen, as a tuple; it lives until rows are read again.
    pub(crate) fn tuple(
        &mut self,
        i: usize,
        row: RowId,
        table: &Table,
        at: &Snapshot,
    ) -> pg_sys::HeapTupleData {
        let found = self.found[i].expect("the row is seen");
        let page = self.page.as_mut().expect("what was found lies in it");
        let (tid, command) = transaction::with(|active| {
            if !active.session.store.limits().local {
                active.show(table.space, row, at.version, found.version, found.body(page));
            }
            (active.tid(row, found.own), active.command(found.own))
        });
        let bytes = mvcc::body_with_headroom(page, found.entry, LAYOUT);
        row::tuple_in_place(bytes, tid, table.oid, command)
    }
}
