//! The bytes of values of variable length.

use pgrx::pg_sys::Datum;
use pgrx::prelude::*;

use super::arena::Arena;

/// The bytes behind the header of a value, in line and uncompressed. They may be at any address.
///
/// # Safety
/// `datum` must be a varlena that outlives the bytes.
#[inline]
pub(super) unsafe fn bytes(datum: Datum, arena: &Arena) -> &[u8] {
    // SAFETY: the caller's promise; what was fetched lives in the arena.
    unsafe {
        let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        let varlena = if pgrx::varatt_is_1b_e(varlena) || pgrx::varatt_is_4b_c(varlena) {
            arena.own(pg_sys::pg_detoast_datum_packed(varlena))
        } else {
            varlena
        };
        let start = pgrx::vardata_any(varlena).cast::<u8>();
        std::slice::from_raw_parts(start, pgrx::varsize_any_exhdr(varlena))
    }
}

/// The value with its long header, as PostgreSQL's functions for arrays, composites and ranges take it.
///
/// # Safety
/// As for [`bytes`].
pub(super) unsafe fn whole<T>(datum: Datum, arena: &Arena) -> *mut T {
    // SAFETY: the caller's promise; what was fetched lives in the arena.
    unsafe {
        let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        if pgrx::varatt_is_4b_u(varlena) {
            varlena.cast()
        } else {
            arena.own(pg_sys::pg_detoast_datum(varlena)).cast()
        }
    }
}
