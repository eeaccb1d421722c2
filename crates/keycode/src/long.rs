//! Keys that are longer than a store allows.
//!
//! A key of more than `limit` − [`DIGEST`] bytes keeps that many, its *head*, followed by the SHA-256
//! of the whole key; it then has exactly `limit` bytes. Shorter keys stay as they are. So, with the
//! same limit for all keys of an index:
//!
//! - Shortened keys are equal exactly when the keys are (two inputs with one SHA-256 have never been
//!   seen). Uniqueness and a search by all columns need nothing more: shorten the key and look for
//!   it, or for [`KeyRange::equal`] of it where row ids follow.
//! - No key becomes a prefix of another: a key that stayed is no longer than a head, and heads are
//!   cut from keys none of which began with another. A row id can still stand behind.
//! - Keys with different heads keep their order. A *run* of shortened keys with one head is together
//!   but in no order within.
//!
//! What this asks of callers:
//!
//! - **Search a [`KeyRange::shortened`]**, which may have keys that the range did not ask for. Only
//!   shortened keys need a recheck ([`is_shortened`]); it needs the values, so the row or the body of
//!   the entry must have them.
//! - **Sort the runs**, where the order was promised: collect neighbours that are of one run
//!   ([`same_run`]) and sort them by their values or their full keys.
//! - **Leave room**: what is put in front of the key or behind it counts against the store's limit
//!   and must be taken off `limit` before. A prefix inside of the key is fine too, if it is the same
//!   for all keys and shorter than a head.

use sha2::{Digest, Sha256};

use crate::range::{KeyRange, after_prefix};

/// How much of a shortened key is digest, in bytes.
pub const DIGEST: usize = 32;

fn head(limit: usize) -> usize {
    assert!(limit > DIGEST, "a shortened key must keep a part of the key beside its digest");
    limit - DIGEST
}

/// Shortens a key, if it must be. Whether it was.
pub fn shorten(key: &mut Vec<u8>, limit: usize) -> bool {
    let head = head(limit);
    let long = key.len() > head;
    if long {
        let digest = Sha256::digest(&key);
        key.truncate(head);
        key.extend_from_slice(&digest);
    }
    long
}

/// Whether a key, as [`shorten`] left it and without anything behind it, was shortened.
pub fn is_shortened(key: &[u8], limit: usize) -> bool {
    key.len() > head(limit)
}

/// Whether the order of two keys says nothing about their values, because both were shortened to
/// the same head.
pub fn same_run(a: &[u8], b: &[u8], limit: usize) -> bool {
    let head = head(limit);
    a.len() > head && b.len() > head && a[..head] == b[..head]
}

impl KeyRange {
    /// Where the keys of this range are once they are shortened. Every key that stayed as it was
    /// and lies in it was in this range; shortened ones need a recheck.
    pub fn shortened(mut self, limit: usize) -> KeyRange {
        let head = head(limit);
        self.start.truncate(head);
        if self.end.len() > head {
            self.end = after_prefix(&self.end[..head]).expect("a head is longer than its prefix");
        }
        self
    }
}
