//! Row locks, in PostgreSQL's own lock manager, on the row's TID, until the transaction ends.
//!
//! Waiting, NOWAIT, SKIP LOCKED, deadlock detection and `pg_locks` then work as users know them.
//! The lock table has room for some thousands of locks, so a transaction that locks many rows of a
//! table *escalates*: it locks all of them at once. Every locker passes a gate for that, a lock on
//! the table's rows as a whole, taken weakly by who locks single rows and strongly by who escalates.
//!
//! Between servers conflicts are found at commit.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use pgrx::prelude::*;
use relation::{RowId, Space, Tid};

use crate::index_am::index::Index;
use crate::settings;
use crate::table::Table;
use crate::transaction;

/// How strong a row lock is, as heap maps it to lock modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    KeyShare,
    Share,
    NoKeyExclusive,
    Exclusive,
}

/// What to do when another transaction has the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    Wait,
    Skip,
}

/// What became of the lock of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// Nobody else inserts the key before this transaction ends.
    Ours,
    /// Nobody else knows of the index.
    Alone,
    /// Another transaction has it.
    Taken,
    /// This transaction has too many: only the commit will tell.
    Unlocked,
}

/// What this transaction holds.
#[derive(Default)]
pub(crate) struct Held(HashMap<Space, Rows>);

#[derive(Clone, Copy, Default)]
struct Rows {
    count: u32,
    next_try: u32,
    all: bool,
}

impl Held {
    /// A savepoint was rolled back, and locks with it: begin counting again.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl From<pg_sys::LockTupleMode::Type> for Mode {
    fn from(mode: pg_sys::LockTupleMode::Type) -> Mode {
        match mode {
            pg_sys::LockTupleMode::LockTupleKeyShare => Mode::KeyShare,
            pg_sys::LockTupleMode::LockTupleShare => Mode::Share,
            pg_sys::LockTupleMode::LockTupleNoKeyExclusive => Mode::NoKeyExclusive,
            _ => Mode::Exclusive,
        }
    }
}

impl Mode {
    fn lock_mode(self) -> pg_sys::LOCKMODE {
        let mode = match self {
            Mode::KeyShare => pg_sys::AccessShareLock,
            Mode::Share => pg_sys::RowShareLock,
            Mode::NoKeyExclusive => pg_sys::ExclusiveLock,
            Mode::Exclusive => pg_sys::AccessExclusiveLock,
        };
        mode as pg_sys::LOCKMODE
    }
}

/// The gate's block number; no row has it.
const GATE: Tid = Tid { block: u32::MAX, offset: 0 };

/// Locks a row. False if another transaction has it and the policy is not to wait.
pub(crate) fn row(table: &Table, row: RowId, mode: Mode, policy: Policy) -> bool {
    let Some(mut rows) = transaction::with(|active| {
        // Nobody else can see a space that this transaction made.
        active
            .created(table.space)
            .is_none()
            .then(|| active.locks.0.get(&table.space).copied().unwrap_or_default())
    }) else {
        return true;
    };
    if !rows.all {
        if rows.count == 0 && !acquire(table, GATE, pg_sys::RowExclusiveLock as i32, policy) {
            return false;
        }
        if rows.count >= rows.next_try.max(settings::max_row_locks()) {
            rows.escalate(table);
        }
    }
    if !rows.all {
        if !acquire(table, Tid::of_row(row), mode.lock_mode(), policy) {
            // The gate is held now, so it must be counted.
            rows.count = rows.count.max(1);
            remember(table, rows);
            return false;
        }
        rows.count += 1;
    }
    remember(table, rows);
    true
}

fn remember(table: &Table, rows: Rows) {
    transaction::with(|active| active.locks.0.insert(table.space, rows));
}

impl Rows {
    /// Locks all rows of the table if nobody else locks any. It never waits for that: two
    /// transactions that change many rows each would deadlock. Until it succeeds, rows are locked
    /// one by one, as long as PostgreSQL's lock table has room.
    fn escalate(&mut self, table: &Table) {
        self.all = acquire(table, GATE, pg_sys::ShareRowExclusiveLock as i32, Policy::Skip);
        self.next_try = self.count.saturating_add(settings::max_row_locks());
    }
}

