//! The store contract: what fakegres needs of a key–value store, and nothing more.
//!
//! Keys and values are bytes and keys are ordered bytewise. A store has *no* snapshots: every read
//! sees the newest committed state, because none of the engines can hold an old state for long
//! (FoundationDB: 5 s; Redis: not at all; LMDB: a long reader makes the file grow). Snapshots are
//! built above, by `mvcc`, out of versions that are kept in the values.
//!
//! # Versions and stamps
//!
//! [`Version`] is a 64-bit number that grows with every commit of the namespace. A *stamped* value
//! begins with the big-endian version of the commit that wrote it ([`STAMP`] bytes); the store
//! writes it. [`Batch::check`] compares that stamp, so it may only name keys whose values are
//! stamped (or begin with eight bytes that mean the same, such as zero).
//!
//! Every reply to a read carries a [`ReadStamp`]: the version that the reply shows, exactly, and the
//! *floor*, below which older versions may have been removed. Both are read atomically with the
//! data, so that a reader who needs a version at or above the floor of *every* reply it used has
//! missed nothing.
//!
//! # Commits
//!
//! [`Store::commit`] is atomic: first every check is made, then every operation is applied in the
//! order of the batch. `Conflict` means that nothing was applied. `OutcomeUnknown` means that the
//! connection broke at the wrong moment; [`Store::outcome`] settles it, and its answer is final: a
//! commit reported as not done will never be done later.
//!
//! Both rest on the marker of the batch's id. A batch whose id is committed already is not applied
//! again: its version is returned. A batch whose id was reported as not committed is refused with a
//! `Conflict` that names no key. A batch that was refused leaves no marker.
//!
//! # Keys
//!
//! No key is empty: a read of the empty key finds nothing. The bounds of ranges are not keys; they
//! may be empty or longer than [`Limits::max_key`], and a range that ends before it starts is empty.
//!
//! # Waiting
//!
//! Every call that can block takes an [`Environment`] and asks [`Environment::interrupted`] at
//! least every 100 ms while it waits, also while the server is stopped or unreachable, and returns
//! [`Error::Interrupted`] soon after it says yes.
//!
//! # Beside the contract
//!
//! [`memory`] is the reference engine, `conformance` (a feature, for tests) the suite that every
//! engine must pass, [`wrap`] has stores around stores that record, compare and break, and
//! [`environment`] a clock and randomness that repeat themselves.

mod batch;
mod error;
mod forward;
mod page;

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod environment;
pub mod memory;
pub mod wrap;

pub use batch::{Batch, CommitId, Durability, Op, Ops};
pub use error::{Error, Result};
pub use page::{Layout, Page};

/// A point in the order of commits. Larger is later. Zero is before every commit.
///
/// LMDB and Redis take the microseconds since the Unix epoch, or one more than the last version
/// where the clock stands behind it; FoundationDB has its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version(pub u64);

/// Length of the version with which a stamped value begins, in bytes.
pub const STAMP: usize = 8;

impl Version {
    /// Before every commit.
    pub const ZERO: Version = Version(0);
    /// After every commit.
    pub const MAX: Version = Version(u64::MAX);

    /// The version that a stamped value begins with, or `None` if it is too short to have one.
    pub fn of_stamped(value: &[u8]) -> Option<Version> {
        value.first_chunk::<STAMP>().map(|head| Version(u64::from_be_bytes(*head)))
    }
}

/// What a read shows: read in the same atomic step as the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadStamp {
    /// Every commit up to this version is in the reply, and nothing newer is.
    pub version: Version,
    /// Versions that ended at or before this one may have been removed.
    pub floor: Version,
}

/// Which way a scan goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Ascending keys.
    #[default]
    Forward,
    /// Descending keys.
    Backward,
}

/// One page of a range: `start` is inclusive, `end` exclusive, whatever the direction.
///
/// An engine may end a page before its budget is used up, if the page says that there is more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScanRequest {
    /// First key of the range.
    pub start: Vec<u8>,
    /// First key after the range.
    pub end: Vec<u8>,
    /// Where to begin: at `start` going up, or just below `end` going down.
    pub direction: Direction,
    /// Most entries in the page; at least 1.
    pub max_rows: usize,
    /// The page ends with the first entry that makes keys and values reach this many bytes. A page
    /// of a non-empty range has at least one entry, however large.
    pub max_bytes: usize,
}

