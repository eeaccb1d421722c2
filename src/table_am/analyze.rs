//! ANALYZE: a sample of blocks, as for heap. A block is 256 row ids.

use pgrx::prelude::*;

use crate::table_am::scan::state;

#[cfg(any(feature = "pg15", feature = "pg16"))]
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_analyze_next_block(
    scan: pg_sys::TableScanDesc,
    block: pg_sys::BlockNumber,
    _strategy: pg_sys::BufferAccessStrategy,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours.
    unsafe { state(scan) }.open_block(block);
    true
}

/// The stream would read pages of a file; only the numbers that it chose are used.
#[cfg(not(any(feature = "pg15", feature = "pg16")))]
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_analyze_next_block(
    scan: pg_sys::TableScanDesc,
    stream: *mut pg_sys::ReadStream,
) -> bool {
    let mut strategy = std::ptr::null_mut();
    // SAFETY: PostgreSQL passes a live stream and a scan of ours.
    unsafe {
        let block = pg_sys::read_stream_next_block(stream, &mut strategy);
        if block == pg_sys::InvalidBlockNumber {
            return false;
        }
        state(scan).open_block(block);
    }
    true
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn scan_analyze_next_tuple(
    scan: pg_sys::TableScanDesc,
    _oldest: pg_sys::TransactionId,
    live: *mut f64,
    _dead: *mut f64,
    slot: *mut pg_sys::TupleTableSlot,
) -> bool {
    // SAFETY: PostgreSQL passes a scan of ours, a slot of ours and valid pointers.
    unsafe {
        if state(scan).next_in_block(slot) {
            *live += 1.0;
            return true;
        }
        false
    }
}
