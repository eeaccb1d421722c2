//! Garbage collection: history that no snapshot at or above the floor can see, and tombstones that
//! every such snapshot sees.
//!
//! Nothing here can be wrong under concurrency, because it acts only on facts that stay true:
//!
//! - The floor is raised first, in the same batch as the mark of collected tombstones. A reader
//!   below it fails from its next reply on.
//! - A history entry goes when its successor is at or below the floor. Neither changes any more.
//! - A tombstone goes when it is at or below the floor, together with the key's history, and only
//!   if it still is the current version.
//! - A writer that saw the key before the tombstone finds the mark above what it saw, and looks
//!   again before it commits.

use std::collections::HashMap;

use kv::{
    Batch, CommitId, Direction, Durability, Environment, Error, Page, Result, ScanRequest, Store,
    Version,
};

use crate::key::{self, COLLECTED};
use crate::value::head;

/// Most rows and bytes of a page that is looked at, and so about the size of a batch.
const PAGE_ROWS: usize = 500;
const PAGE_BYTES: usize = 256 << 10;

/// How often two collectors may disturb each other before one gives up.
const ATTEMPTS: usize = 16;

/// What a call of [`collect`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Older versions that were removed one by one.
    pub history_removed: u64,
    /// Deleted keys of which nothing is left.
    pub tombstones_removed: u64,
    /// Keys with a value that were looked at.
    pub rows_live: u64,
    /// Where to continue; `None` if the whole range was looked at.
    pub next: Option<Vec<u8>>,
}

/// Removes garbage from the keys in `start..end`: what no snapshot younger than `retention`
/// microseconds needs. Stops after about `budget` keys and says where to continue.
pub fn collect(
    store: &dyn Store,
    env: &dyn Environment,
    start: &[u8],
    end: &[u8],
    retention: u64,
    budget: usize,
) -> Result<Collected> {
    let floor = raise_floor(store, env, retention)?;
    let mut collector = Collector { store, env, floor, done: Collected::default() };
    let mut request = ScanRequest {
        start: key::current(start),
        end: key::current(end),
        direction: Direction::Forward,
        max_rows: PAGE_ROWS,
        max_bytes: PAGE_BYTES,
    };
    let mut page = Page::default();
    let mut seen = 0;
    loop {
        let low = request.start.clone();
        let ticket = store.start_scan(request)?;
        (_, request) = store.finish_scan(ticket, &mut page, env)?;
        let more = request.advance(&page);
        let high = if more { &request.start } else { &request.end };
        collector.collect_page(&page, &low[1..], &high[1..])?;
        seen += page.len();
        if more && seen >= budget {
            collector.done.next = Some(request.start[1..].to_vec());
        }
        if !more || seen >= budget {
            return Ok(collector.done);
        }
    }
}

