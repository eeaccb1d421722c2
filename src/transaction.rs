//! The transaction of a backend: PostgreSQL's transaction tied to one of the store.
//!
//! It begins with the first access to a fakegres table. Everything that can fail happens in
//! `XACT_EVENT_PRE_COMMIT`; the callbacks after PostgreSQL's own commit or abort only release.
//!
//! # Snapshots
//!
//! PostgreSQL's snapshot gets a version of the store with its first use (or when a query starts,
//! see `ddl::hooks`). The version is kept in two of its fields that mean nothing in an MVCC snapshot
//! and are copied with it: `vistest` holds the version, and `speculativeToken` the number of the
//! transaction that put it there, so that nothing stale is taken for one. REPEATABLE READ keeps one
//! PostgreSQL snapshot, and so one version.
//!
//! Over a network a version of its own would cost a round trip. A statement of which nothing but the
//! reading of one table can come before its first read has its snapshot *pending* instead: tied to no
//! version (zero) until the first page of a scan says which one it shows ([`resolve_later`]).
//!
//! # Levels
//!
//! Everything that a savepoint's rollback must undo carries the nesting level of the
//! subtransaction that did it. Releasing a savepoint hands it to the level below.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use kv::{Batch, CommitId, Durability, Result, Version};
use mvcc::{Options, Snapshot, Transaction, WriteId};
use pgrx::prelude::*;
use relation::row::Target;
use relation::{Key, RowId, Space, Tid, key, lease, space};

use crate::changes::Changes;
use crate::compat::Locator;
use crate::error::{OrRaise, raise, unsupported};
use crate::index_am::late::{self, Late};
use crate::index_am::unread::Unread;
use crate::pg::PerBackend;
use crate::row::LAYOUT;
use crate::session::{self, Session};
use crate::{compat, ddl, running, settings, standby, table_am};

/// The state of the running transaction.
pub(crate) struct Active {
    /// Its connection.
    pub(crate) session: Rc<Session>,
    /// Its reads and writes.
    pub(crate) store: Transaction,
    /// What `xmin` shows for rows that it writes: random, so that it changes with every commit.
    pub(crate) token: u32,
    /// The row that was locked last without being changed.
    pub(crate) locked_last: Option<(Space, RowId)>,
    /// The tokens of the levels below: a savepoint's rows have another one.
    tokens: Vec<u32>,
    created: Vec<Created>,
    dropped: Vec<Dropped>,
    /// The row that a scan showed last, where reading it once more would be a round trip.
    shown: Shown,
    /// Versions of rows that this transaction was shown after it waited for their lock, newer than
    /// its snapshot. Each has a TID of its own: only who was shown the version may change it.
    followed: Vec<(Space, RowId, Version)>,
    /// What is added to the numbers in TIDs of versions, so that those of another transaction of
    /// this backend name nothing.
    tid_base: u64,
    pub(crate) locks: crate::lock::Held,
    touched: HashSet<pg_sys::Oid>,
    touched_all: bool,
    /// Cells that must be no other row's when this transaction commits, where an entry's own key does
    /// not say so: each with the version at which that was looked at last.
    claims: BTreeMap<Vec<u8>, Version>,
    /// Entries of unique indexes whose keys have not been looked at.
    pub(crate) late: Late,
    /// Entries of rows that were changed of which it is not known what was there before.
    pub(crate) unread: Unread,
    /// The newest version that an update made, and the indexes whose entry of the row it changes.
    updated: (Option<Tid>, Vec<pg_sys::Oid>),
    /// Versions that the committed transaction made.
    committed_versions: u64,
}

/// A committed row as a snapshot sees it: an UPDATE asks for the row that its scan has just returned.
#[derive(Default)]
struct Shown {
    row: Option<(Space, RowId, Version)>,
    /// The commit that made it.
    version: Version,
    body: Vec<u8>,
}

/// What a TID names.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    pub(crate) row: RowId,
    /// The version that this transaction made.
    pub(crate) own: Option<WriteId>,
    /// The version that it was shown after a wait.
    pub(crate) followed: Option<Version>,
}

/// How many versions TIDs can name.
const VERSIONS: u64 = relation::row::VERSION_BLOCKS as u64 * relation::row::ROWS_PER_BLOCK;

/// A space made by this transaction.
pub(crate) struct Created {
    pub(crate) space: Space,
    record: space::Record,
    level: i32,
    /// Which command wrote the rows from a row id on: rows written straight through have no
    /// command of their own.
    commands: Vec<(RowId, pg_sys::CommandId)>,
}

