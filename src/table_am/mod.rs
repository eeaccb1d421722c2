//! The table access method: PostgreSQL's callbacks, in the order of `tableam.h`.

pub(crate) mod analyze;
mod bitmap;
pub(crate) mod fetch;
mod index;
pub(crate) mod insert;
mod lock;
mod modify;
mod parallel;
pub(crate) mod relation;
pub(crate) mod rows;
mod sample;
pub(crate) mod scan;
pub(crate) mod size;
mod vacuum;

use pgrx::prelude::*;

/// The handler that `CREATE ACCESS METHOD` names.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn fakegres_table_handler(
    _fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    crate::writer::require_preloaded();
    pg_sys::Datum::from(&raw const ROUTINE)
}

/// What PostgreSQL needs to call a C function by name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pg_finfo_fakegres_table_handler() -> *const pg_sys::Pg_finfo_record {
    static INFO: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &INFO
}

static ROUTINE: Routine = Routine(pg_sys::TableAmRoutine {
    type_: pg_sys::NodeTag::T_TableAmRoutine,

    slot_callbacks: Some(scan::slot_callbacks),

    scan_begin: Some(scan::scan_begin),
    scan_end: Some(scan::scan_end),
    scan_rescan: Some(scan::scan_rescan),
    scan_getnextslot: Some(scan::scan_getnextslot),
    scan_set_tidrange: Some(scan::scan_set_tidrange),
    scan_getnextslot_tidrange: Some(scan::scan_getnextslot),

    parallelscan_estimate: Some(parallel::parallelscan_estimate),
    parallelscan_initialize: Some(parallel::parallelscan_initialize),
    parallelscan_reinitialize: Some(parallel::parallelscan_reinitialize),

    index_fetch_begin: Some(fetch::index_fetch_begin),
    index_fetch_reset: Some(fetch::index_fetch_reset),
    index_fetch_end: Some(fetch::index_fetch_end),
    index_fetch_tuple: Some(fetch::index_fetch_tuple),

    tuple_fetch_row_version: Some(fetch::tuple_fetch_row_version),
    tuple_tid_valid: Some(fetch::tuple_tid_valid),
    tuple_get_latest_tid: Some(fetch::tuple_get_latest_tid),
    tuple_satisfies_snapshot: Some(fetch::tuple_satisfies_snapshot),
    index_delete_tuples: Some(fetch::index_delete_tuples),

    tuple_insert: Some(insert::tuple_insert),
    tuple_insert_speculative: Some(insert::tuple_insert_speculative),
    tuple_complete_speculative: Some(insert::tuple_complete_speculative),
    multi_insert: Some(insert::multi_insert),
    tuple_delete: Some(modify::tuple_delete),
    tuple_update: Some(modify::tuple_update),
    tuple_lock: Some(lock::tuple_lock),
    finish_bulk_insert: Some(insert::finish_bulk_insert),

    #[cfg(feature = "pg15")]
    relation_set_new_filenode: Some(relation::relation_set_new_filelocator),
    #[cfg(not(feature = "pg15"))]
    relation_set_new_filelocator: Some(relation::relation_set_new_filelocator),
    relation_nontransactional_truncate: Some(relation::relation_nontransactional_truncate),
    relation_copy_data: Some(relation::relation_copy_data),
    relation_copy_for_cluster: Some(relation::relation_copy_for_cluster),
    relation_vacuum: Some(vacuum::relation_vacuum),
    scan_analyze_next_block: Some(analyze::scan_analyze_next_block),
    scan_analyze_next_tuple: Some(analyze::scan_analyze_next_tuple),
    index_build_range_scan: Some(index::index_build_range_scan),
    index_validate_scan: Some(index::index_validate_scan),

    relation_size: Some(size::relation_size),
    relation_needs_toast_table: Some(size::relation_needs_toast_table),
    relation_toast_am: Some(size::relation_toast_am),
    relation_fetch_toast_slice: Some(size::relation_fetch_toast_slice),

    relation_estimate_size: Some(size::relation_estimate_size),

    #[cfg(not(feature = "pg18"))]
    scan_bitmap_next_block: Some(bitmap::scan_bitmap_next_block),
    scan_bitmap_next_tuple: Some(bitmap::scan_bitmap_next_tuple),
    scan_sample_next_block: Some(sample::scan_sample_next_block),
    scan_sample_next_tuple: Some(sample::scan_sample_next_tuple),
});

/// Only its address is used, by PostgreSQL.
struct Routine(#[allow(dead_code)] pg_sys::TableAmRoutine);

// SAFETY: the routine is a table of function pointers that nobody writes to.
unsafe impl Sync for Routine {}
