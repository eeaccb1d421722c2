//! Values that are made of others.

use std::ops::Bound;

use keycode::{Array, Dimension, Range, Value};
use pgrx::pg_sys::{Datum, InvalidOid, Oid};
use pgrx::prelude::*;

use super::arena::Arena;
use super::{Class, Codec, catalog, inner, reliable, varlena};
use crate::compat;
use crate::error::raise;

/// How a value is taken apart.
pub(super) enum Nested {
    Array(Elements),
    Record(Vec<Attribute>),
    Range(Bounds),
    Multirange(Bounds),
}

/// The elements of an array.
pub(super) struct Elements {
    element: Oid,
    length: i16,
    by_value: bool,
    align: core::ffi::c_char,
    codec: Codec,
}

/// An attribute of a composite type that was not dropped.
pub(super) struct Attribute {
    of: Oid,
    codec: Codec,
}

/// The bounds of a range.
pub(super) struct Bounds {
    /// The type cache's entry of the range type, which lives as long as the backend.
    range: *mut pg_sys::TypeCacheEntry,
    codec: Codec,
}

/// How columns of an operator class for nested types are taken apart; `None` for other classes, and
/// where a part has no cells that are ordered and exact.
pub(super) fn of(class: Class) -> Option<Nested> {
    // SAFETY: catalog lookups.
    let column = unsafe { pg_sys::getBaseType(class.column) };
    match (class.family.to_u32(), class.input) {
        (397, pg_sys::ANYARRAYOID) => Elements::of(column, class.collation).map(Nested::Array),
        (2994, pg_sys::RECORDOID) => attributes(column).map(Nested::Record),
        (3901, pg_sys::ANYRANGEOID) => Bounds::of(column).map(Nested::Range),
        (4199, pg_sys::ANYMULTIRANGEOID) => {
            // SAFETY: a catalog lookup.
            Bounds::of(unsafe { pg_sys::get_multirange_range(column) }).map(Nested::Multirange)
        }
        _ => None,
    }
}

impl Nested {
    /// The value of a Datum.
    ///
    /// # Safety
    /// `datum` must be of the type and outlive the value.
    pub(super) unsafe fn decode<'a>(&self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Nested::Array(elements) => Value::Array(elements.decode(datum, arena)),
                Nested::Record(attributes) => record(attributes, datum, arena),
                Nested::Range(bounds) => {
                    Value::Range(bounds.decode(varlena::whole(datum, arena), arena))
                }
                Nested::Multirange(bounds) => bounds.decode_many(datum, arena),
            }
        }
    }
}

impl Elements {
    fn of(array: Oid, collation: Oid) -> Option<Elements> {
        // SAFETY: catalog lookups.
        unsafe {
            let element = pg_sys::get_element_type(array);
            if element == InvalidOid {
                return None;
            }
            let codec = inner(element, collation)?;
            let (mut length, mut by_value, mut align) = (0, false, 0);
            pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut align);
            Some(Elements { element, length, by_value, align, codec })
        }
    }

    unsafe fn decode<'a>(&self, datum: Datum, arena: &'a Arena) -> Array<'a> {
        // SAFETY: the caller's promise; the dimensions and then their lower bounds lie behind the
        // array's header.
        unsafe {
            let array = varlena::whole::<pg_sys::ArrayType>(datum, arena);
            let count = (*array).ndim as usize;
            let numbers = std::slice::from_raw_parts(array.add(1).cast::<i32>(), 2 * count);
            let (lengths, lower_bounds) = numbers.split_at(count);
            let dimensions = lengths.iter().zip(lower_bounds);
            let dimensions =
                dimensions.map(|(&length, &lower_bound)| Dimension { length, lower_bound });
            let dimensions = arena.keep(dimensions.collect());
            Array { elements: self.elements(array, arena), dimensions }
        }
    }

    unsafe fn elements<'a>(
        &self,
        array: *mut pg_sys::ArrayType,
        arena: &'a Arena,
    ) -> &'a [Option<Value<'a>>] {
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        // SAFETY: the caller's promise; PostgreSQL allocates both arrays with `count` elements, which
        // themselves are Datums or pointers into the array.
        unsafe {
            pg_sys::deconstruct_array(
                array,
                self.element,
                self.length.into(),
                self.by_value,
                self.align,
                &mut values,
                &mut nulls,
                &mut count,
            );
            arena.own(values.cast());
            arena.own(nulls.cast());
            let part = |i| (!*nulls.add(i)).then(|| self.codec.decode(*values.add(i), arena));
            arena.keep((0..count as usize).map(part).collect())
        }
    }
}

/// The attributes of a named composite type; `None` for anonymous ones, whose attributes are known
/// only from each value.
fn attributes(composite: Oid) -> Option<Vec<Attribute>> {
    if composite == pg_sys::RECORDOID {
        return None;
    }
    let descriptor = Descriptor::of(composite, -1);
    descriptor
        .live()
        .map(|(_, attribute)| {
            let of = attribute.atttypid;
            Some(Attribute { of, codec: inner(of, attribute.attcollation)? })
        })
        .collect()
}

