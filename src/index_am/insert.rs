//! Adding entries, and keeping unique what must be.
//!
//! A key that is inserted into a unique index is locked in PostgreSQL's lock manager until the
//! transaction ends, so that who inserts the same one waits, as on heap. Whoever finds a committed
//! entry in the way waits for its row's lock, because somebody may be about to delete the row. Above
//! the cap on locks, and between servers, the commit finds out.

use std::rc::Rc;

use kv::{Direction, Result, Version};
use mvcc::{Base, Change, Newest, Scan, ScanOptions, Snapshot, WriteId};
use pgrx::prelude::*;
use relation::{RowId, entry, key};

use super::index::{self, Copied, Entry, Index, Rule};
use super::late;
use super::unread;
use super::verify;
use super::violation::{self, Duplicate};
use crate::error::OrRaise;
use crate::table::{self, Table};
use crate::table_am::insert::count;
use crate::transaction::{self, Active};
use crate::{changes, lock, row};

/// Entries begin at a multiple of 8: their values are an index tuple.
pub(super) const LAYOUT: kv::Layout = kv::Layout { headroom: 0, phase: 0 };

/// Who wants to add an entry, and to which table and index.
pub(super) struct Addition<'a> {
    pub(super) heap: pg_sys::Relation,
    pub(super) relation: pg_sys::Relation,
    pub(super) index: &'a Rc<Index>,
    pub(super) table: &'a Rc<Table>,
    pub(super) entry: &'a Entry,
    pub(super) values: &'a [pg_sys::Datum],
    pub(super) nulls: &'a [bool],
    pub(super) row: RowId,
}

/// A row that has what another one must not have too.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rival {
    row: RowId,
    /// The commit of its entry; none if this transaction wrote it.
    version: Option<Version>,
}

/// What an addition came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
enum Added {
    Yes,
    /// Another row may be in the way, which the caller wanted to be told.
    Perhaps,
    Duplicate,
    /// It is not known yet.
    Late,
}