struct Dropped {
    space: Space,
    /// The file that stood for it.
    locator: Option<Locator>,
    level: i32,
}

static ACTIVE: PerBackend<RefCell<Option<Active>>> = PerBackend(RefCell::new(None));
/// The number of this transaction in this backend, by which it knows the snapshots that it tied.
static TRANSACTION: PerBackend<Cell<u32>> = PerBackend(Cell::new(1));
/// Where the next transaction's TIDs of versions begin.
static TID_BASE: PerBackend<Cell<u64>> = PerBackend(Cell::new(0));
/// Whether nothing that the running transaction does is committed to the store any more.
static CLOSING: PerBackend<Cell<bool>> = PerBackend(Cell::new(false));
/// Spaces to clear when PostgreSQL has committed or aborted.
static DOOMED: PerBackend<RefCell<Vec<Space>>> = PerBackend(RefCell::new(Vec::new()));

/// Runs with the transaction, begun if necessary.
pub(crate) fn with<R>(run: impl FnOnce(&mut Active) -> R) -> R {
    if let Some(active) = ACTIVE.borrow_mut().as_mut() {
        return run(active);
    }
    begin();
    run(ACTIVE.borrow_mut().as_mut().expect("the transaction was begun"))
}

/// Runs with the transaction if there is one.
pub(crate) fn with_begun<R>(run: impl FnOnce(&mut Active) -> R) -> Option<R> {
    ACTIVE.borrow_mut().as_mut().map(run)
}

