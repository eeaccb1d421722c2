//! What ranges of keys do not say of an entry.

use pgrx::prelude::*;

use super::index::{self, Index};
use super::search::{self, Filter, RUN_HEAD, Search};

/// Values of an entry.
struct Values {
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Values {
    unsafe fn of(relation: pg_sys::Relation, body: &[u8]) -> Values {
        // SAFETY: the callers' promise.
        unsafe {
            let columns = (*(*relation).rd_att).natts as usize;
            let (mut values, mut nulls) =
                (vec![pg_sys::Datum::from(0); columns], vec![false; columns]);
            index::deform(relation, body, &mut values, &mut nulls);
            Values { values, nulls }
        }
    }
}

/// Whether an entry that a range has is what a scan looks for.
///
/// # Safety
/// `relation` must be the open index, `body` its entry's, at a multiple of 8.
pub(super) unsafe fn passes(
    relation: pg_sys::Relation,
    index: &Index,
    search: &Search,
    key: &[u8],
    body: &[u8],
) -> bool {
    let shortened = key.len() > RUN_HEAD;
    if !shortened && search.filters.is_empty() {
        return true;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let entry = Values::of(relation, body);
        let full = || index.full_cells(&entry.values, &entry.nulls);
        (!shortened || search.has(&full()))
            && search.filters.iter().all(|filter| is_true(filter, &entry))
    }
}

/// The cells of an entry as they were before they were shortened.
///
/// # Safety
/// As for [`passes`].
pub(super) unsafe fn full_key(relation: pg_sys::Relation, index: &Index, body: &[u8]) -> Vec<u8> {
    // SAFETY: the caller's promise.
    unsafe {
        let entry = Values::of(relation, body);
        index.full_cells(&entry.values, &entry.nulls)
    }
}

unsafe fn is_true(filter: &Filter, entry: &Values) -> bool {
    let key = &filter.key;
    let flag = |flag: u32| key.sk_flags & flag as i32 != 0;
    let i = key.sk_attno as usize - 1;
    // SAFETY: the callers' promise: the key is of the index's scan.
    unsafe {
        if flag(pg_sys::SK_ROW_HEADER) {
            return row_is_true(key, entry);
        }
        if flag(pg_sys::SK_SEARCHNULL) {
            return entry.nulls[i];
        }
        if flag(pg_sys::SK_SEARCHNOTNULL) {
            return !entry.nulls[i];
        }
        if entry.nulls[i] || flag(pg_sys::SK_ISNULL) {
            return false;
        }
        let value = entry.values[i];
        if flag(pg_sys::SK_SEARCHARRAY) {
            return filter.elements.iter().any(|one| call(key, value, *one).value() != 0);
        }
        call(key, value, key.sk_argument).value() != 0
    }
}

unsafe fn call(
    key: &pg_sys::ScanKeyData,
    value: pg_sys::Datum,
    operand: pg_sys::Datum,
) -> pg_sys::Datum {
    let mut function = key.sk_func;
    // SAFETY: the key has the operator's function for these types.
    unsafe { pg_sys::FunctionCall2Coll(&mut function, key.sk_collation, value, operand) }
}

/// A comparison of rows: the first column that differs decides. The members' functions compare as
/// sort support does.
unsafe fn row_is_true(header: &pg_sys::ScanKeyData, entry: &Values) -> bool {
    let mut result = 0;
    // SAFETY: the caller's promise.
    for member in unsafe { search::members(header) } {
        let i = member.sk_attno as usize - 1;
        if entry.nulls[i] || member.sk_flags & pg_sys::SK_ISNULL as i32 != 0 {
            return false;
        }
        // SAFETY: as above.
        result = unsafe { call(&member, entry.values[i], member.sk_argument) }.value() as i32;
        if result != 0 {
            break;
        }
    }
    match u32::from(header.sk_strategy) {
        pg_sys::BTLessStrategyNumber => result < 0,
        pg_sys::BTLessEqualStrategyNumber => result <= 0,
        pg_sys::BTEqualStrategyNumber => result == 0,
        pg_sys::BTGreaterEqualStrategyNumber => result >= 0,
        _ => result > 0,
    }
}
