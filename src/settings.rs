//! Settings, each with the reason for its default.

use std::ffi::{CStr, CString};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

/// Embedded, so that a new user has a working table at once.
static STORAGE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"embedded"));
static NAMESPACE: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"default"));
/// Ten minutes: longer than reports usually take, short enough that history stays small.
static HISTORY_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(600);
/// PostgreSQL's lock table has room for about 8,000 locks by default, for all sessions together.
static MAX_ROW_LOCKS: GucSetting<i32> = GucSetting::<i32>::new(1000);
/// One gigabyte: a few million changed rows, on a server of ordinary size.
static MAX_TRANSACTION_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(1 << 20);
/// Off, because a Redis as it comes out of the box should work for who tries it; it says so once.
static REDIS_REQUIRE_DURABLE: GucSetting<bool> = GucSetting::<bool>::new(false);
/// Empty: where FoundationDB's packages put it.
static FDB_CLIENT_LIBRARY: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c""));
static CONNECT_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5000);
/// By the store: what was measured stands at [`Costs`].
static ROUND_TRIP_COST: GucSetting<f64> = GucSetting::<f64>::new(-1.0);
static ROW_COST: GucSetting<f64> = GucSetting::<f64>::new(-1.0);
static AS_OF: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// How a query's snapshot travels to its parallel workers: settings are copied to them.
static WORKER_SNAPSHOT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Name of the setting that carries the snapshot to parallel workers.
pub(crate) const WORKER_SNAPSHOT_NAME: &CStr = c"fakegres.worker_snapshot";

/// Where the store is. May hold a password: never print it whole.
pub(crate) fn storage() -> String {
    text(&STORAGE)
}

/// The namespace in the store.
pub(crate) fn namespace() -> String {
    text(&NAMESPACE)
}

/// How long replaced versions are kept, in microseconds.
pub(crate) fn history_retention() -> u64 {
    HISTORY_RETENTION.get().max(0) as u64 * 1_000_000
}

/// Row locks of one transaction on one table before it locks all of its rows at once.
pub(crate) fn max_row_locks() -> u32 {
    MAX_ROW_LOCKS.get().max(1) as u32
}

/// Bytes that a transaction may buffer.
pub(crate) fn max_transaction_memory() -> usize {
    MAX_TRANSACTION_MEMORY.get().max(0) as usize * 1024
}

/// How long to wait for the store to answer at all.
pub(crate) fn connect_timeout() -> std::time::Duration {
    std::time::Duration::from_millis(CONNECT_TIMEOUT.get().max(0) as u64)
}

/// Whether a Redis server that may lose what it acknowledged is refused.
pub(crate) fn redis_require_durable() -> bool {
    REDIS_REQUIRE_DURABLE.get()
}

/// What reading costs, in the planner's units.
#[derive(Clone, Copy)]
pub(crate) struct Costs {
    /// A request to the store that is waited for.
    pub(crate) round_trip: f64,
    /// A row or index entry, beside what PostgreSQL counts for a tuple.
    pub(crate) row: f64,
}

impl Costs {
    /// PostgreSQL's own costs fit a store in the server's memory.
    const LOCAL: Costs = Costs { round_trip: 0.0, row: 0.0 };
    /// Redis on the same machine. A unit is what heap needs for a page that it has in memory, some
    /// 4 µs with its tuples: a request takes 60 µs and more, a row of a scan 0.4 µs longer than heap's.
    const REMOTE: Costs = Costs { round_trip: 15.0, row: 0.1 };

    /// As the settings say, and where they do not, as was measured for a kind of store.
    pub(crate) fn of(local: bool) -> Costs {
        let measured = if local { Costs::LOCAL } else { Costs::REMOTE };
        let or = |setting: f64, measured| if setting < 0.0 { measured } else { setting };
        Costs {
            round_trip: or(ROUND_TRIP_COST.get(), measured.round_trip),
            row: or(ROW_COST.get(), measured.row),
        }
    }
}

/// Where FoundationDB's client library is, if somebody says so.
pub(crate) fn fdb_client_library() -> Option<std::path::PathBuf> {
    Some(text(&FDB_CLIENT_LIBRARY)).filter(|path| !path.is_empty()).map(Into::into)
}

