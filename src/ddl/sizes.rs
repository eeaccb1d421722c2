//! `pg_relation_size` and its like for fakegres tables.
//!
//! PostgreSQL's functions add up files, and a fakegres table's file is empty. The planner's copy of
//! a query calls ours instead, which give the bytes of the rows, and PostgreSQL's answer for every
//! other relation. The calls are replaced in plans only, never in what is stored.

use pgrx::prelude::*;

use crate::{compat, pg};

/// PostgreSQL's size functions and ours that stand in for them.
const FUNCTIONS: [(u32, &std::ffi::CStr); 5] = [
    (pg_sys::F_PG_RELATION_SIZE_REGCLASS, c"fakegres.relation_size(regclass)"),
    (pg_sys::F_PG_RELATION_SIZE_REGCLASS_TEXT, c"fakegres.relation_size(regclass,text)"),
    (pg_sys::F_PG_TABLE_SIZE, c"fakegres.table_size(regclass)"),
    (pg_sys::F_PG_INDEXES_SIZE, c"fakegres.indexes_size(regclass)"),
    (pg_sys::F_PG_TOTAL_RELATION_SIZE, c"fakegres.total_relation_size(regclass)"),
];

type Twins = Vec<(pg_sys::Oid, pg_sys::Oid)>;

/// Replaces the calls in a query that is about to be planned.
///
/// # Safety
/// `query` must be the planner's own copy.
pub(super) unsafe fn redirect(query: *mut pg_sys::Query) -> *mut pg_sys::Query {
    // SAFETY: the walker changes function oids in the caller's copy.
    unsafe {
        let mut found = false;
        walk(query.cast(), (&raw mut found).cast());
        if found && pg::fakegres() != pg_sys::InvalidOid {
            let mut twins: Twins = FUNCTIONS.iter().map(|(oid, name)| twin(*oid, name)).collect();
            walk_replacing(query.cast(), (&raw mut twins).cast());
        }
    }
    query
}

fn twin(theirs: u32, ours: &std::ffi::CStr) -> (pg_sys::Oid, pg_sys::Oid) {
    // SAFETY: regprocedurein takes a string.
    let found = unsafe {
        pg_sys::OidInputFunctionCall(
            pg_sys::Oid::from(pg_sys::F_REGPROCEDUREIN),
            ours.as_ptr().cast_mut(),
            pg_sys::InvalidOid,
            -1,
        )
    };
    (pg_sys::Oid::from(theirs), pg_sys::Oid::from(found.value() as u32))
}

fn is_size(function: pg_sys::Oid) -> bool {
    FUNCTIONS.iter().any(|(oid, _)| function.to_u32() == *oid)
}

/// Looks whether there is anything to replace, which is rare.
#[pg_guard]
unsafe extern "C-unwind" fn walk(node: *mut pg_sys::Node, found: *mut core::ffi::c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: a node's tag says which struct it is.
    unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_FuncExpr
            && is_size((*node.cast::<pg_sys::FuncExpr>()).funcid)
        {
            *found.cast::<bool>() = true;
            return true;
        }
        if (*node).type_ == pg_sys::NodeTag::T_Query {
            return compat::walk_query(node, walk, found);
        }
        compat::walk_expression(node, walk, found)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn walk_replacing(
    node: *mut pg_sys::Node,
    twins: *mut core::ffi::c_void,
) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: a node's tag says which struct it is; the tree is the planner's own copy.
    unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_FuncExpr {
            let call = &mut *node.cast::<pg_sys::FuncExpr>();
            let twins = &*twins.cast::<Twins>();
            if let Some((_, ours)) = twins.iter().find(|(theirs, _)| *theirs == call.funcid) {
                call.funcid = *ours;
            }
        }
        if (*node).type_ == pg_sys::NodeTag::T_Query {
            return compat::walk_query(node, walk_replacing, twins);
        }
        compat::walk_expression(node, walk_replacing, twins)
    }
}
