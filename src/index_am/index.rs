//! What a backend knows of a fakegres index: its space, and how its entries are made.
//!
//! Kept per backend and tied to PostgreSQL's relation cache, as tables are (see `table`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use keycode::{Encoder, Order};
use kv::Page;
use mvcc::Newest;
use pgrx::prelude::*;
use relation::{RowId, entry, key};

use super::codec::Codec;
use super::form;
use crate::changes;
use crate::error::raise_in;
use crate::pg::PerBackend;
use crate::table::{self, Table};
use crate::transaction::Active;

/// Largest index tuple, as btree has it (`BTMaxItemSize`).
const LARGEST_TUPLE: usize = 2704;
/// Bytes of an index tuple in front of `t_info`: there the body of an entry has the row id.
const TUPLE_HEAD: usize = 6;
/// The bits of `t_info` that hold the tuple's length.
const SIZE_MASK: u16 = 0x1fff;
/// The bit of `t_info` that says that a value is NULL.
const NULL_MASK: u16 = 0x8000;

const _: () = assert!(entry::HEADER == TUPLE_HEAD);

/// A fakegres index, as this backend knows it.
pub(crate) struct Index {
    /// Its oid, and where its entries are.
    pub(crate) stored: Rc<Table>,
    /// Its key columns.
    pub(crate) columns: Vec<Column>,
    /// How uniqueness is kept.
    pub(crate) rule: Rule,
    /// Others may wait for a row to lose its entry: the index is unique, or of an exclusion
    /// constraint.
    pub(crate) excludes: bool,
    /// Every row has its entry: the index is not being built beside the running transactions.
    pub(crate) complete: bool,
    /// Values or the condition are computed, by functions that may be replaced.
    pub(crate) computed: bool,
    /// Rows with a NULL in a key column are unique too.
    pub(crate) nulls_not_distinct: bool,
    /// How long the rows that a scan found were on average, last time; zero if that is not known.
    pub(super) row_bytes: Cell<usize>,
    prefix: Vec<u8>,
}

/// A key column.
pub(crate) struct Column {
    pub(crate) codec: Codec,
    pub(crate) order: Order,
}

/// How an index keeps its rows apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// It does not.
    Any,
    /// The cells are the key: a second row would have the same one.
    Key,
    /// Entries have their row's id in the key, and whoever adds one looks at all with its cells:
    /// the constraint is deferrable, or cells do not tell all values apart.
    Search,
}

/// An entry to be.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The key, with the row id if it belongs there.
    pub(crate) key: Vec<u8>,
    /// How much of the key is cells.
    pub(crate) cells: usize,
    pub(crate) body: Vec<u8>,
    /// Whether another row must not have the same cells, as the index promises.
    pub(crate) unique: bool,
}

struct Cache {
    indexes: BTreeMap<u64, Rc<Index>>,
    last: u64,
}

static CACHE: PerBackend<RefCell<Cache>> =
    PerBackend(RefCell::new(Cache { indexes: BTreeMap::new(), last: 0 }));

/// The index behind an open relation.
///
/// # Safety
/// `relation` must be an open index of the fakegres access method.
pub(crate) unsafe fn of(relation: pg_sys::Relation) -> Rc<Index> {
    // SAFETY: the caller's promise; PostgreSQL frees rd_amcache when anything about the index changes.
    let number = unsafe { (*relation).rd_amcache.cast::<u64>().as_ref() };
    if let Some(number) = number
        && let Some(index) = CACHE.borrow().indexes.get(number).cloned()
    {
        return index;
    }
    // SAFETY: the caller's promise.
    unsafe { load(relation) }
}

unsafe fn load(relation: pg_sys::Relation) -> Rc<Index> {
    // SAFETY: the caller's promise; the number is a small allocation in the context from which
    // PostgreSQL frees rd_amcache.
    unsafe {
        let stored = table::find(relation);
        let index = Rc::new(Index::new(relation, stored));
        let number = pg_sys::MemoryContextAlloc((*relation).rd_indexcxt, size_of::<u64>());
        let cache = &mut *CACHE.borrow_mut();
        cache.indexes.retain(|_, other| other.stored.oid != (*relation).rd_id);
        cache.last += 1;
        *number.cast::<u64>() = cache.last;
        (*relation).rd_amcache = number;
        cache.indexes.insert(cache.last, Rc::clone(&index));
        index
    }
}

