//! What the server's errors mean, named by what must be done.

use kv::Error;
use redis::ServerError;

/// Why a request was not done. Nothing was applied, unless the error says so.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It passes, or another server takes over: worth another attempt on a new connection.
    Passing(Error),
    /// The server has forgotten the script.
    NoScript,
    /// The connection broke while the request was on its way.
    Lost(String),
    /// The caller stopped waiting for a request that was on its way.
    Abandoned,
    /// Another attempt would fail as well.
    Final(Error),
}

impl Trouble {
    /// As the error of a request that changed nothing and is not tried again.
    pub(crate) fn harmless(self) -> Error {
        match self {
            Trouble::Lost(reason) => Error::Unavailable(reason),
            Trouble::Abandoned => Error::Interrupted,
            Trouble::NoScript => {
                Error::Unavailable("the Redis server has forgotten its scripts".into())
            }
            Trouble::Passing(error) | Trouble::Final(error) => error,
        }
    }
}

/// What a server says instead of an answer when it has too many clients.
const CROWDED: &str = "max number of clients";

/// What a server says that runs somebody's script, for longer than it likes.
const BUSY: &str = "BUSY";

/// Whether an error is that of a server which is there, and serves nobody until a script has ended.
pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::NotReady(text) if text.starts_with(BUSY))
}

/// What an error reply means.
pub(crate) fn from_server(error: &ServerError) -> Trouble {
    let text = match error.details() {
        Some(details) => format!("{} {}", error.code(), without_position(details)),
        None => error.code().to_owned(),
    };
    match error.code() {
        "NOSCRIPT" => Trouble::NoScript,
        "LOADING" | BUSY | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" => {
            Trouble::Passing(Error::NotReady(text))
        }
        "ERR" if is_crowded(error) => Trouble::Passing(Error::NotReady(text)),
        "READONLY" => Trouble::Passing(Error::ReadOnly(text)),
        "OOM" => Trouble::Final(Error::OutOfMemory(text)),
        "MISCONF" => Trouble::Final(Error::Faulty(text)),
        "NOAUTH" | "WRONGPASS" => Trouble::Final(Error::Unauthorized(unknown_user(error.code()))),
        "NOPERM" => Trouble::Final(Error::Denied(NOT_ALLOWED.into())),
        "WRONGTYPE" | "FGCORRUPT" => Trouble::Final(Error::Corrupt(text)),
        "FGLOST" | "FGOTHER" => Trouble::Final(Error::LostData(format!(
            "the Redis server lost the data of this namespace: it was flushed, or restarted or \
             failed over without it ({text})"
        ))),
        "FGBACK" => Trouble::Final(lost_commits(&text)),
        "MOVED" | "ASK" | "CROSSSLOT" => Trouble::Final(Error::Misconfigured(format!(
            "Redis Cluster is not supported: a namespace lives on one server ({text})"
        ))),
        _ => Trouble::Final(Error::Denied(text)),
    }
}

/// What it means that a namespace is older than it was.
pub(crate) fn lost_commits(how: &str) -> Error {
    Error::LostData(format!(
        "the Redis server lost acknowledged commits: it restarted from an old state or failed over \
         to a replica that was behind ({how})"
    ))
}

/// What an error reply to our credentials means. The server's own text may repeat what we sent it,
/// so it is not passed on.
pub(crate) fn from_log_in(error: &ServerError) -> Trouble {
    match error.code() {
        "ERR" if !is_crowded(error) => {
            Trouble::Final(Error::Unauthorized(unknown_user(error.code())))
        }
        _ => from_server(error),
    }
}

fn is_crowded(error: &ServerError) -> bool {
    error.details().is_some_and(|details| details.starts_with(CROWDED))
}

fn unknown_user(code: &str) -> String {
    match code {
        "NOAUTH" => "the Redis server wants a password",
        "WRONGPASS" => "the Redis server knows no such user, or not with this password",
        _ => "the Redis server does not take a password, or not in this way",
    }
    .into()
}

const NOT_ALLOWED: &str = "the Redis server does not allow this user what fakegres needs: INFO, \
    MULTI, EVAL, EVALSHA and the commands of hashes and sorted sets on keys that begin with fakegres:";

/// Where in a script an error arose is of no use to the reader.
fn without_position(details: &str) -> &str {
    details.split_once(" script: ").map_or(details, |(text, _)| text)
}

/// What it means that a connection could not be made.
pub(crate) fn from_connecting(error: Error) -> Trouble {
    match error {
        Error::Unavailable(_) => Trouble::Passing(error),
        error => Trouble::Final(error),
    }
}

/// What it means that a connection broke.
pub(crate) fn from_link(error: Error) -> Trouble {
    match error {
        Error::Unavailable(reason) => Trouble::Lost(reason),
        Error::Interrupted => Trouble::Abandoned,
        error => Trouble::Final(error),
    }
}

/// An answer that no script of ours gives.
pub(crate) fn unexpected(what: &str) -> Error {
    Error::Corrupt(format!("the Redis server's answer has no {what}"))
}
