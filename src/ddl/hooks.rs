//! PostgreSQL's hooks, each with what it is for. Every hook calls the one that was there before.
//!
//! A hook around PostgreSQL's own work looks at its arguments in a guarded function, and then calls
//! on without a guard: an error that passes a guard loses its CONTEXT and its position in the
//! statement. Such a frame owns nothing, so an error may jump over it.

use std::cell::Cell;

use pgrx::prelude::*;
use relation::space;

use crate::ddl::catalog::{self, Touched};
use crate::ddl::{indexes, publications, retyped, statements};
use crate::error::{OrRaise, unsupported};
use crate::index_am::late;
use crate::table_am::relation::forget;
use crate::{compat, ddl, pg, running, settings, standby, transaction};

use crate::compat::{
    standard_ExecutorFinish, standard_ExecutorRun, standard_ExecutorStart, standard_ProcessUtility,
    standard_planner,
};

static mut NEXT_OBJECT_ACCESS: pg_sys::object_access_hook_type = None;
static mut NEXT_UTILITY: pg_sys::ProcessUtility_hook_type = None;
static mut NEXT_PLANNER: pg_sys::planner_hook_type = None;
static mut NEXT_START: pg_sys::ExecutorStart_hook_type = None;
static mut NEXT_RUN: pg_sys::ExecutorRun_hook_type = None;
static mut NEXT_FINISH: pg_sys::ExecutorFinish_hook_type = None;

pub(super) fn register() {
    // SAFETY: hooks are set while the library is loaded, in a single thread.
    unsafe {
        NEXT_OBJECT_ACCESS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(object_access);
        NEXT_UTILITY = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
        NEXT_PLANNER = pg_sys::planner_hook;
        pg_sys::planner_hook = Some(plan);
        NEXT_START = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(executor_start);
        NEXT_RUN = pg_sys::ExecutorRun_hook;
        pg_sys::ExecutorRun_hook = Some(executor_run);
        NEXT_FINISH = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(executor_finish);
    }
}

/// Objects made, changed and dropped: definitions follow, spaces go with their tables, indexes on
/// fakegres tables are refused before anything of them exists.
#[pg_guard]
unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: i32,
    arg: *mut core::ffi::c_void,
) {
    use pg_sys::ObjectAccessType::*;
    // SAFETY: the hook that was there before, with the same arguments.
    unsafe {
        if let Some(next) = NEXT_OBJECT_ACCESS {
            next(access, class, object, part, arg);
        }
    }
    if class == pg_sys::RelationRelationId && part == 0 {
        match access {
            OAT_POST_CREATE => return created(object),
            // SAFETY: the argument is the hook's for this kind of access.
            OAT_DROP => return dropped(object, unsafe { is_concurrent(arg) }),
            _ => {}
        }
    }
    if class == pg_sys::RelationRelationId && part > 0 {
        retyped::attribute(access, object);
    }
    if matches!(access, OAT_POST_CREATE | OAT_POST_ALTER | OAT_DROP) {
        note(class, object, part, access == OAT_POST_ALTER);
    }
}

/// Has the definitions that an object is part of written when the transaction commits.
fn note(class: pg_sys::Oid, object: pg_sys::Oid, part: i32, altered: bool) {
    match catalog::touched(class, object, part, altered) {
        Touched::Table(table) => touch(table),
        Touched::All if pg::fakegres() != pg_sys::InvalidOid && transaction::is_open() => {
            transaction::with(|active| active.touch_all());
        }
        Touched::All | Touched::Nothing => {}
    }
}

fn created(object: pg_sys::Oid) {
    // SAFETY: the catalog rows of the new relation are there, but not yet for ordinary lookups.
    unsafe {
        pg_sys::CommandCounterIncrement();
        let kind = pg_sys::get_rel_relkind(object) as u8;
        if kind == pg_sys::RELKIND_INDEX {
            indexes::created(object);
            return touch(pg_sys::IndexGetRelation(object, true));
        }
    }
    touch(object);
}

fn touch(object: pg_sys::Oid) {
    if pg::is_fakegres(object) {
        transaction::with(|active| active.touch(object));
    }
}

