//! The server's own map from relation files to spaces: the heap table `fakegres.spaces`.
//!
//! It is written in the same PostgreSQL transaction as the catalog, so it is right whenever the
//! catalog is. It is read with `SnapshotSelf`: a command may need what it wrote a moment ago.

use std::ffi::CStr;

use kv::Version;
use pgrx::prelude::*;
use relation::Space;

use crate::compat::Locator;
use crate::error::{OrRaise, raise};
use crate::{session, transaction};

/// Columns of `fakegres.spaces`, from 1.
const TABLESPACE: i16 = 1;
const LOCATOR: i16 = 2;
const RELATION: i16 = 3;
const COLUMNS: usize = 6;

/// A row of the map.
pub(crate) struct Entry {
    pub(crate) space: Space,
    store: u64,
    database: pg_sys::Oid,
}

/// The space behind a relation file. Raises an error if it was made in another store or database.
///
/// An index may have moved to another tablespace, of which no access method is told; it has one row
/// here, whatever its file.
pub(crate) fn space_of(locator: Locator, relation: pg_sys::Oid) -> Option<Space> {
    let mut found = None;
    let lock = pg_sys::AccessShareLock as i32;
    search(locator, lock, |_, entry, _| found = Some(entry));
    if found.is_none() {
        search_relation(relation, lock, |_, entry, _| found = Some(entry));
    }
    let entry = found?;
    check(&entry);
    Some(entry.space)
}

/// The space of an index.
pub(crate) fn space_of_index(index: pg_sys::Oid) -> Option<Space> {
    let mut found = None;
    let lock = pg_sys::AccessShareLock as i32;
    search_relation(index, lock, |_, entry, _| found = Some(entry));
    found.map(|entry| entry.space)
}

fn check(entry: &Entry) {
    if entry.database.to_u32() != transaction::database() {
        raise(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "the table was copied with its database and has no rows of its own",
            "Drop it here; CREATE DATABASE … TEMPLATE does not copy fakegres tables.",
        );
    }
    if entry.store != session::get().name {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "the table was made in another store",
            "Set fakegres.storage and fakegres.namespace back to what they were when the table was created.",
        );
    }
}

/// Says where the rows of a relation are.
pub(crate) fn insert(locator: Locator, relation: pg_sys::Oid, space: Space) {
    let name = session::get().name;
    // SAFETY: the values are in the order and of the types of the table's columns.
    unsafe {
        let map = open(pg_sys::RowExclusiveLock as i32);
        let mut values: [pg_sys::Datum; COLUMNS] = [
            locator.tablespace.into(),
            locator.number.into(),
            relation.into(),
            pg_sys::Datum::from(space.0 as i64),
            pg_sys::Datum::from(name as i64),
            pg_sys::MyDatabaseId.into(),
        ];
        let mut nulls = [false; COLUMNS];
        let tuple = pg_sys::heap_form_tuple((*map).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::CatalogTupleInsert(map, tuple);
        pg_sys::heap_freetuple(tuple);
        pg_sys::table_close(map, pg_sys::NoLock as i32);
    }
}

/// Forgets a relation file. Returns the spaces that nobody has any more: its own, if it had one of
/// this database and store.
pub(crate) fn remove(locator: Locator, relation: pg_sys::Oid) -> Vec<Space> {
    if find(c"spaces").is_none() {
        return unmapped(relation);
    }
    let mut found = None;
    search(locator, pg_sys::RowExclusiveLock as i32, |map, entry, tuple| {
        // SAFETY: the tuple is the one that the scan stands on.
        unsafe { pg_sys::CatalogTupleDelete(map, &raw mut (*tuple).t_self) };
        found = Some(entry);
    });
    found.filter(Entry::is_ours).map(|entry| entry.space).into_iter().collect()
}

/// DROP EXTENSION … CASCADE has dropped the map before the tables: every published space of the
/// database goes with it, and what this transaction made for the relation.
fn unmapped(relation: pg_sys::Oid) -> Vec<Space> {
    let session = session::get();
    let (store, env) = (&*session.store, &*session.env);
    let known = relation::space::list(transaction::database(), store, env).or_raise();
    let published = known.iter().filter(|found| found.published > Version::ZERO);
    let mut gone: Vec<Space> = published.map(|found| found.space).collect();
    transaction::with(|active| {
        // The table before this one has taken them along.
        gone.retain(|space| !active.drops(*space));
        // The record of one that this transaction made may not have reached the store yet.
        gone.extend(active.made_for(relation));
    });
    gone
}

/// Every space of this database and store that a committed relation has, or one of this
/// transaction.
pub(crate) fn all() -> Vec<Space> {
    let name = session::get().name;
    let mut found = Vec::new();
    scan(&mut [], pg_sys::InvalidOid, pg_sys::AccessShareLock as i32, |_, entry, _| {
        if entry.database.to_u32() == transaction::database() && entry.store == name {
            found.push(entry.space);
        }
    });
    found
}

/// Forgets every file of a relation; returns its spaces, as [`remove`] does.
pub(crate) fn remove_all(relation: pg_sys::Oid) -> Vec<Space> {
    if find(c"spaces").is_none() {
        return unmapped(relation);
    }
    let mut found = Vec::new();
    search_relation(relation, pg_sys::RowExclusiveLock as i32, |map, entry, tuple| {
        // SAFETY: the tuple is the one that the scan stands on.
        unsafe { pg_sys::CatalogTupleDelete(map, &raw mut (*tuple).t_self) };
        found.push(entry);
    });
    found.into_iter().filter(Entry::is_ours).map(|entry| entry.space).collect()
}

impl Entry {
    fn is_ours(&self) -> bool {
        self.database.to_u32() == transaction::database() && self.store == session::get().name
    }
}

fn search_relation(
    relation: pg_sys::Oid,
    lock: pg_sys::LOCKMODE,
    visit: impl FnMut(pg_sys::Relation, Entry, pg_sys::HeapTuple),
) {
    let index = find(c"spaces_relation").unwrap_or(pg_sys::InvalidOid);
    scan(&mut [key(RELATION, relation)], index, lock, visit);
}

fn search(
    locator: Locator,
    lock: pg_sys::LOCKMODE,
    visit: impl FnMut(pg_sys::Relation, Entry, pg_sys::HeapTuple),
) {
    let mut keys = [key(TABLESPACE, locator.tablespace), key(LOCATOR, locator.number)];
    let index = find(c"spaces_pkey").unwrap_or(pg_sys::InvalidOid);
    scan(&mut keys, index, lock, visit);
}

/// The condition that a column of oids has a value.
pub(super) fn key(column: i16, value: pg_sys::Oid) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: fills a scan key with PostgreSQL's own comparison of oids.
    unsafe {
        pg_sys::ScanKeyInit(
            &mut key,
            column,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            value.into(),
        );
    }
    key
}