/// Oid of the database that this backend serves.
pub(crate) fn database() -> u32 {
    // SAFETY: set once when the backend starts.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// How deep savepoints are nested; 1 outside of any.
pub(crate) fn level() -> i32 {
    // SAFETY: reads PostgreSQL's transaction state.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}

fn begin() {
    if is_walsender() {
        unsupported(
            "fakegres tables cannot be read over a replication connection",
            "Logical replication does not see their changes, so it must not begin with a copy of them.",
        );
    }
    if ddl::imported_snapshot() {
        unsupported(
            "fakegres tables cannot be read with an imported snapshot",
            "pg_dump without --jobs, or each session with a snapshot of its own, works.",
        );
    }
    let session = session::get();
    // SAFETY: reads a variable of the running transaction.
    let serializable = unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_SERIALIZABLE as i32;
    let options = Options {
        serializable,
        max_buffered: settings::max_transaction_memory(),
        retention: settings::history_retention(),
        layout: LAYOUT,
    };
    let mut store = Transaction::new(Rc::clone(&session.store), Rc::clone(&session.env), options);
    for _ in 1..level() {
        store.begin_sub();
    }
    let token = new_token(&session);
    let active = Active {
        session,
        store,
        token,
        locked_last: None,
        tokens: vec![token; level() as usize - 1],
        created: Vec::new(),
        dropped: Vec::new(),
        shown: Shown::default(),
        followed: Vec::new(),
        tid_base: TID_BASE.get(),
        locks: crate::lock::Held::default(),
        touched: HashSet::new(),
        touched_all: false,
        claims: BTreeMap::new(),
        late: Late::default(),
        unread: Unread::default(),
        updated: (None, Vec::new()),
        committed_versions: 0,
    };
    ACTIVE.replace(Some(active));
}

/// Whether this is a replication connection, which may read heap tables and no others.
pub(crate) fn is_walsender() -> bool {
    // SAFETY: reads what kind of process this is.
    unsafe { pg_sys::am_walsender }
}

fn new_token(session: &Session) -> u32 {
    (session.env.random() as u32).max(pg_sys::FirstNormalTransactionId.into_inner())
}

/// What a commit of this session must survive.
pub(crate) fn durability() -> Durability {
    // SAFETY: reads a setting.
    let wanted = unsafe { pg_sys::synchronous_commit };
    if wanted == pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as i32 {
        Durability::Relaxed
    } else {
        Durability::Durable
    }
}

/// What a PostgreSQL snapshot sees. Those that are not of a moment see what is there now, and so
/// does ANALYZE, which has none.
///
/// # Safety
/// `snapshot` must be null or a live snapshot.
pub(crate) unsafe fn resolve(snapshot: pg_sys::Snapshot) -> Snapshot {
    const NOW: Snapshot = Snapshot { version: Version::MAX, command: pg_sys::CommandId::MAX };
    // SAFETY: the caller's promise.
    let Some(pg) = (unsafe { snapshot.as_mut() }) else { return NOW };
    if pg.snapshot_type != pg_sys::SnapshotType::SNAPSHOT_MVCC {
        return NOW;
    }
    let version = version_of(pg);
    Snapshot { version, command: pg.curcid }
}

/// As [`resolve`], but a pending snapshot stays so: then the first read decides, and must be told to
/// [`take`].
///
/// # Safety
/// `snapshot` must be null or a live snapshot.
pub(crate) unsafe fn resolve_later(snapshot: pg_sys::Snapshot) -> (Snapshot, Taking) {
    // SAFETY: the caller's promise.
    match unsafe { snapshot.as_ref() } {
        Some(pg) if is_pending(pg) => {
            let at = Snapshot { version: Version::MAX, command: pg.curcid };
            (at, Taking(snapshot))
        }
        // SAFETY: the caller's promise.
        _ => (unsafe { resolve(snapshot) }, Taking::default()),
    }
}

/// A pending snapshot that a scan is to take with its first page; null if there is none.
pub(crate) struct Taking(pg_sys::Snapshot);

impl Default for Taking {
    fn default() -> Taking {
        Taking(std::ptr::null_mut())
    }
}

impl Taking {
    /// Whether a scan that begins now takes the snapshot. If another one has taken it meanwhile, `at`
    /// learns its version.
    ///
    /// # Safety
    /// The snapshot must be live.
    pub(crate) unsafe fn is_due(&mut self, at: &mut Snapshot) -> bool {
        // SAFETY: the caller's promise.
        match unsafe { self.0.as_ref() } {
            None => false,
            Some(pg) if is_pending(pg) => true,
            Some(_) => {
                // SAFETY: the caller's promise.
                *at = unsafe { resolve(self.0) };
                self.0 = std::ptr::null_mut();
                false
            }
        }
    }

    /// Asks for the version, for who reads something else than a scan does.
    ///
    /// # Safety
    /// The snapshot must be live.
    pub(crate) unsafe fn settle(&mut self, at: &mut Snapshot) {
        let snapshot = std::mem::replace(&mut self.0, std::ptr::null_mut());
        if !snapshot.is_null() {
            // SAFETY: the caller's promise.
            *at = unsafe { resolve(snapshot) };
        }
    }

    /// Ties the snapshot to the version that the first page showed.
    ///
    /// # Safety
    /// The snapshot must be live.
    pub(crate) unsafe fn take(&mut self, at: &mut Snapshot, version: Version) {
        // SAFETY: the caller's promise.
        if let Some(pg) = unsafe { std::mem::replace(&mut self.0, std::ptr::null_mut()).as_mut() } {
            at.version = version;
            tie(pg, version);
            with_begun(|active| active.date_shown(version));
        }
    }
}

/// Leaves it to the first read of a statement which version its snapshot is of, if the store asks a
/// round trip for a version. False if the version has to be known now.
///
/// # Safety
/// `snapshot` must be a live snapshot.
pub(crate) unsafe fn resolve_at_first_read(snapshot: pg_sys::Snapshot) -> bool {
    // SAFETY: the caller's promise.
    let pg = unsafe { &mut *snapshot };
    let may = pg.copied
        && pg.snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC
        && !uses_one_snapshot()
        // SAFETY: reads a variable of the backend.
        && unsafe { pg_sys::ParallelWorkerNumber } < 0
        && settings::as_of().is_none();
    if !may || with(|active| active.session.store.limits().local) {
        return false;
    }
    if !is_tied(pg) {
        tie(pg, Version::ZERO);
    }
    true
}

fn version_of(pg: &mut pg_sys::SnapshotData) -> Version {
    // A worker's snapshots are restored without the fields that tie them.
    if let Some(version) = leaders_version() {
        return version;
    }
    if uses_one_snapshot() {
        tie_transaction(pg);
    }
    if is_tied(pg) {
        return Version(pg.vistest as u64);
    }
    let version = new_version();
    tie(pg, version);
    version
}

/// Binds a snapshot to a version, unless it is PostgreSQL's own variable, about to be overwritten.
fn tie(pg: &mut pg_sys::SnapshotData, version: Version) {
    if pg.copied {
        pg.speculativeToken = TRANSACTION.get();
        pg.vistest = version.0 as *mut pg_sys::GlobalVisState;
    }
}

/// The statements of a REPEATABLE READ transaction get copies of one snapshot, which must be tied
/// before they are made. The first to ask got its copy earlier, so it is given the same version.
fn tie_transaction(pg: &mut pg_sys::SnapshotData) {
    // SAFETY: the transaction's snapshot lives as long as the transaction.
    let Some(first) = (unsafe { pg_sys::GetTransactionSnapshot().as_mut() }) else { return };
    if is_tied(first) || !first.copied {
        return;
    }
    let version = new_version();
    tie(first, version);
    if !is_tied(pg) {
        tie(pg, version);
    }
}

/// A query starts: in REPEATABLE READ, the transaction's moment is now, even if the query reads no
/// fakegres table.
///
/// # Safety
/// `snapshot` must be null or a live snapshot.
pub(crate) unsafe fn query_starts(snapshot: pg_sys::Snapshot) {
    // SAFETY: the caller's promise.
    let Some(pg) = (unsafe { snapshot.as_ref() }) else { return };
    let untied = pg.snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC && !is_tied(pg);
    // A query of heap tables must neither fail because the store cannot be reached, nor wait for it
    // every time.
    let ready = || {
        crate::pg::fakegres() != pg_sys::InvalidOid && !is_walsender() && session::is_reachable()
    };
    if untied && uses_one_snapshot() && !ddl::imported_snapshot() && ready() {
        // SAFETY: the caller's promise.
        unsafe { resolve(snapshot) };
    }
}

fn uses_one_snapshot() -> bool {
    // SAFETY: reads a variable of the running transaction.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}

fn is_tied(pg: &pg_sys::SnapshotData) -> bool {
    pg.speculativeToken == TRANSACTION.get() && !pg.vistest.is_null()
}

fn is_pending(pg: &pg_sys::SnapshotData) -> bool {
    pg.speculativeToken == TRANSACTION.get() && pg.vistest.is_null()
}

/// In a parallel worker, the version of the leader's query.
fn leaders_version() -> Option<Version> {
    // SAFETY: reads a variable of the backend.
    let worker = unsafe { pg_sys::ParallelWorkerNumber } >= 0;
    worker.then(|| {
        settings::worker_snapshot().map(Version).unwrap_or_else(|| {
            raise(
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                "a parallel worker does not know the snapshot of its query",
                "Set max_parallel_workers_per_gather to 0 for this query.",
            )
        })
    })
}

fn new_version() -> Version {
    match settings::as_of() {
        None => with(|active| active.store.read_version()).or_raise(),
        Some(moment) => version_as_of(&moment),
    }
}

fn version_as_of(moment: &str) -> Version {
    let micros = crate::pg::parse_timestamp(moment);
    with(|active| {
        let now = active.session.env.now();
        let reach = settings::history_retention();
        if micros > now {
            return Err("fakegres.as_of is in the future");
        }
        if micros < now.saturating_sub(reach) {
            return Err("fakegres.as_of is older than the history that is kept");
        }
        Ok(active.session.store.version_at(micros, &*active.session.env).or_raise())
    })
    .unwrap_or_else(|message| {
        raise(
            PgSqlErrorCode::ERRCODE_SNAPSHOT_TOO_OLD,
            message,
            "History reaches back as far as fakegres.history_retention says.",
        )
    })
}

/// What a query that is planned may read.
pub(crate) enum Moment {
    /// One that is yet to come.
    Any,
    /// The moment of the query in which a function runs, if the function does not take one of its own.
    OfQuery(Version),
    /// The one moment that the transaction reads.
    OfTransaction(Version),
}

/// What the query that is being planned may read.
pub(crate) fn moment() -> Moment {
    // SAFETY: reads PostgreSQL's state of snapshots; the active snapshot is live.
    let Some(snapshot) = (unsafe {
        if pg_sys::ActiveSnapshotSet() { pg_sys::GetActiveSnapshot().as_ref() } else { None }
    }) else {
        return Moment::Any;
    };
    if uses_one_snapshot() || settings::as_of().is_some() {
        // SAFETY: as above.
        let at = unsafe { resolve(std::ptr::from_ref(snapshot).cast_mut()) };
        return Moment::OfTransaction(at.version);
    }
    if is_tied(snapshot) { Moment::OfQuery(Version(snapshot.vistest as u64)) } else { Moment::Any }
}

/// Raises an error if this transaction must not write.
pub(crate) fn check_writable() {
    if settings::as_of().is_some() {
        raise(
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            "cannot change fakegres tables while fakegres.as_of is set",
            "RESET fakegres.as_of first.",
        );
    }
}

/// Whether a store can be reached, without an error if not.
pub(crate) fn is_open() -> bool {
    session::try_get().is_ok()
}

/// Whether parallel workers would miss something that this transaction did.
pub(crate) fn has_private_state() -> bool {
    // What workers read is not validated when a serializable transaction commits.
    // SAFETY: reads a variable of the running transaction.
    if unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_SERIALIZABLE as i32 {
        return true;
    }
    with_begun(|active| active.store.has_writes() || !active.created.is_empty()).unwrap_or(false)
}

impl Active {
    /// Makes a space for a table or index, to be published when the transaction commits.
    pub(crate) fn create_space(&mut self, record: space::Record) -> Result<Space> {
        let session = &self.session;
        let space = session.new_space()?;
        // Before the store knows of it, so that no sweep takes it for an orphan.
        ddl::sweep::lock(space, false);
        space::create(database(), space, &record, &*session.store, &*session.env)?;
        session.own_rows(space);
        let prefix = match record.kind {
            space::Kind::Table => key::rows_prefix(space),
            space::Kind::Index => key::entries_prefix(space),
        };
        self.store.exclusive(&prefix, &key::after_prefix(&prefix));
        self.created.push(Created { space, record, level: level(), commands: Vec::new() });
        Ok(space)
    }

    /// Has a space cleared when the transaction commits.
    pub(crate) fn drop_space(&mut self, space: Space) {
        self.dropped.push(Dropped { space, locator: None, level: level() });
    }

    /// As [`Active::drop_space`], of an index whose file another index may get.
    pub(crate) fn drop_index_space(&mut self, space: Space, locator: Locator) {
        self.dropped.push(Dropped { space, locator: Some(locator), level: level() });
    }

    /// The space of a dropped index whose file has a new owner, and with it the space.
    pub(crate) fn revive(&mut self, locator: Locator) -> Option<Space> {
        let place = self.dropped.iter().position(|dropped| dropped.locator == Some(locator))?;
        Some(self.dropped.remove(place).space)
    }

    /// Says that a space of this transaction got the rows of another: who has an older snapshot
    /// must not take it for empty.
    pub(crate) fn holds_copy(&mut self, space: Space) {
        let made = self.created.iter_mut().find(|created| created.space == space);
        if let Some(created) = made {
            created.record.copied = true;
        }
    }

    /// The newest space that this transaction made for a relation.
    pub(crate) fn made_for(&self, relation: pg_sys::Oid) -> Option<Space> {
        let of_relation = |created: &&Created| created.record.table == relation.to_u32();
        self.created.iter().rev().find(of_relation).map(|created| created.space)
    }

    /// Whether a space is cleared when the transaction commits.
    pub(crate) fn drops(&self, space: Space) -> bool {
        self.dropped.iter().any(|dropped| dropped.space == space)
    }

    /// The space, if this transaction made it.
    pub(crate) fn created(&self, space: Space) -> Option<&Created> {
        self.created.iter().find(|created| created.space == space)
    }

    /// Whether rows of a space may go straight to the store: nobody else sees it, and whatever
    /// rolls back the row rolls back the space.
    pub(crate) fn writes_through(&self, space: Space) -> bool {
        self.created(space).is_some_and(|created| created.level == level())
    }

    /// Notes that a row written straight through belongs to a command.
    pub(crate) fn wrote_through(&mut self, space: Space, row: RowId, command: pg_sys::CommandId) {
        let created = self.created.iter_mut().find(|created| created.space == space);
        let commands = &mut created.expect("only created spaces are written through").commands;
        if commands.last().is_none_or(|last| last.1 != command) {
            commands.push((row, command));
        }
    }

    /// Whether a row written straight through is of a command that a snapshot does not see.
    pub(crate) fn hides(
        &self,
        space: Space,
        version: Option<Version>,
        row: RowId,
        at: &Snapshot,
    ) -> bool {
        version == Some(Version::ZERO)
            && self.created(space).is_some_and(|created| created.command_of(row) >= at.command)
    }

    /// Has the commit look whether anybody wrote an entry with these cells after now.
    pub(crate) fn claim(&mut self, cells: &[u8]) -> Result<()> {
        let seen = self.store.read_version()?;
        self.claims.insert(cells.to_vec(), seen);
        Ok(())
    }

    /// As [`Active::claim`], once more, for cells that this transaction claimed and has waited for.
    pub(crate) fn claim_again(&mut self, cells: &[u8]) -> Result<()> {
        if self.claims.contains_key(cells) { self.claim(cells) } else { Ok(()) }
    }

    /// Keeps a row that a scan returned as a snapshot sees it.
    pub(crate) fn show(
        &mut self,
        space: Space,
        row: RowId,
        at: Version,
        version: Option<Version>,
        body: &[u8],
    ) {
        let Some(version) = version else { return };
        self.shown.row = Some((space, row, at));
        self.shown.version = version;
        self.shown.body.clear();
        self.shown.body.extend_from_slice(body);
    }

    /// The snapshot of the row that was returned last turned out to be of this version.
    fn date_shown(&mut self, version: Version) {
        if let Some((_, _, at)) = self.shown.row.as_mut().filter(|(_, _, at)| *at == Version::MAX) {
            *at = version;
        }
    }

    /// The row as a snapshot of this version sees it, if it is the one that was returned last.
    pub(crate) fn shown(&self, space: Space, row: RowId, at: Version) -> Option<(Version, &[u8])> {
        let Shown { row: shown, version, body } = &self.shown;
        (*shown == Some((space, row, at))).then_some((*version, body))
    }

    /// Notes which indexes need a new entry for a version that an update made.
    pub(crate) fn note_update(&mut self, tid: Tid, changed: Vec<pg_sys::Oid>) {
        self.updated = (Some(tid), changed);
    }

    /// Whether the update that made a version left the row's entry in an index as it is.
    pub(crate) fn keeps_entry(&self, tid: Tid, index: pg_sys::Oid) -> bool {
        self.updated.0 == Some(tid) && !self.updated.1.contains(&index)
    }

    /// The TID that PostgreSQL knows a row by: the row's own, or that of the version if this
    /// transaction made it by an update, because triggers ask for old and new versions by TID.
    pub(crate) fn tid(&self, row: RowId, own: Option<WriteId>) -> Tid {
        match own {
            Some(id) if !self.store.is_insert(id) => self.version_tid(id.0 * 2),
            _ => Tid::of_row(row),
        }
    }

    /// A TID for a version of a row that is newer than the snapshot of who is shown it.
    pub(crate) fn follow(&mut self, space: Space, row: RowId, version: Version) -> Tid {
        self.followed.push((space, row, version));
        self.version_tid(self.followed.len() as u64 * 2 - 1)
    }

    fn version_tid(&self, number: u64) -> Tid {
        let named = (number < VERSIONS).then(|| (number + self.tid_base) % VERSIONS);
        named.and_then(Tid::of_version).unwrap_or_else(|| {
            raise(
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                "the transaction changed too many rows",
                "Split the change into smaller transactions.",
            )
        })
    }

    /// What a TID names in a space.
    pub(crate) fn target(&self, space: Space, tid: Tid) -> Option<Named> {
        match tid.target() {
            Target::Row(row) => Some(Named { row, own: None, followed: None }),
            Target::Version(number) => {
                let number = (number + VERSIONS - self.tid_base) % VERSIONS;
                if number.is_multiple_of(2) {
                    self.own_target(space, WriteId(number / 2))
                } else {
                    self.followed_target(space, number / 2)
                }
            }
            Target::Nothing => None,
        }
    }

    fn own_target(&self, space: Space, id: WriteId) -> Option<Named> {
        let key = self.store.own(id)?.key;
        let row = key::row_of_key(key)?;
        let ours = key == key::row_key(space, row);
        ours.then_some(Named { row, own: Some(id), followed: None })
    }

    fn followed_target(&self, space: Space, index: u64) -> Option<Named> {
        let (of, row, version) = *self.followed.get(usize::try_from(index).ok()?)?;
        (of == space).then_some(Named { row, own: None, followed: Some(version) })
    }

    /// The command that made a version, if this transaction did.
    pub(crate) fn command(&self, own: Option<WriteId>) -> pg_sys::CommandId {
        own.and_then(|id| self.store.own(id)).map_or(0, |version| version.command)
    }

    /// Notes that the definition of a table may have changed.
    pub(crate) fn touch(&mut self, table: pg_sys::Oid) {
        self.touched.insert(table);
    }

    /// Notes that the definition of any table may have changed.
    pub(crate) fn touch_all(&mut self) {
        self.touched_all = true;
    }

    /// What the commit must survive. PostgreSQL flushes its own commit whatever the setting says
    /// when files come or go, and the store must not be behind it then.
    fn durability(&self) -> Durability {
        if self.created.is_empty() && self.dropped.is_empty() {
            durability()
        } else {
            Durability::Durable
        }
    }

    /// How many versions of rows this transaction made.
    fn written(&self) -> u64 {
        self.committed_versions.max(self.store.written())
    }

    /// Publishes the spaces that this transaction made.
    fn publish(&mut self) {
        for (cells, seen) in &self.claims {
            let range = keycode::KeyRange::equal(cells);
            self.store.guard(&range.start, &range.end, *seen);
        }
        for created in &self.created {
            let (key, body) = space::publication(database(), created.space, &created.record);
            self.store.publish(&key, &body);
            let next = self.session.share_rows(created.space);
            let lease = Key::RowLease(created.space).encode();
            self.store.publish(&lease, &lease::high_water_body(next));
        }
    }

    fn begin_level(&mut self) {
        self.tokens.push(std::mem::replace(&mut self.token, new_token(&self.session)));
        self.store.begin_sub();
    }

    fn end_level(&mut self) {
        self.token = self.tokens.pop().unwrap_or(self.token);
    }

    fn release_level(&mut self, level: i32) {
        self.end_level();
        for created in self.created.iter_mut().filter(|created| created.level >= level) {
            created.level = level - 1;
        }
        for dropped in self.dropped.iter_mut().filter(|dropped| dropped.level >= level) {
            dropped.level = level - 1;
        }
        self.late.release_level(level);
        self.unread.release_level(level);
        self.store.release_sub();
    }

    fn abort_level(&mut self, level: i32) {
        self.end_level();
        let (gone, kept) = std::mem::take(&mut self.created)
            .into_iter()
            .partition::<Vec<_>, _>(|created| created.level >= level);
        self.created = kept;
        DOOMED.borrow_mut().extend(gone.iter().map(|created| created.space));
        self.dropped.retain(|dropped| dropped.level < level);
        self.locks.forget();
        self.late.abort_level(level);
        self.unread.abort_level(level);
        self.store.rollback_sub();
    }
}

impl Created {
    /// The command that wrote a row of version zero.
    pub(crate) fn command_of(&self, row: RowId) -> pg_sys::CommandId {
        let after = self.commands.partition_point(|(first, _)| *first <= row);
        self.commands[..after].last().map_or(0, |last| last.1)
    }
}

/// Hangs the callbacks in.
pub(crate) fn register() {
    // SAFETY: the callbacks stay loaded as long as the backend lives.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_event), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(subtransaction_event), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn transaction_event(
    event: pg_sys::XactEvent::Type,
    _arg: *mut core::ffi::c_void,
) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT => pre_commit(),
        XACT_EVENT_PRE_PREPARE => pre_prepare(),
        XACT_EVENT_COMMIT => end(true),
        XACT_EVENT_ABORT => end(false),
        XACT_EVENT_PARALLEL_COMMIT | XACT_EVENT_PARALLEL_ABORT => end(false),
        XACT_EVENT_PREPARE => end(false),
        _ => {}
    }
}

/// Whether the store's part of the transaction is over: PostgreSQL empties temporary tables then.
pub(crate) fn is_closing() -> bool {
    CLOSING.get()
}

fn pre_commit() {
    commit();
    CLOSING.set(true);
}

fn commit() {
    let touched = with_begun(|active| (std::mem::take(&mut active.touched), active.touched_all));
    let (tables, all) = touched.unwrap_or_default();
    ddl::definition::write(tables, all);
    ddl::indexes::check_followed();
    let Some(mut active) = ACTIVE.take() else { return };
    if !active.store.has_writes() && active.created.is_empty() {
        // Spaces to drop, and locks, remain for the end of the transaction.
        ACTIVE.replace(Some(active));
        return;
    }
    compat::check_for_serialization_failure();
    let doomed: Vec<Space> = active.created.iter().map(|created| created.space).collect();
    // If anything fails from here on, PostgreSQL aborts and these spaces go.
    DOOMED.borrow_mut().extend(&doomed);
    active.publish();
    table_am::size::will_commit(&active);
    let durability = active.durability();
    active.store.set_durability(if bind_log() { Durability::Durable } else { durability });
    let store = std::mem::replace(&mut active.store, empty_transaction(&active.session));
    let (bytes, versions) = (store.buffered(), store.written());
    let local = active.session.store.limits().local;
    let changes = (!local).then(|| Changes::of(store.written_keys()));
    let committed = session::while_committing(bytes, || store.commit());
    active.committed_versions = versions;
    let version = committed.or_raise();
    if let (Some(changes), Some(version)) = (changes, version) {
        changes.happened(version);
    }
    ACTIVE.replace(Some(active));
}

/// Sees to it that a crash does not bring the store back without what PostgreSQL logged, or the other way
/// round, also with `synchronous_commit = off`. Says whether the transaction writes to both.
///
/// What it may have used of PostgreSQL's is on the disk first: a value of a sequence that others are to
/// get no more, a new label of an enum. If it has something of its own to log, its commit waits for that.
fn bind_log() -> bool {
    // SAFETY: reads and changes the state of the transaction, which is about to commit.
    unsafe {
        let origin = u32::from(pg_sys::replorigin_session_origin);
        let applies = origin != pg_sys::InvalidRepOriginId && origin != pg_sys::DoNotReplicateId;
        if applies {
            // With an id, the commit of a subscription's worker notes how far it has come.
            pg_sys::GetTopTransactionId();
        }
        pg_sys::XLogFlush(compat::end_of_log());
        let both = pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId;
        // Only where PostgreSQL would not wait by itself: standbys sync at every forced commit.
        if both && (applies || durability() == Durability::Relaxed) {
            pg_sys::ForceSyncCommit();
        }
        both
    }
}

/// A transaction that did nothing, for what PostgreSQL still reads between our commit and its own.
fn empty_transaction(session: &Session) -> Transaction {
    let options = Options {
        serializable: false,
        max_buffered: settings::max_transaction_memory(),
        retention: settings::history_retention(),
        layout: LAYOUT,
    };
    Transaction::new(Rc::clone(&session.store), Rc::clone(&session.env), options)
}

fn pre_prepare() {
    let writes = with_begun(|active| {
        active.store.has_writes()
            || !active.created.is_empty()
            || !active.dropped.is_empty()
            || !active.touched.is_empty()
            || active.touched_all
    });
    if writes == Some(true) {
        unsupported(
            "PREPARE TRANSACTION is not supported for a transaction that changed fakegres tables",
            "Use COMMIT.",
        );
    }
}

/// Releases everything. Must not fail: PostgreSQL has committed or aborted.
fn end(committed: bool) {
    session::end_of_commit();
    CLOSING.set(false);
    late::forget_queries();
    running::forget();
    standby::forget();
    ddl::indexes::tear_off(0);
    ddl::indexes::forget_followed();
    ddl::retyped::forget(0);
    TRANSACTION.set(TRANSACTION.get().checked_add(1).unwrap_or(1));
    // A backend that ends while it waits for the store is still in the middle of `with`.
    let active = ACTIVE.try_borrow_mut().ok().and_then(|mut active| active.take());
    let mut doomed = DOOMED.take();
    if let Some(active) = active {
        let used = (active.followed.len() as u64).max(active.written()) * 2;
        TID_BASE.set((active.tid_base + used) % VERSIONS);
        if committed {
            doomed.retain(|space| active.created(*space).is_none());
            doomed.extend(active.dropped.iter().map(|dropped| dropped.space));
        } else {
            doomed.extend(active.created.iter().map(|created| created.space));
        }
    }
    if !doomed.is_empty() {
        clear(&doomed);
    }
    ddl::forget_imported_snapshot();
    session::follow_settings();
}

/// PostgreSQL does not let itself be interrupted while a transaction ends, so what waits for the
/// store then gives up by itself.
struct Impatient(std::time::Instant);

impl Impatient {
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

    fn new() -> Impatient {
        Impatient(std::time::Instant::now())
    }
}

impl kv::Environment for Impatient {
    fn interrupted(&self) -> bool {
        self.0.elapsed() >= Impatient::PATIENCE
    }

    fn now(&self) -> u64 {
        session::Backend.now()
    }

    fn random(&self) -> u64 {
        session::Backend.random()
    }
}

/// Clears spaces that nobody can reach any more. What fails here is left to the sweep: the space's
/// record stays, and no table claims it.
fn clear(spaces: &[Space]) {
    let session = session::get();
    // Awaited, so that a sweep that comes next, in any session, does not find them once more.
    let mut batch = Batch::new(CommitId::random(&*session.env), Durability::Relaxed);
    for space in spaces {
        space::clear(&mut batch, database(), *space);
        session.forget_rows(*space);
    }
    let _left_to_the_sweep = session.store.commit(&batch, &Impatient::new());
}

#[pg_guard]
unsafe extern "C-unwind" fn subtransaction_event(
    event: pg_sys::SubXactEvent::Type,
    _subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut core::ffi::c_void,
) {
    use pg_sys::SubXactEvent::*;
    let level = level();
    match event {
        SUBXACT_EVENT_START_SUB => drop(with_begun(Active::begin_level)),
        SUBXACT_EVENT_COMMIT_SUB => {
            with_begun(|active| active.release_level(level));
        }
        SUBXACT_EVENT_ABORT_SUB => {
            running::forget();
            ddl::indexes::tear_off(level);
            ddl::indexes::forget_followed();
            ddl::retyped::forget(level);
            with_begun(|active| active.abort_level(level));
        }
        _ => {}
    }
}
