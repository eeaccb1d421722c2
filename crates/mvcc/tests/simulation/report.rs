//! What clients tell the auditor.

use kv::{Error, Version};

pub(crate) type Key = Vec<u8>;
pub(crate) type Rows = Vec<(Key, Vec<u8>)>;

/// What a transaction did. Its marker is a key that it alone writes: whether it committed is told
/// by whether the marker is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) marker: Key,
    pub(crate) serializable: bool,
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
    /// Rows put in bulk, in order.
    pub(crate) bulk: Rows,
    /// What it added to the counter.
    pub(crate) count: i64,
}

/// A range, as it was seen from a snapshot over own writes.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) at: Version,
    pub(crate) start: Key,
    pub(crate) end: Key,
    pub(crate) rows: Rows,
    /// Own writes at that time, in order.
    pub(crate) own: Vec<(Key, Option<Vec<u8>>)>,
}

/// What became of a key in the end.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) value: Option<Vec<u8>>,
    /// The committed version that was replaced, zero for none.
    pub(crate) base: Version,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// About to commit, or given up: nothing more will be read or written.
    Did(Report),
    /// What the client was told of the commit of the transaction it reported last.
    Told(Result<Option<Version>, Error>),
}
