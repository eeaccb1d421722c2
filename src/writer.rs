//! The embedded store's writer process, and how backends find it.
//!
//! The writer is a background worker that PostgreSQL starts with the server, on a standby when it is
//! promoted, and restarts if it ends; it exists only if the library is preloaded. It serves the directory that `fakegres.storage` named
//! when the server started; there is none if that was another kind of store.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use kv::{Environment, Error, Result, Store};
use kv_lmdb::{Lmdb, LmdbOptions, Writer, WriterOptions};
use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags,
};
use pgrx::prelude::*;

use crate::error::{OrRaise, raise};
use crate::session::Backend;
use crate::store::Place;
use crate::{home, settings, standby};

/// Raises an error if an extension is being created that could not be used.
pub(crate) fn check_creation() {
    // SAFETY: reads a variable of the backend.
    if unsafe { pg_sys::creating_extension } {
        require_preloaded();
    }
}

/// Raises an error if the library was not preloaded: without that there is no writer process.
pub(crate) fn require_preloaded() {
    if !PRELOADED.get() {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "fakegres_am must be loaded when the server starts",
            "Add fakegres_am to shared_preload_libraries and restart the server.",
        );
    }
}

thread_local! {
    /// Set in the postmaster and inherited by every process that it forks.
    static PRELOADED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// What tells PostgreSQL, in its data directory, that it is to replay a log from elsewhere.
const SIGNALS: [&str; 2] = ["standby.signal", "recovery.signal"];

/// Asks PostgreSQL to run the writer, if this is the postmaster.
pub(crate) fn register() {
    // SAFETY: reads a variable of the postmaster.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    PRELOADED.set(true);
    match Place::parse(&settings::storage()) {
        Ok(Place::Redis(_) | Place::Fdb(_)) => return,
        Ok(Place::Embedded(dir)) if SIGNALS.iter().any(|file| Path::new(file).exists()) => {
            home::leave_behind(&dir).or_raise();
        }
        _ => {}
    }
    BackgroundWorkerBuilder::new("fakegres writer")
        .set_type("fakegres writer")
        .set_library("fakegres_am")
        .set_function("fakegres_writer_main")
        .enable_shmem_access(None)
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(Duration::from_secs(1)))
        .load();
}

/// Opens the embedded store in a directory.
pub(crate) fn connect(dir: &Path, namespace: &str) -> Result<Rc<dyn Store>> {
    if standby::is_one() {
        let why = "the embedded store is not replicated, and this is a standby";
        return Err(Error::Unavailable(why.into()));
    }
    home::check(dir)?;
    let options = LmdbOptions {
        connect_timeout: settings::connect_timeout().as_millis() as u32,
        ..Default::default()
    };
    Ok(Rc::new(Lmdb::connect(dir, &identity(), namespace, options)?))
}

/// Which server this is: its cluster and where its data directory is.
fn identity() -> Vec<u8> {
    // SAFETY: reads the control file's copy in shared memory and a constant string.
    let (system, data) = unsafe {
        (pg_sys::GetSystemIdentifier(), crate::pg::string(pg_sys::DataDir).unwrap_or_default())
    };
    format!("{system} {data}").into_bytes()
}

/// Time and the wish to stop, for the writer process.
struct Worker;

impl Environment for Worker {
    fn interrupted(&self) -> bool {
        // SAFETY: a variable that is set once.
        let postmaster = unsafe { pg_sys::PostmasterPid };
        BackgroundWorker::sigterm_received()
            || std::os::unix::process::parent_id() != postmaster as u32
    }

    fn now(&self) -> u64 {
        Backend.now()
    }

    fn random(&self) -> u64 {
        Backend.random()
    }
}

/// The writer process.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn fakegres_writer_main(_arg: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM | SignalWakeFlags::SIGHUP);
    if let Err(error) = serve() {
        complain(&error);
    }
    // PostgreSQL never again starts a worker that ends with zero, and only with one does it start
    // another a second later.
    // SAFETY: ends the process; everything that the writer held was dropped.
    unsafe { pg_sys::proc_exit(1) }
}

/// Serves the store until the process is asked to end. A restarted writer may find that the setting
/// names another kind of store by now.
fn serve() -> Result<()> {
    let Place::Embedded(dir) = Place::parse(&settings::storage())? else { return Ok(()) };
    // SAFETY: reads a variable that the postmaster set before it forked.
    let backends = unsafe { pg_sys::MaxBackends }.max(0) as u32;
    let options =
        WriterOptions { identity: identity(), max_readers: backends + 128, ..Default::default() };
    home::check(&dir)?;
    let mut writer = Writer::open(&dir, options)?;
    home::open(&dir)?;
    writer.run(&Worker)?;
    home::close(&dir)
}

/// Says in the server's log why there is no writer.
fn complain(error: &Error) {
    ereport!(
        PgLogLevel::WARNING,
        PgSqlErrorCode::ERRCODE_CONFIG_FILE_ERROR,
        format!("fakegres cannot serve its embedded store: {error}")
    );
}
