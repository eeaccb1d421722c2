//! Fetching single rows by TID.

use kv::{Page, Version};
use mvcc::Snapshot;
use pgrx::prelude::*;
use relation::{Tid, key};

use crate::error::OrRaise;
use crate::row::{self, LAYOUT};
use crate::table::{self, Table};
use crate::table_am::modify::Current;
use crate::table_am::size::blocks;
use crate::transaction::{self, Active, Named};
use crate::{compat, lock};

/// A row found by TID, in a page of its own.
struct Row {
    tid: Tid,
    page: Page,
    entry: usize,
    command: pg_sys::CommandId,
    /// What to show as xmin instead of the row's token.
    xmin: Option<pg_sys::TransactionId>,
    /// Whether the running transaction made it.
    own: bool,
    /// The commit that made it, where that is known.
    version: Option<Version>,
}

impl Row {
    /// Puts the row into a slot, which gets a copy.
    unsafe fn store_into(mut self, table: &Table, slot: *mut pg_sys::TupleTableSlot) {
        let bytes = mvcc::body_with_headroom(&mut self.page, self.entry, LAYOUT);
        let mut tuple = row::tuple_in_place(bytes, self.tid, table.oid, self.command);
        // SAFETY: the tuple's header is in the page; the copy is made while it lives; the slot is
        // one of ours.
        unsafe {
            if let Some(xmin) = self.xmin {
                (*tuple.t_data).t_choice.t_heap.t_xmin = xmin;
            }
            pg_sys::ExecForceStoreHeapTuple(pg_sys::heap_copytuple(&mut tuple), slot, true);
        }
    }
}

