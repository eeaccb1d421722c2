//! Comparing the values of entries whose cells do not tell all values apart.

use pgrx::prelude::*;

use super::index;

/// Whether an entry's key columns equal the values given, NULLs being equal to each other.
///
/// # Safety
/// `relation` must be an open index, `body` one of its entries at a multiple of 8, and the slices must
/// have an element for each key column.
pub(super) unsafe fn values_are(
    relation: pg_sys::Relation,
    body: &[u8],
    values: &[pg_sys::Datum],
    nulls: &[bool],
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let columns = (*(*relation).rd_att).natts as usize;
        let mut its = vec![pg_sys::Datum::from(0); columns];
        let mut its_nulls = vec![false; columns];
        index::deform(relation, body, &mut its, &mut its_nulls);
        let keys = (*(*relation).rd_index).indnkeyatts as usize;
        (0..keys).all(|i| match (nulls[i], its_nulls[i]) {
            (true, true) => true,
            (false, false) => are_equal(relation, i, values[i], its[i]),
            _ => false,
        })
    }
}

unsafe fn are_equal(
    relation: pg_sys::Relation,
    i: usize,
    a: pg_sys::Datum,
    b: pg_sys::Datum,
) -> bool {
    // SAFETY: the caller's promise; a btree operator class has an equality operator.
    unsafe {
        let (family, input) = (*(*relation).rd_opfamily.add(i), *(*relation).rd_opcintype.add(i));
        let strategy = pg_sys::BTEqualStrategyNumber as i16;
        let operator = pg_sys::get_opfamily_member(family, input, input, strategy);
        let collation = *(*relation).rd_indcollation.add(i);
        pg_sys::OidFunctionCall2Coll(pg_sys::get_opcode(operator), collation, a, b).value() != 0
    }
}
