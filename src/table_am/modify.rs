//! Updating and deleting rows.
//!
//! The row's lock is taken first; then the row is read as it is now, and what the statement's
//! snapshot saw is compared with it. A row that somebody changed in between is `TM_Updated` or
//! `TM_Deleted`, and PostgreSQL decides by the isolation level: it locks the newest version (see
//! `lock`) and tries again, or gives up.

use kv::{Page, Version};
use mvcc::{Base, Change, Committed, Newest, Snapshot};
use pgrx::prelude::*;
use relation::{RowId, Tid, key};

use crate::error::OrRaise;
use crate::index_am::maintain;
use crate::lock::Mode;
use crate::row;
use crate::table::{self, Table};
use crate::table_am::insert::{count, with_encoded};
use crate::transaction::{self, Named};
use crate::{changes, compat, lock};

/// The note that a row leaves when an update moved it to another partition.
const MOVED: &[u8] = b"moved";

/// What a change of a row found.
pub(super) struct Current {
    pub(super) row: RowId,
    pub(super) newest: Newest,
    pub(super) page: Page,
    pub(super) offset: usize,
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_delete(
    relation: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    command: pg_sys::CommandId,
    snapshot: pg_sys::Snapshot,
    crosscheck: pg_sys::Snapshot,
    wait: bool,
    failure: *mut pg_sys::TM_FailureData,
    changing_partition: bool,
) -> pg_sys::TM_Result::Type {
    transaction::check_writable();
    // SAFETY: PostgreSQL passes an open relation, live snapshots and valid pointers.
    unsafe {
        let table = table::of(relation);
        let tid = row::tid(tid);
        let found = examine(&table, tid, command, snapshot, crosscheck, wait, Mode::Exclusive);
        let mut current = match found {
            Ok(current) => current,
            Err(refusal) => return refusal.tell(tid, failure),
        };
        if (*(*relation).rd_rel).relhasindex {
            let row = current.row;
            maintain::remove(relation, &mut current.tuple(&table), row, command);
        }
        let bytes = current.length();
        transaction::with(|active| {
            let key = key::row_key(table.space, current.row);
            let change =
                if changing_partition { Change::DeleteNoted(MOVED) } else { Change::Delete };
            active.store.write(&key, change, command, current.newest.base())?;
            count(active, &table, -1, -(bytes as i64));
            Ok(())
        })
        .or_raise();
        compat::count_delete(relation);
        pg_sys::TM_Result::TM_Ok
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_update(
    relation: pg_sys::Relation,
    old: pg_sys::ItemPointer,
    slot: *mut pg_sys::TupleTableSlot,
    command: pg_sys::CommandId,
    snapshot: pg_sys::Snapshot,
    crosscheck: pg_sys::Snapshot,
    wait: bool,
    failure: *mut pg_sys::TM_FailureData,
    lock_mode: *mut pg_sys::LockTupleMode::Type,
    update_indexes: *mut compat::UpdateIndexes,
) -> pg_sys::TM_Result::Type {
    transaction::check_writable();
    // SAFETY: PostgreSQL passes an open relation, live snapshots and valid pointers.
    unsafe {
        let table = table::of(relation);
        let tid = row::tid(old);
        *lock_mode = pg_sys::LockTupleMode::LockTupleNoKeyExclusive;
        *update_indexes = compat::UPDATE_NO_INDEX;
        let mode = Mode::NoKeyExclusive;
        let mut current = match examine(&table, tid, command, snapshot, crosscheck, wait, mode) {
            Ok(current) => current,
            Err(refusal) => return refusal.tell(tid, failure),
        };
        let mut changed = Vec::new();
        if (*(*relation).rd_rel).relhasindex {
            let row = current.row;
            let mut before = current.tuple(&table);
            let old = maintain::Row::new(relation, &mut before);
            let touched = old.touched(slot);
            // A foreign key's check holds a lock on the key, and this row, locked already, stays
            // what it is until that is over.
            if touched.key {
                *lock_mode = pg_sys::LockTupleMode::LockTupleExclusive;
                if !lock::row(&table, row, Mode::Exclusive, policy(wait)) {
                    return Refusal::WouldBlock.tell(tid, failure);
                }
            }
            if touched.indexed {
                changed = old.replace(&table, slot, row, command);
            }
            old.end();
        }
        if !changed.is_empty() {
            *update_indexes = compat::UPDATE_INDEXES;
        }
        let before = current.length();
        let (tid, token, locked) = with_encoded(relation, slot, |active, encoded| {
            let key = key::row_key(table.space, current.row);
            let base = current.newest.base();
            let id = active.store.write(&key, Change::Put(&[encoded]), command, base)?;
            count(active, &table, 0, encoded.len() as i64 - before as i64);
            let tid = active.tid(current.row, Some(id));
            active.note_update(tid, changed);
            Ok((tid, active.token, active.locked_last == Some((table.space, current.row))))
        });
        row::stamp(slot, token, locked, command);
        (*slot).tts_tid = row::item_pointer(tid);
        (*slot).tts_tableOid = (*relation).rd_id;
        compat::count_update(relation);
        pg_sys::TM_Result::TM_Ok
    }
}

impl Current {
    /// Whether the row was moved to another partition: who waited for it cannot follow it there.
    pub(super) fn moved(&self) -> bool {
        self.newest.committed.is_some_and(|committed| committed.deleted) && self.length() > 0
    }

    /// Whether the row's key columns are not those of the version in a slot.
    ///
    /// # Safety
    /// `relation` must be the open table, and `slot` hold a version of the row.
    pub(super) unsafe fn has_other_key(
        &mut self,
        relation: pg_sys::Relation,
        table: &Table,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> bool {
        let mut now = self.tuple(table);
        // SAFETY: the caller's promise.
        unsafe {
            let row = maintain::Row::new(relation, &mut now);
            let touched = row.touched(slot);
            row.end();
            touched.key
        }
    }

    /// The row as it is, as a heap tuple that lies in the page.
    fn tuple(&mut self, table: &Table) -> pg_sys::HeapTupleData {
        let bytes = mvcc::body_with_headroom(&mut self.page, 0, row::LAYOUT);
        row::tuple_in_place(bytes, Tid::of_row(self.row), table.oid, 0)
    }

    /// Bytes of the row as it is.
    fn length(&self) -> usize {
        self.page.value(0).len().saturating_sub(self.offset)
    }
}

/// Why a row cannot be changed as the caller saw it.
pub(super) enum Refusal {
    /// This transaction changed it, by this command, after the caller looked.
    SelfModified(pg_sys::CommandId),
    /// Another transaction updated it.
    Updated,
    /// Another transaction deleted it.
    Deleted,
    /// Another transaction holds its lock, and the caller does not want to wait.
    WouldBlock,
}

impl Refusal {
    /// Tells PostgreSQL.
    ///
    /// # Safety
    /// `failure` must be valid.
    pub(super) unsafe fn tell(
        self,
        tid: Tid,
        failure: *mut pg_sys::TM_FailureData,
    ) -> pg_sys::TM_Result::Type {
        // SAFETY: the caller's promise.
        let failure = unsafe { &mut *failure };
        failure.ctid = row::item_pointer(tid);
        failure.xmax = pg_sys::InvalidTransactionId;
        failure.cmax = pg_sys::CommandId::MAX;
        failure.traversed = false;
        match self {
            Refusal::SelfModified(command) => {
                failure.cmax = command;
                // MERGE looks here whether it was this transaction; rare enough to take an id for.
                // SAFETY: called by a statement that writes.
                failure.xmax = unsafe { pg_sys::GetCurrentTransactionId() };
                pg_sys::TM_Result::TM_SelfModified
            }
            Refusal::Updated => pg_sys::TM_Result::TM_Updated,
            Refusal::Deleted => pg_sys::TM_Result::TM_Deleted,
            Refusal::WouldBlock => pg_sys::TM_Result::TM_WouldBlock,
        }
    }
}

/// Locks a row and reads it as it is now; refuses if that is not what the snapshot saw.
unsafe fn examine(
    table: &Table,
    tid: Tid,
    command: pg_sys::CommandId,
    snapshot: pg_sys::Snapshot,
    crosscheck: pg_sys::Snapshot,
    wait: bool,
    mode: Mode,
) -> Result<Current, Refusal> {
    let Some(named) = transaction::with(|active| active.target(table.space, tid)) else {
        return Err(Refusal::Deleted);
    };
    if let Some(current) = own(table, &named, command)? {
        return Ok(current);
    }
    // SAFETY: the caller passes live snapshots.
    let at = unsafe { transaction::resolve(snapshot) };
    if !lock::row(table, named.row, mode, policy(wait)) {
        return Err(Refusal::WouldBlock);
    }
    let current = read_locked(table, &named, &at);
    judge(&current, &named, &at)?;
    if !crosscheck.is_null() {
        // SAFETY: the caller passes live snapshots.
        let at = unsafe { transaction::resolve(crosscheck) };
        let version = current.newest.committed.map(|committed| committed.version);
        if version.is_none_or(|version| version > at.version) {
            return Err(Refusal::Updated);
        }
    }
    Ok(current)
}

fn policy(wait: bool) -> lock::Policy {
    if wait { lock::Policy::Wait } else { lock::Policy::Skip }
}

/// The row if this transaction wrote it: it needs no lock and no comparison.
pub(super) fn own(
    table: &Table,
    named: &Named,
    command: pg_sys::CommandId,
) -> Result<Option<Current>, Refusal> {
    let key = key::row_key(table.space, named.row);
    if transaction::with(|active| active.store.live(&key).is_none()) {
        // A version of a savepoint that was rolled back since.
        return if named.own.is_some() { Err(Refusal::Deleted) } else { Ok(None) };
    }
    let current = read_newest(table, named.row);
    match current.newest.own {
        Some(own) if own.command >= command => Err(Refusal::SelfModified(own.command)),
        Some(own) if own.deleted => Err(Refusal::Deleted),
        _ => Ok(Some(current)),
    }
}

/// Reads a row as it is now that it is locked: if nobody changed it since the snapshot was taken, it is
/// what a scan has just returned.
pub(super) fn read_locked(table: &Table, named: &Named, at: &Snapshot) -> Current {
    known(table, named, at).unwrap_or_else(|| read_newest(table, named.row))
}

fn known(table: &Table, named: &Named, at: &Snapshot) -> Option<Current> {
    let key = key::row_key(table.space, named.row);
    if at.version == Version::MAX || !changes::none_since(at.version, &key) {
        return None;
    }
    transaction::with(|active| {
        let (version, body) = active.shown(table.space, named.row, at.version)?;
        let mut page = active.store.page();
        page.push(&[], &[&[0; mvcc::HEADER][..], body].concat());
        let committed = Some(Committed { version, deleted: false });
        let newest = Newest { own: None, committed };
        Some(Current { row: named.row, newest, page, offset: mvcc::HEADER })
    })
}

/// Reads a row as it is now.
fn read_newest(table: &Table, row: RowId) -> Current {
    transaction::with(|active| {
        let zero = table.zero(active)?;
        let mut page = active.store.page();
        let key = key::row_key(table.space, row);
        let newest = active.store.newest(&key, zero, &mut page)?;
        Ok(Current { row, newest, page, offset: mvcc::HEADER })
    })
    .or_raise()
}

/// Compares a committed row with what a snapshot saw, or with the newer version that the caller was
/// shown after a wait and names by its TID.
pub(super) fn judge(current: &Current, named: &Named, at: &Snapshot) -> Result<(), Refusal> {
    let Some(committed) = current.newest.committed else { return Err(Refusal::Deleted) };
    let known = match named.followed {
        Some(version) => committed.version == version,
        None => committed.version <= at.version,
    };
    match (known, committed.deleted) {
        (true, false) => Ok(()),
        (_, true) if !current.moved() => Err(Refusal::Deleted),
        _ => Err(Refusal::Updated),
    }
}

/// What to write over a row with, for callers outside this module.
pub(super) fn base_version(base: Base) -> Version {
    match base {
        Base::Seen(version) => version,
        Base::New | Base::Absent => Version::ZERO,
    }
}