impl ScanRequest {
    /// Whether a page with these entries has as many rows or bytes as it should.
    pub fn is_met_by(&self, page: &Page) -> bool {
        page.len() >= self.max_rows || page.payload() >= self.max_bytes
    }

    /// Narrows the range to what `page` has not shown; false when there is nothing left.
    pub fn advance(&mut self, page: &Page) -> bool {
        if !page.more() {
            return false;
        }
        let Some(last) = page.len().checked_sub(1) else { return false };
        let key = page.key(last);
        match self.direction {
            Direction::Forward => {
                self.start.clear();
                self.start.extend_from_slice(key);
                self.start.push(0);
            }
            Direction::Backward => {
                self.end.clear();
                self.end.extend_from_slice(key);
            }
        }
        true
    }
}

/// A page request under way. Give it back with [`Store::finish_scan`] or [`Store::cancel_scan`].
#[derive(Debug)]
pub struct Ticket {
    /// What was asked for.
    pub request: ScanRequest,
    /// The engine's own number for what is in flight; engines that read at once ignore it.
    pub id: u64,
}

/// How an index entry names the row it points to: the row's key is `prefix` followed by `len` bytes
/// cut out of the entry.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// What the row's key begins with.
    pub prefix: Vec<u8>,
    /// Where the rest of the row's key stands.
    pub source: MappingSource,
    /// How many bytes of the entry complete the row's key.
    pub len: usize,
}

/// Where an index entry keeps the row's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MappingSource {
    /// In the last bytes of the entry's key.
    KeySuffix,
    /// In the entry's value, from this offset on. A value too short to have it maps to no row.
    Value {
        /// Offset in bytes.
        offset: usize,
    },
}

impl Mapping {
    /// The key of the row that an entry points to.
    pub fn row_key(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let id = self.row_id(key, value)?;
        Some([&self.prefix, id].concat())
    }

    /// The key of the row of every entry in a page, in order, as a page of keys without values.
    /// An entry that points to no row has the empty key, which is never there.
    fn row_keys(&self, entries: &Page) -> Page {
        let mut keys = Page::default();
        let mut row_key = Vec::new();
        for i in 0..entries.len() {
            row_key.clear();
            if let Some(id) = self.row_id(entries.key(i), entries.value(i)) {
                row_key.extend_from_slice(&self.prefix);
                row_key.extend_from_slice(id);
            }
            keys.push_absent(&row_key);
        }
        keys
    }

    /// The bytes of an entry that complete the row's key, if it has them.
    pub fn row_id<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Option<&'a [u8]> {
        match self.source {
            MappingSource::KeySuffix => key.get(key.len().checked_sub(self.len)?..),
            MappingSource::Value { offset } => value.get(offset..offset.checked_add(self.len)?),
        }
    }
}

/// What an engine can and cannot do. Upper layers obey these numbers; they never ask which engine
/// it is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest key, in bytes.
    pub max_key: usize,
    /// Longest value, in bytes.
    pub max_value: usize,
    /// Largest batch ([`Batch::size`]), in bytes.
    pub max_batch: usize,
    /// What a bulk load should put into one deferred batch, in bytes.
    pub bulk_batch: usize,
    /// Whether the engine finds the old value of [`Batch::archive`] by itself. Otherwise the caller
    /// must supply it.
    pub archives: bool,
    /// Whether a read costs no network round trip.
    pub local: bool,
    /// How many pages ([`Store::start_scan`]) may well be on their way at once; at least 1. Of more, some
    /// may be asked for twice.
    pub pages_at_once: usize,
}

/// Whether a commit happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It did, at this version.
    Committed(Version),
    /// It did not and never will.
    NotCommitted,
}

/// What a person wants to know about a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// The engine: `embedded`, `redis`, ….
    pub engine: String,
    /// The engine's or server's own version.
    pub server_version: String,
    /// What an acknowledged commit survives, in words.
    pub durability: String,
    /// Bytes that the store occupies, where it can say.
    pub bytes: Option<u64>,
    /// Anything else worth showing: name and value.
    pub details: Vec<(String, String)>,
}

