//! Looking later whether keys are free, many at once.
//!
//! Over a network, to look at each key of a statement that inserts many rows is a round trip each. So
//! from the second row of a command on, an entry is written as if its key were free, and the keys are
//! looked at together: when there are enough of them, before anything else can run in this transaction,
//! and when the statement's rows are through, before its AFTER triggers. Until then nobody can see the
//! difference: others wait for the locks of the keys as ever, and a key that is taken after all fails the
//! statement as it would have failed earlier. Were a look forgotten, the commit would still refuse.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use kv::Result;
use mvcc::WriteId;
use pgrx::prelude::*;
use relation::{RowId, Space, entry};

use super::form::Formed;
use super::index::{self, Copied, Entry, Index};
use super::insert::{Addition, InTheWay};
use super::unread;
use super::violation::{self, Duplicate};
use crate::changes;
use crate::error::OrRaise;
use crate::pg::PerBackend;
use crate::table::Table;
use crate::table_am::insert::count;
use crate::transaction::{self, Active};

/// How many keys are looked at together.
const TOGETHER: usize = 512;

/// How many keys of an index in their order let one expect others behind them.
const MANY: usize = 16;

/// Entries whose keys have not been looked at.
#[derive(Default)]
pub(crate) struct Late {
    entries: VecDeque<LateEntry>,
    /// The indexes to which the last command has added an entry.
    last: Vec<(Space, pg_sys::CommandId)>,
}

/// How many queries run inside of each other, where none has failed.
static QUERIES: PerBackend<Cell<u32>> = PerBackend(Cell::new(0));

/// Whether a query runs, so that the keys will be looked at when its rows are through.
pub(super) fn query_runs() -> bool {
    QUERIES.get() > 0
}

/// A query begins to run.
pub(crate) fn query_begins() {
    QUERIES.set(QUERIES.get() + 1);
}

/// A query has run.
pub(crate) fn query_ends() {
    QUERIES.set(QUERIES.get().saturating_sub(1));
}

/// No query of the transaction runs any more, whatever became of them.
pub(crate) fn forget_queries() {
    QUERIES.set(0);
}

struct LateEntry {
    table: Rc<Table>,
    index: Rc<Index>,
    entry: Rc<Entry>,
    row: RowId,
    written: WriteId,
    level: i32,
}

/// A key that is taken: its table and index, opened. The words are noted.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Violation {
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
}

impl Violation {
    const NONE: Violation = Violation { heap: std::ptr::null_mut(), index: std::ptr::null_mut() };

    /// Raises the error if there is one.
    ///
    /// # Safety
    /// The caller's frame must own nothing: the error jumps over it.
    pub(crate) unsafe fn report(self) {
        if !self.index.is_null() {
            let message = c"duplicate key value violates unique constraint \"%s\"";
            // SAFETY: the relations are open; the caller's promise.
            unsafe {
                violation::report(self.heap, self.index, message, c"Key %s already exists.", c"")
            };
        }
    }
}

impl Late {
    /// Whether a query that runs has added an entry to the index before. COPY is none: its errors name
    /// the line.
    pub(super) fn is_one_of_many(&mut self, index: &Index, command: pg_sys::CommandId) -> bool {
        let this = (index.stored.space, command);
        let again = self.last.contains(&this);
        if !again {
            self.last.retain(|(_, other)| *other == command);
            self.last.push(this);
        }
        again && query_runs()
    }

    pub(super) fn push(&mut self, addition: &Addition<'_>, written: WriteId) {
        let Addition { table, index, entry, row, .. } = *addition;
        self.entries.push_back(LateEntry {
            table: Rc::clone(table),
            index: Rc::clone(index),
            entry: Rc::new(entry.clone()),
            row,
            written,
            level: transaction::level(),
        });
    }

    /// A savepoint was released.
    pub(crate) fn release_level(&mut self, level: i32) {
        for late in self.entries.iter_mut().filter(|late| late.level >= level) {
            late.level = level - 1;
        }
    }

    /// A savepoint was rolled back, and its entries with it.
    pub(crate) fn abort_level(&mut self, level: i32) {
        self.entries.retain(|late| late.level < level);
    }
}

/// Whether it is time to look.
#[pg_guard]
pub(super) extern "C-unwind" fn are_enough() -> bool {
    transaction::with_begun(|active| active.late.entries.len() >= TOGETHER) == Some(true)
}

