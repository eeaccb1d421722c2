//! A backend's connection to the store.
//!
//! It is opened on first use, never in the postmaster, and stays for the life of the backend. A
//! change of `fakegres.storage` or `fakegres.namespace` takes effect with the next transaction.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kv::{Environment, Error, Result, Store};
use pgrx::pg_sys;
use relation::lease::Lease;
use relation::{Key, RowId, Space, namespace};

use crate::error::{OrRaise, unsupported};
use crate::pg::PerBackend;
use crate::{settings, standby, store};

/// What PostgreSQL lends to the layers below.
#[derive(Debug)]
pub(crate) struct Backend;

/// How long a commit that was sent goes on waiting for its answer after a cancel. A cancel that
/// comes at that moment is late; only a store that hangs makes the outcome unknown.
const COMMIT_GRACE: Duration = Duration::from_millis(700);
/// How many bytes a store takes in a second, at the least, and so how much longer it may take.
const COMMIT_RATE: f64 = 10e6;

static COMMITTING: PerBackend<Cell<Option<Commit>>> = PerBackend(Cell::new(None));

/// How long [`is_reachable`] believes that a store which could not be reached still cannot.
const WAIT_AGAIN: Duration = Duration::from_secs(10);
/// When the store could not be reached.
static UNREACHABLE: PerBackend<Cell<Option<Instant>>> = PerBackend(Cell::new(None));

/// Random numbers that were fetched ahead. A call to the library costs as much as a read of a row.
static RANDOM: PerBackend<RefCell<Vec<u64>>> = PerBackend(RefCell::new(Vec::new()));
/// How many are fetched at once.
const RANDOM_STOCK: usize = 64;

/// A commit under way.
#[derive(Clone, Copy)]
struct Commit {
    grace: Duration,
    asked_to_stop: Option<Instant>,
    /// When `statement_timeout` is over.
    timeout: Option<Instant>,
}

/// Runs a commit, which a cancel does not stop at once.
pub(crate) fn while_committing<R>(bytes: usize, commit: impl FnOnce() -> R) -> R {
    let grace = COMMIT_GRACE + Duration::from_secs_f64(bytes as f64 / COMMIT_RATE);
    COMMITTING.set(Some(Commit { grace, asked_to_stop: None, timeout: end_of_statement() }));
    let result = commit();
    end_of_commit();
    result
}

/// Cancels stop what waits again, at once.
pub(crate) fn end_of_commit() {
    COMMITTING.set(None);
}

impl Environment for Backend {
    fn interrupted(&self) -> bool {
        let asked = asked_to_stop();
        match COMMITTING.get() {
            Some(commit) if asked || commit.timed_out() => {
                let since = commit.asked_to_stop.unwrap_or_else(Instant::now);
                COMMITTING.set(Some(Commit { asked_to_stop: Some(since), ..commit }));
                since.elapsed() >= commit.grace
            }
            _ => asked,
        }
    }

    fn now(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        since_epoch.unwrap_or(Duration::ZERO).as_micros() as u64
    }

    fn random(&self) -> u64 {
        let mut stock = RANDOM.borrow_mut();
        if stock.is_empty() {
            stock.resize(RANDOM_STOCK, 0);
            let bytes = size_of_val(stock.as_slice());
            // SAFETY: the buffer has the length that is passed.
            let filled = unsafe { pg_sys::pg_strong_random(stock.as_mut_ptr().cast(), bytes) };
            assert!(filled, "the operating system gives no random numbers");
        }
        stock.pop().expect("the stock was filled")
    }
}

impl Commit {
    fn timed_out(&self) -> bool {
        self.timeout.is_some_and(|timeout| Instant::now() >= timeout)
    }
}

/// When `statement_timeout` ends the statement. PostgreSQL itself does not look after it while a
/// transaction commits, because it expects no commit to hang.
fn end_of_statement() -> Option<Instant> {
    // SAFETY: reads a setting, and when the statement arrived.
    let (timeout, begin, now) = unsafe {
        (
            pg_sys::StatementTimeout,
            pg_sys::GetCurrentStatementStartTimestamp(),
            pg_sys::GetCurrentTimestamp(),
        )
    };
    let timeout = Duration::from_millis(u64::try_from(timeout).ok().filter(|t| *t > 0)?);
    let passed = Duration::from_micros(now.saturating_sub(begin).max(0) as u64);
    Some(Instant::now() + timeout.saturating_sub(passed))
}

fn asked_to_stop() -> bool {
    // SAFETY: plain flags that signal handlers set; reading them has no precondition.
    unsafe {
        pg_sys::InterruptHoldoffCount == 0
            && pg_sys::CritSectionCount == 0
            && (pg_sys::QueryCancelPending != 0 || pg_sys::ProcDiePending != 0)
    }
}

/// An open store.
pub(crate) struct Session {
    /// The store.
    pub(crate) store: Rc<dyn Store>,
    /// Time, randomness, interrupts.
    pub(crate) env: Rc<dyn Environment>,
    /// The random name of the namespace, by which tables know where they were made.
    pub(crate) name: u64,
    address: Setting,
    spaces: RefCell<Lease>,
    rows: RefCell<HashMap<Space, Lease>>,
}

