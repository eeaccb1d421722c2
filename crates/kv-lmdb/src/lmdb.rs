//! A backend's handle: reads go straight to the file, everything else to the writer.

use std::cell::{OnceCell, RefCell};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heed::RoTxn;
use heed::types::Bytes;
use kv::{
    Batch, CommitId, Direction, Environment, Error, Limits, Outcome, Page, ReadStamp, Result,
    ScanRequest, Status, Store, Ticket, Version,
};

use crate::apply::bounds;
use crate::files::{Database, Files, Shape};
use crate::limits::LIMITS;
use crate::record;
use crate::session::{Session, is_awaited};
use crate::socket;
use crate::wire::{Hello, PROTOCOL};
use crate::writer::check_name;

/// How an [`Lmdb`] works.
#[derive(Clone, Copy, Debug)]
pub struct LmdbOptions {
    /// How long to wait for a writer that does not listen (yet), in milliseconds. 5000.
    pub connect_timeout: u32,
    /// As [`crate::WriterOptions::max_namespaces`].
    pub max_namespaces: u32,
}

impl Default for LmdbOptions {
    fn default() -> LmdbOptions {
        LmdbOptions { connect_timeout: 5000, max_namespaces: 16 }
    }
}

/// A handle on one namespace of a store.
///
/// Nothing is opened before the first call that needs it, so that a handle may be made anywhere;
/// it must not be used on both sides of a fork.
#[derive(Debug)]
pub struct Lmdb {
    dir: PathBuf,
    namespace: String,
    options: LmdbOptions,
    session: RefCell<Session>,
    reader: OnceCell<Reader>,
}

/// The file and what is read in it.
#[derive(Debug)]
struct Reader {
    files: Arc<Files>,
    meta: Database,
    data: Database,
    stamp_key: Vec<u8>,
}

impl Lmdb {
    /// A handle on `namespace` of the store in `dir`, for the server called `identity`.
    ///
    /// `Misconfigured` if the names cannot be right. Whether the store is there, and ours, shows at
    /// the first call: `Unavailable`, `WrongStore`.
    pub fn connect(
        dir: &Path,
        identity: &[u8],
        namespace: &str,
        options: LmdbOptions,
    ) -> Result<Lmdb> {
        check_name(namespace)?;
        let identity = identity.to_vec();
        let hello = Hello { protocol: PROTOCOL, identity, namespace: namespace.into() };
        let session = Session::new(socket::path(dir)?, hello.encode(), options.connect_timeout);
        Ok(Lmdb {
            dir: dir.into(),
            namespace: namespace.into(),
            options,
            session: RefCell::new(session),
            reader: OnceCell::new(),
        })
    }

    /// The file, opened when it is first needed: the writer has said by then that it is ours and
    /// has made the namespace.
    fn reader(&self, env: &dyn Environment) -> Result<&Reader> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader);
        }
        self.session.borrow_mut().connect(env)?;
        let shape = Shape {
            map_size: None,
            // The writer has the files open and its number counts.
            max_readers: 126,
            max_namespaces: self.options.max_namespaces,
        };
        let files = Files::open(&self.dir, shape, None)?;
        // A writer that begins while nobody has the files open may put back an older state and lead
        // it forward again before it listens. If it did that just now, it has finished when it, or
        // the one that was there all the time, answers; and from now on it sees that we have them.
        self.session.borrow_mut().hear(env)?;
        let [meta, data] = files.databases([record::META, &record::data_name(&self.namespace)])?;
        let stamp_key = record::stamp_key(&self.namespace);
        Ok(self.reader.get_or_init(|| Reader { files, meta, data, stamp_key }))
    }
}

