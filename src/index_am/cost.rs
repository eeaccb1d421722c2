//! What the planner is told of an index.

use pgrx::prelude::*;

use super::{index, scan};
use crate::error::OrRaise;
use crate::settings::Costs;
use crate::table_am::size;
use crate::{compat, pg, transaction};

static mut NEXT_RELATION_INFO: pg_sys::get_relation_info_hook_type = None;

/// Bytes of an entry besides its values, about: prefix, version, row id.
const ENTRY_OVERHEAD: u64 = 32;

/// Hangs the hook in.
pub(crate) fn register() {
    // SAFETY: hooks are set while the library is loaded, in a single thread.
    unsafe {
        NEXT_RELATION_INFO = pg_sys::get_relation_info_hook;
        pg_sys::get_relation_info_hook = Some(relation_info);
    }
}

/// Says how large the indexes of a table are, which have no file, which of them have no order, and
/// leaves out those that were built after the moment that the transaction reads.
#[pg_guard]
unsafe extern "C-unwind" fn relation_info(
    root: *mut pg_sys::PlannerInfo,
    oid: pg_sys::Oid,
    parent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: the hook that was there before, and a list of index descriptions.
    unsafe {
        if let Some(next) = NEXT_RELATION_INFO {
            next(root, oid, parent, rel);
        }
        if (*rel).indexlist.is_null() || !pg::is_fakegres(oid) {
            return;
        }
        let moment = transaction::moment();
        let list = pgrx::PgList::<pg_sys::IndexOptInfo>::from_pg((*rel).indexlist);
        let mut usable = pgrx::PgList::<pg_sys::IndexOptInfo>::new();
        for info in list.iter_ptr() {
            if describe(&mut *rel, &mut *info, &moment) {
                usable.push(info);
            } else {
                // A plan that is kept may have it later.
                (*(*root).glob).transientPlan = true;
            }
        }
        (*rel).indexlist = usable.into_pg();
    }
}

/// Completes the description of an index. False if it must not be used.
unsafe fn describe(
    rel: &mut pg_sys::RelOptInfo,
    info: &mut pg_sys::IndexOptInfo,
    moment: &transaction::Moment,
) -> bool {
    // SAFETY: the planner holds a lock on the index.
    unsafe {
        let relation = pg_sys::index_open(info.indexoid, pg_sys::NoLock as i32);
        let index = index::of(relation);
        let usable = transaction::with(|active| index.stored.is_usable(active, moment)).or_raise();
        if !info.indpred.is_null() {
            info.tuples = (size::estimate(index.stored.space).0 as f64).min(rel.tuples);
        } else {
            info.tuples = rel.tuples;
        }
        let bytes = info.tuples as u64 * (width(relation) + ENTRY_OVERHEAD);
        info.pages = size::pages(bytes).max(1);
        info.tree_height = height(info.pages);
        if index.is_ordered() {
            // The planner has comparisons of rows for btree only, and before 18 the search for the ends of a
            // column, which `scan::amgettuple` answers.
            info.relam = pg_sys::BTREE_AM_OID;
        } else {
            info.sortopfamily = std::ptr::null_mut();
        }
        pg_sys::index_close(relation, pg_sys::NoLock as i32);
        usable
    }
}

/// Bytes of the columns of an index, as types have them on average.
unsafe fn width(relation: pg_sys::Relation) -> u64 {
    // SAFETY: the caller's relation is open.
    unsafe {
        let columns = (*(*relation).rd_att).natts as usize;
        let widths = (0..columns).map(|i| {
            let column = pg::attribute((*relation).rd_att, i);
            pg_sys::get_typavgwidth(column.atttypid, column.atttypmod).max(1) as u64
        });
        widths.sum()
    }
}

/// Levels of a tree with so many leaves, of a hundred branches each.
fn height(pages: pg_sys::BlockNumber) -> i32 {
    (f64::from(pages).ln() / 100f64.ln()).ceil() as i32
}

/// As btree estimates: the search descends, reads neighbours, and fetches rows. To that comes what the
/// store asks for requests, of which each has more entries than the one before it, and for entries.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn amcostestimate(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    loops: f64,
    startup: *mut pg_sys::Cost,
    total: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: PostgreSQL's arguments, handed on.
    unsafe {
        compat::btcostestimate(root, path, loops, startup, total, selectivity, correlation, pages);
        let local = transaction::with(|active| active.session.store.limits().local);
        let costs = Costs::of(local);
        let entries = *selectivity * (*(*path).indexinfo).tuples;
        *startup += costs.round_trip;
        *total += costs.round_trip * scan::requests(entries) + costs.row * entries;
    }
}
