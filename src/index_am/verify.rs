//! Whether rows and entries agree: for `fakegres.check`, and for the last phase of CREATE INDEX
//! CONCURRENTLY, which puts right what does not.
//!
//! Both sides are read at one moment. A repair is a small transaction of its own, which waits for who is
//! changing the row or inserting its key, and commits only if the row is still what it was; whoever
//! changes the row meanwhile on another server and did not find its entry checks that it is still not
//! there.

use std::collections::HashSet;
use std::rc::Rc;

use kv::{Direction, Error, Result, Version};
use mvcc::{Change, Found, Options, Scan, ScanOptions, Snapshot, Transaction};
use pgrx::prelude::*;
use relation::{RowId, entry, key, space};

use super::build::{self, Bucket};
use super::form::Former;
use super::index::{self, Copied, Entry, Index, Rule};
use super::insert::LAYOUT;
use super::maintain::Row;
use crate::changes::Changes;
use crate::error::{OrRaise, raise_in};
use crate::table::{self, Table};
use crate::table_am::relation::for_each_row;
use crate::table_am::size;
use crate::transaction::{self, Active};
use crate::{compat, lock, row, settings};

/// A snapshot that sees everything.
const NOW: Snapshot = Snapshot { version: Version::MAX, command: pg_sys::CommandId::MAX };

/// How many rows or entries are looked for at once.
const TOGETHER: usize = 512;

/// How often a repair is tried while others change its row.
const ATTEMPTS: usize = 20;

/// What is wrong between a table and one of its indexes.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) row: Option<RowId>,
    pub(crate) what: String,
    /// The key of the entry that should not be there.
    stale: Option<Vec<u8>>,
    /// The cells that the entry of a row has or lacks.
    cells: Option<Vec<u8>>,
}

impl Finding {
    fn of(row: RowId, what: &str, cells: &[u8]) -> Finding {
        let cells = Some(cells.to_vec());
        Finding { row: Some(row), what: what.to_owned(), stale: None, cells }
    }
}

/// Compares a table with one of its indexes, at one moment.
///
/// # Safety
/// The relations must be open.
pub(crate) unsafe fn compare(heap: pg_sys::Relation, relation: pg_sys::Relation) -> Vec<Finding> {
    // SAFETY: the caller's promise; the snapshot is released again, or by the abort.
    unsafe {
        let (table, index) = (table::of(heap), index::of(relation));
        let before = size::statistics(index.stored.space);
        pg_sys::CommandCounterIncrement();
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let at = transaction::resolve(snapshot);
        let mut findings = Vec::new();
        let mut former = Former::default();
        let rows =
            rows_without_entry(heap, relation, &index, &at, snapshot, &mut former, &mut findings);
        let entries =
            entries_without_row(heap, relation, &table, &index, &at, &mut former, &mut findings);
        former.end();
        pg_sys::UnregisterSnapshot(snapshot);
        if rows != entries && findings.is_empty() {
            findings.push(count_differs("rows to index", rows, "entries", entries));
        }
        let after = size::statistics(index.stored.space);
        if before == after && before.0 != entries {
            findings.push(count_differs("entries", entries, "entries by the counter", before.0));
        }
        findings
    }
}

fn count_differs(a: &str, count: u64, b: &str, other: u64) -> Finding {
    let what = format!("{count} {a}, but {other} {b}");
    Finding { row: None, what, stale: None, cells: None }
}

/// Compares the table's counter of rows with its rows.
///
/// # Safety
/// The relation must be open.
pub(crate) unsafe fn count_rows(heap: pg_sys::Relation) -> Option<Finding> {
    // SAFETY: the caller's promise.
    unsafe {
        let table = table::of(heap);
        let before = size::statistics(table.space);
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let mut rows = 0;
        for_each_row(heap, snapshot, |_| rows += 1);
        pg_sys::UnregisterSnapshot(snapshot);
        let changed = before != size::statistics(table.space);
        (!changed && rows != before.0)
            .then(|| count_differs("rows", rows, "rows by the counter", before.0))
    }
}

