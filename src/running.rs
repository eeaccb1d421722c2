//! What the query that runs says of a scan: PostgreSQL does not tell it.
//!
//! A scan of an index does not hear whether it will be read to its end, which decides how much to ask for
//! at once over a network: a range of a hundred rows is one request if one knows, and a LIMIT of one
//! should not fetch a hundred. And before PostgreSQL 18, a bitmap scan is told of one block after the
//! other, of which each would be a request. So scans look for themselves in the query.

use std::cell::Cell;
use std::ptr::null;

use pgrx::prelude::*;

use crate::pg::PerBackend;

/// Entries that a scan is expected to have at least, if its rows are looked through for others: how
/// many it leaves out is not in the plan.
const FILTERED: f64 = 64.0;

/// What a scan should be ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expected {
    /// About how many entries will be taken.
    pub(crate) entries: usize,
    /// Whether no more will be taken, though there may be more.
    pub(crate) limited: bool,
}

/// A query that runs, and how many of its rows are wanted; none if all.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Running {
    query: *const pg_sys::QueryDesc,
    count: u64,
}

impl Default for Running {
    fn default() -> Running {
        Running { query: null(), count: 0 }
    }
}

static RUNNING: PerBackend<Cell<Running>> =
    PerBackend(Cell::new(Running { query: null(), count: 0 }));

/// A query runs from here on, until [`query_pauses`] is called with what this returns, or
/// [`forget`] is: it must not be freed before.
pub(crate) fn query_runs(query: *const pg_sys::QueryDesc, count: u64) -> Running {
    RUNNING.replace(Running { query, count })
}

/// The query has run: the one around it goes on.
pub(crate) fn query_pauses(around: Running) {
    RUNNING.set(around);
}

/// An error ended queries. One around them that goes on does so without this.
pub(crate) fn forget() {
    RUNNING.set(Running::default());
}

/// What a scan of an index that begins now, with so many conditions, should be ready for. None if no
/// query runs that says so.
///
/// # Safety
/// `index` must be open.
pub(crate) unsafe fn expected(index: pg_sys::Relation, keys: i32) -> Option<Expected> {
    let mut least: Option<Expected> = None;
    // SAFETY: the tag says what a node is; what a query that runs points to is complete.
    visit_all(|node, wanted| unsafe {
        let (relation, conditions, scan) = match node.type_ {
            pg_sys::NodeTag::T_IndexScanState => {
                let scan = &*std::ptr::from_ref(node).cast::<pg_sys::IndexScanState>();
                (scan.iss_RelationDesc, scan.iss_NumScanKeys, scan.iss_ScanDesc)
            }
            pg_sys::NodeTag::T_IndexOnlyScanState => {
                let scan = &*std::ptr::from_ref(node).cast::<pg_sys::IndexOnlyScanState>();
                (scan.ioss_RelationDesc, scan.ioss_NumScanKeys, scan.ioss_ScanDesc)
            }
            _ => return,
        };
        // Of several that have not begun, the one that wants least.
        if relation == index && conditions == keys && scan.is_null() {
            let this = wanted.of_scan((*node.plan).plan_rows, !node.qual.is_null());
            if least.is_none_or(|other| this.entries < other.entries) {
                least = Some(this);
            }
        }
    });
    least
}

/// The bitmap whose rows a scan reads, if no other process reads it too. None if no query runs that has
/// such a scan.
#[cfg(not(feature = "pg18"))]
pub(crate) fn bitmap_of(scan: pg_sys::TableScanDesc) -> Option<*mut pg_sys::TIDBitmap> {
    let mut bitmap = None;
    visit_all(|node, _| {
        if node.type_ != pg_sys::NodeTag::T_BitmapHeapScanState {
            return;
        }
        // SAFETY: the tag says what the node is.
        let state = unsafe { &*std::ptr::from_ref(node).cast::<pg_sys::BitmapHeapScanState>() };
        if state.ss.ss_currentScanDesc == scan && state.pstate.is_null() && !state.tbm.is_null() {
            bitmap = Some(state.tbm);
        }
    });
    bitmap
}

