//! Scanning a range as a snapshot sees it, page by page, with the transaction's own writes merged
//! in.
//!
//! What a page shows is decided once, when it arrives: [`Loaded`] lists its visible rows in
//! ascending order, whichever way it was read. In the common case, no own writes in the page's
//! interval and nothing newer than the snapshot, that is one look at the head of each value.
//!
//! The cursor stands on a row or in a gap. `left` is how many visible rows of the page lie before
//! it and `right` the first that lies after it: equal in a gap, apart by one on a row.

use std::rc::Rc;

use kv::{
    Direction, Error, Layout, Mapping, MappingSource, Page, ReadStamp, Result, ScanRequest, Store,
    Ticket, Version,
};

use crate::read::Sight;
use crate::value::{HEADER, page, slot_and_body};
use crate::writes::{Record, WriteId};
use crate::{Snapshot, Transaction, key};

/// How a scan reads.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions {
    /// What version zero means in this range: when its space was published.
    pub zero: Version,
    /// Most rows of the first page; at least 1. Later pages have four times as many as the one
    /// before them.
    pub first_rows: usize,
    /// Most rows of any page.
    pub max_rows: usize,
    /// Most bytes of keys and values of a page, but for its last row.
    pub max_bytes: usize,
    /// Where bodies are placed.
    pub layout: Layout,
}

/// A row that a scan returns.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The commit that made the row; `None` for an own version.
    pub version: Option<Version>,
    /// The own version.
    pub own: Option<WriteId>,
    /// `layout.headroom` bytes that the caller may overwrite, then the body, which it may not
    /// change: the row is shown again when the direction changes. Both stay as they are until the
    /// next call of [`Scan::next`].
    pub body: &'a mut [u8],
}

/// A cursor over a range.
pub struct Scan {
    start: Vec<u8>,
    end: Vec<u8>,
    at: Snapshot,
    /// Whether the first page decides what version `at` is of.
    takes_snapshot: bool,
    options: ScanOptions,
    /// How entries name their rows, until the first page has come with its rows.
    mapping: Option<Mapping>,
    /// Current slots of the rows that the entries of the first page point to.
    rows_known: Page,
    loaded: Loaded,
    left: usize,
    right: usize,
    /// Whether the first call of `next` has said on which side the scan begins.
    placed: bool,
    /// How many rows the next page may have.
    rows: usize,
    /// How many pages have come.
    pages: usize,
    /// After how many the next one is asked for before it is needed.
    ahead_after: usize,
    ahead: Option<Ahead>,
}

/// The visible rows of an interval.
struct Loaded {
    page: Page,
    /// Values that replace those of the page: older versions and own ones.
    extra: Page,
    items: Vec<Item>,
    low: Vec<u8>,
    high: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Item {
    place: Place,
    version: Version,
    own: Option<WriteId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Page(usize),
    Extra(usize),
    /// Not known yet. If looking back finds nothing, the snapshot sees no row and the item goes.
    History,
}

/// The page after this one, on its way.
struct Ahead {
    store: Rc<dyn Store>,
    ticket: Ticket,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Scan {
    /// A scan of the keys in `start..end`. Nothing is read yet.
    pub fn new(start: Vec<u8>, end: Vec<u8>, at: Snapshot, options: ScanOptions) -> Scan {
        let (start, end) = (key::current(&start), key::current(&end));
        let end = end.max(start.clone());
        let loaded = Loaded::new(options.layout);
        let rows = options.first_rows.max(1);
        Scan {
            start,
            end,
            at,
            takes_snapshot: false,
            options,
            mapping: None,
            rows_known: Page::default(),
            loaded,
            left: 0,
            right: 0,
            placed: false,
            rows,
            pages: 0,
            ahead_after: 1,
            ahead: None,
        }
    }

    /// Says that the first page is expected to be all that will be wanted: the second one is asked
    /// for when it is needed after all, and the others ahead of that again.
    pub fn of_one_page(mut self) -> Scan {
        self.ahead_after = 2;
        self
    }

    /// Has the first page take the snapshot, at which nothing was read yet: its version becomes that of
    /// the page, which saves the round trip of asking for one. See [`Scan::snapshot`].
    pub fn taking_snapshot(mut self) -> Scan {
        self.takes_snapshot = true;
        self
    }

    /// Asks for the first page without waiting for it. The scan begins at the side that the direction
    /// says.
    pub fn start(&mut self, txn: &mut Transaction, direction: Direction) -> Result<()> {
        self.place(direction);
        self.ask_ahead(txn, direction)
    }

    /// Has the first page come together with the rows that its entries point to, for
    /// [`Scan::take_rows`]. `mapping` is in terms of keys and bodies.
    pub fn with_rows(mut self, mapping: &Mapping) -> Scan {
        let source = match mapping.source {
            MappingSource::Value { offset } => MappingSource::Value { offset: HEADER + offset },
            MappingSource::KeySuffix => MappingSource::KeySuffix,
        };
        let prefix = key::current(&mapping.prefix);
        self.mapping = Some(Mapping { prefix, source, len: mapping.len });
        self
    }

    /// What it sees: what it was made with, unless its first page has taken the snapshot since.
    pub fn snapshot(&self) -> Snapshot {
        self.at
    }

    /// The rows that came with the first page, once, for [`Transaction::get_many_knowing`].
    pub fn take_rows(&mut self) -> Page {
        std::mem::take(&mut self.rows_known)
    }

    /// The next row in a direction, which may change between calls: after a row was returned, the
    /// other direction returns the row on its other side; after the end of the range, it returns
    /// the last row. The first call decides at which end the scan begins. After an error the scan is
    /// of no further use.
    pub fn next<'a>(
        &'a mut self,
        txn: &mut Transaction,
        direction: Direction,
    ) -> Result<Option<Entry<'a>>> {
        let item = match direction {
            Direction::Forward => self.step_forward(txn)?,
            Direction::Backward => self.step_backward(txn)?,
        };
        Ok(item.map(|item| self.loaded.entry(item, self.options.layout)))
    }

