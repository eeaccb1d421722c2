//! Text: `text`, `varchar`, `bpchar` and `name`.

use std::ffi::CStr;

use keycode::{Value, strip_blanks};
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;

use super::arena::Arena;
use super::collation::{self, Rule};
use super::{Class, varlena};

/// How text is read and what orders it.
#[derive(Clone, Copy)]
pub(super) struct Text {
    layout: Layout,
    rule: Rule,
}

#[derive(Clone, Copy)]
enum Layout {
    /// `text`, and `varchar`, which has no operators of its own.
    Plain,
    /// `bpchar`, whose trailing blanks mean nothing.
    Padded,
    /// `name`: of fixed length, ended by a zero.
    Name,
}

/// The text of a builtin family and one of its input types. The `*_pattern_ops` order bytes, whatever
/// the collation.
pub(super) fn of(class: Class) -> Option<Text> {
    let collated = || collation::rule(class.collation);
    let (layout, rule) = match (class.family.to_u32(), class.input) {
        (1994, pg_sys::TEXTOID) => (Layout::Plain, collated()),
        (1994, pg_sys::NAMEOID) => (Layout::Name, collated()),
        (426, pg_sys::BPCHAROID) => (Layout::Padded, collated()),
        (2095, pg_sys::TEXTOID) => (Layout::Plain, Rule::Bytes),
        (2097, pg_sys::BPCHAROID) => (Layout::Padded, Rule::Bytes),
        _ => return None,
    };
    Some(Text { layout, rule })
}

impl Text {
    pub(super) fn is_ordered(self) -> bool {
        !matches!(self.rule, Rule::Unknown)
    }

    /// The value of a Datum.
    ///
    /// # Safety
    /// `datum` must be of the type and outlive the value.
    #[inline]
    pub(super) unsafe fn decode<'a>(self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        // SAFETY: the caller's promise.
        let text = unsafe { self.layout.text(datum, arena) };
        match self.rule {
            Rule::Bytes => Value::Bytes(text),
            Rule::SortKeys { locale, deterministic } => {
                let mut sort_key = Vec::new();
                locale.sort_key(text, &mut sort_key);
                let tiebreak = deterministic.then_some(text);
                Value::Collated { sort_key: arena.keep(sort_key), tiebreak }
            }
            // Collations without sort keys are deterministic: what is equal has the same bytes.
            Rule::Unknown => Value::Unordered(text),
        }
    }
}

impl Layout {
    #[inline]
    unsafe fn text(self, datum: Datum, arena: &Arena) -> &[u8] {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Layout::Plain => varlena::bytes(datum, arena),
                Layout::Padded => strip_blanks(varlena::bytes(datum, arena)),
                Layout::Name => CStr::from_ptr(datum.cast_mut_ptr()).to_bytes(),
            }
        }
    }
}
