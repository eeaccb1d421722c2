//! What FoundationDB's error codes mean for the caller.

use foundationdb::FdbError;
use kv::{Error, Result};

use crate::limits::{LIMITS, TRANSACTION};

/// What went wrong in an attempt.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// FoundationDB says so.
    Fdb(FdbError),
    /// It will not be otherwise if it is tried again.
    Final(Error),
}

impl From<FdbError> for Trouble {
    fn from(error: FdbError) -> Trouble {
        Trouble::Fdb(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Final(error)
    }
}

pub(crate) type Attempt<T> = std::result::Result<T, Trouble>;

const TRANSACTION_TOO_OLD: i32 = 1007;
const NOT_COMMITTED: i32 = 1020;
const COMMIT_UNKNOWN_RESULT: i32 = 1021;
const COMMIT_UNKNOWN_RESULT_FATAL: i32 = 1022;
const TRANSACTION_CANCELLED: i32 = 1025;
const REQUEST_MAYBE_DELIVERED: i32 = 1030;
const TRANSACTION_TIMED_OUT: i32 = 1031;
const DATABASE_LOCKED: i32 = 1038;
const CLUSTER_VERSION_CHANGED: i32 = 1039;
const OPERATION_CANCELLED: i32 = 1101;
const BROKEN_PROMISE: i32 = 1100;
const TAG_THROTTLED: i32 = 1213;
const TRANSACTION_TOO_LARGE: i32 = 2101;
const KEY_TOO_LARGE: i32 = 2102;
const VALUE_TOO_LARGE: i32 = 2103;

/// Whether FoundationDB refused a commit because of what others wrote, or because it cannot tell any
/// more. Nothing was applied.
pub(crate) fn is_conflict(error: FdbError) -> bool {
    matches!(error.code(), NOT_COMMITTED | TRANSACTION_TOO_OLD)
}

/// Whether a commit that ended so may have happened, or may happen yet.
pub(crate) fn is_doubtful(error: FdbError) -> bool {
    error.is_maybe_committed()
        || matches!(
            error.code(),
            COMMIT_UNKNOWN_RESULT
                | COMMIT_UNKNOWN_RESULT_FATAL
                | TRANSACTION_CANCELLED
                | REQUEST_MAYBE_DELIVERED
                | TRANSACTION_TIMED_OUT
                | CLUSTER_VERSION_CHANGED
                | OPERATION_CANCELLED
                | BROKEN_PROMISE
        )
}

/// Whether what failed so may be tried again.
pub(crate) fn passes(error: FdbError) -> bool {
    error.is_retryable() || is_doubtful(error)
}

/// The error for the caller when there is no further attempt.
pub(crate) fn told(error: FdbError) -> Error {
    let text = format!("{} ({})", error.message(), error.code());
    match error.code() {
        TRANSACTION_TOO_LARGE => {
            Error::TooLarge { what: "transaction", size: TRANSACTION + 1, limit: TRANSACTION }
        }
        KEY_TOO_LARGE => {
            Error::TooLarge { what: "key", size: LIMITS.max_key + 1, limit: LIMITS.max_key }
        }
        VALUE_TOO_LARGE => {
            Error::TooLarge { what: "value", size: LIMITS.max_value + 1, limit: LIMITS.max_value }
        }
        DATABASE_LOCKED => Error::ReadOnly(format!(
            "the FoundationDB cluster is locked, by a restore or for disaster recovery: {text}"
        )),
        TAG_THROTTLED => Error::NotReady(format!("the FoundationDB cluster is busy: {text}")),
        NOT_COMMITTED => Error::Conflict { key: Vec::new() },
        // Cluster files and the addresses in them, options, versions.
        1511..=1516 | 2006..=2009 | 2022 | 2049 | 2104..=2107 | 2200..=2204 => {
            Error::Misconfigured(format!("the FoundationDB cluster cannot be used: {text}"))
        }
        6000..=6005 => Error::Denied(text),
        _ if passes(error) => Error::Unavailable(format!("FoundationDB: {text}")),
        _ => Error::Denied(format!("FoundationDB: {text}")),
    }
}

/// An answer that nobody of ours can have written.
pub(crate) fn corrupt<T>(what: &str) -> Result<T> {
    Err(Error::Corrupt(format!("{what} cannot be decoded")))
}
