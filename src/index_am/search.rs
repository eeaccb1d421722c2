//! From the conditions of an index scan to ranges of keys, and to what is left to look at.
//!
//! Equalities on the first columns make prefixes, one for each combination of their values; the
//! first column without one adds its range. Whatever that does not say exactly stays a filter, which
//! is evaluated on the values that the entries hold. So a scan returns exactly what was asked for.

use keycode::{Comparison, Encoder, KeyRange, Order};
use pgrx::prelude::*;
use relation::entry;

use super::codec::Codec;
use super::index::{Column, Index};

/// Longest key that is not shortened.
pub(super) const RUN_HEAD: usize = entry::LONGEST - keycode::DIGEST;
/// Most prefixes that equalities are multiplied out to; the rest are filters.
const MOST_PREFIXES: usize = 200_000;

/// Where a scan looks.
#[derive(Default)]
pub(super) struct Search {
    /// Ranges in the order of keys, without a common key.
    pub(super) ranges: Vec<KeyRange>,
    /// Conditions that entries in the ranges need not fulfil.
    pub(super) filters: Vec<Filter>,
    /// Each range has one entry at the most, whose key it begins with.
    pub(super) points: bool,
    /// The ranges as they were before long keys were shortened.
    full: Vec<KeyRange>,
}

/// A condition that is evaluated on entries.
pub(super) struct Filter {
    pub(super) key: pg_sys::ScanKeyData,
    /// The operands of `= ANY`, which live as long as its array.
    pub(super) elements: Vec<pg_sys::Datum>,
}

impl Filter {
    unsafe fn new(key: pg_sys::ScanKeyData) -> Filter {
        let is_array = key.sk_flags & pg_sys::SK_SEARCHARRAY as i32 != 0;
        // SAFETY: the operand of such a condition is an array.
        let elements = if is_array { unsafe { elements(key.sk_argument) } } else { Vec::new() };
        Filter { key, elements }
    }
}

/// A condition, and whether the ranges say it already.
struct Condition {
    key: pg_sys::ScanKeyData,
    column: usize,
    said: bool,
}

impl Condition {
    fn has(&self, flag: u32) -> bool {
        self.key.sk_flags & flag as i32 != 0
    }

    /// Comparisons with NULL are never true.
    fn is_impossible(&self) -> bool {
        self.has(pg_sys::SK_ISNULL) && !self.has(pg_sys::SK_SEARCHNULL | pg_sys::SK_SEARCHNOTNULL)
    }

    fn is_equality(&self) -> bool {
        !self.has(pg_sys::SK_ROW_HEADER)
            && (self.has(pg_sys::SK_SEARCHNULL)
                || self.comparison() == Some(Comparison::Equal)
                    && !self.has(pg_sys::SK_SEARCHNOTNULL))
    }

    fn comparison(&self) -> Option<Comparison> {
        comparison(self.key.sk_strategy)
    }
}

fn comparison(strategy: pg_sys::StrategyNumber) -> Option<Comparison> {
    Some(match u32::from(strategy) {
        pg_sys::BTLessStrategyNumber => Comparison::Less,
        pg_sys::BTLessEqualStrategyNumber => Comparison::LessEqual,
        pg_sys::BTEqualStrategyNumber => Comparison::Equal,
        pg_sys::BTGreaterEqualStrategyNumber => Comparison::GreaterEqual,
        pg_sys::BTGreaterStrategyNumber => Comparison::Greater,
        _ => return None,
    })
}

impl Search {
    /// # Safety
    /// `keys` must be the conditions of a scan of the index.
    pub(super) unsafe fn new(index: &Index, keys: &[pg_sys::ScanKeyData]) -> Search {
        let mut conditions: Vec<Condition> = keys
            .iter()
            .map(|key| Condition { key: *key, column: key.sk_attno as usize - 1, said: false })
            .collect();
        if conditions.iter().any(Condition::is_impossible) {
            return Search::default();
        }
        // SAFETY: the caller's promise.
        let (mut full, points) = unsafe { ranges(index, &mut conditions) };
        full.retain(|range| !range.is_empty());
        join(&mut full);
        let shorten = |range: &KeyRange| range.clone().shortened(entry::LONGEST);
        let mut ranges: Vec<KeyRange> = full.iter().map(shorten).collect();
        join(&mut ranges);
        // The entry of a long key has another one.
        let points = points && full.iter().all(|range| range.start.len() <= RUN_HEAD);
        // SAFETY: the conditions are the scan's.
        let filter = |condition: Condition| unsafe { Filter::new(condition.key) };
        let filters = conditions.into_iter().filter(|c| !c.said).map(filter).collect();
        Search { ranges, filters, points, full }
    }

