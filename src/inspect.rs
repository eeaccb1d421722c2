//! SQL functions to look inside, in schema `fakegres`.

use std::time::Instant;

use kv::{Direction, Page, Version};
use mvcc::{Change, Scan, ScanOptions, Snapshot};
use pgrx::prelude::*;
use relation::definition::TableDef;
use relation::{Key, Space, key};

use crate::error::{OrRaise, raise};
use crate::index_am::{maintain, verify};
use crate::table_am::size;
use crate::{ddl, pg, row, session, standby, store, table, transaction};

type StatusRow = (
    name!(store, String),
    name!(server_version, Option<String>),
    name!(reachable, bool),
    name!(latency_ms, Option<f64>),
    name!(durability, Option<String>),
    name!(namespace, String),
    name!(bytes, Option<i64>),
    name!(details, Option<String>),
);

/// What is wrong between a table, its indexes and its counters.
#[pg_extern]
#[allow(clippy::type_complexity, reason = "pgrx reads the columns from the signature")]
fn check(
    relation: pg_sys::Oid,
) -> TableIterator<
    'static,
    (
        name!(index, Option<String>),
        name!(row, Option<pg_sys::ItemPointerData>),
        name!(problem, String),
    ),
> {
    TableIterator::new(findings(relation))
}

type FindingRow = (Option<String>, Option<pg_sys::ItemPointerData>, String);

fn findings(relation: pg_sys::Oid) -> Vec<FindingRow> {
    if !pg::is_fakegres(relation) {
        raise(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            "this is not a fakegres table",
            "fakegres.check looks at one table or partition USING fakegres.",
        );
    }
    let mut rows = Vec::new();
    // SAFETY: the relations are closed again, or by the abort.
    unsafe {
        let lock = pg_sys::AccessShareLock as i32;
        let heap = pg_sys::table_open(relation, lock);
        rows.extend(verify::count_rows(heap).map(|finding| (None, None, finding.what)));
        maintain::for_each(heap, |open, _| {
            let name = pg::relation_name(open);
            for finding in verify::compare(heap, open) {
                let tid = finding.row.map(|row| row::item_pointer(relation::Tid::of_row(row)));
                rows.push((Some(name.clone()), tid, finding.what));
            }
        });
        pg_sys::table_close(heap, lock);
    }
    rows
}

/// How the store is: one row, also when it cannot be reached.
#[pg_extern]
#[allow(clippy::type_complexity, reason = "pgrx reads the columns from the signature")]
fn status() -> TableIterator<
    'static,
    (
        name!(store, String),
        name!(server_version, Option<String>),
        name!(reachable, bool),
        name!(latency_ms, Option<f64>),
        name!(durability, Option<String>),
        name!(namespace, String),
        name!(bytes, Option<i64>),
        name!(details, Option<String>),
    ),
> {
    TableIterator::once(status_row())
}

fn status_row() -> StatusRow {
    let namespace = store::namespace();
    let asked = session::try_get().and_then(|session| {
        let begin = Instant::now();
        session.store.read_version(&*session.env)?;
        let latency = begin.elapsed().as_secs_f64() * 1000.0;
        Ok((session.store.status(&*session.env)?, latency))
    });
    match asked {
        Ok((status, latency)) => {
            let details = status.details.iter().map(|(name, value)| format!("{name}: {value}"));
            let details = details.collect::<Vec<_>>().join("; ");
            let bytes = status.bytes.map(|bytes| bytes as i64);
            let version = Some(status.server_version);
            let durability = Some(durability_in_force(status.durability));
            (
                status.engine,
                version,
                true,
                Some(latency),
                durability,
                namespace,
                bytes,
                Some(details),
            )
        }
        Err(kv::Error::Interrupted) => {
            pgrx::check_for_interrupts!();
            raise(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, "canceled", "")
        }
        Err(error) => {
            let store = session::kind_of_store();
            (store, None, false, None, None, namespace, None, Some(error.to_string()))
        }
    }
}

/// What this session's commits survive: `synchronous_commit` has a say too.
fn durability_in_force(of_store: String) -> String {
    match transaction::durability() {
        kv::Durability::Relaxed => format!(
            "synchronous_commit is off: a crash of the machine may take back the last commits, whole; otherwise {of_store}"
        ),
        _ => of_store,
    }
}

