//! What a handle asks of the server, and what it makes of refusals and lost connections.
//!
//! Reads are asked again, for as long as the time-out for connecting lasts. A commit that was
//! refused was not applied, and if the reason passes it is sent again; one whose reply is missing is
//! asked for by its id on a new connection. Deferred batches that were on their way when a
//! connection broke are lost as far as anybody knows, and the next commit says so instead of
//! publishing what may be incomplete.

use kv::{Batch, CommitId, Direction, Environment, Error, Outcome, Result, ScanRequest, Version};
use redis::Cmd;

use crate::address::Address;
use crate::ahead::Ahead;
use crate::batch::{Steps, reads};
use crate::facts::Facts;
use crate::failure::{Trouble, from_connecting, unexpected};
use crate::greeting::{Greeting, check};
use crate::limits::clipped;
use crate::link::Link;
use crate::memory::{Known, Memory};
use crate::patience::Patience;
use crate::pipeline::Pipeline;
use crate::reply::{Reply, Verdict, version};
use crate::script::Script;
use crate::store::RedisOptions;

/// Deferred batches that may be on their way.
const WINDOW: usize = 8;

type Attempt<T> = std::result::Result<T, Trouble>;

/// The connection of one handle and what is known of its namespace.
pub(crate) struct Session {
    address: Address,
    /// The key of the namespace's record, with which its other keys begin.
    namespace: String,
    options: RedisOptions,
    known: Option<Known>,
    memory: Option<Box<dyn Memory>>,
    facts: Facts,
    pipeline: Option<Pipeline>,
    ahead: Ahead,
    /// Whether the server was told how to confirm what is ahead.
    taught: bool,
    /// The name of the handle's present run of deferred batches, and how many of it were sent.
    stream: (CommitId, u64),
    /// Why a deferred batch failed, until somebody is told.
    failed: Option<Error>,
    tickets: u64,
    trips: u64,
}

impl Session {
    pub(crate) fn new(address: Address, namespace: String, options: RedisOptions) -> Session {
        Session {
            address,
            namespace,
            options,
            known: None,
            memory: None,
            facts: Facts::default(),
            pipeline: None,
            ahead: Ahead::default(),
            taught: false,
            stream: (CommitId::default(), 0),
            failed: None,
            tickets: 0,
            trips: 0,
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.trips
    }

    /// Shares what is known from now on.
    pub(crate) fn share(&mut self, memory: Box<dyn Memory>) {
        self.memory = Some(memory);
    }

    /// What is known of the namespace by now, if it was reached at all, by us or by others.
    pub(crate) fn known(&self) -> Option<Known> {
        let shared = self.memory.as_ref().and_then(|memory| memory.recall());
        self.known.map(|known| known.newest(shared)).or(shared)
    }

    /// Sees to it that there is a connection.
    pub(crate) fn connect(&mut self, env: &dyn Environment) -> Result<()> {
        self.insist(env, |session, patience, _| session.try_connect(patience, env))
    }

    /// Asks the server how it is.
    pub(crate) fn inquire(&mut self, env: &dyn Environment) -> Result<()> {
        self.insist(env, |session, patience, _| {
            let pipeline = session.try_connect_pipeline(patience, env)?;
            let mut endless = Patience::endless();
            let facts = Greeting::new(pipeline, &mut endless, env).ask_for_facts()?;
            session.facts = facts;
            session.trips += 2;
            Ok(())
        })
    }

    /// Runs a script that may be run twice.
    pub(crate) fn ask(
        &mut self,
        script: Script,
        arguments: impl Fn(&mut Cmd),
        env: &dyn Environment,
    ) -> Result<Reply> {
        self.insist(env, |session, patience, whole| {
            session.attempt(script, whole, 0, &arguments, patience, env)
        })
    }

    /// Asks for a page without waiting; the number of the ticket, or zero if there is no connection
    /// yet and it has to be asked for later.
    pub(crate) fn start(&mut self, request: &ScanRequest) -> u64 {
        self.tickets += 1;
        self.trips += 1;
        self.try_start(request).map_or(0, |()| self.tickets)
    }

    fn try_start(&mut self, request: &ScanRequest) -> Option<()> {
        let Some(next) = self.ahead.take(request) else {
            let arguments = |command: &mut Cmd| scan_arguments(command, request);
            let command = self.command(Script::Scan, false, 0, &arguments);
            self.pipeline.as_mut()?.ask_for_page(&command, self.tickets);
            return Some(());
        };
        // The first on a connection brings the script; a transaction is not tried twice.
        let whole = !std::mem::replace(&mut self.taught, true);
        let confirm = self.command(Script::Confirm, whole, 0, &|command: &mut Cmd| {
            command.arg(clipped(&request.start)).arg(clipped(&request.end));
            command.arg(request.max_bytes).arg(&next.segment).arg(&next.bounds);
        });
        let pages = [self.namespace.as_bytes(), b":p:", &next.segment].concat();
        let mut read = redis::cmd("HMGET");
        read.arg(pages).arg(&next.bounds);
        let (begin, execute) = (redis::cmd("MULTI"), redis::cmd("EXEC"));
        let commands = [&begin, &confirm, &read, &execute];
        self.pipeline.as_mut()?.ask_for_pages(commands, self.tickets);
        Some(())
    }

    /// Waits for the page of a ticket. Whatever went wrong with it, it can be asked for again.
    pub(crate) fn finish(
        &mut self,
        ticket: u64,
        request: &ScanRequest,
        env: &dyn Environment,
    ) -> Result<Reply> {
        let page = self.pipeline.as_mut().map_or(Ok(None), |pipeline| pipeline.page(ticket, env));
        let reply = match page {
            Ok(Some(reply)) => self.seen(reply),
            Err(Trouble::Final(error)) => Err(error),
            Err(Trouble::Abandoned) => {
                self.drop_link();
                Err(Error::Interrupted)
            }
            Err(Trouble::Lost(_)) => {
                self.drop_link();
                self.ask_for_page(request, env)
            }
            Ok(None) | Err(Trouble::Passing(_) | Trouble::NoScript) => {
                self.taught &= !matches!(page, Err(Trouble::NoScript));
                self.ask_for_page(request, env)
            }
        }?;
        self.ahead.note(request, reply.list(1));
        Ok(reply)
    }

    fn ask_for_page(&mut self, request: &ScanRequest, env: &dyn Environment) -> Result<Reply> {
        self.ask(Script::Scan, |command| scan_arguments(command, request), env)
    }

    pub(crate) fn cancel(&mut self, ticket: u64) {
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.cancel(ticket);
        }
    }

