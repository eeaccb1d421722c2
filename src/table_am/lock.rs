//! Locking a row: SELECT FOR …, and the newest version for READ COMMITTED after a wait.

use mvcc::Snapshot;
use pgrx::prelude::*;

use crate::error::raise;
use crate::lock::{self, Mode, Policy};
use crate::row;
use crate::table::{self, Table};
use crate::table_am::fetch;
use crate::table_am::modify::{Current, Refusal, base_version, judge, own, read_locked};
use crate::transaction::{self, Named};

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn tuple_lock(
    relation: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    snapshot: pg_sys::Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
    command: pg_sys::CommandId,
    mode: pg_sys::LockTupleMode::Type,
    policy: pg_sys::LockWaitPolicy::Type,
    flags: u8,
    failure: *mut pg_sys::TM_FailureData,
) -> pg_sys::TM_Result::Type {
    transaction::check_writable();
    // SAFETY: PostgreSQL passes an open relation, a live snapshot and valid pointers.
    unsafe {
        let table = table::of(relation);
        let asked = row::tid(tid);
        let mode = Mode::from(mode);
        (*failure).traversed = false;
        let newest = flags & pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION as u8 != 0;
        let at = transaction::resolve(snapshot);
        let Some(named) = transaction::with(|active| active.target(table.space, asked)) else {
            return Refusal::Deleted.tell(asked, failure);
        };
        let mut current = match lock(relation, &table, &named, &at, command, mode, policy) {
            Ok(current) => current,
            Err(Refusal::SelfModified(_)) if fetch::unseen_into(&table, asked, slot) => {
                return pg_sys::TM_Result::TM_Invisible;
            }
            Err(refusal) => return refusal.tell(asked, failure),
        };
        let mut shown = None;
        if current.newest.own.is_none() {
            match judge(&current, &named, &at) {
                Ok(()) => shown = named.followed.map(|_| asked),
                Err(Refusal::Updated) if current.moved() && newest => moved_away(),
                // Updates that leave the key alone do not disturb a lock on the key: the reader
                // keeps what its snapshot saw.
                Err(Refusal::Updated)
                    if mode == Mode::KeyShare
                        && !current.moved()
                        && fetch::visible_into(&table, asked, &at, slot)
                        && !current.has_other_key(relation, &table, slot) =>
                {
                    return pg_sys::TM_Result::TM_Ok;
                }
                Err(Refusal::Updated) if newest => {
                    let followed = follow(&table, &current);
                    *tid = row::item_pointer(followed);
                    shown = Some(followed);
                    (*failure).traversed = true;
                }
                Err(refusal) => return refusal.tell(asked, failure),
            }
            if mode != Mode::KeyShare {
                remember(&table, &current);
            }
        }
        transaction::with(|active| active.locked_last = Some((table.space, current.row)));
        current.store_into(&table, shown, slot);
        pg_sys::TM_Result::TM_Ok
    }
}

/// The TID of the version that the caller is shown although its snapshot is older, as heap follows
/// a row to its newest version: what the caller does next, it does to that version.
fn follow(table: &Table, current: &Current) -> relation::Tid {
    let version = base_version(current.newest.base());
    transaction::with(|active| active.follow(table.space, current.row, version))
}

fn moved_away() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        "tuple to be locked was already moved to another partition due to concurrent update",
        "",
    )
}

/// Locks a row and reads it as it is now.
unsafe fn lock(
    relation: pg_sys::Relation,
    table: &Table,
    named: &Named,
    at: &Snapshot,
    command: pg_sys::CommandId,
    mode: Mode,
    policy: pg_sys::LockWaitPolicy::Type,
) -> Result<Current, Refusal> {
    if let Some(current) = own(table, named, command)? {
        return Ok(current);
    }
    let wait =
        if policy == pg_sys::LockWaitPolicy::LockWaitBlock { Policy::Wait } else { Policy::Skip };
    if lock::row(table, named.row, mode, wait) {
        return Ok(read_locked(table, named, at));
    }
    if policy == pg_sys::LockWaitPolicy::LockWaitError {
        // SAFETY: the caller's relation is open.
        let name = unsafe { crate::pg::relation_name(relation) };
        raise(
            PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            format!("could not obtain lock on row in relation \"{name}\""),
            "",
        );
    }
    Err(Refusal::WouldBlock)
}

/// The commit checks that nobody on another server changed a locked row.
fn remember(table: &Table, current: &Current) {
    let version = base_version(current.newest.base());
    transaction::with(|active| {
        let key = relation::key::row_key(table.space, current.row);
        active.store.lock(&key, version);
    });
}