impl Reader {
    /// Runs `read` in a read transaction and says what it shows.
    fn read(&self, mut read: impl FnMut(&RoTxn<'_>) -> heed::Result<()>) -> Result<ReadStamp> {
        let stamp = self.files.read(|txn| {
            read(txn)?;
            Ok(record::decode_stamp(self.meta.get(txn, &self.stamp_key)?))
        })?;
        stamp.ok_or_else(|| Error::Corrupt("the record of the namespace".into()))
    }

    fn get(&self, txn: &RoTxn<'_>, key: &[u8], page: &mut Page) -> heed::Result<()> {
        let value = if key.is_empty() { None } else { self.data.get(txn, key)? };
        match value {
            Some(value) => page.push(key, value),
            None => page.push_absent(key),
        }
        Ok(())
    }

    /// Rows that an index names are often neighbours, and a step of a cursor is much cheaper than a
    /// search from the root.
    fn get_all(&self, txn: &RoTxn<'_>, keys: &[&[u8]], page: &mut Page) -> heed::Result<()> {
        let mut cursor: Option<heed::RoRange<'_, Bytes, Bytes>> = None;
        for (i, key) in keys.iter().enumerate() {
            let stepped = cursor.as_mut().and_then(Iterator::next).transpose()?;
            if let Some((_, value)) = stepped.filter(|(found, _)| found == key) {
                page.push(key, value);
                continue;
            }
            cursor = match keys.get(i + 1) {
                Some(next) if is_successor(next, key) => Some(self.data.range(txn, &from(key))?),
                _ => None,
            };
            match cursor.as_mut().and_then(Iterator::next).transpose()? {
                Some((found, value)) if found == *key => page.push(key, value),
                Some(_) => page.push_absent(key),
                None => self.get(txn, key, page)?,
            }
        }
        Ok(())
    }

    fn scan(&self, txn: &RoTxn<'_>, request: &ScanRequest, page: &mut Page) -> heed::Result<()> {
        page.clear();
        if request.start >= request.end {
            return Ok(());
        }
        let range = bounds(&request.start, &request.end);
        match request.direction {
            Direction::Forward => fill(self.data.range(txn, &range)?, request, page),
            Direction::Backward => fill(self.data.rev_range(txn, &range)?, request, page),
        }
    }
}

/// Whether a key is as long as another one and one higher.
fn is_successor(next: &[u8], key: &[u8]) -> bool {
    match (next.split_last(), key.split_last()) {
        (Some((high, next)), Some((low, key))) => low.checked_add(1) == Some(*high) && next == key,
        _ => false,
    }
}

/// From a key on.
fn from(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(key), Bound::Unbounded)
}

/// The hottest loop of the product: an entry costs a step of the cursor and a copy.
fn fill<'a>(
    mut entries: impl Iterator<Item = heed::Result<(&'a [u8], &'a [u8])>>,
    request: &ScanRequest,
    page: &mut Page,
) -> heed::Result<()> {
    while let Some(entry) = entries.next() {
        let (key, value) = entry?;
        page.push(key, value);
        if request.is_met_by(page) {
            page.set_more(entries.next().is_some());
            break;
        }
    }
    Ok(())
}

impl Store for Lmdb {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        let details = self.session.borrow_mut().details(env)?;
        let bytes = details.iter().find(|(name, _)| name == "file bytes");
        let lmdb = heed::lmdb_version();
        Ok(Status {
            engine: "embedded".into(),
            server_version: format!("LMDB {}.{}.{}", lmdb.major, lmdb.minor, lmdb.patch),
            durability: "every commit is synced to the disk before it is acknowledged".into(),
            bytes: bytes.and_then(|(_, value)| value.parse().ok()),
            details,
        })
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        self.reader(env)?.read(|_| Ok(()))
    }

    /// Versions are microseconds, and nothing will be committed at or below the last one any more,
    /// so that the moment itself is a version up to there.
    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        Ok(Version(micros).min(self.read_version(env)?.version))
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        let reader = self.reader(env)?;
        reader.read(|txn| {
            page.clear();
            reader.get_all(txn, keys, page)
        })
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        Ok(Ticket { request, id: 0 })
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let reader = self.reader(env)?;
        let request = ticket.request;
        let stamp = reader.read(|txn| reader.scan(txn, &request, page))?;
        Ok((stamp, request))
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        batch.obey(&LIMITS)?;
        let mut session = self.session.borrow_mut();
        if is_awaited(batch) {
            return session.commit(batch, env);
        }
        session.defer(batch, env)?;
        Ok(Version::ZERO)
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.session.borrow_mut().flush(env)
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        self.session.borrow_mut().outcome(id, env)
    }
}
