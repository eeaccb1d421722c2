//! What the engine takes, as data that the layers above obey.

use kv::Limits;

/// The numbers that [`crate::Lmdb`] tells and the writer enforces.
///
/// The longest key is what LMDB's `longer-keys` leaves with pages of 4 KiB. Machines with larger
/// pages could take more, but files must stay movable.
pub(crate) const LIMITS: Limits = Limits {
    max_key: 1982,
    max_value: 1 << 30,
    max_batch: 2 << 30,
    bulk_batch: 1 << 20,
    archives: true,
    local: true,
    pages_at_once: 1,
};

/// Longest name of a namespace, in bytes.
pub(crate) const MAX_NAMESPACE: usize = 200;
