//! Bitmap scans: the rows that an index named, in the order of their ids, or all rows of a block where
//! the bitmap is lossy.
//!
//! A block has few rows that are wanted, often one. Over a network each block would be a round trip, so
//! the rows of many blocks are read in one step. From PostgreSQL 18 on, the scan takes the blocks from the
//! bitmap itself; before, it is told of one at a time, and looks at those to come by an iterator of its
//! own.

use std::collections::VecDeque;
use std::ops::Range;

use kv::{Direction, Page};
use mvcc::Snapshot;
use pgrx::prelude::*;
use relation::RowId;
use relation::row::ROWS_PER_BLOCK;

use super::rows::{Rows, fitting};
use crate::compat;
use crate::error::OrRaise;
#[cfg(not(feature = "pg18"))]
use crate::running;
use crate::table::Table;
use crate::table_am::scan::{State, state};
use crate::table_am::size;

/// Rows of the first step, about; each one has more than the one before it.
const FIRST_STEP: usize = 128;
const GROWTH: usize = 4;
/// Most rows of a step.
const LARGEST_STEP: usize = 1024;

/// A bitmap scan under way.
#[derive(Default)]
pub(super) struct Bitmap {
    source: Source,
    /// The block whose rows are being returned.
    block: Option<Block>,
    /// The blocks behind it that were taken from the bitmap, and the rows that they all name.
    ahead: VecDeque<Block>,
    ids: Vec<RowId>,
    /// Those rows that were read, and which of `ids` they are.
    rows: Rows,
    read: Range<usize>,
    /// How many rows the next step has; zero before the first one.
    step: usize,
}

/// A block that the bitmap names.
struct Block {
    number: pg_sys::BlockNumber,
    /// Which of the rows that were named are its; nothing if all rows of the block are wanted.
    rows: Option<Range<usize>>,
    #[cfg(feature = "pg18")]
    recheck: bool,
}

impl Bitmap {
    /// Begins anew.
    ///
    /// # Safety
    /// The memory of the scan must be as it was: not after an error.
    pub(super) unsafe fn restart(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { self.source.close() };
        let (rows, step) = (std::mem::take(&mut self.rows), self.step);
        *self = Bitmap { rows, step, ..Bitmap::default() };
    }

    /// A row that was read, as a tuple that lives until the next ones are.
    pub(super) fn tuple(
        &mut self,
        i: usize,
        table: &Table,
        at: &Snapshot,
    ) -> pg_sys::HeapTupleData {
        self.rows.tuple(i - self.read.start, self.ids[i], table, at)
    }

    /// Takes the rows of a block for the next step.
    fn push_exact(&mut self, number: pg_sys::BlockNumber, offsets: &[u16]) -> Range<usize> {
        let from = self.ids.len();
        let first = RowId::first_of_block(number).0;
        self.ids.extend(offsets.iter().map(|offset| RowId(first + u64::from(*offset) - 1)));
        from..self.ids.len()
    }
}

impl State {
    /// Takes blocks from the bitmap, with rows enough for a step. `first` is the next one, as PostgreSQL
    /// tells it if it does.
    unsafe fn take_blocks(&mut self, scan: pg_sys::TableScanDesc, first: Told) {
        if self.bitmap.step == 0 {
            self.bitmap.step = fitting(size::average(self.space())).min(FIRST_STEP);
        }
        self.bitmap.ids.clear();
        self.bitmap.ahead.clear();
        self.bitmap.read = 0..0;
        while self.bitmap.ids.len() < self.bitmap.step {
            // SAFETY: the caller's scan and what PostgreSQL told of it.
            let Some(block) = (unsafe { self.bitmap.take_block(scan, first) }) else { break };
            let lossy = block.rows.is_none();
            self.bitmap.ahead.push_back(block);
            if lossy {
                break;
            }
        }
    }

    /// Reads rows of the blocks that were taken, from one on.
    fn step(&mut self, from: usize) {
        let (table, at, zero) = self.settled();
        let Bitmap { ids, rows, read, step, .. } = &mut self.bitmap;
        *read = from..ids.len().min(from + *step);
        rows.read(&table, &ids[read.clone()], &at, zero, &Page::default()).or_raise();
        *step = (*step * GROWTH).min(LARGEST_STEP);
        if let Some(average) = rows.average() {
            *step = (*step).min(fitting(average));
        }
    }

    /// Begins with a block that was taken from the bitmap.
    fn begin_block(&mut self, block: Block) {
        if block.rows.is_none() {
            let first = RowId::first_of_block(block.number);
            let bounds = (first, RowId(first.0 + ROWS_PER_BLOCK));
            self.open_range(Some(bounds), ROWS_PER_BLOCK as usize);
        }
        self.bitmap.block = Some(block);
    }

