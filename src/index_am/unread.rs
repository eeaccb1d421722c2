//! Entries that were written before the store was asked what it holds in their place, many at once.
//!
//! The entry of a row that is locked is nobody else's to write: the statement knows what an update or
//! delete leaves of it. Only the commit and the counters need what was there before. So over a network,
//! where a look at each entry would be a round trip for each index of each row, it is written first,
//! and the looks are made together: when there are enough of them, before anything else can run in
//! this transaction, and when the statement's rows are through. Were a look forgotten, the commit would
//! refuse. A few looks are content with what this transaction has seen, which saves a round trip: entries change
//! with their rows, which are locked, and otherwise only when an index is made.

use std::rc::Rc;

use kv::{Page, Result, Version};
use mvcc::{Base, Change, Newest, WriteId};
use pgrx::prelude::*;
use relation::{RowId, entry};

use super::index::{Entry, Index, Rule};
use super::late;
use crate::changes;
use crate::table::Table;
use crate::table_am::insert::count;
use crate::transaction::{self, Active};

/// How many places are looked at together.
const TOGETHER: usize = 512;

/// How many at most at a moment that has passed. Each that somebody else may have changed since is looked at
/// again, alone.
const FEW: usize = 16;

/// Entries of which it is not known what was there before.
#[derive(Default)]
pub(crate) struct Unread(Vec<UnreadEntry>);

struct UnreadEntry {
    stored: Rc<Table>,
    key: Vec<u8>,
    row: RowId,
    written: WriteId,
    kind: Kind,
    /// Bytes of the entry, as they were counted.
    bytes: i64,
    level: i32,
}

/// What became of an entry.
#[derive(Clone, Copy)]
enum Kind {
    Added,
    Taken,
}

impl Unread {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A savepoint was released.
    pub(crate) fn release_level(&mut self, level: i32) {
        for unread in self.0.iter_mut().filter(|unread| unread.level >= level) {
            unread.level = level - 1;
        }
    }

    /// A savepoint was rolled back, and its entries with it.
    pub(crate) fn abort_level(&mut self, level: i32) {
        self.0.retain(|unread| unread.level < level);
    }
}

/// Leaves a tombstone in place of a row's entry. False if it cannot be done without looking.
pub(super) fn take(
    active: &mut Active,
    index: &Index,
    entry: &Entry,
    row: RowId,
    command: pg_sys::CommandId,
) -> Result<bool> {
    let certain = match index.rule {
        Rule::Any => true,
        // By now its key may be another row's, if a function was replaced.
        Rule::Key => !index.computed,
        // It may be under one of two keys.
        Rule::Search => false,
    };
    Ok(certain && write(active, index, entry, row, command, Kind::Taken)?)
}

/// Adds an entry whose key has the row's id. False if it cannot be done without looking.
pub(super) fn add(
    active: &mut Active,
    index: &Index,
    entry: &Entry,
    row: RowId,
    command: pg_sys::CommandId,
) -> Result<bool> {
    write(active, index, entry, row, command, Kind::Added)
}

/// Whether a query runs that will look, over a network, at an entry of which this transaction knows
/// nothing, and which nobody wrote who does not know of the index.
fn may_wait(active: &Active, index: &Index, key: &[u8]) -> bool {
    !active.session.store.limits().local
        && late::query_runs()
        && index.complete
        && active.created(index.stored.space).is_none()
        && active.store.live(key).is_none()
}

fn write(
    active: &mut Active,
    index: &Index,
    entry: &Entry,
    row: RowId,
    command: pg_sys::CommandId,
    kind: Kind,
) -> Result<bool> {
    if !may_wait(active, index, &entry.key) {
        return Ok(false);
    }
    let body: &[&[u8]] = &[&entry.body];
    let (change, sign) = match kind {
        Kind::Added => (Change::Put(body), 1),
        Kind::Taken => (Change::Delete, -1),
    };
    let written = active.store.write(&entry.key, change, command, Base::Absent)?;
    let (stored, key) = (Rc::clone(&index.stored), entry.key.clone());
    let bytes = entry.body.len() as i64;
    count(active, &stored, sign, sign * bytes);
    let level = transaction::level();
    active.unread.0.push(UnreadEntry { stored, key, row, written, kind, bytes, level });
    if active.unread.0.len() >= TOGETHER {
        look(active)?;
    }
    Ok(true)
}

/// Looks at the places of this level's entries. Those of the levels below wait: what is counted now is
/// undone with this level, and they would stay.
pub(super) fn look(active: &mut Active) -> Result<()> {
    let level = transaction::level();
    let all = std::mem::take(&mut active.unread.0);
    let (here, below) = all.into_iter().partition::<Vec<_>, _>(|unread| unread.level >= level);
    active.unread.0 = below;
    if here.is_empty() {
        return Ok(());
    }
    let zeros = here.iter().map(|unread| unread.stored.zero(active));
    let zeros = zeros.collect::<Result<Vec<_>>>()?;
    let keys: Vec<&[u8]> = here.iter().map(|unread| &unread.key[..]).collect();
    // What was built into an index is there since it was published.
    match zeros.iter().max() {
        Some(published) if here.len() <= FEW => active.store.look_back_at(*published, &keys)?,
        _ => active.store.look_ahead(&keys)?,
    }
    here.iter().zip(zeros).try_for_each(|(unread, zero)| unread.settle(active, zero))
}

impl UnreadEntry {
    /// Says what the store holds in the entry's place.
    fn settle(&self, active: &mut Active, zero: Version) -> Result<()> {
        let mut page = active.store.page();
        let holds = |version| changes::none_since(version, &self.key);
        let mut newest = active.store.committed_ahead(&self.key, zero, &mut page, holds)?;
        let mut before = self.before(&newest, &page)?;
        if matches!(self.kind, Kind::Taken) && before.is_none() {
            // No check of the commit's proves that there is none.
            newest = active.store.committed_ahead(&self.key, zero, &mut page, |_| false)?;
            before = self.before(&newest, &page)?;
        }
        active.store.rebase(&self.key, newest.base());
        match (self.kind, before) {
            (Kind::Added, None) => {}
            // The row's own entry, with other values beside its key.
            (Kind::Added, Some(before)) => count(active, &self.stored, -1, -before),
            (Kind::Taken, Some(before)) => count(active, &self.stored, 0, self.bytes - before),
            (Kind::Taken, None) => self.keep(active),
        }
        Ok(())
    }

    /// How long the row's entry was that lies in a page, if it is one.
    fn before(&self, newest: &Newest, page: &Page) -> Result<Option<i64>> {
        if !newest.exists() {
            return Ok(None);
        }
        let body = &page.value(0)[mvcc::HEADER..];
        Ok((entry::row(body)? == self.row).then_some(body.len() as i64))
    }

    /// There was no such entry to take away.
    fn keep(&self, active: &mut Active) {
        if active.store.live(&self.key) == Some(self.written) {
            active.store.unwrite(self.written);
        }
        count(active, &self.stored, 1, self.bytes);
    }
}
