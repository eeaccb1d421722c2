//! The entries of rows that are updated and deleted. PostgreSQL tells an index only of what is
//! added; what goes is removed here, so that VACUUM finds nothing but expired history.

use kv::{Result, Version};
use mvcc::Change;
use pgrx::prelude::*;
use relation::{RowId, entry};

use super::form::Former;
use super::index::{self, Entry, Index, Rule};
use super::unread;
use crate::error::OrRaise;
use crate::lock;
use crate::table::Table;
use crate::table_am::insert::count;
use crate::transaction::{self, Active};

/// A row in a slot of its own: the old one of an update or delete.
pub(crate) struct Row {
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
}

/// Removes the entries of a row that goes.
///
/// # Safety
/// `relation` must be open, and `tuple` the row as it is now.
pub(crate) unsafe fn remove(
    relation: pg_sys::Relation,
    tuple: &mut pg_sys::HeapTupleData,
    row: RowId,
    command: pg_sys::CommandId,
) {
    // SAFETY: the caller's promise; the slot is dropped, or goes with its memory after an error.
    unsafe {
        let old = Row::new(relation, tuple);
        take_each(relation, old.slot, row, command, take_known);
        old.end();
    }
}

/// Removes the entries of a row in a slot that is not inserted after all. Not every index has one yet, and
/// its key may be another row's.
///
/// # Safety
/// `relation` must be open, and `slot` hold the row.
pub(crate) unsafe fn take_back(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    row: RowId,
    command: pg_sys::CommandId,
) {
    // SAFETY: the caller's promise.
    unsafe { take_each(relation, slot, row, command, take) };
}

/// How an entry is taken away.
type Take = fn(&mut Active, &Index, &Entry, RowId, pg_sys::CommandId) -> Result<()>;

unsafe fn take_each(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    row: RowId,
    command: pg_sys::CommandId,
    take: Take,
) {
    // SAFETY: the callers' promise.
    unsafe {
        let mut former = Former::default();
        for_each(relation, |open, index| {
            if let Some(formed) = former.form(open, slot) {
                let entry = index.entry(open, &formed.values, &formed.nulls, row);
                transaction::with(|active| take(active, index, &entry, row, command)).or_raise();
            }
        });
        former.end();
    }
}

/// Looks, over a network, at once whether the keys of rows that are about to be inserted are free.
/// Nothing is said of indexes whose values have to be computed.
///
/// # Safety
/// `relation` must be open, `table` its table, and each slot hold a row of it.
pub(crate) unsafe fn look_ahead(
    relation: pg_sys::Relation,
    table: &Table,
    slots: &[*mut pg_sys::TupleTableSlot],
) {
    let pays = slots.len() > 1
        && transaction::with(|active| {
            !active.session.store.limits().local && active.created(table.space).is_none()
        });
    // SAFETY: the caller's promise.
    if !pays || !unsafe { (*(*relation).rd_rel).relhasindex } {
        return;
    }
    let mut keys = Vec::new();
    let mut former = Former::default();
    // SAFETY: the caller's promise.
    unsafe {
        for_each(relation, |open, index| {
            if index.rule != Rule::Key || !index.complete || index.computed {
                return;
            }
            for slot in slots {
                if let Some(formed) = former.form(open, *slot) {
                    keys.extend(index.sole_key(&formed.values, &formed.nulls));
                }
            }
        });
    }
    former.end();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    if !keys.is_empty() {
        transaction::with(|active| active.store.look_ahead(&keys)).or_raise();
    }
}

/// Which columns an update changes, as far as indexes care.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Touched {
    /// A column that some index uses.
    pub(crate) indexed: bool,
    /// A column of a unique index that a foreign key may refer to.
    pub(crate) key: bool,
}