unsafe fn rows_without_entry(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    index: &Index,
    at: &Snapshot,
    snapshot: pg_sys::Snapshot,
    former: &mut Former,
    findings: &mut Vec<Finding>,
) -> u64 {
    let (mut rows, mut sought) = (0, Vec::new());
    // SAFETY: the callers' promise.
    unsafe {
        let space = table::of(heap).space;
        for_each_row(heap, snapshot, |slot| {
            pgrx::check_for_interrupts!();
            let tid = row::tid(&raw mut (*slot).tts_tid);
            let named = transaction::with(|active| active.target(space, tid));
            let (Some(formed), Some(named)) = (former.form(relation, slot), named) else { return };
            rows += 1;
            let wanted = index.entry(relation, &formed.values, &formed.nulls, named.row);
            sought.push((named.row, wanted));
            if sought.len() >= TOGETHER {
                seek(relation, index, at, std::mem::take(&mut sought), findings);
            }
        });
        seek(relation, index, at, sought, findings);
    }
    rows
}

/// Looks for the entries of rows.
unsafe fn seek(
    relation: pg_sys::Relation,
    index: &Index,
    at: &Snapshot,
    sought: Vec<(RowId, Entry)>,
    findings: &mut Vec<Finding>,
) {
    let wanted: Vec<&Entry> = sought.iter().map(|(_, wanted)| wanted).collect();
    let bodies = transaction::with(|active| find(active, index, &wanted, at)).or_raise();
    for ((row, wanted), body) in sought.iter().zip(bodies) {
        let what = match body {
            None => "the row has no entry",
            // SAFETY: the callers' promise.
            Some(body) if !unsafe { same_body(relation, &body, &wanted.body) } => {
                "the row's entry has other values"
            }
            Some(_) => continue,
        };
        findings.push(Finding::of(*row, what, &wanted.key[..wanted.cells]));
    }
}

/// Whether two bodies have the same values. A value may have been compressed in another way when the
/// entry was made.
unsafe fn same_body(relation: pg_sys::Relation, a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    if a.get(..entry::HEADER) != b.get(..entry::HEADER) {
        return false;
    }
    // SAFETY: the relation is open, and the bodies are of its entries.
    unsafe {
        let columns = (*(*relation).rd_att).natts as usize;
        let deform = |body| {
            let body = Copied::of(body);
            let mut values = vec![pg_sys::Datum::from(0); columns];
            let mut nulls = vec![false; columns];
            index::deform(relation, body.bytes(), &mut values, &mut nulls);
            (body, values, nulls)
        };
        let ((_a, values, nulls), (_b, others, other_nulls)) = (deform(a), deform(b));
        let same = |i: usize| {
            let attribute = crate::pg::attribute((*relation).rd_att, i);
            nulls[i] || compat::datum_image_eq(values[i], others[i], attribute)
        };
        nulls == other_nulls && (0..columns).all(same)
    }
}

/// The bodies under entries' keys.
fn find(
    active: &mut Active,
    index: &Index,
    wanted: &[&Entry],
    at: &Snapshot,
) -> Result<Vec<Option<Vec<u8>>>> {
    let zero = index.stored.zero(active)?;
    let keys_of = |wanted: &&'_ Entry| -> Vec<Vec<u8>> {
        // One that was made when the constraint was not deferrable yet has no row id in its key.
        let short = (index.rule == Rule::Search).then(|| wanted.key[..wanted.cells].to_vec());
        [Some(wanted.key.clone()), short].into_iter().flatten().collect()
    };
    let keys: Vec<Vec<Vec<u8>>> = wanted.iter().map(keys_of).collect();
    let all: Vec<&[u8]> = keys.iter().flatten().map(Vec::as_slice).collect();
    let (mut page, mut found) = (active.store.page(), Vec::new());
    active.store.get_many(&all, at, zero, &mut page, &mut found)?;
    let mut found = found.into_iter();
    let first_of = |keys: &Vec<Vec<u8>>| {
        let found: Vec<_> = found.by_ref().take(keys.len()).flatten().collect();
        found.first().map(|found| found.body(&page).to_vec())
    };
    Ok(keys.iter().map(first_of).collect())
}