/// Whether a drop is DROP INDEX CONCURRENTLY's.
unsafe fn is_concurrent(arg: *mut core::ffi::c_void) -> bool {
    // SAFETY: a hook for a drop is passed its flags, or nothing.
    let drop = unsafe { arg.cast::<pg_sys::ObjectAccessDrop>().as_ref() };
    drop.is_some_and(|drop| drop.dropflags & pg_sys::PERFORM_DELETION_CONCURRENTLY as i32 != 0)
}

fn dropped(object: pg_sys::Oid, concurrently: bool) {
    let method = pg::access_method(object);
    if method != pg_sys::InvalidOid && method == pg::fakegres_index() {
        // SAFETY: the caller of the hook has locked the index.
        touch(unsafe { pg_sys::IndexGetRelation(object, true) });
        return indexes::dropped(object, concurrently);
    }
    if !pg::is_fakegres(object) {
        return;
    }
    // SAFETY: the caller of the hook has locked the relation.
    unsafe {
        let relation = pg_sys::relation_open(object, pg_sys::NoLock as i32);
        let locator = compat::locator(relation);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        forget(locator, object);
    }
    transaction::with(|active| active.touch(object));
}

/// Statements that would go wrong quietly.
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const core::ffi::c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: PostgreSQL's arguments, handed on.
    unsafe {
        let dressed = indexes::dressed();
        look_at_utility(statement);
        retyped::lock_tables(statement);
        let labels = retyped::labels(statement);
        let statement = statements::prepare(statement, text, read_only);
        let run = NEXT_UTILITY.unwrap_or(standard_ProcessUtility);
        run(statement, text, read_only, context, params, environment, receiver, completion);
        retyped::compare(statement, labels);
        publications::look(statement);
        check_copy(statement);
        statements::finish(dressed);
    }
}

