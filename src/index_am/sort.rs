//! Sorting the entries of an index that is built.
//!
//! In memory as far as `maintenance_work_mem` allows, and from there on by PostgreSQL's own sort, which
//! goes to files. What is in memory is sorted here: comparing the first eight bytes decides most, where
//! PostgreSQL's sort asks a function of the type, and entries lie one behind the other.

use std::cmp::Ordering;

use pgrx::prelude::*;

use crate::compat;

/// Entries are kept in pieces of so many bytes, or of one entry that is longer.
const PIECE: usize = 1 << 20;
/// Most bytes that are sorted in memory, whatever may be had: nothing interrupts that.
const MOST: usize = 64 << 20;
/// Bytes of the length that stands behind each entry's key and body.
const LENGTH: usize = 2;

/// Entries to be sorted, or sorted.
pub(super) struct Sort {
    pieces: Vec<Vec<u8>>,
    places: Vec<Place>,
    /// How many bytes may be kept in memory, and how many are.
    room: usize,
    bytes: usize,
    /// How many of the sorted places were given out.
    taken: usize,
    /// The sort that goes to files, once there is one.
    files: *mut pg_sys::Tuplesortstate,
    /// Where it lives.
    memory: pg_sys::MemoryContext,
    /// An entry as a `bytea`, reused.
    scratch: Vec<u8>,
}

/// Where an entry lies, and the beginning of its key as a number.
#[derive(Clone, Copy)]
struct Place {
    head: u64,
    piece: u32,
    at: u32,
}

/// A sorted entry, taken apart.
pub(super) struct Sorted<'a> {
    pub(super) key: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Sort {
    /// No entries. What goes to files lives in the current memory context.
    pub(super) fn new() -> Sort {
        // SAFETY: reads variables of the backend.
        let (memory, kilobytes) =
            unsafe { (pg_sys::CurrentMemoryContext, pg_sys::maintenance_work_mem) };
        Sort {
            pieces: Vec::new(),
            places: Vec::new(),
            room: usize::try_from(kilobytes).unwrap_or(0).saturating_mul(1024).min(MOST),
            bytes: 0,
            taken: 0,
            files: std::ptr::null_mut(),
            memory,
            scratch: Vec::new(),
        }
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, key: &[u8], body: &[u8]) {
        let length = (key.len() as u16).to_le_bytes();
        let size = key.len() + body.len() + LENGTH;
        if !self.files.is_null() {
            return self.spill([key, body, &length]);
        }
        if self.bytes + size > self.room {
            self.go_to_files();
            return self.spill([key, body, &length]);
        }
        if self.pieces.last().is_none_or(|piece| piece.len() + size_of::<u32>() + size > PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE.max(size_of::<u32>() + size)));
        }
        let piece = self.pieces.len() - 1;
        let bytes = &mut self.pieces[piece];
        let at = bytes.len();
        bytes.extend_from_slice(&(size as u32).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&length);
        let head = head(&bytes[at + size_of::<u32>()..]);
        self.places.push(Place { head, piece: piece as u32, at: at as u32 });
        self.bytes += size_of::<u32>() + size + size_of::<Place>();
    }

    /// Hands what is in memory to the sort that goes to files.
    fn go_to_files(&mut self) {
        // SAFETY: the memory was the current one when the build began, and is there until it ends.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            self.files = compat::sort_bytes();
            pg_sys::MemoryContextSwitchTo(before);
        }
        // They are in the order of their pieces still, and each piece goes when it has been handed over.
        let mut places = std::mem::take(&mut self.places).into_iter().peekable();
        for (number, piece) in std::mem::take(&mut self.pieces).into_iter().enumerate() {
            while let Some(place) = places.next_if(|place| place.piece as usize == number) {
                self.spill([place.bytes(&piece), &[], &[]]);
            }
        }
    }

    fn spill(&mut self, parts: [&[u8]; 3]) {
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(&[0; pg_sys::VARHDRSZ]);
        parts.iter().for_each(|part| scratch.extend_from_slice(part));
        // SAFETY: the sort was begun and copies the value.
        unsafe {
            pgrx::set_varsize_4b(scratch.as_mut_ptr().cast(), scratch.len() as i32);
            let datum = pg_sys::Datum::from(scratch.as_ptr().cast_mut());
            pg_sys::tuplesort_putdatum(self.files, datum, false);
        }
    }

    /// All entries were added.
    pub(super) fn perform(&mut self) {
        if !self.files.is_null() {
            // SAFETY: the sort was begun.
            return unsafe { pg_sys::tuplesort_performsort(self.files) };
        }
        let Sort { pieces, places, .. } = self;
        places.sort_unstable_by(|a, b| match a.head.cmp(&b.head) {
            Ordering::Equal => a.entry(pieces).cmp(b.entry(pieces)),
            other => other,
        });
    }

    /// The next entry in the order of keys; it lives until the next call.
    pub(super) fn next(&mut self) -> Option<Sorted<'_>> {
        if !self.files.is_null() {
            // SAFETY: the sort was performed; the values are those that `spill` made.
            let bytes = unsafe {
                let datum = compat::next_sorted(self.files)?;
                pgrx::varlena_to_byte_slice(datum.cast_mut_ptr::<pg_sys::varlena>())
            };
            return Some(Sorted::of(bytes));
        }
        let place = self.places.get(self.taken)?;
        self.taken += 1;
        Some(Sorted::of(place.entry(&self.pieces)))
    }

    /// Gives the files up. Not after an error, which has done so.
    pub(super) fn end(self) {
        if !self.files.is_null() {
            // SAFETY: the sort was begun and is not used any more.
            unsafe { pg_sys::tuplesort_end(self.files) };
        }
    }
}

impl Place {
    fn entry<'a>(&self, pieces: &'a [Vec<u8>]) -> &'a [u8] {
        self.bytes(&pieces[self.piece as usize])
    }

    /// The entry, in its piece.
    fn bytes<'a>(&self, piece: &'a [u8]) -> &'a [u8] {
        let (size, bytes) = piece[self.at as usize..].split_at(size_of::<u32>());
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
        &bytes[..size as usize]
    }
}

/// The first eight bytes, as a number that is ordered as they are.
fn head(bytes: &[u8]) -> u64 {
    let mut head = [0; size_of::<u64>()];
    let length = bytes.len().min(head.len());
    head[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(head)
}

impl<'a> Sorted<'a> {
    fn of(bytes: &'a [u8]) -> Sorted<'a> {
        let (bytes, length) = bytes.split_at(bytes.len() - LENGTH);
        let (key, body) = bytes.split_at(usize::from(u16::from_le_bytes([length[0], length[1]])));
        Sorted { key, body }
    }
}
