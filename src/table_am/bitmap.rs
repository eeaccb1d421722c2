//! Bitmap scans: the rows of a block that an index named, or all of them where the bitmap is lossy.

use kv::Direction;
use pgrx::prelude::*;

use crate::table_am::scan::{State, state};

/// The offsets of a block that a bitmap names.
#[derive(Default)]
pub(super) struct Wanted {
    /// Sorted; empty means all.
    offsets: Vec<u16>,
    #[cfg(feature = "pg18")]
    recheck: bool,
}

impl Wanted {
    fn names(&self, offset: u16) -> bool {
        self.offsets.is_empty() || self.offsets.binary_search(&offset).is_ok()
    }
}

impl State {
    unsafe fn next_wanted(&mut self, slot: *mut pg_sys::TupleTableSlot) -> bool {
        // SAFETY: the callers pass slots of ours.
        while unsafe { self.next_into(Direction::Forward, slot) } {
            if self.wanted.names(self.row_offset()) {
                return true;
            }
        }
        false
    }
}

#[cfg(feature = "pg18")]
impl State {
    unsafe fn next_bitmap_block(
        &mut self,
        scan: pg_sys::TableScanDesc,
        lossy_pages: *mut u64,
        exact_pages: *mut u64,
    ) -> bool {
        let mut block = pg_sys::TBMIterateResult::default();
        let mut offsets = [0u16; relation::row::ROWS_PER_BLOCK as usize + 64];
        // SAFETY: a bitmap scan has an iterator, and the caller passes valid pointers.
        unsafe {
            if !pg_sys::tbm_iterate(&raw mut (*scan).st.rs_tbmiterator, &mut block) {
                return false;
            }
            self.wanted.recheck = block.recheck;
            self.wanted.offsets.clear();
            if block.lossy {
                *lossy_pages += 1;
            } else {
                *exact_pages += 1;
                let room = offsets.len() as u32;
                let count = pg_sys::tbm_extract_page_tuple(&mut block, offsets.as_mut_ptr(), room);
                let count = usize::try_from(count).unwrap_or(0).min(offsets.len());
                self.wanted.offsets.extend_from_slice(&offsets[..count]);
            }
        }
        self.open_block(block.blockno);
        true
    }
}

#[cfg(not(feature = "pg18"))]
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_bitmap_next_block(
    scan: pg_sys::TableScanDesc,
    block: *mut pg_sys::TBMIterateResult,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours and a live result with `ntuples` offsets.
    unsafe {
        let state = state(scan);
        let count = usize::try_from((*block).ntuples).unwrap_or(0);
        state.wanted.offsets = (*block).offsets.as_slice(count).to_vec();
        state.open_block((*block).blockno);
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
        if state(scan).next_wanted(slot) {
            return true;
        }
        pg_sys::ExecClearTuple(slot);
        false
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
            if state.block_is_open() && state.next_wanted(slot) {
                *recheck = state.wanted.recheck;
                return true;
            }
            if !state.next_bitmap_block(scan, lossy_pages, exact_pages) {
                pg_sys::ExecClearTuple(slot);
                return false;
            }
        }
    }
}
