//! Which rows were changed lately, for every backend of this server.
//!
//! Whoever has a row's lock knows that nobody else of this server changes the row, but not whether
//! somebody did since the snapshot was taken. Over a network it costs a round trip to look. So every
//! commit says here which rows it changed, before it gives their locks back: a table of versions in
//! shared memory, one for all rows with the same hash. A row whose version is not newer than the
//! snapshot is what the snapshot sees.
//!
//! That is for READ COMMITTED and its like to go on with the newest version, as heap does. Nothing is
//! lost without it: what another server changed, or a commit of which nobody knows whether it
//! happened, is found when the transaction commits.

use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use kv::Version;
use pgrx::prelude::*;

/// How many versions there are, a power of two. Rows that share one are looked at once too often.
const PLACES: usize = 1 << 16;

type Table = [AtomicU64; PLACES];

/// The table in shared memory; null in a backend that did not inherit it.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());

static mut NEXT_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut NEXT_STARTUP: pg_sys::shmem_startup_hook_type = None;

/// Asks for the shared memory, if this is the postmaster.
pub(crate) fn register() {
    // SAFETY: called while the library is loaded, in a single thread.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress {
            return;
        }
        NEXT_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request);
        NEXT_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(start);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn request() {
    // SAFETY: the hook that was there before; the library is being preloaded.
    unsafe {
        if let Some(next) = NEXT_REQUEST {
            next();
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Table>());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn start() {
    // SAFETY: the hook that was there before; PostgreSQL sets shared memory up, and has room for what
    // was asked for. It is made once, so that nobody reads it while it is filled.
    unsafe {
        if let Some(next) = NEXT_STARTUP {
            next();
        }
        let mut found = false;
        let table = pg_sys::ShmemInitStruct(
            c"fakegres changes".as_ptr(),
            size_of::<Table>(),
            &raw mut found,
        );
        if !found {
            table.write_bytes(0, size_of::<Table>());
        }
        TABLE.store(table.cast(), Ordering::Relaxed);
    }
}

fn table() -> Option<&'static Table> {
    // SAFETY: shared memory stays where it is as long as the process lives.
    unsafe { TABLE.load(Ordering::Relaxed).as_ref() }
}

fn place_of(key: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish() as usize % PLACES
}

/// What a transaction is about to change.
pub(crate) struct Changes(Vec<u64>);

impl Changes {
    /// The rows with these keys, and whatever else has a key.
    pub(crate) fn of<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Changes {
        let mut places = vec![0_u64; PLACES / 64];
        for place in keys.map(place_of) {
            places[place / 64] |= 1 << (place % 64);
        }
        Changes(places)
    }

    /// They were changed by the commit of this version. To be said before row locks are given back.
    pub(crate) fn happened(&self, version: Version) {
        let Some(table) = table() else { return };
        for (word, places) in self.0.iter().enumerate() {
            let mut left = *places;
            while left != 0 {
                let place = word * 64 + left.trailing_zeros() as usize;
                table[place].fetch_max(version.0, Ordering::SeqCst);
                left &= left - 1;
            }
        }
    }
}

/// Whether it is certain that nobody of this server has changed a row since a version. Only who has its
/// lock may rely on that.
pub(crate) fn none_since(version: Version, key: &[u8]) -> bool {
    table().is_some_and(|table| table[place_of(key)].load(Ordering::SeqCst) <= version.0)
}
