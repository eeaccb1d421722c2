//! Makes every call on two engines and panics when they differ.
//!
//! The *engine* is what the caller sees; the *reference* follows it. Their versions are made equal
//! and not translated: after the engine has committed at V, the reference commits with a clock that
//! stands at V, which an engine whose versions are microseconds takes as its version. So values are
//! compared with their stamps, checks mean the same on both sides, and only the version of a read
//! may run ahead in the engine. Mirrors of one store must all be made by [`Mirror::with`], and
//! nobody else may write to it.
//!
//! What a failing engine left open must be known before anything can be compared: a commit whose
//! outcome is unknown is settled before the next call, which fails where that is impossible.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::rc::Rc;

use crate::{
    Batch, CommitId, Durability, Environment, Error, Limits, Mapping, Outcome, Page, ReadStamp,
    Result, ScanRequest, Status, Store, Ticket, Version,
};

/// What all mirrors of one pair know.
#[derive(Debug, Default)]
struct Shared {
    /// Batches that the engine may have committed, and the reference has not.
    unsettled: RefCell<Vec<Batch>>,
    /// The last commit that both have made.
    last: Cell<Version>,
}

/// The engine's ticket, and what both had committed when it was given out.
#[derive(Debug)]
struct Started {
    id: u64,
    last: Version,
}

/// Two engines that must answer alike.
#[derive(Debug)]
pub struct Mirror<A, B> {
    engine: A,
    reference: B,
    shared: Rc<Shared>,
    started: RefCell<HashMap<u64, Started>>,
    next_ticket: Cell<u64>,
}

/// The caller's environment with a clock that stands at a version.
struct At<'a>(&'a dyn Environment, Version);

