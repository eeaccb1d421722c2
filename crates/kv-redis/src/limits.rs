//! What the engine takes, as data that the layers above obey.

use kv::Limits;

/// Redis would take values of 512 MB, but a batch is one script, during which nobody else is
/// served: the largest batch is what a script gets through in about a second. Bulk batches are
/// small, so that neighbours wait for milliseconds.
pub(crate) const LIMITS: Limits = Limits {
    max_key: 8 << 10,
    max_value: 32 << 20,
    max_batch: 64 << 20,
    bulk_batch: 256 << 10,
    archives: true,
    local: false,
    pages_at_once: crate::pipeline::KEPT,
};

/// Longest bound or key that is sent. What is longer than any key compares with every key as its
/// beginning of this length does.
pub(crate) fn clipped(key: &[u8]) -> &[u8] {
    &key[..key.len().min(LIMITS.max_key + 1)]
}