    /// Puts the next row of the block into a slot. False if there is none.
    ///
    /// # Safety
    /// `slot` must be one of ours.
    unsafe fn next_of_block(
        &mut self,
        scan: pg_sys::TableScanDesc,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> bool {
        let i = loop {
            let Some(Block { rows, .. }) = &mut self.bitmap.block else { return false };
            let Some(left) = rows else {
                // SAFETY: the caller's promise.
                return unsafe { self.next_into(Direction::Forward, slot) };
            };
            let Some(i) = left.next() else { return false };
            if i >= self.bitmap.read.end {
                self.step(i);
            }
            if self.bitmap.rows.is_seen(i - self.bitmap.read.start) == Some(true) {
                break i;
            }
        };
        // SAFETY: the tuple lies in the rows until the next ones are read; the scan is open.
        unsafe {
            compat::ExecStoreHeapTuple(self.tuple_read(i), slot, false);
            compat::count_fetched((*scan).rs_rd, 1);
        }
        true
    }
}

/// Where blocks come from.
#[cfg(feature = "pg18")]
#[derive(Default)]
struct Source;

/// What PostgreSQL tells of the block that is next.
#[cfg(feature = "pg18")]
type Told = ();

#[cfg(feature = "pg18")]
impl Source {
    unsafe fn close(&mut self) {}
}

#[cfg(feature = "pg18")]
impl Bitmap {
    unsafe fn take_block(&mut self, scan: pg_sys::TableScanDesc, (): Told) -> Option<Block> {
        let mut block = pg_sys::TBMIterateResult::default();
        let mut offsets = [0u16; ROWS_PER_BLOCK as usize + 64];
        // SAFETY: a bitmap scan has an iterator; there is room for as many offsets as are said.
        unsafe {
            if !pg_sys::tbm_iterate(&raw mut (*scan).st.rs_tbmiterator, &mut block) {
                return None;
            }
            let (number, recheck) = (block.blockno, block.recheck);
            if block.lossy {
                return Some(Block { number, rows: None, recheck });
            }
            let room = offsets.len() as u32;
            let count = pg_sys::tbm_extract_page_tuple(&mut block, offsets.as_mut_ptr(), room);
            let count = usize::try_from(count).unwrap_or(0).min(offsets.len());
            let rows = Some(self.push_exact(number, &offsets[..count]));
            Some(Block { number, rows, recheck })
        }
    }
}

#[cfg(feature = "pg18")]
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_bitmap_next_tuple(
    scan: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    recheck: *mut bool,
    lossy_pages: *mut u64,
    exact_pages: *mut u64,
) -> bool {
    // SAFETY: PostgreSQL passes a bitmap scan of ours, a slot of ours and valid pointers.
    unsafe {
        let state = state(scan);
        loop {
            if state.next_of_block(scan, slot) {
                *recheck = state.bitmap.block.as_ref().is_some_and(|block| block.recheck);
                return true;
            }
            if state.bitmap.ahead.is_empty() {
                state.take_blocks(scan, ());
            }
            let Some(block) = state.bitmap.ahead.pop_front() else {
                state.bitmap.block = None;
                pg_sys::ExecClearTuple(slot);
                return false;
            };
            *if block.rows.is_some() { exact_pages } else { lossy_pages } += 1;
            state.begin_block(block);
        }
    }
}

/// Where blocks come from: PostgreSQL's iterator is followed by one that runs ahead of it.
#[cfg(not(feature = "pg18"))]
#[derive(Default)]
enum Source {
    #[default]
    New,
    Ahead(*mut pg_sys::TBMIterator),
    /// There is none: other processes take blocks from the bitmap, too.
    Told,
}

/// What PostgreSQL tells of the block that is next.
#[cfg(not(feature = "pg18"))]
type Told = *const pg_sys::TBMIterateResult;

#[cfg(not(feature = "pg18"))]
impl Source {
    unsafe fn close(&mut self) {
        if let Source::Ahead(iterator) = std::mem::replace(self, Source::Told) {
            // SAFETY: the iterator was begun in memory that the caller says is still there.
            unsafe { pg_sys::tbm_end_iterate(iterator) };
        }
    }

    /// The next block, which PostgreSQL tells of if it is the first one of a step.
    unsafe fn next(&mut self, scan: pg_sys::TableScanDesc, told: Told) -> Told {
        // SAFETY: the bitmap lives until the scan ends or begins anew.
        unsafe {
            if let Source::New = self {
                *self = match running::bitmap_of(scan) {
                    Some(bitmap) => Source::Ahead(pg_sys::tbm_begin_iterate(bitmap)),
                    None => Source::Told,
                };
            }
            let Source::Ahead(iterator) = self else { return told };
            let next = pg_sys::tbm_iterate(*iterator);
            if told.is_null() || !next.is_null() && (*next).blockno == (*told).blockno {
                return next;
            }
            self.close();
        }
        told
    }
}

#[cfg(not(feature = "pg18"))]
impl Bitmap {
    unsafe fn take_block(&mut self, scan: pg_sys::TableScanDesc, told: Told) -> Option<Block> {
        let told = if self.ahead.is_empty() { told } else { std::ptr::null() };
        // SAFETY: a result has as many offsets as it says, or is lossy, until the next one is made.
        unsafe {
            let block = self.source.next(scan, told).as_ref()?;
            let rows = match usize::try_from(block.ntuples) {
                Ok(count) => Some(self.push_exact(block.blockno, block.offsets.as_slice(count))),
                Err(_) => None,
            };
            Some(Block { number: block.blockno, rows })
        }
    }
}

#[cfg(not(feature = "pg18"))]
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_bitmap_next_block(
    scan: pg_sys::TableScanDesc,
    block: *mut pg_sys::TBMIterateResult,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours and a live result.
    unsafe {
        let state = state(scan);
        loop {
            match state.bitmap.ahead.pop_front() {
                Some(next) if next.number == (*block).blockno => break state.begin_block(next),
                // One that PostgreSQL passes over.
                Some(_) => {}
                None => state.take_blocks(scan, block),
            }
        }
    }
    true
}

#[cfg(not(feature = "pg18"))]
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_bitmap_next_tuple(
    scan: pg_sys::TableScanDesc,
    _block: *mut pg_sys::TBMIterateResult,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours and a slot of ours.
    unsafe {
        if state(scan).next_of_block(scan, slot) {
            return true;
        }
        pg_sys::ExecClearTuple(slot);
        false
    }
}