    /// Commits a batch and waits for it.
    pub(crate) fn commit(&mut self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        // A failure that has arrived is of a batch that is not on its way any more, so that the
        // server would not refuse what comes behind it.
        self.hear();
        self.report()?;
        let steps = Steps::of(batch, self.options.page_bytes as usize);
        let mut patience = Patience::millis(self.options.connect_timeout);
        let (mut whole, mut last) = (false, None);
        loop {
            let attempted = self.try_commit(batch, &steps, whole, &mut patience, env);
            self.report()?;
            match attempted {
                Ok(Verdict::Done(version)) => return Ok(version),
                Ok(Verdict::Broken) => return Err(unexpected("reason why rows were lost")),
                Err(Trouble::NoScript) if !whole => whole = true,
                Err(Trouble::Passing(error)) => {
                    self.drop_link();
                    self.report()?;
                    wait_again(error, &mut last, &mut patience, env)?;
                }
                Err(Trouble::Lost(reason)) => {
                    self.drop_link();
                    return self.settle(batch.id, reason, env);
                }
                Err(Trouble::Abandoned) => {
                    self.drop_link();
                    // What was deferred before the commit shares its fate.
                    self.failed = None;
                    return Err(unknown(batch.id, "interrupted while it was committed".into()));
                }
                Err(trouble) => return Err(trouble.harmless()),
            }
        }
    }