/// Raises the floor, and the mark under which tombstones may be removed, to the retention horizon.
/// Returns the floor in force.
fn raise_floor(store: &dyn Store, env: &dyn Environment, retention: u64) -> Result<Version> {
    let horizon = store.horizon(env.now().saturating_sub(retention), env)?;
    let mut page = Page::default();
    for _ in 0..ATTEMPTS {
        let stamp = store.get_many(&[COLLECTED], &mut page, env)?;
        let floor = horizon.max(stamp.floor);
        let mark = Version::of_stamped(page.value(0)).unwrap_or(Version::ZERO);
        if mark == floor && stamp.floor == floor {
            return Ok(floor);
        }
        let mut batch = Batch::new(CommitId::random(env), Durability::Relaxed);
        batch.check(COLLECTED, floor);
        batch.raise_floor(floor);
        batch.put_versioned(COLLECTED, floor, &[]);
        match store.commit(&batch, env) {
            Ok(_) => return Ok(floor),
            // Another collector was here, or nobody knows whether this one was: look again.
            Err(Error::Conflict { .. } | Error::OutcomeUnknown { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict { key: COLLECTED.to_vec() })
}

struct Collector<'a> {
    store: &'a dyn Store,
    env: &'a dyn Environment,
    floor: Version,
    done: Collected,
}

impl Collector<'_> {
    /// Collects the keys in `low..high`, whose current slots are in `page`.
    fn collect_page(&mut self, page: &Page, low: &[u8], high: &[u8]) -> Result<()> {
        let mut versions = HashMap::with_capacity(page.len());
        let mut dead = Vec::new();
        for i in 0..page.len() {
            let (version, flags) = head(page.value(i), Version::ZERO)?;
            let key = &page.key(i)[1..];
            if !flags.tombstone() {
                self.done.rows_live += 1;
            } else if version <= self.floor {
                dead.push((key, version));
                continue;
            }
            versions.insert(key, version);
        }
        self.collect_history(&versions, low, high)?;
        self.collect_tombstones(dead)
    }

    /// Removes the history entries of `low..high` whose successor is at or below the floor.
    /// `current` has the versions that were current a moment ago.
    fn collect_history(
        &mut self,
        current: &HashMap<&[u8], Version>,
        low: &[u8],
        high: &[u8],
    ) -> Result<()> {
        let (start, end) = key::history_span(low, high);
        let direction = Direction::Forward;
        let mut request =
            ScanRequest { start, end, direction, max_rows: PAGE_ROWS, max_bytes: PAGE_BYTES };
        let mut page = Page::default();
        let mut before: Option<(Vec<u8>, Version)> = None;
        loop {
            let ticket = self.store.start_scan(request)?;
            (_, request) = self.store.finish_scan(ticket, &mut page, self.env)?;
            let mut batch = self.new_batch();
            for i in 0..page.len() {
                let entry = key::parse_history(page.key(i)).ok_or_else(damaged)?;
                if self.is_garbage(&entry, before.as_ref(), current) {
                    batch.delete(page.key(i));
                }
                before = Some(entry);
            }
            self.remove_history(&batch)?;
            if !request.advance(&page) {
                return Ok(());
            }
        }
    }

    /// `before` is the entry in front of this one: its successor, if it is of the same key. The
    /// successor of a key's first entry is the current version, unless the key has been written
    /// since that was read.
    fn is_garbage(
        &self,
        (key, version): &(Vec<u8>, Version),
        before: Option<&(Vec<u8>, Version)>,
        current: &HashMap<&[u8], Version>,
    ) -> bool {
        let successor = match before {
            Some((other, newer)) if other == key => Some(newer),
            _ => current.get(key.as_slice()).filter(|current| *current > version),
        };
        successor.is_some_and(|successor| *successor <= self.floor)
    }

    fn remove_history(&mut self, batch: &Batch) -> Result<()> {
        if !batch.is_empty() {
            // Removing it twice does no harm, and what is left is found the next time.
            match self.store.commit(batch, self.env) {
                Ok(_) => self.done.history_removed += batch.len() as u64,
                Err(Error::OutcomeUnknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes tombstones that still are current, and all history of their keys with them: an older
    /// version without the tombstone over it would come back to life.
    fn collect_tombstones(&mut self, mut dead: Vec<(&[u8], Version)>) -> Result<()> {
        while !dead.is_empty() {
            let mut batch = self.new_batch();
            for (key, version) in &dead {
                let slot = key::current(key);
                batch.check(&slot, *version);
                batch.delete(&slot);
                let (start, end) = key::history_until(key, Version::MAX);
                batch.clear(&start, &end);
            }
            match self.store.commit(&batch, self.env) {
                Ok(_) => {
                    self.done.tombstones_removed += dead.len() as u64;
                    return Ok(());
                }
                Err(Error::Conflict { key }) => {
                    let before = dead.len();
                    dead.retain(|(dead, _)| key::current(dead) != key);
                    if dead.len() == before {
                        return Err(Error::Conflict { key });
                    }
                }
                Err(Error::OutcomeUnknown { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Garbage that comes back after a crash is garbage still.
    fn new_batch(&self) -> Batch {
        Batch::new(CommitId::random(self.env), Durability::Relaxed)
    }
}

fn damaged() -> Error {
    Error::Corrupt("a history key cannot be taken apart".into())
}
