//! A handle: the calls of the contract as transactions of FoundationDB's.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Context;
use std::time::Instant;

use foundationdb::Database;
use kv::{
    Batch, CommitId, Durability, Environment, Error, Limits, Mapping, Outcome, Page, ReadStamp,
    Result, ScanRequest, Status, Store, Ticket, Version,
};

use crate::address::Address;
use crate::client::Client;
use crate::commit::{Manner, attempt, settle};
use crate::deferred::{Flights, WINDOW};
use crate::failure::{Attempt, Trouble, is_conflict, is_doubtful, passes, told, told_of_commit};
use crate::keys::Keys;
use crate::limits::LIMITS;
use crate::moments;
use crate::pages::{self, Started};
use crate::view::View;
use crate::wait::{Gone, Patience, wait, wait_while_heard, waker};
use crate::{network, status};

/// One commit in so many removes the markers of ages that are over.
const TIDY_SAMPLE: u64 = 256;

/// How long to wait for the client library's own account of why nobody answers, in milliseconds.
const STATUS_WAIT: u32 = 300;

/// Longest name of a namespace, in bytes.
const MAX_NAMESPACE: usize = 200;

/// How an [`Fdb`] works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FdbOptions {
    /// How long to wait for a cluster that does not answer, in milliseconds. 5000.
    pub connect_timeout: u32,
    /// The client library; none to look for it where it usually is.
    pub client_library: Option<PathBuf>,
    /// Keys that change seldom and are asked for often ([`Store::get_watched_since`]). Every handle of
    /// a namespace that changes one of them must have been told of it. None.
    pub watched: Vec<Vec<u8>>,
}

impl Default for FdbOptions {
    fn default() -> FdbOptions {
        FdbOptions { connect_timeout: 5000, client_library: None, watched: Vec::new() }
    }
}

/// A handle on one namespace of a cluster.
///
/// Nothing is loaded or opened before the first call that needs it, so that a handle may be made
/// anywhere; it must not be used on both sides of a fork.
pub struct Fdb {
    address: Address,
    namespace: String,
    options: FdbOptions,
    client: OnceCell<Rc<Client>>,
    tickets: RefCell<HashMap<u64, Started>>,
    next_ticket: Cell<u64>,
    flights: RefCell<Flights>,
    /// Why a deferred batch failed, until somebody is told.
    failed: RefCell<Option<Error>>,
}

impl fmt::Debug for Fdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fdb({})", self.address)
    }
}

impl Fdb {
    /// A handle on a namespace of the cluster at `address`: the one that the address names, or else
    /// `namespace`.
    ///
    /// `Misconfigured` if the name cannot be right. Whether the cluster is there shows at the first
    /// call.
    pub fn connect(address: Address, namespace: &str, options: FdbOptions) -> Result<Fdb> {
        let namespace = address.namespace().unwrap_or(namespace).to_owned();
        if namespace.is_empty()
            || namespace.len() > MAX_NAMESPACE
            || namespace.chars().any(char::is_control)
        {
            return Err(Error::Misconfigured(format!(
                "the name of a namespace has 1 to {MAX_NAMESPACE} bytes, none of them a control \
                 character"
            )));
        }
        Ok(Fdb {
            address,
            namespace,
            options,
            client: OnceCell::new(),
            tickets: RefCell::default(),
            next_ticket: Cell::new(1),
            flights: RefCell::default(),
            failed: RefCell::default(),
        })
    }

    /// Loads the client library, starts its network thread and looks at the namespace, if that has
    /// not been done.
    pub fn open(&self, env: &dyn Environment) -> Result<()> {
        self.client(env).map(drop)
    }

