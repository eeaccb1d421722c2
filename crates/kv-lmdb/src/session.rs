//! What a backend asks of the writer, and what it makes of a lost connection.
//!
//! The rule is that nothing is guessed. A request that broke before it was sent whole counts for
//! nothing and is sent again once. A commit whose reply is missing is asked for by its id, on a new
//! connection: the writer either has it or fences it. Deferred batches that were on their way when
//! a connection broke are lost as far as anybody knows, and the next commit says so instead of
//! publishing what may be incomplete.

use std::path::PathBuf;

use kv::{Batch, CommitId, Durability, Environment, Error, Outcome, Result, Version};

use crate::link::{Broken, Link};
use crate::wire::{Header, Kind, Reply};

/// How often a lost connection is forgiven while a commit is asked for.
const ASKING: usize = 2;

/// An environment that wants to stop at some moment.
struct Limited<'a> {
    env: &'a dyn Environment,
    /// In microseconds, as its clock says.
    end: u64,
}

impl Environment for Limited<'_> {
    fn interrupted(&self) -> bool {
        self.env.interrupted() || self.env.now() >= self.end
    }

    fn now(&self) -> u64 {
        self.env.now()
    }

    fn random(&self) -> u64 {
        self.env.random()
    }
}

/// The connection of one handle and what is known of its deferred batches.
#[derive(Debug)]
pub(crate) struct Session {
    socket: PathBuf,
    hello: Vec<u8>,
    /// Milliseconds.
    timeout: u32,
    link: Option<Link>,
    /// Deferred batches were sent on this link and nothing is known of them yet.
    deferred: bool,
    /// Why a deferred batch failed, until somebody is told.
    failed: Option<Error>,
}

impl Session {
    pub(crate) fn new(socket: PathBuf, hello: Vec<u8>, timeout: u32) -> Session {
        Session { socket, hello, timeout, link: None, deferred: false, failed: None }
    }

    /// Sees to it that there is a connection, and so a namespace.
    pub(crate) fn connect(&mut self, env: &dyn Environment) -> Result<()> {
        if self.link.is_some() {
            return Ok(());
        }
        let mut patience = self.timeout;
        loop {
            let link = Link::connect(&self.socket, &mut patience, env)?;
            match self.greet(&link, env) {
                Ok(Reply::Done(_)) => {
                    self.link = Some(link);
                    return Ok(());
                }
                Ok(Reply::Failed(error)) => return Err(error),
                Ok(other) => return Err(unexpected(&other)),
                // A writer that was killed may accept one more connection before it is gone.
                Err(Broken::Lost(_)) if patience > 0 => Link::pause(&mut patience)?,
                Err(Broken::Interrupted) if !env.interrupted() => {
                    return Err(Error::Unavailable("the writer does not answer".into()));
                }
                Err(broken) => return Err(broken.harmless()),
            }
        }
    }

    /// Says who is there, and waits for the answer as long as the timeout says: a writer that stands
    /// still accepts connections.
    fn greet(&self, link: &Link, env: &dyn Environment) -> std::result::Result<Reply, Broken> {
        let header = Header::plain(Kind::Hello, CommitId::default(), self.hello.len());
        let limited = Limited { env, end: env.now() + u64::from(self.timeout) * 1000 };
        link.send(&header, &self.hello, &limited)?;
        link.receive(&limited)
    }

    /// Commits a batch and waits for it.
    pub(crate) fn commit(&mut self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        self.report(env)?;
        self.send(&of_batch(batch), batch.encoded(), env)?;
        match self.receive(env) {
            Ok(reply) => {
                self.deferred = false;
                match reply {
                    Reply::Done(version) => Ok(version),
                    Reply::Failed(error) | Reply::DeferredFailed(error) => Err(error),
                    other => Err(self.confused(&other)),
                }
            }
            Err(Broken::Interrupted) => {
                self.drop_link();
                // What was deferred before the commit shares its fate.
                self.failed = None;
                Err(unknown(batch.id, "interrupted while the writer was committing it".into()))
            }
            Err(Broken::Lost(reason)) => {
                self.drop_link();
                self.settle(batch.id, reason, env)
            }
        }
    }

    /// Sends a batch that nobody waits for.
    pub(crate) fn defer(&mut self, batch: &Batch, env: &dyn Environment) -> Result<()> {
        self.report(env)?;
        self.send(&of_batch(batch), batch.encoded(), env)?;
        self.deferred = true;
        self.hear_news(env);
        Ok(())
    }

    /// Waits until everything deferred is committed.
    pub(crate) fn flush(&mut self, env: &dyn Environment) -> Result<()> {
        self.report(env)?;
        if !self.deferred {
            return Ok(());
        }
        self.send(&Header::plain(Kind::Flush, CommitId::default(), 0), &[], env)?;
        match self.flushed(env)? {
            Reply::Done(_) => Ok(()),
            Reply::Failed(error) | Reply::DeferredFailed(error) => Err(error),
            other => Err(self.confused(&other)),
        }
    }

    /// What became of a commit.
    pub(crate) fn outcome(&mut self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        self.send(&Header::plain(Kind::Outcome, id, 0), &[], env)?;
        match self.answer(env)? {
            Reply::Outcome(outcome) => Ok(outcome),
            Reply::Failed(error) => Err(error),
            other => Err(self.confused(&other)),
        }
    }

