//! What a backend knows of a fakegres table: its space and how its rows are stored.
//!
//! Kept per backend and tied to PostgreSQL's relation cache: `rd_amcache` holds the number of the
//! entry, and PostgreSQL frees it whenever anything about the relation may have changed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use kv::{Error, Version};
use mvcc::Snapshot;
use pgrx::prelude::*;
use relation::{Key, Space, key, space};

use crate::compat;
use crate::ddl::mapping;
use crate::error::{OrRaise, raise};
use crate::pg::PerBackend;
use crate::transaction::{self, Active, Moment};
use crate::{settings, standby};

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
    published: Cell<Option<Published>>,
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
    unsafe { load(relation) }
}

/// What the map says of a table or index, found anew.
///
/// # Safety
/// `relation` must be an open relation of one of the fakegres access methods.
pub(crate) unsafe fn find(relation: pg_sys::Relation) -> Rc<Table> {
    // SAFETY: the caller's promise.
    let (oid, locator) = unsafe { ((*relation).rd_id, compat::locator(relation)) };
    let space = mapping::space_of(locator, oid).unwrap_or_else(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { crate::pg::relation_name(relation) };
        raise(
            PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            format!("fakegres does not know where the rows of \"{name}\" are"),
            "The table may have been copied with its database or restored from a file-level copy; drop it and load it again.",
        )
    });
    Rc::new(Table {
        oid,
        space,
        rows_counter: Key::Rows(space).encode(),
        bytes_counter: Key::Bytes(space).encode(),
        locator,
        published: Cell::new(None),
    })
}

unsafe fn load(relation: pg_sys::Relation) -> Rc<Table> {
    // SAFETY: the caller's promise.
    let table = unsafe { find(relation) };
    let oid = table.oid;
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

/// When and how a space was published.
#[derive(Clone, Copy)]
struct Published {
    at: Version,
    copied: bool,
    whole: Version,
}

impl Table {
    /// As [`Table::zero`], for a reader of a moment. Raises 72000 if the rows of that moment were
    /// rewritten since: to that reader the new space looks empty.
    pub(crate) fn zero_for(&self, at: &Snapshot) -> Version {
        let zero = transaction::with(|active| self.zero(active)).or_raise();
        let older = at.version < zero;
        let copied = self.published.get().is_some_and(|published| published.copied);
        if older && (copied || settings::as_of().is_some()) {
            raise(
                PgSqlErrorCode::ERRCODE_SNAPSHOT_TOO_OLD,
                "the table was created, truncated or rewritten after the moment that is read",
                "Read it as of a later moment, or in a transaction that begins after it.",
            );
        }
        zero
    }

    /// The version that rows of version zero count as: when the space was published, or zero while
    /// it is this transaction's own.
    pub(crate) fn zero(&self, active: &Active) -> kv::Result<Version> {
        standby::reads(self.space);
        match self.published_at(active) {
            Err(Error::Corrupt(_)) if standby::is_one() => standby::conflict(),
            found => found,
        }
    }

    fn published_at(&self, active: &Active) -> kv::Result<Version> {
        if active.created(self.space).is_some() {
            return Ok(Version::ZERO);
        }
        if let Some(published) = self.published.get() {
            return Ok(published.at);
        }
        let session = &active.session;
        let (store, env) = (&*session.store, &*session.env);
        let found =
            space::find(transaction::database(), self.space, store, env).and_then(|found| {
                found.filter(|found| found.published > Version::ZERO).ok_or_else(|| {
                    Error::Corrupt(format!("the store does not have space {}", self.space.0))
                })
            })?;
        let (at, whole) = (found.published, Version(found.record.whole));
        self.published.set(Some(Published { at, copied: found.record.copied, whole }));
        Ok(at)
    }

    /// Whether what a query reads is all in this index: a moment before it was published, or before what was
    /// written while it was built had its entries, has rows that it does not know.
    pub(crate) fn is_usable(&self, active: &Active, moment: &Moment) -> kv::Result<bool> {
        let published = match self.published_at(active) {
            // The primary has dropped it.
            Err(Error::Corrupt(_)) if standby::is_one() => return Ok(false),
            found => found?,
        };
        let whole = self.whole();
        Ok(match moment {
            Moment::Any => true,
            Moment::OfQuery(at) => whole <= *at,
            Moment::OfTransaction(at) => published > Version::ZERO && whole.max(published) <= *at,
        })
    }

    /// From when on the index, of which [`Table::zero`] is known, has all that was written while it was built.
    pub(crate) fn whole(&self) -> Version {
        self.published.get().map_or(Version::ZERO, |published| published.whole)
    }

    /// First key of the table's rows, and first key after them.
    pub(crate) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let start = key::rows_prefix(self.space);
        let end = key::after_prefix(&start);
        (start, end)
    }
}
