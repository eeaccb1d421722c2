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
    /// Whether that is all, though there may be more.
    pub(crate) exact: bool,
}

/// A query that runs, and how many of its rows are wanted; none if all.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Running {
    query: *const pg_sys::QueryDesc,
    count: u64,
}

impl Running {
    /// Whether no query runs.
    pub(crate) fn is_none(&self) -> bool {
        self.query.is_null()
    }
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

/// What a scan of an index should be ready for. None if no query runs that has it.
pub(crate) fn expected(scan: pg_sys::IndexScanDesc) -> Option<Expected> {
    // SAFETY: the tag says what a node is; what a query that runs points to is complete.
    look_for(|node, wanted| unsafe {
        let its = match node.type_ {
            pg_sys::NodeTag::T_IndexScanState => {
                (*std::ptr::from_ref(node).cast::<pg_sys::IndexScanState>()).iss_ScanDesc
            }
            pg_sys::NodeTag::T_IndexOnlyScanState => {
                (*std::ptr::from_ref(node).cast::<pg_sys::IndexOnlyScanState>()).ioss_ScanDesc
            }
            _ => return None,
        };
        (its == scan).then(|| wanted.of_scan((*node.plan).plan_rows, !node.qual.is_null()))
    })
}

/// The bitmap whose rows a scan reads, if no other process reads it too. None if no query runs that has
/// such a scan.
#[cfg(not(feature = "pg18"))]
pub(crate) fn bitmap_of(scan: pg_sys::TableScanDesc) -> Option<*mut pg_sys::TIDBitmap> {
    look_for(|node, _| {
        if node.type_ != pg_sys::NodeTag::T_BitmapHeapScanState {
            return None;
        }
        // SAFETY: the tag says what the node is.
        let state = unsafe { &*std::ptr::from_ref(node).cast::<pg_sys::BitmapHeapScanState>() };
        let alone = state.pstate.is_null() && !state.tbm.is_null();
        (alone && state.ss.ss_currentScanDesc == scan).then_some(state.tbm)
    })
}

/// The first answer that a node of the query that runs gives, which is told how much of it will be taken.
fn look_for<T>(mut ask: impl FnMut(&pg_sys::PlanState, Wanted) -> Option<T>) -> Option<T> {
    let Running { query, count } = RUNNING.get();
    // SAFETY: a query that runs is alive, and what it points to is complete.
    unsafe {
        let query = query.as_ref()?;
        // Who fetches some rows mostly fetches others after them.
        let first = |rows: f64| Wanted::First { rows, exact: false };
        let wanted = if count == 0 { Wanted::All } else { first(count as f64) };
        let subplans = (*query.estate).es_subplanstates;
        visit(query.planstate, wanted, &mut ask).or_else(|| {
            // One row of a subquery may decide.
            let subplans = pgrx::PgList::<pg_sys::PlanState>::from_pg(subplans);
            subplans.iter_ptr().find_map(|plan| visit(plan, first(1.0), &mut ask))
        })
    }
}

/// How much of what a node returns will be taken.
#[derive(Clone, Copy)]
enum Wanted {
    All,
    /// So many rows at first, and if that is exact no more.
    First {
        rows: f64,
        exact: bool,
    },
}

impl Wanted {
    fn at_most(self, most: f64) -> Wanted {
        match self {
            Wanted::First { rows, .. } if rows < most => self,
            _ => Wanted::First { rows: most, exact: true },
        }
    }

    /// As much, where another number of rows may be needed for it.
    fn about(self) -> Wanted {
        match self {
            Wanted::All => self,
            Wanted::First { rows, .. } => Wanted::First { rows, exact: false },
        }
    }

    /// What a scan is to be ready for whose plan expects it to return so many rows.
    fn of_scan(self, rows: f64, filtered: bool) -> Expected {
        // An estimate is one: a bit more costs less than another request.
        let all = rows * 1.5 + 8.0;
        let (entries, exact) = match self {
            Wanted::All if filtered => (all.max(FILTERED), false),
            Wanted::All => (all, false),
            Wanted::First { rows, exact } => (rows.min(all), exact && !filtered),
        };
        Expected { entries: entries as usize, exact }
    }
}

/// The first answer of a node and those below it.
unsafe fn visit<T>(
    node: *mut pg_sys::PlanState,
    wanted: Wanted,
    ask: &mut impl FnMut(&pg_sys::PlanState, Wanted) -> Option<T>,
) -> Option<T> {
    use pg_sys::NodeTag::*;
    // SAFETY: the callers pass nodes of a query that runs; each tag says what the node is.
    unsafe {
        let state = node.as_ref()?;
        if let Some(answer) = ask(state, wanted) {
            return Some(answer);
        }
        // One that leaves rows out needs more of them.
        let wanted = if state.qual.is_null() { wanted } else { wanted.about() };
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
                (if in_order { wanted.about() } else { Wanted::All }, wanted)
            }
            T_NestLoopState => {
                let join = &*node.cast::<pg_sys::JoinState>();
                let inner = if join.single_match { wanted.at_most(1.0) } else { wanted };
                (wanted.about(), inner.about())
            }
            _ => (wanted.about(), wanted.about()),
        };
        if let Some(answer) = visit(state.lefttree, left, ask) {
            return Some(answer);
        }
        if let Some(answer) = visit(state.righttree, right, ask) {
            return Some(answer);
        }
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
            _ => return None,
        };
        (0..usize::try_from(count).unwrap_or(0)).find_map(|i| visit(*others.add(i), wanted, ask))
    }
}
