//! TABLESAMPLE. A block is 256 row ids; empty ones count like heap pages without live rows.

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
    /// Offset of the row that the cursor stands on.
    offset: u16,
}

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
        state.block.number = number;
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
                if !state.next_into(Direction::Forward, slot) {
                    state.block.offset = u16::MAX;
                    break;
                }
                state.block.offset = state.row_offset();
            }
            if state.block.offset == wanted {
                return true;
            }
        }
    }
}

impl super::scan::State {
    /// Reads the rows of one block from its beginning.
    pub(super) fn open_block(&mut self, number: u32) {
        pgrx::check_for_interrupts!();
        let first = RowId::first_of_block(number);
        let bounds = (first, RowId(first.0 + ROWS_PER_BLOCK));
        self.open_range(Some(bounds), ROWS_PER_BLOCK as usize);
    }
}