impl Environment for At<'_> {
    fn interrupted(&self) -> bool {
        false
    }

    fn now(&self) -> u64 {
        self.1.0
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

impl<A: Store, B: Store> Mirror<A, B> {
    /// The first client of two empty stores. The reference must take its versions from the clock.
    pub fn new(engine: A, reference: B) -> Mirror<A, B> {
        Mirror::client(engine, reference, Rc::default())
    }

    /// Another client, made of another client of each.
    pub fn with(&self, engine: A, reference: B) -> Mirror<A, B> {
        Mirror::client(engine, reference, Rc::clone(&self.shared))
    }

    fn client(engine: A, reference: B, shared: Rc<Shared>) -> Mirror<A, B> {
        let (started, next_ticket) = Default::default();
        Mirror { engine, reference, shared, started, next_ticket }
    }

    fn settle(&self, env: &dyn Environment) -> Result<()> {
        let unsettled = self.shared.unsettled.borrow().clone();
        for batch in &unsettled {
            if batch.durability == Durability::Deferred {
                // Its own failure is told by its outcome; others mean that it cannot be asked yet.
                self.engine
                    .flush(env)
                    .or_else(|error| if passes(&error) { Err(error) } else { Ok(()) })?;
            }
            if let Outcome::Committed(version) = self.engine.outcome(batch.id, env)? {
                self.follow(batch, version, env);
            }
            self.shared.unsettled.borrow_mut().retain(|other| other.id != batch.id);
        }
        Ok(())
    }

    /// Commits in the reference what the engine has committed.
    fn follow(&self, batch: &Batch, version: Version, env: &dyn Environment) {
        let followed = self.reference.commit(&durable(batch), &At(env, version));
        assert_eq!(followed, Ok(version), "the engine committed this and the reference did not");
        self.shared.last.set(version.max(self.shared.last.get()));
    }

    /// A refusal of the engine must be one of the reference's, at the same state.
    fn refuse(&self, batch: &Batch, error: &Error, env: &dyn Environment) {
        let refused = self.reference.commit(&durable(batch), &At(env, Version::ZERO));
        let kind = |error: &Error| -> Discriminant<Error> { discriminant(error) };
        assert_eq!(
            refused.as_ref().map_err(kind),
            Err(kind(error)),
            "the engine said {error:?} and the reference {refused:?}"
        );
    }

    /// A deferred batch has no version to follow, so it is flushed and asked for.
    fn commit_engine(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        let version = self.engine.commit(batch, env)?;
        if batch.durability != Durability::Deferred {
            return Ok(version);
        }
        self.engine.flush(env)?;
        match self.engine.outcome(batch.id, env)? {
            Outcome::Committed(version) => Ok(version),
            Outcome::NotCommitted => panic!("a flushed batch is not committed"),
        }
    }

    /// Both pages show the same beginning of the same range, as far as both go.
    fn compare_pages(&self, engine: &Page, reference: &Page) {
        let common = engine.len().min(reference.len());
        for i in 0..common {
            assert_eq!(engine.key(i), reference.key(i), "keys differ at entry {i}");
            assert_eq!(engine.get(i), reference.get(i), "values differ at entry {i}");
        }
        assert!(engine.len() == common || reference.more(), "the engine shows what is not there");
        assert!(reference.len() == common || engine.more(), "the engine shows too little");
    }

    fn compare_stamps(&self, engine: ReadStamp, reference: ReadStamp) {
        assert!(engine.version >= reference.version, "the engine's reply is too old");
        assert_eq!(engine.floor, reference.floor, "the floors differ");
    }

    fn take_started(&self, id: u64) -> Started {
        self.started.borrow_mut().remove(&id).expect("tickets are finished once")
    }
}

/// The batch as the reference commits it: at once.
fn durable(batch: &Batch) -> Batch {
    let mut durable = batch.clone();
    durable.durability = Durability::Durable;
    durable
}

/// Whether an error tells of the engine's condition and not of the batch.
fn passes(error: &Error) -> bool {
    error.passes()
        || matches!(
            error,
            Error::OutcomeUnknown { .. }
                | Error::Interrupted
                | Error::Full(_)
                | Error::OutOfMemory(_)
                | Error::Faulty(_)
                | Error::Internal(_)
                | Error::Denied(_)
        )
}

impl<A: Store, B: Store> Store for Mirror<A, B> {
    /// What both can do.
    fn limits(&self) -> Limits {
        let (one, two) = (self.engine.limits(), self.reference.limits());
        Limits {
            max_key: one.max_key.min(two.max_key),
            max_value: one.max_value.min(two.max_value),
            max_batch: one.max_batch.min(two.max_batch),
            bulk_batch: one.bulk_batch.min(two.bulk_batch),
            archives: one.archives && two.archives,
            local: one.local && two.local,
            pages_at_once: one.pages_at_once.min(two.pages_at_once),
        }
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        self.engine.status(env)
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        self.settle(env)?;
        let stamp = self.engine.read_version(env)?;
        self.compare_stamps(stamp, self.reference.read_version(&At(env, stamp.version))?);
        Ok(stamp)
    }

    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.engine.version_at(micros, env)
    }

    fn horizon(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.engine.horizon(micros, env)
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        self.settle(env)?;
        let stamp = self.engine.get_many(keys, page, env)?;
        let mut reference = Page::default();
        let expected = self.reference.get_many(keys, &mut reference, &At(env, stamp.version))?;
        self.compare_stamps(stamp, expected);
        self.compare_pages(page, &reference);
        Ok(stamp)
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        let Ticket { request, id } = self.engine.start_scan(request)?;
        let own = self.next_ticket.get();
        self.next_ticket.set(own + 1);
        let started = Started { id, last: self.shared.last.get() };
        self.started.borrow_mut().insert(own, started);
        Ok(Ticket { request, id: own })
    }

    /// A page that the engine read before the last commit has no counterpart any more, and is only
    /// legal if that commit came after the page was asked for.
    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let started = self.take_started(ticket.id);
        let ticket = Ticket { id: started.id, ..ticket };
        if let Err(error) = self.settle(env) {
            self.engine.cancel_scan(ticket);
            return Err(error);
        }
        let (stamp, request) = self.engine.finish_scan(ticket, page, env)?;
        assert!(stamp.version >= started.last, "the page is older than its request");
        if stamp.version >= self.shared.last.get() {
            let env = At(env, stamp.version);
            let mut reference = Page::default();
            let ticket = self.reference.start_scan(request.clone())?;
            let (expected, _) = self.reference.finish_scan(ticket, &mut reference, &env)?;
            self.compare_stamps(stamp, expected);
            self.compare_pages(page, &reference);
        }
        Ok((stamp, request))
    }

    fn cancel_scan(&self, ticket: Ticket) {
        let started = self.take_started(ticket.id);
        self.engine.cancel_scan(Ticket { id: started.id, ..ticket });
    }

    fn scan_mapped(
        &self,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        self.settle(env)?;
        let (stamp, request) = self.engine.scan_mapped(request, mapping, entries, rows, env)?;
        let (mut page, mut expected_rows) = (Page::default(), Page::default());
        let (expected, _) = self.reference.scan_mapped(
            request.clone(),
            mapping,
            &mut page,
            &mut expected_rows,
            &At(env, stamp.version),
        )?;
        self.compare_stamps(stamp, expected);
        self.compare_pages(entries, &page);
        // The pages of rows end where those of the entries do, and promise nothing by themselves.
        rows.set_more(entries.more());
        expected_rows.set_more(page.more());
        self.compare_pages(rows, &expected_rows);
        rows.set_more(false);
        Ok((stamp, request))
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        batch.obey(&self.limits())?;
        self.settle(env)?;
        let done = self.commit_engine(batch, env);
        match &done {
            Ok(version) => self.follow(batch, *version, env),
            Err(error) if passes(error) => {
                self.shared.unsettled.borrow_mut().push(batch.clone());
            }
            Err(error) => self.refuse(batch, error, env),
        }
        done.map(|version| match batch.durability {
            Durability::Deferred => Version::ZERO,
            _ => version,
        })
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.settle(env)?;
        self.engine.flush(env)
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        self.settle(env)?;
        let outcome = self.engine.outcome(id, env)?;
        assert_eq!(Ok(outcome), self.reference.outcome(id, &At(env, Version::ZERO)));
        Ok(outcome)
    }
}
