//! Statements that name or compare access methods of indexes, before and after PostgreSQL runs them.

use std::ffi::CStr;

use pgrx::prelude::*;

use super::indexes::{self, Hold};
use crate::pg;

/// Access methods that stand for ours where a statement names them.
const STAND_FOR_OURS: [&CStr; 2] = [c"fakegres_index", c"hash"];
/// Where hash would refuse what the statement wants, so do we.
const NAME_OURS: [&CStr; 1] = [c"fakegres_index"];

/// Changes a statement so that PostgreSQL runs it as it should, and shows indexes as btree where it
/// would compare them. Returns the statement to run: a copy, if this one must not be changed.
///
/// # Safety
/// PostgreSQL's arguments of a utility statement.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn prepare(
    statement: *mut pg_sys::PlannedStmt,
    text: *const core::ffi::c_char,
    read_only: bool,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: a statement's tag says which struct it is.
    unsafe {
        let node = (*statement).utilityStmt;
        match (*node).type_ {
            pg_sys::NodeTag::T_IndexStmt if installed() => {
                return prepare_index(statement, text, read_only);
            }
            pg_sys::NodeTag::T_AlterTableStmt if installed() => {
                prepare_alter(&*node.cast::<pg_sys::AlterTableStmt>());
            }
            pg_sys::NodeTag::T_RefreshMatViewStmt if installed() => {
                let refresh = &*node.cast::<pg_sys::RefreshMatViewStmt>();
                if refresh.concurrent {
                    disguise(refresh.relation);
                }
            }
            _ => {}
        }
        statement
    }
}

fn installed() -> bool {
    pg::fakegres() != pg_sys::InvalidOid
}

/// What [`prepare`] put on is taken off, and indexes follow their tables.
///
/// # Safety
/// Called after the statement.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn finish(dressed: usize) {
    indexes::undress(dressed);
    indexes::follow();
    super::retyped::rebuild();
    indexes::finish_drops();
}

/// As [`indexes::undress`], behind a guard.
///
/// # Safety
/// None; the guard asks for it.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn undress(dressed: usize) {
    indexes::undress(dressed);
}

/// CREATE INDEX: every index on a fakegres table begins as a btree index.
unsafe fn prepare_index(
    statement: *mut pg_sys::PlannedStmt,
    text: *const core::ffi::c_char,
    read_only: bool,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the callers' promise.
    unsafe {
        let index = &*(*statement).utilityStmt.cast::<pg_sys::IndexStmt>();
        let table = relation_of(index.relation);
        if table == pg_sys::InvalidOid {
            return statement;
        }
        if pg_sys::get_rel_relkind(table) as u8 == pg_sys::RELKIND_PARTITIONED_TABLE {
            indexes::disguise(table, Hold::Loose);
        }
        if !pg::is_fakegres(table) {
            return with_btree(statement, &NAME_OURS, read_only);
        }
        let columns = pgrx::PgList::<pg_sys::IndexElem>::from_pg(index.indexParams);
        let hashable = columns.len() == 1 && index.indexIncludingParams.is_null() && !index.unique;
        if names_btree(statement, text) || hashable && is_method(index, c"hash") {
            notice!("the index gets the access method fakegres_index, which is ordered like btree");
        }
        let names: &[&CStr] = if hashable { &STAND_FOR_OURS } else { &NAME_OURS };
        with_btree(statement, names, read_only)
    }
}

/// The statement with btree in place of an access method.
unsafe fn with_btree(
    statement: *mut pg_sys::PlannedStmt,
    replaced: &[&CStr],
    read_only: bool,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the callers' promise; the new name lives in the statement's memory.
    unsafe {
        let index = (*statement).utilityStmt.cast::<pg_sys::IndexStmt>();
        if !replaced.iter().any(|name| is_method(&*index, name)) {
            return statement;
        }
        let statement = if read_only {
            pg_sys::copyObjectImpl(statement.cast()).cast::<pg_sys::PlannedStmt>()
        } else {
            statement
        };
        let index = (*statement).utilityStmt.cast::<pg_sys::IndexStmt>();
        (*index).accessMethod = pg_sys::pstrdup(c"btree".as_ptr());
        statement
    }
}

