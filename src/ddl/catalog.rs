//! Which tables an object of PostgreSQL's catalog belongs to, for the definitions in the store.

use std::ffi::CStr;

use pgrx::prelude::*;

use super::latest;

/// Oids of catalogs and of their indexes by oid; PostgreSQL fixes them.
const CONSTRAINT: u32 = 2606;
const CONSTRAINT_BY_OID: u32 = 2667;
const DEFAULT: u32 = 2604;
const DEFAULT_BY_OID: u32 = 2657;
const INHERITS: u32 = 2611;

/// Whose definition a change of a catalog object changes.
pub(super) enum Touched {
    /// One table's, if it is a fakegres table.
    Table(pg_sys::Oid),
    /// Maybe every table's: a type, a schema or a role was altered.
    All,
    Nothing,
}

/// What an object, or a part of one, that was made, altered or is about to be dropped belongs to.
pub(super) fn touched(
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: i32,
    altered: bool,
) -> Touched {
    let renamed = [pg_sys::TypeRelationId, pg_sys::NamespaceRelationId, pg_sys::AuthIdRelationId];
    match class.to_u32() {
        // The hook names the child.
        INHERITS => Touched::Table(object),
        CONSTRAINT => owner(CONSTRAINT, CONSTRAINT_BY_OID, c"conrelid", object),
        // A new default is announced as its column; a dropped one by its own oid.
        DEFAULT if part != 0 => Touched::Table(object),
        DEFAULT => owner(DEFAULT, DEFAULT_BY_OID, c"adrelid", object),
        _ if class == pg_sys::RelationRelationId => table_or_type(object),
        _ if altered && renamed.contains(&class) => Touched::All,
        _ => Touched::Nothing,
    }
}

/// A composite type is a relation too, and its attributes are part of the tables that use it.
fn table_or_type(relation: pg_sys::Oid) -> Touched {
    // SAFETY: a catalog lookup.
    let kind = unsafe { pg_sys::get_rel_relkind(relation) } as u8;
    if kind == pg_sys::RELKIND_COMPOSITE_TYPE { Touched::All } else { Touched::Table(relation) }
}

/// Reads the oid in a column of the catalog's row for an object, which may be as new as this command.
fn owner(catalog: u32, index: u32, column: &CStr, object: pg_sys::Oid) -> Touched {
    let catalog = pg_sys::Oid::from(catalog);
    // SAFETY: the scan and the catalog are closed before this returns; after an error PostgreSQL
    // closes them. A row has a value for each attribute of its descriptor.
    unsafe {
        let number = pg_sys::get_attnum(catalog, column.as_ptr());
        let lock = pg_sys::AccessShareLock as i32;
        let relation = pg_sys::table_open(catalog, lock);
        let mut key = super::mapping::key(1, object);
        let mut now = pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_SELF,
            ..Default::default()
        };
        let index = pg_sys::Oid::from(index);
        let scan = pg_sys::systable_beginscan(relation, index, true, &mut now, 1, &mut key);
        let tuple = pg_sys::systable_getnext(scan);
        let mut found = Touched::Nothing;
        if !tuple.is_null() {
            let desc = (*relation).rd_att;
            let mut values = vec![pg_sys::Datum::from(0); (*desc).natts as usize];
            let mut nulls = vec![false; (*desc).natts as usize];
            pg_sys::heap_deform_tuple(tuple, desc, values.as_mut_ptr(), nulls.as_mut_ptr());
            let table = pg_sys::Oid::from(values[number as usize - 1].value() as u32);
            found = Touched::Table(table);
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, lock);
        found
    }
}

/// Every permanent fakegres table of this database.
pub(super) fn all_tables() -> Vec<pg_sys::Oid> {
    const QUERY: &str = "SELECT oid FROM pg_catalog.pg_class \
        WHERE relam OPERATOR(pg_catalog.=) $1 AND relpersistence OPERATOR(pg_catalog.<>) 't'";
    let args = [(pg_sys::OIDOID, crate::pg::fakegres().into_datum())];
    latest::select(QUERY, &args, |row| row.get(1)).into_iter().flatten().collect()
}