impl Current {
    /// Puts the row as it is now into a slot, under its own TID or the one given.
    ///
    /// # Safety
    /// `slot` must be one of the table's.
    pub(super) unsafe fn store_into(
        &mut self,
        table: &Table,
        shown: Option<Tid>,
        slot: *mut pg_sys::TupleTableSlot,
    ) {
        let own = self.newest.own.map(|own| own.id);
        let (tid, command) = transaction::with(|active| {
            (shown.unwrap_or_else(|| active.tid(self.row, own)), active.command(own))
        });
        let page = std::mem::take(&mut self.page);
        // SAFETY: the caller's promise.
        unsafe {
            Row { tid, page, entry: 0, command, xmin: None, own: own.is_some(), version: None }
                .store_into(table, slot)
        };
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_fetch_row_version(
    relation: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    snapshot: pg_sys::Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    // SAFETY: PostgreSQL passes an open relation, a live snapshot and valid pointers.
    unsafe {
        let table = table::of(relation);
        let tid = row::tid(tid);
        let found = if (*snapshot).snapshot_type == pg_sys::SnapshotType::SNAPSHOT_ANY {
            any_version(&table, tid)
        } else {
            visible_version(&table, tid, &transaction::resolve(snapshot))
        };
        let Some(row) = found else { return false };
        row.store_into(&table, slot);
        true
    }
}

/// Puts the version of a row that a snapshot sees into a slot, if it sees one.
///
/// # Safety
/// `slot` must be one of the table's.
pub(super) unsafe fn visible_into(
    table: &Table,
    tid: Tid,
    at: &Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    let Some(row) = visible_version(table, tid, at) else { return false };
    // SAFETY: the caller's promise.
    unsafe { row.store_into(table, slot) };
    true
}

/// Puts the version that a TID names into a slot if it is the row's newest and the running command
/// made it: ON CONFLICT found what it inserted or updated itself.
///
/// # Safety
/// `slot` must be one of the table's.
pub(super) unsafe fn unseen_into(
    table: &Table,
    tid: Tid,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    let Some(mut row) = live_version(table, tid).filter(|row| row.tid == tid) else { return false };
    row.xmin = Some(this_transaction());
    // SAFETY: the caller's promise.
    unsafe { row.store_into(table, slot) };
    true
}

/// The version that a TID names, whether or not it is superseded: what triggers ask for.
fn any_version(table: &Table, tid: Tid) -> Option<Row> {
    // SAFETY: statements and triggers run under an active snapshot.
    let active_snapshot = unsafe {
        pg_sys::ActiveSnapshotSet().then(|| transaction::resolve(pg_sys::GetActiveSnapshot()))
    };
    let found = transaction::with(|active| {
        let Some(named) = active.target(table.space, tid) else { return Ok(None) };
        let key = key::row_key(table.space, named.row);
        if let Some(id) = named.own.or_else(|| active.store.inserted(&key)) {
            return Ok(own_version(active, id, tid));
        }
        // The row before this transaction changed it: the version on which its own one stands. A
        // row that it did not change: what it was shown after a wait, or what the statement sees.
        let zero = table.zero(active)?;
        let mut page = active.store.page();
        let base = match active.store.base(&key) {
            Some(mvcc::Base::Seen(version)) => Some(version),
            _ => named.followed,
        };
        let found = match base {
            Some(version) => {
                let found = active.store.get_base(&key, version, zero, &mut page)?;
                found.map(|found| found.entry)
            }
            None => {
                let version = active_snapshot.map_or(Version::MAX, |at| at.version);
                let at = Snapshot { version, command: 0 };
                if let Some((_, body)) = active.shown(table.space, named.row, version) {
                    page.push(&[], &[&[0; mvcc::HEADER][..], body].concat());
                    Some(0)
                } else {
                    let found = active.store.get(&key, &at, zero, &mut page)?;
                    found.map(|found| found.entry)
                }
            }
        };
        // Rows that went to the store before the commit bear no mark of this transaction.
        let xmin = active.created(table.space).map(|_| this_transaction());
        Ok(found.map(|entry| Row { tid, page, entry, command: 0, xmin, own: false, version: None }))
    });
    found.or_raise()
}

/// The xmin of a version that this transaction made: foreign keys ask for it of the old version of
/// a row, whose own check they skipped if it is so.
fn this_transaction() -> pg_sys::TransactionId {
    // SAFETY: called by a statement or trigger of a transaction that writes.
    unsafe { pg_sys::GetTopTransactionId() }
}

/// The version of the row that a TID names which a snapshot sees.
fn visible_version(table: &Table, tid: Tid, at: &Snapshot) -> Option<Row> {
    let found = transaction::with(|active| {
        let Some(named) = active.target(table.space, tid) else { return Ok(None) };
        let row = named.row;
        let zero = table.zero(active)?;
        let mut page = active.store.page();
        let key = key::row_key(table.space, row);
        let Some(found) = active.store.get(&key, at, zero, &mut page)? else { return Ok(None) };
        if active.hides(table.space, found.version, row, at) {
            return Ok(None);
        }
        let (tid, command) = (active.tid(row, found.own), active.command(found.own));
        let own = found.own.is_some();
        Ok(Some(Row {
            tid,
            page,
            entry: found.entry,
            command,
            xmin: None,
            own,
            version: found.version,
        }))
    });
    found.or_raise()
}

fn own_version(active: &Active, id: mvcc::WriteId, tid: Tid) -> Option<Row> {
    let version = active.store.own(id)?;
    let mut page = active.store.page();
    // Only the body is read: what stands before it has no meaning here.
    page.push(&[], &[&[0; mvcc::HEADER][..], version.body?].concat());
    let superseded = active.store.live(version.key) != Some(id);
    // SAFETY: reads the transaction's state.
    let running = unsafe { pg_sys::GetCurrentCommandId(false) };
    // ON CONFLICT asks whether it was this transaction that made what its snapshot does not see.
    let xmin = (superseded || version.command >= running).then(this_transaction);
    Some(Row { tid, page, entry: 0, command: version.command, xmin, own: true, version: None })
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_tid_valid(
    scan: pg_sys::TableScanDesc,
    tid: pg_sys::ItemPointer,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours and a valid pointer.
    unsafe {
        let (tid, blocks) = (row::tid(tid), blocks((*scan).rs_rd));
        let space = table::of((*scan).rs_rd).space;
        let target = transaction::with(|active| active.target(space, tid));
        target.is_some_and(|named| Tid::of_row(named.row).block < blocks)
    }
}

/// The TID under which the row is visible to the scan's snapshot.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_get_latest_tid(
    scan: pg_sys::TableScanDesc,
    tid: pg_sys::ItemPointer,
) {
    // SAFETY: PostgreSQL passes a scan of ours and a valid pointer.
    unsafe {
        let table = table::of((*scan).rs_rd);
        let at = transaction::resolve((*scan).rs_snapshot);
        if let Some(row) = visible_version(&table, row::tid(tid), &at) {
            *tid = row::item_pointer(row.tid);
        }
    }
}

/// Whether the version in a slot is what the snapshot sees of its row.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_satisfies_snapshot(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    snapshot: pg_sys::Snapshot,
) -> bool {
    // SAFETY: PostgreSQL passes an open relation, a live snapshot and a slot with a row.
    unsafe {
        let table = table::of(relation);
        let at = transaction::resolve(snapshot);
        let tid = row::tid(&raw mut (*slot).tts_tid);
        visible_version(&table, tid, &at).is_some_and(|row| row.tid == tid)
    }
}

/// PostgreSQL asks which entries of an index are dead; ours never are.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_delete_tuples(
    _relation: pg_sys::Relation,
    _state: *mut pg_sys::TM_IndexDeleteOp,
) -> pg_sys::TransactionId {
    super::relation::no_foreign_index()
}

/// What an index scan hands to the fetch of a row.
#[repr(C)]
pub(crate) struct Fetch {
    base: pg_sys::IndexFetchTableData,
    /// The row that the index scan stands on.
    tid: pg_sys::ItemPointerData,
    /// That row, if the scan has read it; the scan owns it until its next call.
    tuple: *mut pg_sys::HeapTupleData,
    /// The entry says everything, and the row is known to be there.
    known: bool,
}

impl Fetch {
    /// The index scan stands on an entry whose row is there, and nobody needs the row.
    pub(crate) fn know(&mut self, tid: pg_sys::ItemPointerData) {
        (self.tid, self.tuple, self.known) = (tid, std::ptr::null_mut(), true);
    }

