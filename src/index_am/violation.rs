//! Reporting that a key is there twice.
//!
//! Clients look at the table and constraint that such an error names. They do not pass a guard, so the
//! error is raised outside of one: by a frame that owns nothing, with words that were made inside.

use std::cell::Cell;
use std::ffi::{CStr, c_char};

use pgrx::prelude::*;

use crate::error::{errcode, errdetail, errfinish, errmsg, errstart, errtableconstraint};
use crate::pg::PerBackend;

/// The key in words, unless the user may not see it.
static KEY: PerBackend<Cell<*const c_char>> = PerBackend(Cell::new(std::ptr::null()));

/// A key that another row has.
pub(super) struct Duplicate;

/// Notes the key that is there twice.
///
/// # Safety
/// `relation` must be an open index, and `values` and `nulls` have an element for each of its columns.
pub(super) unsafe fn note(
    relation: pg_sys::Relation,
    values: &[pg_sys::Datum],
    nulls: &[bool],
) -> Duplicate {
    // SAFETY: the caller's promise.
    unsafe {
        let (values, nulls) = (values.as_ptr().cast_mut(), nulls.as_ptr().cast_mut());
        KEY.set(pg_sys::BuildIndexValueDescription(relation, values, nulls));
    }
    Duplicate
}

/// Raises 23505 in the words of btree, or of its sort while an index is built.
///
/// # Safety
/// The relations must be open, and the caller's frame own nothing: the error jumps over it.
pub(super) unsafe fn report(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    message: &CStr,
    with_key: &CStr,
    without: &CStr,
) -> ! {
    // SAFETY: the caller's promise; the formats take the strings that they are given.
    unsafe {
        let name = (*(*relation).rd_rel).relname.data.as_ptr();
        errstart(PgLogLevel::ERROR as i32, std::ptr::null());
        errcode(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION as i32);
        errmsg(message.as_ptr(), name);
        let key = KEY.get();
        if !key.is_null() {
            errdetail(with_key.as_ptr(), key);
        } else if !without.is_empty() {
            errdetail(without.as_ptr());
        }
        errtableconstraint(heap, name);
        errfinish(c"fakegres".as_ptr(), 0, c"fakegres".as_ptr());
    }
    unreachable!("an error was reported")
}
