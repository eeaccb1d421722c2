//! How the values of an index column become cells.
//!
//! A [`Codec`] turns a Datum into the [`Value`] that keycode makes a cell of. Which one a column gets
//! is decided by its operator family and input type, because they decide how values compare: every
//! builtin btree family whose order is kept has its line in `scalar`, `text` or `nested`. Families
//! are known by oid, which PostgreSQL fixes; a family admits one `<` for each pair of types, so nobody
//! can give a builtin family another order for a builtin type.
//!
//! | columns | cells are |
//! |---|---|
//! | numbers, dates, bytes, addresses, enums … (`scalar`) | ordered and exact |
//! | text whose collation orders bytes or has dependable sort keys (`text`, `collation`) | ordered and exact |
//! | arrays, composites, ranges and multiranges of such (`nested`) | ordered and exact |
//! | text of another collation | exact: the text, in no order |
//! | everything else (`hash`) | neither: a hash, or the same for all values |
//!
//! What an index's cells rest on and PostgreSQL does not keep for us: a collation's rules (they change with
//! the C library or ICU, as for btree), the positions of an enum's labels and the attributes of a composite
//! type (`ddl::retyped` has indexes built again when they change), and the hash functions, which differ
//! between byte orders.

mod agreement;
mod arena;
mod catalog;
mod collation;
mod hash;
mod nested;
mod scalar;
mod text;
mod varlena;

use std::rc::Rc;

use keycode::Value;
use pgrx::pg_sys::{Datum, InvalidOid, Oid};
use pgrx::prelude::*;

use arena::Arena;
use hash::Hash;
use nested::Nested;
use scalar::Scalar;
use text::Text;

/// How the values of one key column of an index become cells.
#[derive(Clone)]
pub(crate) struct Codec {
    class: Class,
    form: Form,
}

/// What decides how the values of a column compare.
#[derive(Clone, Copy)]
struct Class {
    /// The btree operator family.
    family: Oid,
    /// The input type of the operator class.
    input: Oid,
    /// The declared type of the column: for polymorphic classes, what the values are.
    column: Oid,
    /// Invalid if the type has none.
    collation: Oid,
}

#[derive(Clone)]
enum Form {
    Scalar(Scalar),
    Text(Text),
    Nested(Rc<Nested>),
    Hash(Hash),
}

impl Codec {
    /// The codec of a column. `family` and `input` are its operator class's family and input type,
    /// `column` is the declared type of the index's column, which differs from `input` for
    /// polymorphic classes, domains and `varchar`; `collation` is the column's, invalid if it has none.
    pub(crate) fn new(family: Oid, input: Oid, column: Oid, collation: Oid) -> Codec {
        let class = Class { family, input, column, collation };
        Codec { class, form: Form::of(class) }
    }

    /// Whether cells sort as the operator class sorts values.
    pub(crate) fn is_ordered(&self) -> bool {
        match &self.form {
            Form::Scalar(_) | Form::Nested(_) => true,
            Form::Text(text) => text.is_ordered(),
            Form::Hash(_) => false,
        }
    }

    /// Whether cells are equal exactly when values are, by the class's `=`. Otherwise equal values
    /// have equal cells, but not the other way round.
    pub(crate) fn is_exact(&self) -> bool {
        !matches!(self.form, Form::Hash(_))
    }

    /// The codec of operands of another type that a cross-type operator of the family compares with
    /// this column; `subtype` is that of the scan key. `None` if cells of such operands cannot be
    /// compared with this column's, so that the operator must be evaluated on each entry.
    pub(crate) fn for_operand(&self, subtype: Oid) -> Option<Codec> {
        let Class { input, column, .. } = self.class;
        if [InvalidOid, input, column].contains(&subtype) {
            return Some(self.clone());
        }
        let class = Class { input: subtype, column: subtype, ..self.class };
        let form = match &self.form {
            Form::Scalar(_) => Form::Scalar(scalar::of_operand(class, input)?),
            Form::Text(_) => Form::Text(text::of(class)?),
            Form::Nested(_) | Form::Hash(_) => return None,
        };
        Some(Codec { class, form })
    }

    /// Runs with a value that is not NULL as keycode sees it. Its toasted parts are fetched; what a
    /// function of PostgreSQL leaves behind stays in the current memory context.
    ///
    /// # Safety
    /// `datum` must be a live value of the codec's type, and not NULL.
    #[inline]
    pub(crate) unsafe fn with<R>(&self, datum: Datum, run: impl FnOnce(Value<'_>) -> R) -> R {
        let arena = Arena::default();
        // SAFETY: the caller's promise.
        run(unsafe { self.decode(datum, &arena) })
    }

    /// The value of a Datum. It borrows from the Datum and from the arena.
    ///
    /// # Safety
    /// As for [`Codec::with`], and the Datum must outlive the value.
    #[inline]
    unsafe fn decode<'a>(&self, datum: Datum, arena: &'a Arena) -> Value<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match &self.form {
                Form::Scalar(scalar) => scalar.decode(datum, arena),
                Form::Text(text) => text.decode(datum, arena),
                Form::Nested(nested) => nested.decode(datum, arena),
                Form::Hash(hash) => hash.decode(datum, arena),
            }
        }
    }
}

impl Form {
    fn of(class: Class) -> Form {
        let scalar = || scalar::of(class.family, class.input).map(Form::Scalar);
        let text = || text::of(class).map(Form::Text);
        let nested = || nested::of(class).map(|nested| Form::Nested(Rc::new(nested)));
        scalar().or_else(text).or_else(nested).unwrap_or_else(|| Form::Hash(Hash::of(class)))
    }
}

/// The codec of a type's values inside of a larger one, by the type's default operator class; `None`
/// unless its cells are ordered and exact, since then those of the larger value cannot be either.
fn inner(part: Oid, collation: Oid) -> Option<Codec> {
    // SAFETY: entries of the type cache live as long as the backend.
    let (family, input) = unsafe {
        let entry = pg_sys::lookup_type_cache(part, pg_sys::TYPECACHE_BTREE_OPFAMILY as i32);
        ((*entry).btree_opf, (*entry).btree_opintype)
    };
    if family == InvalidOid {
        return None;
    }
    reliable(Codec::new(family, input, part, collation))
}

fn reliable(codec: Codec) -> Option<Codec> {
    (codec.is_ordered() && codec.is_exact()).then_some(codec)
}
