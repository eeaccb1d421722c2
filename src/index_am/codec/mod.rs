//! How the values of an index column become cells.

use keycode::Value;
use pgrx::prelude::*;

#[derive(Clone)]
pub(crate) struct Codec { kind: u32 }

impl Codec {
    pub(crate) fn new(family: pg_sys::Oid, input: pg_sys::Oid, _column: pg_sys::Oid, collation: pg_sys::Oid) -> Codec {
        let kind = match (family.to_u32(), input.to_u32(), collation.to_u32()) {
            (1976, t, _) => t,
            (1994, 25, _) => 25,
            _ => 0,
        };
        Codec { kind }
    }
    pub(crate) fn is_ordered(&self) -> bool { self.kind != 0 }
    pub(crate) fn is_exact(&self) -> bool { self.kind != 0 }
    pub(crate) fn for_operand(&self, subtype: pg_sys::Oid) -> Option<Codec> {
        if subtype == pg_sys::InvalidOid || subtype.to_u32() == self.kind { return Some(self.clone()); }
        if [20, 21, 23].contains(&self.kind) && [20, 21, 23].contains(&subtype.to_u32()) { return Some(Codec { kind: subtype.to_u32() }); }
        None
    }
    pub(crate) unsafe fn with<R>(&self, datum: pg_sys::Datum, run: impl FnOnce(Value<'_>) -> R) -> R {
        match self.kind {
            20 => run(Value::Integer(datum.value() as i64)),
            21 => run(Value::Integer(datum.value() as i16 as i64)),
            23 => run(Value::Integer(datum.value() as i32 as i64)),
            25 => unsafe { let v = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr()); run(Value::Bytes(pgrx::varlena_to_byte_slice(v))) },
            _ => run(Value::Unordered(&[])),
        }
    }
}