/// Shows the nodes of the query that runs, with how much of each will be taken.
fn visit_all(mut look: impl FnMut(&pg_sys::PlanState, Wanted)) {
    let Running { query, count } = RUNNING.get();
    // SAFETY: a query that runs is alive, and what it points to is complete.
    unsafe {
        let Some(query) = query.as_ref() else { return };
        let wanted = if count == 0 { Wanted::All } else { Wanted::First(count as f64) };
        visit(query.planstate, wanted, &mut look);
        // One row of a subquery decides, unless it is hashed.
        let subplans = (*query.estate).es_subplanstates;
        for plan in pgrx::PgList::<pg_sys::PlanState>::from_pg(subplans).iter_ptr() {
            visit(plan, Wanted::First(1.0), &mut look);
        }
    }
}

/// How much of what a node returns will be taken.
#[derive(Clone, Copy)]
enum Wanted {
    All,
    /// So many rows at first, and perhaps more.
    First(f64),
}

impl Wanted {
    fn at_most(self, rows: f64) -> Wanted {
        match self {
            Wanted::First(fewer) if fewer < rows => self,
            _ => Wanted::First(rows),
        }
    }

    /// What a scan is to be ready for whose plan expects it to return so many rows.
    fn of_scan(self, rows: f64, filtered: bool) -> Expected {
        // An estimate is one: a bit more costs less than another request.
        let all = rows * 1.5 + 8.0;
        let (entries, limited) = match self {
            Wanted::All if filtered => (all.max(FILTERED), false),
            Wanted::All => (all, false),
            Wanted::First(first) => (first.min(all), true),
        };
        Expected { entries: entries as usize, limited }
    }
}

/// Shows a node and those below it.
unsafe fn visit(
    node: *mut pg_sys::PlanState,
    wanted: Wanted,
    look: &mut impl FnMut(&pg_sys::PlanState, Wanted),
) {
    use pg_sys::NodeTag::*;
    // SAFETY: the callers pass nodes of a query that runs; each tag says what the node is.
    unsafe {
        let Some(state) = node.as_ref() else { return };
        look(state, wanted);
        let (left, right) = match state.type_ {
            T_LimitState => {
                let limit = &*node.cast::<pg_sys::LimitState>();
                // The numbers are there before the first row is asked for.
                let most = limit.count.saturating_add(limit.offset).max(1);
                let left = if limit.noCount { wanted } else { wanted.at_most(most as f64) };
                (left, wanted)
            }
            // These read all before they return anything, or while they change rows.
            T_SortState | T_HashState | T_ModifyTableState => (Wanted::All, Wanted::All),
            T_AggState => {
                let strategy = (*state.plan.cast::<pg_sys::Agg>()).aggstrategy;
                let in_order = strategy == pg_sys::AggStrategy::AGG_SORTED;
                (if in_order { wanted } else { Wanted::All }, wanted)
            }
            T_NestLoopState => {
                let join = &*node.cast::<pg_sys::JoinState>();
                (wanted, if join.single_match { wanted.at_most(1.0) } else { wanted })
            }
            _ => (wanted, wanted),
        };
        visit(state.lefttree, left, look);
        visit(state.righttree, right, look);
        let (others, count) = match state.type_ {
            T_AppendState => {
                let append = &*node.cast::<pg_sys::AppendState>();
                (append.appendplans, append.as_nplans)
            }
            T_MergeAppendState => {
                let append = &*node.cast::<pg_sys::MergeAppendState>();
                (append.mergeplans, append.ms_nplans)
            }
            T_SubqueryScanState => {
                let scan = node.cast::<pg_sys::SubqueryScanState>();
                (&raw mut (*scan).subplan, 1)
            }
            _ => return,
        };
        for i in 0..usize::try_from(count).unwrap_or(0) {
            visit(*others.add(i), wanted, look);
        }
    }
}