/// The moment to read as of, as the user wrote it.
pub(crate) fn as_of() -> Option<String> {
    Some(text(&AS_OF)).filter(|moment| !moment.is_empty())
}

/// The leader's snapshot, in a parallel worker.
pub(crate) fn worker_snapshot() -> Option<u64> {
    text(&WORKER_SNAPSHOT).parse().ok().filter(|version| *version > 0)
}

fn text(setting: &GucSetting<Option<CString>>) -> String {
    setting.get().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Defines the settings.
pub(crate) fn register() {
    GucRegistry::define_string_guc(
        c"fakegres.storage",
        c"The store that holds fakegres tables.",
        c"'embedded' (a directory in the data directory), 'embedded:///absolute/directory', 'redis://user:password@host:port/db', 'rediss://...', 'redis+unix:///path/to/socket' or 'fdb:///path/to/fdb.cluster'.",
        &STORAGE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"fakegres.namespace",
        c"The part of the store that belongs to this cluster.",
        c"Letters, digits, '_', '-' and '.', at most 63 bytes.",
        &NAMESPACE,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"fakegres.history_retention",
        c"How long replaced and deleted row versions are kept.",
        c"A transaction or cursor that reads for longer may fail with 72000. Also the reach of fakegres.as_of.",
        &HISTORY_RETENTION,
        0,
        i32::MAX / 1000,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"fakegres.max_row_locks",
        c"Row locks that one transaction holds on one table before it locks all rows of the table.",
        c"Row locks live in PostgreSQL's lock table; see max_locks_per_transaction.",
        &MAX_ROW_LOCKS,
        1,
        i32::MAX,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"fakegres.max_transaction_memory",
        c"Memory for the uncommitted changes of one transaction.",
        c"More fails with 54000. Rows loaded into a table that the same transaction created do not count.",
        &MAX_TRANSACTION_MEMORY,
        64,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"fakegres.connect_timeout",
        c"How long to wait for the store before a statement fails with 08006.",
        c"Also how long a lost connection is tried again where that is safe.",
        &CONNECT_TIMEOUT,
        10,
        3_600_000,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_bool_guc(
        c"fakegres.redis_require_durable",
        c"Refuse a Redis server that may lose acknowledged commits.",
        c"It must have appendonly yes, appendfsync always and maxmemory-policy noeviction. Off: such a server is used, and a warning says so once per session.",
        &REDIS_REQUIRE_DURABLE,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_float_guc(
        c"fakegres.round_trip_cost",
        c"The planner's estimate of the cost of a request to the store that is waited for.",
        c"In the units of seq_page_cost. -1: as measured for the kind of store, 0 for the embedded one, 15 for Redis on the same machine.",
        &ROUND_TRIP_COST,
        -1.0,
        f64::MAX,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
    GucRegistry::define_float_guc(
        c"fakegres.row_cost",
        c"The planner's estimate of the cost of a row or an index entry that the store hands over.",
        c"In addition to cpu_tuple_cost and cpu_index_tuple_cost. -1: as measured for the kind of store, 0 for the embedded one, 0.1 for Redis.",
        &ROW_COST,
        -1.0,
        f64::MAX,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
    GucRegistry::define_string_guc(
        c"fakegres.fdb_client_library",
        c"Path of FoundationDB's client library.",
        c"Empty: libfdb_c.so where the dynamic linker or FoundationDB's packages have it. It is loaded when a session first uses a FoundationDB cluster.",
        &FDB_CLIENT_LIBRARY,
        // Who names a library has code of his choice run in the server.
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"fakegres.as_of",
        c"Read fakegres tables as they were at this moment.",
        c"A timestamp with time zone, no older than fakegres.history_retention. Empty: now. Writes are refused while it is set.",
        &AS_OF,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        WORKER_SNAPSHOT_NAME,
        c"Carries the snapshot of a query to its parallel workers.",
        c"Set by fakegres itself; of no meaning elsewhere.",
        &WORKER_SNAPSHOT,
        // PostgreSQL does not copy internal settings to workers.
        GucContext::Userset,
        GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE | GucFlags::NO_RESET_ALL,
    );
}
