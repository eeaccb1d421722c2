//! Small safe handles over what PostgreSQL gives as raw pointers.

use std::ffi::{CStr, CString};
use std::ops::Deref;

use pgrx::prelude::*;

use crate::error::raise;

/// A variable of the backend. PostgreSQL's processes have one thread each, and a plain static costs
/// less than a thread's own variable where it is looked at for every row.
pub(crate) struct PerBackend<T>(pub(crate) T);

// SAFETY: only the backend's one thread ever uses it.
unsafe impl<T> Sync for PerBackend<T> {}

impl<T> Deref for PerBackend<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The name of an open relation.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn relation_name(relation: pg_sys::Relation) -> String {
    // SAFETY: a relation's name is a terminated string.
    let name = unsafe { CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()) };
    name.to_string_lossy().into_owned()
}

/// An attribute of a tuple descriptor, from 0.
///
/// # Safety
/// `desc` must be live and have more than `i` attributes.
pub(crate) unsafe fn attribute<'a>(
    desc: pg_sys::TupleDesc,
    i: usize,
) -> &'a pg_sys::FormData_pg_attribute {
    // SAFETY: the caller's promise; the descriptor is an array of attributes.
    #[cfg(not(feature = "pg18"))]
    unsafe {
        &(*desc).attrs.as_slice((*desc).natts as usize)[i]
    }
    // SAFETY: the caller's promise; the attributes lie behind the compact ones.
    #[cfg(feature = "pg18")]
    unsafe {
        let natts = (*desc).natts as usize;
        let compact = (*desc).compact_attrs.as_ptr();
        &*compact.add(natts).cast::<pg_sys::FormData_pg_attribute>().add(i)
    }
}

/// The access method of a relation by its oid; invalid if there is no such relation.
pub(crate) fn access_method(relation: pg_sys::Oid) -> pg_sys::Oid {
    class_form(relation, |class| class.relam).unwrap_or(pg_sys::InvalidOid)
}

/// Reads a relation's row of `pg_class`.
pub(crate) fn class_form<R>(
    relation: pg_sys::Oid,
    read: impl FnOnce(&pg_sys::FormData_pg_class) -> R,
) -> Option<R> {
    // SAFETY: the tuple is pinned between the search and the release.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, relation.into());
        if tuple.is_null() {
            return None;
        }
        let result = read(&*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>());
        pg_sys::ReleaseSysCache(tuple);
        Some(result)
    }
}

/// Oid of the fakegres access method in this database; invalid without the extension.
pub(crate) fn fakegres() -> pg_sys::Oid {
    // SAFETY: a catalog lookup.
    unsafe { pg_sys::get_table_am_oid(c"fakegres".as_ptr(), true) }
}

/// Oid of the index access method in this database; invalid without the extension.
pub(crate) fn fakegres_index() -> pg_sys::Oid {
    // SAFETY: a catalog lookup.
    unsafe { pg_sys::get_index_am_oid(c"fakegres_index".as_ptr(), true) }
}

/// The handler function of an access method.
pub(crate) fn handler_of(method: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: the tuple is pinned between the search and the release.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::AMOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, method.into());
        if tuple.is_null() {
            return pg_sys::InvalidOid;
        }
        let handler = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_am>()).amhandler;
        pg_sys::ReleaseSysCache(tuple);
        handler
    }
}

/// Whether a relation is a fakegres table.
pub(crate) fn is_fakegres(relation: pg_sys::Oid) -> bool {
    let method = fakegres();
    method != pg_sys::InvalidOid && access_method(relation) == method
}

/// Microseconds since the Unix epoch of a timestamp as a user writes it.
pub(crate) fn parse_timestamp(text: &str) -> u64 {
    const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
    let bad = || -> ! {
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("\"{text}\" is no moment to read as of"),
            "Write a timestamp with time zone, such as '2026-01-31 12:00:00+00'.",
        )
    };
    let Ok(string) = CString::new(text) else { bad() };
    // SAFETY: timestamptz_in takes a string, an oid and a type modifier.
    let micros = unsafe {
        pg_sys::OidInputFunctionCall(
            pg_sys::Oid::from(pg_sys::F_TIMESTAMPTZ_IN),
            string.as_ptr().cast_mut(),
            pg_sys::InvalidOid,
            -1,
        )
    };
    u64::try_from((micros.value() as i64).saturating_add(POSTGRES_EPOCH)).unwrap_or_else(|_| bad())
}

/// Which way a scan goes.
pub(crate) fn direction(direction: pg_sys::ScanDirection::Type) -> kv::Direction {
    if direction == pg_sys::ScanDirection::BackwardScanDirection {
        kv::Direction::Backward
    } else {
        kv::Direction::Forward
    }
}

/// Text out of a `char *` that PostgreSQL allocated.
///
/// # Safety
/// `text` must be null or a terminated string.
pub(crate) unsafe fn string(text: *const core::ffi::c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
