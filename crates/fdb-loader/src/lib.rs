//! FoundationDB's client library, found when the program runs.
//!
//! `libfdb_c` is in no package registry, and a program that is linked to it does not start where it
//! is not installed: PostgreSQL would refuse the whole extension. So this crate defines every
//! `fdb_*` function that the `foundationdb` crate calls, as a jump to what [`load`] found.
//!
//! Everything here trusts `fdb_c.h` of API version 730, with which `foundationdb-sys` is built, for
//! what the functions take and return.

// What the client library asks of whoever calls it cannot be said in safe Rust.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_double, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Where the library is looked for if nobody says where it is; the first by the dynamic linker's own
/// rules.
pub const USUAL_PLACES: [&str; 4] =
    ["libfdb_c.so", "/usr/lib/libfdb_c.so", "/usr/lib64/libfdb_c.so", "/usr/local/lib/libfdb_c.so"];

/// Why there is no client library.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none, or none that can be loaded.
    #[error("FoundationDB's client library cannot be loaded: {0}")]
    NotFound(String),
    /// It lacks a function, so it is too old or something else.
    #[error("{library} is no client library of FoundationDB 7.3 or newer: it has no {function}")]
    Unfit {
        /// The file that was loaded.
        library: String,
        /// What it does not have.
        function: &'static str,
    },
    /// Another one was loaded before.
    #[error("this process uses the client library {0} already; a new session can use another")]
    Another(String),
}

/// The library in use. It is never unloaded: its threads may outlive whatever we know.
static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Loads the client library from `path`, or from where it usually is. Once in a process: afterwards
/// it does nothing, except that it refuses another path.
pub fn load(path: Option<&Path>) -> Result<(), LoadError> {
    // Keeps every definition below in the program, in whatever order its libraries are linked.
    std::hint::black_box(&FORWARDERS);
    let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(loaded) = &*loaded {
        return match path.is_none_or(|path| path == loaded) {
            true => Ok(()),
            false => Err(LoadError::Another(loaded.display().to_string())),
        };
    }
    let (library, found) = match path {
        Some(path) => (open(path)?, path.to_owned()),
        None => find()?,
    };
    fill(&library, &found)?;
    std::mem::forget(library);
    *loaded = Some(found);
    Ok(())
}

/// The file that was loaded, if any was.
pub fn loaded() -> Option<PathBuf> {
    LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

fn find() -> Result<(Library, PathBuf), LoadError> {
    let mut reasons = Vec::new();
    for place in USUAL_PLACES.map(Path::new) {
        match open(place) {
            Ok(library) => return Ok((library, place.to_owned())),
            Err(LoadError::NotFound(reason)) => reasons.push(reason),
            Err(error) => return Err(error),
        }
    }
    Err(LoadError::NotFound(reasons.join("; ")))
}

/// The library must prefer its own functions to ours of the same names, which PostgreSQL makes
/// visible to everybody.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_FIRST: c_int = 0x8;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const OWN_FIRST: c_int = 0;

fn open(path: &Path) -> Result<Library, LoadError> {
    // SAFETY: the initializers of FoundationDB's client library, which is what the administrator
    // who named this file promises it to be, ask nothing of us.
    let opened = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | OWN_FIRST) };
    opened.map_err(|error| LoadError::NotFound(error.to_string()))
}

fn fill(library: &Library, path: &Path) -> Result<(), LoadError> {
    let mut found = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        // SAFETY: the symbol is only kept as an address.
        let symbol = unsafe { library.get::<*mut c_void>(name.as_bytes()) };
        let missing = || LoadError::Unfit { library: path.display().to_string(), function: name };
        found.push(symbol.map_err(|_| missing())?.into_raw());
    }
    for (slot, symbol) in TABLE.iter().zip(found) {
        slot.store(symbol, Ordering::Release);
    }
    Ok(())
}

/// The address of a function. Nobody calls one before [`load`] succeeded, and there is nothing that
/// could be answered if somebody did.
fn address(index: usize) -> *mut c_void {
    let address = TABLE[index].load(Ordering::Acquire);
    assert!(!address.is_null(), "FoundationDB's client library is not loaded");
    address
}

type Ptr = *mut c_void;
type Bytes = *const u8;

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)+) => {
        #[expect(non_camel_case_types, reason = "the names of the functions")]
        #[repr(usize)]
        enum Index { $($name),+ }

        const NAMES: &[&str] = &[$(stringify!($name)),+];

        static TABLE: [AtomicPtr<c_void>; NAMES.len()] =
            [const { AtomicPtr::new(std::ptr::null_mut()) }; NAMES.len()];

        /// What is only there to be called from C's side of the world.
        struct Forwarder(#[expect(dead_code, reason = "kept, not read")] *const ());

        // SAFETY: addresses of functions, which every thread may know.
        unsafe impl Sync for Forwarder {}

        static FORWARDERS: [Forwarder; NAMES.len()] =
            [$(Forwarder(functions::$name as *const ())),+];

        mod functions {
            use super::*;

            $(
                /// # Safety
                /// As `fdb_c.h` says.
                // SAFETY: no other library of this program defines the symbol.
                #[unsafe(no_mangle)]
                pub(super) unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? {
                    type Function = unsafe extern "C" fn($($type),*) $(-> $result)?;
                    let address = address(Index::$name as usize);
                    // SAFETY: the library defines this name as fdb_c.h declares it, and the caller
                    // keeps to what that says of the arguments.
                    unsafe { std::mem::transmute::<Ptr, Function>(address)($($arg),*) }
                }
            )+
        }
    };
}

