//! Building an index: the keys are sorted in bounded memory, and go to the store in their order, straight
//! into a space that nobody else sees yet.

use std::ffi::{CStr, c_char};

use kv::{Batch, CommitId, Durability};
use pgrx::prelude::*;
use relation::entry;
use relation::space::{Kind, Record};

use super::equal;
use super::index::{self, Copied, Index, Rule};
use super::sort::{Sort, Sorted};
use super::violation::{self, Duplicate};
use crate::ddl::{self, mapping};
use crate::error::{OrRaise, unsupported};
use crate::table_am::insert::count;
use crate::{compat, pg, row, transaction};

/// Entries between two looks for a cancel, and two reports of progress.
const STEP: i64 = 1000;

/// What a build is doing, by the numbers that btree has for it: pg_stat_progress_create_index asks the
/// access method that the statement began with (`nbtree.h`).
#[derive(Clone, Copy)]
enum Phase {
    Scan = 2,
    Sort = 3,
    Load = 5,
}

/// The name of a phase. PostgreSQL copies it.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn ambuildphasename(phase: i64) -> *mut c_char {
    const NAMES: [(Phase, &CStr); 3] = [
        (Phase::Scan, c"scanning table"),
        (Phase::Sort, c"sorting entries"),
        (Phase::Load, c"loading entries into the store"),
    ];
    let name = NAMES.iter().find(|(of, _)| *of as i64 == phase);
    name.map_or(std::ptr::null_mut(), |(_, name)| name.as_ptr().cast_mut())
}

fn enter(phase: Phase) {
    // SAFETY: reports a number.
    unsafe { progress(pg_sys::PROGRESS_CREATEIDX_SUBPHASE, phase as i64) };
}

/// What the scan of the table hands to each row.
struct Builder {
    index: std::rc::Rc<Index>,
    /// A key that two rows have is an error. It is not where VACUUM FULL or CLUSTER build an index again
    /// that CREATE INDEX CONCURRENTLY left invalid.
    unique: bool,
    sort: Sort,
    entries: f64,
}

pub(super) unsafe extern "C-unwind" fn ambuild(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: PostgreSQL's arguments, handed on. This frame owns nothing.
    unsafe {
        let built = build(heap, relation, info);
        if built.is_null() {
            let message = c"could not create unique index \"%s\"";
            let (key, none) = (c"Key %s is duplicated.", c"Duplicate keys exist.");
            violation::report(heap, relation, message, key, none);
        }
        built
    }
}

/// Builds an index; null if two rows have a key that must be unique.
#[pg_guard]
unsafe extern "C-unwind" fn build(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: PostgreSQL passes open relations and the description of the index.
    unsafe {
        if (*(*heap).rd_rel).relam != pg::fakegres() {
            // The table is about to be heap, and its indexes with it.
            ddl::indexes::must_follow((*heap).rd_id);
            return result(0.0, 0.0);
        }
        if transaction::is_closing() {
            empty(relation);
            return result(0.0, 0.0);
        }
        make_space(relation);
        let index = index::of(relation);
        if (*info).ii_Concurrent && index.rule == Rule::Search && !index.is_exact() {
            unsupported(
                "a unique index on such columns cannot be built concurrently",
                "Leave out CONCURRENTLY: keys of this type are found by a hash only.",
            );
        }
        let unique = (*info).ii_Unique;
        let mut builder = Builder { index, unique, sort: Sort::new(), entries: 0.0 };
        let state = (&raw mut builder).cast();
        let (add, scan) = (Some(add as _), std::ptr::null_mut());
        let method = i64::from((*(*relation).rd_rel).relam.to_u32());
        // The bindings take the name's end for what it is.
        progress(pg_sys::PROGRESS_CREATEIDX_ACCESS_METHOD_OID.to_u32(), method);
        enter(Phase::Scan);
        let rows =
            pg_sys::table_index_build_scan(heap, relation, info, true, true, add, state, scan);
        enter(Phase::Sort);
        builder.sort.perform();
        enter(Phase::Load);
        let loaded = load(&mut builder, relation);
        let entries = builder.entries;
        builder.sort.end();
        match loaded {
            Ok(()) => result(rows, entries),
            Err(Duplicate) => std::ptr::null_mut(),
        }
    }
}

unsafe fn result(rows: f64, entries: f64) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: PostgreSQL frees what it is given with its memory.
    unsafe {
        let result = pg_sys::palloc0(size_of::<pg_sys::IndexBuildResult>());
        let result = result.cast::<pg_sys::IndexBuildResult>();
        (*result).heap_tuples = rows;
        (*result).index_tuples = entries;
        result
    }
}

/// ON COMMIT DELETE ROWS comes between the store's commit and PostgreSQL's, and only one session sees
/// the table.
unsafe fn empty(relation: pg_sys::Relation) {
    // SAFETY: the caller's relation is open.
    let index = unsafe { index::of(relation) };
    transaction::with(|active| {
        let session = &active.session;
        let mut batch = Batch::new(CommitId::random(&*session.env), Durability::Relaxed);
        relation::space::clear_contents(&mut batch, index.stored.space);
        session.store.commit(&batch, &*session.env)
    })
    .or_raise();
}

