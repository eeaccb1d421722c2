//! VACUUM: removes versions that no snapshot needs any more, and clears orphaned spaces.

use pgrx::prelude::*;

use crate::error::OrRaise;
use crate::index_am::maintain;
use crate::table_am::size;
use crate::{compat, ddl, settings, table, transaction};

/// Keys looked at between two checks for interrupts.
const BUDGET: usize = 20_000;

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_vacuum(
    relation: pg_sys::Relation,
    params: *mut pg_sys::VacuumParams,
    _strategy: pg_sys::BufferAccessStrategy,
) {
    // SAFETY: PostgreSQL passes an open relation, in a transaction of its own, and valid parameters.
    unsafe {
        warn_of_parallel(relation, &*params);
        let table = table::of(relation);
        collect(table.range());
        maintain::for_each(relation, |open, index| {
            collect(index.range());
            let (entries, bytes) = size::statistics(index.stored.space);
            compat::update_relstats(open, size::pages(bytes), entries as f64);
        });
        let (rows, bytes) = size::statistics(table.space);
        compat::report_vacuum(relation, rows as i64, 0);
        compat::update_relstats(relation, size::pages(bytes), rows as f64);
    }
    ddl::sweep::sweep();
}

/// As heap says it where it would use workers, which take an index each. Elsewhere PARALLEL is a
/// permission that no worker is needed for.
unsafe fn warn_of_parallel(relation: pg_sys::Relation, params: &pg_sys::VacuumParams) {
    // SAFETY: the caller's relation is open.
    let temporary = unsafe { (*(*relation).rd_rel).relpersistence } as u8;
    let cleanup = params.index_cleanup != pg_sys::VacOptValue::VACOPTVALUE_DISABLED;
    if params.nworkers > 0 && cleanup && temporary == pg_sys::RELPERSISTENCE_TEMP {
        // SAFETY: as above.
        let (name, indexes) = unsafe {
            let list = pg_sys::RelationGetIndexList(relation);
            (crate::pg::relation_name(relation), pgrx::PgList::<pg_sys::Oid>::from_pg(list).len())
        };
        if indexes < 2 {
            return;
        }
        warning!(
            "disabling parallel option of vacuum on \"{name}\" --- cannot vacuum temporary tables in parallel"
        );
    }
}

/// Removes what no snapshot needs any more from a range of keys.
fn collect((mut start, end): (Vec<u8>, Vec<u8>)) {
    loop {
        pgrx::check_for_interrupts!();
        let done = transaction::with(|active| {
            let (store, env) = (&*active.session.store, &*active.session.env);
            mvcc::collect(store, env, &start, &end, settings::history_retention(), BUDGET)
        })
        .or_raise();
        let Some(next) = done.next else { break };
        start = next;
    }
}
