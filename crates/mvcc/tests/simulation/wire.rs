//! A store on the other side of a channel: every call waits until the scheduler lets it happen.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use kv::{
    Batch, CommitId, Environment, Error, Limits, Outcome, Page, ReadStamp, Result, ScanRequest,
    Status, Store, Ticket, Version,
};

use crate::report::Event;

#[derive(Debug)]
pub(crate) enum Call {
    ReadVersion,
    VersionAt(u64),
    Get(Vec<Vec<u8>>),
    Scan(ScanRequest),
    Commit(Batch),
    Flush,
    Outcome(CommitId),
}

pub(crate) enum Reply {
    Stamp(Result<ReadStamp>),
    Version(Result<Version>),
    Entries(Result<Entries>),
    Done(Result<()>),
    Outcome(Result<Outcome>),
    /// The client dies now.
    Crash,
}

#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) stamp: ReadStamp,
    pub(crate) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) more: bool,
}

pub(crate) enum Message {
    Call(Call),
    Event(Event),
    Finished,
    /// The client found something wrong.
    Panicked,
}

/// What a client dies of.
pub(crate) struct Crashed;

/// The client's end.
pub(crate) struct Wire {
    pub(crate) client: usize,
    pub(crate) limits: Limits,
    /// Whether pages are read when they are asked for.
    pub(crate) prefetch: bool,
    pub(crate) to_server: Sender<(usize, Message)>,
    pub(crate) from_server: Receiver<Reply>,
    pub(crate) fetched: RefCell<HashMap<u64, Result<Entries>>>,
    pub(crate) next_ticket: Cell<u64>,
}

impl Wire {
    /// Nobody listens any more if the simulation has failed.
    pub(crate) fn send(&self, message: Message) {
        drop(self.to_server.send((self.client, message)));
    }

    fn call(&self, call: Call) -> Reply {
        self.send(Message::Call(call));
        match self.from_server.recv() {
            Ok(Reply::Crash) | Err(_) => resume_unwind(Box::new(Crashed)),
            Ok(reply) => reply,
        }
    }

    fn entries(&self, call: Call) -> Result<Entries> {
        match self.call(call) {
            Reply::Entries(entries) => entries,
            _ => unreachable!("a read is answered with entries"),
        }
    }

    fn version(&self, call: Call) -> Result<Version> {
        match self.call(call) {
            Reply::Version(version) => version,
            _ => unreachable!("the question is for a version"),
        }
    }
}

impl Entries {
    fn fill(&self, page: &mut Page) -> ReadStamp {
        page.clear();
        for (key, value) in &self.rows {
            match value {
                Some(value) => page.push(key, value),
                None => page.push_absent(key),
            }
        }
        page.set_more(self.more);
        self.stamp
    }
}

impl Store for Wire {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn status(&self, _: &dyn Environment) -> Result<Status> {
        Err(Error::Unavailable("nobody asks".into()))
    }

    fn read_version(&self, _: &dyn Environment) -> Result<ReadStamp> {
        match self.call(Call::ReadVersion) {
            Reply::Stamp(stamp) => stamp,
            _ => unreachable!("the question is for a stamp"),
        }
    }

    fn version_at(&self, micros: u64, _: &dyn Environment) -> Result<Version> {
        self.version(Call::VersionAt(micros))
    }

    fn get_many(&self, keys: &[&[u8]], page: &mut Page, _: &dyn Environment) -> Result<ReadStamp> {
        let keys = keys.iter().map(|key| key.to_vec()).collect();
        Ok(self.entries(Call::Get(keys))?.fill(page))
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        let id = self.next_ticket.get();
        self.next_ticket.set(id + 1);
        if self.prefetch {
            let entries = self.entries(Call::Scan(request.clone()));
            self.fetched.borrow_mut().insert(id, entries);
        }
        Ok(Ticket { request, id })
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        _: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let fetched = self.fetched.borrow_mut().remove(&ticket.id);
        let entries =
            fetched.unwrap_or_else(|| self.entries(Call::Scan(ticket.request.clone())))?;
        Ok((entries.fill(page), ticket.request))
    }

    fn cancel_scan(&self, ticket: Ticket) {
        self.fetched.borrow_mut().remove(&ticket.id);
    }

    fn commit(&self, batch: &Batch, _: &dyn Environment) -> Result<Version> {
        self.version(Call::Commit(batch.clone()))
    }

    fn flush(&self, _: &dyn Environment) -> Result<()> {
        match self.call(Call::Flush) {
            Reply::Done(done) => done,
            _ => unreachable!("a flush is answered with nothing"),
        }
    }

    fn outcome(&self, id: CommitId, _: &dyn Environment) -> Result<Outcome> {
        match self.call(Call::Outcome(id)) {
            Reply::Outcome(outcome) => outcome,
            _ => unreachable!("the question is for an outcome"),
        }
    }
}

/// A client's environment: the server's clock, randomness of its own.
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) random: kv::environment::Simulated,
}

impl Environment for Surroundings {
    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn random(&self) -> u64 {
        self.random.random()
    }
}
