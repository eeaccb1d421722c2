//! Clearing what crashes and failed statements left in the store: spaces that no table claims.
//!
//! A space whose transaction still runs is not in the map that others see either. Its transaction
//! holds a lock on it, taken before the space was recorded; the sweep only touches what it can lock.

use kv::{Batch, CommitId, Durability};
use pgrx::prelude::*;
use relation::{Space, space};

use crate::ddl::mapping;
use crate::error::OrRaise;
use crate::{standby, transaction};

/// Clears orphaned spaces of this database and of dropped ones; returns how many.
pub(crate) fn sweep() -> u64 {
    standby::refuse_writing();
    sweep_this_database() + sweep_dropped_databases()
}

fn sweep_this_database() -> u64 {
    let known = transaction::with(|active| {
        let (store, env) = (&*active.session.store, &*active.session.env);
        space::list(transaction::database(), store, env)
    })
    .or_raise();
    let claimed = mapping::all();
    let mut orphans: Vec<Space> = known.iter().map(|found| found.space).collect();
    orphans.retain(|space| !claimed.contains(space) && lock(*space, true));
    if orphans.is_empty() {
        return 0;
    }
    // Read again after the locks: who released one has committed its map entry, or aborted.
    let claimed = mapping::all();
    orphans.retain(|space| !claimed.contains(space));
    for space in &orphans {
        clear(transaction::database(), *space);
    }
    orphans.len() as u64
}

/// Clears what dropped databases left; returns how many spaces.
fn sweep_dropped_databases() -> u64 {
    let all = transaction::with(|active| {
        let (store, env) = (&*active.session.store, &*active.session.env);
        space::list_all(store, env)
    })
    .or_raise();
    let mut cleared = 0;
    for found in all {
        if database_is_gone(found.database) {
            clear(found.database, found.space);
            clear_definitions(found.database);
            cleared += 1;
        }
    }
    cleared
}

/// Whether no database has this oid. One that is being created has no space yet: its tables can
/// only be made by those who connect to it.
fn database_is_gone(database: u32) -> bool {
    // SAFETY: a catalog lookup; the name is palloc'd or null.
    unsafe { pg_sys::get_database_name(pg_sys::Oid::from(database)).is_null() }
}

fn clear_definitions(database: u32) {
    transaction::with(|active| {
        let session = &active.session;
        let mut batch = Batch::new(CommitId::random(&*session.env), Durability::Relaxed);
        mvcc::key::clear_prefix(&mut batch, &relation::key::definitions_prefix(database));
        batch.put_stamped(&mvcc::key::plain(&relation::Key::CatalogVersion.encode()), &[]);
        session.store.commit(&batch, &*session.env)
    })
    .or_raise();
}

fn clear(database: u32, space: Space) {
    transaction::with(|active| {
        let session = &active.session;
        let mut batch = Batch::new(CommitId::random(&*session.env), Durability::Relaxed);
        space::clear(&mut batch, database, space);
        session.forget_rows(space);
        session.store.commit(&batch, &*session.env)
    })
    .or_raise();
}

/// Locks a space until the transaction ends: the maker of a space, or who wants to clear it.
pub(crate) fn lock(space: Space, only_if_free: bool) -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: transaction::database(),
        locktag_field2: mapping::oid().to_u32(),
        locktag_field3: space.0 as u32,
        locktag_field4: (space.0 >> 32) as u16,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mode = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: the tag is complete; the lock is released with the resource owner.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode, false, only_if_free) };
    // A lock that this transaction already had is on a space that it made itself.
    result == pg_sys::LockAcquireResult::LOCKACQUIRE_OK
}