unsafe fn entries_without_row(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    at: &Snapshot,
    former: &mut Former,
    findings: &mut Vec<Finding>,
) -> u64 {
    let (start, end) = index.range();
    let zero = transaction::with(|active| index.stored.zero(active)).or_raise();
    let options = ScanOptions {
        zero,
        first_rows: 1000,
        max_rows: 1000,
        max_bytes: 256 << 10,
        layout: LAYOUT,
    };
    let mut scan = Scan::new(start, end, *at, options);
    let (mut seen, mut neighbours) = (HashSet::new(), Bucket::default());
    let mut count = 0;
    loop {
        pgrx::check_for_interrupts!();
        let entries = transaction::with(|active| next_entries(active, &mut scan)).or_raise();
        if entries.is_empty() {
            return count;
        }
        count += entries.len() as u64;
        // SAFETY: the callers' promise.
        let wanted = unsafe { wanted_at(heap, relation, table, index, &entries, at, former) };
        for ((key, body, row), wanted) in entries.into_iter().zip(wanted) {
            let belongs = wanted.is_some_and(|wanted| {
                key == wanted.key || index.rule == Rule::Search && key == wanted.key[..wanted.cells]
            });
            // SAFETY: the callers' promise.
            let mut alone = || unsafe { is_alone(relation, index, &mut neighbours, &key, &body) };
            let what = match (belongs, seen.insert(row)) {
                (true, true) if alone() => continue,
                (true, true) => "another row has the same key",
                (true, false) => "the row has two entries",
                (false, _) => "the entry is of no row",
            };
            let finding = Finding::of(row, what, entry::cells(&key, body.bytes()).or_raise());
            findings.push(Finding { stale: (!belongs).then_some(key), ..finding });
        }
    }
}

/// An entry's key and body, and its row.
type Stored = (Vec<u8>, Copied, RowId);

/// The next entries of an index, some at a time.
fn next_entries(active: &mut Active, scan: &mut Scan) -> Result<Vec<Stored>> {
    let mut entries = Vec::new();
    while entries.len() < TOGETHER {
        let Some(found) = scan.next(&mut active.store, Direction::Forward)? else { break };
        entries.push((found.key.to_vec(), Copied::of(found.body), entry::row(found.body)?));
    }
    Ok(entries)
}

/// Whether no entry before this one has what only one may have.
unsafe fn is_alone(
    relation: pg_sys::Relation,
    index: &Index,
    neighbours: &mut Bucket,
    key: &[u8],
    body: &Copied,
) -> bool {
    // SAFETY: the callers' promise.
    index.rule == Rule::Any
        || unsafe { build::check(relation, index, neighbours, key, body.bytes()) }.is_ok()
}

/// The entries that the rows of entries should have, where there are such rows.
unsafe fn wanted_at(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    entries: &[Stored],
    at: &Snapshot,
    former: &mut Former,
) -> Vec<Option<Entry>> {
    let rows: Vec<RowId> = entries.iter().map(|(_, _, row)| *row).collect();
    // SAFETY: the callers' promise.
    unsafe { wanted_of(heap, relation, table, index, &rows, at, former) }
}

/// The entries that rows should have, where they are there.
unsafe fn wanted_of(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    rows: &[RowId],
    at: &Snapshot,
    former: &mut Former,
) -> Vec<Option<Entry>> {
    let keys: Vec<_> = rows.iter().map(|row| key::row_key(table.space, *row)).collect();
    let (mut page, found) = transaction::with(|active| {
        let zero = table.zero(active)?;
        let (mut page, mut found) = (active.store.page(), Vec::new());
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        active.store.get_many(&keys, at, zero, &mut page, &mut found)?;
        Ok((page, found))
    })
    .or_raise();
    let mut wanted_of = |(row, found): (&RowId, Option<Found>)| {
        let place = found?.entry;
        // SAFETY: the callers' promise; the slot is dropped, or goes with its memory after an error.
        unsafe { wanted(heap, relation, table, index, *row, &mut page, place, former) }
    };
    rows.iter().zip(found).map(&mut wanted_of).collect()
}