    /// The index scan stands on an entry and has read its row, or none of it is left.
    pub(crate) fn prepare(
        &mut self,
        tid: pg_sys::ItemPointerData,
        tuple: *mut pg_sys::HeapTupleData,
    ) {
        (self.tid, self.tuple, self.known) = (tid, tuple, false);
    }

    /// Nothing is known.
    pub(crate) fn forget(&mut self) {
        self.prepare(pg_sys::ItemPointerData::default(), std::ptr::null_mut());
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_fetch_begin(
    relation: pg_sys::Relation,
) -> *mut pg_sys::IndexFetchTableData {
    // SAFETY: the structure is filled with zeros, which mean that nothing is known.
    unsafe {
        let fetch = pg_sys::palloc0(size_of::<Fetch>()).cast::<Fetch>();
        (*fetch).base.rel = relation;
        fetch.cast()
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_fetch_reset(data: *mut pg_sys::IndexFetchTableData) {
    // SAFETY: PostgreSQL passes what index_fetch_begin made.
    unsafe { (*data.cast::<Fetch>()).forget() };
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_fetch_end(data: *mut pg_sys::IndexFetchTableData) {
    // SAFETY: made by index_fetch_begin, and used no more.
    unsafe { pg_sys::pfree(data.cast()) };
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn index_fetch_tuple(
    data: *mut pg_sys::IndexFetchTableData,
    tid: pg_sys::ItemPointer,
    snapshot: pg_sys::Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
    call_again: *mut bool,
    all_dead: *mut bool,
) -> bool {
    // SAFETY: PostgreSQL passes what index_fetch_begin made, a live snapshot and valid pointers.
    unsafe {
        *call_again = false;
        if let Some(all_dead) = all_dead.as_mut() {
            *all_dead = false;
        }
        let fetch = &mut *data.cast::<Fetch>();
        if row::tid(&raw mut fetch.tid) == row::tid(tid) {
            if fetch.known {
                return true;
            }
            if !fetch.tuple.is_null() {
                compat::ExecStoreHeapTuple(fetch.tuple, slot, false);
                return true;
            }
        }
        let table = table::of(fetch.base.rel);
        let found = match (*snapshot).snapshot_type {
            pg_sys::SnapshotType::SNAPSHOT_MVCC => {
                visible_version(&table, row::tid(tid), &transaction::resolve(snapshot))
            }
            pg_sys::SnapshotType::SNAPSHOT_DIRTY => {
                settled_version(&table, row::tid(tid), snapshot)
            }
            _ => live_version(&table, row::tid(tid)),
        };
        let Some(found) = found else { return false };
        if (*snapshot).snapshot_type != pg_sys::SnapshotType::SNAPSHOT_MVCC {
            // Who looks for conflicts must know the version that this transaction made by its TID.
            *tid = row::item_pointer(found.tid);
        }
        found.store_into(&table, slot);
        true
    }
}

/// PostgreSQL reads in a dirty snapshot, after every row of a scan, whether a transaction is to be waited
/// for.
///
/// # Safety
/// `snapshot` must be a live dirty snapshot.
pub(super) unsafe fn nobody_to_wait_for(snapshot: pg_sys::Snapshot) {
    // SAFETY: the caller's promise.
    unsafe {
        (*snapshot).xmin = pg_sys::InvalidTransactionId;
        (*snapshot).xmax = pg_sys::InvalidTransactionId;
        (*snapshot).speculativeToken = 0;
    }
}

/// What a search for conflicts finds: the row as it is once nobody is about to delete it. No
/// transaction is left to wait for then.
unsafe fn settled_version(table: &Table, tid: Tid, snapshot: pg_sys::Snapshot) -> Option<Row> {
    // SAFETY: the caller passes a dirty snapshot.
    unsafe { nobody_to_wait_for(snapshot) };
    let found = live_version(table, tid)?;
    if found.own {
        return Some(found);
    }
    let Named { row, .. } = transaction::with(|active| active.target(table.space, tid))?;
    lock::wait_for(table, row);
    let mut found = live_version(table, tid)?;
    if let Some(version) = found.version.filter(|version| *version > shown_version()) {
        // ON CONFLICT goes on with the version that it is shown here, newer than its snapshot.
        found.tid = transaction::with(|active| active.follow(table.space, row, version));
    }
    Some(found)
}

/// What the running statement sees.
fn shown_version() -> Version {
    // SAFETY: statements run under an active snapshot.
    unsafe {
        if !pg_sys::ActiveSnapshotSet() {
            return Version::MAX;
        }
        transaction::resolve(pg_sys::GetActiveSnapshot()).version
    }
}

/// A row as it is now; nothing if the TID names a version that was superseded.
fn live_version(table: &Table, tid: Tid) -> Option<Row> {
    let named = transaction::with(|active| active.target(table.space, tid))?;
    let now = Snapshot { version: Version::MAX, command: pg_sys::CommandId::MAX };
    let found = visible_version(table, Tid::of_row(named.row), &now)?;
    (named.own.is_none() || found.tid == tid).then_some(found)
}