fn scan(
    keys: &mut [pg_sys::ScanKeyData],
    index: pg_sys::Oid,
    lock: pg_sys::LOCKMODE,
    mut visit: impl FnMut(pg_sys::Relation, Entry, pg_sys::HeapTuple),
) {
    // SAFETY: the scan and the relation are closed before this returns; after an error PostgreSQL
    // closes them.
    unsafe {
        let map = open(lock);
        let mut own = pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF,
            ..Default::default()
        };
        let indexed = index != pg_sys::InvalidOid;
        let count = keys.len() as i32;
        let desc =
            pg_sys::systable_beginscan(map, index, indexed, &mut own, count, keys.as_mut_ptr());
        loop {
            let tuple = pg_sys::systable_getnext(desc);
            if tuple.is_null() {
                break;
            }
            visit(map, entry(map, tuple), tuple);
        }
        pg_sys::systable_endscan(desc);
        // Who only reads keeps no lock, as with PostgreSQL's own catalogs.
        let read = lock == pg_sys::AccessShareLock as i32;
        pg_sys::table_close(map, if read { lock } else { pg_sys::NoLock as i32 });
    }
}

unsafe fn entry(map: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> Entry {
    let mut values = [pg_sys::Datum::from(0); COLUMNS];
    let mut nulls = [false; COLUMNS];
    // SAFETY: the tuple is of the map, whose columns are all NOT NULL.
    unsafe {
        pg_sys::heap_deform_tuple(tuple, (*map).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
    }
    Entry {
        space: Space(values[3].value() as u64),
        store: values[4].value() as u64,
        database: pg_sys::Oid::from(values[5].value() as u32),
    }
}

/// Oid of the map, as which locks on spaces are known.
pub(crate) fn oid() -> pg_sys::Oid {
    object(c"spaces")
}

unsafe fn open(lock: pg_sys::LOCKMODE) -> pg_sys::Relation {
    // SAFETY: opens a table by its oid.
    unsafe { pg_sys::table_open(oid(), lock) }
}

fn object(name: &CStr) -> pg_sys::Oid {
    find(name).unwrap_or_else(|| {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            format!("fakegres.{} does not exist", name.to_string_lossy()),
            "CREATE EXTENSION fakegres_am makes it.",
        )
    })
}

/// Oid of a relation in the extension's schema.
fn find(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: catalog lookups by name.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"fakegres".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}
