//! Cells of `jsonb`: numbers of elements before elements, so that no end marks are needed.

use crate::cell::{push as push_value, push_integer};
use crate::{Json, Member, lead, numeric};

/// `jsonb` wraps a scalar that is alone into an array. That array is before a true one of the same
/// length, and only then: `compareJsonbContainers` lets the length overrule the difference, so the
/// empty array is before all scalars.
const FALSE_ARRAY: u8 = 0;
const TRUE_ARRAY: u8 = 1;

/// Appends the cell of a whole `jsonb`.
pub(crate) fn push(out: &mut Vec<u8>, json: Json<'_>) {
    match json {
        Json::Array(_) | Json::Object(_) => push_part(out, json),
        scalar => push_array(out, FALSE_ARRAY, &[scalar]),
    }
}

fn push_part(out: &mut Vec<u8>, json: Json<'_>) {
    match json {
        Json::Null => out.push(lead::JSON_NULL),
        Json::String(string) => {
            out.push(lead::JSON_STRING);
            push_value(out, string);
        }
        Json::Number(number) => {
            out.push(lead::JSON_NUMBER);
            numeric::push(out, number);
        }
        Json::Bool(value) => out.push(if value { lead::JSON_TRUE } else { lead::JSON_FALSE }),
        Json::Array(elements) => push_array(out, TRUE_ARRAY, elements),
        Json::Object(members) => push_object(out, members),
    }
}

fn push_array(out: &mut Vec<u8>, kind: u8, elements: &[Json<'_>]) {
    out.push(lead::JSON_ARRAY);
    push_integer(out, elements.len() as i128);
    out.push(kind);
    elements.iter().for_each(|element| push_part(out, *element));
}

fn push_object(out: &mut Vec<u8>, members: &[Member<'_>]) {
    out.push(lead::JSON_OBJECT);
    push_integer(out, members.len() as i128);
    for Member { key, value } in members {
        push_value(out, key);
        push_part(out, *value);
    }
}
