//! PostgreSQL's catalog as it is now, read by queries.
//!
//! A transaction may be as old as it likes, and the catalog is not. What pgrx's SPI reads it reads as of
//! the transaction's snapshot once the transaction has written, so this does without it.

use std::ffi::CString;

use pgrx::prelude::*;

use crate::error::raise;

/// A row of an answer.
pub(super) struct Row {
    tuple: pg_sys::HeapTuple,
    desc: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column, counted from 1; `None` if it is null.
    pub(super) fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: the tuple is of this descriptor, and `select` gives out no column's memory.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.desc, column, &raw mut null);
            T::from_datum(datum, null)
        }
    }
}

/// What a query that only reads says of the catalog, with the user's own rights. Its arguments are types
/// and values; `take` must keep nothing of a row's own memory.
pub(super) fn select<T>(
    query: &str,
    args: &[(pg_sys::Oid, Option<pg_sys::Datum>)],
    take: impl FnMut(Row) -> T,
) -> Vec<T> {
    let query = CString::new(query).expect("our queries have no zero byte");
    let mut types: Vec<_> = args.iter().map(|(of, _)| *of).collect();
    let mut values: Vec<_> =
        args.iter().map(|(_, value)| value.unwrap_or(pg_sys::Datum::null())).collect();
    let nulls: Vec<_> = args
        .iter()
        .map(|(_, value)| if value.is_none() { b'n' } else { b' ' } as core::ffi::c_char)
        .collect();
    // SAFETY: as many types as values, of these types; an error ends the connection by itself.
    with_snapshot(|| unsafe {
        let connected = pg_sys::SPI_connect();
        if connected != pg_sys::SPI_OK_CONNECT as i32 {
            refuse(connected);
        }
        let status = pg_sys::SPI_execute_with_args(
            query.as_ptr(),
            types.len() as i32,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            true,
            0,
        );
        if status != pg_sys::SPI_OK_SELECT as i32 {
            refuse(status);
        }
        let (table, count) = (pg_sys::SPI_tuptable, pg_sys::SPI_processed as usize);
        let desc = (*table).tupdesc;
        let rows = (0..count).map(|i| Row { tuple: *(*table).vals.add(i), desc });
        let taken = rows.map(take).collect();
        pg_sys::SPI_finish();
        taken
    })
}

fn refuse(status: i32) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        format!("fakegres cannot read the catalog: SPI says {status}"),
        "",
    )
}

/// Runs with a snapshot that sees what this transaction did and others have committed, and no schema but
/// PostgreSQL's own in the search path.
fn with_snapshot<R>(run: impl FnOnce() -> R) -> R {
    // SAFETY: the snapshot and the setting are put back below, or by the abort.
    let level = unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        level
    };
    let result = run();
    // SAFETY: what was pushed above.
    unsafe {
        pg_sys::AtEOXact_GUC(true, level);
        pg_sys::PopActiveSnapshot();
    }
    result
}
