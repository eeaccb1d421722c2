//! The values that a row has in an index: its columns, or expressions over them.

use pgrx::prelude::*;

/// The values of a row in an index.
pub(crate) struct Formed {
    pub(crate) values: [pg_sys::Datum; COLUMNS],
    pub(crate) nulls: [bool; COLUMNS],
}

/// Most columns of an index.
const COLUMNS: usize = pg_sys::INDEX_MAX_KEYS as usize;

impl Default for Formed {
    fn default() -> Formed {
        Formed { values: [pg_sys::Datum::from(0); COLUMNS], nulls: [false; COLUMNS] }
    }
}

/// Evaluates index expressions and predicates, with what PostgreSQL needs for that made only if
/// there are any.
#[derive(Default)]
pub(super) struct Former {
    estate: Option<*mut pg_sys::EState>,
    /// The descriptions of indexes, with what was prepared of their expressions.
    infos: Vec<(pg_sys::Oid, *mut pg_sys::IndexInfo)>,
}

impl Former {
    /// The values of the row in a slot; `None` if the index is partial and does not have the row.
    /// They live until the next call or [`Former::end`].
    ///
    /// # Safety
    /// `index` must be open and the slot hold a row of its table.
    pub(super) unsafe fn form(
        &mut self,
        index: pg_sys::Relation,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> Option<Formed> {
        // SAFETY: the caller's promise; an index has as many attribute numbers as columns.
        unsafe {
            let form = &*(*index).rd_index;
            let columns = form.indnatts as usize;
            let numbers = form.indkey.values.as_slice(columns);
            if is_computed(index) {
                return self.compute(index, slot);
            }
            let mut formed = Formed::default();
            for (i, number) in numbers.iter().enumerate() {
                formed.values[i] =
                    pg_sys::slot_getattr(slot, i32::from(*number), &mut formed.nulls[i]);
            }
            Some(formed)
        }
    }

    unsafe fn compute(
        &mut self,
        index: pg_sys::Relation,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> Option<Formed> {
        // SAFETY: the caller's promise; what is made here lives in the executor state.
        unsafe {
            let estate = *self.estate.get_or_insert_with(|| pg_sys::CreateExecutorState());
            let old = pg_sys::MemoryContextSwitchTo((*estate).es_query_cxt);
            let info = self.info(index);
            let formed = evaluate(info, slot, estate);
            pg_sys::MemoryContextSwitchTo(old);
            formed
        }
    }

    /// The description of an index, in the executor state's memory.
    unsafe fn info(&mut self, index: pg_sys::Relation) -> *mut pg_sys::IndexInfo {
        // SAFETY: the callers' promise.
        unsafe {
            let oid = (*index).rd_id;
            if let Some((_, info)) = self.infos.iter().find(|(of, _)| *of == oid) {
                return *info;
            }
            let info = pg_sys::BuildIndexInfo(index);
            self.infos.push((oid, info));
            info
        }
    }

    /// Frees what was made. After an error PostgreSQL does.
    pub(super) fn end(self) {
        if let Some(estate) = self.estate {
            // SAFETY: made by compute, and used no more.
            unsafe { pg_sys::FreeExecutorState(estate) };
        }
    }
}

/// Evaluates one index's columns and predicate, each prepared once for an `info`.
///
/// # Safety
/// `info` must be of an index of the slot's table, and `estate` live.
pub(crate) unsafe fn evaluate(
    info: *mut pg_sys::IndexInfo,
    slot: *mut pg_sys::TupleTableSlot,
    estate: *mut pg_sys::EState,
) -> Option<Formed> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut context = (*estate).es_per_tuple_exprcontext;
        if context.is_null() {
            context = pg_sys::MakePerTupleExprContext(estate);
        }
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        (*context).ecxt_scantuple = slot;
        if !satisfies(info, context, estate) {
            return None;
        }
        let mut formed = Formed::default();
        let (values, nulls) = (formed.values.as_mut_ptr(), formed.nulls.as_mut_ptr());
        let old = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        pg_sys::FormIndexDatum(info, slot, estate, values, nulls);
        pg_sys::MemoryContextSwitchTo(old);
        Some(formed)
    }
}

unsafe fn satisfies(
    info: *mut pg_sys::IndexInfo,
    context: *mut pg_sys::ExprContext,
    estate: *mut pg_sys::EState,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*info).ii_Predicate.is_null() {
            return true;
        }
        if (*info).ii_PredicateState.is_null() {
            (*info).ii_PredicateState = pg_sys::ExecPrepareQual((*info).ii_Predicate, estate);
        }
        let mut null = false;
        let state = (*info).ii_PredicateState;
        pg_sys::ExecEvalExprSwitchContext(state, context, &mut null).value() != 0 && !null
    }
}

/// Whether an index has expressions or a predicate.
///
/// # Safety
/// `index` must be open.
pub(super) unsafe fn is_computed(index: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise; the columns of pg_index's tuple that may be null.
    unsafe {
        let tuple = (*index).rd_indextuple;
        let columns = [pg_sys::Anum_pg_index_indexprs, pg_sys::Anum_pg_index_indpred];
        columns
            .iter()
            .any(|column| !pg_sys::heap_attisnull(tuple, *column as i32, std::ptr::null_mut()))
    }
}