/// Locks a key that is about to be inserted into an index, by a hash of its cells, until the
/// transaction ends.
///
/// One transaction takes as many as it takes row locks of one table. What it inserts above that,
/// others find only when it commits, or they do.
pub(crate) fn key(index: &Index, cells: &[u8], policy: Policy) -> Key {
    let space = index.stored.space;
    let keys = transaction::with(|active| {
        let alone = active.created(space).is_some();
        (!alone).then(|| active.locks.0.get(&space).copied().unwrap_or_default())
    });
    let Some(mut keys) = keys else { return Key::Alone };
    if keys.count >= settings::max_row_locks() {
        return Key::Unlocked;
    }
    if !acquire(&index.stored, place_of(cells), pg_sys::ExclusiveLock as i32, policy) {
        return Key::Taken;
    }
    keys.count += 1;
    remember(&index.stored, keys);
    Key::Ours
}

/// Gives back the lock of a key that is [`Key::Ours`].
pub(crate) fn give_back(index: &Index, cells: &[u8]) {
    let tag = tag(&index.stored, place_of(cells));
    // SAFETY: the transaction has the lock.
    unsafe { pg_sys::LockRelease(&tag, pg_sys::ExclusiveLock as i32, false) };
}

/// Where among the locks of an index that of a key is.
fn place_of(cells: &[u8]) -> Tid {
    let mut hasher = DefaultHasher::new();
    hasher.write(cells);
    let hash = hasher.finish();
    Tid { block: hash as u32, offset: (hash >> 32) as u16 }
}

/// Waits until nobody is about to delete a row or to change its key.
pub(crate) fn wait_for(table: &Table, row: RowId) {
    let locks = [
        (tag(table, GATE), pg_sys::RowExclusiveLock as i32),
        (tag(table, Tid::of_row(row)), Mode::KeyShare.lock_mode()),
    ];
    for (tag, mode) in locks {
        // SAFETY: the tag is complete; the lock is released at once, or with the resource owner.
        unsafe { pg_sys::LockAcquire(&tag, mode, false, false) };
    }
    for (tag, mode) in locks {
        // SAFETY: taken above.
        unsafe { pg_sys::LockRelease(&tag, mode, false) };
    }
}

/// Runs while nobody else changes a row, and inserts keys with these cells if there are any. Who does is
/// waited for.
pub(crate) fn while_at_rest<R>(
    table: &Table,
    row: RowId,
    index: &Index,
    cells: Option<&[u8]>,
    run: impl FnOnce() -> R,
) -> R {
    let rows = [
        (tag(table, GATE), pg_sys::RowExclusiveLock as i32),
        (tag(table, Tid::of_row(row)), Mode::Share.lock_mode()),
    ];
    let key = |cells| (tag(&index.stored, place_of(cells)), pg_sys::ExclusiveLock as i32);
    let locks: Vec<_> = rows.into_iter().chain(cells.map(key)).collect();
    for (tag, mode) in &locks {
        // SAFETY: the tag is complete; the lock is released below, or with the resource owner.
        unsafe { pg_sys::LockAcquire(tag, *mode, false, false) };
    }
    let result = run();
    for (tag, mode) in &locks {
        // SAFETY: taken above.
        unsafe { pg_sys::LockRelease(tag, *mode, false) };
    }
    result
}

fn acquire(table: &Table, tid: Tid, mode: pg_sys::LOCKMODE, policy: Policy) -> bool {
    // SAFETY: the tag is complete; the lock is released with the resource owner.
    let result =
        unsafe { pg_sys::LockAcquire(&tag(table, tid), mode, false, policy == Policy::Skip) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

fn tag(table: &Table, tid: Tid) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: transaction::database(),
        locktag_field2: table.oid.to_u32(),
        locktag_field3: tid.block,
        locktag_field4: tid.offset,
        locktag_type: pg_sys::LockTagType::LOCKTAG_TUPLE as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}
