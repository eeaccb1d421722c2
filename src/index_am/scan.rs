//! Index scans: entries in the order of the index, each with its row, which is read ahead.
//!
//! Entries are taken in batches that grow while they are consumed, and the rows of a batch are read
//! in one step. An index-only scan reads no rows: entries have versions like rows, so an entry that
//! the snapshot sees means that it sees the row.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use keycode::KeyRange;
use kv::{Direction, Page, Result, Version};
use mvcc::{Scan, ScanOptions, Snapshot};
use pgrx::prelude::*;
use relation::{RowId, Tid, entry, key};

use super::index::{self, Copied, Index};
use super::insert::LAYOUT;
use super::search::{RUN_HEAD, Search};
use super::{filter, form};
use crate::error::{OrRaise, raise};
use crate::running::{self, Expected};
use crate::table::{self, Table};
use crate::table_am::fetch::Fetch;
use crate::table_am::rows::{Rows, fitting};
use crate::table_am::size;
use crate::transaction::{self, Taking};
use crate::{compat, lock, pg, row};

/// Entries of the first batch where nothing is known, and at least: a LIMIT 1 needs no more.
const FIRST_BATCH: usize = 4;
/// Most entries of the first batch that brings rows: how long they are is not known before.
const FIRST_ROWS: usize = 128;
/// Most entries of a batch.
const LARGEST_BATCH: usize = 1024;
/// Most bytes of entries in a page of the store.
const PAGE_BYTES: usize = 256 << 10;
/// TIDs that a bitmap is given at a time.
const BITMAP_BATCH: usize = 256;

/// How much larger each batch is than the one before it. Where a batch is no round trip, what is read in
/// vain costs more than another batch.
fn growth(local: bool) -> usize {
    if local { 2 } else { 4 }
}

/// How many requests a scan takes for so many entries over a network: the first brings the rows with
/// them.
pub(super) fn requests(entries: f64) -> f64 {
    1.0 + (entries / LARGEST_BATCH as f64 - 1.0).max(0.0)
}

/// A scan under way.
struct State {
    relation: pg_sys::Relation,
    index: Rc<Index>,
    /// Entries may be left that no row has any more: the index has expressions or a predicate, whose
    /// functions may not be what they were.
    doubtful: bool,
    /// The table, its version zero, and what the scan sees, once it has begun.
    begun: Option<Begun>,
    search: Search,
    /// Which range the cursor is in.
    range: usize,
    cursor: Option<Scan>,
    /// Cursors of the ranges that come next, whose first pages are on their way.
    coming: Coming,
    /// How many ranges were looked into.
    opened: usize,
    /// Where the cursor goes on from when there is none.
    anchor: Anchor,
    /// The ranges that were not looked into yet, of a search for single keys, which needs no cursor.
    left: Option<Range<usize>>,
    /// The entry of a run up to which entries were returned before.
    skip: Option<Vec<u8>>,
    batch: Batch,
    /// Rows that came with entries.
    known: Page,
    with_rows: bool,
    /// What the query takes, once it was asked.
    expected: Option<Option<Expected>>,
    want: usize,
    mark: Option<Place>,
    tuple: pg_sys::HeapTupleData,
    /// Dropping the state is left to the end of this memory.
    memory: pg_sys::MemoryContext,
    callback: pg_sys::MemoryContextCallback,
}

struct Begun {
    table: Option<Rc<Table>>,
    at: Snapshot,
    /// The snapshot that the first page takes.
    taking: Taking,
    /// Whether a read costs no round trip.
    local: bool,
    /// How many ranges are asked for at once, at most.
    ranges_at_once: usize,
    zero: Version,
    row_zero: Version,
    mvcc: bool,
    /// A search for conflicts, which waits for who is changing what it finds.
    dirty: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Anchor {
    /// At the side where a scan begins.
    Edge,
    /// At an entry, which was returned.
    Entry(Place),
    /// Behind the last entry in a direction.
    End(Direction),
}

#[derive(Default)]
struct Coming {
    direction: Direction,
    /// Ranges and their cursors, the next one first.
    cursors: VecDeque<(usize, Scan)>,
}

/// Where an entry is.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    key: Vec<u8>,
    /// Its cells were shortened: it is part of a run, whose order is not that of keys.
    in_run: bool,
}