/// What the layers above lend to the store: time, randomness and the user's wish to stop.
///
/// The core has no clock and no randomness of its own, so that a simulation can replay it.
pub trait Environment {
    /// Whether the caller wants to stop waiting (a cancelled query, a statement timeout).
    fn interrupted(&self) -> bool;
    /// Microseconds since the Unix epoch.
    fn now(&self) -> u64;
    /// Fresh random bits.
    fn random(&self) -> u64;
}

/// An ordered key–value store, confined to one namespace. See the module's text for what its
/// answers promise.
pub trait Store {
    /// What this engine can do.
    fn limits(&self) -> Limits;

    /// Asks the store how it is. Costs a round trip.
    fn status(&self, env: &dyn Environment) -> Result<Status>;

    /// The newest version: every commit that was acknowledged before the call is at or below it.
    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp>;

    /// The newest version at or before a moment (microseconds since the Unix epoch). Where versions
    /// are microseconds it is the moment itself, up to the last commit: what is visible then is the
    /// same as at the commit before it, and may still be above the floor where that is not.
    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version>;

    /// The version up to which history may be forgotten if what was seen at or after a moment is to
    /// stay: at or below every version that this store showed since then. Where the newest version
    /// is shown at once it is the one of that moment.
    fn horizon(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.version_at(micros, env)
    }

    /// Replaces the contents of `page` by one entry per key, in the order given; a key that is
    /// not there has no value ([`Page::get`] is `None`). One round trip.
    fn get_many(&self, keys: &[&[u8]], page: &mut Page, env: &dyn Environment)
    -> Result<ReadStamp>;

    /// As [`Store::get_many`], for a caller to whom any state at or after `since` is as good as the
    /// newest: a version that this store has shown before, such as the caller's snapshot. An engine
    /// that knows how saves a round trip.
    fn get_many_since(
        &self,
        _since: Version,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        self.get_many(keys, page, env)
    }

    /// As [`Store::get_many_since`], for one key that changes seldom and that every handle of the
    /// store was told to watch. An engine that learns of its changes by itself answers without reading
    /// it while there was none.
    fn get_watched_since(
        &self,
        since: Version,
        key: &[u8],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        self.get_many_since(since, &[key], page, env)
    }

    /// Asks for a page without waiting for it.
    fn start_scan(&self, request: ScanRequest) -> Result<Ticket>;

    /// As [`Store::start_scan`], where any state at or after `since` will do.
    fn start_scan_since(&self, _since: Version, request: ScanRequest) -> Result<Ticket> {
        self.start_scan(request)
    }

    /// Waits for a page and replaces the contents of `page` by it. Gives the request back, so that
    /// it can be advanced and asked again without a new allocation.
    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)>;

    /// Gives up a page that nobody will wait for.
    fn cancel_scan(&self, ticket: Ticket) {
        drop(ticket);
    }

    /// A page of an index range together with the rows that its entries point to: entry `i` of
    /// `rows` is the row of entry `i` of `entries`. One round trip where the engine can. The stamp
    /// holds for both pages: its floor is the higher one, its version the lower one.
    fn scan_mapped(
        &self,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let ticket = self.start_scan(request)?;
        let (first, request) = self.finish_scan(ticket, entries, env)?;
        let keys = mapping.row_keys(entries);
        let keys: Vec<&[u8]> = (0..keys.len()).map(|i| keys.key(i)).collect();
        let second = self.get_many(&keys, rows, env)?;
        let stamp = ReadStamp {
            version: first.version.min(second.version),
            floor: first.floor.max(second.floor),
        };
        Ok((stamp, request))
    }

    /// As [`Store::scan_mapped`], where any state at or after `since` will do.
    fn scan_mapped_since(
        &self,
        _since: Version,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        self.scan_mapped(request, mapping, entries, rows, env)
    }

    /// Makes the checks of a batch, then applies it, atomically. Returns its version.
    ///
    /// A [`Durability::Deferred`] batch may be returned from before it is applied; its failure
    /// then shows, once, at the next call of `commit` or [`Store::flush`], and the version returned
    /// is [`Version::ZERO`]. Batches of one handle are applied in order: the call that shows the
    /// failure of an earlier batch applies nothing, and what was deferred behind it is dropped, or
    /// was applied already where it touches nothing that the failed batch touches.
    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version>;

    /// Waits until every deferred batch of this handle is applied and can be read.
    fn flush(&self, env: &dyn Environment) -> Result<()>;

    /// Whether the batch with this id was committed. The answer is final.
    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome>;
}