/// Gives the index a space, and drops the one that it had. The table's definition names it, which
/// PostgreSQL says nothing of when an index is only built anew.
unsafe fn make_space(relation: pg_sys::Relation) {
    // SAFETY: the caller's relation is open; PostgreSQL frees rd_amcache itself.
    unsafe {
        let oid = (*relation).rd_id;
        let table = (*(*relation).rd_index).indrelid;
        transaction::with(|active| active.touch(table));
        for space in mapping::remove_all(oid) {
            transaction::with(|active| active.drop_space(space));
        }
        let record = Record::new(oid.to_u32(), Kind::Index);
        let space = transaction::with(|active| active.create_space(record)).or_raise();
        mapping::insert(compat::locator(relation), oid, space);
        (*relation).rd_amcache = std::ptr::null_mut();
    }
}

#[pg_guard]
pub(super) unsafe extern "C-unwind" fn ambuildempty(_relation: pg_sys::Relation) {
    // What an unlogged table has in the store survives a crash as it is.
}

/// Takes a row into the sort.
#[pg_guard]
unsafe extern "C-unwind" fn add(
    relation: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    nulls: *mut bool,
    _alive: bool,
    state: *mut core::ffi::c_void,
) {
    // SAFETY: the scan passes what ambuild gave it, and a value for each column.
    unsafe {
        let builder = &mut *state.cast::<Builder>();
        let columns = (*(*relation).rd_att).natts as usize;
        let values = std::slice::from_raw_parts(values, columns);
        let nulls = std::slice::from_raw_parts(nulls, columns);
        let relation::row::Target::Row(row) = row::tid(tid).target() else { return };
        let entry = builder.index.entry(relation, values, nulls, row);
        let prefix = builder.index.prefix().len();
        builder.sort.push(&entry.key[prefix..], &entry.body);
        builder.entries += 1.0;
    }
}

/// The cells that the last entry had, and the entries with them where they must be compared.
#[derive(Default)]
pub(super) struct Bucket {
    cells: Vec<u8>,
    bodies: Vec<Copied>,
}

/// Puts the sorted entries into the store.
unsafe fn load(builder: &mut Builder, relation: pg_sys::Relation) -> Result<(), Duplicate> {
    let Builder { index, unique, sort, entries } = builder;
    let mut bucket = Bucket::default();
    let mut key = index.prefix().to_vec();
    let (prefix, mut done) = (key.len(), 0);
    // SAFETY: the callers' promise.
    unsafe {
        progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_TOTAL, *entries as i64);
        while let Some(Sorted { key: cells, body }) = sort.next() {
            key.truncate(prefix);
            key.extend_from_slice(cells);
            if index.rule != Rule::Any {
                match check(relation, index, &mut bucket, cells, body) {
                    Err(duplicate) if *unique => return Err(duplicate),
                    // The key has no room for a second row.
                    Err(_) if entry::cells(cells, body).or_raise() == cells => continue,
                    _ => {}
                }
            }
            transaction::with(|active| {
                active.store.bulk_put(&key, body)?;
                count(active, &index.stored, 1, body.len() as i64);
                Ok(())
            })
            .or_raise();
            done += 1;
            if done % STEP == 0 {
                pgrx::check_for_interrupts!();
                progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_DONE, done);
            }
        }
        progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_DONE, done);
    }
    Ok(())
}

unsafe fn progress(what: u32, value: i64) {
    // SAFETY: reports a number.
    unsafe { pg_sys::pgstat_progress_update_param(what as i32, value) };
}

/// Refuses an entry whose key the one before it has, too. Where cells do not tell all values apart,
/// it is compared with all entries that have the same.
///
/// # Safety
/// `relation` must be the open index, and `key` and `body` those of an entry, in the order of keys.
pub(super) unsafe fn check(
    relation: pg_sys::Relation,
    index: &Index,
    bucket: &mut Bucket,
    key: &[u8],
    body: &[u8],
) -> Result<(), Duplicate> {
    let cells = entry::cells(key, body).or_raise();
    let same = bucket.cells == cells;
    if !same {
        bucket.cells = cells.to_vec();
        bucket.bodies.clear();
        if index.is_exact() {
            return Ok(());
        }
    }
    let body = Copied::of(body);
    // SAFETY: the relations are open.
    unsafe {
        let columns = (*(*relation).rd_att).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::from(0); columns], vec![false; columns]);
        index::deform(relation, body.bytes(), &mut values, &mut nulls);
        let has_null = nulls[..index.columns.len()].contains(&true);
        if has_null && !index.nulls_not_distinct {
            return Ok(());
        }
        let is_same = |other: &Copied| equal::values_are(relation, other.bytes(), &values, &nulls);
        if same && (index.is_exact() || bucket.bodies.iter().any(is_same)) {
            return Err(violation::note(relation, &values, &nulls));
        }
    }
    if !index.is_exact() {
        bucket.bodies.push(body);
    }
    Ok(())
}
