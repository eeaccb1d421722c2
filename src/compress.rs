//! Compressing the values of long rows.
//!
//! The store takes rows of any length, so no value is moved out of line. Which values are compressed,
//! and how, is what heap does (`heap_toast_insert_or_update`): the largest first, by the storage and
//! compression of their columns, until the row is no longer than the table's `toast_tuple_target`.

use pgrx::prelude::*;

use crate::{compat, pg};

/// Rows up to this length stay as they are (`TOAST_TUPLE_THRESHOLD`); longer ones should get as short
/// (`TOAST_TUPLE_TARGET`) where the table does not say otherwise.
pub(crate) const LONG_ROW: usize = 2032;
/// What heap keeps in a row of a value that it moves out of line.
const POINTER: usize = 18;
/// Values that are not larger gain nothing.
const SMALLEST: usize = 24;

/// A value that compression may shorten, or that heap would move.
struct Candidate {
    column: usize,
    size: usize,
    storage: u8,
    method: core::ffi::c_char,
    /// It was compressed, now or before, or cannot be.
    tried: bool,
    /// Heap would have moved it out of the row.
    moved: bool,
}

/// Compresses values of a row whose data has `size` bytes behind a header of `hoff`. Returns what to
/// free.
///
/// # Safety
/// `relation` must be the open table, `values` and `nulls` a row of it, with every value in line.
pub(crate) unsafe fn compress(
    relation: pg_sys::Relation,
    values: &mut [pg_sys::Datum],
    nulls: &[bool],
    size: usize,
    hoff: usize,
) -> Vec<*mut pg_sys::varlena> {
    // SAFETY: the caller's promise.
    let (candidates, target) = unsafe { (candidates(relation, values, nulls), target(relation)) };
    let target = target.saturating_sub(hoff);
    let mut row = Row { candidates, size, target, values, made: Vec::new() };
    // SAFETY: the candidates are of the values.
    unsafe {
        row.compress([pg_sys::TYPSTORAGE_EXTENDED, pg_sys::TYPSTORAGE_EXTERNAL]);
        row.move_out();
        row.compress([pg_sys::TYPSTORAGE_MAIN; 2]);
    }
    row.made
}

struct Row<'a> {
    candidates: Vec<Candidate>,
    /// Bytes of the data, as heap would have it.
    size: usize,
    target: usize,
    values: &'a mut [pg_sys::Datum],
    made: Vec<*mut pg_sys::varlena>,
}

impl Row<'_> {
    /// Compresses the largest values of these kinds until the row is short enough.
    unsafe fn compress(&mut self, storage: [u8; 2]) {
        while self.size > self.target {
            let Some(i) =
                self.largest(|candidate| !candidate.tried && storage.contains(&candidate.storage))
            else {
                break;
            };
            // SAFETY: the caller's promise.
            unsafe { self.compress_one(i) };
            let candidate = &self.candidates[i];
            if candidate.size > self.target && candidate.storage != pg_sys::TYPSTORAGE_MAIN {
                self.moved(i);
            }
        }
    }

    unsafe fn compress_one(&mut self, i: usize) {
        let candidate = &mut self.candidates[i];
        candidate.tried = true;
        if candidate.storage == pg_sys::TYPSTORAGE_EXTERNAL {
            return;
        }
        let value = &mut self.values[candidate.column];
        // SAFETY: the value is a varlena in line that is not compressed.
        unsafe {
            let Some(shorter) = compat::compress(*value, candidate.method) else { return };
            *value = shorter.into();
            self.made.push(shorter);
            let size = pgrx::varsize_any(shorter);
            self.size -= candidate.size - size.min(candidate.size);
            candidate.size = size;
        }
    }

    /// Heap moves large values out before it compresses those that should stay.
    fn move_out(&mut self) {
        let movable = |candidate: &Candidate| candidate.storage != pg_sys::TYPSTORAGE_MAIN;
        while self.size > self.target
            && let Some(i) = self.largest(movable)
        {
            self.moved(i);
        }
    }

    fn moved(&mut self, i: usize) {
        let candidate = &mut self.candidates[i];
        candidate.moved = true;
        self.size -= candidate.size - POINTER;
    }

    fn largest(&self, suits: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let candidates = self.candidates.iter().enumerate();
        let found = candidates.filter(|(_, candidate)| {
            !candidate.moved && candidate.size > SMALLEST && suits(candidate)
        });
        // Of equals, heap takes the first.
        found.rev().max_by_key(|(_, candidate)| candidate.size).map(|(i, _)| i)
    }
}

/// The values of variable length that need not stay as they are.
unsafe fn candidates(
    relation: pg_sys::Relation,
    values: &[pg_sys::Datum],
    nulls: &[bool],
) -> Vec<Candidate> {
    let candidate = |(column, value): (usize, &pg_sys::Datum)| {
        // SAFETY: the callers' promise; a value of a column of length -1 is a varlena.
        unsafe {
            let attribute = pg::attribute((*relation).rd_att, column);
            let storage = attribute.attstorage as u8;
            if nulls[column] || attribute.attlen != -1 || storage == pg_sys::TYPSTORAGE_PLAIN {
                return None;
            }
            let varlena = value.cast_mut_ptr::<pg_sys::varlena>();
            Some(Candidate {
                column,
                size: pgrx::varsize_any(varlena),
                storage,
                method: attribute.attcompression,
                tried: pgrx::varatt_is_4b_c(varlena),
                moved: false,
            })
        }
    };
    values.iter().enumerate().filter_map(candidate).collect()
}

/// How long the table wants its rows to be (`RelationGetToastTupleTarget`).
unsafe fn target(relation: pg_sys::Relation) -> usize {
    // SAFETY: the options of a table or materialized view are of this kind.
    let options = unsafe { (*relation).rd_options.cast::<pg_sys::StdRdOptions>().as_ref() };
    options.map_or(LONG_ROW, |options| options.toast_tuple_target as usize)
}
