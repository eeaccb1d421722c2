//! From errors of the layers below to what a client sees. One table, at the edge.

use kv::Error;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::settings;

/// Raises an error with a hint.
#[track_caller]
pub(crate) fn raise(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) -> ! {
    let report = ErrorReport::new(code, message.into(), "fakegres");
    let report = if hint.is_empty() { report } else { report.set_hint(hint) };
    report.report(PgLogLevel::ERROR);
    unreachable!("an error was reported")
}

/// Tells the client something that it should know and that stops nothing.
pub(crate) fn warn(message: impl Into<String>, hint: &str) {
    let code = PgSqlErrorCode::ERRCODE_WARNING;
    ErrorReport::new(code, message.into(), "fakegres").set_hint(hint).report(PgLogLevel::WARNING);
}

/// Raises 0A000: something that this version does not do.
#[track_caller]
pub(crate) fn unsupported(message: impl Into<String>, hint: &str) -> ! {
    raise(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message, hint)
}

unsafe extern "C-unwind" {
    pub(crate) fn errstart(level: i32, domain: *const core::ffi::c_char) -> bool;
    pub(crate) fn errcode(code: i32) -> i32;
    pub(crate) fn errmsg(format: *const core::ffi::c_char, ...) -> i32;
    pub(crate) fn errdetail(format: *const core::ffi::c_char, ...) -> i32;
    pub(crate) fn errhint(format: *const core::ffi::c_char, ...) -> i32;
    pub(crate) fn errtableconstraint(
        relation: pg_sys::Relation,
        name: *const core::ffi::c_char,
    ) -> i32;
    pub(crate) fn errfinish(
        file: *const core::ffi::c_char,
        line: i32,
        function: *const core::ffi::c_char,
    );
}

/// Raises an error that names a table and a constraint or index of it, which clients look at.
///
/// # Safety
/// The relation must be open.
pub(crate) unsafe fn raise_in(
    code: PgSqlErrorCode,
    message: &str,
    detail: &str,
    hint: &str,
    constraint: Option<(pg_sys::Relation, &str)>,
) -> ! {
    let text = |text: &str| std::ffi::CString::new(text.replace('\0', "")).unwrap_or_default();
    let name = constraint.map(|(relation, name)| (relation, text(name)));
    let (message, detail, hint) = (text(message), text(detail), text(hint));
    // SAFETY: the format takes one string; the guard makes a panic of PostgreSQL's jump.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            errstart(PgLogLevel::ERROR as i32, std::ptr::null());
            errcode(code as i32);
            errmsg(c"%s".as_ptr(), message.as_ptr());
            if !detail.is_empty() {
                errdetail(c"%s".as_ptr(), detail.as_ptr());
            }
            if !hint.is_empty() {
                errhint(c"%s".as_ptr(), hint.as_ptr());
            }
            if let Some((relation, name)) = &name {
                errtableconstraint(*relation, name.as_ptr());
            }
            errfinish(c"fakegres".as_ptr(), 0, c"fakegres".as_ptr());
        });
    }
    unreachable!("an error was reported")
}

/// Takes results of the layers below over the edge: an error becomes PostgreSQL's.
pub(crate) trait OrRaise<T> {
    /// The value, or the error raised with its SQLSTATE and hint.
    fn or_raise(self) -> T;
}

impl<T> OrRaise<T> for kv::Result<T> {
    #[track_caller]
    fn or_raise(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => raise_store(&error),
        }
    }
}

#[track_caller]
fn raise_store(error: &Error) -> ! {
    if *error == Error::Interrupted {
        pgrx::check_for_interrupts!();
    }
    let (code, hint) = sqlstate(error);
    raise(code, error.to_string(), hint)
}

