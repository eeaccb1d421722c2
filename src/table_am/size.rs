//! How large a table is.
//!
//! PostgreSQL asks in two ways. *Blocks* (`relation_size`) are what ANALYZE and TABLESAMPLE choose
//! from: 256 row ids each, whatever the rows' length. *Pages* (`relation_estimate_size`) are what
//! the planner pays for: the bytes of the rows, divided by PostgreSQL's page size. The bytes are
//! also what `pg_relation_size` and its like show, see `ddl::sizes`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgrx::prelude::*;
use relation::Space;
use relation::row::ROWS_PER_BLOCK;

use crate::error::{OrRaise, unsupported};
use crate::pg::PerBackend;
use crate::transaction::{self, Active};
use crate::{settings, table};

/// The largest block number; the next one means none.
const MAX_BLOCK: pg_sys::BlockNumber = pg_sys::InvalidBlockNumber - 1;

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_size(
    relation: pg_sys::Relation,
    fork: pg_sys::ForkNumber::Type,
) -> u64 {
    if fork != pg_sys::ForkNumber::MAIN_FORKNUM && fork != pg_sys::ForkNumber::InvalidForkNumber {
        return 0;
    }
    // SAFETY: PostgreSQL passes an open relation.
    u64::from(unsafe { blocks(relation) }) * u64::from(pg_sys::BLCKSZ)
}

/// Blocks of a table: up to the last row id that anybody leased.
///
/// # Safety
/// `relation` must be an open fakegres table.
pub(super) unsafe fn blocks(relation: pg_sys::Relation) -> pg_sys::BlockNumber {
    // SAFETY: the caller's promise.
    let table = unsafe { table::of(relation) };
    let rows = transaction::with(|active| {
        if active.created(table.space).is_some() {
            return Ok(active.session.next_own_row(table.space));
        }
        active.session.row_high_water(table.space)
    });
    u32::try_from(rows.or_raise().div_ceil(ROWS_PER_BLOCK)).unwrap_or(MAX_BLOCK)
}

/// Live rows of a space and their bytes, with what this transaction changed.
pub(crate) fn statistics(space: Space) -> (u64, u64) {
    transaction::with(|active| {
        let session = &active.session;
        let (rows, bytes) = relation::space::statistics(space, &*session.store, &*session.env)?;
        let (own_rows, own_bytes) = changes(active, space);
        Ok((rows.saturating_add_signed(own_rows), bytes.saturating_add_signed(own_bytes)))
    })
    .or_raise()
}

/// How long the planner takes the counters of a table for what they were, where asking for them is a
/// round trip. What this session commits is counted at once.
const REMEMBERED: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
struct Estimate {
    asked: Instant,
    rows: u64,
    bytes: u64,
}

static ESTIMATES: PerBackend<RefCell<BTreeMap<Space, Estimate>>> =
    PerBackend(RefCell::new(BTreeMap::new()));

/// As [`statistics`], for the planner.
pub(crate) fn estimate(space: Space) -> (u64, u64) {
    if transaction::with(|active| active.session.store.limits().local) {
        return statistics(space);
    }
    let known = ESTIMATES.borrow().get(&space).copied();
    let own = transaction::with(|active| changes(active, space));
    if let Some(known) = known.filter(|known| known.asked.elapsed() < REMEMBERED) {
        let Estimate { rows, bytes, .. } = known.changed(own);
        return (rows, bytes);
    }
    let (rows, bytes) = statistics(space);
    let known = Estimate { asked: Instant::now(), rows, bytes };
    let mut estimates = ESTIMATES.borrow_mut();
    estimates.retain(|_, known| known.asked.elapsed() < REMEMBERED);
    estimates.insert(space, known.changed((-own.0, -own.1)));
    (rows, bytes)
}

/// How long rows of a space are on average, about.
pub(crate) fn average(space: Space) -> usize {
    let (rows, bytes) = estimate(space);
    usize::try_from(bytes / rows.max(1)).unwrap_or(usize::MAX).max(1)
}

