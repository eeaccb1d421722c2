//! Sequential scans, also of a range of TIDs and of a share of a parallel scan.
//!
//! The state of a scan belongs to the backend's list of scans, not to PostgreSQL's memory contexts:
//! `scan_end` is not called after an error, and the end of the (sub)transaction drops what is left.

use std::rc::Rc;

use kv::{Direction, Version};
use mvcc::{Entry, Scan, ScanOptions, Snapshot};
use pgrx::prelude::*;
use relation::{RowId, Tid, key};

use crate::error::{OrRaise, unsupported};
use crate::row::{self, LAYOUT};
use crate::table::{self, Table};
use crate::transaction;
use crate::{compat, table_am::parallel};

/// Rows of the first page: a LIMIT 1 or an EXISTS needs no more.
const FIRST_ROWS: usize = 64;
/// Rows and bytes of a page once a scan is known to be long.
const MAX_ROWS: usize = 4096;
const MAX_BYTES: usize = 512 << 10;

/// What PostgreSQL holds of a scan.
#[repr(C)]
struct Descriptor {
    base: pg_sys::TableScanDescData,
    state: *mut State,
}

/// A scan under way.
pub(crate) struct State {
    level: i32,
    table: Rc<Table>,
    at: Snapshot,
    zero: Version,
    cursor: Option<Scan>,
    /// First row and first row after the range, where it is not the whole table.
    bounds: Option<(RowId, RowId)>,
    tuple: pg_sys::HeapTupleData,
    returned: i64,
    row_offset: u16,
    pub(super) block: super::sample::Block,
    pub(super) wanted: super::bitmap::Wanted,
}

/// The scans of this backend that have not ended.
#[allow(clippy::vec_box, reason = "PostgreSQL's descriptors point at the states")]
pub(crate) struct Scans(Vec<Box<State>>);

impl Scans {
    /// None.
    pub(crate) const fn new() -> Scans {
        Scans(Vec::new())
    }

    /// Drops all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A savepoint was released: its scans belong to the level below.
    pub(crate) fn release_level(&mut self, level: i32) {
        self.0
            .iter_mut()
            .filter(|scan| scan.level >= level)
            .for_each(|scan| scan.level = level - 1);
    }

    /// A savepoint was rolled back: its scans are over.
    pub(crate) fn abort_level(&mut self, level: i32) {
        self.0.retain(|scan| scan.level < level);
    }

    fn add(&mut self, state: State) -> *mut State {
        self.0.push(Box::new(state));
        self.0.last_mut().map_or(std::ptr::null_mut(), |state| &raw mut **state)
    }