/// COPY of a table reads it without a query.
#[pg_guard]
unsafe extern "C-unwind" fn check_copy(statement: *mut pg_sys::PlannedStmt) {
    // SAFETY: a statement's tag says which struct it is.
    if unsafe { (*(*statement).utilityStmt).type_ } == pg_sys::NodeTag::T_CopyStmt {
        standby::check();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn look_at_utility(statement: *mut pg_sys::PlannedStmt) {
    // SAFETY: a statement's tag says which struct it is.
    unsafe {
        let node = (*statement).utilityStmt;
        match (*node).type_ {
            pg_sys::NodeTag::T_CreatedbStmt => {
                check_template(&*node.cast::<pg_sys::CreatedbStmt>())
            }
            pg_sys::NodeTag::T_VariableSetStmt => {
                note_snapshot_import(&*node.cast::<pg_sys::VariableSetStmt>());
            }
            _ => {}
        }
    }
}

/// CREATE DATABASE … TEMPLATE would copy the catalog of fakegres tables without their rows.
unsafe fn check_template(statement: &pg_sys::CreatedbStmt) {
    let mut template = c"template1".to_owned();
    // SAFETY: the options of the statement are DefElem nodes.
    unsafe {
        let options = pgrx::PgList::<pg_sys::DefElem>::from_pg(statement.options);
        for option in options.iter_ptr() {
            let name = pg::string((*option).defname);
            if name.as_deref() == Some("template") && !(*option).arg.is_null() {
                template = std::ffi::CStr::from_ptr(pg_sys::defGetString(option)).to_owned();
            }
        }
        let database = pg_sys::get_database_oid(template.as_ptr(), true);
        if database == pg_sys::InvalidOid || pg::fakegres() == pg_sys::InvalidOid {
            return;
        }
        let spaces = transaction::with(|active| {
            let (store, env) = (&*active.session.store, &*active.session.env);
            space::list(database.to_u32(), store, env)
        })
        .or_raise();
        if !spaces.is_empty() {
            unsupported(
                format!(
                    "database \"{}\" has fakegres tables and cannot be a template",
                    template.to_string_lossy()
                ),
                "Copy the database with pg_dump and pg_restore.",
            );
        }
    }
}

thread_local! {
    static IMPORTED: Cell<bool> = const { Cell::new(false) };
}

/// An imported snapshot carries no version of the store.
unsafe fn note_snapshot_import(statement: &pg_sys::VariableSetStmt) {
    // SAFETY: the statement is live.
    let name = unsafe { pg::string(statement.name) };
    let multi = statement.kind == pg_sys::VariableSetKind::VAR_SET_MULTI;
    if multi && name.as_deref() == Some("TRANSACTION SNAPSHOT") {
        IMPORTED.set(true);
    }
}

/// Whether the transaction took over another one's snapshot.
pub(crate) fn imported_snapshot() -> bool {
    IMPORTED.get()
}

/// The transaction is over.
pub(crate) fn forget_imported_snapshot() {
    IMPORTED.set(false);
}

/// Sizes of fakegres tables, and no parallel plan for a transaction with private state.
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const core::ffi::c_char,
    options: i32,
    params: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: PostgreSQL's arguments, handed on.
    unsafe {
        let options = look_at_query(query, options);
        indexes::show_real();
        let next = NEXT_PLANNER.unwrap_or(standard_planner);
        let plan = next(query, text, options, params);
        indexes::show_btree();
        plan
    }
}

/// Changes the planner's own copy of a query; returns the planner's options.
#[pg_guard]
unsafe extern "C-unwind" fn look_at_query(query: *mut pg_sys::Query, options: i32) -> i32 {
    // SAFETY: the query is the planner's own copy.
    unsafe { ddl::sizes::redirect(query) };
    if transaction::has_private_state() {
        options & !(pg_sys::CURSOR_OPT_PARALLEL_OK as i32)
    } else {
        options
    }
}

/// A query that reads fakegres tables gets its version when it starts: a cursor shows the moment of
/// its DECLARE, not of its first FETCH.
unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: i32) {
    // SAFETY: PostgreSQL's arguments, handed on.
    unsafe {
        late::look().report();
        look_at_start(query, flags);
        let dressed = indexes::dressed();
        statements::disguise_compared((*query).plannedstmt);
        let next = NEXT_START.unwrap_or(standard_ExecutorStart);
        next(query, flags);
        statements::undress(dressed);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn look_at_start(query: *mut pg_sys::QueryDesc, flags: i32) {
    // SAFETY: PostgreSQL passes a query that is about to start.
    unsafe {
        transaction::query_starts((*query).snapshot);
        if flags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY as i32 == 0
            && !(*query).snapshot.is_null()
            && reads_fakegres((*query).plannedstmt)
            && !(runs_at_once((*query).plannedstmt)
                && transaction::resolve_at_first_read((*query).snapshot))
        {
            transaction::resolve((*query).snapshot);
        }
        if standby::is_one() && reads_fakegres((*query).plannedstmt) {
            // Compiled code believes a NOT NULL that the primary may have dropped.
            (*(*query).plannedstmt).jitFlags = pg_sys::PGJIT_NONE as i32;
        }
    }
}

/// Whether a query that reads fakegres tables reads one before it does anything else, and not at
/// another time than now: it reads nothing besides, and is no cursor's, whose portal has a name that
/// is shown.
unsafe fn runs_at_once(plan: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: the range table of a plan is a list of its entries; an active portal has a name.
    unsafe {
        let plan = &*plan;
        let tables = pgrx::PgList::<pg_sys::RangeTblEntry>::from_pg(plan.rtable);
        let kinds = tables.iter_ptr().map(|entry| (*entry).rtekind);
        let (mut tables, mut others) = (0, 0);
        for kind in kinds {
            match kind {
                pg_sys::RTEKind::RTE_RELATION => tables += 1,
                pg_sys::RTEKind::RTE_RESULT => {}
                _ => others += 1,
            }
        }
        let portal = pg_sys::ActivePortal;
        let is_cursor = !portal.is_null() && (*portal).visible && *(*portal).name != 0;
        tables == 1
            && others == 0
            && plan.subplans.is_null()
            && !plan.parallelModeNeeded
            && !is_cursor
    }
}

unsafe fn reads_fakegres(plan: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: the range table of a plan is a list of its entries.
    unsafe {
        let tables = pgrx::PgList::<pg_sys::RangeTblEntry>::from_pg((*plan).rtable);
        let mut entries = tables.iter_ptr();
        entries.any(|entry| {
            (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
                && (*entry).relid.to_u32() >= pg_sys::FirstNormalObjectId
                && pg::is_fakegres((*entry).relid)
        })
    }
}

/// Parallel workers get the query's version; a plan made earlier must not run in parallel if the
/// transaction has private state by now.
#[cfg(not(feature = "pg18"))]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    execute_once: bool,
) {
    // SAFETY: PostgreSQL's arguments, handed on.
    unsafe {
        late::look().report();
        let before = look_at_run(query, count);
        let next = NEXT_RUN.unwrap_or(standard_ExecutorRun);
        next(query, direction, count, execute_once);
        after_run(query, before);
        late::look().report();
    }
}

/// As on earlier versions, without the argument that PostgreSQL 18 dropped.
#[cfg(feature = "pg18")]
unsafe extern "C-unwind" fn executor_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
) {
    // SAFETY: PostgreSQL's arguments, handed on.
    unsafe {
        late::look().report();
        let before = look_at_run(query, count);
        let next = NEXT_RUN.unwrap_or(standard_ExecutorRun);
        next(query, direction, count);
        after_run(query, before);
        late::look().report();
    }
}

/// Statements that change data inside of others may run now.
unsafe extern "C-unwind" fn executor_finish(query: *mut pg_sys::QueryDesc) {
    // SAFETY: PostgreSQL's argument, handed on.
    unsafe {
        let dressed = indexes::dressed();
        statements::disguise_for_query((*query).plannedstmt);
        let next = NEXT_FINISH.unwrap_or(standard_ExecutorFinish);
        late::query_begins();
        next(query);
        late::query_ends();
        late::look().report();
        statements::undress(dressed);
    }
}

/// What to put back after a query ran.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Before {
    /// The plan's mark of a parallel plan was taken off. After an error it stays off: the plan, if
    /// it is cached, then runs without workers.
    parallel: bool,
    /// The version that workers of the query around this one get; zero if this one set none.
    version: u64,
    set: bool,
    /// How many indexes were shown as btree.
    dressed: usize,
    /// The query around this one.
    around: running::Running,
}

