//! Spaces: what PostgreSQL calls a relation file, in the store.
//!
//! A space is recorded before anything is written into it, so that whatever becomes of the
//! transaction that made it, somebody can find and clear it. It is *published* by the commit of
//! that transaction: its record gets the commit's version, and from then on its rows of version 0
//! count as written at that version.

use kv::{
    Batch, CommitId, Durability, Environment, Error, Page, Result, ScanRequest, Store, Version,
};
use mvcc::key::plain as plain_key;
use serde::{Deserialize, Serialize};

use crate::key::{self, Key};

/// One physical table or index. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Space(pub u64);

/// What the store knows of a space by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Oid of the table it was made for.
    pub table: u32,
    /// What it holds.
    pub kind: Kind,
    /// It got the rows of another space, as VACUUM FULL makes it: a snapshot from before it was
    /// published cannot be answered from it.
    #[serde(default)]
    pub copied: bool,
    /// An index that was built beside writers has what moments from this version on show, and not all of
    /// what earlier ones do. Zero if it has all since it was published.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub whole: u64,
}

impl Record {
    /// Of a space that is filled by whoever makes it.
    pub fn new(table: u32, kind: Kind) -> Record {
        Record { table, kind, copied: false, whole: 0 }
    }
}

fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// What a space holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Rows.
    Table,
    /// Index entries.
    Index,
}

/// A space found in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Oid of its database.
    pub database: u32,
    /// The space.
    pub space: Space,
    /// When it was published; zero if it was not.
    pub published: Version,
    /// What it is.
    pub record: Record,
}

/// Records a space before it is used. Not durable by itself: what is written into the space comes
/// later and so cannot survive a crash that this did not.
pub fn create(
    database: u32,
    space: Space,
    record: &Record,
    store: &dyn Store,
    env: &dyn Environment,
) -> Result<()> {
    let mut batch = Batch::new(CommitId::random(env), Durability::Deferred);
    let key = record_key(database, space);
    batch.put_versioned(&key, Version::ZERO, &[&encode(record)]);
    store.commit(&batch, env).map(drop)
}

/// The key and body with which the creating transaction publishes a space.
pub fn publication(database: u32, space: Space, record: &Record) -> (Vec<u8>, Vec<u8>) {
    (Key::SpaceRecord { database, space }.encode(), encode(record))
}

fn record_key(database: u32, space: Space) -> Vec<u8> {
    plain_key(&Key::SpaceRecord { database, space }.encode())
}

/// Says that an index which was built beside writers is whole from a version on. When it was published stays
/// as it is.
pub fn complete(
    database: u32,
    space: Space,
    whole: Version,
    store: &dyn Store,
    env: &dyn Environment,
) -> Result<()> {
    let found = find(database, space, store, env)?.ok_or_else(damaged)?;
    let record = Record { whole: whole.0, ..found.record };
    let mut batch = Batch::new(CommitId::random(env), Durability::Durable);
    let key = record_key(database, space);
    batch.check(&key, found.published);
    batch.put_versioned(&key, found.published, &[&encode(&record)]);
    store.commit(&batch, env).map(drop)
}

/// A space as the store knows it; `None` if it does not.
pub fn find(
    database: u32,
    space: Space,
    store: &dyn Store,
    env: &dyn Environment,
) -> Result<Option<Found>> {
    let mut page = Page::default();
    let key = record_key(database, space);
    store.get_many(&[&key], &mut page, env)?;
    page.get(0).map(|value| decode(database, space, value)).transpose()
}

/// Whether the store knows all of some spaces.
pub fn are_there(
    database: u32,
    spaces: &[Space],
    store: &dyn Store,
    env: &dyn Environment,
) -> Result<bool> {
    let keys: Vec<_> = spaces.iter().map(|space| record_key(database, *space)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut page = Page::default();
    store.get_many(&keys, &mut page, env)?;
    Ok((0..keys.len()).all(|i| page.get(i).is_some()))
}

/// Adds to a batch everything that removes a space: rows, history, entries, counters, lease, record.
pub fn clear(batch: &mut Batch, database: u32, space: Space) {
    clear_contents(batch, space);
    batch.delete(&plain_key(&Key::RowLease(space).encode()));
    batch.delete(&record_key(database, space));
}

/// Adds to a batch what empties a space that only its owner uses, and keeps it.
pub fn clear_contents(batch: &mut Batch, space: Space) {
    mvcc::key::clear_prefix(batch, &key::rows_prefix(space));
    mvcc::key::clear_prefix(batch, &key::entries_prefix(space));
    batch.delete(&plain_key(&Key::Rows(space).encode()));
    batch.delete(&plain_key(&Key::Bytes(space).encode()));
}

/// Every space of a database that the store knows.
pub fn list(database: u32, store: &dyn Store, env: &dyn Environment) -> Result<Vec<Found>> {
    list_prefix(&key::space_records_prefix(database), store, env)
}

/// Every space that the store knows, of all databases.
pub fn list_all(store: &dyn Store, env: &dyn Environment) -> Result<Vec<Found>> {
    list_prefix(&key::all_space_records_prefix(), store, env)
}

fn list_prefix(prefix: &[u8], store: &dyn Store, env: &dyn Environment) -> Result<Vec<Found>> {
    let prefix = plain_key(prefix);
    let mut request = ScanRequest {
        end: key::after_prefix(&prefix),
        start: prefix,
        max_rows: 1000,
        max_bytes: 1 << 20,
        ..ScanRequest::default()
    };
    let mut found = Vec::new();
    let mut page = Page::default();
    loop {
        let ticket = store.start_scan(request)?;
        (_, request) = store.finish_scan(ticket, &mut page, env)?;
        for i in 0..page.len() {
            let (database, space) =
                key::space_of_record_key(&page.key(i)[1..]).ok_or_else(damaged)?;
            found.push(decode(database, space, page.value(i))?);
        }
        if !request.advance(&page) {
            return Ok(found);
        }
    }
}

/// Live rows and bytes of a space, as its counters say.
pub fn statistics(space: Space, store: &dyn Store, env: &dyn Environment) -> Result<(u64, u64)> {
    let mut page = Page::default();
    let rows = plain_key(&Key::Rows(space).encode());
    let bytes = plain_key(&Key::Bytes(space).encode());
    store.get_many(&[&rows, &bytes], &mut page, env)?;
    let counter = |i| {
        let value = page.get(i).and_then(|value| value.try_into().ok()).map(i64::from_le_bytes);
        // A counter may dip below zero for a moment only if it was damaged: show nothing then.
        value.map_or(0, |value| u64::try_from(value).unwrap_or(0))
    };
    Ok((counter(0), counter(1)))
}

fn encode(record: &Record) -> Vec<u8> {
    rmp_serde::to_vec_named(record).expect("a space record has no unserializable part")
}

fn decode(database: u32, space: Space, value: &[u8]) -> Result<Found> {
    let published = Version::of_stamped(value).ok_or_else(damaged)?;
    let record = rmp_serde::from_slice(&value[kv::STAMP..]).map_err(|_| damaged())?;
    Ok(Found { database, space, published, record })
}

fn damaged() -> Error {
    Error::Corrupt("a space record cannot be read".into())
}
