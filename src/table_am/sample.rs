//! TABLESAMPLE, and blocks as ANALYZE reads them. A block is 256 row ids; empty ones count like heap pages
//! without live rows.
//!
//! Blocks come in ascending order, and often all of them or nearly: then they are read on as a scan of
//! the table is, page by page, each ahead of its time.

use kv::Direction;
use pgrx::prelude::*;
use relation::RowId;
use relation::row::ROWS_PER_BLOCK;

use crate::table_am::scan::state;
use crate::table_am::size::blocks;

/// The rows of a block, while a sample of them is drawn.
#[derive(Default)]
pub(super) struct Block {
    /// The next block of a method that looks at all of them.
    next: u32,
    number: u32,
    /// Offset of the row that the sample stands on.
    offset: u16,
    /// Where the cursor is.
    cursor: Position,
    /// The block before which the cursor ends.
    until: u32,
}

/// Where a cursor that reads blocks is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Position {
    /// Behind a row that was returned or passed over, or at its beginning.
    #[default]
    Between,
    /// On a row that was not returned.
    Before,
    /// Behind its last row.
    End,
}

/// Blocks of a range that is read on from. Rows that are gone are passed over only in there.
const READ_ON: u32 = 256;

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_sample_next_block(
    scan: pg_sys::TableScanDesc,
    sampler: *mut pg_sys::SampleScanState,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours and a live sampler.
    unsafe {
        let total = blocks((*scan).rs_rd);
        let state = state(scan);
        let number = match (*(*sampler).tsmroutine).NextSampleBlock {
            Some(choose) => choose(sampler, total),
            None if state.block.next < total => {
                state.block.next += 1;
                state.block.next - 1
            }
            None => pg_sys::InvalidBlockNumber,
        };
        if number == pg_sys::InvalidBlockNumber {
            return false;
        }
        state.block.offset = 0;
        state.open_block(number);
        true
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_sample_next_tuple(
    scan: pg_sys::TableScanDesc,
    sampler: *mut pg_sys::SampleScanState,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours, a live sampler and a slot of ours.
    unsafe {
        let state = state(scan);
        let choose = (*(*sampler).tsmroutine).NextSampleTuple.expect("every method has one");
        loop {
            let wanted = choose(sampler, state.block.number, ROWS_PER_BLOCK as u16);
            if wanted == 0 {
                pg_sys::ExecClearTuple(slot);
                return false;
            }
            // Offsets are asked for in ascending order; rows in between are passed over.
            while state.block.offset < wanted {
                if !state.next_in_block(slot) {
                    state.block.offset = u16::MAX;
                    break;
                }
                state.block.offset = state.place().offset;
            }
            if state.block.offset == wanted {
                return true;
            }
        }
    }
}

impl super::scan::State {
    /// Goes to a block, whose rows [`State::next_in_block`] then returns.
    pub(super) fn open_block(&mut self, number: u32) {
        pgrx::check_for_interrupts!();
        let before = std::mem::replace(&mut self.block.number, number);
        // A row that was not returned says that there are none before it.
        let reads_on = self.cursor.is_some()
            && (before + 1..self.block.until).contains(&number)
            && match self.block.cursor {
                Position::Between => number == before + 1,
                Position::Before => number <= self.place().block,
                Position::End => true,
            };
        if reads_on {
            return;
        }
        // A neighbour of the last one will have neighbours. Another may be the only one far and wide.
        let neighbour = self.cursor.is_some() && before.checked_add(1) == Some(number);
        self.block.until = number.saturating_add(if neighbour { READ_ON } else { 1 });
        let first = RowId::first_of_block(number);
        let rows = u64::from(self.block.until - number) * ROWS_PER_BLOCK;
        self.open_range(Some((first, RowId(first.0 + rows))), ROWS_PER_BLOCK as usize);
        self.block.cursor = Position::Between;
        self.row = first;
    }

    /// Puts the next row of the block into a slot. False, and nothing in the slot, if it has no more.
    ///
    /// # Safety
    /// As [`State::next_into`].
    pub(super) unsafe fn next_in_block(&mut self, slot: *mut pg_sys::TupleTableSlot) -> bool {
        // SAFETY: the caller's promise; the cursor does not move between reading a row and showing it.
        unsafe {
            loop {
                let at = self.place();
                let is_last =
                    at.block == self.block.number && u64::from(at.offset) == ROWS_PER_BLOCK;
                if self.block.cursor == Position::Between && is_last {
                    pg_sys::ExecClearTuple(slot);
                    return false;
                }
                if self.block.cursor == Position::Between {
                    let found = self.next_into(Direction::Forward, slot);
                    self.block.cursor = if found { Position::Before } else { Position::End };
                }
                if self.block.cursor == Position::End || self.place().block > self.block.number {
                    pg_sys::ExecClearTuple(slot);
                    return false;
                }
                self.block.cursor = Position::Between;
                if self.place().block == self.block.number {
                    self.show_again(slot);
                    return true;
                }
            }
        }
    }
}
