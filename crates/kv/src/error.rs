//! Errors, named by what the caller must do.

use crate::CommitId;

/// The result of a call to a store.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. The text is for a person; the variant says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// A check failed: something newer was found. Nothing was applied. Run the transaction again.
    #[error("another transaction committed a conflicting change")]
    Conflict {
        /// The key (or the start of the range) whose check failed.
        key: Vec<u8>,
    },
    /// The commit may or may not have happened. Ask [`crate::Store::outcome`]; never guess.
    #[error("the outcome of the commit is unknown: {reason}")]
    OutcomeUnknown {
        /// The commit in question.
        id: CommitId,
        /// What broke.
        reason: String,
    },
    /// The caller's [`crate::Environment`] asked to stop.
    #[error("interrupted while waiting for the store")]
    Interrupted,
    /// The store cannot be reached. Nothing was applied. Try again later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A key, value or batch is larger than the store takes. Nothing was applied.
    #[error("{what} of {size} bytes is larger than the store's limit of {limit} bytes")]
    TooLarge {
        /// `key`, `value` or `transaction`.
        what: &'static str,
        /// How large it is, in bytes.
        size: usize,
        /// How large it may be, in bytes.
        limit: usize,
    },
    /// The store has no room left. Nothing was applied.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store takes no writes, or not from us.
    #[error("the store refused: {0}")]
    Denied(String),
    /// The store belongs to somebody else, or is not what it was.
    #[error("{0}")]
    WrongStore(String),
    /// The store's address or options make no sense.
    #[error("{0}")]
    Misconfigured(String),
    /// What was read cannot have been written by us.
    #[error("the store holds damaged data: {0}")]
    Corrupt(String),
    /// A version was asked for that may have been removed.
    #[error("the snapshot is older than the history that is kept")]
    TooOld,
}