#[pg_guard]
unsafe extern "C-unwind" fn look_at_run(query: *mut pg_sys::QueryDesc, count: u64) -> Before {
    late::query_begins();
    let around = running::query_runs(query, count);
    let mut before = Before { dressed: indexes::dressed(), around, ..Before::default() };
    // SAFETY: PostgreSQL passes a started query.
    unsafe {
        let plan = (*query).plannedstmt;
        statements::disguise_for_query(plan);
        if !(*plan).parallelModeNeeded || (*query).snapshot.is_null() {
            return before;
        }
        // A function that workers call may read fakegres tables though the plan has none.
        let installed = || {
            pg::fakegres() != pg_sys::InvalidOid
                && !transaction::is_walsender()
                && transaction::is_open()
        };
        if !reads_fakegres(plan) && !installed() {
            return before;
        }
        if transaction::has_private_state() {
            (*plan).parallelModeNeeded = false;
            before.parallel = true;
        } else if !pg_sys::IsInParallelMode() {
            before.version = settings::worker_snapshot().unwrap_or(0);
            before.set = true;
            tell_workers(transaction::resolve((*query).snapshot).version.0);
        }
    }
    before
}

#[pg_guard]
unsafe extern "C-unwind" fn after_run(query: *mut pg_sys::QueryDesc, before: Before) {
    // SAFETY: the query is the one that ran.
    unsafe { (*(*query).plannedstmt).parallelModeNeeded |= before.parallel };
    late::query_ends();
    running::query_pauses(before.around);
    indexes::undress(before.dressed);
    if before.set {
        tell_workers(before.version);
    }
    if before.around.is_none() {
        standby::check();
    }
}

/// Settings are copied to workers when they start.
fn tell_workers(version: u64) {
    let text = std::ffi::CString::new(version.to_string()).expect("digits");
    // SAFETY: sets a setting of ours to a string.
    unsafe {
        pg_sys::SetConfigOption(
            settings::WORKER_SNAPSHOT_NAME.as_ptr(),
            text.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
        );
    }
}
