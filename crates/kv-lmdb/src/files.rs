//! The LMDB environment of a directory: opened once per process, grown, adopted, synced.
//!
//! LMDB forbids opening the same files twice in one process (POSIX record locks belong to the
//! process), so handles and a writer in one process share one [`Files`] out of a registry.
//!
//! Every backend opens the environment in the same way. Nothing is mapped writable, so that a stray
//! write into the map is a fault and not damage, and only the writer starts write transactions.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use heed::types::Bytes;
use heed::{Env, EnvFlags, EnvOpenOptions, FlagSetMode, MdbError, RoTxn, RwTxn, WithTls};
use kv::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::failure::{Failure, from_heed, from_io};

/// A database of byte keys and byte values.
pub(crate) type Database = heed::Database<'static, Bytes, Bytes>;

/// How an environment is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Size of the map, in bytes; none to take what the file says.
    pub(crate) map_size: Option<usize>,
    /// Slots for readers; only the first process to open the files has a say.
    pub(crate) max_readers: u32,
    /// Most namespaces.
    pub(crate) max_namespaces: u32,
}

/// An open environment.
pub(crate) struct Files {
    // Before the environment: once that is closed, another one may have locks on the same file.
    _alone: Option<Alone>,
    env: Env<WithTls>,
    dir: PathBuf,
    /// Held shared by every read transaction of this process that looks at the map, and exclusively
    /// while the map moves.
    gate: RwLock<()>,
}

/// The file with the data.
pub(crate) const DATA: &str = "data.mdb";
/// The file with LMDB's table of readers, which everybody who has the files open holds locked.
const READERS: &str = "lock.mdb";

/// Nobody has the files open, and nobody else can open them before who has this does.
///
/// It is the very lock that LMDB takes first, on the first byte. LMDB finds it taken by its own process,
/// concludes that it is the first and makes the table of readers anew, and shares the lock
/// then. Closing the descriptor would end every lock that the process has on that file, LMDB's too,
/// so that it stays open as long as the files.
#[derive(Debug)]
pub(crate) struct Alone {
    _readers: File,
}

static OPEN: Mutex<BTreeMap<PathBuf, Weak<Files>>> = Mutex::new(BTreeMap::new());

