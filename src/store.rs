//! From the setting `fakegres.storage` to an open store.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kv::{Error, Result, Store};
use kv_fdb::{Fdb, FdbOptions};
use kv_redis::{Address, Redis, RedisOptions};
use pgrx::prelude::*;

use crate::error::warn;
use crate::pg::PerBackend;
use crate::remembered::Remembered;
use crate::session::Backend;
use crate::{settings, writer};

/// The directory inside the data directory, which is every server process's working directory.
const DIRECTORY: &str = "fakegres";

/// Where a store is.
pub(crate) enum Place {
    /// In a directory of this machine.
    Embedded(PathBuf),
    /// In a Redis server.
    Redis(Address),
    /// In a FoundationDB cluster.
    Fdb(kv_fdb::Address),
}

impl Place {
    /// What an address means. An error quotes nothing of it, because it may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Place> {
        if url == "embedded" {
            return Ok(Place::Embedded(PathBuf::from(DIRECTORY)));
        }
        if url.starts_with("embedded:///") {
            return Ok(Place::Embedded(PathBuf::from(&url["embedded://".len()..])));
        }
        let unknown = |text: &str| Err(Error::Misconfigured(format!("fakegres.storage {text}")));
        match url.split(':').next().unwrap_or_default() {
            "redis" | "rediss" | "redis+unix" => Address::parse(url).map(Place::Redis),
            "fdb" => kv_fdb::Address::parse(url).map(Place::Fdb),
            _ => unknown("names no kind of store that fakegres knows"),
        }
    }
}

/// Whether the settings name the embedded store.
pub(crate) fn is_embedded() -> bool {
    matches!(Place::parse(&settings::storage()), Ok(Place::Embedded(_)))
}

/// The namespace that the settings name, one of them perhaps in the address.
pub(crate) fn namespace() -> String {
    let in_address = match Place::parse(&settings::storage()) {
        Ok(Place::Fdb(address)) => address.namespace().map(str::to_owned),
        _ => None,
    };
    in_address.unwrap_or_else(settings::namespace)
}

/// Opens the store that a URL names.
pub(crate) fn connect(url: &str, namespace: &str) -> Result<Rc<dyn Store>> {
    writer::require_preloaded();
    match Place::parse(url)? {
        Place::Embedded(dir) => writer::connect(&dir, namespace),
        Place::Redis(address) => connect_redis(address, namespace),
        Place::Fdb(address) => connect_fdb(address, namespace),
    }
}

/// The first use in a process starts FoundationDB's network thread, which must have ended when the
/// process does.
fn connect_fdb(address: kv_fdb::Address, namespace: &str) -> Result<Rc<dyn Store>> {
    let options = FdbOptions {
        connect_timeout: settings::connect_timeout().as_millis() as u32,
        client_library: settings::fdb_client_library(),
        watched: vec![mvcc::key::plain(&relation::Key::CatalogVersion.encode())],
    };
    let fdb = Fdb::connect(address, namespace, options)?;
    if !ENDS_WITH_PROCESS.replace(true) {
        // SAFETY: registers a function; PostgreSQL calls it when transactions and shared memory have
        // been taken leave of.
        unsafe { pg_sys::on_proc_exit(Some(leave_fdb), pg_sys::Datum::null()) };
    }
    fdb.open(&Backend)?;
    Ok(Rc::new(fdb))
}

/// Whether this process ends FoundationDB's network thread when it exits.
static ENDS_WITH_PROCESS: PerBackend<Cell<bool>> = PerBackend(Cell::new(false));

#[pg_guard]
extern "C-unwind" fn leave_fdb(_code: core::ffi::c_int, _arg: pg_sys::Datum) {
    // What the client library lent must be given back while its network thread is there to take it.
    crate::session::leave();
    kv_fdb::stop_network();
}

fn connect_redis(address: Address, namespace: &str) -> Result<Rc<dyn Store>> {
    let options = RedisOptions {
        connect_timeout: settings::connect_timeout().as_millis() as u32,
        require_durable: settings::redis_require_durable(),
        ..Default::default()
    };
    let place = address.place();
    let memory = Remembered::open(Path::new(DIRECTORY), &place, namespace)?;
    let redis = Redis::connect(address, namespace, options)?.with_memory(Box::new(memory));
    warn_unless_durable(&redis, place)?;
    Ok(Rc::new(redis))
}

/// The server about which this session was warned last.
static WARNED_OF: PerBackend<RefCell<String>> = PerBackend(RefCell::new(String::new()));

/// Says once in a session that acknowledged commits may be lost, to who has a client to tell.
fn warn_unless_durable(redis: &Redis, place: String) -> Result<()> {
    let durability = redis.durability(&Backend)?;
    // SAFETY: reads what kind of process this is.
    let has_client = unsafe { pg_sys::MyBackendType } == pg_sys::BackendType::B_BACKEND;
    if durability.durable || !has_client || WARNED_OF.replace(place.clone()) == place {
        return Ok(());
    }
    warn(
        format!("the Redis server may lose acknowledged commits: {}", durability.text),
        &format!(
            "In its configuration, {}. With fakegres.redis_require_durable = on such a server is refused.",
            durability.hint
        ),
    );
    Ok(())
}