/// The entry that a row should have as it is now, own changes included, if there is such a row.
///
/// # Safety
/// The relations must be open.
pub(super) unsafe fn wanted_now(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    row: RowId,
) -> Option<Entry> {
    let mut former = Former::default();
    // SAFETY: the caller's promise.
    let wanted =
        unsafe { wanted_of(heap, relation, table, index, &[row], &NOW, &mut former) }.pop();
    former.end();
    wanted.flatten()
}

/// The entry of the row that lies in a page.
unsafe fn wanted(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    row: RowId,
    page: &mut kv::Page,
    place: usize,
    former: &mut Former,
) -> Option<Entry> {
    let bytes = mvcc::body_with_headroom(page, place, row::LAYOUT);
    let mut tuple = row::tuple_in_place(bytes, relation::Tid::of_row(row), table.oid, 0);
    // SAFETY: the callers' promise.
    unsafe {
        let held = Row::new(heap, &mut tuple);
        let formed = former.form(relation, held.slot());
        let entry = formed.map(|formed| index.entry(relation, &formed.values, &formed.nulls, row));
        held.end();
        entry
    }
}

/// Puts right what [`compare`] finds: an entry that should not be there, or one that should.
///
/// # Safety
/// The relations must be open, and the index published.
pub(crate) unsafe fn repair(heap: pg_sys::Relation, relation: pg_sys::Relation) {
    // SAFETY: the caller's promise.
    unsafe {
        let (table, index) = (table::of(heap), index::of(relation));
        let mut former = Former::default();
        let findings = compare(heap, relation);
        // What is left of earlier values goes first: a unique key may be another row's by now.
        let (stale, missing): (Vec<_>, Vec<_>) =
            findings.iter().partition(|finding| finding.stale.is_some());
        for finding in stale.into_iter().chain(missing) {
            pgrx::check_for_interrupts!();
            let Some(row) = finding.row else { continue };
            let (stale, cells) = (finding.stale.as_deref(), finding.cells.as_deref());
            let cells = cells.filter(|_| index.rule != Rule::Any);
            lock::while_at_rest(&table, row, &index, cells, || {
                mend(heap, relation, &table, &index, row, stale, &mut former);
            });
        }
        former.end();
        transaction::with(|active| complete(active, &index)).or_raise();
    }
}

/// What was mended is newer than the rows, and what rows were before they were changed beside the build is
/// nowhere. PostgreSQL waits for the snapshots that are older than its own; of the others, some may be older
/// than this moment. They must not search the index.
fn complete(active: &Active, index: &Index) -> Result<()> {
    let (store, env) = (&*active.session.store, &*active.session.env);
    let now = store.read_version(env)?.version;
    space::complete(transaction::database(), index.stored.space, now, store, env)
}

unsafe fn mend(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    row: RowId,
    stale: Option<&[u8]>,
    former: &mut Former,
) {
    for attempt in 1..=ATTEMPTS {
        // SAFETY: the callers' promise.
        let done = unsafe { try_mend(heap, relation, table, index, row, stale, former) };
        match done {
            Err(Error::Conflict { .. }) if attempt < ATTEMPTS => {}
            done => return done.or_raise(),
        }
    }
}

unsafe fn try_mend(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    index: &Index,
    row: RowId,
    stale: Option<&[u8]>,
    former: &mut Former,
) -> Result<()> {
    let (zero, row_zero) =
        transaction::with(|active| Ok((index.stored.zero(active)?, table.zero(active)?)))?;
    let mut txn = transaction::with(own_transaction);
    let row_key = key::row_key(table.space, row);
    let mut page = txn.page();
    let newest = txn.newest(&row_key, row_zero, &mut page)?;
    let version = newest.committed.map_or(Version::ZERO, |committed| committed.version);
    txn.lock(&row_key, version);
    let mut wish = None;
    if newest.exists() {
        // SAFETY: the callers' promise.
        wish = unsafe { wanted(heap, relation, table, index, row, &mut page, 0, former) };
    }
    let mut change = Mending { txn, zero, index, row };
    match (stale, wish) {
        (Some(stale), Some(wish)) if wish.key == stale => {}
        (Some(stale), _) => change.remove(stale)?,
        (None, Some(wish)) if !change.put(&wish)? => {
            // SAFETY: the callers' promise.
            unsafe { already_there(heap, relation, table, row, former) };
        }
        (None, _) => {}
    }
    let changes = Changes::of(change.txn.written_keys());
    if let Some(version) = change.txn.commit()? {
        changes.happened(version);
    }
    Ok(())
}