impl Estimate {
    fn changed(self, (rows, bytes): (i64, i64)) -> Estimate {
        Estimate {
            rows: self.rows.saturating_add_signed(rows),
            bytes: self.bytes.saturating_add_signed(bytes),
            ..self
        }
    }
}

/// What the running transaction changes of a space's rows and bytes.
fn changes(active: &Active, space: Space) -> (i64, i64) {
    let own = |key: relation::Key<'_>| active.store.counter_delta(&key.encode());
    (own(relation::Key::Rows(space)), own(relation::Key::Bytes(space)))
}

/// A transaction is about to commit: what is remembered of tables becomes what they will be.
pub(crate) fn will_commit(active: &Active) {
    for (space, known) in ESTIMATES.borrow_mut().iter_mut() {
        *known = known.changed(changes(active, *space));
    }
}

/// Pages that rows of so many bytes would fill.
pub(crate) fn pages(bytes: u64) -> pg_sys::BlockNumber {
    u32::try_from(bytes.div_ceil(u64::from(pg_sys::BLCKSZ))).unwrap_or(MAX_BLOCK)
}

/// Pages that heap expects of a table that nobody has analyzed yet, because it may grow while plans
/// that were made for it are in use.
const FIRST_PAGES: pg_sys::BlockNumber = 10;
/// Bytes of a page that heap has for rows, and of each row's header and line pointer.
const PAGE_FOR_ROWS: i32 = pg_sys::BLCKSZ as i32 - 24;
const ROW_OVERHEAD: i32 = 28;

/// Pages as the planner is to pay for them: with what the store asks for each row.
fn pages_in_cost(bytes: u64, rows: u64) -> pg_sys::BlockNumber {
    let costs =
        settings::Costs::of(transaction::with(|active| active.session.store.limits().local));
    // SAFETY: reads a setting.
    let page_cost = unsafe { pg_sys::seq_page_cost }.max(f64::MIN_POSITIVE);
    let for_rows = rows as f64 * costs.row / page_cost;
    pages(bytes).saturating_add(for_rows.min(f64::from(MAX_BLOCK)) as u32).min(MAX_BLOCK)
}

/// The counters are exact, but a young table's plans must not rest on its being empty.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_estimate_size(
    relation: pg_sys::Relation,
    widths: *mut i32,
    page_count: *mut pg_sys::BlockNumber,
    tuples: *mut f64,
    all_visible: *mut f64,
) {
    // SAFETY: PostgreSQL passes an open relation and valid pointers.
    unsafe {
        let (mut rows, mut bytes) = estimate(table::of(relation).space);
        let class = &*(*relation).rd_rel;
        let young = class.reltuples < 0.0 && !class.relhassubclass;
        if young && pages(bytes) < FIRST_PAGES {
            let width = pg_sys::get_rel_data_width(relation, widths) + ROW_OVERHEAD;
            rows = rows.max((PAGE_FOR_ROWS / width) as u64 * u64::from(FIRST_PAGES));
            bytes = u64::from(FIRST_PAGES) * u64::from(pg_sys::BLCKSZ);
        }
        *page_count = pages_in_cost(bytes, rows).max(1);
        *tuples = rows as f64;
        *all_visible = 1.0;
    }
}

/// Values of any length are stored in the row.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_needs_toast_table(
    _relation: pg_sys::Relation,
) -> bool {
    false
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_toast_am(
    _relation: pg_sys::Relation,
) -> pg_sys::Oid {
    unsupported("fakegres tables have no TOAST table", "")
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn relation_fetch_toast_slice(
    _toast: pg_sys::Relation,
    _value: pg_sys::Oid,
    _size: i32,
    _offset: i32,
    _length: i32,
    _result: *mut pg_sys::varlena,
) {
    unsupported("a fakegres table cannot be a TOAST table", "")
}
