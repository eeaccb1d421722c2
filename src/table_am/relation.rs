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
        let record = Record { table: oid.to_u32(), kind: Kind::Table, copied: false };
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
            !active.committed
                && (active.created(table.space).is_some()
                    || active.store.has_writes_in(&start, &end))
        });
        if uncommitted {
            // The transaction's own rows and what it counted cannot be taken back one by one; a
            // new space has none.
            let locator = compat::locator(relation);
            let oid = (*relation).rd_id;
            forget(locator, oid);
            let record = Record { table: oid.to_u32(), kind: Kind::Table, copied: false };
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

/// VACUUM FULL: writes the rows that can be seen into the new table.
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
    if !index.is_null() {
        no_index();
    }
    // SAFETY: PostgreSQL passes two open relations of one row type and valid pointers.
    unsafe {
        let target = table::of(new);
        transaction::with(|active| active.holds_copy(target.space));
        let command = pg_sys::GetCurrentCommandId(true);
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let slot = pg_sys::table_slot_create(old, std::ptr::null_mut());
        let desc =
            scan::scan_begin(old, snapshot, 0, std::ptr::null_mut(), std::ptr::null_mut(), 0);
        let mut rows = 0.0;
        scan::state(desc).open_range(None, 1000);
        while scan::state(desc).next_into(Direction::Forward, slot) {
            pgrx::check_for_interrupts!();
            insert::insert(new, &target, slot, command);
            rows += 1.0;
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        scan::scan_end(desc);
        pg_sys::UnregisterSnapshot(snapshot);
        *num_tuples = rows;
        *tups_vacuumed = 0.0;
        *tups_recently_dead = 0.0;
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_build_range_scan(
    _table: pg_sys::Relation,
    _index: pg_sys::Relation,
    _info: *mut pg_sys::IndexInfo,
    _allow_sync: bool,
    _any_visible: bool,
    _progress: bool,
    _start: pg_sys::BlockNumber,
    _count: pg_sys::BlockNumber,
    _callback: pg_sys::IndexBuildCallback,
    _callback_state: *mut core::ffi::c_void,
    _scan: pg_sys::TableScanDesc,
) -> f64 {
    no_index()
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_validate_scan(
    _table: pg_sys::Relation,
    _index: pg_sys::Relation,
    _info: *mut pg_sys::IndexInfo,
    _snapshot: pg_sys::Snapshot,
    _state: *mut pg_sys::ValidateIndexState,
) {
    no_index()
}

/// Indexes are refused when they are created; nothing of an index can get here otherwise.
pub(crate) fn no_index() -> ! {
    unsupported(
        "indexes on fakegres tables are not supported yet",
        "Create the table without PRIMARY KEY, UNIQUE, EXCLUDE and REFERENCES to it, or USING heap.",
    )
}