    fn remove(&mut self, state: *const State) {
        if let Some(i) = self.0.iter().rposition(|scan| std::ptr::eq(&raw const **scan, state)) {
            self.0.swap_remove(i);
        }
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn slot_callbacks(
    _relation: pg_sys::Relation,
) -> *const pg_sys::TupleTableSlotOps {
    &raw const pg_sys::TTSOpsHeapTuple
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_begin(
    relation: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    nkeys: i32,
    _key: *mut pg_sys::ScanKeyData,
    parallel: pg_sys::ParallelTableScanDesc,
    flags: u32,
) -> pg_sys::TableScanDesc {
    if nkeys != 0 {
        unsupported("a fakegres table cannot be scanned with scan keys", "Use a query.");
    }
    // SAFETY: PostgreSQL passes an open relation and a live snapshot; the descriptor lives in the
    // caller's memory context and PostgreSQL keeps the relation open until scan_end.
    unsafe {
        let table = table::of(relation);
        let at = parallel::snapshot(parallel, snapshot);
        let zero = transaction::with(|active| table.zero(active));
        let state = State {
            level: transaction::level(),
            table,
            at,
            zero,
            cursor: None,
            bounds: None,
            tuple: pg_sys::HeapTupleData::default(),
            returned: 0,
            row_offset: 0,
            block: super::sample::Block::default(),
            wanted: super::bitmap::Wanted::default(),
        };
        pg_sys::RelationIncrementReferenceCount(relation);
        let scan = pg_sys::palloc0(size_of::<Descriptor>()).cast::<Descriptor>();
        (*scan).base.rs_rd = relation;
        (*scan).base.rs_snapshot = snapshot;
        (*scan).base.rs_flags = flags;
        (*scan).base.rs_parallel = parallel;
        (*scan).state = transaction::with_scans(|scans| scans.add(state));
        if flags & pg_sys::ScanOptions::SO_TYPE_SEQSCAN != 0 {
            compat::count_scan(relation, 1);
        }
        scan.cast()
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_end(scan: pg_sys::TableScanDesc) {
    // SAFETY: the scan is ours and this is its last use.
    unsafe {
        let relation = (*scan).rs_rd;
        compat::count_returned(relation, state(scan).returned);
        pg_sys::RelationDecrementReferenceCount(relation);
        if (*scan).rs_flags & pg_sys::ScanOptions::SO_TEMP_SNAPSHOT != 0 {
            pg_sys::UnregisterSnapshot((*scan).rs_snapshot);
        }
        let ended = (*scan.cast::<Descriptor>()).state;
        transaction::with_scans(|scans| scans.remove(ended));
        pg_sys::pfree(scan.cast());
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_rescan(
    scan: pg_sys::TableScanDesc,
    _key: *mut pg_sys::ScanKeyData,
    _set_params: bool,
    _allow_strategy: bool,
    _allow_sync: bool,
    _allow_page_mode: bool,
) {
    // SAFETY: the scan is ours.
    unsafe {
        let state = state(scan);
        state.cursor = None;
        state.bounds = None;
        state.block = super::sample::Block::default();
        if (*scan).rs_flags & pg_sys::ScanOptions::SO_TYPE_SEQSCAN != 0 {
            compat::count_scan((*scan).rs_rd, 1);
        }
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_getnextslot(
    scan: pg_sys::TableScanDesc,
    direction: pg_sys::ScanDirection::Type,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    let direction = if direction == pg_sys::ScanDirection::BackwardScanDirection {
        Direction::Backward
    } else {
        Direction::Forward
    };
    // SAFETY: the scan is ours and the slot is one of `slot_callbacks`.
    unsafe {
        let parallel = (*scan).rs_parallel;
        let state = state(scan);
        loop {
            if state.cursor.is_none() && !state.open(parallel) {
                pg_sys::ExecClearTuple(slot);
                return false;
            }
            if state.next_into(direction, slot) {
                state.returned += 1;
                return true;
            }
            if parallel.is_null() {
                pg_sys::ExecClearTuple(slot);
                return false;
            }
            state.cursor = None;
        }
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_set_tidrange(
    scan: pg_sys::TableScanDesc,
    min: pg_sys::ItemPointer,
    max: pg_sys::ItemPointer,
) {
    // SAFETY: the scan is ours and the pointers are valid.
    unsafe {
        let (min, max) = (row::tid(min), row::tid(max));
        let state = state(scan);
        state.cursor = None;
        state.bounds = Some((first_at_or_after(min), first_at_or_after(next_tid(max))));
    }
}

/// The state behind a scan.
///
/// # Safety
/// `scan` must come from [`scan_begin`] and not have ended.
pub(super) unsafe fn state<'a>(scan: pg_sys::TableScanDesc) -> &'a mut State {
    // SAFETY: the caller's promise; the state lives until the scan ends or its transaction does.
    unsafe { &mut *(*scan.cast::<Descriptor>()).state }
}

/// The first row whose TID is not below one that need not be a row's.
fn first_at_or_after(tid: Tid) -> RowId {
    let offset = u64::from(tid.offset.saturating_sub(1)).min(relation::row::ROWS_PER_BLOCK);
    RowId((RowId::first_of_block(tid.block).0 + offset).min(RowId::LAST.0 + 1))
}

fn next_tid(tid: Tid) -> Tid {
    match tid.offset.checked_add(1) {
        Some(offset) => Tid { offset, ..tid },
        None => Tid { block: tid.block.saturating_add(1), offset: 1 },
    }
}

impl State {
    /// Starts reading: the whole range, or the next share of a parallel scan. False if there is
    /// no share left.
    unsafe fn open(&mut self, parallel: pg_sys::ParallelTableScanDesc) -> bool {
        if parallel.is_null() {
            self.open_range(self.bounds, FIRST_ROWS);
            return true;
        }
        // SAFETY: a parallel scan's shared state is as parallelscan_initialize left it.
        let Some(share) = (unsafe { parallel::next_share(parallel) }) else { return false };
        self.open_range(Some(share), MAX_ROWS);
        true
    }

    /// Reads a range of rows from its beginning.
    pub(super) fn open_range(&mut self, bounds: Option<(RowId, RowId)>, first_rows: usize) {
        let (mut start, mut end) = self.table.range();
        if let Some((first, after)) = bounds {
            start = key::row_key(self.table.space, first).to_vec();
            if after <= RowId::LAST {
                end = key::row_key(self.table.space, after).to_vec();
            }
        }
        let options = ScanOptions {
            zero: self.zero,
            first_rows,
            max_rows: MAX_ROWS,
            max_bytes: MAX_BYTES,
            layout: LAYOUT,
        };
        self.cursor = Some(Scan::new(start, end, self.at, options));
    }

    /// Whether the scan stands in a range.
    #[cfg(feature = "pg18")]
    pub(super) fn block_is_open(&self) -> bool {
        self.cursor.is_some()
    }

    /// Offset of the row that was returned last, in its block.
    pub(super) fn row_offset(&self) -> u16 {
        self.row_offset
    }

    /// Puts the next row into a slot. False at the end of the range.
    ///
    /// # Safety
    /// `slot` must be one of [`slot_callbacks`]; what it gets lives until the next call.
    pub(super) unsafe fn next_into(
        &mut self,
        direction: Direction,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> bool {
        let State { cursor, tuple, table, at, row_offset, .. } = self;
        let Some(cursor) = cursor else { return false };
        let found = transaction::with(|active| {
            loop {
                let Some(entry) = cursor.next(&mut active.store, direction)? else {
                    return Ok(false);
                };
                let row = row_of(&entry);
                if active.hides(table.space, entry.version, row, at) {
                    continue;
                }
                let tid = active.tid(row, entry.own);
                *row_offset = Tid::of_row(row).offset;
                let command = active.command(entry.own);
                *tuple = row::tuple_in_place(entry.body, tid, table.oid, command);
                return Ok(true);
            }
        })
        .or_raise();
        if found {
            // SAFETY: the tuple lies in the cursor's page until the next call.
            unsafe { compat::ExecStoreHeapTuple(tuple, slot, false) };
        }
        found
    }
}

fn row_of(entry: &Entry<'_>) -> RowId {
    key::row_of_key(entry.key).expect("the range of a table holds keys of rows only")
}
