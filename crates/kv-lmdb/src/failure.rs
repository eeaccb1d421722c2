//! Errors of LMDB and of the system, named by what must be done.

use std::io;

use heed::MdbError;
use kv::Error;
use rustix::io::Errno;

/// Why a write transaction ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The map is too small. It can be grown and the work done again.
    MapFull,
    /// There is no room on the disk. Smaller work may still fit.
    Full(String),
    /// One batch turned out to be impossible when some of it was applied.
    Refused(Error),
    /// Nothing is certain any more: the writer ends, and its clients ask the next one.
    Fatal(Error),
}

impl Failure {
    /// The failure as an error, where nothing is left to be tried.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Failure::MapFull => Error::Full("the store's map cannot grow any further".into()),
            Failure::Full(text) => Error::Full(text),
            Failure::Refused(error) | Failure::Fatal(error) => error,
        }
    }
}

/// What an error of LMDB means to the caller.
pub(crate) fn from_heed(error: heed::Error) -> Error {
    match error {
        heed::Error::Io(error) => from_io(&error, "the store's file"),
        heed::Error::Mdb(MdbError::MapFull) => Error::Full("the map is full".into()),
        heed::Error::Mdb(MdbError::ReadersFull) => Error::Unavailable(
            "every reader slot is in use; they are fewer than the processes of this server".into(),
        ),
        heed::Error::Mdb(MdbError::DbsFull) => {
            Error::Full("there are as many namespaces as the store was opened for".into())
        }
        heed::Error::Mdb(MdbError::TxnFull) => {
            Error::Full("a transaction touches more pages than LMDB can keep track of".into())
        }
        heed::Error::Mdb(MdbError::MapResized | MdbError::Panic) => {
            Error::Unavailable(error.to_string())
        }
        error => Error::Corrupt(error.to_string()),
    }
}

/// What an error of the system means to the caller.
pub(crate) fn from_io(error: &io::Error, doing: &str) -> Error {
    let text = format!("{doing}: {error}");
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::FBIG | Errno::DQUOT) => Error::Full(text),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Error::Denied(text),
        _ => Error::Unavailable(text),
    }
}