    /// Waits for a sign of life of the writer, no longer than for a connection.
    pub(crate) fn hear(&mut self, env: &dyn Environment) -> Result<()> {
        let limited = Limited { env, end: env.now() + u64::from(self.timeout) * 1000 };
        match self.details(&limited) {
            Err(Error::Interrupted) if !env.interrupted() => {
                Err(Error::Unavailable("the writer does not answer".into()))
            }
            heard => heard.map(drop),
        }
    }

    /// What the writer says of itself.
    pub(crate) fn details(&mut self, env: &dyn Environment) -> Result<Vec<(String, String)>> {
        self.send(&Header::plain(Kind::Status, CommitId::default(), 0), &[], env)?;
        match self.answer(env)? {
            Reply::Details(details) => Ok(details),
            Reply::Failed(error) => Err(error),
            other => Err(self.confused(&other)),
        }
    }

    /// Sends a request, on a new connection if the old one turns out to be dead and nothing that
    /// was sent on it matters any more.
    fn send(&mut self, header: &Header, body: &[u8], env: &dyn Environment) -> Result<()> {
        let mut again = self.link.is_some() && !self.deferred;
        loop {
            self.connect(env)?;
            let Some(link) = &self.link else { return Err(Error::Interrupted) };
            match link.send(header, body, env) {
                Ok(()) => return Ok(()),
                Err(Broken::Lost(_)) if again => self.drop_link(),
                Err(Broken::Lost(reason)) => {
                    self.drop_link();
                    return Err(self.failed.take().unwrap_or(Error::Unavailable(reason)));
                }
                Err(Broken::Interrupted) => {
                    self.drop_link();
                    return Err(Error::Interrupted);
                }
            }
            again = false;
        }
    }

    fn receive(&mut self, env: &dyn Environment) -> std::result::Result<Reply, Broken> {
        match &self.link {
            Some(link) => link.receive(env),
            None => Err(Broken::Lost("there is no connection".into())),
        }
    }

    /// The reply to a flush. A lost connection is told here; that somebody does not want to wait
    /// does not tell what became of the deferred batches, so that the next commit says it.
    fn flushed(&mut self, env: &dyn Environment) -> Result<Reply> {
        match self.receive(env) {
            Ok(reply) => {
                self.deferred = false;
                Ok(reply)
            }
            Err(Broken::Interrupted) => {
                self.drop_link();
                Err(Error::Interrupted)
            }
            Err(Broken::Lost(reason)) => {
                self.drop_link();
                Err(self.failed.take().unwrap_or(Error::Unavailable(reason)))
            }
        }
    }

    /// The reply to a question that changed nothing. What is heard of a deferred batch on the way is
    /// kept.
    fn answer(&mut self, env: &dyn Environment) -> Result<Reply> {
        loop {
            match self.receive(env) {
                Ok(Reply::DeferredFailed(error)) => self.failed = Some(error),
                Ok(reply) => return Ok(reply),
                Err(broken) => {
                    self.drop_link();
                    return Err(broken.harmless());
                }
            }
        }
    }

    /// Takes note of a failure that has arrived already, so that a bulk load ends early.
    fn hear_news(&mut self, env: &dyn Environment) {
        if !self.link.as_ref().is_some_and(Link::has_news) {
            return;
        }
        match self.receive(env) {
            Ok(Reply::DeferredFailed(error)) => self.failed = Some(error),
            _ => self.drop_link(),
        }
    }

    /// Says once that a deferred batch failed.
    fn report(&mut self, env: &dyn Environment) -> Result<()> {
        let Some(failed) = self.failed.take() else { return Ok(()) };
        self.deferred = false;
        if let Some(link) = &self.link {
            let header = Header::plain(Kind::Clear, CommitId::default(), 0);
            if link.send(&header, &[], env).is_err() {
                self.link = None;
            }
        }
        Err(failed)
    }

    fn settle(&mut self, id: CommitId, reason: String, env: &dyn Environment) -> Result<Version> {
        // What was deferred before the commit shares its fate, and the question is about that.
        self.failed = None;
        let mut asked = self.outcome(id, env);
        for _ in 0..ASKING {
            // Also the next writer may be killed, and to ask changes nothing.
            if !matches!(asked, Err(Error::Unavailable(_))) {
                break;
            }
            asked = self.outcome(id, env);
        }
        match asked {
            Ok(Outcome::Committed(version)) => Ok(version),
            Ok(Outcome::NotCommitted) => Err(Error::Unavailable(reason)),
            Err(error) => Err(unknown(id, format!("{reason}; asking for it: {error}"))),
        }
    }

    fn drop_link(&mut self) {
        self.link = None;
        if std::mem::take(&mut self.deferred) {
            self.failed = Some(Error::Unavailable(
                "the connection to the writer was lost with rows on their way".into(),
            ));
        }
    }

    fn confused(&mut self, reply: &Reply) -> Error {
        self.drop_link();
        unexpected(reply)
    }
}

fn of_batch(batch: &Batch) -> Header {
    Header {
        kind: Kind::Commit,
        durability: batch.durability,
        id: batch.id,
        length: batch.size() as u64,
    }
}

fn unknown(id: CommitId, reason: String) -> Error {
    Error::OutcomeUnknown { id, reason }
}

fn unexpected(reply: &Reply) -> Error {
    Error::Corrupt(format!("the writer's answer is to another question: {reply:?}"))
}

/// Whether a caller waits for a batch.
pub(crate) fn is_awaited(batch: &Batch) -> bool {
    batch.durability != Durability::Deferred
}
