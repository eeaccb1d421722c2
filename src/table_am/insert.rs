//! Inserting rows.

use std::cell::RefCell;

use kv::Result;
use mvcc::{Base, Change};
use pgrx::prelude::*;
use relation::{RowId, Tid, key};

use crate::compat;
use crate::error::OrRaise;
use crate::index_am::maintain;
use crate::row;
use crate::table::{self, Table};
use crate::transaction::{self, Active};

thread_local! {
    /// The encoded row, reused from row to row.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_insert(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    command: pg_sys::CommandId,
    _options: i32,
    _state: *mut pg_sys::BulkInsertStateData,
) {
    // SAFETY: PostgreSQL passes an open relation and a slot with a row of it.
    unsafe { insert(relation, &table::of(relation), slot, command) }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn multi_insert(
    relation: pg_sys::Relation,
    slots: *mut *mut pg_sys::TupleTableSlot,
    nslots: i32,
    command: pg_sys::CommandId,
    _options: i32,
    _state: *mut pg_sys::BulkInsertStateData,
) {
    // SAFETY: PostgreSQL passes `nslots` slots.
    unsafe {
        let table = table::of(relation);
        let slots = std::slice::from_raw_parts(slots, nslots as usize);
        maintain::look_ahead(relation, &table, slots);
        for slot in slots {
            insert(relation, &table, *slot, command);
        }
    }
}

/// A speculative insertion is an insertion that may be taken back: the row is invisible to others
/// until commit anyway.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_insert_speculative(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    command: pg_sys::CommandId,
    _options: i32,
    _state: *mut pg_sys::BulkInsertStateData,
    _token: u32,
) {
    // SAFETY: as for tuple_insert. A row written straight through could not be taken back.
    unsafe {
        transaction::check_writable();
        let table = table::of(relation);
        let tid = with_encoded(relation, slot, |active, encoded| {
            let row = active.session.new_row(table.space)?;
            buffer(active, &table, row, encoded, command)
        });
        finish(relation, slot, tid, command);
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_complete_speculative(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    _token: u32,
    succeeded: bool,
) {
    if succeeded {
        return;
    }
    // SAFETY: the slot is the one that tuple_insert_speculative was called with.
    unsafe {
        let table = table::of(relation);
        let tid = row::tid(&raw mut (*slot).tts_tid);
        let named = transaction::with(|active| active.target(table.space, tid))
            .expect("the row was inserted a moment ago");
        let command = pg_sys::GetCurrentCommandId(true);
        maintain::take_back(relation, slot, named.row, command);
        transaction::with(|active| {
            let key = key::row_key(table.space, named.row);
            let written = active.store.newest(&key, kv::Version::ZERO, &mut kv::Page::default())?;
            if let Some(own) = written.own {
                let bytes = active.store.own(own.id).and_then(|o| o.body.map(<[u8]>::len));
                count(active, &table, -1, -(bytes.unwrap_or(0) as i64));
                active.store.write(&key, Change::Delete, own.command, Base::New)?;
            }
            Ok(())
        })
        .or_raise();
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn finish_bulk_insert(
    _relation: pg_sys::Relation,
    _options: i32,
) {
    // Rows written straight through are flushed before they are read and before the commit.
}

/// Inserts the row in a slot and gives the slot its TID.
///
/// # Safety
/// `relation` must be open, `table` its table, and `slot` must hold a row of it.
pub(super) unsafe fn insert(
    relation: pg_sys::Relation,
    table: &Table,
    slot: *mut pg_sys::TupleTableSlot,
    command: pg_sys::CommandId,
) {
    transaction::check_writable();
    // SAFETY: the caller's promise.
    unsafe {
        let tid = with_encoded(relation, slot, |active, encoded| {
            let row = active.session.new_row(table.space)?;
            if !active.writes_through(table.space) {
                return buffer(active, table, row, encoded, command);
            }
            active.store.bulk_put(&key::row_key(table.space, row), encoded)?;
            active.wrote_through(table.space, row, command);
            count(active, table, 1, encoded.len() as i64);
            Ok(Tid::of_row(row))
        });
        finish(relation, slot, tid, command);
    }
}

fn buffer(
    active: &mut Active,
    table: &Table,
    row: RowId,
    encoded: &[u8],
    command: pg_sys::CommandId,
) -> Result<Tid> {
    let key = key::row_key(table.space, row);
    active.store.write(&key, Change::Put(&[encoded]), command, Base::New)?;
    count(active, table, 1, encoded.len() as i64);
    Ok(Tid::of_row(row))
}

unsafe fn finish(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    tid: Tid,
    command: pg_sys::CommandId,
) {
    let token = transaction::with(|active| active.token);
    // SAFETY: the callers' promise.
    unsafe {
        row::stamp(slot, token, false, command);
        (*slot).tts_tid = row::item_pointer(tid);
        (*slot).tts_tableOid = (*relation).rd_id;
        compat::count_insert(relation);
    }
}

/// Encodes a row and runs with it and the transaction.
///
/// # Safety
/// `relation` must be open, and `slot` hold a row of it.
pub(super) unsafe fn with_encoded<R>(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    run: impl FnOnce(&mut Active, &[u8]) -> Result<R>,
) -> R {
    // Fetching a value stored elsewhere may run our own callbacks again: the buffer is taken, not
    // borrowed, meanwhile.
    let mut encoded = ENCODED.take();
    let token = transaction::with(|active| active.token);
    // SAFETY: the caller's promise.
    unsafe { row::encode(relation, slot, token, &mut encoded) };
    let result = transaction::with(|active| run(active, &encoded));
    ENCODED.set(encoded);
    result.or_raise()
}

/// Adds to the counters of a table's rows and bytes.
pub(crate) fn count(active: &mut Active, table: &Table, rows: i64, bytes: i64) {
    if rows != 0 {
        active.store.count(&table.rows_counter, rows);
    }
    active.store.count(&table.bytes_counter, bytes);
}