impl Files {
    /// Whether no process has the files of `dir` open, this one included.
    pub(crate) fn alone(dir: &Path) -> Result<Option<Alone>> {
        let path = dir.canonicalize().map_err(|e| from_io(&e, "cannot open the store"))?;
        if lock(&OPEN).get(&path).is_some_and(|files| files.strong_count() > 0) {
            // A record lock would not conflict with our own, and closing the file would end those.
            return Ok(None);
        }
        // Another thread has dropped the last handle and is still closing it.
        while let Some(closing) = heed::env_closing_event(&path) {
            closing.wait_timeout(Duration::from_millis(10));
        }
        let path = path.join(READERS);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path);
        let file = file.map_err(|e| from_io(&e, &format!("cannot open {}", path.display())))?;
        let first_byte = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_SETLK(&first_byte)) {
            Ok(_) => {
                // Whoever waits for the lock and gets it because we fail must not find the table that
                // belonged to another state.
                let cut = file.set_len(0);
                cut.map_err(|e| from_io(&e, &format!("cannot write {}", path.display())))?;
                Ok(Some(Alone { _readers: file }))
            }
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(e) => Err(from_io(&e.into(), &format!("cannot lock {}", path.display()))),
        }
    }

    /// The environment of `dir`, shared with whoever in this process has it open.
    pub(crate) fn open(dir: &Path, shape: Shape, alone: Option<Alone>) -> Result<Arc<Files>> {
        let path = dir.canonicalize().map_err(|e| from_io(&e, "cannot open the store"))?;
        let mut open = lock(&OPEN);
        if let Some(files) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(files);
        }
        let files = Arc::new(Files {
            env: open_env(&path, shape)?,
            dir: path.clone(),
            gate: RwLock::new(()),
            _alone: alone,
        });
        open.retain(|_, files| files.strong_count() > 0);
        open.insert(path, Arc::downgrade(&files));
        Ok(files)
    }

    /// Runs `read` in a read transaction, which ends before this returns.
    pub(crate) fn read<R>(&self, mut read: impl FnMut(&RoTxn<'_>) -> heed::Result<R>) -> Result<R> {
        let mut attempts = 0;
        loop {
            match self.try_read(&mut read) {
                Err(heed::Error::Mdb(MdbError::MapResized)) if attempts < 8 => self.adopt_size()?,
                Err(heed::Error::Mdb(MdbError::ReadersFull)) if attempts < 2 => {
                    self.clear_stale_readers()?;
                }
                done => return done.map_err(from_heed),
            }
            attempts += 1;
        }
    }

    fn try_read<R>(&self, read: &mut impl FnMut(&RoTxn<'_>) -> heed::Result<R>) -> heed::Result<R> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let txn = self.env.read_txn()?;
        read(&txn)
    }

    /// Keeps the newest state's pages from being used again for as long as `hold` runs. It looks at
    /// none of them, so that the map may move meanwhile.
    pub(crate) fn pin(&self, hold: impl FnOnce()) -> Result<()> {
        // Adopts the size of the map, and finds a slot, if need be.
        self.read(|_| Ok(()))?;
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let txn = self.env.read_txn().map_err(from_heed)?;
        drop(gate);
        hold();
        drop(txn);
        Ok(())
    }

    /// A write transaction; for the writer alone.
    pub(crate) fn write(&self) -> std::result::Result<RwTxn<'_>, Failure> {
        self.env.write_txn().map_err(|error| self.failure(error))
    }

    /// Sorts an error of a write transaction by what the writer must do about it.
    pub(crate) fn failure(&self, error: heed::Error) -> Failure {
        match &error {
            heed::Error::Mdb(MdbError::MapFull) => Failure::MapFull,
            // LMDB reports a short write, which is what a disk does that becomes full, as EIO.
            heed::Error::Io(io) if io.raw_os_error() == Some(EIO) && self.out_of_room() => {
                Failure::Full("no space left for the store's file".into())
            }
            _ => match from_heed(error) {
                Error::Full(text) => Failure::Full(text),
                error => Failure::Fatal(error),
            },
        }
    }

    /// Opens databases that must exist.
    pub(crate) fn databases<const N: usize>(&self, names: [&str; N]) -> Result<[Database; N]> {
        self.read(|_| Ok(()))?;
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let txn = self.env.read_txn().map_err(from_heed)?;
        let opened = self.env.open_databases_and_commit(txn, |opener, txn| {
            let found = names.map(|name| opener.open_database::<Bytes, Bytes>(txn, Some(name)));
            Ok::<_, heed::Error>(heed::CommitOrAbort::<_, ()>::Commit(found))
        });
        let found = opened.map_err(from_heed)?.unwrap_commit();
        let mut databases = Vec::with_capacity(N);
        for (name, database) in names.iter().zip(found) {
            databases.push(database.map_err(from_heed)?.ok_or_else(|| missing(name))?);
        }
        databases.try_into().map_err(|_| missing("a database"))
    }

    /// Creates the databases that do not exist, durably.
    pub(crate) fn create<const N: usize>(
        &self,
        names: [&str; N],
    ) -> std::result::Result<[Database; N], Failure> {
        let txn = self.write()?;
        let created = self.env.create_databases_and_commit(txn, |opener, txn| {
            let made = names.map(|name| opener.create_database::<Bytes, Bytes>(txn, Some(name)));
            if made.iter().any(|made| made.is_err()) {
                return Ok(heed::CommitOrAbort::Abort(made.map(|made| made.map(drop))));
            }
            Ok::<_, heed::Error>(heed::CommitOrAbort::Commit(made))
        });
        let mut databases = Vec::with_capacity(N);
        match created.map_err(|error| self.failure(error))? {
            heed::CommitOrAbort::Commit(made) => {
                for database in made {
                    databases.push(database.map_err(|error| self.failure(error))?);
                }
            }
            heed::CommitOrAbort::Abort(made) => {
                for outcome in made {
                    outcome.map_err(|error| self.failure(error))?;
                }
            }
        }
        databases.try_into().map_err(|_| Failure::Fatal(missing("a database")))
    }

    /// Doubles the map, up to `limit` bytes; false if it is that large already. No transaction of
    /// this process may be open on the calling thread.
    #[allow(unsafe_code)]
    pub(crate) fn grow(&self, limit: usize) -> Result<bool> {
        let size = self.env.info().map_size;
        let larger = size.saturating_mul(2).min(limit) & !(PAGE_MULTIPLE - 1);
        if larger <= size {
            return Ok(false);
        }
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the gate excludes every read transaction of this process but pins, which look at
        // nothing in the map, and the only writer of this process is the caller, who has ended its
        // transaction. Other processes have their own
        // maps and adopt the size when they begin a transaction.
        unsafe { self.env.resize(larger) }.map_err(from_heed)?;
        Ok(true)
    }

    /// Takes over the size to which the writer, in another process, has grown the file.
    #[allow(unsafe_code)]
    fn adopt_size(&self) -> Result<()> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the gate excludes every read transaction of this process. A process whose reader
        // finds a map that another process has grown does not hold the writer's lock, so there is
        // no write transaction either. Zero means the size that the file says.
        unsafe { self.env.resize(0) }.map_err(from_heed)
    }

    /// From now on commits sync nothing: the journal sees to what must be on the disk, and when.
    #[allow(unsafe_code)]
    pub(crate) fn stop_syncing(&self) -> Result<()> {
        // SAFETY: only the writer calls this, on the thread that commits, and the flag is only
        // looked at by commits. A crash of the machine may leave any part of what is written; the
        // journal puts back the state before it.
        unsafe { self.env.set_flags(EnvFlags::NO_SYNC, FlagSetMode::Enable) }.map_err(from_heed)
    }

    /// Frees the slots of readers whose processes are gone; otherwise their snapshots would keep
    /// pages from being used again.
    pub(crate) fn clear_stale_readers(&self) -> Result<usize> {
        self.env.clear_stale_readers().map_err(from_heed)
    }

    /// The longest key that LMDB takes with this machine's pages.
    pub(crate) fn max_key(&self) -> usize {
        self.env.max_key_size()
    }

    /// Numbers for a person: size of the file and of the map, readers.
    pub(crate) fn numbers(&self) -> Result<Numbers> {
        let info = self.env.info();
        Ok(Numbers {
            file: self.env.real_disk_size().map_err(from_heed)?,
            map: info.map_size,
            readers: info.number_of_readers,
            max_readers: info.maximum_number_of_readers,
        })
    }

    fn out_of_room(&self) -> bool {
        const NEAR: u64 = 16 << 20;
        let disk = rustix::fs::statvfs(&self.dir);
        let full = disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < NEAR);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        let length = self.env.real_disk_size().unwrap_or(0);
        full || limit.is_some_and(|limit| length.saturating_add(NEAR) > limit)
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// See [`Files::numbers`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) file: u64,
    pub(crate) map: usize,
    pub(crate) readers: u32,
    pub(crate) max_readers: u32,
}