/// Live rows and bytes of a space, as its counters say.
#[pg_extern]
fn space_statistics(space: i64) -> TableIterator<'static, (name!(rows, i64), name!(bytes, i64))> {
    let (rows, bytes) = size::statistics(Space(space as u64));
    TableIterator::once((rows as i64, bytes as i64))
}

/// The random name of the namespace that this session uses.
#[pg_extern]
fn store_name() -> i64 {
    session::get().name as i64
}

/// Clears spaces that no table claims; returns how many there were.
#[pg_extern]
fn sweep() -> i64 {
    ddl::sweep::sweep() as i64
}

/// The definitions of all tables in the store, of every database of the namespace.
#[pg_extern]
fn definitions() -> TableIterator<
    'static,
    (
        name!(database, String),
        name!(schema, String),
        name!(name, String),
        name!(definition, pgrx::JsonB),
    ),
> {
    let prefix = key::all_definitions_prefix();
    let end = key::after_prefix(&prefix);
    let found = scan(prefix, end, usize::MAX);
    TableIterator::new(found.into_iter().map(|(_, bytes)| {
        let def = TableDef::decode(&bytes).or_raise();
        let json = serde_json::to_value(&def).expect("a definition has no unserializable part");
        (def.database, def.schema, def.name, pgrx::JsonB(json))
    }))
}

/// The version of the last change of a definition in the namespace, at the statement's snapshot or later.
/// On FoundationDB it comes with the snapshot; elsewhere it is read.
#[pg_extern]
fn catalog_version() -> Option<i64> {
    let since = snapshot().version;
    let session = session::get();
    let mut page = Page::default();
    let key = mvcc::key::plain(&Key::CatalogVersion.encode());
    session.store.get_watched_since(since, &key, &mut page, &*session.env).or_raise();
    page.get(0).and_then(Version::of_stamped).map(|version| version.0 as i64)
}

/// Sets a key of the user's own.
#[pg_extern]
fn kv_put(key: &[u8], value: &[u8]) {
    change(key, Change::Put(&[value]));
}

/// Removes a key of the user's own; true if it was there.
#[pg_extern]
fn kv_delete(key: &[u8]) -> bool {
    let there = kv_get(key).is_some();
    if there {
        change(key, Change::Delete);
    }
    there
}

/// The value of a key of the user's own.
#[pg_extern]
fn kv_get(key: &[u8]) -> Option<Vec<u8>> {
    let at = snapshot();
    transaction::with(|active| {
        let mut page = active.store.page();
        let found = active.store.get(&Key::User(key).encode(), &at, Version::ZERO, &mut page)?;
        Ok(found.map(|found| found.body(&page).to_vec()))
    })
    .or_raise()
}

/// Keys of the user's own from `start` up to before `end` (null: all that follow), in order.
#[pg_extern]
fn kv_scan(
    start: &[u8],
    end: Option<&[u8]>,
    most: Option<i64>,
) -> TableIterator<'static, (name!(key, Vec<u8>), name!(value, Vec<u8>))> {
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
    let last = || key::after_prefix(&key::user_prefix());
    let end = end.map_or_else(last, |end| Key::User(end).encode());
    let found = scan(Key::User(start).encode(), end, most);
    TableIterator::new(
        found
            .into_iter()
            .map(|(key, value)| (key::user_part(&key).unwrap_or_default().to_vec(), value)),
    )
}

fn snapshot() -> Snapshot {
    // SAFETY: functions run under an active snapshot.
    unsafe { transaction::resolve(pg_sys::GetActiveSnapshot()) }
}

fn scan(start: Vec<u8>, end: Vec<u8>, most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let at = snapshot();
    let options = ScanOptions {
        zero: Version::ZERO,
        first_rows: most.clamp(1, 1000),
        max_rows: 1000,
        max_bytes: 1 << 20,
        layout: kv::Layout::default(),
    };
    let mut cursor = Scan::new(start, end, at, options);
    let mut found = Vec::new();
    transaction::with(|active| {
        while found.len() < most
            && let Some(entry) = cursor.next(&mut active.store, Direction::Forward)?
        {
            found.push((entry.key.to_vec(), entry.body.to_vec()));
        }
        Ok(found)
    })
    .or_raise()
}