/// An entry as it is now, by who has locked its cells or its row. Over a network, the entries behind it
/// are looked at too if it is one of many: nobody of this server changes an entry whose cells or row
/// are locked by another, and who did before that said so.
pub(crate) fn newest_ahead(
    active: &mut Active,
    index: &Index,
    key: &[u8],
    page: &mut Page,
) -> kv::Result<Newest> {
    let zero = index.stored.zero(active)?;
    if active.session.store.limits().local || !index.complete {
        return active.store.newest(key, zero, page);
    }
    let (_, end) = index.range();
    active.store.newest_ahead(key, &end, zero, page, |version| changes::none_since(version, key))
}

impl Index {
    unsafe fn new(relation: pg_sys::Relation, stored: Rc<Table>) -> Index {
        // SAFETY: the relation is an open index: its arrays have an element for each key column.
        unsafe {
            let form = &*(*relation).rd_index;
            let count = form.indnkeyatts as usize;
            let columns: Vec<Column> = (0..count).map(|i| Column::new(relation, i)).collect();
            let exact = columns.iter().all(|column| column.codec.is_exact());
            let rule = match (form.indisunique, form.indimmediate && exact) {
                (false, _) => Rule::Any,
                (true, true) => Rule::Key,
                (true, false) => Rule::Search,
            };
            let prefix = key::entries_prefix(stored.space);
            let nulls_not_distinct = form.indnullsnotdistinct;
            let excludes = form.indisunique || form.indisexclusion;
            let complete = form.indisvalid;
            let computed = form::is_computed(relation);
            Index {
                stored,
                columns,
                rule,
                excludes,
                complete,
                computed,
                nulls_not_distinct,
                row_bytes: Cell::new(0),
                prefix,
            }
        }
    }

    /// What the keys of all entries begin with.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// First key of the index's entries, and first key after them.
    pub(crate) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        (self.prefix.clone(), key::after_prefix(&self.prefix))
    }

    /// Whether entries come in the order that the operator classes promise.
    pub(crate) fn is_ordered(&self) -> bool {
        self.columns.iter().all(|column| column.codec.is_ordered())
    }

    /// Whether equal cells mean equal values.
    pub(crate) fn is_exact(&self) -> bool {
        self.columns.iter().all(|column| column.codec.is_exact())
    }

    /// The prefix and the cells of a row, before they are shortened.
    ///
    /// # Safety
    /// `values` and `nulls` must have an element for each key column, of its type.
    pub(crate) unsafe fn full_cells(&self, values: &[pg_sys::Datum], nulls: &[bool]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 24);
        key.extend_from_slice(&self.prefix);
        for (i, column) in self.columns.iter().enumerate() {
            if nulls[i] {
                Encoder::new(&mut key).column(column.order, None);
            } else {
                // SAFETY: the caller's promise.
                unsafe {
                    column.codec.with(values[i], |value| {
                        Encoder::new(&mut key).column(column.order, Some(value));
                    });
                }
            }
        }
        key
    }

    /// The key of a row's entry where it is all cells, so that no two rows have the same.
    ///
    /// # Safety
    /// As for [`Index::full_cells`].
    pub(crate) unsafe fn sole_key(
        &self,
        values: &[pg_sys::Datum],
        nulls: &[bool],
    ) -> Option<Vec<u8>> {
        if self.rule != Rule::Key || !self.keeps_apart(nulls) {
            return None;
        }
        // SAFETY: the caller's promise.
        let mut key = unsafe { self.full_cells(values, nulls) };
        keycode::shorten(&mut key, entry::LONGEST);
        Some(key)
    }

    /// Whether another row must not have the same cells.
    fn keeps_apart(&self, nulls: &[bool]) -> bool {
        let has_null = nulls[..self.columns.len()].contains(&true);
        self.rule != Rule::Any && (self.nulls_not_distinct || !has_null)
    }

    /// The entry of a row.
    ///
    /// # Safety
    /// `relation` must be this index, open, and `values` and `nulls` must have an element for each
    /// of its columns.
    pub(crate) unsafe fn entry(
        &self,
        relation: pg_sys::Relation,
        values: &[pg_sys::Datum],
        nulls: &[bool],
        row: RowId,
    ) -> Entry {
        // SAFETY: the caller's promise.
        let mut key = unsafe { self.full_cells(values, nulls) };
        keycode::shorten(&mut key, entry::LONGEST);
        let unique = self.keeps_apart(nulls);
        let by_row = self.rule != Rule::Key || !unique;
        let cells = key.len();
        if by_row {
            entry::push_row(&mut key, row);
        }
        let mut body = entry::header(row, by_row).to_vec();
        // SAFETY: the caller's promise.
        unsafe { push_values(relation, values, nulls, &mut body) };
        Entry { key, cells, body, unique }
    }
}