    /// Whether the ranges have a key that was not shortened.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        let after = self.full.partition_point(|range| range.start.as_slice() <= key);
        after > 0 && self.full[after - 1].contains(key)
    }
}

/// Sorts ranges and joins those that have a key in common.
fn join(ranges: &mut Vec<KeyRange>) {
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    ranges.dedup_by(|next, range| {
        let joins = next.start < range.end;
        if joins && next.end > range.end {
            range.end = std::mem::take(&mut next.end);
        }
        joins
    });
}

unsafe fn ranges(index: &Index, conditions: &mut [Condition]) -> (Vec<KeyRange>, bool) {
    let mut prefixes = vec![index.prefix().to_vec()];
    let mut exact = true;
    for (i, column) in index.columns.iter().enumerate() {
        // SAFETY: the callers' promise.
        let more = unsafe { equal(column, i, conditions, &prefixes) };
        match more {
            Some((more, is_null)) => {
                exact &= !is_null && column.codec.is_exact();
                prefixes = more;
            }
            None => {
                // SAFETY: the callers' promise.
                let ranges = prefixes
                    .iter()
                    .flat_map(|prefix| unsafe { bounded(column, index, i, conditions, prefix) });
                return (ranges.collect(), false);
            }
        }
    }
    let points = exact && index.rule == super::index::Rule::Key;
    (prefixes.iter().map(|prefix| KeyRange::equal(prefix)).collect(), points)
}

/// The prefixes that an equality on a column makes of those before it, and whether it is IS NULL.
unsafe fn equal(
    column: &Column,
    i: usize,
    conditions: &mut [Condition],
    prefixes: &[Vec<u8>],
) -> Option<(Vec<Vec<u8>>, bool)> {
    for condition in conditions.iter_mut().filter(|c| c.column == i && c.is_equality()) {
        // SAFETY: the callers' promise.
        let Some(mut cells) = (unsafe { equal_cells(column, &condition.key) }) else { continue };
        cells.sort();
        cells.dedup();
        if prefixes.len().saturating_mul(cells.len().max(1)) > MOST_PREFIXES {
            continue;
        }
        let is_null = condition.has(pg_sys::SK_SEARCHNULL);
        condition.said = is_null || column.codec.is_exact();
        let more = prefixes.iter().flat_map(|prefix| {
            cells.iter().map(move |cell| [prefix.as_slice(), cell.as_slice()].concat())
        });
        return Some((more.collect(), is_null));
    }
    None
}

/// The cells that a column may have by an equality; `None` if cells of its operands say nothing.
unsafe fn equal_cells(column: &Column, key: &pg_sys::ScanKeyData) -> Option<Vec<Vec<u8>>> {
    let flag = |flag: u32| key.sk_flags & flag as i32 != 0;
    if flag(pg_sys::SK_SEARCHNULL) {
        let mut cell = Vec::new();
        Encoder::new(&mut cell).column(column.order, None);
        return Some(vec![cell]);
    }
    let codec = operand(column, key)?;
    // SAFETY: the operand is of the type that the key says; NULLs were left out.
    unsafe {
        if flag(pg_sys::SK_SEARCHARRAY) {
            let elements = elements(key.sk_argument);
            return Some(elements.iter().map(|one| cell(&codec, column.order, *one)).collect());
        }
        Some(vec![cell(&codec, column.order, key.sk_argument)])
    }
}

/// How operands of a condition become cells of its column.
fn operand(column: &Column, key: &pg_sys::ScanKeyData) -> Option<Codec> {
    column.codec.for_operand(key.sk_subtype)
}

unsafe fn cell(codec: &Codec, order: Order, datum: pg_sys::Datum) -> Vec<u8> {
    let mut cell = Vec::new();
    // SAFETY: the caller's promise.
    unsafe {
        codec.with(datum, |value| {
            Encoder::new(&mut cell).column(order, Some(value));
        });
    }
    cell
}

