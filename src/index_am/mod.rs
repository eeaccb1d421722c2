//! The index access method: PostgreSQL's callbacks, in the order of `amapi.h`.
//!
//! An index is made as a btree index and becomes one of ours before it is built (`ddl::indexes`): its
//! operator classes stay those of btree, which foreign keys and the planner look for.

mod build;
pub(crate) mod codec;
pub(crate) mod cost;
mod equal;
mod filter;
pub(crate) mod form;
pub(crate) mod index;
mod insert;
pub(crate) mod late;
pub(crate) mod maintain;
mod scan;
mod search;
mod sort;
pub(crate) mod unread;
mod vacuum;
pub(crate) mod verify;
mod violation;

use pgrx::prelude::*;

use crate::compat;

/// The handler that `CREATE ACCESS METHOD` names.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn fakegres_index_handler(
    _fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    crate::writer::require_preloaded();
    // SAFETY: PostgreSQL frees what it is given.
    unsafe {
        let routine = pg_sys::palloc0(size_of::<pg_sys::IndexAmRoutine>());
        let routine = routine.cast::<pg_sys::IndexAmRoutine>();
        routine.write(routine_of());
        pg_sys::Datum::from(routine)
    }
}

/// What PostgreSQL needs to call a C function by name.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pg_finfo_fakegres_index_handler() -> *const pg_sys::Pg_finfo_record {
    static INFO: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &INFO
}

/// The access method.
pub(crate) fn routine_of() -> pg_sys::IndexAmRoutine {
    let mut routine = pg_sys::IndexAmRoutine {
        type_: pg_sys::NodeTag::T_IndexAmRoutine,

        // As btree has it, whose operator classes the indexes have.
        amstrategies: pg_sys::BTMaxStrategyNumber as u16,
        amsupport: compat::BTREE_SUPPORT,
        amoptsprocnum: compat::BTREE_OPTIONS,
        amcanorder: true,
        amcanbackward: true,
        amcanunique: true,
        amcanmulticol: true,
        amoptionalkey: true,
        amsearcharray: true,
        amsearchnulls: true,
        amclusterable: true,
        // What is read is validated by the store's commit.
        ampredlocks: true,
        amcaninclude: true,
        amkeytype: pg_sys::InvalidOid,

        ambuild: Some(build::ambuild),
        ambuildempty: Some(build::ambuildempty),
        aminsert: Some(insert::aminsert),
        ambulkdelete: Some(vacuum::ambulkdelete),
        amvacuumcleanup: Some(vacuum::amvacuumcleanup),
        amcanreturn: Some(amcanreturn),
        amcostestimate: Some(cost::amcostestimate),
        amoptions: Some(compat::btoptions),
        ambuildphasename: Some(build::ambuildphasename),
        amvalidate: Some(amvalidate),
        ambeginscan: Some(scan::ambeginscan),
        amrescan: Some(scan::amrescan),
        amgettuple: Some(scan::amgettuple),
        amgetbitmap: Some(scan::amgetbitmap),
        amendscan: Some(scan::amendscan),
        ammarkpos: Some(scan::ammarkpos),
        amrestrpos: Some(scan::amrestrpos),
        ..Default::default()
    };
    compat::complete_index_routine(&mut routine);
    routine
}

/// Whether an open index works by this access method, whatever the relation cache shows it as.
///
/// # Safety
/// `index` must be open.
pub(crate) unsafe fn is_ours(index: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise; an open index has its routine.
    let build = unsafe { (*(*index).rd_indam).ambuild };
    let ours: unsafe extern "C-unwind" fn(_, _, _) -> _ = build::ambuild;
    build.is_some_and(|build| std::ptr::fn_addr_eq(build, ours))
}

/// Entries hold the values of all columns.
#[pg_guard]
unsafe extern "C-unwind" fn amcanreturn(_index: pg_sys::Relation, _column: i32) -> bool {
    true
}

/// Operator classes of this access method only stand for those of btree, which are validated there.
#[pg_guard]
unsafe extern "C-unwind" fn amvalidate(_class: pg_sys::Oid) -> bool {
    true
}
