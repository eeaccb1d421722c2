//! A handle: the calls of the contract as questions to the session.

use std::cell::RefCell;
use std::fmt;

use kv::{
    Batch, CommitId, Durability as Survival, Environment, Error, Limits, Mapping, MappingSource,
    Outcome, Page, ReadStamp, Result, ScanRequest, Status, Store, Ticket, Version,
};
use redis::Cmd;

use crate::address::Address;
use crate::facts::Durability;
use crate::failure::unexpected;
use crate::limits::{LIMITS, clipped};
use crate::memory::{Known, Memory};
use crate::page;
use crate::reply::Reply;
use crate::script::Script;
use crate::session::{Session, scan_arguments};

/// How a [`Redis`] works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedisOptions {
    /// How long to wait for a server that does not answer when a connection is made, and how long
    /// to try again what was refused for a passing reason, in milliseconds. 5000.
    pub connect_timeout: u32,
    /// Whether a server that may lose what it acknowledged is refused. False.
    pub require_durable: bool,
    /// Bytes of entries in a page before it is divided. 4000.
    pub page_bytes: u32,
    /// Pages of a segment before it is divided. 128.
    pub segment_pages: u32,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            connect_timeout: 5000,
            require_durable: false,
            // With what Redis puts around it, a page fills a size class of its allocator.
            page_bytes: 4000,
            // As many as Redis keeps in one compact list (`zset-max-listpack-entries`).
            segment_pages: 128,
        }
    }
}

/// Longest name of a namespace, in bytes.
const MAX_NAMESPACE: usize = 200;

/// A handle on one namespace of a server.
///
/// Nothing is opened before the first call that needs it, so that a handle may be made anywhere; it
/// must not be used on both sides of a fork.
pub struct Redis {
    session: RefCell<Session>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.session.borrow().address())
    }
}

impl Redis {
    /// A handle on `namespace` of the server at `address`.
    ///
    /// `Misconfigured` if the name cannot be right. Whether the server is there, and takes us, shows
    /// at the first call: `Unavailable`, `Denied`, `WrongStore`.
    pub fn connect(address: Address, namespace: &str, options: RedisOptions) -> Result<Redis> {
        // The braces keep all keys of a namespace together where keys are spread over servers.
        let plain = |c: char| !c.is_control() && !matches!(c, '{' | '}');
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.chars().all(plain)
        {
            return Err(Error::Misconfigured(format!(
                "the name of a namespace has 1 to {MAX_NAMESPACE} bytes, none of them a brace or a \
                 control character"
            )));
        }
        let key = format!("fakegres:{{{namespace}}}");
        Ok(Redis { session: RefCell::new(Session::new(address, key, options)) })
    }

    /// The same handle with a memory. A namespace that does not have the id that is remembered, or
    /// has fallen behind the version, is refused; where nothing is remembered and there is no
    /// namespace, it is made.
    pub fn with_memory(self, memory: Box<dyn Memory>) -> Redis {
        self.session.borrow_mut().share(memory);
        self
    }

    /// What an acknowledged commit survives on this server, as it said when it was last asked.
    pub fn durability(&self, env: &dyn Environment) -> Result<Durability> {
        let mut session = self.session.borrow_mut();
        session.connect(env)?;
        Ok(session.facts().durability())
    }

    /// What is known of the namespace.
    pub fn known(&self, env: &dyn Environment) -> Result<Known> {
        let mut session = self.session.borrow_mut();
        session.connect(env)?;
        session.known().ok_or_else(|| unexpected("id of a namespace"))
    }

    /// How many requests were sent so far. Those that are sent ahead count, although nobody waits a
    /// whole trip for them.
    pub fn round_trips(&self) -> u64 {
        self.session.borrow().round_trips()
    }

    fn ask(
        &self,
        script: Script,
        arguments: impl Fn(&mut Cmd),
        env: &dyn Environment,
    ) -> Result<Reply> {
        self.session.borrow_mut().ask(script, arguments, env)
    }
}

