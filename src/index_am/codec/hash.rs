//! Values of which nothing but equality is kept.

use keycode::Value;
use pgrx::pg_sys::{Datum, InvalidOid, Oid};
use pgrx::prelude::*;

use super::Class;
use super::arena::Arena;

/// Where equal bytes of equal values come from.
#[derive(Clone, Copy)]
pub(super) enum Hash {
    /// The extended hash function of the type's default hash class.
    Function {
        /// The type cache's entry of the type, which lives as long as the backend.
        entry: *mut pg_sys::TypeCacheEntry,
        collation: Oid,
    },
    /// All values have the same bytes: the type has no hash function that goes with the operator
    /// class's `=`, as under `record_image_ops`.
    Same,
}

impl Hash {
    pub(super) fn of(class: Class) -> Hash {
        let flags = pg_sys::TYPECACHE_HASH_OPFAMILY | pg_sys::TYPECACHE_HASH_EXTENDED_PROC_FINFO;
        // SAFETY: entries of the type cache live as long as the backend.
        unsafe {
            let entry = pg_sys::lookup_type_cache(class.column, flags as i32);
            let (family, input) = ((*entry).hash_opf, (*entry).hash_opintype);
            let equal = equality(class.family, class.input, pg_sys::BTEqualStrategyNumber);
            let agrees = equal != InvalidOid
                && family != InvalidOid
                && equality(family, input, pg_sys::HTEqualStrategyNumber) == equal;
            if agrees && (*entry).hash_extended_proc != InvalidOid {
                Hash::Function { entry, collation: class.collation }
            } else {
                Hash::Same
            }
        }
    }

    /// The value of a Datum.
    ///
    /// # Safety
    /// `datum` must be of the type.
    pub(super) unsafe fn decode<'a>(self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        let Hash::Function { entry, collation } = self else { return Value::Unordered(&[]) };
        // SAFETY: the caller's promise; an extended hash function takes a value and a seed.
        let hash = unsafe {
            let function = &raw mut (*entry).hash_extended_proc_finfo;
            pg_sys::FunctionCall2Coll(function, collation, datum, Datum::from(0_i64))
        };
        Value::Unordered(arena.keep(hash.value().to_be_bytes().to_vec()))
    }
}

/// The operator by which a family tells whether two values of a type are equal.
fn equality(family: Oid, input: Oid, strategy: u32) -> Oid {
    // SAFETY: a catalog lookup.
    unsafe { pg_sys::get_opfamily_member(family, input, input, strategy as i16) }
}