/// Entries taken from the store, in the order in which they are returned.
#[derive(Default)]
struct Batch {
    direction: Direction,
    items: Vec<Item>,
    /// How many were returned.
    taken: usize,
    keys: Vec<u8>,
    /// Bodies, each at a multiple of 8.
    bodies: Vec<u64>,
    /// The rows that the entries point to, if they were read.
    rows: Rows,
}

struct Item {
    key: Range<usize>,
    body: Range<usize>,
    row: RowId,
    in_run: bool,
}

impl Batch {
    fn key(&self, item: usize) -> &[u8] {
        &self.keys[self.items[item].key.clone()]
    }

    fn body(&self, item: usize) -> &[u8] {
        let words = &self.bodies[self.items[item].body.clone()];
        // SAFETY: the words are initialized, and any byte is valid.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
    }

    fn clear(&mut self, direction: Direction) {
        self.direction = direction;
        self.items.clear();
        self.keys.clear();
        self.bodies.clear();
        self.rows.clear();
        self.taken = 0;
    }

    fn push(&mut self, key: &[u8], body: &[u8]) -> Result<()> {
        let row = entry::row(body)?;
        let in_run = entry::cells(key, body)?.len() > RUN_HEAD;
        let (from, first) = (self.keys.len(), self.bodies.len());
        self.keys.extend_from_slice(key);
        self.bodies.resize(first + body.len().div_ceil(8), 0);
        // SAFETY: the words were made for these bytes.
        unsafe {
            let words = self.bodies[first..].as_mut_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(body.as_ptr(), words, body.len());
        }
        let (key, body) = (from..self.keys.len(), first..self.bodies.len());
        self.items.push(Item { key, body, row, in_run });
        Ok(())
    }

    fn place(&self, item: usize) -> Place {
        Place { key: self.key(item).to_vec(), in_run: self.items[item].in_run }
    }