unsafe fn is_method(index: &pg_sys::IndexStmt, name: &CStr) -> bool {
    let method = index.accessMethod;
    // SAFETY: the name of an access method is a string, or missing.
    !method.is_null() && unsafe { CStr::from_ptr(method) } == name
}

/// Whether the user wrote USING btree: the parser leaves no trace of that.
unsafe fn names_btree(statement: *mut pg_sys::PlannedStmt, text: *const core::ffi::c_char) -> bool {
    // SAFETY: the callers' promise.
    let Some(text) = (unsafe { pg::string(text) }) else { return false };
    // SAFETY: as above.
    let (from, length) = unsafe { ((*statement).stmt_location, (*statement).stmt_len) };
    let from = usize::try_from(from).unwrap_or(0);
    let end = if length > 0 { from + length as usize } else { text.len() };
    let Some(text) = text.get(from..end.min(text.len())) else { return false };
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase).collect();
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    words.first() == Some(&"create") && words.windows(2).any(|pair| pair == ["using", "btree"])
}

/// ALTER TABLE and ALTER INDEX that take an index that is there for a constraint or a partition.
unsafe fn prepare_alter(alter: &pg_sys::AlterTableStmt) {
    // SAFETY: the commands of the statement are AlterTableCmd nodes.
    unsafe {
        let commands = pgrx::PgList::<pg_sys::AlterTableCmd>::from_pg(alter.cmds);
        for command in commands.iter_ptr() {
            match (*command).subtype {
                pg_sys::AlterTableType::AT_AttachPartition => {
                    let partition = (*command).def.cast::<pg_sys::PartitionCmd>();
                    disguise(alter.relation);
                    disguise((*partition).name);
                }
                pg_sys::AlterTableType::AT_AddConstraint => {
                    let constraint = &*(*command).def.cast::<pg_sys::Constraint>();
                    let keys =
                        [pg_sys::ConstrType::CONSTR_PRIMARY, pg_sys::ConstrType::CONSTR_UNIQUE];
                    if keys.contains(&constraint.contype) {
                        disguise(alter.relation);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Shows the indexes of a table, or of an index's table, as btree.
unsafe fn disguise(name: *mut pg_sys::RangeVar) {
    // SAFETY: the callers pass a name of the statement.
    unsafe {
        let relation = relation_of(name);
        let table = match pg_sys::get_rel_relkind(relation) as u8 {
            pg_sys::RELKIND_INDEX | pg_sys::RELKIND_PARTITIONED_INDEX => {
                pg_sys::IndexGetRelation(relation, true)
            }
            _ => relation,
        };
        if table != pg_sys::InvalidOid {
            indexes::disguise(table, Hold::Loose);
        }
    }
}

unsafe fn relation_of(name: *mut pg_sys::RangeVar) -> pg_sys::Oid {
    if name.is_null() {
        return pg_sys::InvalidOid;
    }
    let flags = pg_sys::RVROption::RVR_MISSING_OK;
    // SAFETY: the callers pass a name of the statement.
    unsafe {
        let none = pg_sys::NoLock as i32;
        pg_sys::RangeVarGetRelidExtended(name, none, flags, None, std::ptr::null_mut())
    }
}

/// The executor takes comparisons of rows for conditions of btree indexes only, and INSERT … ON CONFLICT
/// looks for btree indexes when its first row comes.
///
/// # Safety
/// `plan` must be the plan of a query that is about to run.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn disguise_for_query(plan: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise.
    unsafe {
        disguise_compared(plan);
        disguise_conflicts(plan);
    }
}

/// Shows those indexes as btree that a scan of the plan searches by a comparison of rows, when it is begun:
/// also for rows that are looked at again after another transaction has changed them.
///
/// # Safety
/// As for [`disguise_for_query`].
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn disguise_compared(plan: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise: subplans are plans.
    unsafe {
        let tops = pgrx::PgList::<pg_sys::Plan>::from_pg((*plan).subplans);
        for top in tops.iter_ptr().chain([(*plan).planTree]) {
            each_plan(top, &mut |node| {
                let (index, conditions) = match node.type_ {
                    pg_sys::NodeTag::T_IndexScan => {
                        let scan = &*std::ptr::from_ref(node).cast::<pg_sys::IndexScan>();
                        (scan.indexid, scan.indexqual)
                    }
                    pg_sys::NodeTag::T_IndexOnlyScan => {
                        let scan = &*std::ptr::from_ref(node).cast::<pg_sys::IndexOnlyScan>();
                        (scan.indexid, scan.indexqual)
                    }
                    pg_sys::NodeTag::T_BitmapIndexScan => {
                        let scan = &*std::ptr::from_ref(node).cast::<pg_sys::BitmapIndexScan>();
                        (scan.indexid, scan.indexqual)
                    }
                    _ => return,
                };
                let conditions = pgrx::PgList::<pg_sys::Node>::from_pg(conditions);
                let mut conditions = conditions.iter_ptr();
                if conditions.any(|node| (*node).type_ == pg_sys::NodeTag::T_RowCompareExpr) {
                    indexes::disguise_index(index, Hold::Reading);
                }
            });
        }
    }
}

unsafe fn disguise_conflicts(plan: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise: subplans and range table are lists of what they say.
    unsafe {
        if (*plan).commandType == pg_sys::CmdType::CMD_SELECT && !(*plan).hasModifyingCTE {
            return;
        }
        let tops = pgrx::PgList::<pg_sys::Plan>::from_pg((*plan).subplans);
        for top in tops.iter_ptr().chain([(*plan).planTree]) {
            if top.is_null() || (*top).type_ != pg_sys::NodeTag::T_ModifyTable {
                continue;
            }
            let modify = &*top.cast::<pg_sys::ModifyTable>();
            if modify.onConflictAction != pg_sys::OnConflictAction::ONCONFLICT_NONE {
                let tables = pgrx::PgList::<pg_sys::RangeTblEntry>::from_pg((*plan).rtable);
                if let Some(entry) = tables.get_ptr(modify.nominalRelation as usize - 1) {
                    indexes::disguise((*entry).relid, Hold::Open);
                }
            }
        }
    }
}

/// Calls `f` with a plan and those below it.
unsafe fn each_plan(plan: *mut pg_sys::Plan, f: &mut impl FnMut(&pg_sys::Plan)) {
    use pg_sys::NodeTag::*;
    // SAFETY: the callers pass a plan, or null; each tag says what the node is.
    unsafe {
        let Some(node) = plan.as_ref() else { return };
        f(node);
        each_plan(node.lefttree, f);
        each_plan(node.righttree, f);
        let others = match node.type_ {
            T_Append => (*plan.cast::<pg_sys::Append>()).appendplans,
            T_MergeAppend => (*plan.cast::<pg_sys::MergeAppend>()).mergeplans,
            T_BitmapAnd => (*plan.cast::<pg_sys::BitmapAnd>()).bitmapplans,
            T_BitmapOr => (*plan.cast::<pg_sys::BitmapOr>()).bitmapplans,
            T_SubqueryScan => return each_plan((*plan.cast::<pg_sys::SubqueryScan>()).subplan, f),
            T_CustomScan => (*plan.cast::<pg_sys::CustomScan>()).custom_plans,
            _ => return,
        };
        for other in pgrx::PgList::<pg_sys::Plan>::from_pg(others).iter_ptr() {
            each_plan(other, f);
        }
    }
}
