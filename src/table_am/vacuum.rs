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
    _params: *mut pg_sys::VacuumParams,
    _strategy: pg_sys::BufferAccessStrategy,
) {
    // SAFETY: PostgreSQL passes an open relation, in a transaction of its own.
    unsafe {
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