    fn step_forward(&mut self, txn: &mut Transaction) -> Result<Option<usize>> {
        self.place(Direction::Forward);
        while self.right == self.loaded.items.len() {
            if self.loaded.high >= self.end {
                self.left = self.right;
                return Ok(None);
            }
            self.load(txn, Direction::Forward)?;
        }
        let item = self.right;
        (self.left, self.right) = (item, item + 1);
        if item == 1 {
            self.read_ahead(txn, Direction::Forward)?;
        }
        Ok(Some(item))
    }

    fn step_backward(&mut self, txn: &mut Transaction) -> Result<Option<usize>> {
        self.place(Direction::Backward);
        while self.left == 0 {
            if self.loaded.low <= self.start {
                self.right = self.left;
                return Ok(None);
            }
            self.load(txn, Direction::Backward)?;
        }
        let item = self.left - 1;
        (self.left, self.right) = (item, item + 1);
        if item + 2 == self.loaded.items.len() {
            self.read_ahead(txn, Direction::Backward)?;
        }
        Ok(Some(item))
    }

    /// An empty interval at the side where the scan begins.
    fn place(&mut self, direction: Direction) {
        if self.placed {
            return;
        }
        self.placed = true;
        let side = match direction {
            Direction::Forward => &self.start,
            Direction::Backward => &self.end,
        };
        self.loaded.low.clone_from(side);
        self.loaded.high.clone_from(side);
    }

    /// Replaces the page by its neighbour.
    fn load(&mut self, txn: &mut Transaction, direction: Direction) -> Result<()> {
        // A range full of deleted rows is passed over page by page before anything is returned.
        if txn.env.interrupted() {
            return Err(Error::Interrupted);
        }
        let (stamp, request) = self.read(txn, direction)?;
        if std::mem::take(&mut self.takes_snapshot) {
            self.at.version = stamp.version;
        }
        txn.observe_at(stamp, &self.at)?;
        self.loaded.cover(request);
        txn.track(&self.loaded.low, &self.loaded.high, self.at.version);
        self.pages += 1;
        self.rows = self.rows.saturating_mul(4).min(self.options.max_rows).max(1);
        self.loaded.resolve(txn, &self.at, self.options.zero, direction)?;
        self.left = if direction == Direction::Forward { 0 } else { self.loaded.items.len() };
        self.right = self.left;
        Ok(())
    }

    /// Reads the page that comes next in a direction.
    fn read(
        &mut self,
        txn: &mut Transaction,
        direction: Direction,
    ) -> Result<(ReadStamp, ScanRequest)> {
        if let Some(ticket) = take_ahead(&mut self.ahead, direction) {
            return txn.store.finish_scan(ticket, &mut self.loaded.page, &*txn.env);
        }
        let request = self.request(direction);
        txn.reveal_bulk(&request.start, &request.end)?;
        let page = &mut self.loaded.page;
        // Rows that the store may not show yet cannot come with the page.
        match self.mapping.take().filter(|_| !txn.bulk.used) {
            Some(mapping) => {
                let (since, rows) = (self.at.version, &mut self.rows_known);
                txn.store.scan_mapped_since(since, request, &mapping, page, rows, &*txn.env)
            }
            None => txn.store.finish_scan(start(txn, request, &self.at)?, page, &*txn.env),
        }
    }

    /// Asks for the page after this one. Begins with the second row of a page, so that whoever
    /// wants one row pays for one page.
    fn read_ahead(&mut self, txn: &mut Transaction, direction: Direction) -> Result<()> {
        if self.pages < self.ahead_after { Ok(()) } else { self.ask_ahead(txn, direction) }
    }

    fn ask_ahead(&mut self, txn: &mut Transaction, direction: Direction) -> Result<()> {
        let request = self.request(direction);
        if request.start >= request.end || self.ahead.is_some() {
            return Ok(());
        }
        txn.reveal_bulk(&request.start, &request.end)?;
        let store = Rc::clone(&txn.store);
        let ticket = start(txn, request, &self.at)?;
        self.ahead = Some(Ahead { store, ticket });
        Ok(())
    }

