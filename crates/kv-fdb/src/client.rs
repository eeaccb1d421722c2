//! What a handle knows of its cluster: the database, the newest version, what changes seldom.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::Instant;

use foundationdb::options::{MutationType, TransactionOption};
use foundationdb::{Database, FdbResult, Transaction};
use kv::{Environment, ReadStamp, Version};
use serde_json::Value;

use crate::failure::{Attempt, Trouble};
use crate::hints::Hints;
use crate::keys::Keys;
use crate::lines::Lines;
use crate::moments::{self, Moments};
use crate::recent::Recent;
use crate::view::View;

/// FoundationDB keeps five seconds of versions, which are about a million in a second. What is
/// younger than this can be read at and committed from; a guess too high costs one more attempt.
const YOUNG: u64 = 3_500_000;

/// The layout of keys and values that this engine reads and writes.
const FORMAT: u8 = 1;

/// What changes seldom, as it was read, and the cluster's metadata version then: whoever changes any of
/// it changes that.
#[derive(Default)]
struct Seldom {
    metadata: Metadata,
    floor: Option<Version>,
    /// Watched keys and their values.
    values: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The cluster's metadata version, if anybody has ever changed it.
pub(crate) type Metadata = Option<Vec<u8>>;

/// An open cluster.
pub(crate) struct Client {
    database: Database,
    pub(crate) keys: Keys,
    /// Counts replies to what may take longer than any time-out.
    pub(crate) heard: Cell<u64>,
    /// The newest version that was seen, and when.
    newest: Cell<Option<(Version, Instant)>>,
    /// The first version that was seen: the client library takes none below it.
    first: Cell<Option<Version>>,
    /// Keys of the user's whose changes are announced as the floor's are.
    watched: Vec<Vec<u8>>,
    seldom: RefCell<Seldom>,
    /// The newest view whose version is known.
    shared: RefCell<Option<Rc<View>>>,
    pub(crate) recent: RefCell<Recent>,
    pub(crate) hints: RefCell<Hints>,
    pub(crate) lines: RefCell<Lines>,
    pub(crate) moments: Moments,
}

#[allow(clippy::disallowed_methods, reason = "how old a version is, as far as this process knows")]
fn now() -> Instant {
    Instant::now()
}

impl Client {
    pub(crate) fn new(database: Database, keys: Keys, watched: Vec<Vec<u8>>) -> Client {
        Client {
            database,
            keys,
            heard: Cell::new(0),
            newest: Cell::new(None),
            first: Cell::new(None),
            watched,
            seldom: RefCell::default(),
            shared: RefCell::default(),
            recent: RefCell::default(),
            hints: RefCell::default(),
            lines: RefCell::default(),
            moments: Moments::default(),
        }
    }

    /// A transaction that does not look at its own writes.
    pub(crate) fn transaction(&self) -> FdbResult<Transaction> {
        let transaction = self.database.create_trx()?;
        transaction.set_option(TransactionOption::ReadYourWritesDisable)?;
        Ok(transaction)
    }

    /// A transaction for what the client library answers itself.
    pub(crate) fn plain_transaction(&self) -> FdbResult<Transaction> {
        self.database.create_trx()
    }

    /// Takes note of a reply.
    pub(crate) fn heard(&self) {
        self.heard.set(self.heard.get().wrapping_add(1));
    }

    /// Whether the servers are there and speak another protocol than the client library, which then
    /// waits for better ones for ever.
    pub(crate) async fn is_misunderstood(&self) -> bool {
        let Ok(status) = self.database.get_client_status().await else { return false };
        let status: Value = serde_json::from_slice(&status).unwrap_or_default();
        let connections = [&status["Connections"], &status["DatabaseStatus"]["Connections"]];
        let mut connections = connections.iter().filter_map(|list| list.as_array()).flatten();
        connections.any(|connection| connection["Compatible"] == false)
    }

    /// Takes note of a version of the cluster's.
    pub(crate) fn saw(&self, version: Version) {
        if self.first.get().is_none() {
            self.first.set(Some(version));
        }
        if self.newest.get().is_none_or(|(newest, _)| newest < version) {
            self.newest.set(Some((version, now())));
        }
    }