fn is_empty(request: &ScanRequest) -> bool {
    request.start >= request.end
}

/// Numbers beyond these are as good as these, and scripts count exactly up to them.
fn mapping_arguments(command: &mut Cmd, mapping: &Mapping) {
    let small = |number: usize| number.min(1 << 40);
    command.arg(&mapping.prefix);
    match mapping.source {
        MappingSource::KeySuffix => command.arg(""),
        MappingSource::Value { offset } => command.arg(small(offset)),
    };
    command.arg(small(mapping.len));
}

/// A reply that begins with whether there is more.
fn more(reply: &Reply) -> Result<bool> {
    Ok(reply.text(0)? == b"1")
}

impl Store for Redis {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        let mut session = self.session.borrow_mut();
        session.inquire(env)?;
        let facts = session.facts();
        let durability = facts.durability();
        let mut details = vec![("address".to_owned(), session.address().to_string())];
        if let Some(known) = session.known() {
            details.push(("namespace id".into(), CommitId(known.id).to_string()));
        }
        details.extend(facts.details());
        if !durability.durable {
            details.push(("for more durability".into(), durability.hint));
        }
        Ok(Status {
            engine: "redis".into(),
            server_version: facts.version().1,
            durability: durability.text,
            bytes: facts.get("used_memory").parse().ok(),
            details,
        })
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        self.ask(Script::Stamp, |_| (), env)?.stamp()
    }

    /// Versions are microseconds, and nothing will be committed at or below the last one any more,
    /// so that the moment itself is a version up to there.
    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        Ok(Version(micros).min(self.read_version(env)?.version))
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        let arguments = |command: &mut Cmd| {
            for key in keys {
                command.arg(clipped(key));
            }
        };
        let reply = self.ask(Script::Get, arguments, env)?;
        page.clear();
        for (key, value) in keys.iter().zip(reply.values()) {
            match value {
                Some(value) => page.push(key, value),
                None => page.push_absent(key),
            }
        }
        match page.len() == keys.len() {
            true => reply.stamp(),
            false => Err(unexpected("value for every key")),
        }
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        let id = match is_empty(&request) {
            true => 0,
            false => self.session.borrow_mut().start(&request),
        };
        Ok(Ticket { request, id })
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let Ticket { request, id } = ticket;
        if is_empty(&request) {
            page.clear();
            return Ok((self.read_version(env)?, request));
        }
        let reply = self.session.borrow_mut().finish(id, &request, env)?;
        page::fill(reply.values().skip(2).flatten(), more(&reply)?, &request, page)?;
        Ok((reply.stamp()?, request))
    }

    fn cancel_scan(&self, ticket: Ticket) {
        self.session.borrow_mut().cancel(ticket.id);
    }

    fn scan_mapped(
        &self,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        entries.clear();
        rows.clear();
        if is_empty(&request) {
            return Ok((self.read_version(env)?, request));
        }
        let arguments = |command: &mut Cmd| {
            scan_arguments(command, &request);
            mapping_arguments(command, mapping);
        };
        let reply = self.ask(Script::Mapped, arguments, env)?;
        let mut values = reply.values().skip(1);
        while let Some(key) = values.next().flatten() {
            let value = values.next().flatten().ok_or_else(|| unexpected("value of an entry"))?;
            let row = values.next().ok_or_else(|| unexpected("row of an entry"))?;
            let row_key = mapping.row_key(key, value).unwrap_or_default();
            entries.push(key, value);
            match row {
                Some(row) => rows.push(&row_key, row),
                None => rows.push_absent(&row_key),
            }
        }
        entries.set_more(more(&reply)?);
        Ok((reply.stamp()?, request))
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        batch.obey(&LIMITS)?;
        let mut session = self.session.borrow_mut();
        if batch.durability != Survival::Deferred {
            return session.commit(batch, env);
        }
        session.defer(batch, env)?;
        Ok(Version::ZERO)
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.session.borrow_mut().flush(env)
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        self.session.borrow_mut().outcome(id, env)
    }
}