impl Column {
    unsafe fn new(index: pg_sys::Relation, i: usize) -> Column {
        // SAFETY: the caller's relation is an open index with more than `i` key columns.
        unsafe {
            let declared = crate::pg::attribute((*index).rd_att, i).atttypid;
            let family = *(*index).rd_opfamily.add(i);
            let input = *(*index).rd_opcintype.add(i);
            let collation = *(*index).rd_indcollation.add(i);
            let options = *(*index).rd_indoption.add(i);
            let order = Order {
                descending: i32::from(options) & pg_sys::INDOPTION_DESC as i32 != 0,
                nulls_first: i32::from(options) & pg_sys::INDOPTION_NULLS_FIRST as i32 != 0,
            };
            Column { codec: Codec::new(family, input, declared, collation), order }
        }
    }
}

/// Appends what PostgreSQL's index tuple has behind its TID.
unsafe fn push_values(
    relation: pg_sys::Relation,
    values: &[pg_sys::Datum],
    nulls: &[bool],
    body: &mut Vec<u8>,
) {
    // SAFETY: the callers' promise; the tuple has as many bytes as it says.
    unsafe {
        let (values, nulls) = (values.as_ptr().cast_mut(), nulls.as_ptr().cast_mut());
        let tuple = pg_sys::index_form_tuple((*relation).rd_att, values, nulls);
        let size = usize::from((*tuple).t_info & SIZE_MASK);
        if size > LARGEST_TUPLE {
            too_large(relation, size);
        }
        let bytes = std::slice::from_raw_parts(tuple.cast::<u8>(), size);
        body.extend_from_slice(&bytes[TUPLE_HEAD..]);
        pg_sys::pfree(tuple.cast());
    }
}

/// As btree says it (`_bt_check_third_page`).
unsafe fn too_large(relation: pg_sys::Relation, size: usize) -> ! {
    // SAFETY: the caller's relation is open.
    unsafe {
        let name = crate::pg::relation_name(relation);
        raise_in(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            &format!(
                "index row size {size} exceeds btree version 4 maximum {LARGEST_TUPLE} for index \"{name}\""
            ),
            "",
            "Values larger than 1/3 of a buffer page cannot be indexed.\nConsider a function index of an MD5 hash of the value, or use full text indexing.",
            Some((relation, &name)),
        )
    }
}

/// The values of an entry, as PostgreSQL's index tuple, in place: its TID is the body's head, which
/// nobody reads as a TID.
pub(crate) fn tuple_of(body: &[u8]) -> pg_sys::IndexTuple {
    body.as_ptr().cast_mut().cast()
}

/// Whether a value of an entry is NULL.
///
/// # Safety
/// `body` must be an entry's, at a multiple of 8.
pub(crate) unsafe fn has_null(body: &[u8]) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*tuple_of(body)).t_info & NULL_MASK != 0 }
}

/// Takes the values of an entry apart.
///
/// # Safety
/// `relation` must be the open index that the entry is of, and `body` must lie at a multiple of 8.
pub(crate) unsafe fn deform(
    relation: pg_sys::Relation,
    body: &[u8],
    values: &mut [pg_sys::Datum],
    nulls: &mut [bool],
) {
    // SAFETY: the caller's promise; the arrays have an element for each column.
    unsafe {
        let size = usize::from((*tuple_of(body)).t_info & SIZE_MASK);
        if size > body.len() {
            crate::row::damaged();
        }
        pg_sys::index_deform_tuple(
            tuple_of(body),
            (*relation).rd_att,
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
        );
    }
}

/// A copy of a body, at a multiple of 8.
pub(super) struct Copied {
    words: Vec<u64>,
    length: usize,
}

impl Copied {
    pub(super) fn of(body: &[u8]) -> Copied {
        let mut words = vec![0u64; body.len().div_ceil(8)];
        // SAFETY: the words have room for the body.
        unsafe {
            std::ptr::copy_nonoverlapping(body.as_ptr(), words.as_mut_ptr().cast(), body.len());
        }
        Copied { words, length: body.len() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the words are initialized, and have so many bytes.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.length) }
    }
}