forward! {
    fdb_get_error(code: c_int) -> *const c_char;
    fdb_error_predicate(predicate: c_int, code: c_int) -> c_int;
    fdb_get_max_api_version() -> c_int;
    fdb_select_api_version_impl(runtime: c_int, header: c_int) -> c_int;
    fdb_network_set_option(option: c_int, value: Bytes, length: c_int) -> c_int;
    fdb_setup_network() -> c_int;
    fdb_run_network() -> c_int;
    fdb_stop_network() -> c_int;
    fdb_future_destroy(future: Ptr);
    fdb_future_is_ready(future: Ptr) -> c_int;
    fdb_future_set_callback(future: Ptr, callback: Ptr, parameter: Ptr) -> c_int;
    fdb_future_get_error(future: Ptr) -> c_int;
    fdb_future_get_int64(future: Ptr, out: Ptr) -> c_int;
    fdb_future_get_key(future: Ptr, key: Ptr, length: Ptr) -> c_int;
    fdb_future_get_value(future: Ptr, present: Ptr, value: Ptr, length: Ptr) -> c_int;
    fdb_future_get_keyvalue_array(future: Ptr, array: Ptr, count: Ptr, more: Ptr) -> c_int;
    fdb_future_get_mappedkeyvalue_array(future: Ptr, array: Ptr, count: Ptr, more: Ptr) -> c_int;
    fdb_future_get_key_array(future: Ptr, array: Ptr, count: Ptr) -> c_int;
    fdb_future_get_string_array(future: Ptr, array: Ptr, count: Ptr) -> c_int;
    fdb_create_database(path: *const c_char, out: Ptr) -> c_int;
    fdb_database_destroy(database: Ptr);
    fdb_database_set_option(database: Ptr, option: c_int, value: Bytes, length: c_int) -> c_int;
    fdb_database_create_transaction(database: Ptr, out: Ptr) -> c_int;
    fdb_database_get_main_thread_busyness(database: Ptr) -> c_double;
    fdb_database_get_client_status(database: Ptr) -> Ptr;
    fdb_transaction_destroy(transaction: Ptr);
    fdb_transaction_cancel(transaction: Ptr);
    fdb_transaction_reset(transaction: Ptr);
    fdb_transaction_set_option(transaction: Ptr, option: c_int, value: Bytes, length: c_int)
        -> c_int;
    fdb_transaction_set_read_version(transaction: Ptr, version: i64);
    fdb_transaction_get_read_version(transaction: Ptr) -> Ptr;
    fdb_transaction_get(transaction: Ptr, key: Bytes, length: c_int, snapshot: c_int) -> Ptr;
    fdb_transaction_get_key(transaction: Ptr, key: Bytes, length: c_int, or_equal: c_int,
        offset: c_int, snapshot: c_int) -> Ptr;
    fdb_transaction_get_addresses_for_key(transaction: Ptr, key: Bytes, length: c_int) -> Ptr;
    fdb_transaction_get_range(transaction: Ptr,
        begin: Bytes, begin_length: c_int, begin_or_equal: c_int, begin_offset: c_int,
        end: Bytes, end_length: c_int, end_or_equal: c_int, end_offset: c_int,
        limit: c_int, target_bytes: c_int, mode: c_int, iteration: c_int,
        snapshot: c_int, reverse: c_int) -> Ptr;
    fdb_transaction_get_mapped_range(transaction: Ptr,
        begin: Bytes, begin_length: c_int, begin_or_equal: c_int, begin_offset: c_int,
        end: Bytes, end_length: c_int, end_or_equal: c_int, end_offset: c_int,
        mapper: Bytes, mapper_length: c_int,
        limit: c_int, target_bytes: c_int, mode: c_int, iteration: c_int,
        snapshot: c_int, reverse: c_int) -> Ptr;
    fdb_transaction_get_estimated_range_size_bytes(transaction: Ptr, begin: Bytes,
        begin_length: c_int, end: Bytes, end_length: c_int) -> Ptr;
    fdb_transaction_get_range_split_points(transaction: Ptr, begin: Bytes, begin_length: c_int,
        end: Bytes, end_length: c_int, chunk_size: i64) -> Ptr;
    fdb_transaction_set(transaction: Ptr, key: Bytes, key_length: c_int, value: Bytes,
        value_length: c_int);
    fdb_transaction_atomic_op(transaction: Ptr, key: Bytes, key_length: c_int, parameter: Bytes,
        parameter_length: c_int, operation: c_int);
    fdb_transaction_clear(transaction: Ptr, key: Bytes, length: c_int);
    fdb_transaction_clear_range(transaction: Ptr, begin: Bytes, begin_length: c_int, end: Bytes,
        end_length: c_int);
    fdb_transaction_watch(transaction: Ptr, key: Bytes, length: c_int) -> Ptr;
    fdb_transaction_commit(transaction: Ptr) -> Ptr;
    fdb_transaction_get_committed_version(transaction: Ptr, out: Ptr) -> c_int;
    fdb_transaction_get_approximate_size(transaction: Ptr) -> Ptr;
    fdb_transaction_get_versionstamp(transaction: Ptr) -> Ptr;
    fdb_transaction_on_error(transaction: Ptr, code: c_int) -> Ptr;
    fdb_transaction_add_conflict_range(transaction: Ptr, begin: Bytes, begin_length: c_int,
        end: Bytes, end_length: c_int, kind: c_int) -> c_int;
}