/// The elements of an array that are not NULL; `datum` must be one.
unsafe fn elements(datum: pg_sys::Datum) -> Vec<pg_sys::Datum> {
    // SAFETY: the caller's promise; PostgreSQL allocates the arrays with as many elements as it says.
    unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        let (mut length, mut by_value, mut align) = (0, false, 0);
        pg_sys::get_typlenbyvalalign((*array).elemtype, &mut length, &mut by_value, &mut align);
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            (*array).elemtype,
            i32::from(length),
            by_value,
            align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        if count == 0 {
            return Vec::new();
        }
        let values = std::slice::from_raw_parts(values, count as usize);
        let nulls = std::slice::from_raw_parts(nulls, count as usize);
        values.iter().zip(nulls).filter(|(_, null)| !**null).map(|(value, _)| *value).collect()
    }
}

/// The ranges behind a prefix that conditions on the column behind it leave.
unsafe fn bounded(
    column: &Column,
    index: &Index,
    i: usize,
    conditions: &mut [Condition],
    prefix: &[u8],
) -> Vec<KeyRange> {
    let mut range = KeyRange::all(prefix);
    let mut rows = None;
    for condition in conditions.iter_mut().filter(|c| c.column == i) {
        if condition.has(pg_sys::SK_ROW_HEADER) {
            if rows.is_none() && index.is_ordered() {
                // SAFETY: the callers' promise.
                let (ranges, whole) = unsafe { row_ranges(index, condition, prefix) };
                rows = ranges;
                condition.said |= whole;
            }
            continue;
        }
        // SAFETY: the callers' promise.
        if let Some(narrower) = unsafe { one_range(column, condition, prefix) } {
            range = range.intersect(narrower);
            condition.said = true;
        }
    }
    match rows {
        None => vec![range],
        Some(rows) => rows.into_iter().map(|row| row.intersect(range.clone())).collect(),
    }
}

/// The range of a condition on one column, if it has one.
unsafe fn one_range(column: &Column, condition: &Condition, prefix: &[u8]) -> Option<KeyRange> {
    if condition.has(pg_sys::SK_SEARCHNOTNULL) {
        return Some(KeyRange::not_nulls(prefix));
    }
    if condition.has(pg_sys::SK_SEARCHARRAY | pg_sys::SK_SEARCHNULL) || !column.codec.is_ordered() {
        return None;
    }
    let comparison = condition.comparison()?;
    let codec = operand(column, &condition.key)?;
    // SAFETY: the operand is of the type that the key says, and not NULL.
    unsafe {
        Some(codec.with(condition.key.sk_argument, |value| {
            KeyRange::compare(prefix, column.order, comparison, value)
        }))
    }
}

/// The ranges that a comparison of rows leaves, if any, by those of its first columns that are the
/// index's next ones; and whether that is all of it.
unsafe fn row_ranges(
    index: &Index,
    condition: &Condition,
    prefix: &[u8],
) -> (Option<Vec<KeyRange>>, bool) {
    let Some(comparison) = condition.comparison() else { return (None, false) };
    // SAFETY: the argument of a row header is its members, of which the last is marked.
    let members = unsafe { members(&condition.key) };
    let mut operands: Vec<(Order, Option<Vec<u8>>)> = Vec::new();
    for (place, member) in members.iter().enumerate() {
        let at = condition.column + place;
        let column = index.columns.get(at).filter(|_| member.sk_attno as usize == at + 1);
        let Some((column, codec)) = column.and_then(|c| Some((c, operand(c, member)?))) else {
            break;
        };
        let null = member.sk_flags & pg_sys::SK_ISNULL as i32 != 0;
        // SAFETY: the operand is of the type that the key says.
        let cell = (!null).then(|| unsafe { cell(&codec, column.order, member.sk_argument) });
        operands.push((column.order, cell));
    }
    if operands.is_empty() {
        return (None, false);
    }
    let whole = operands.len() == members.len();
    // Rows that are equal so far are decided by the columns that are left.
    let comparison = if whole { comparison } else { comparison.or_equal() };
    (Some(KeyRange::compare_row_cells(prefix, comparison, &operands)), whole)
}

/// The members of a comparison of rows.
///
/// # Safety
/// `key` must be a row header.
pub(super) unsafe fn members(key: &pg_sys::ScanKeyData) -> Vec<pg_sys::ScanKeyData> {
    let mut members = Vec::new();
    let mut member = key.sk_argument.cast_mut_ptr::<pg_sys::ScanKeyData>();
    loop {
        // SAFETY: the caller's promise: members follow each other up to the one that is marked.
        unsafe {
            members.push(*member);
            if (*member).sk_flags & pg_sys::SK_ROW_END as i32 != 0 {
                return members;
            }
            member = member.add(1);
        }
    }
}
