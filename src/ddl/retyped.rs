//! Indexes of types that change.
//!
//! The cells of a composite are those of its type's attributes, and the cell of an enum's label is its
//! position. A new or dropped attribute changes all cells, and so may a new label: PostgreSQL moves the
//! others where it finds no place between two of them. Indexes of such values are built again by the
//! command that changes the type.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use pgrx::prelude::*;

use super::latest;
use crate::pg::{self, PerBackend};
use crate::{compat, transaction};

/// Our indexes with a key column of a type, or of one that is made of it.
const QUERY: &str = include_str!("retyped.sql");

/// The labels of an enum but for one, in the order of their oids.
const LABELS: &str = "SELECT oid, enumsortorder FROM pg_enum \
    WHERE enumtypid = $1 AND enumlabel <> $2 ORDER BY oid";

/// Types that the running command has changed, each with the level of the savepoint it did so in.
static CHANGED: PerBackend<RefCell<Vec<(pg_sys::Oid, i32)>>> = PerBackend(RefCell::new(Vec::new()));

/// An attribute of a relation comes, goes, or, if the relation is a composite type, is altered. The
/// relation is the type of values that others may have.
pub(super) fn attribute(access: pg_sys::ObjectAccessType::Type, relation: pg_sys::Oid) {
    use pg_sys::ObjectAccessType::*;
    // SAFETY: catalog lookups.
    let (kind, row) =
        unsafe { (pg_sys::get_rel_relkind(relation) as u8, pg_sys::get_rel_type_id(relation)) };
    let changes = matches!(access, OAT_POST_CREATE | OAT_DROP)
        || access == OAT_POST_ALTER && kind == pg_sys::RELKIND_COMPOSITE_TYPE;
    if changes && row != pg_sys::InvalidOid && pg::fakegres_index() != pg_sys::InvalidOid {
        note(row);
    }
}

fn note(changed: pg_sys::Oid) {
    let (mut types, level) = (CHANGED.borrow_mut(), transaction::level());
    if !types.contains(&(changed, level)) {
        types.push((changed, level));
    }
}

/// Locks the tables whose indexes ALTER TYPE may have to build anew, before it locks the type. Who holds
/// such a table may be about to look at the type; so that is waited for, or, if it is autovacuum, asked to
/// give way, while it does not wait in turn.
///
/// # Safety
/// PostgreSQL's argument of a utility statement.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn lock_tables(statement: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise; a statement's tag says which struct it is. The locks are released with
    // the transaction.
    unsafe {
        let node = (*statement).utilityStmt;
        if (*node).type_ != pg_sys::NodeTag::T_AlterTableStmt
            || pg::fakegres_index() == pg_sys::InvalidOid
        {
            return;
        }
        let alter = &*node.cast::<pg_sys::AlterTableStmt>();
        if alter.objtype != pg_sys::ObjectType::OBJECT_TYPE {
            return;
        }
        let missing_ok = pg_sys::RVROption::RVR_MISSING_OK;
        let no_lock = pg_sys::NoLock as i32;
        let composite = pg_sys::RangeVarGetRelidExtended(
            alter.relation,
            no_lock,
            missing_ok,
            None,
            std::ptr::null_mut(),
        );
        let Some(owner) = pg::class_form(composite, |class| class.relowner) else { return };
        if !pg_sys::has_privs_of_role(pg_sys::GetUserId(), owner) {
            return;
        }
        let of = pg_sys::get_rel_type_id(composite);
        let indexes = indexes(of).into_iter();
        let mut tables: Vec<_> =
            indexes.map(|(index, _)| pg_sys::IndexGetRelation(index, true)).collect();
        tables.sort_unstable_by_key(|table| table.to_u32());
        tables.dedup();
        for table in tables.into_iter().filter(|table| *table != pg_sys::InvalidOid) {
            pg_sys::LockRelationOid(table, pg_sys::ShareLock as i32);
        }
    }
}

/// Where the labels of an enum were before a command that adds one.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Labels {
    /// Invalid if the command does nothing of the kind.
    of: pg_sys::Oid,
    digest: u64,
}

const NO_LABELS: Labels = Labels { of: pg_sys::InvalidOid, digest: 0 };

/// Looks at the labels before a statement.
///
/// # Safety
/// PostgreSQL's argument of a utility statement.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn labels(statement: *mut pg_sys::PlannedStmt) -> Labels {
    // SAFETY: the caller's promise; a statement's tag says which struct it is.
    unsafe {
        let node = (*statement).utilityStmt;
        if (*node).type_ != pg_sys::NodeTag::T_AlterEnumStmt
            || pg::fakegres_index() == pg_sys::InvalidOid
        {
            return NO_LABELS;
        }
        let alter = &*node.cast::<pg_sys::AlterEnumStmt>();
        // Only between others there may be no place.
        if alter.newValNeighbor.is_null() || !alter.oldVal.is_null() {
            return NO_LABELS;
        }
        let name = pg_sys::makeTypeNameFromNameList(alter.typeName);
        let of = pg_sys::LookupTypeNameOid(std::ptr::null_mut(), name, true);
        if of == pg_sys::InvalidOid {
            return NO_LABELS;
        }
        let new = pg::string(alter.newVal).unwrap_or_default();
        Labels { of, digest: digest(of, &new) }
    }
}

/// Notes whether the statement has moved labels.
///
/// # Safety
/// PostgreSQL's argument of a utility statement that ran, and what [`labels`] said before.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn compare(
    statement: *mut pg_sys::PlannedStmt,
    before: Labels,
) {
    if before.of == pg_sys::InvalidOid {
        return;
    }
    // SAFETY: `labels` found a statement of this kind.
    let new =
        unsafe { pg::string((*(*statement).utilityStmt.cast::<pg_sys::AlterEnumStmt>()).newVal) };
    if digest(before.of, &new.unwrap_or_default()) != before.digest {
        note(before.of);
    }
}

fn digest(of: pg_sys::Oid, but: &str) -> u64 {
    let args = [(pg_sys::OIDOID, of.into_datum()), (pg_sys::TEXTOID, but.into_datum())];
    let found = latest::select(LABELS, &args, |row| {
        (row.get::<pg_sys::Oid>(1).map(pg_sys::Oid::to_u32), row.get::<f32>(2).map(f32::to_bits))
    });
    let mut hasher = DefaultHasher::new();
    found.hash(&mut hasher);
    hasher.finish()
}

/// The command is over: builds the indexes of what it changed again.
pub(super) fn rebuild() {
    for (changed, _) in CHANGED.take() {
        for (index, persistence) in indexes(changed) {
            // SAFETY: the index's table is locked by the build.
            unsafe { compat::reindex(index, persistence) };
        }
    }
}

fn indexes(of: pg_sys::Oid) -> Vec<(pg_sys::Oid, core::ffi::c_char)> {
    let method = pg::fakegres_index();
    let args = [(pg_sys::OIDOID, of.into_datum()), (pg_sys::OIDOID, method.into_datum())];
    let found = latest::select(QUERY, &args, |row| row.get::<pg_sys::Oid>(1));
    found
        .into_iter()
        .flatten()
        .filter_map(|index| Some((index, pg::class_form(index, |class| class.relpersistence)?)))
        .collect()
}

/// A (sub)transaction is aborted, or the transaction is over.
pub(crate) fn forget(level: i32) {
    CHANGED.borrow_mut().retain(|(_, of)| *of < level);
}