    fn try_commit(
        &mut self,
        batch: &Batch,
        steps: &Steps,
        whole: bool,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Attempt<Verdict> {
        let turn = self.unsettled().then_some(self.stream);
        let options = self.options;
        let arguments = |command: &mut Cmd| {
            let (stream, sent) = turn.map_or((String::new(), None), named);
            command.arg(&batch.id.0).arg(stream).arg(number(sent)).arg("");
            finish(command, steps, &options);
        };
        let reply = self.attempt(Script::Commit, whole, steps.size(), &arguments, patience, env);
        if let Some(pipeline) = &mut self.pipeline {
            self.failed = self.failed.take().or_else(|| pipeline.take_failure());
        }
        reply?.verdict(reads(batch)).map_err(Trouble::Final)
    }

    /// Sends a batch that nobody waits for.
    pub(crate) fn defer(&mut self, batch: &Batch, env: &dyn Environment) -> Result<()> {
        self.hear();
        self.report()?;
        self.connect(env)?;
        self.report()?;
        if self.stream.1 == 0 {
            self.stream.0 = CommitId::random(env);
        }
        let options = self.options;
        let steps = Steps::of(batch, options.page_bytes as usize);
        let (stream, before) = named(self.stream);
        // Where nothing is on its way, nothing can be missing.
        let before = before.filter(|_| self.unsettled());
        // The first of a stream brings the script, because there is no second attempt.
        let whole = self.stream.1 == 0;
        let command = self.command(Script::Commit, whole, steps.size(), &|command: &mut Cmd| {
            command.arg(&batch.id.0).arg(&stream).arg(number(before)).arg(self.stream.1 + 1);
            finish(command, &steps, &options);
        });
        self.stream.1 += 1;
        self.trips += 1;
        let names = reads(batch).map(<[u8]>::to_vec).collect();
        let Some(pipeline) = &mut self.pipeline else { return self.report() };
        match pipeline.defer(&command, names, WINDOW, env) {
            Ok(()) => Ok(()),
            Err(trouble) => self.lost_deferred(trouble),
        }
    }

    /// Waits until every deferred batch is applied.
    pub(crate) fn flush(&mut self, env: &dyn Environment) -> Result<()> {
        let settled = self.pipeline.as_mut().map_or(Ok(()), |pipeline| pipeline.settle(0, env));
        if let Err(trouble) = settled {
            self.lost_deferred(trouble)?;
        }
        self.hear();
        self.report()
    }

    fn lost_deferred(&mut self, trouble: Trouble) -> Result<()> {
        self.drop_link();
        match trouble {
            Trouble::Lost(_) | Trouble::Passing(_) => self.report(),
            trouble => Err(trouble.harmless()),
        }
    }

    /// Whether deferred batches are on their way.
    fn unsettled(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| pipeline.deferred() > 0)
    }

    /// Takes note of failures that have arrived already, so that a bulk load ends early.
    fn hear(&mut self) {
        let Some(pipeline) = &mut self.pipeline else { return };
        match pipeline.hear() {
            Ok(()) => self.failed = self.failed.take().or_else(|| pipeline.take_failure()),
            Err(_) => self.drop_link(),
        }
    }

    /// Says once that a deferred batch failed. Those behind it were refused or are lost; whoever
    /// is told forgets them, and so do we.
    fn report(&mut self) -> Result<()> {
        let Some(failed) = self.failed.take() else { return Ok(()) };
        self.forget_deferred();
        Err(failed)
    }

    /// The server refuses what is still on its way behind a failure, so that a new connection need
    /// not wait for it.
    fn forget_deferred(&mut self) {
        if self.unsettled() {
            self.pipeline = None;
        }
        self.stream.1 = 0;
    }

    pub(crate) fn outcome(&mut self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        let reply = self.ask(
            Script::Outcome,
            |command| {
                command.arg(&id.0);
            },
            env,
        )?;
        match reply.text(0)? {
            b"" => Ok(Outcome::NotCommitted),
            bytes => version(bytes).map(Outcome::Committed).ok_or_else(|| unexpected("version")),
        }
    }

    fn settle(&mut self, id: CommitId, reason: String, env: &dyn Environment) -> Result<Version> {
        // What was deferred before the commit shares its fate, and the question is about that.
        self.failed = None;
        match self.outcome(id, env) {
            Ok(Outcome::Committed(version)) => Ok(version),
            Ok(Outcome::NotCommitted) => Err(Error::Unavailable(reason)),
            Err(error) => Err(unknown(id, format!("{reason}; asking for it: {error}"))),
        }
    }

    /// Repeats an attempt that changes nothing, or nothing more, when it is repeated.
    fn insist<T>(
        &mut self,
        env: &dyn Environment,
        attempt: impl Fn(&mut Session, &mut Patience, bool) -> Attempt<T>,
    ) -> Result<T> {
        let mut patience = Patience::millis(self.options.connect_timeout);
        let (mut whole, mut last) = (false, None);
        loop {
            match attempt(self, &mut patience, whole) {
                Ok(answer) => return Ok(answer),
                Err(Trouble::NoScript) if !whole => whole = true,
                Err(trouble @ (Trouble::Passing(_) | Trouble::Lost(_))) => {
                    self.drop_link();
                    wait_again(trouble.harmless(), &mut last, &mut patience, env)?;
                }
                Err(trouble) => {
                    if matches!(trouble, Trouble::Abandoned) {
                        self.drop_link();
                    }
                    return Err(trouble.harmless());
                }
            }
        }
    }

