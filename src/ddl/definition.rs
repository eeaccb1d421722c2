//! Table definitions in the store, written with the commit of the DDL command that changed them.

use std::collections::HashSet;

use mvcc::Change;
use pgrx::prelude::*;
use relation::Key;
use relation::definition::TableDef;

use crate::ddl::{catalog, latest, mapping, publications};
use crate::error::{OrRaise, raise};
use crate::{compat, pg, transaction};

/// Reads a table's definition out of PostgreSQL's catalog.
const QUERY: &str = include_str!("definition.sql");

/// Writes the definitions of tables that changed, and removes those of tables that are gone.
pub(crate) fn write(touched: HashSet<pg_sys::Oid>, all: bool) {
    let mut tables: Vec<pg_sys::Oid> = touched.into_iter().collect();
    if all {
        tables.extend(catalog::all_tables().into_iter().filter(|table| is_free(*table)));
    }
    if tables.is_empty() {
        return;
    }
    one_at_a_time();
    tables.sort_unstable_by_key(|table| table.to_u32());
    tables.dedup();
    publications::look_at(&tables);
    let mut changed = false;
    for table in tables {
        let definition = if is_kept(table) { read(table) } else { None };
        changed |= store(table, definition.as_ref());
    }
    if changed {
        transaction::with(|active| active.store.publish(&Key::CatalogVersion.encode(), &[]));
    }
}

/// Whether nobody else is changing a table; who does writes its definition, too, and sees there what
/// this transaction did. Reading a definition takes this lock, and must not wait for it.
fn is_free(table: pg_sys::Oid) -> bool {
    // SAFETY: a lock, released with the transaction.
    unsafe { pg_sys::ConditionalLockRelationOid(table, pg_sys::AccessShareLock as i32) }
}

/// A change of a type or schema changes the definitions of tables that others may be changing. Their
/// writers wait for each other, at the end of their transactions, where they wait for nothing else.
fn one_at_a_time() {
    // SAFETY: a lock on the access method, released with the transaction.
    unsafe {
        let (class, method) = (pg_sys::AccessMethodRelationId, pg::fakegres());
        pg_sys::LockDatabaseObject(class, method, 0, pg_sys::ExclusiveLock as i32);
    }
}

/// Temporary tables are nobody else's business.
fn is_kept(table: pg_sys::Oid) -> bool {
    pg::is_fakegres(table)
        && pg::class_form(table, |class| class.relpersistence as u8)
            .is_some_and(|persistence| persistence != pg_sys::RELPERSISTENCE_TEMP)
}

/// Reads a definition with the user's own rights; names are written in full.
fn read(table: pg_sys::Oid) -> Option<TableDef> {
    // No row: somebody has dropped the table meanwhile.
    let args = [(pg_sys::OIDOID, table.into_datum())];
    let mut found = latest::select(QUERY, &args, |row| row.get::<String>(1));
    let json = found.pop().flatten()?;
    let mut definition: TableDef =
        serde_json::from_str(&json).unwrap_or_else(|error| unreadable(&error.to_string()));
    definition.space = space(table);
    for index in &mut definition.indexes {
        let oid = index.space.and_then(|oid| u32::try_from(oid).ok());
        index.space = oid.and_then(|oid| mapping::space_of_index(oid.into())).map(|space| space.0);
    }
    Some(definition)
}

fn space(table: pg_sys::Oid) -> Option<u64> {
    // SAFETY: the transaction that changed the table holds a lock on it.
    let locator = unsafe {
        let relation = pg_sys::relation_open(table, pg_sys::NoLock as i32);
        let locator = compat::locator(relation);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        locator
    };
    mapping::space_of(locator, table).map(|space| space.0)
}

fn unreadable(reason: &str) -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        format!("fakegres cannot read the definition of a table: {reason}"),
        "",
    )
}

/// Returns whether the store has another definition now.
fn store(table: pg_sys::Oid, definition: Option<&TableDef>) -> bool {
    let key = Key::Definition { database: transaction::database(), table: table.to_u32() }.encode();
    transaction::with(|active| {
        let mut page = active.store.page();
        let newest = active.store.newest(&key, kv::Version::ZERO, &mut page)?;
        let encoded = definition.map(TableDef::encode);
        let there = newest.exists().then(|| page.value(0)[mvcc::HEADER..].to_vec());
        if there == encoded {
            return Ok(false);
        }
        let change = match &encoded {
            Some(encoded) => Change::Put(&[encoded]),
            None => Change::Delete,
        };
        active.store.write(&key, change, 0, newest.base())?;
        Ok(true)
    })
    .or_raise()
}