/// Looks at the keys that have not been looked at. To be called before anything runs that could see the
/// difference.
#[pg_guard]
pub(crate) unsafe extern "C-unwind" fn look() -> Violation {
    let waiting =
        |active: &mut Active| (!active.unread.is_empty(), !active.late.entries.is_empty());
    let (unread, late) = transaction::with_begun(waiting).unwrap_or_default();
    if unread {
        transaction::with(unread::look).or_raise();
    }
    if !late {
        return Violation::NONE;
    }
    transaction::with(look_ahead).or_raise();
    while let Some(taken) = next_taken() {
        // SAFETY: the table and the index are locked by the statement that added the entry.
        if let Some(violation) = unsafe { taken.add_again() } {
            return violation;
        }
    }
    Violation::NONE
}

fn look_ahead(active: &mut Active) -> Result<()> {
    let mut by_index: Vec<(Rc<Index>, Vec<Rc<Entry>>)> = Vec::new();
    for late in &active.late.entries {
        let same = by_index.iter_mut().find(|(index, _)| Rc::ptr_eq(index, &late.index));
        match same {
            Some((_, keys)) => keys.push(Rc::clone(&late.entry)),
            None => by_index.push((Rc::clone(&late.index), vec![Rc::clone(&late.entry)])),
        }
    }
    let keys: Vec<&[u8]> = by_index.iter().flat_map(|(_, keys)| keys).map(|e| &e.key[..]).collect();
    active.store.look_ahead(&keys)?;
    // Behind many keys in their order, all may be free.
    for (index, keys) in &by_index {
        if keys.len() >= MANY && keys.is_sorted_by_key(|entry| &entry.key) {
            let (_, end) = index.range();
            active.store.look_behind(&keys[keys.len() - 1].key, &end)?;
        }
    }
    Ok(())
}

/// Settles entries whose keys are free, up to the first that is not. Those of the levels below stay:
/// their error must not be caught by a block inside of the statement that it belongs to.
fn next_taken() -> Option<LateEntry> {
    let level = transaction::level();
    let mut below = VecDeque::new();
    transaction::with(|active| {
        let mut taken = None;
        while let Some(late) = active.late.entries.pop_front() {
            if late.settle(active)? {
                continue;
            }
            if late.level >= level {
                taken = Some(late);
                break;
            }
            below.push_back(late);
        }
        below.append(&mut active.late.entries);
        active.late.entries = below;
        Ok(taken)
    })
    .or_raise()
}

impl LateEntry {
    /// Says what the store holds in the entry's place, if that is nothing. False if it is an entry.
    fn settle(&self, active: &mut Active) -> Result<bool> {
        let key = &self.entry.key;
        if active.store.live(key) != Some(self.written) {
            return Ok(true);
        }
        let zero = self.index.stored.zero(active)?;
        let mut page = active.store.page();
        let holds = |version| changes::none_since(version, key);
        let newest = active.store.committed_ahead(key, zero, &mut page, holds)?;
        if newest.exists() && entry::row(&page.value(0)[mvcc::HEADER..])? != self.row {
            return Ok(false);
        }
        active.store.rebase(key, newest.base());
        Ok(true)
    }

    /// Takes the entry back and adds it as if it were the only one: that waits for who may be about to
    /// delete the row that has the key.
    unsafe fn add_again(&self) -> Option<Violation> {
        transaction::with(|active| {
            active.store.unwrite(self.written);
            count(active, &self.index.stored, -1, -(self.entry.body.len() as i64));
        });
        // SAFETY: both are locked since the entry was added; the body is an entry's of this index.
        unsafe {
            let lock = pg_sys::NoLock as i32;
            let heap = pg_sys::table_open(self.table.oid, lock);
            let relation = pg_sys::index_open(self.index.stored.oid, lock);
            let body = Copied::of(&self.entry.body);
            let mut formed = Formed::default();
            index::deform(relation, body.bytes(), &mut formed.values, &mut formed.nulls);
            let columns = (*(*relation).rd_att).natts as usize;
            let addition = Addition {
                heap,
                relation,
                index: &self.index,
                table: &self.table,
                entry: &self.entry,
                values: &formed.values[..columns],
                nulls: &formed.nulls[..columns],
                row: self.row,
            };
            if let Err(InTheWay) = addition.put_key() {
                let Duplicate = violation::note(relation, addition.values, addition.nulls);
                return Some(Violation { heap, index: relation });
            }
            pg_sys::index_close(relation, lock);
            pg_sys::table_close(heap, lock);
        }
        None
    }
}