    /// Whether a version that this cluster gave out is young enough to work with.
    pub(crate) fn is_young(&self, version: Version) -> bool {
        let Some((newest, seen)) = self.newest.get() else { return false };
        let passed = u64::try_from(seen.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.first.get().is_some_and(|first| first <= version)
            && version <= newest
            && (newest.0 - version.0).saturating_add(passed) < YOUNG
    }

    /// The floor, if it is known at a metadata version.
    pub(crate) fn floor_at(&self, metadata: &Metadata) -> Option<Version> {
        let seldom = self.seldom.borrow();
        seldom.floor.filter(|_| seldom.metadata == *metadata)
    }

    pub(crate) fn note_floor(&self, metadata: &Metadata, floor: Version) {
        self.seldom_at(metadata).floor = Some(floor);
    }

    /// The value of a watched key, if it is known at a metadata version.
    pub(crate) fn watched_at(&self, metadata: &Metadata, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let seldom = self.seldom.borrow();
        let mut values = seldom.values.iter().filter(|_| seldom.metadata == *metadata);
        values.find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    pub(crate) fn note_watched(&self, metadata: &Metadata, key: &[u8], value: Option<&[u8]>) {
        if self.watches(|watched| watched == key) {
            let value = value.map(<[u8]>::to_vec);
            self.seldom_at(metadata).values.push((key.to_vec(), value));
        }
    }

    /// What is known at a metadata version, and nothing of another one.
    fn seldom_at(&self, metadata: &Metadata) -> RefMut<'_, Seldom> {
        let mut seldom = self.seldom.borrow_mut();
        if seldom.metadata != *metadata {
            *seldom = Seldom { metadata: metadata.clone(), ..Seldom::default() };
        }
        seldom
    }

    /// Whether any key is watched for which this is true.
    pub(crate) fn watches(&self, of: impl Fn(&[u8]) -> bool) -> bool {
        self.watched.iter().any(|key| of(key))
    }

    /// A view of the newest state, or of any at or after a version.
    pub(crate) fn view(&self, since: Option<Version>) -> FdbResult<Rc<View>> {
        let shared = self.shared.borrow();
        let fits = |view: &&Rc<View>| {
            let known = view.known().unwrap_or_default();
            since.is_some_and(|since| known >= since) && self.is_young(known)
        };
        if let Some(view) = shared.as_ref().filter(fits) {
            return Ok(Rc::clone(view));
        }
        let at = since.filter(|since| self.is_young(*since));
        Ok(Rc::new(View::open(self.transaction()?, at)))
    }

    /// The stamp of a view, which others may use from now on.
    pub(crate) async fn stamp(&self, view: &Rc<View>) -> Attempt<ReadStamp> {
        let stamp = view.stamp(self).await?;
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_none_or(|shared| shared.known() < Some(stamp.version)) {
            *shared = Some(Rc::clone(view));
        }
        Ok(stamp)
    }

    /// Gives up what may be the reason of a failure.
    pub(crate) fn forget(&self) {
        *self.shared.borrow_mut() = None;
        self.newest.set(None);
    }

    /// Sees whether the namespace is of a format that we know, and makes it if it is not there. Its
    /// first moment is written with it, so that there is one before all that is ever committed.
    pub(crate) async fn open(&self, env: &dyn Environment) -> Attempt<()> {
        let transaction = self.transaction()?;
        let version = transaction.get_read_version();
        let format = transaction.get(&self.keys.format(), false);
        let moments = moments::look_back(self, &transaction, env.now());
        self.saw(Version(version.await? as u64));
        match format.await?.as_deref() {
            Some([FORMAT]) => moments.await,
            Some(format) => Err(Trouble::Final(kv::Error::WrongStore(format!(
                "the namespace has format {}; this version of fakegres knows {FORMAT}",
                format.escape_ascii()
            )))),
            None => {
                drop(moments);
                transaction.set(&self.keys.format(), &[FORMAT]);
                let now = env.now();
                stamp(&transaction, &self.keys.moment(now), &moments::parameter(now));
                let committed = transaction.commit().await.map_err(|error| *error)?;
                self.moments.wrote(now, Version(committed.committed_version()? as u64));
                Ok(())
            }
        }
    }
}

/// Has FoundationDB write a value with the versionstamp of the commit in it.
pub(crate) fn stamp(transaction: &Transaction, key: &[u8], parameter: &[u8]) {
    transaction.atomic_op(key, parameter, MutationType::SetVersionstampedValue);
}
