//! Single values out of PostgreSQL's catalogs.

use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// An attribute, counted from 1, of the row that a catalog cache has under an oid; `None` if there is
/// no such row or the attribute is NULL.
pub(super) fn value<T: FromDatum>(
    cache: pg_sys::SysCacheIdentifier::Type,
    key: Oid,
    attribute: u32,
) -> Option<T> {
    // SAFETY: the tuple is pinned between the search and the release; the value is copied.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache as i32, key.into());
        if tuple.is_null() {
            return None;
        }
        let mut null = false;
        let datum = pg_sys::SysCacheGetAttr(cache as i32, tuple, attribute as i16, &mut null);
        let value = T::from_datum(datum, null);
        pg_sys::ReleaseSysCache(tuple);
        value
    }
}
