//! Sequential scans, also of a range of TIDs and of a share of a parallel scan.
//!
//! The state of a scan lives as long as the memory that PostgreSQL gave to its descriptor, or until
//! `scan_end`, which is not called after an error.

use std::rc::Rc;

use kv::{Direction, Version};
use mvcc::{Entry, Scan, ScanOptions, Snapshot};
use pgrx::prelude::*;
use relation::{RowId, Tid, key};

use crate::error::{OrRaise, unsupported};
use crate::row::{self, LAYOUT};
use crate::table::{self, Table};
use crate::table_am::{fetch::nobody_to_wait_for, parallel};
use crate::transaction::{self, Active};
use crate::{compat, pg};

/// Rows of the first page: a LIMIT 1 or an EXISTS needs no more. Over a network so many that small tables
/// are read at once: a round trip takes longer than they do.
const FIRST_ROWS: usize = 64;
const FIRST_ROWS_AWAY: usize = 256;
/// Rows and bytes of a page once a scan is known to be long.
const MAX_ROWS: usize = 4096;
const MAX_BYTES: usize = 512 << 10;

/// What PostgreSQL holds of a scan.
#[repr(C)]
struct Descriptor {
    base: pg_sys::TableScanDescData,
    state: *mut State,
    callback: pg_sys::MemoryContextCallback,
}

/// A scan under way.
pub(crate) struct State {
    table: Rc<Table>,
    at: Snapshot,
    /// The snapshot that the first page takes.
    taking: transaction::Taking,
    zero: Version,
    pub(super) cursor: Option<Scan>,
    /// At which end of the range the scan is. Its page is given up there: a plan may have many
    /// scans that have ended.
    ended: Option<Direction>,
    /// First row and first row after the range, where it is not the whole table.
    bounds: Option<(RowId, RowId)>,
    tuple: pg_sys::HeapTupleData,
    returned: i64,
    /// The row that was read last.
    pub(super) row: RowId,
    pub(super) block: super::sample::Block,
    pub(super) bitmap: super::bitmap::Bitmap,
}