    fn attempt(
        &mut self,
        script: Script,
        whole: bool,
        size: usize,
        arguments: &dyn Fn(&mut Cmd),
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Attempt<Reply> {
        self.try_connect(patience, env)?;
        let command = self.command(script, whole, size, arguments);
        self.trips += 1;
        let pipeline = self.try_connect_pipeline(patience, env)?;
        let value = pipeline.ask(&command, &mut Patience::endless(), env)?;
        self.seen(Reply::of(value)?).map_err(Trouble::Final)
    }

    fn command(
        &self,
        script: Script,
        whole: bool,
        size: usize,
        arguments: &dyn Fn(&mut Cmd),
    ) -> Cmd {
        let mut command = script.command(&self.namespace, whole, size);
        if let Some(known) = self.known() {
            command.arg(CommitId(known.id).to_string()).arg(&known.version.0.to_be_bytes());
        }
        arguments(&mut command);
        command
    }

    /// Remembers the newest version that was seen.
    fn seen(&mut self, reply: Reply) -> Result<Reply> {
        let version = reply.stamp()?.version;
        if let Some(known) = self.known {
            self.remember(Known { version: known.version.max(version), ..known })?;
        }
        Ok(reply)
    }

    fn remember(&mut self, known: Known) -> Result<()> {
        self.known = Some(known);
        self.memory.as_ref().map_or(Ok(()), |memory| memory.note(known))
    }

    fn try_connect_pipeline(
        &mut self,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Attempt<&mut Pipeline> {
        self.try_connect(patience, env)?;
        self.pipeline.as_mut().ok_or_else(|| Trouble::Lost("there is no connection".into()))
    }

    /// What breaks here, breaks before the request was sent.
    fn try_connect(&mut self, patience: &mut Patience, env: &dyn Environment) -> Attempt<()> {
        if self.pipeline.is_some() {
            return Ok(());
        }
        self.greet(patience, env).map_err(|trouble| match trouble {
            Trouble::Lost(reason) => Trouble::Passing(Error::Unavailable(reason)),
            Trouble::Abandoned => Trouble::Final(Error::Interrupted),
            trouble => trouble,
        })
    }

    fn greet(&mut self, patience: &mut Patience, env: &dyn Environment) -> Attempt<()> {
        let link = Link::connect(&self.address, patience, env).map_err(from_connecting)?;
        let mut pipeline = Pipeline::new(link);
        let mut greeting = Greeting::new(&mut pipeline, patience, env);
        greeting.log_in(&self.address)?;
        self.facts = greeting.ask_for_facts()?;
        check(&self.facts, &self.options)?;
        let known = greeting.open(&self.namespace, self.known())?;
        self.trips += 3;
        self.remember(known).map_err(Trouble::Final)?;
        self.pipeline = Some(pipeline);
        Ok(())
    }

    fn drop_link(&mut self) {
        let Some(mut pipeline) = self.pipeline.take() else { return };
        self.stream.1 = 0;
        self.taught = false;
        self.failed = self.failed.take().or_else(|| pipeline.take_failure());
        if pipeline.deferred() > 0 && self.failed.is_none() {
            self.failed = Some(Error::Unavailable(
                "the connection to the Redis server was lost with rows on their way".into(),
            ));
        }
    }
}

/// Waits a little before another attempt. If there is no time for one, the last attempt may have had
/// too little of it, and the reason why the one before was in vain says more.
fn wait_again(
    error: Error,
    last: &mut Option<Error>,
    patience: &mut Patience,
    env: &dyn Environment,
) -> Result<()> {
    if patience.pause(&error, env)? {
        *last = Some(error);
        return Ok(());
    }
    Err(match (error, last.take()) {
        (Error::Unavailable(_), Some(last)) => last,
        (error, _) => error,
    })
}

/// A stream by its name, and how many batches of it come before the next.
fn named((stream, sent): (CommitId, u64)) -> (String, Option<u64>) {
    (stream.to_string(), Some(sent))
}

fn number(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// The arguments with which every commit ends.
fn finish(command: &mut Cmd, steps: &Steps, options: &RedisOptions) {
    command.arg(&steps.reads).arg(&steps.writes);
    command.arg(options.page_bytes).arg(options.segment_pages).arg(&steps.pages);
}

fn unknown(id: CommitId, reason: String) -> Error {
    Error::OutcomeUnknown { id, reason }
}

/// The range, the direction and the budget of a scan.
pub(crate) fn scan_arguments(command: &mut Cmd, request: &ScanRequest) {
    let direction = match request.direction {
        Direction::Forward => "+",
        Direction::Backward => "-",
    };
    command.arg(clipped(&request.start)).arg(clipped(&request.end)).arg(direction);
    command.arg(request.max_rows).arg(request.max_bytes);
}