    fn client(&self, env: &dyn Environment) -> Result<&Rc<Client>> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        network::start(&self.address, self.options.client_library.as_deref())?;
        let path = self.address.cluster_file();
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::Misconfigured(format!(
                "the cluster file {} cannot be read: {error}",
                path.display()
            )));
        }
        let path = path.to_str().ok_or_else(|| {
            Error::Misconfigured("the path of the cluster file is no UTF-8".into())
        })?;
        let database = Database::from_path(path).map_err(told)?;
        let watched = self.options.watched.clone();
        let client = Rc::new(Client::new(database, Keys::of(&self.namespace), watched));
        self.insist(&client, env, |_| client.open(env))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Makes an attempt that changes nothing, or nothing more, when it is repeated, until it
    /// succeeds or the time is over. It is told whether it is the first.
    fn insist<'a, T, F>(
        &self,
        client: &Client,
        env: &dyn Environment,
        mut attempt: impl FnMut(bool) -> F + 'a,
    ) -> Result<T>
    where
        F: Future<Output = Attempt<T>>,
    {
        let mut patience = Patience::millis(self.options.connect_timeout);
        let mut first = true;
        let mut reason = None;
        loop {
            match wait(attempt(first), &mut patience, env) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Trouble::Final(error))) => return Err(error),
                Ok(Err(Trouble::Fdb(error))) => {
                    client.forget();
                    if !passes(error)
                        || !patience.pause(env).map_err(|gone| self.gone(client, gone, env))?
                    {
                        return Err(told(error));
                    }
                    reason = Some(error);
                }
                Err(gone) => {
                    client.forget();
                    // That the cluster refused before says more than that the last attempt had too
                    // little time.
                    return Err(match reason.filter(|_| gone == Gone::TimedOut) {
                        Some(reason) => told(reason),
                        None => self.gone(client, gone, env),
                    });
                }
            }
            first = false;
        }
    }

    /// What it means that a wait was in vain.
    fn gone(&self, client: &Client, gone: Gone, env: &dyn Environment) -> Error {
        if gone == Gone::Interrupted {
            return Error::Interrupted;
        }
        let file = self.address.cluster_file().display();
        let asked = wait(client.is_misunderstood(), &mut Patience::millis(STATUS_WAIT), env);
        match asked {
            Ok(true) => Error::Misconfigured(format!(
                "the FoundationDB cluster of {file} speaks another protocol than the client \
                 library: their releases must be of one series, such as 7.3"
            )),
            _ => Error::Unavailable(format!("the FoundationDB cluster of {file} does not answer")),
        }
    }

    fn view(client: &Client, since: Option<Version>, first: bool) -> Attempt<Rc<View>> {
        Ok(client.view(since.filter(|_| first))?)
    }

    fn read_many(
        &self,
        since: Option<Version>,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        let client = self.client(env)?;
        let many = self.insist(client, env, |first| async move {
            pages::get_many(client, Fdb::view(client, since, first)?, keys).await
        })?;
        many.fill(keys, page)
    }

    fn start(&self, since: Option<Version>, request: ScanRequest) -> Result<Ticket> {
        let Some(client) = self.client.get() else { return Ok(Ticket { request, id: 0 }) };
        if request.start >= request.end {
            return Ok(Ticket { request, id: 0 });
        }
        // What cannot be started now is asked for when it is waited for.
        let Ok(view) = client.view(since) else { return Ok(Ticket { request, id: 0 }) };
        let id = self.next_ticket.get();
        self.next_ticket.set(id + 1);
        self.tickets.borrow_mut().insert(id, pages::start(client, view, &request));
        Ok(Ticket { request, id })
    }

    fn read_mapped(
        &self,
        since: Option<Version>,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        entries.clear();
        rows.clear();
        if request.start >= request.end {
            return Ok((self.read_version(env)?, request));
        }
        let client = self.client(env)?;
        let (range, keys, many) = self.insist(client, env, |first| {
            let request = &request;
            async move {
                let view = Fdb::view(client, since, first)?;
                pages::mapped(client, view, request, mapping).await
            }
        })?;
        let stamp = range.fill(client, entries)?;
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        many.fill(&keys, rows)?;
        Ok((stamp, request))
    }

    /// Commits a batch and waits for it. `doubtful` if an attempt was made before of which nobody
    /// knows what became.
    fn commit_now(
        &self,
        batch: &Batch,
        mut doubtful: bool,
        env: &dyn Environment,
    ) -> Result<Version> {
        let client = self.client(env)?;
        let mut patience = Patience::millis(self.options.connect_timeout);
        let tidy = env.random().is_multiple_of(TIDY_SAMPLE);
        let mut manner = Manner { trusting: !doubtful, doubtful, tidy };
        let mut reason = None;
        loop {
            let sent = Cell::new(false);
            let attempt = attempt(client, batch, manner, Some(env), &sent);
            let answer = wait_while_heard(attempt, &client.heard, &mut patience, env);
            doubtful |= sent.get() && !matches!(answer, Ok(Ok(_)));
            let error = match answer {
                Ok(Ok(version)) => return Ok(version),
                Ok(Err(Trouble::Final(error))) => error,
                Ok(Err(Trouble::Fdb(error))) => {
                    manner = Manner { trusting: false, doubtful, tidy: false };
                    let again = is_conflict(error) || passes(error);
                    reason = Some(error);
                    match if again { patience.pause(env) } else { Ok(false) } {
                        Ok(true) => continue,
                        Ok(false) => told_of_commit(error),
                        Err(gone) => self.gone(client, gone, env),
                    }
                }
                Err(gone) => {
                    client.forget();
                    match reason.filter(|_| gone == Gone::TimedOut) {
                        Some(reason) => told_of_commit(reason),
                        None => self.gone(client, gone, env),
                    }
                }
            };
            return if doubtful { self.resolve(batch.id, error, env) } else { Err(error) };
        }
    }

    /// Before a failure is reported of a commit that may have happened, it is made sure that it has
    /// not and will not.
    fn resolve(&self, id: CommitId, error: Error, env: &dyn Environment) -> Result<Version> {
        let unknown = |reason: String| Error::OutcomeUnknown { id, reason };
        if matches!(error, Error::Interrupted | Error::Unavailable(_)) {
            return Err(unknown(error.to_string()));
        }
        match self.outcome(id, env) {
            Ok(Outcome::Committed(version)) => Ok(version),
            Ok(Outcome::NotCommitted) => Err(error),
            Err(asking) => Err(unknown(format!("{error}; asking for it: {asking}"))),
        }
    }

    fn defer(&self, batch: &Batch, env: &dyn Environment) -> Result<()> {
        self.land(WINDOW - 1, env)?;
        let client = Rc::clone(self.client(env)?);
        let admitted = self.flights.borrow().admit(batch);
        match admitted {
            Some(keys) => {
                let mut flights = self.flights.borrow_mut();
                flights.start(client, batch.clone(), keys);
                flights.poll(&mut Context::from_waker(&waker()));
                Ok(())
            }
            None => {
                self.land(0, env)?;
                self.commit_now(batch, false, env).map(drop)
            }
        }
    }

    /// Waits until no more than `most` deferred batches are on their way. Reports a failure once,
    /// and forgets what was behind it.
    fn land(&self, most: usize, env: &dyn Environment) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.flights.borrow_mut().poll(&mut Context::from_waker(&waker()));
        let landed = self.try_land(most, env);
        if landed.as_ref().is_err_and(|error| *error != Error::Interrupted) {
            self.flights.borrow_mut().forget();
        }
        landed
    }

    fn try_land(&self, most: usize, env: &dyn Environment) -> Result<()> {
        let mut patience = Patience::millis(self.options.connect_timeout);
        loop {
            while let Some((flight, landed)) = self.take_landed() {
                match landed {
                    Ok(_) => {}
                    Err(Trouble::Final(error)) => return Err(error),
                    Err(Trouble::Fdb(error)) => {
                        let doubtful = is_doubtful(error) && flight.sent.get();
                        self.repeat(&flight.batch, doubtful, env)?;
                    }
                }
                patience = Patience::millis(self.options.connect_timeout);
            }
            if self.flights.borrow().len() <= most {
                return Ok(());
            }
            let oldest =
                std::future::poll_fn(|context| self.flights.borrow_mut().poll_oldest(context));
            let client = self.client(env)?;
            wait(oldest, &mut patience, env).map_err(|gone| self.gone(client, gone, env))?;
        }
    }

    fn take_landed(&self) -> Option<(crate::deferred::Flight, Attempt<Version>)> {
        self.flights.borrow_mut().take_landed()
    }

    /// Commits a deferred batch whose first attempt failed. The failure of a wait is one of the
    /// batch, because nothing is left on its way that could be waited for.
    fn repeat(&self, batch: &Batch, doubtful: bool, env: &dyn Environment) -> Result<()> {
        match self.commit_now(batch, doubtful, env) {
            Ok(_) => Ok(()),
            Err(Error::Interrupted) => {
                let lost = "rows on their way were given up when the wait for them was cancelled";
                *self.failed.borrow_mut() = Some(Error::Unavailable(lost.into()));
                self.flights.borrow_mut().forget();
                Err(Error::Interrupted)
            }
            Err(error) => Err(error),
        }
    }
}

