//! What a backend knows of a fakegres table: its space and how its rows are stored.
//!
//! Kept per backend and tied to PostgreSQL's relation cache: `rd_amcache` holds the number of the
//! entry, and PostgreSQL frees it whenever anything about the relation may have changed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use kv::{Error, Version};
use pgrx::prelude::*;
use relation::{Key, Space, key, space};

use crate::compat;
use crate::ddl::mapping;
use crate::error::{OrRaise, raise};
use crate::pg::PerBackend;
use crate::transaction::{self, Active};

/// A fakegres table, as this backend knows it.
pub(crate) struct Table {
    /// Its oid.
    pub(crate) oid: pg_sys::Oid,
    /// Where its rows are.
    pub(crate) space: Space,
    /// Keys of its counters.
    pub(crate) rows_counter: Vec<u8>,
    pub(crate) bytes_counter: Vec<u8>,
    locator: compat::Locator,
    published: Cell<Option<Version>>,
}

struct Cache {
    tables: BTreeMap<u64, Rc<Table>>,
    last: u64,
}

static CACHE: PerBackend<RefCell<Cache>> =
    PerBackend(RefCell::new(Cache { tables: BTreeMap::new(), last: 0 }));

/// The table behind an open relation.
///
/// # Safety
/// `relation` must be an open relation of the fakegres access method.
pub(crate) unsafe fn of(relation: pg_sys::Relation) -> Rc<Table> {
    // SAFETY: the caller's promise.
    let cached = unsafe { (*relation).rd_amcache.cast::<u64>().as_ref() };
    // SAFETY: the caller's promise.
    let locator = unsafe { compat::locator(relation) };
    if let Some(number) = cached
        && let Some(table) = CACHE.borrow().tables.get(number).cloned()
        && table.locator == locator
    {
        return table;
    }
    // SAFETY: the caller's promise.
    unsafe { load(relation, locator) }
}

unsafe fn load(relation: pg_sys::Relation, locator: compat::Locator) -> Rc<Table> {
    // SAFETY: the caller's promise.
    let (oid, name) = unsafe { ((*relation).rd_id, crate::pg::relation_name(relation)) };
    let space = mapping::space_of(locator).unwrap_or_else(|| {
        raise(
            PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            format!("fakegres does not know where the rows of \"{name}\" are"),
            "The table may have been copied with its database or restored from a file-level copy; drop it and load it again.",
        )
    });
    let table = Rc::new(Table {
        oid,
        space,
        rows_counter: Key::Rows(space).encode(),
        bytes_counter: Key::Bytes(space).encode(),
        locator,
        published: Cell::new(None),
    });
    // SAFETY: a small allocation in the context that PostgreSQL frees rd_amcache from.
    let number = unsafe {
        let number = pg_sys::MemoryContextAlloc(pg_sys::CacheMemoryContext, size_of::<u64>());
        (*relation).rd_amcache = number;
        &mut *number.cast::<u64>()
    };
    let cache = &mut *CACHE.borrow_mut();
    cache.tables.retain(|_, other| other.oid != oid);
    cache.last += 1;
    *number = cache.last;
    cache.tables.insert(cache.last, Rc::clone(&table));
    table
}

impl Table {
    /// The version that rows of version zero count as: when the space was published, or zero while
    /// it is this transaction's own.
    pub(crate) fn zero(&self, active: &Active) -> Version {
        if active.created(self.space).is_some() {
            return Version::ZERO;
        }
        if let Some(version) = self.published.get() {
            return version;
        }
        let session = &active.session;
        let (store, env) = (&*session.store, &*session.env);
        let published = space::published(transaction::database(), self.space, store, env);
        let known = published.and_then(|version| {
            version.filter(|version| *version > Version::ZERO).ok_or_else(|| {
                Error::Corrupt(format!("the store does not have space {}", self.space.0))
            })
        });
        let version = known.or_raise();
        self.published.set(Some(version));
        version
    }

    /// First key of the table's rows, and first key after them.
    pub(crate) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let start = key::rows_prefix(self.space);
        let end = key::after_prefix(&start);
        (start, end)
    }
}