    fn current(&self) -> Option<usize> {
        self.taken.checked_sub(1).filter(|item| *item < self.items.len())
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn ambeginscan(
    relation: pg_sys::Relation,
    keys: i32,
    orders: i32,
) -> pg_sys::IndexScanDesc {
    // SAFETY: PostgreSQL passes an open index of ours; the state goes with the memory of its scan.
    unsafe {
        let scan = pg_sys::RelationGetIndexScan(relation, keys, orders);
        let memory = pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"fakegres index scan".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        );
        let state = Box::into_raw(Box::new(State {
            relation,
            index: index::of(relation),
            doubtful: form::is_computed(relation),
            begun: None,
            search: Search::default(),
            range: 0,
            cursor: None,
            coming: Coming::default(),
            opened: 0,
            anchor: Anchor::Edge,
            left: None,
            skip: None,
            batch: Batch::default(),
            known: Page::default(),
            with_rows: false,
            expected: None,
            want: FIRST_BATCH,
            mark: None,
            tuple: pg_sys::HeapTupleData::default(),
            memory,
            callback: pg_sys::MemoryContextCallback::default(),
        }));
        (*scan).opaque = state.cast();
        (*state).callback.func = Some(drop_state);
        (*state).callback.arg = state.cast();
        pg_sys::MemoryContextRegisterResetCallback(memory, &raw mut (*state).callback);
        scan
    }
}

/// Drops the state when its memory goes: `amendscan` is not called after an error.
#[pg_guard]
unsafe extern "C-unwind" fn drop_state(state: *mut core::ffi::c_void) {
    // SAFETY: PostgreSQL has taken the callback out of its list and calls it once.
    unsafe { drop(Box::from_raw(state.cast::<State>())) };
}

unsafe fn state<'a>(scan: pg_sys::IndexScanDesc) -> &'a mut State {
    // SAFETY: the callers pass scans of ambeginscan.
    unsafe { &mut *(*scan).opaque.cast::<State>() }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn amrescan(
    scan: pg_sys::IndexScanDesc,
    keys: pg_sys::ScanKey,
    count: i32,
    _orders: pg_sys::ScanKey,
    _order_count: i32,
) {
    // SAFETY: PostgreSQL passes a scan of ours and as many keys as it was begun with.
    unsafe {
        if !keys.is_null() && count > 0 && keys != (*scan).keyData {
            std::ptr::copy(keys, (*scan).keyData, count as usize);
        }
        let state = state(scan);
        let keys: &[pg_sys::ScanKeyData] = match (*scan).numberOfKeys {
            0 => &[],
            count => std::slice::from_raw_parts((*scan).keyData, count as usize),
        };
        state.index = index::of(state.relation);
        state.search = Search::new(&state.index, keys);
        state.reset(Anchor::Edge);
        state.begun = None;
        state.mark = None;
        (*scan).xs_itupdesc = (*state.relation).rd_att;
        compat::count_scan(state.relation, 1);
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn amendscan(scan: pg_sys::IndexScanDesc) {
    // SAFETY: PostgreSQL passes a scan of ours; its state goes with its memory.
    unsafe { pg_sys::MemoryContextDelete(state(scan).memory) };
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn amgettuple(
    scan: pg_sys::IndexScanDesc,
    direction: pg_sys::ScanDirection::Type,
) -> bool {
    let direction = pg::direction(direction);
    // SAFETY: PostgreSQL passes a scan of ours that was begun with a table and a snapshot.
    unsafe {
        // Before 18, the planner looks for the ends of btree indexes only, and takes those of the statistics
        // where there is no answer.
        let kind = (*(*scan).xs_snapshot).snapshot_type;
        if cfg!(not(feature = "pg18")) && kind == pg_sys::SnapshotType::SNAPSHOT_NON_VACUUMABLE {
            return false;
        }
        let state = state(scan);
        state.begin(scan);
        let with_rows = !(*scan).xs_want_itup || state.doubtful;
        loop {
            let Some(item) = state.next(direction, with_rows) else { return false };
            if state.tell(scan, item) {
                return true;
            }
        }
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn amgetbitmap(
    scan: pg_sys::IndexScanDesc,
    bitmap: *mut pg_sys::TIDBitmap,
) -> i64 {
    // SAFETY: PostgreSQL passes a scan of ours with a snapshot, and a live bitmap.
    unsafe {
        let state = state(scan);
        state.begin(scan);
        state.want = LARGEST_BATCH;
        let mut tids = Vec::with_capacity(BITMAP_BATCH);
        let mut count = 0;
        let mut add = |tids: &mut Vec<pg_sys::ItemPointerData>| {
            count += tids.len() as i64;
            pg_sys::tbm_add_tuples(bitmap, tids.as_mut_ptr(), tids.len() as i32, false);
            tids.clear();
        };
        while let Some(item) = state.next(Direction::Forward, false) {
            tids.push(row::item_pointer(Tid::of_row(state.batch.items[item].row)));
            if tids.len() == BITMAP_BATCH {
                pgrx::check_for_interrupts!();
                add(&mut tids);
            }
        }
        add(&mut tids);
        count
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn ammarkpos(scan: pg_sys::IndexScanDesc) {
    // SAFETY: PostgreSQL passes a scan of ours.
    let state = unsafe { state(scan) };
    state.mark = state.batch.current().map(|item| state.batch.place(item));
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn amrestrpos(scan: pg_sys::IndexScanDesc) {
    // SAFETY: PostgreSQL passes a scan of ours.
    let state = unsafe { state(scan) };
    let anchor = state.mark.clone().map_or(Anchor::Edge, Anchor::Entry);
    state.reset(anchor);
}

impl State {
    /// How many entries the first batch has, which brings the rows of a table if one is given.
    fn first_batch(&self, expected: Option<Expected>, table: Option<&Table>) -> usize {
        let entries = expected.map_or(FIRST_BATCH, |expected| expected.entries);
        let Some(table) = table.filter(|_| entries > FIRST_BATCH) else {
            return entries.clamp(FIRST_BATCH, LARGEST_BATCH);
        };
        // As long as those that were found last, or else as all are.
        let row = match self.index.row_bytes.get() {
            0 => size::average(table.space),
            found => found,
        };
        entries.min(fitting(row)).clamp(FIRST_BATCH, FIRST_ROWS)
    }

    /// How many entries the first page of a cursor has: one more than are wanted, or than a key of a
    /// unique index has, shows whether there are others. Where it is not known how many those are, the
    /// page has the next batch, too.
    fn first_rows(&self) -> usize {
        match self.expected.flatten() {
            _ if self.search.points => 2,
            Some(expected) if expected.exact || expected.entries > FIRST_BATCH => self.want + 1,
            _ => (self.want * growth(self.begun().local)).min(LARGEST_BATCH) + 1,
        }
    }

    /// Gives up what was read ahead.
    fn reset(&mut self, anchor: Anchor) {
        self.cursor = None;
        self.coming.cursors.clear();
        self.opened = 0;
        self.known.clear();
        self.left = None;
        self.skip = None;
        self.anchor = anchor;
        self.batch.clear(Direction::Forward);
    }

    unsafe fn begin(&mut self, scan: pg_sys::IndexScanDesc) {
        if self.begun.is_some() {
            return;
        }
        // SAFETY: the callers pass a scan with a snapshot; the relation is open if there is one.
        unsafe {
            let (at, taking) = transaction::resolve_later((*scan).xs_snapshot);
            let heap = (*scan).heapRelation;
            let table = (!heap.is_null()).then(|| table::of(heap));
            let kind = (*(*scan).xs_snapshot).snapshot_type;
            let mvcc = kind == pg_sys::SnapshotType::SNAPSHOT_MVCC;
            let dirty = kind == pg_sys::SnapshotType::SNAPSHOT_DIRTY;
            let (limits, zero, row_zero) = transaction::with(|active| {
                let row_zero = table.as_ref().map_or(Ok(Version::ZERO), |table| table.zero(active));
                let limits = active.session.store.limits();
                Ok((limits, self.index.stored.zero(active)?, row_zero?))
            })
            .or_raise();
            // A plan may be run for an earlier moment than it was made for.
            if at.version < zero.max(self.index.stored.whole()) && row_zero <= at.version {
                too_young();
            }
            // A bitmap is made without the table, and takes all.
            let asks = mvcc && table.is_some();
            let ask = || if asks { running::expected(scan) } else { None };
            let expected = *self.expected.get_or_insert_with(ask);
            let with_rows = !(*scan).xs_want_itup || self.doubtful;
            self.want = self.first_batch(expected, table.as_deref().filter(|_| with_rows));
            self.begun = Some(Begun {
                table,
                at,
                taking,
                local: limits.local,
                ranges_at_once: limits.pages_at_once,
                zero,
                row_zero,
                mvcc,
                dirty,
            });
        }
    }

    fn begun(&self) -> &Begun {
        self.begun.as_ref().expect("the scan has begun")
    }

    /// The next entry in a direction, in the batch.
    fn next(&mut self, direction: Direction, with_rows: bool) -> Option<usize> {
        if self.batch.direction != direction {
            if let Some(item) = self.batch.current() {
                let anchor = Anchor::Entry(self.batch.place(item));
                self.reset(anchor);
            }
            self.batch.clear(direction);
            self.cursor = None;
            self.left = None;
        }
        if self.batch.taken >= self.batch.items.len() && !self.fill(direction, with_rows) {
            self.reset(Anchor::End(direction));
            self.batch.direction = direction;
            return None;
        }
        self.batch.taken += 1;
        Some(self.batch.taken - 1)
    }

    /// Takes the next entries. False if there are none.
    fn fill(&mut self, direction: Direction, with_rows: bool) -> bool {
        if self.anchor == Anchor::End(direction) {
            return false;
        }
        self.batch.clear(direction);
        let want = self.want;
        self.with_rows = with_rows;
        if self.search.points && (self.begun().local || self.search.ranges.len() > 1) {
            self.take_points(direction, want).or_raise();
        } else if self.cursor.is_some() || self.place(direction) {
            self.take(direction, want);
        }
        self.want = (want * growth(self.begun().local)).min(LARGEST_BATCH);
        if with_rows {
            self.read_rows().or_raise();
            self.bound();
        }
        !self.batch.items.is_empty()
    }

    /// Has the next batch be of no more rows than may be held at once, by the length of these.
    fn bound(&mut self) {
        let Some(average) = self.batch.rows.average() else { return };
        self.index.row_bytes.set(average);
        self.want = self.want.min(fitting(average));
    }

    /// Takes entries of single keys until there are enough.
    fn take_points(&mut self, direction: Direction, want: usize) -> Result<()> {
        let mut left = self.left.take().unwrap_or_else(|| self.points_from(direction));
        let Begun { at, zero, local, .. } = *self.settled();
        let mut page = transaction::with(|active| active.store.page());
        if !local {
            return self.take_points_at_once(left, direction, want);
        }
        while self.batch.items.len() < want {
            let next = match direction {
                Direction::Forward => left.next(),
                Direction::Backward => left.next_back(),
            };
            let Some(next) = next else { break };
            let key = &self.search.ranges[next].start;
            let found = transaction::with(|active| active.store.get(key, &at, zero, &mut page))?;
            if let Some(found) = found {
                self.batch.push(key, found.body(&page))?;
                self.check_last();
            }
        }
        self.left = Some(left);
        Ok(())
    }

    /// As [`State::take_points`], with as many keys in a request as entries are wanted.
    fn take_points_at_once(
        &mut self,
        mut left: Range<usize>,
        direction: Direction,
        want: usize,
    ) -> Result<()> {
        let Begun { at, zero, .. } = *self.begun();
        let (mut page, mut found) = (transaction::with(|active| active.store.page()), Vec::new());
        while self.batch.items.len() < want && !left.is_empty() {
            let count = (want - self.batch.items.len()).min(left.len());
            let mut next: Vec<usize> = match direction {
                Direction::Forward => left.by_ref().take(count).collect(),
                Direction::Backward => left.by_ref().rev().take(count).collect(),
            };
            let key = |next: usize| self.search.ranges[next].start.as_slice();
            let keys: Vec<&[u8]> = next.iter().map(|next| key(*next)).collect();
            transaction::with(|active| {
                active.store.get_many(&keys, &at, zero, &mut page, &mut found)
            })?;
            for (next, found) in next.drain(..).zip(&found) {
                if let Some(found) = found {
                    self.batch.push(&self.search.ranges[next].start, found.body(&page))?;
                    self.check_last();
                }
            }
        }
        self.left = Some(left);
        Ok(())
    }

    /// The ranges that lie ahead.
    fn points_from(&self, direction: Direction) -> Range<usize> {
        let ranges = &self.search.ranges;
        let Anchor::Entry(place) = &self.anchor else { return 0..ranges.len() };
        let at = ranges.partition_point(|range| range.start < place.key);
        match direction {
            Direction::Forward => at + 1..ranges.len(),
            Direction::Backward => 0..at,
        }
    }

    /// Opens the cursor where the scan stands. False if there is nothing to look for.
    fn place(&mut self, direction: Direction) -> bool {
        let ranges = &self.search.ranges;
        if ranges.is_empty() {
            return false;
        }
        let edge = if direction == Direction::Forward { 0 } else { ranges.len() - 1 };
        let Anchor::Entry(place) = &self.anchor else {
            self.range = edge;
            self.open(ranges[edge].clone());
            return true;
        };
        let after = ranges.partition_point(|range| range.start <= place.key);
        self.range = after.saturating_sub(1);
        let range = ranges[self.range].clone();
        // A run is read again, whole, and passed over up to the entry.
        let (from, to) = place.around();
        self.skip = place.in_run.then(|| place.key.clone());
        let range = match direction {
            Direction::Forward => KeyRange { start: range.start.max(from), end: range.end },
            Direction::Backward => KeyRange { start: range.start, end: range.end.min(to) },
        };
        self.open(range);
        true
    }

    fn open(&mut self, range: KeyRange) {
        self.keep_rows();
        self.opened += 1;
        let mut cursor = self.cursor_of(range, self.first_rows());
        let begun = self.begun();
        if let Some(table) = begun.table.as_ref().filter(|_| self.with_rows && !begun.local) {
            cursor = cursor.with_rows(&entry::mapping(table.space));
        }
        self.cursor = Some(cursor);
    }

    /// A cursor over a range, of which nothing is read yet.
    fn cursor_of(&mut self, range: KeyRange, first_rows: usize) -> Scan {
        let begun = self.begun.as_mut().expect("the scan has begun");
        // SAFETY: PostgreSQL keeps the snapshot of a scan until the scan ends.
        let takes_snapshot = unsafe { begun.taking.is_due(&mut begun.at) };
        let options = ScanOptions {
            zero: begun.zero,
            first_rows,
            max_rows: LARGEST_BATCH,
            max_bytes: PAGE_BYTES,
            layout: LAYOUT,
        };
        let KeyRange { start, end } = range;
        // A store may find a single key sooner than what lies in a range. Behind the key there may be
        // nothing left to look for.
        let point = || [&start[..], &[0]].concat();
        let end = if self.search.points { end.min(point()) } else { end };
        let mut cursor = Scan::new(start, end, begun.at, options);
        if takes_snapshot {
            cursor = cursor.taking_snapshot();
        }
        if self.expected.flatten().is_some_and(|expected| expected.exact) {
            cursor = cursor.of_one_page();
        }
        cursor
    }

    /// Asks for the first pages of ranges all at once, from one on, as many as entries are missing or
    /// as were looked into before.
    fn start_ranges(&mut self, first: usize, direction: Direction) {
        self.settled();
        let left = match direction {
            Direction::Forward => self.search.ranges.len() - first,
            Direction::Backward => first + 1,
        };
        let missing = self.want.saturating_sub(self.batch.items.len());
        let most = self.begun().ranges_at_once;
        let count = missing.max(self.opened).clamp(1, most).min(left);
        // Each has its share of what is expected of all, or more.
        let expected = match self.expected.flatten() {
            Some(expected) if !expected.exact => expected.entries / self.search.ranges.len(),
            _ => self.want / left,
        };
        let rows = (expected * 2).clamp(FIRST_BATCH, LARGEST_BATCH / count) + 1;
        self.coming.direction = direction;
        for i in 0..count {
            let range = match direction {
                Direction::Forward => first + i,
                Direction::Backward => first - i,
            };
            let mut cursor = self.cursor_of(self.search.ranges[range].clone(), rows);
            transaction::with(|active| cursor.start(&mut active.store, direction)).or_raise();
            self.coming.cursors.push_back((range, cursor));
        }
        self.opened += count;
    }

    /// Keeps the rows that came with the entries of the cursor.
    fn keep_rows(&mut self) {
        let Some(cursor) = &mut self.cursor else { return };
        let rows = cursor.take_rows();
        if self.known.is_empty() {
            self.known = rows;
            return;
        }
        for i in 0..rows.len() {
            match rows.get(i) {
                Some(row) => self.known.push(rows.key(i), row),
                None => self.known.push_absent(rows.key(i)),
            }
        }
    }

    /// What the scan sees, for who has no page that could take the snapshot.
    fn settled(&mut self) -> &Begun {
        let begun = self.begun.as_mut().expect("the scan has begun");
        // SAFETY: PostgreSQL keeps the snapshot of a scan until the scan ends.
        unsafe { begun.taking.settle(&mut begun.at) };
        begun
    }

    /// Moves to the next range. False if there is none.
    fn next_range(&mut self, direction: Direction) -> bool {
        let next = match direction {
            Direction::Forward => self.range + 1,
            Direction::Backward => self.range.wrapping_sub(1),
        };
        let Some(range) = self.search.ranges.get(next) else { return false };
        self.range = next;
        let is_last = match direction {
            Direction::Forward => next + 1 == self.search.ranges.len(),
            Direction::Backward => next == 0,
        };
        let Coming { direction: way, cursors } = &mut self.coming;
        if *way != direction || cursors.front().is_some_and(|(coming, _)| *coming != next) {
            cursors.clear();
        }
        if cursors.is_empty() {
            // One that has nothing to wait for together with may bring its rows.
            if self.begun().local || is_last {
                self.open(range.clone());
                return true;
            }
            self.start_ranges(next, direction);
        }
        self.keep_rows();
        self.cursor = self.coming.cursors.pop_front().map(|(_, cursor)| cursor);
        true
    }

    /// Takes entries from the cursor until there are enough.
    fn take(&mut self, direction: Direction, want: usize) {
        let mut run = Run::default();
        while self.batch.items.len() < want || !run.entries.is_empty() {
            let Some(cursor) = &mut self.cursor else { break };
            let batch = &mut self.batch;
            let step = transaction::with(|active| {
                let Some(entry) = cursor.next(&mut active.store, direction)? else {
                    return Ok(Step::End);
                };
                run.meet(entry.key, entry.body, batch)
            })
            .or_raise();
            if let (Some(begun), Some(cursor)) = (&mut self.begun, &self.cursor) {
                // SAFETY: PostgreSQL keeps the snapshot of a scan until the scan ends.
                unsafe { begun.taking.take(&mut begun.at, cursor.snapshot().version) };
            }
            match step {
                Step::Taken => self.check_last(),
                Step::InRun => {}
                Step::BehindRun | Step::End => self.take_run(&mut run, direction),
            }
            if step == Step::End && !self.next_range(direction) {
                // The cursor stays, at its end.
                break;
            }
        }
    }

    /// Takes the entries of a run in their order, and then the one behind it.
    fn take_run(&mut self, run: &mut Run, direction: Direction) {
        let mut entries = std::mem::take(&mut run.entries);
        // SAFETY: the entries are of the index, whose relation is open during the scan.
        entries.sort_by_cached_key(|entry| unsafe {
            let full = filter::full_key(self.relation, &self.index, entry.body.bytes());
            (full, entry.key.clone())
        });
        if direction == Direction::Backward {
            entries.reverse();
        }
        if let Some(key) = &self.skip
            && let Some(place) = entries.iter().position(|entry| entry.key == *key)
        {
            entries.drain(..=place);
            self.skip = None;
        }
        for entry in entries {
            self.batch.push(&entry.key, entry.body.bytes()).or_raise();
            self.check_last();
        }
        if let Some(next) = run.behind.take() {
            let step = run.meet(&next.key, next.body.bytes(), &mut self.batch).or_raise();
            if step == Step::Taken {
                self.check_last();
            }
        }
    }

    /// Takes the entry that was put into the batch last out of it, if it is not looked for.
    fn check_last(&mut self) {
        let last = self.batch.items.len() - 1;
        let (key, body) = (self.batch.key(last), self.batch.body(last));
        // SAFETY: the entry is one of the index, whose relation is open during the scan.
        if !unsafe { filter::passes(self.relation, &self.index, &self.search, key, body) } {
            self.batch.items.pop();
        }
    }

    /// Reads the rows of the batch.
    fn read_rows(&mut self) -> Result<()> {
        self.keep_rows();
        let known = std::mem::take(&mut self.known);
        let Some(Begun { table: Some(table), at, row_zero, .. }) = &self.begun else {
            return Ok(());
        };
        let ids: Vec<RowId> = self.batch.items.iter().map(|item| item.row).collect();
        self.batch.rows.read(table, &ids, at, *row_zero, &known)
    }

    /// Says to PostgreSQL which entry the scan stands on. False if its row is not there.
    unsafe fn tell(&mut self, scan: pg_sys::IndexScanDesc, item: usize) -> bool {
        let row = self.batch.items[item].row;
        let seen = self.batch.rows.is_seen(item);
        if seen == Some(false) && self.begun().mvcc || self.begun().dirty && !self.stays(item) {
            return false;
        }
        // SAFETY: the scan is ours; a fetch of its rows is one of ours, too, because the table is.
        unsafe {
            let tid = row::item_pointer(Tid::of_row(row));
            (*scan).xs_heaptid = tid;
            // Who looks for conflicts gets the row as it is once others are done with it: its key may
            // not be the entry's any more. The check takes no NULL for equal to another, which an
            // index may do.
            let by_null = self.index.nulls_not_distinct && index::has_null(self.batch.body(item));
            (*scan).xs_recheck = !self.begun().mvcc && !by_null;
            if (*scan).xs_want_itup {
                (*scan).xs_itup = index::tuple_of(self.batch.body(item));
            }
            let Some(fetch) = (*scan).xs_heapfetch.cast::<Fetch>().as_mut() else { return true };
            match seen {
                _ if !self.begun().mvcc => fetch.forget(),
                _ if (*scan).xs_want_itup => fetch.know(tid),
                Some(true) => {
                    self.tuple = self.row(item, row);
                    fetch.prepare(tid, &raw mut self.tuple);
                }
                _ => fetch.forget(),
            }
            true
        }
    }

    /// Whether an entry is still there once nobody is about to take it away.
    fn stays(&self, item: usize) -> bool {
        let row = self.batch.items[item].row;
        if let Some(table) = &self.begun().table {
            lock::wait_for(table, row);
        }
        transaction::with(|active| {
            let cells = entry::cells(self.batch.key(item), self.batch.body(item))?;
            active.claim_again(cells)?;
            let mut page = active.store.page();
            let newest = active.store.newest(self.batch.key(item), self.begun().zero, &mut page)?;
            Ok(newest.exists() && entry::row(&page.value(0)[mvcc::HEADER..])? == row)
        })
        .or_raise()
    }

    fn row(&mut self, item: usize, row: RowId) -> pg_sys::HeapTupleData {
        // Not by a method, which would borrow the batch too.
        let Begun { table, at, .. } = self.begun.as_ref().expect("the scan has begun");
        let table = table.as_ref().expect("rows were read from it");
        self.batch.rows.tuple(item, row, table, at)
    }
}

impl Place {
    /// Where a scan that goes on from here begins forward, and where it does backward: beside the
    /// entry, or at the edges of its run.
    fn around(&self) -> (Vec<u8>, Vec<u8>) {
        if self.in_run {
            let head = &self.key[..RUN_HEAD];
            (head.to_vec(), key::after_prefix(head))
        } else {
            ([&self.key[..], &[0]].concat(), self.key.clone())
        }
    }
}

/// What became of an entry that the cursor returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// It is in the batch.
    Taken,
    /// It is part of a run, whose other entries may follow.
    InRun,
    /// It is behind the run, which is complete.
    BehindRun,
    /// There was none.
    End,
}

/// Entries whose keys were shortened to the same head: they are neighbours, in no order.
#[derive(Default)]
struct Run {
    entries: Vec<Kept>,
    behind: Option<Kept>,
}

/// An entry on its own.
struct Kept {
    key: Vec<u8>,
    body: Copied,
}

impl Kept {
    fn new(key: &[u8], body: &[u8]) -> Kept {
        Kept { key: key.to_vec(), body: Copied::of(body) }
    }
}

impl Run {
    /// Puts an entry into the batch, or into the run if its key says no more than that it belongs
    /// there.
    fn meet(&mut self, key: &[u8], body: &[u8], batch: &mut Batch) -> Result<Step> {
        let cells = entry::cells(key, body)?;
        let long = keycode::is_shortened(cells, entry::LONGEST);
        let Some(first) = self.entries.first() else {
            if !long {
                batch.push(key, body)?;
                return Ok(Step::Taken);
            }
            self.entries.push(Kept::new(key, body));
            return Ok(Step::InRun);
        };
        if long && keycode::same_run(&first.key, cells, entry::LONGEST) {
            self.entries.push(Kept::new(key, body));
            return Ok(Step::InRun);
        }
        self.behind = Some(Kept::new(key, body));
        Ok(Step::BehindRun)
    }
}

fn too_young() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_SNAPSHOT_TOO_OLD,
        "the index was built after the moment that is read",
        "Run the transaction again, or SET enable_indexscan, enable_indexonlyscan and enable_bitmapscan to off for it.",
    )
}
