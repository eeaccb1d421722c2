//! The reference engine: an ordered map in memory, with exactly the contract's semantics.
//!
//! It is what every other engine is compared with, and what the layers above are tested on, so it
//! is strict where the contract leaves a mistake of the caller undefined (checking a value that has
//! no stamp, adding to something that is no counter, archiving something else than what is there):
//! such a batch is refused as a whole. And it can be told to behave like an engine behind a network
//! wherever the contract allows it: [`Config::defer`] and [`Config::prefetch`].
//!
//! [`Memory::handle`] gives another client of the same data. Everything is on one thread; a
//! simulation interleaves clients between calls, and every call is atomic.

mod state;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::{
    Batch, CommitId, Durability, Environment, Error, Limits, Outcome, Page, ReadStamp, Result,
    ScanRequest, Status, Store, Ticket, Version,
};
use state::State;

/// How a [`Memory`] behaves where the contract leaves a choice.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What the engine says of itself, and enforces.
    pub limits: Limits,
    /// Whether deferred batches really wait for the handle's next durable or relaxed commit, or
    /// for its flush, before they are applied. Otherwise they are applied at once.
    pub defer: bool,
    /// Whether a page is read when it is asked for, as an engine over a network might, and not
    /// when it is waited for: a reader then sees pages older than what it read in between.
    pub prefetch: bool,
}

impl Default for Config {
    /// Roomy limits, nothing put off.
    fn default() -> Config {
        let limits = Limits {
            max_key: 8 << 10,
            max_value: 256 << 20,
            max_batch: 1 << 30,
            bulk_batch: 1 << 20,
            archives: true,
            local: true,
            pages_at_once: 16,
        };
        Config { limits, defer: false, prefetch: false }
    }
}

/// A client of a store in memory. Clones are further clients of the same data.
#[derive(Debug)]
pub struct Memory {
    config: Config,
    state: Rc<RefCell<State>>,
    /// Deferred batches of this client that are not applied yet, oldest first.
    deferred: RefCell<VecDeque<Batch>>,
    /// Why a deferred batch that was applied at once failed, until the next call that may say so.
    failed: RefCell<Option<Error>>,
    prefetched: RefCell<HashMap<u64, (ReadStamp, Page)>>,
    next_ticket: Cell<u64>,
}

impl Memory {
    /// The first client of an empty store.
    pub fn new(config: Config) -> Memory {
        Memory::client(config, Rc::default())
    }

    /// Another client of the same data. It has its own queue of deferred batches.
    pub fn handle(&self) -> Memory {
        Memory::client(self.config, Rc::clone(&self.state))
    }

    /// Every key and value in order, for tests that print or compare the whole store.
    pub fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.state.borrow().dump()
    }

    fn client(config: Config, state: Rc<RefCell<State>>) -> Memory {
        Memory {
            config,
            state,
            deferred: RefCell::default(),
            failed: RefCell::default(),
            prefetched: RefCell::default(),
            next_ticket: Cell::new(0),
        }
    }

    fn apply(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        self.state.borrow_mut().commit(batch, self.config.limits.archives, env.now())
    }

    fn defer(&self, batch: &Batch, env: &dyn Environment) {
        if self.config.defer {
            self.deferred.borrow_mut().push_back(batch.clone());
        } else if let Err(error) = self.apply(batch, env) {
            *self.failed.borrow_mut() = Some(error);
        }
    }

    /// Applies what was deferred. After a failure the rest is forgotten, because batches of one
    /// handle are applied in order or not at all.
    fn apply_deferred(&self, env: &dyn Environment) -> Result<()> {
        self.report_failure()?;
        let deferred = std::mem::take(&mut *self.deferred.borrow_mut());
        deferred.iter().try_for_each(|batch| self.apply(batch, env).map(drop))
    }

    fn report_failure(&self) -> Result<()> {
        self.failed.borrow_mut().take().map_or(Ok(()), Err)
    }
}

impl Clone for Memory {
    fn clone(&self) -> Memory {
        self.handle()
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new(Config::default())
    }
}

impl Store for Memory {
    fn limits(&self) -> Limits {
        self.config.limits
    }

    fn status(&self, _env: &dyn Environment) -> Result<Status> {
        Ok(Status {
            engine: "memory".into(),
            server_version: env!("CARGO_PKG_VERSION").into(),
            durability: "nothing survives the process".into(),
            bytes: Some(self.state.borrow().bytes()),
            details: Vec::new(),
        })
    }

    fn read_version(&self, _env: &dyn Environment) -> Result<ReadStamp> {
        Ok(self.state.borrow().stamp())
    }

    /// Versions are microseconds, and nothing will be committed at or below the last one any more.
    /// So every number up to the last version is a point in the order of commits, and the moment
    /// itself is a better answer than the commit before it, which may already be below the floor
    /// although what is visible at the moment is not.
    fn version_at(&self, micros: u64, _env: &dyn Environment) -> Result<Version> {
        Ok(Version(micros).min(self.state.borrow().stamp().version))
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        _env: &dyn Environment,
    ) -> Result<ReadStamp> {
        Ok(self.state.borrow().get_many(keys, page))
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        let id = self.next_ticket.get();
        self.next_ticket.set(id + 1);
        if self.config.prefetch {
            let mut page = Page::default();
            let stamp = self.state.borrow().scan(&request, &mut page);
            self.prefetched.borrow_mut().insert(id, (stamp, page));
        }
        Ok(Ticket { request, id })
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        _env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let stamp = match self.prefetched.borrow_mut().remove(&ticket.id) {
            Some((stamp, prefetched)) => {
                page.copy_from(&prefetched);
                stamp
            }
            None => self.state.borrow().scan(&ticket.request, page),
        };
        Ok((stamp, ticket.request))
    }

    fn cancel_scan(&self, ticket: Ticket) {
        self.prefetched.borrow_mut().remove(&ticket.id);
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        batch.obey(&self.config.limits)?;
        if batch.durability == Durability::Deferred {
            self.report_failure()?;
            self.defer(batch, env);
            return Ok(Version::ZERO);
        }
        self.apply_deferred(env)?;
        self.apply(batch, env)
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.apply_deferred(env)
    }

    fn outcome(&self, id: CommitId, _env: &dyn Environment) -> Result<Outcome> {
        Ok(self.state.borrow_mut().outcome(id))
    }
}