thread_local! {
    static SESSION: RefCell<Option<Rc<Session>>> = const { RefCell::new(None) };
}

/// The session, opened if necessary; raises what keeps it from opening.
pub(crate) fn get() -> Rc<Session> {
    if standby::is_one() && store::is_embedded() {
        unsupported(
            "fakegres tables of the embedded store cannot be read on a standby",
            "The embedded store is not replicated. A standby can read tables in Redis or FoundationDB.",
        );
    }
    try_get().or_raise()
}

/// The session, opened if necessary.
pub(crate) fn try_get() -> Result<Rc<Session>> {
    if let Some(session) = SESSION.with_borrow(|session| session.clone()) {
        return Ok(session);
    }
    let session = Rc::new(open()?);
    SESSION.with_borrow_mut(|slot| *slot = Some(Rc::clone(&session)));
    Ok(session)
}

/// Whether the store can be reached, for who can do without: one that could not be reached is not
/// waited for again at once.
pub(crate) fn is_reachable() -> bool {
    let waited = UNREACHABLE.get().is_some_and(|since| since.elapsed() < WAIT_AGAIN);
    if waited && SESSION.with_borrow(Option::is_none) {
        return false;
    }
    let reached = try_get().is_ok();
    UNREACHABLE.set((!reached).then(Instant::now));
    reached
}

/// What kind of store `fakegres.storage` names; the rest of the address may hold a password.
pub(crate) fn kind_of_store() -> String {
    settings::storage().split(':').next().unwrap_or_default().to_owned()
}

/// Forgets the session if the settings name another store now. For the end of a transaction.
pub(crate) fn follow_settings() {
    SESSION.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|session| session.address != address()) {
            *slot = None;
        }
    });
}

/// Leaves the store. For the end of the process.
pub(crate) fn leave() {
    drop(SESSION.take());
}

/// What decides which store is used, and whether it may be: address, namespace, durable only.
type Setting = (String, String, bool);

fn address() -> Setting {
    (settings::storage(), settings::namespace(), settings::redis_require_durable())
}

fn open() -> Result<Session> {
    let address = address();
    let (url, namespace, _) = &address;
    let env: Rc<dyn Environment> = Rc::new(Backend);
    check_namespace(namespace)?;
    let store = store::connect(url, namespace)?;
    // SAFETY: reads the control file's copy in shared memory.
    let server = unsafe { pg_sys::GetSystemIdentifier() };
    let name = namespace::open(server, store.as_ref(), env.as_ref())?;
    Ok(Session { store, env, name, address, spaces: RefCell::default(), rows: RefCell::default() })
}

fn check_namespace(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
        return Err(Error::Misconfigured(
            "fakegres.namespace must be 1 to 63 letters, digits, '_', '-' or '.'".into(),
        ));
    }
    Ok(())
}

impl Session {
    /// A space id that nobody has.
    pub(crate) fn new_space(&self) -> Result<Space> {
        let mut lease = self.spaces.borrow_mut();
        loop {
            // Zero is never handed out, so that it can mean "none" where an id is stored.
            match lease.take() {
                Some(0) => {}
                Some(id) => return Ok(Space(id)),
                None => lease.renew(Key::SpaceLease, 16..256, &*self.store, &*self.env)?,
            }
        }
    }

    /// A row id of a space that nobody has.
    pub(crate) fn new_row(&self, space: Space) -> Result<RowId> {
        let mut leases = self.rows.borrow_mut();
        let lease = leases.entry(space).or_default();
        loop {
            match lease.take() {
                Some(id) if id > RowId::LAST.0 => {
                    return Err(Error::TooLarge {
                        what: "table",
                        size: id as usize,
                        limit: RowId::LAST.0 as usize,
                    });
                }
                Some(id) => return Ok(RowId(id)),
                None => lease.renew(Key::RowLease(space), 256..65536, &*self.store, &*self.env)?,
            }
        }
    }

    /// Takes all row ids of a space that no other session knows of.
    pub(crate) fn own_rows(&self, space: Space) {
        self.rows.borrow_mut().insert(space, Lease::of(0..u64::MAX));
    }

    /// Where the row ids of a space would go on, and the end of the owned range: from now on its
    /// ids are leased like any other's.
    pub(crate) fn share_rows(&self, space: Space) -> u64 {
        let mut leases = self.rows.borrow_mut();
        let next = leases.get(&space).map_or(0, Lease::next);
        // Ids up to the next block's edge stay ours, so that the first rows of sessions that come
        // later begin a block of their own.
        let end = next.next_multiple_of(relation::row::ROWS_PER_BLOCK);
        leases.insert(space, Lease::of(next..end));
        end
    }

    /// Forgets the row ids leased for a space that is gone.
    pub(crate) fn forget_rows(&self, space: Space) {
        self.rows.borrow_mut().remove(&space);
    }

    /// The first row id of a space that nobody leased.
    pub(crate) fn row_high_water(&self, space: Space) -> Result<u64> {
        relation::lease::high_water(&Key::RowLease(space), &*self.store, &*self.env)
    }

    /// Where row ids of an owned space go on.
    pub(crate) fn next_own_row(&self, space: Space) -> u64 {
        self.rows.borrow().get(&space).map_or(0, Lease::next)
    }
}