unsafe fn record<'a>(attributes: &[Attribute], datum: Datum, arena: &'a Arena) -> Value<'a> {
    // SAFETY: the caller's promise; the values of a composite point into it.
    unsafe {
        let header = varlena::whole::<pg_sys::HeapTupleHeaderData>(datum, arena);
        let fields = (*header).t_choice.t_datum;
        let descriptor = Descriptor::of(fields.datum_typeid, fields.datum_typmod);
        descriptor.require(attributes);
        let (values, nulls) = descriptor.deform(header);
        let parts = descriptor.live().zip(attributes).map(|((i, _), attribute)| {
            (!nulls[i]).then(|| attribute.codec.decode(values[i], arena))
        });
        Value::Record(arena.keep(parts.collect()))
    }
}

/// The descriptor of a composite type, pinned.
struct Descriptor(pg_sys::TupleDesc);

impl Descriptor {
    fn of(composite: Oid, typmod: i32) -> Descriptor {
        // SAFETY: raises an error for types that are not composite.
        Descriptor(unsafe { pg_sys::lookup_rowtype_tupdesc(composite, typmod) })
    }

    /// The attributes that were not dropped, and their positions.
    fn live(&self) -> impl Iterator<Item = (usize, &pg_sys::FormData_pg_attribute)> {
        // SAFETY: the descriptor is pinned.
        let attributes = (0..unsafe { (*self.0).natts } as usize)
            .map(|i| (i, unsafe { crate::pg::attribute(self.0, i) }));
        attributes.filter(|(_, attribute)| !attribute.attisdropped)
    }

    /// Refuses a value that is not made of the attributes that the column's values are made of, as
    /// `record_cmp` does.
    fn require(&self, attributes: &[Attribute]) {
        if !self.live().map(|(_, its)| its.atttypid).eq(attributes.iter().map(|its| its.of)) {
            raise(
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                "cannot compare record types with different columns",
                "If the type of an indexed column was altered, reconnect and reindex its table.",
            );
        }
    }

    /// The attributes of a value, dropped ones included.
    unsafe fn deform(&self, header: *mut pg_sys::HeapTupleHeaderData) -> (Vec<Datum>, Vec<bool>) {
        // SAFETY: the caller's promise that the value is of this type; the vectors have an element for
        // each of its attributes.
        unsafe {
            let count = (*self.0).natts as usize;
            let (mut values, mut nulls) = (vec![Datum::from(0); count], vec![true; count]);
            let mut tuple = pg_sys::HeapTupleData {
                t_len: pgrx::varsize(header.cast()) as u32,
                t_data: header,
                ..Default::default()
            };
            let (to, to_nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::heap_deform_tuple(&mut tuple, self.0, to, to_nulls);
            (values, nulls)
        }
    }
}

impl Drop for Descriptor {
    /// After an error PostgreSQL's resource owner lets go of the pin.
    fn drop(&mut self) {
        // SAFETY: pinned by `of`; descriptors with a negative count are not counted.
        unsafe {
            if (*self.0).tdrefcount >= 0 && !std::thread::panicking() {
                pg_sys::DecrTupleDescRefCount(self.0);
            }
        }
    }
}

impl Bounds {
    fn of(range: Oid) -> Option<Bounds> {
        let class = subtype_class(range)?;
        // SAFETY: entries of the type cache live as long as the backend; with this flag they have the
        // subtype's if the type is a range.
        unsafe {
            let entry = pg_sys::lookup_type_cache(range, pg_sys::TYPECACHE_RANGE_INFO as i32);
            let family = pg_sys::get_opclass_family(class);
            let input = pg_sys::get_opclass_input_type(class);
            let subtype = (*(*entry).rngelemtype).type_id;
            let codec = reliable(Codec::new(family, input, subtype, (*entry).rng_collation))?;
            Some(Bounds { range: entry, codec })
        }
    }

    unsafe fn decode<'a>(&self, range: *const pg_sys::RangeType, arena: &'a Arena) -> Range<'a> {
        let (mut lower, mut upper, mut empty) = Default::default();
        // SAFETY: the caller's promise; the bounds' values are Datums or pointers into the range.
        unsafe {
            pg_sys::range_deserialize(self.range, range, &mut lower, &mut upper, &mut empty);
            if empty {
                return Range::Empty;
            }
            Range::Bounds { lower: self.bound(lower, arena), upper: self.bound(upper, arena) }
        }
    }

    unsafe fn bound<'a>(
        &self,
        bound: pg_sys::RangeBound,
        arena: &'a Arena,
    ) -> Bound<&'a Value<'a>> {
        if bound.infinite {
            return Bound::Unbounded;
        }
        // SAFETY: the caller's promise.
        let value = arena.keep_one(unsafe { self.codec.decode(bound.val, arena) });
        if bound.inclusive { Bound::Included(value) } else { Bound::Excluded(value) }
    }

    unsafe fn decode_many<'a>(&self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        // SAFETY: the caller's promise; each range is a copy that the arena frees.
        unsafe {
            let multirange = varlena::whole::<pg_sys::varlena>(datum, arena);
            let ranges = (0..compat::multirange_count(multirange)).map(|i| {
                let range = compat::multirange_get_range(self.range, multirange, i);
                self.decode(arena.own(range.cast()).cast(), arena)
            });
            Value::Multirange(arena.keep(ranges.collect()))
        }
    }
}

/// The operator class by which a range type orders its subtype.
fn subtype_class(range: Oid) -> Option<Oid> {
    /// `Anum_pg_range_rngsubopc`
    const CLASS: u32 = 5;
    catalog::value(pg_sys::SysCacheIdentifier::RANGETYPE, range, CLASS)
}