/// Drops the state of a scan when the memory of its descriptor goes: `scan_end` is not called after
/// an error, and a cursor outlives the savepoint in which it was first fetched from.
#[pg_guard]
unsafe extern "C-unwind" fn drop_state(descriptor: *mut core::ffi::c_void) {
    // SAFETY: the descriptor is in the memory that is about to go.
    unsafe {
        let state =
            std::mem::replace(&mut (*descriptor.cast::<Descriptor>()).state, std::ptr::null_mut());
        if !state.is_null() {
            drop(Box::from_raw(state));
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
        if !snapshot.is_null() && (*snapshot).snapshot_type == pg_sys::SnapshotType::SNAPSHOT_DIRTY
        {
            // It sees the newest committed version; whose next one is under way shows with the lock.
            nobody_to_wait_for(snapshot);
        }
        let (at, taking) = parallel::snapshot(parallel, snapshot);
        let zero = table.zero_for(&at);
        let state = State {
            table,
            at,
            taking,
            zero,
            cursor: None,
            ended: None,
            bounds: None,
            tuple: pg_sys::HeapTupleData::default(),
            returned: 0,
            row: RowId(0),
            block: super::sample::Block::default(),
            bitmap: super::bitmap::Bitmap::default(),
        };
        pg_sys::RelationIncrementReferenceCount(relation);
        let scan = pg_sys::palloc0(size_of::<Descriptor>()).cast::<Descriptor>();
        (*scan).base.rs_rd = relation;
        (*scan).base.rs_snapshot = snapshot;
        (*scan).base.rs_flags = flags;
        (*scan).base.rs_parallel = parallel;
        (*scan).state = Box::into_raw(Box::new(state));
        (*scan).callback.func = Some(drop_state);
        (*scan).callback.arg = scan.cast();
        pg_sys::MemoryContextRegisterResetCallback(
            pg_sys::CurrentMemoryContext,
            &raw mut (*scan).callback,
        );
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
        state(scan).bitmap.restart();
        pg_sys::RelationDecrementReferenceCount(relation);
        if (*scan).rs_flags & pg_sys::ScanOptions::SO_TEMP_SNAPSHOT != 0 {
            pg_sys::UnregisterSnapshot((*scan).rs_snapshot);
        }
        // The descriptor itself stays until its memory goes: the callback is in it.
        drop_state(scan.cast());
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
        state.ended = None;
        state.bounds = None;
        state.block = super::sample::Block::default();
        state.bitmap.restart();
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
    let direction = pg::direction(direction);
    // SAFETY: the scan is ours and the slot is one of `slot_callbacks`.
    unsafe {
        let parallel = (*scan).rs_parallel;
        let state = state(scan);
        while state.ended != Some(direction) {
            if state.cursor.is_none() && !state.open(parallel) {
                break;
            }
            if state.next_into(direction, slot) {
                state.ended = None;
                state.returned += 1;
                return true;
            }
            state.cursor = None;
            if parallel.is_null() {
                state.ended = Some(direction);
            }
        }
        pg_sys::ExecClearTuple(slot);
        false
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
        state.ended = None;
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

/// A serializable transaction answers for all that it reads, and reads no more than it must.
fn first_rows(active: &mut Active) -> usize {
    let near = active.session.store.limits().local || active.store.is_serializable();
    if near { FIRST_ROWS } else { FIRST_ROWS_AWAY }
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
            self.open_range(self.bounds, transaction::with(first_rows));
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
        // SAFETY: PostgreSQL keeps the snapshot of a scan until the scan ends.
        let takes_snapshot = unsafe { self.taking.is_due(&mut self.at) };
        let cursor = Scan::new(start, end, self.at, options);
        self.cursor = Some(if takes_snapshot { cursor.taking_snapshot() } else { cursor });
    }

    /// The table, what the scan sees of it, and its version zero, for who reads something else than a
    /// range.
    pub(super) fn settled(&mut self) -> (Rc<Table>, Snapshot, Version) {
        // SAFETY: PostgreSQL keeps the snapshot of a scan until the scan ends.
        unsafe { self.taking.settle(&mut self.at) };
        (Rc::clone(&self.table), self.at, self.zero)
    }

    /// Where the rows are.
    pub(super) fn space(&self) -> relation::Space {
        self.table.space
    }

    /// A row that the bitmap scan has read, as a tuple that lives until the next call.
    pub(super) fn tuple_read(&mut self, i: usize) -> pg_sys::HeapTuple {
        self.tuple = self.bitmap.tuple(i, &self.table, &self.at);
        &raw mut self.tuple
    }

    /// Where the row is that was read last.
    pub(super) fn place(&self) -> Tid {
        Tid::of_row(self.row)
    }

    /// Puts the row that was read last into a slot again. The cursor must not have moved.
    ///
    /// # Safety
    /// `slot` must be one of [`slot_callbacks`]; what it gets lives until the next call of
    /// [`State::next_into`].
    pub(super) unsafe fn show_again(&mut self, slot: *mut pg_sys::TupleTableSlot) {
        // SAFETY: the caller's promise.
        unsafe { compat::ExecStoreHeapTuple(&raw mut self.tuple, slot, false) };
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
        let State { cursor, tuple, table, at, taking, row: last, .. } = self;
        let Some(cursor) = cursor else { return false };
        let found = transaction::with(|active| {
            let local = active.session.store.limits().local;
            loop {
                let Some(entry) = cursor.next(&mut active.store, direction)? else {
                    return Ok(false);
                };
                let row = row_of(&entry);
                if active.hides(table.space, entry.version, row, at) {
                    continue;
                }
                let tid = active.tid(row, entry.own);
                *last = row;
                let command = active.command(entry.own);
                if !local {
                    let body = &entry.body[LAYOUT.headroom..];
                    active.show(table.space, row, at.version, entry.version, body);
                }
                *tuple = row::tuple_in_place(entry.body, tid, table.oid, command);
                return Ok(true);
            }
        })
        .or_raise();
        // SAFETY: PostgreSQL keeps the snapshot of a scan until the scan ends.
        unsafe { taking.take(at, cursor.snapshot().version) };
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
