//! What building and validating an index asks of its table.

use pgrx::prelude::*;

use super::relation::for_each_row;
use super::size;
use crate::index_am::{self, form, verify};
use crate::row;
use crate::transaction;

/// Rows between two reports of progress.
const PROGRESS_STEP: u64 = 10_000;

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_build_range_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    _allow_sync: bool,
    _any_visible: bool,
    progress: bool,
    _start: pg_sys::BlockNumber,
    _count: pg_sys::BlockNumber,
    callback: pg_sys::IndexBuildCallback,
    state: *mut core::ffi::c_void,
    _scan: pg_sys::TableScanDesc,
) -> f64 {
    let Some(callback) = callback else { return 0.0 };
    let mut rows = 0.0_f64;
    // SAFETY: PostgreSQL passes open relations and the description of the index; the snapshot and the
    // executor state are released again, or by the abort.
    unsafe {
        if !index_am::is_ours(index) {
            // The table is becoming one of ours, and its indexes follow when the command is over.
            crate::ddl::indexes::must_follow((*table).rd_id);
            return 0.0;
        }
        let estate = pg_sys::CreateExecutorState();
        let snapshot = pg_sys::RegisterSnapshot(newest());
        if progress {
            report(pg_sys::PROGRESS_SCAN_BLOCKS_TOTAL, size::blocks(table));
        }
        for_each_row(table, snapshot, |slot| {
            pgrx::check_for_interrupts!();
            rows += 1.0;
            if let Some(mut formed) = form::evaluate(info, slot, estate) {
                let (values, nulls) = (formed.values.as_mut_ptr(), formed.nulls.as_mut_ptr());
                let mut tid = row_tid(table, slot);
                callback(index, &mut tid, values, nulls, true, state);
            }
            if progress && (rows as u64).is_multiple_of(PROGRESS_STEP) {
                report(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, block(table, slot));
            }
        });
        if progress {
            report(pg_sys::PROGRESS_SCAN_BLOCKS_DONE, size::blocks(table));
        }
        pg_sys::UnregisterSnapshot(snapshot);
        // What the predicate was prepared for goes with the executor state.
        pg_sys::FreeExecutorState(estate);
        (*info).ii_ExpressionsState = std::ptr::null_mut();
        (*info).ii_PredicateState = std::ptr::null_mut();
    }
    rows
}

/// A snapshot that sees what is there, and all that this transaction did.
unsafe fn newest() -> pg_sys::Snapshot {
    // SAFETY: PostgreSQL keeps the latest snapshot; it is copied when it is registered.
    unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::GetLatestSnapshot()
    }
}

/// The TID of the row in a slot, which may be shown as a version of this transaction.
unsafe fn row_tid(
    table: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
) -> pg_sys::ItemPointerData {
    // SAFETY: the slot has a row of the open table.
    let tid = unsafe { row_in(table, slot) };
    row::item_pointer(tid)
}

unsafe fn row_in(table: pg_sys::Relation, slot: *mut pg_sys::TupleTableSlot) -> relation::Tid {
    // SAFETY: the callers' promise.
    let (space, tid) =
        unsafe { (crate::table::of(table).space, row::tid(&raw mut (*slot).tts_tid)) };
    let named = transaction::with(|active| active.target(space, tid));
    relation::Tid::of_row(named.expect("a scan shows rows under TIDs that name them").row)
}

unsafe fn block(table: pg_sys::Relation, slot: *mut pg_sys::TupleTableSlot) -> pg_sys::BlockNumber {
    // SAFETY: the callers' promise.
    unsafe { row_in(table, slot) }.block
}

fn report(what: u32, blocks: pg_sys::BlockNumber) {
    // SAFETY: reports a number.
    unsafe { pg_sys::pgstat_progress_update_param(what as i32, i64::from(blocks)) };
}

/// The last phase of CREATE INDEX CONCURRENTLY: transactions that did not know of the index while it
/// was built are over; what they changed is put right.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_validate_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    _info: *mut pg_sys::IndexInfo,
    _snapshot: pg_sys::Snapshot,
    _state: *mut pg_sys::ValidateIndexState,
) {
    // SAFETY: PostgreSQL passes open relations.
    unsafe { verify::repair(table, index) };
}
