//! Parallel sequential scans: the row-id range in shares, handed out by an atomic counter.
//!
//! The leader's snapshot version travels in the shared state: a worker restores PostgreSQL's
//! snapshot without the tie that the leader made.

use std::sync::atomic::{AtomicU64, Ordering};

use kv::Version;
use mvcc::Snapshot;
use pgrx::prelude::*;
use relation::RowId;
use relation::row::ROWS_PER_BLOCK;

use crate::error::OrRaise;
use crate::table;
use crate::transaction;

/// Rows of a share when the table is large; a power of two blocks.
const LARGEST_SHARE: u64 = 64 * ROWS_PER_BLOCK;
/// A table is cut into about so many shares, so that workers end together.
const SHARES: u64 = 64;

/// What the processes of a parallel scan share.
#[repr(C)]
struct Shared {
    base: pg_sys::ParallelTableScanDescData,
    /// The leader's version; zero until its scan begins.
    version: AtomicU64,
    /// First row that nobody took.
    next: AtomicU64,
    /// First row after the table.
    end: AtomicU64,
    share: AtomicU64,
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn parallelscan_estimate(
    _relation: pg_sys::Relation,
) -> pg_sys::Size {
    size_of::<Shared>()
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn parallelscan_initialize(
    relation: pg_sys::Relation,
    scan: pg_sys::ParallelTableScanDesc,
) -> pg_sys::Size {
    // SAFETY: PostgreSQL passes as many bytes of shared memory as parallelscan_estimate said.
    unsafe {
        let shared = &mut *scan.cast::<Shared>();
        set_relation(&mut shared.base, relation);
        shared.base.phs_syncscan = false;
        let table = table::of(relation);
        let end = transaction::with(|active| active.session.row_high_water(table.space)).or_raise();
        // The leader's query snapshot decides, not whichever process is first.
        let at = transaction::resolve(pg_sys::GetActiveSnapshot());
        shared.version = AtomicU64::new(at.version.0);
        shared.next = AtomicU64::new(0);
        shared.end = AtomicU64::new(end);
        let share = (end / SHARES).next_multiple_of(ROWS_PER_BLOCK);
        shared.share = AtomicU64::new(share.clamp(ROWS_PER_BLOCK, LARGEST_SHARE));
    }
    size_of::<Shared>()
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn parallelscan_reinitialize(
    _relation: pg_sys::Relation,
    scan: pg_sys::ParallelTableScanDesc,
) {
    // SAFETY: the shared state is as parallelscan_initialize left it.
    unsafe { (*scan.cast::<Shared>()).next.store(0, Ordering::Relaxed) };
}

#[cfg(not(feature = "pg18"))]
unsafe fn set_relation(base: &mut pg_sys::ParallelTableScanDescData, relation: pg_sys::Relation) {
    // SAFETY: the relation is open.
    base.phs_relid = unsafe { (*relation).rd_id };
}

#[cfg(feature = "pg18")]
unsafe fn set_relation(base: &mut pg_sys::ParallelTableScanDescData, relation: pg_sys::Relation) {
    // SAFETY: the relation is open.
    base.phs_locator = unsafe { (*relation).rd_locator };
}

/// What a scan sees: the leader's version if it is part of a parallel scan. It may have yet to take its
/// snapshot.
///
/// # Safety
/// `scan` must be null or initialized, `snapshot` live.
pub(super) unsafe fn snapshot(
    scan: pg_sys::ParallelTableScanDesc,
    snapshot: pg_sys::Snapshot,
) -> (Snapshot, transaction::Taking) {
    // SAFETY: the caller's promise.
    unsafe {
        match scan.cast::<Shared>().as_ref() {
            Some(shared) if !shared.base.phs_snapshot_any => {
                let version = Version(shared.version.load(Ordering::Relaxed));
                (Snapshot { version, command: (*snapshot).curcid }, transaction::Taking::default())
            }
            _ => transaction::resolve_later(snapshot),
        }
    }
}

/// The next rows that no process took.
///
/// # Safety
/// `scan` must be initialized.
pub(super) unsafe fn next_share(scan: pg_sys::ParallelTableScanDesc) -> Option<(RowId, RowId)> {
    // SAFETY: the caller's promise.
    let shared = unsafe { &*scan.cast::<Shared>() };
    let share = shared.share.load(Ordering::Relaxed);
    let first = shared.next.fetch_add(share, Ordering::Relaxed);
    let end = shared.end.load(Ordering::Relaxed);
    (first < end).then(|| (RowId(first), RowId((first + share).min(end))))
}