    fn request(&self, direction: Direction) -> ScanRequest {
        let (start, end) = match direction {
            Direction::Forward => (self.loaded.high.clone(), self.end.clone()),
            Direction::Backward => (self.start.clone(), self.loaded.low.clone()),
        };
        let max_bytes = self.options.max_bytes;
        ScanRequest { start, end, direction, max_rows: self.rows, max_bytes }
    }
}

/// The page on its way, if it is the one wanted; otherwise gives it up.
fn take_ahead(ahead: &mut Option<Ahead>, direction: Direction) -> Option<Ticket> {
    let Ahead { store, ticket } = ahead.take()?;
    if ticket.request.direction == direction {
        return Some(ticket);
    }
    store.cancel_scan(ticket);
    None
}

/// Asks for a page in which a snapshot finds its rows.
fn start(txn: &Transaction, request: ScanRequest, at: &Snapshot) -> Result<Ticket> {
    match txn.enough(at) {
        Some(since) => txn.store.start_scan_since(since, request),
        None => txn.store.start_scan(request),
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        if let Some(Ahead { store, ticket }) = self.ahead.take() {
            store.cancel_scan(ticket);
        }
    }
}

impl Loaded {
    fn new(layout: Layout) -> Loaded {
        Loaded {
            page: page(layout),
            extra: page(layout),
            items: Vec::new(),
            low: Vec::new(),
            high: Vec::new(),
        }
    }

    fn entry(&mut self, item: usize, layout: Layout) -> Entry<'_> {
        let Item { place, version, own } = self.items[item];
        let (page, i) = match place {
            Place::Page(i) => (&mut self.page, i),
            Place::Extra(i) => (&mut self.extra, i),
            Place::History => unreachable!("a page is shown when its history has been looked up"),
        };
        let (slot, body) = slot_and_body(page, i, layout);
        Entry { key: &slot[1..], version: own.is_none().then_some(version), own, body }
    }

    /// Says which interval the page that answers `request` shows.
    fn cover(&mut self, request: ScanRequest) {
        let last = self.page.len().checked_sub(1).filter(|_| self.page.more());
        (self.low, self.high) = match (last, request.direction) {
            (None, _) => (request.start, request.end),
            (Some(last), Direction::Forward) => {
                (request.start, key::successor(self.page.key(last)))
            }
            (Some(last), Direction::Backward) => (self.page.key(last).to_vec(), request.end),
        };
    }

    /// Lists the visible rows in ascending order.
    fn resolve(
        &mut self,
        txn: &mut Transaction,
        at: &Snapshot,
        zero: Version,
        direction: Direction,
    ) -> Result<()> {
        let Loaded { page, extra, items, low, high } = self;
        items.clear();
        extra.clear();
        let mut older = Vec::new();
        let mut own = txn.writes.visible_in(low, high, at.command).peekable();
        for i in 0..page.len() {
            let i = if direction == Direction::Forward { i } else { page.len() - 1 - i };
            while let Some(own) = own.next_if(|(_, record)| *record.key < *page.key(i)) {
                push_own(own, items, extra);
            }
            if let Some(own) = own.next_if(|(_, record)| *record.key == *page.key(i)) {
                push_own(own, items, extra);
                continue;
            }
            let (place, version) = match Sight::of(page.value(i), at, zero)? {
                Sight::Value(version) => (Place::Page(i), version),
                Sight::Nothing => continue,
                Sight::Older => {
                    older.push((items.len(), i));
                    (Place::History, Version::ZERO)
                }
            };
            items.push(Item { place, version, own: None });
        }
        own.for_each(|own| push_own(own, items, extra));
        if older.is_empty() { Ok(()) } else { self.look_back(txn, &older, at, zero) }
    }

    /// Finds the older versions of the rows that need one: positions in `items` and in the page.
    fn look_back(
        &mut self,
        txn: &mut Transaction,
        older: &[(usize, usize)],
        at: &Snapshot,
        zero: Version,
    ) -> Result<()> {
        let Loaded { page, extra, items, .. } = self;
        let keys: Vec<Vec<u8>> = older.iter().map(|(_, i)| page.key(*i)[1..].to_vec()).collect();
        txn.look_back(&keys, at, zero, |n, version, value| {
            let (item, i) = older[n];
            items[item] = Item { place: Place::Extra(extra.len()), version, own: None };
            extra.push(page.key(i), value);
        })?;
        items.retain(|item| item.place != Place::History);
        Ok(())
    }
}

fn push_own((id, record): (WriteId, &Record), items: &mut Vec<Item>, extra: &mut Page) {
    if !record.flags().tombstone() {
        let place = Place::Extra(extra.len());
        items.push(Item { place, version: Version::ZERO, own: Some(id) });
        extra.push(&record.key, &record.value);
    }
}
