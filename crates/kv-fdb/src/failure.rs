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
const FUTURE_VERSION: i32 = 1009;
const NOT_COMMITTED: i32 = 1020;
const COMMIT_UNKNOWN_RESULT: i32 = 1021;
const COMMIT_UNKNOWN_RESULT_FATAL: i32 = 1022;
const TRANSACTION_CANCELLED: i32 = 1025;
const REQUEST_MAYBE_DELIVERED: i32 = 1030;
const TRANSACTION_TIMED_OUT: i32 = 1031;
const PROCESS_BEHIND: i32 = 1037;
const DATABASE_LOCKED: i32 = 1038;
const CLUSTER_VERSION_CHANGED: i32 = 1039;
const COMMIT_PROXY_MEMORY_LIMIT_EXCEEDED: i32 = 1042;
const BATCH_TRANSACTION_THROTTLED: i32 = 1051;
const GRV_PROXY_MEMORY_LIMIT_EXCEEDED: i32 = 1078;
const BROKEN_PROMISE: i32 = 1100;
const OPERATION_CANCELLED: i32 = 1101;
const TAG_THROTTLED: i32 = 1213;
const PROXY_TAG_THROTTLED: i32 = 1223;
const STORAGE_QUOTA_EXCEEDED: i32 = 1225;
const TRANSACTION_TOO_LARGE: i32 = 2101;
const KEY_TOO_LARGE: i32 = 2102;
const VALUE_TOO_LARGE: i32 = 2103;

/// Whether FoundationDB refused a commit because of what others wrote, or because it cannot tell any
/// more. Nothing was applied.
pub(crate) fn is_conflict(error: FdbError) -> bool {
    matches!(error.code(), NOT_COMMITTED | TRANSACTION_TOO_OLD)
}

/// Whether a commit that ended so may have happened, or may happen yet: after whatever does not say
/// for certain that it has not and will not.
pub(crate) fn is_doubtful(error: FdbError) -> bool {
    !matches!(
        error.code(),
        TRANSACTION_TOO_OLD
            | FUTURE_VERSION
            | NOT_COMMITTED
            | PROCESS_BEHIND
            | DATABASE_LOCKED
            | COMMIT_PROXY_MEMORY_LIMIT_EXCEEDED
            | BATCH_TRANSACTION_THROTTLED
            | GRV_PROXY_MEMORY_LIMIT_EXCEEDED
            | TAG_THROTTLED
            | PROXY_TAG_THROTTLED
            | STORAGE_QUOTA_EXCEEDED
            // What is refused before it is sent, for what it is, and what the cluster does not allow.
            | 2000..=2199
            | 6000..=6005
    )
}

/// Whether what failed so may be tried again.
pub(crate) fn passes(error: FdbError) -> bool {
    error.is_retryable()
        || error.is_maybe_committed()
        || matches!(
            error.code(),
            COMMIT_UNKNOWN_RESULT
                | COMMIT_UNKNOWN_RESULT_FATAL
                | TRANSACTION_CANCELLED
                | REQUEST_MAYBE_DELIVERED
                | TRANSACTION_TIMED_OUT
                | CLUSTER_VERSION_CHANGED
                | BROKEN_PROMISE
                | OPERATION_CANCELLED
        )
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
        BATCH_TRANSACTION_THROTTLED | TAG_THROTTLED | PROXY_TAG_THROTTLED => {
            Error::NotReady(format!("the FoundationDB cluster is busy: {text}"))
        }
        STORAGE_QUOTA_EXCEEDED => Error::Full(text),
        NOT_COMMITTED => Error::Conflict { key: Vec::new() },
        // Cluster files and the addresses in them, options, versions, tenants.
        1511..=1516
        | 2006..=2009
        | 2022
        | 2049
        | 2100
        | 2104..=2108
        | 2123..=2125
        | 2130..=2144
        | 2160..=2174
        | 2200..=2204 => {
            Error::Misconfigured(format!("the FoundationDB cluster cannot be used: {text}"))
        }
        6000..=6005 => Error::Denied(text),
        _ if passes(error) => Error::Unavailable(format!("FoundationDB: {text}")),
        _ => Error::Internal(format!("FoundationDB: {text}")),
    }
}

/// The same for a commit. What cannot be checked within five seconds, however often, counts as
/// changed: the same transaction, run again, has less to check.
pub(crate) fn told_of_commit(error: FdbError) -> Error {
    if is_conflict(error) { Error::Conflict { key: Vec::new() } } else { told(error) }
}

/// An answer that nobody of ours can have written.
pub(crate) fn corrupt<T>(what: &str) -> Result<T> {
    Err(Error::Corrupt(format!("{what} cannot be decoded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> FdbError {
        FdbError::from_code(code)
    }

    #[test]
    fn only_what_is_certain_is_not_doubtful() {
        for code in [1007, 1020, 1042, 1223, 2000, 2101, 6000] {
            assert!(!is_doubtful(error(code)), "{code}");
        }
        for code in [1021, 1022, 1025, 1026, 1031, 1039, 1043, 1100, 1101, 1500, 4000, 4100, 9999] {
            assert!(is_doubtful(error(code)), "{code}");
        }
    }
}