/// Two rows have one key: the index cannot become valid.
unsafe fn already_there(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    table: &Table,
    row: RowId,
    former: &mut Former,
) {
    let found = transaction::with(|active| {
        let zero = table.zero(active)?;
        let mut page = active.store.page();
        let found = active.store.get(&key::row_key(table.space, row), &NOW, zero, &mut page)?;
        Ok(found.map(|found| (page, found.entry)))
    })
    .or_raise();
    let Some((mut page, place)) = found else { return };
    let bytes = mvcc::body_with_headroom(&mut page, place, row::LAYOUT);
    let mut tuple = row::tuple_in_place(bytes, relation::Tid::of_row(row), table.oid, 0);
    // SAFETY: the callers' promise.
    unsafe {
        let held = Row::new(heap, &mut tuple);
        if let Some(formed) = former.form(relation, held.slot()) {
            duplicate(heap, relation, &formed.values, &formed.nulls);
        }
        held.end();
    }
}

unsafe fn duplicate(
    heap: pg_sys::Relation,
    relation: pg_sys::Relation,
    values: &[pg_sys::Datum],
    nulls: &[bool],
) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        let (values, nulls) = (values.as_ptr().cast_mut(), nulls.as_ptr().cast_mut());
        let key = pg_sys::BuildIndexValueDescription(relation, values, nulls);
        let key = crate::pg::string(key).map(|key| format!("Key {key} is duplicated."));
        let name = crate::pg::relation_name(relation);
        raise_in(
            PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
            &format!("could not create unique index \"{name}\""),
            &key.unwrap_or_default(),
            "",
            Some((heap, &name)),
        )
    }
}

/// A transaction beside the running one, which commits at once.
fn own_transaction(active: &mut Active) -> Transaction {
    let options = Options {
        serializable: false,
        max_buffered: settings::max_transaction_memory(),
        retention: settings::history_retention(),
        layout: row::LAYOUT,
    };
    let session = &active.session;
    Transaction::new(Rc::clone(&session.store), Rc::clone(&session.env), options)
}

struct Mending<'a> {
    txn: Transaction,
    zero: Version,
    index: &'a Index,
    row: RowId,
}

impl Mending<'_> {
    fn remove(&mut self, key: &[u8]) -> Result<()> {
        let mut page = self.txn.page();
        let newest = self.txn.newest(key, self.zero, &mut page)?;
        if newest.exists() && entry::row(&page.value(0)[mvcc::HEADER..])? == self.row {
            let bytes = page.value(0).len() - mvcc::HEADER;
            self.txn.write(key, Change::Delete, 0, newest.base())?;
            self.count(-1, -(bytes as i64));
        }
        Ok(())
    }

    /// False if another row has the key.
    fn put(&mut self, wish: &Entry) -> Result<bool> {
        let mut page = self.txn.page();
        let newest = self.txn.newest(&wish.key, self.zero, &mut page)?;
        let there = newest.exists().then(|| page.value(0)[mvcc::HEADER..].to_vec());
        if there.as_ref() == Some(&wish.body) {
            return Ok(true);
        }
        if let Some(there) = &there
            && entry::row(there)? != self.row
        {
            return Ok(false);
        }
        self.txn.write(&wish.key, Change::Put(&[&wish.body]), 0, newest.base())?;
        let before = there.as_ref().map_or(0, Vec::len);
        self.count(i64::from(there.is_none()), wish.body.len() as i64 - before as i64);
        Ok(true)
    }

    fn count(&mut self, rows: i64, bytes: i64) {
        self.txn.count(&self.index.stored.rows_counter, rows);
        self.txn.count(&self.index.stored.bytes_counter, bytes);
    }
}
