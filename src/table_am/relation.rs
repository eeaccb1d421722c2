//! What CREATE TABLE, TRUNCATE, rewrites and the like ask of a table's storage.

use kv::{Batch, CommitId, Direction, Durability};
use pgrx::prelude::*;
use relation::space::{Kind, Record};

use crate::ddl::mapping;
use crate::error::{OrRaise, unsupported};
use crate::table;
use crate::table_am::{insert, scan};
use crate::{compat, transaction};

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_set_new_filelocator(
    relation: pg_sys::Relation,
    locator: *const compat::RawLocator,
    persistence: core::ffi::c_char,
    freeze_xid: *mut pg_sys::TransactionId,
    min_multi: *mut pg_sys::MultiXactId,
) {
    // SAFETY: PostgreSQL passes an open relation and valid pointers.
    unsafe {
        // Versions are the store's: no transaction id of PostgreSQL ever needs freezing here.
        *freeze_xid = pg_sys::InvalidTransactionId;
        *min_multi = pg_sys::MultiXactId::from(0);
        transaction::check_writable();
        let (new, old) = (compat::from_raw(&*locator), compat::locator(relation));
        let oid = (*relation).rd_id;
        let record = Record::new(oid.to_u32(), Kind::Table);
        let space = transaction::with(|active| {
            active.touch(oid);
            active.create_space(record)
        })
        .or_raise();
        compat::create_file(*locator, persistence);
        mapping::insert(new, oid, space);
        if old != new {
            forget(old, oid);
        }
    }
}

/// The table no longer uses what it had under a locator.
pub(crate) fn forget(locator: compat::Locator, relation: pg_sys::Oid) {
    for space in mapping::remove(locator, relation) {
        transaction::with(|active| active.drop_space(space));
    }
}

/// Empties a table that only this transaction or session sees, at once.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_nontransactional_truncate(
    relation: pg_sys::Relation,
) {
    // SAFETY: PostgreSQL passes an open relation.
    unsafe {
        let table = table::of(relation);
        let (start, end) = table.range();
        // Between the store's commit and PostgreSQL's (ON COMMIT DELETE ROWS) nothing is buffered.
        let uncommitted = transaction::with(|active| {
            !transaction::is_closing()
                && (active.created(table.space).is_some()
                    || active.store.has_writes_in(&start, &end))
        });
        if uncommitted {
            // The transaction's own rows and what it counted cannot be taken back one by one; a
            // new space has none.
            let locator = compat::locator(relation);
            let oid = (*relation).rd_id;
            forget(locator, oid);
            let record = Record::new(oid.to_u32(), Kind::Table);
            let space = transaction::with(|active| active.create_space(record)).or_raise();
            mapping::insert(locator, oid, space);
            pg_sys::CacheInvalidateRelcache(relation);
            (*relation).rd_amcache = std::ptr::null_mut();
            return;
        }
        transaction::with(|active| {
            let session = &active.session;
            let id = CommitId::random(&*session.env);
            let mut batch = Batch::new(id, Durability::Relaxed);
            relation::space::clear_contents(&mut batch, table.space);
            session.store.commit(&batch, &*session.env)
        })
        .or_raise();
    }
}

/// ALTER TABLE SET TABLESPACE: the rows stay where they are, only the empty file moves.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_copy_data(
    relation: pg_sys::Relation,
    locator: *const compat::RawLocator,
) {
    // SAFETY: PostgreSQL passes an open relation and a valid pointer.
    unsafe {
        let (new, old) = (compat::from_raw(&*locator), compat::locator(relation));
        compat::create_file(*locator, (*(*relation).rd_rel).relpersistence);
        let oid = (*relation).rd_id;
        pg_sys::RelationDropStorage(relation);
        for space in mapping::remove(old, oid) {
            mapping::insert(new, oid, space);
        }
    }
}

/// Runs with each row of a table that a snapshot sees.
///
/// # Safety
/// `relation` must be an open fakegres table and `snapshot` live.
pub(crate) unsafe fn for_each_row(
    relation: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    mut run: impl FnMut(*mut pg_sys::TupleTableSlot),
) {
    // SAFETY: the caller's promise; after an error PostgreSQL frees slot and scan.
    unsafe {
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
        let desc =
            scan::scan_begin(relation, snapshot, 0, std::ptr::null_mut(), std::ptr::null_mut(), 0);
        scan::state(desc).open_range(None, 1000);
        while scan::state(desc).next_into(Direction::Forward, slot) {
            run(slot);
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        scan::scan_end(desc);
    }
}

/// As [`for_each_row`], in the order of an index.
unsafe fn for_each_in_order(
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    mut run: impl FnMut(*mut pg_sys::TupleTableSlot),
) {
    let none = std::ptr::null_mut();
    // SAFETY: the caller's promise; after an error PostgreSQL frees slot and scan.
    unsafe {
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
        let scan = compat::index_beginscan(relation, index, snapshot);
        pg_sys::index_rescan(scan, none, 0, none, 0);
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        while pg_sys::index_getnext_slot(scan, forward, slot) {
            run(slot);
        }
        pg_sys::index_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
    }
}

/// VACUUM FULL and CLUSTER: writes the rows that can be seen into the new table.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_copy_for_cluster(
    old: pg_sys::Relation,
    new: pg_sys::Relation,
    index: pg_sys::Relation,
    _use_sort: bool,
    _oldest: pg_sys::TransactionId,
    _xid_cutoff: *mut pg_sys::TransactionId,
    _multi_cutoff: *mut pg_sys::MultiXactId,
    num_tuples: *mut f64,
    tups_vacuumed: *mut f64,
    tups_recently_dead: *mut f64,
) {
    // SAFETY: PostgreSQL passes open relations, two of one row type, and valid pointers.
    unsafe {
        let target = table::of(new);
        transaction::with(|active| active.holds_copy(target.space));
        let command = pg_sys::GetCurrentCommandId(true);
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let mut rows = 0.0;
        let copy = |slot| {
            pgrx::check_for_interrupts!();
            insert::insert(new, &target, slot, command);
            rows += 1.0;
        };
        if index.is_null() {
            for_each_row(old, snapshot, copy);
        } else {
            for_each_in_order(old, index, snapshot, copy);
        }
        pg_sys::UnregisterSnapshot(snapshot);
        *num_tuples = rows;
        *tups_vacuumed = 0.0;
        *tups_recently_dead = 0.0;
    }
}

/// Indexes of other access methods are refused when they are created; nothing of them can get here.
pub(super) fn no_foreign_index() -> ! {
    unsupported(
        "indexes of this access method are not supported on fakegres tables",
        "Use an index without USING.",
    )
}