/// Map sizes are multiples of this, which every page size divides.
pub(crate) const PAGE_MULTIPLE: usize = 64 << 10;

const EIO: i32 = libc::EIO;

#[allow(unsafe_code)]
fn open_env(path: &Path, shape: Shape) -> Result<Env<WithTls>> {
    let mut options = EnvOpenOptions::new();
    options.max_readers(shape.max_readers).max_dbs(1 + 2 * shape.max_namespaces);
    if let Some(size) = shape.map_size {
        options.map_size(size.next_multiple_of(PAGE_MULTIPLE));
    }
    loop {
        // SAFETY: the directory is private to the server's user and the files in it are changed by
        // LMDB alone, with its locks in force; the registry sees to it that they are opened once
        // per process.
        match unsafe { options.open(path) } {
            // Another thread has just dropped the last handle and is still closing it.
            Err(heed::Error::EnvAlreadyOpened) => {
                if let Some(closing) = heed::env_closing_event(path) {
                    closing.wait_timeout(Duration::from_millis(10));
                }
            }
            opened => return opened.map_err(|error| open_error(error, path)),
        }
    }
}

fn open_error(error: heed::Error, path: &Path) -> Error {
    match error {
        heed::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            Error::Unavailable(format!("there is no store in {}", path.display()))
        }
        heed::Error::Io(error) => {
            from_io(&error, &format!("cannot open the store's files in {}", path.display()))
        }
        error => from_heed(error),
    }
}

fn missing(name: &str) -> Error {
    Error::Corrupt(format!("the file has no database {name:?}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