pub(super) unsafe extern "C-unwind" fn aminsert(
    relation: pg_sys::Relation,
    values: *mut pg_sys::Datum,
    nulls: *mut bool,
    tid: pg_sys::ItemPointer,
    heap: pg_sys::Relation,
    check: pg_sys::IndexUniqueCheck::Type,
    _unchanged: bool,
    info: *mut pg_sys::IndexInfo,
) -> bool {
    // SAFETY: PostgreSQL's arguments, handed on. This frame owns nothing.
    unsafe {
        let added = insert(relation, values, nulls, tid, heap, check, info);
        if added == Added::Duplicate {
            let message = c"duplicate key value violates unique constraint \"%s\"";
            violation::report(heap, relation, message, c"Key %s already exists.", c"");
        }
        if added == Added::Late && late::are_enough() {
            late::look().report();
        }
        matches!(added, Added::Yes | Added::Late)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn insert(
    relation: pg_sys::Relation,
    values: *mut pg_sys::Datum,
    nulls: *mut bool,
    tid: pg_sys::ItemPointer,
    heap: pg_sys::Relation,
    check: pg_sys::IndexUniqueCheck::Type,
    info: *mut pg_sys::IndexInfo,
) -> Added {
    use pg_sys::IndexUniqueCheck::*;
    transaction::check_writable();
    // SAFETY: PostgreSQL passes open relations, a valid TID, and a value for each column.
    unsafe {
        let (index, table) = (index::of(relation), table::of(heap));
        let tid = row::tid(tid);
        let named = transaction::with(|active| {
            // The update that made this version left the entry as it is.
            let kept = check != UNIQUE_CHECK_EXISTING && active.keeps_entry(tid, index.stored.oid);
            if kept { None } else { active.target(table.space, tid) }
        });
        let Some(named) = named else { return Added::Yes };
        let columns = (*(*relation).rd_att).natts as usize;
        let values = std::slice::from_raw_parts(values, columns);
        let nulls = std::slice::from_raw_parts(nulls, columns);
        let entry = index.entry(relation, values, nulls, named.row);
        let addition = Addition {
            heap,
            relation,
            index: &index,
            table: &table,
            entry: &entry,
            values,
            nulls,
            row: named.row,
        };
        if !entry.unique {
            if !(*info).ii_ExclusionOps.is_null() {
                addition.claim(lock::Policy::Wait);
            }
            addition.put();
            return Added::Yes;
        }
        let partial = check == UNIQUE_CHECK_PARTIAL;
        let added = match (index.rule, check) {
            (_, UNIQUE_CHECK_EXISTING) => addition.check_again(),
            (Rule::Key, UNIQUE_CHECK_YES) if addition.may_be_late() => return Added::Late,
            (Rule::Key, _) => addition.put_key(),
            _ => addition.put_searched(partial, immediate(relation)),
        };
        match added {
            Ok(()) => Added::Yes,
            Err(InTheWay) if partial => Added::Perhaps,
            Err(InTheWay) => {
                let Duplicate = violation::note(relation, addition.values, addition.nulls);
                Added::Duplicate
            }
        }
    }
}

/// Another row has the key, or may have it.
pub(super) struct InTheWay;

unsafe fn immediate(relation: pg_sys::Relation) -> bool {
    // SAFETY: the callers' relation is an open index.
    unsafe { (*(*relation).rd_index).indimmediate }
}

impl Addition<'_> {
    /// Adds an entry whose key has the row's id.
    fn put(&self) {
        transaction::with(|active| {
            let own = active.store.live(&self.entry.key).is_some();
            if !own && is_new(active, self.table, self.row)? {
                return self.write(active, Base::New, None).map(drop);
            }
            if unread::add(active, self.index, self.entry, self.row, command())? {
                return Ok(());
            }
            let mut page = active.store.page();
            let newest = self.newest(active, &mut page)?;
            self.write_over(active, &newest, &page)
        })
        .or_raise();
    }

    /// Adds an entry of which there may be only one, unless there is another row's.
    pub(super) unsafe fn put_key(&self) -> std::result::Result<(), InTheWay> {
        let (mut waited, mut left_over) = (None, None);
        let mut locked = lock::key(self.index, self.cells(), lock::Policy::Wait);
        let mut ahead = locked != lock::Key::Alone;
        loop {
            let rival = transaction::with(|active| {
                let mut page = active.store.page();
                let newest = if std::mem::take(&mut ahead) {
                    index::newest_ahead(active, self.index, &self.entry.key, &mut page)?
                } else {
                    self.newest(active, &mut page)?
                };
                let owner = owner(&newest, &page)?;
                let in_the_way = |rival: &Rival| rival.row != self.row && left_over != Some(*rival);
                if let Some(rival) = owner.filter(in_the_way) {
                    return Ok(Some(rival));
                }
                self.write_over(active, &newest, &page)?;
                Ok(None)
            })
            .or_raise();
            let Some(rival) = rival else { return Ok(()) };
            // SAFETY: the relations are open.
            if unsafe { self.is_left_over(rival) } {
                left_over = Some(rival);
                continue;
            }
            // Who is about to delete the row may want to insert the key again.
            if locked == lock::Key::Ours {
                lock::give_back(self.index, self.cells());
            }
            if self.outwait(rival, &mut waited) {
                return Err(InTheWay);
            }
            locked = lock::key(self.index, self.cells(), lock::Policy::Wait);
        }
    }

    /// Adds an entry beside others with the same cells, and looks whether one of them is equal.
    unsafe fn put_searched(
        &self,
        partial: bool,
        immediate: bool,
    ) -> std::result::Result<(), InTheWay> {
        self.put();
        // A deferred check comes again at its time; then it waits.
        let wait = immediate || !partial;
        let policy = if wait { lock::Policy::Wait } else { lock::Policy::Skip };
        if !self.claim(policy) {
            return Err(InTheWay);
        }
        // SAFETY: the relations are open.
        unsafe { self.rival(wait) }.map_or(Ok(()), |_| Err(InTheWay))
    }

    /// The check of a deferred constraint, for an entry that is there.
    unsafe fn check_again(&self) -> std::result::Result<(), InTheWay> {
        self.claim(lock::Policy::Wait);
        // SAFETY: the relations are open.
        unsafe { self.rival(true) }.map_or(Ok(()), |_| Err(InTheWay))
    }

    /// Locks the cells, and has the commit look whether anybody wrote an entry with them since, which
    /// who has too many locks may have done. False if another transaction has them.
    fn claim(&self, policy: lock::Policy) -> bool {
        match lock::key(self.index, self.cells(), policy) {
            lock::Key::Taken => return false,
            lock::Key::Alone => return true,
            lock::Key::Ours | lock::Key::Unlocked => {}
        }
        transaction::with(|active| active.claim(self.cells())).or_raise();
        true
    }

    /// Another row with equal values, once nobody is about to delete it.
    unsafe fn rival(&self, wait: bool) -> Option<Rival> {
        let mut waited = None;
        loop {
            // SAFETY: the relations are open.
            let rival = unsafe { self.find_rival() }?;
            if !wait || self.outwait(rival, &mut waited) {
                return Some(rival);
            }
        }
    }

    /// Waits for whoever is changing a row. True if it is still in the way.
    fn outwait(&self, rival: Rival, waited: &mut Option<Rival>) -> bool {
        if rival.version.is_none() || *waited == Some(rival) {
            return true;
        }
        lock::wait_for(self.table, rival.row);
        transaction::with(|active| active.claim_again(self.cells())).or_raise();
        *waited = Some(rival);
        false
    }

    unsafe fn find_rival(&self) -> Option<Rival> {
        for (rival, body) in entries_with(self.index, self.cells()).or_raise() {
            // SAFETY: the relations are open and the body is an entry's of this index.
            let equal = rival.row != self.row && unsafe { self.is_equal(&body) };
            // SAFETY: as above.
            if equal && !unsafe { self.is_left_over(rival) } {
                return Some(rival);
            }
        }
        None
    }

    /// Whether an entry is of what its row was before everybody kept the entries of this index: while
    /// CREATE INDEX CONCURRENTLY builds it, some change rows and leave the entries that it made of them.
    unsafe fn is_left_over(&self, rival: Rival) -> bool {
        if self.index.complete || rival.version.is_none() {
            return false;
        }
        // SAFETY: the caller's promise.
        let wanted = unsafe {
            verify::wanted_now(self.heap, self.relation, self.table, self.index, rival.row)
        };
        wanted.is_none_or(|wanted| wanted.key[..wanted.cells] != *self.cells())
    }

    /// Whether an entry with the same cells has the same values.
    unsafe fn is_equal(&self, body: &Copied) -> bool {
        if self.index.is_exact() {
            return true;
        }
        // SAFETY: the caller's promise.
        unsafe { super::equal::values_are(self.relation, body.bytes(), self.values, self.nulls) }
    }

    /// Adds the entry without looking whether its key is free, if it is one of many and that can be
    /// looked at later together with others'. See [`late`].
    fn may_be_late(&self) -> bool {
        let may = transaction::with(|active| {
            let key = &self.entry.key;
            Ok(!active.session.store.limits().local
                && self.index.complete
                && active.created(self.index.stored.space).is_none()
                && active.late.is_one_of_many(self.index, command())
                && !active.store.was_seen(key, |version| changes::none_since(version, key))
                && active.store.live(key).is_none()
                && is_new(active, self.table, self.row)?)
        });
        if !may.or_raise() {
            return false;
        }
        // Who inserts the same key waits, as ever.
        lock::key(self.index, self.cells(), lock::Policy::Wait);
        transaction::with(|active| {
            let id = self.write(active, Base::Absent, None)?;
            active.late.push(self, id);
            Ok(true)
        })
        .or_raise()
    }

    pub(super) fn cells(&self) -> &[u8] {
        &self.entry.key[..self.entry.cells]
    }

    fn newest(&self, active: &mut Active, page: &mut kv::Page) -> Result<Newest> {
        let zero = self.index.stored.zero(active)?;
        active.store.newest(&self.entry.key, zero, page)
    }

    /// Writes the entry over what its key holds, which is nothing or the row's own.
    fn write_over(&self, active: &mut Active, newest: &Newest, page: &kv::Page) -> Result<()> {
        let before = newest.exists().then(|| page.value(0).len() - mvcc::HEADER);
        self.write(active, newest.base(), before).map(drop)
    }

    fn write(&self, active: &mut Active, base: Base, before: Option<usize>) -> Result<WriteId> {
        let Entry { key, body, .. } = self.entry;
        let id = active.store.write(key, Change::Put(&[body]), command(), base)?;
        let rows = i64::from(before.is_none());
        let bytes = body.len() as i64 - before.unwrap_or(0) as i64;
        count(active, &self.index.stored, rows, bytes);
        Ok(id)
    }
}

/// The command that is running, which the entries that it writes belong to.
fn command() -> pg_sys::CommandId {
    // SAFETY: called by a statement that writes.
    unsafe { pg_sys::GetCurrentCommandId(true) }
}

/// Whether the running transaction made a row: no entry of it can be in the store then.
fn is_new(active: &mut Active, table: &Table, row: RowId) -> Result<bool> {
    Ok(active.store.base(&key::row_key(table.space, row)) == Some(Base::New))
}

fn owner(newest: &Newest, page: &kv::Page) -> Result<Option<Rival>> {
    if !newest.exists() {
        return Ok(None);
    }
    let row = entry::row(&page.value(0)[mvcc::HEADER..])?;
    let version = newest.committed.map(|committed| committed.version);
    Ok(Some(Rival { row, version }))
}

/// The entries with the same cells as they are now, each with its body.
fn entries_with(index: &Index, cells: &[u8]) -> Result<Vec<(Rival, Copied)>> {
    let range = keycode::KeyRange::equal(cells);
    transaction::with(|active| {
        let zero = index.stored.zero(active)?;
        let options = ScanOptions {
            zero,
            first_rows: 2,
            max_rows: 1000,
            max_bytes: 256 << 10,
            layout: LAYOUT,
        };
        let now = Snapshot { version: Version::MAX, command: pg_sys::CommandId::MAX };
        let mut scan = Scan::new(range.start, range.end, now, options);
        let mut found = Vec::new();
        while let Some(entry) = scan.next(&mut active.store, Direction::Forward)? {
            let rival = Rival { row: entry::row(entry.body)?, version: entry.version };
            found.push((rival, Copied::of(entry.body)));
        }
        Ok(found)
    })
}