fn change(key: &[u8], change: Change<'_>) {
    transaction::check_writable();
    standby::refuse_writing();
    let at = snapshot();
    let key = Key::User(key).encode();
    // SAFETY: reads the transaction's state.
    let (command, repeatable) = unsafe {
        (
            pg_sys::GetCurrentCommandId(true),
            pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32,
        )
    };
    transaction::with(|active| {
        let mut page = active.store.page();
        let newest = active.store.newest(&key, Version::ZERO, &mut page)?;
        if repeatable && newest.committed.is_some_and(|there| there.version > at.version) {
            return Err(kv::Error::Conflict { key });
        }
        active.store.write(&key, change, command, newest.base()).map(drop)
    })
    .or_raise();
}

/// What `pg_relation_size(regclass)` says, also for fakegres tables.
#[pg_extern]
fn relation_size(relation: pg_sys::Oid) -> Option<i64> {
    relation_size_of_fork(relation, "main")
}

/// What `pg_relation_size(regclass, text)` says, also for fakegres tables.
#[pg_extern]
fn relation_size_of_fork(relation: pg_sys::Oid, fork: &str) -> Option<i64> {
    match bytes(relation) {
        Some(bytes) if fork == "main" => Some(bytes),
        Some(_) if matches!(fork, "fsm" | "vm" | "init") => Some(0),
        // SAFETY: the function takes an oid and a text.
        _ => unsafe {
            pgrx::direct_function_call(
                pg_sys::pg_relation_size,
                &[relation.into_datum(), fork.into_datum()],
            )
        },
    }
}

/// What `pg_table_size` says, also for fakegres tables.
#[pg_extern]
fn table_size(relation: pg_sys::Oid) -> Option<i64> {
    // SAFETY: the function takes an oid.
    bytes(relation).or_else(|| unsafe {
        pgrx::direct_function_call(pg_sys::pg_table_size, &[relation.into_datum()])
    })
}

/// What `pg_indexes_size` says, also for fakegres tables.
#[pg_extern]
fn indexes_size(relation: pg_sys::Oid) -> Option<i64> {
    // SAFETY: the function takes an oid.
    bytes_of_indexes(relation).or_else(|| unsafe {
        pgrx::direct_function_call(pg_sys::pg_indexes_size, &[relation.into_datum()])
    })
}

/// What `pg_total_relation_size` says, also for fakegres tables.
#[pg_extern]
fn total_relation_size(relation: pg_sys::Oid) -> Option<i64> {
    let own = bytes(relation).map(|bytes| bytes + bytes_of_indexes(relation).unwrap_or(0));
    // SAFETY: the function takes an oid.
    own.or_else(|| unsafe {
        pgrx::direct_function_call(pg_sys::pg_total_relation_size, &[relation.into_datum()])
    })
}

/// Bytes of the indexes of a fakegres table; `None` for other relations.
fn bytes_of_indexes(relation: pg_sys::Oid) -> Option<i64> {
    if !pg::is_fakegres(relation) {
        return None;
    }
    // SAFETY: the relation is closed again, or by the abort.
    unsafe {
        let lock = pg_sys::AccessShareLock as i32;
        let opened = pg_sys::try_relation_open(relation, lock);
        if opened.is_null() {
            return None;
        }
        let list = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(opened));
        let sizes = list.iter_oid().filter_map(bytes).sum();
        pg_sys::relation_close(opened, lock);
        Some(sizes)
    }
}

/// Bytes of a fakegres table or index; `None` for other relations.
fn bytes(relation: pg_sys::Oid) -> Option<i64> {
    let stored = |class: &pg_sys::FormData_pg_class| match class.relkind as u8 {
        pg_sys::RELKIND_RELATION | pg_sys::RELKIND_MATVIEW => class.relam == pg::fakegres(),
        pg_sys::RELKIND_INDEX => class.relam == pg::fakegres_index(),
        _ => false,
    };
    if !pg::class_form(relation, stored).unwrap_or(false) {
        return None;
    }
    // SAFETY: the relation is closed again, or by the abort.
    unsafe {
        let lock = pg_sys::AccessShareLock as i32;
        let opened = pg_sys::try_relation_open(relation, lock);
        if opened.is_null() {
            return None;
        }
        let space = table::find(opened).space;
        pg_sys::relation_close(opened, lock);
        Some(size::statistics(space).1 as i64)
    }
}
