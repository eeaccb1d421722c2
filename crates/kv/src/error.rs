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
    /// What this machine needs to reach the store is not installed.
    #[error("{0}")]
    Missing(String),
    /// The store is there and takes no requests now: it is starting, busy, or being taken over by
    /// another server. Nothing was applied. Try again later.
    #[error("the store is not ready: {0}")]
    NotReady(String),
    /// What answers takes no writes, because another server is the one that does. Nothing was
    /// applied. Ask that one, or try again when it is known.
    #[error("the store takes no writes: {0}")]
    ReadOnly(String),
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
    /// The store keeps its data in memory and has none left. Nothing was applied.
    #[error("the store has no memory left: {0}")]
    OutOfMemory(String),
    /// The store cannot write to its own disk and takes no writes until it can. Nothing was applied.
    #[error("the store cannot write to its disk: {0}")]
    Faulty(String),
    /// The store, or its client library, failed in a way of which nobody here knows the reason.
    #[error("the store failed: {0}")]
    Internal(String),
    /// The store takes no writes, or not from us.
    #[error("the store refused: {0}")]
    Denied(String),
    /// The store does not know us: the credentials are wrong or missing.
    #[error("the store refused to log us in: {0}")]
    Unauthorized(String),
    /// The store promises less than it was required to.
    #[error("the store is not as durable as it is required to be: {0}")]
    NotDurable(String),
    /// The store has lost what it had acknowledged. Nobody may go on as if it had not.
    #[error("{0}")]
    LostData(String),
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

impl Error {
    /// Whether the same question may be answered later, without anybody having changed it. Nothing
    /// was applied.
    pub fn passes(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::NotReady(_) | Error::ReadOnly(_))
    }
}