impl Store for Fdb {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        let client = self.client(env)?;
        #[allow(clippy::disallowed_methods, reason = "how long the cluster takes to answer")]
        let begin = Instant::now();
        let stamp = self.read_version(env)?;
        let micros = begin.elapsed().as_micros();
        Ok(status::report(client, &self.address, stamp.version, micros, env))
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        let client = self.client(env)?;
        self.insist(client, env, |_| async {
            let view = client.view(None)?;
            client.stamp(&view).await
        })
    }

    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        let client = self.client(env)?;
        self.insist(client, env, |_| moments::version_at(client, micros, env.now()))
    }

    fn horizon(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.version_at(moments::with_leeway(micros, env.now()), env)
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        self.read_many(None, keys, page, env)
    }

    fn get_many_since(
        &self,
        since: Version,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        self.read_many(Some(since), keys, page, env)
    }

    fn get_watched_since(
        &self,
        since: Version,
        key: &[u8],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        let client = self.client(env)?;
        let (stamp, value) = self.insist(client, env, |first| async move {
            pages::get_watched(client, Fdb::view(client, Some(since), first)?, key).await
        })?;
        page.clear();
        match value {
            Some(value) => page.push(key, &value),
            None => page.push_absent(key),
        }
        Ok(stamp)
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        self.start(None, request)
    }

    fn start_scan_since(&self, since: Version, request: ScanRequest) -> Result<Ticket> {
        self.start(Some(since), request)
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let Ticket { request, id } = ticket;
        let started = self.tickets.borrow_mut().remove(&id);
        if request.start >= request.end {
            page.clear();
            return Ok((self.read_version(env)?, request));
        }
        let client = self.client(env)?;
        let started = RefCell::new(started);
        let range = self.insist(client, env, |_| {
            let (started, request) = (started.take(), &request);
            async move {
                let started = match started {
                    Some(started) => started,
                    None => pages::start(client, client.view(None)?, request),
                };
                pages::finish(client, started, request).await
            }
        })?;
        Ok((range.fill(client, page)?, request))
    }

    fn cancel_scan(&self, ticket: Ticket) {
        self.tickets.borrow_mut().remove(&ticket.id);
    }

    fn scan_mapped(
        &self,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        self.read_mapped(None, request, mapping, entries, rows, env)
    }

    fn scan_mapped_since(
        &self,
        since: Version,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        self.read_mapped(Some(since), request, mapping, entries, rows, env)
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        batch.obey(&LIMITS)?;
        if batch.durability == Durability::Deferred {
            self.defer(batch, env)?;
            return Ok(Version::ZERO);
        }
        self.land(0, env)?;
        self.commit_now(batch, false, env)
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.land(0, env)
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        let client = self.client(env)?;
        // A refusal means that somebody wrote the marker just now.
        self.insist(client, env, |_| settle(client, id))
    }
}
