//! How a connection begins: who we are, what the server is, and whether the namespace is the one
//! that we know.

use kv::{CommitId, Environment, Error, Version};
use redis::{Cmd, Value};

use crate::address::Address;
use crate::facts::{Facts, SETTINGS};
use crate::failure::{Trouble, from_log_in, from_server, lost_commits, unexpected};
use crate::memory::Known;
use crate::patience::Patience;
use crate::pipeline::Pipeline;
use crate::reply::version;
use crate::script::Script;
use crate::store::RedisOptions;

/// The format of pages and keys that this release reads and writes.
const FORMAT: &[u8] = b"1";

/// The least version of a server: from here on a write in a script is refused before the first
/// write of the script or not at all.
const LEAST: u32 = 7;

type Attempt<T> = Result<T, Trouble>;

/// A connection that is being made.
pub(crate) struct Greeting<'a> {
    pipeline: &'a mut Pipeline,
    patience: &'a mut Patience,
    env: &'a dyn Environment,
}

impl<'a> Greeting<'a> {
    pub(crate) fn new(
        pipeline: &'a mut Pipeline,
        patience: &'a mut Patience,
        env: &'a dyn Environment,
    ) -> Greeting<'a> {
        Greeting { pipeline, patience, env }
    }

    fn ask(&mut self, command: &Cmd) -> Attempt<Value> {
        self.pipeline.ask(command, self.patience, self.env)
    }

    fn demand(&mut self, command: &Cmd) -> Attempt<Value> {
        match self.ask(command)? {
            Value::ServerError(error) => Err(from_server(&error)),
            value => Ok(value),
        }
    }

    pub(crate) fn log_in(&mut self, address: &Address) -> Attempt<()> {
        if let Some(password) = &address.password {
            let mut command = redis::cmd("AUTH");
            if let Some(user) = &address.user {
                command.arg(user);
            }
            if let Value::ServerError(error) = self.ask(command.arg(&password.0))? {
                return Err(from_log_in(&error));
            }
        }
        if address.database != 0 {
            self.demand(redis::cmd("SELECT").arg(address.database))?;
        }
        Ok(())
    }

    /// What the server says of itself. A server that wants a password says nothing.
    pub(crate) fn ask_for_facts(&mut self) -> Attempt<Facts> {
        let info = self.demand(&redis::cmd("INFO"))?;
        let mut settings = redis::cmd("CONFIG");
        settings.arg("GET").arg(&SETTINGS);
        let config = self.ask(&settings)?;
        Ok(Facts::new(&info, &config))
    }

    /// Finds the namespace, or makes it if nothing is known of it.
    pub(crate) fn open(&mut self, namespace: &str, known: Option<Known>) -> Attempt<Known> {
        let expected = known.map(|known| CommitId(known.id).to_string()).unwrap_or_default();
        let mut command = Script::Open.command(namespace, true, 0);
        command.arg(CommitId::random(self.env).to_string()).arg(expected);
        let reply = self.demand(&command)?;
        let found = opened(&reply)?;
        match known {
            Some(known) if known.version > found.version => Err(fell_back(known, found)),
            Some(known) => Ok(Known { id: known.id, ..found }),
            None => Ok(found),
        }
    }
}

fn opened(reply: &Value) -> Attempt<Known> {
    let Value::Array(fields) = reply else { return Err(Trouble::Final(unexpected("list"))) };
    let fields: Vec<&[u8]> = fields
        .iter()
        .filter_map(|field| match field {
            Value::BulkString(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
        .collect();
    match *fields {
        [id, at, FORMAT] => match (parse_id(id), version(at)) {
            (Some(id), Some(version)) => Ok(Known { id, version }),
            _ => Err(Trouble::Final(unexpected("id of a namespace"))),
        },
        [_, _, format] => Err(Trouble::Final(Error::WrongStore(format!(
            "the namespace has the format {}, which this release cannot read",
            format.escape_ascii()
        )))),
        _ => Err(Trouble::Final(unexpected("record of a namespace"))),
    }
}

fn parse_id(hexadecimal: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(hexadecimal).ok()?;
    let id = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
    (CommitId(id).to_string() == text).then_some(id)
}

fn fell_back(known: Known, found: Known) -> Trouble {
    let Version(had) = known.version;
    let Version(has) = found.version;
    Trouble::Final(lost_commits(&format!("it was at version {had} and is at {has}")))
}

/// Checks that the server is one that can be used.
pub(crate) fn check(facts: &Facts, options: &RedisOptions) -> Attempt<()> {
    let (major, name) = facts.version();
    if major < LEAST {
        return Err(Trouble::Final(Error::Misconfigured(format!(
            "fakegres needs Redis {LEAST} or Valkey, and the server is {name}"
        ))));
    }
    if !facts.is_master() {
        return Err(Trouble::Passing(Error::ReadOnly("the Redis server is a replica".into())));
    }
    let durability = facts.durability();
    if options.require_durable && !durability.durable {
        let reason = format!("{}; {}", durability.text, durability.hint);
        return Err(Trouble::Final(Error::NotDurable(reason)));
    }
    Ok(())
}
