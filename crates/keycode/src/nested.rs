//! Cells of values that are made of values: the inner cells are those of ascending columns.

use std::ops::Bound;

use crate::cell::{push, push_integer};
use crate::{Array, Order, Range, Value, lead};

/// Once elements and their end agree, so does their number, and the shape decides.
pub(crate) fn push_array(out: &mut Vec<u8>, array: Array<'_>) {
    out.push(lead::ARRAY);
    push_elements(out, array.elements);
    let dimensions = array.dimensions;
    debug_assert!(dimensions.len() <= 6, "PostgreSQL's arrays have up to six dimensions");
    out.push(dimensions.len() as u8);
    dimensions.iter().for_each(|dimension| push_integer(out, dimension.length.into()));
    dimensions.iter().for_each(|dimension| push_integer(out, dimension.lower_bound.into()));
}

pub(crate) fn push_record(out: &mut Vec<u8>, columns: &[Option<Value<'_>>]) {
    out.push(lead::RECORD);
    push_elements(out, columns);
}

pub(crate) fn push_multirange(out: &mut Vec<u8>, ranges: &[Range<'_>]) {
    out.push(lead::MULTIRANGE);
    ranges.iter().for_each(|range| push_range(out, *range));
    out.push(lead::END);
}

pub(crate) fn push_range(out: &mut Vec<u8>, range: Range<'_>) {
    match range {
        Range::Empty => out.push(lead::RANGE_EMPTY),
        Range::Bounds { lower, upper } => {
            out.push(lead::RANGE);
            push_lower(out, lower);
            push_upper(out, upper);
        }
    }
}

/// NULLs of arrays and records are equal to each other and above everything, as in `array_cmp` and
/// `record_cmp`.
fn push_elements(out: &mut Vec<u8>, elements: &[Option<Value<'_>>]) {
    for element in elements {
        match element {
            None => out.push(Order::ASCENDING.null()),
            Some(value) => push(out, value),
        }
    }
    out.push(lead::END);
}

fn push_lower(out: &mut Vec<u8>, bound: Bound<&Value<'_>>) {
    match bound {
        Bound::Unbounded => out.push(0),
        Bound::Included(value) => push_bound(out, 1, value, 0),
        Bound::Excluded(value) => push_bound(out, 1, value, 1),
    }
}

fn push_upper(out: &mut Vec<u8>, bound: Bound<&Value<'_>>) {
    match bound {
        Bound::Excluded(value) => push_bound(out, 0, value, 0),
        Bound::Included(value) => push_bound(out, 0, value, 1),
        Bound::Unbounded => out.push(1),
    }
}

fn push_bound(out: &mut Vec<u8>, finite: u8, value: &Value<'_>, side: u8) {
    out.push(finite);
    push(out, value);
    out.push(side);
}
