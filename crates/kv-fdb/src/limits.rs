//! What the engine takes, as data that the layers above obey.

use kv::Limits;

/// FoundationDB takes keys of 10,000 bytes, ours included, values of 100,000, of which longer ones
/// are made, and transactions of 10,000,000. A value can be replaced, with the old one kept, if two
/// of them fit into a transaction. FoundationDB counts a written key three times and more, so a bulk
/// batch is smaller than the megabyte that it makes of it.
pub(crate) const LIMITS: Limits = Limits {
    max_key: 8 << 10,
    max_value: 4 << 20,
    max_batch: 9_000_000,
    bulk_batch: 512 << 10,
    archives: true,
    local: false,
    pages_at_once: 64,
};

/// Longest key that FoundationDB takes, in bytes.
pub(crate) const STORED_KEY: usize = 10_000;

/// Largest transaction that FoundationDB takes, in bytes.
pub(crate) const TRANSACTION: usize = 10_000_000;

/// Longest bound or key that is sent. What is longer than any key compares with every key as its
/// beginning of this length does.
pub(crate) fn clipped(key: &[u8]) -> &[u8] {
    &key[..key.len().min(LIMITS.max_key + 1)]
}