/// The SQLSTATE and the hint of an error from below.
fn sqlstate(error: &Error) -> (PgSqlErrorCode, &'static str) {
    use PgSqlErrorCode::*;
    match error {
        Error::Conflict { .. } => {
            (ERRCODE_T_R_SERIALIZATION_FAILURE, "The transaction might succeed if retried.")
        }
        Error::OutcomeUnknown { .. } => (
            ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN,
            "Look whether the transaction's changes are there before you repeat it.",
        ),
        Error::Interrupted => (ERRCODE_QUERY_CANCELED, ""),
        Error::Unavailable(_) => (
            ERRCODE_CONNECTION_FAILURE,
            "Check fakegres.storage, and that the store is running; for FoundationDB, that the coordinators in the cluster file can be reached. For the embedded store, the server log says why its writer process does not answer.",
        ),
        Error::Missing(_) => (
            ERRCODE_UNDEFINED_FILE,
            "Install FoundationDB's client library (package foundationdb-clients), or set fakegres.fdb_client_library to its path. Other stores need none.",
        ),
        Error::NotReady(_) => (
            ERRCODE_CANNOT_CONNECT_NOW,
            "Try again in a moment. fakegres.connect_timeout says for how long fakegres itself does.",
        ),
        Error::ReadOnly(_) => (
            ERRCODE_READ_ONLY_SQL_TRANSACTION,
            "Point fakegres.storage to the server that takes writes, or try again when the failover is over.",
        ),
        // The store's own limit, which no setting raises.
        Error::TooLarge { what: "transaction", limit, .. }
            if *limit < settings::max_transaction_memory() =>
        {
            (
                ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                "Split the change into smaller transactions, or load into a table created in the same transaction.",
            )
        }
        Error::TooLarge { what: "transaction", .. } => (
            ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "Split the change into smaller transactions, raise fakegres.max_transaction_memory, or load into a table created in the same transaction.",
        ),
        Error::TooLarge { .. } => (ERRCODE_PROGRAM_LIMIT_EXCEEDED, ""),
        Error::Full(_) => {
            (ERRCODE_DISK_FULL, "Make room for the store. Nothing of this transaction was written.")
        }
        Error::OutOfMemory(_) => (
            ERRCODE_OUT_OF_MEMORY,
            "Raise the Redis server's maxmemory, or drop or truncate tables. Nothing of this transaction was written.",
        ),
        Error::Faulty(_) => (
            ERRCODE_IO_ERROR,
            "Its disk may be full or broken; see the log of the store's server. Nothing of this transaction was written.",
        ),
        Error::Internal(_) => (
            ERRCODE_INTERNAL_ERROR,
            "See the logs of the store's servers. Nothing of this transaction was written.",
        ),
        Error::Denied(_) => (
            ERRCODE_INSUFFICIENT_PRIVILEGE,
            "The embedded store must be writable for the server's operating system user; in Redis, the ACL of the user that fakegres.storage names must allow it.",
        ),
        Error::Unauthorized(_) => (
            ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
            "Check user and password in fakegres.storage; characters such as @ : / # ? % are written as %-escapes.",
        ),
        Error::NotDurable(_) => (
            ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "Change the server's settings, or set fakegres.redis_require_durable = off to accept that acknowledged commits may be lost.",
        ),
        Error::LostData(_) => (
            ERRCODE_DATA_CORRUPTED,
            "Restore the store from a replica or a backup that has all of it, or point fakegres.namespace to a new name and begin with nothing. docs/redis-layout.md says how to go on with what is left in Redis.",
        ),
        Error::WrongStore(_) => (
            ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "Set fakegres.namespace to a name that this cluster alone uses, or point fakegres.storage to the store that the tables were made in.",
        ),
        Error::Misconfigured(_) => (
            ERRCODE_INVALID_PARAMETER_VALUE,
            "Check fakegres.storage ('embedded', 'embedded:///absolute/directory', 'redis://user:password@host:port/db', 'rediss://...', 'redis+unix:///path/to/socket' or 'fdb:///path/to/fdb.cluster') and fakegres.namespace.",
        ),
        Error::Corrupt(_) => (
            ERRCODE_DATA_CORRUPTED,
            "Restore the store from a backup, or copy the rows that can be read, by their ctid, and drop the table.",
        ),
        Error::TooOld => (
            ERRCODE_SNAPSHOT_TOO_OLD,
            "Raise fakegres.history_retention, or keep transactions shorter than it.",
        ),
    }
}