impl Row {
    /// # Safety
    /// `relation` must be open, and `tuple` a row of it, which must outlive this.
    pub(crate) unsafe fn new(relation: pg_sys::Relation, tuple: &mut pg_sys::HeapTupleData) -> Row {
        // SAFETY: the caller's promise.
        unsafe {
            let slot =
                pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &pg_sys::TTSOpsHeapTuple);
            crate::compat::ExecStoreHeapTuple(tuple, slot, false);
            Row { relation, slot }
        }
    }

    pub(crate) fn slot(&self) -> *mut pg_sys::TupleTableSlot {
        self.slot
    }

    pub(crate) fn end(self) {
        // SAFETY: the slot was made by `new`.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
    }

    /// Looks which columns differ in the new row.
    ///
    /// # Safety
    /// `new` must hold a row of the table.
    pub(crate) unsafe fn touched(&self, new: *mut pg_sys::TupleTableSlot) -> Touched {
        // SAFETY: the caller's promise.
        unsafe {
            let indexed = self.differs(new, crate::compat::INDEXED_COLUMNS);
            let key =
                indexed && self.differs(new, pg_sys::IndexAttrBitmapKind::INDEX_ATTR_BITMAP_KEY);
            Touched { indexed, key }
        }
    }

    unsafe fn differs(
        &self,
        new: *mut pg_sys::TupleTableSlot,
        kind: pg_sys::IndexAttrBitmapKind::Type,
    ) -> bool {
        // SAFETY: the bitmap has the numbers of columns, moved up by as many as system columns have.
        unsafe {
            let columns = pg_sys::RelationGetIndexAttrBitmap(self.relation, kind);
            let mut next = -1;
            loop {
                next = pg_sys::bms_next_member(columns, next);
                if next < 0 {
                    break false;
                }
                let number = next + pg_sys::FirstLowInvalidHeapAttributeNumber;
                // A whole row, or a system column: who knows.
                if number <= 0 || self.column_differs(new, number) {
                    break true;
                }
            }
        }
    }

    unsafe fn column_differs(&self, new: *mut pg_sys::TupleTableSlot, number: i32) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut was_null, mut is_null) = (false, false);
            let was = pg_sys::slot_getattr(self.slot, number, &mut was_null);
            let is = pg_sys::slot_getattr(new, number, &mut is_null);
            if was_null || is_null {
                return was_null != is_null;
            }
            let attribute = crate::pg::attribute((*self.relation).rd_att, number as usize - 1);
            let length = i32::from(attribute.attlen);
            !crate::compat::datumIsEqual(was, is, attribute.attbyval, length)
        }
    }

    /// Removes the entries that the new row does not have. Returns the indexes that need a new one.
    ///
    /// # Safety
    /// `new` must hold the new row.
    pub(crate) unsafe fn replace(
        &self,
        table: &Table,
        new: *mut pg_sys::TupleTableSlot,
        row: RowId,
        command: pg_sys::CommandId,
    ) -> Vec<pg_sys::Oid> {
        let mut changed = Vec::new();
        let (mut before, mut after) = (Former::default(), Former::default());
        // SAFETY: the caller's promise.
        unsafe {
            for_each(self.relation, |open, index| {
                let entry = |former: &mut Former, slot| {
                    let formed = former.form(open, slot)?;
                    Some(index.entry(open, &formed.values, &formed.nulls, row))
                };
                let (was, is) = (entry(&mut before, self.slot), entry(&mut after, new));
                if !is_same(was.as_ref(), is.as_ref()) {
                    changed.push(index.stored.oid);
                    // Where keys have the row's id, an entry from before that was so is under another.
                    let moves = |was: &Entry| {
                        index.rule == Rule::Search || is.as_ref().is_none_or(|is| is.key != was.key)
                    };
                    if let Some(was) = was.filter(moves) {
                        // As for a delete: who inserts the key waits for what becomes of this.
                        if index.excludes {
                            lock::row(table, row, lock::Mode::Exclusive, lock::Policy::Wait);
                        }
                        transaction::with(|active| take_known(active, index, &was, row, command))
                            .or_raise();
                    }
                }
            });
        }
        before.end();
        after.end();
        changed
    }
}

fn is_same(was: Option<&Entry>, is: Option<&Entry>) -> bool {
    match (was, is) {
        (None, None) => true,
        (Some(was), Some(is)) => was.key == is.key && was.body == is.body,
        _ => false,
    }
}

/// Runs with each index of a table that has entries.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn for_each(
    relation: pg_sys::Relation,
    mut run: impl FnMut(pg_sys::Relation, &Index),
) {
    // SAFETY: the caller's promise; the indexes stay locked until the transaction ends.
    unsafe {
        let list = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
        for oid in list.iter_oid() {
            let open = pg_sys::index_open(oid, pg_sys::RowExclusiveLock as i32);
            if (*(*open).rd_index).indisready {
                run(open, &index::of(open));
            }
            pg_sys::index_close(open, pg_sys::NoLock as i32);
        }
    }
}

/// Leaves a tombstone in place of the entry of a row that is there, and locked.
fn take_known(
    active: &mut Active,
    index: &Index,
    entry: &Entry,
    row: RowId,
    command: pg_sys::CommandId,
) -> Result<()> {
    if unread::take(active, index, entry, row, command)? {
        return Ok(());
    }
    take(active, index, entry, row, command)
}

/// Leaves a tombstone in place of a row's entry, if it is there.
pub(super) fn take(
    active: &mut Active,
    index: &Index,
    entry: &Entry,
    row: RowId,
    command: pg_sys::CommandId,
) -> Result<()> {
    if take_key(active, index, &entry.key, row, command)? || index.rule != Rule::Search {
        return Ok(());
    }
    // Made when the constraint was not deferrable yet.
    take_key(active, index, &entry.key[..entry.cells], row, command).map(drop)
}

fn take_key(
    active: &mut Active,
    index: &Index,
    key: &[u8],
    row: RowId,
    command: pg_sys::CommandId,
) -> Result<bool> {
    let mut page = active.store.page();
    // The row is locked.
    let newest = index::newest_ahead(active, index, key, &mut page)?;
    if !newest.exists() || entry::row(&page.value(0)[mvcc::HEADER..])? != row {
        if !index.complete {
            // Who adds the missing entry now must not do so unseen.
            let seen = newest.committed.map_or(Version::ZERO, |committed| committed.version);
            active.store.lock(key, seen);
        }
        return Ok(false);
    }
    let bytes = page.value(0).len() - mvcc::HEADER;
    active.store.write(key, Change::Delete, command, newest.base())?;
    count(active, &index.stored, -1, -(bytes as i64));
    Ok(true)
}
