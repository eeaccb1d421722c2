//! What scripts answer.

use kv::{Error, ReadStamp, Result, Version};
use redis::Value;

use crate::failure::{Trouble, from_server, unexpected};

/// The reply of a script: version, floor, and what the operation has to say.
#[derive(Debug)]
pub(crate) struct Reply(Vec<Value>);

/// Where what the operation has to say begins.
const STAMPS: usize = 2;

impl Reply {
    pub(crate) fn of(value: Value) -> std::result::Result<Reply, Trouble> {
        match value {
            Value::Array(values) => Ok(Reply(values)),
            Value::ServerError(error) => Err(from_server(&error)),
            _ => Err(Trouble::Final(unexpected("list"))),
        }
    }

    /// The reply of `confirm.lua` and the pages that were read with it, as one of `scan.lua`. None if
    /// the pages are not the ones that were expected, or are not all there, or the server does not
    /// take the transaction: to ask in the usual way gives the answer or the reason.
    pub(crate) fn of_transaction(value: Value) -> std::result::Result<Option<Reply>, Trouble> {
        let Value::Array(both) = value else { return Ok(None) };
        let Ok([confirmed, Value::Array(pages)]) = <[Value; 2]>::try_from(both) else {
            return Ok(None);
        };
        let Reply(mut values) = Reply::of(confirmed)?;
        let changed = values.get(STAMPS).and_then(bytes) == Some(b"2");
        if changed || pages.iter().any(|page| bytes(page).is_none()) {
            return Ok(None);
        }
        values.extend(pages);
        Ok(Some(Reply(values)))
    }

    /// What a list behind the stamp says.
    pub(crate) fn list(&self, n: usize) -> Option<&Value> {
        self.0.get(STAMPS + n)
    }

    /// What it shows.
    pub(crate) fn stamp(&self) -> Result<ReadStamp> {
        let at = |i: usize| self.0.get(i).and_then(bytes).and_then(version);
        match (at(0), at(1)) {
            (Some(version), Some(floor)) => Ok(ReadStamp { version, floor }),
            _ => Err(unexpected("version")),
        }
    }

    /// The texts behind the stamp; none for what is not there.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.0.iter().skip(STAMPS).map(bytes)
    }

    /// The `n`th text behind the stamp.
    pub(crate) fn text(&self, n: usize) -> Result<&[u8]> {
        self.0.get(STAMPS + n).and_then(bytes).ok_or_else(|| unexpected("such field"))
    }

    /// What became of a batch whose checks are known by these keys.
    pub(crate) fn verdict<'a>(&self, reads: impl Iterator<Item = &'a [u8]>) -> Result<Verdict> {
        match self.text(0)? {
            b"done" => {
                let version = version(self.text(1)?).ok_or_else(|| unexpected("version"))?;
                Ok(Verdict::Done(version))
            }
            b"fenced" => Err(Error::Conflict { key: Vec::new() }),
            b"broken" => Ok(Verdict::Broken),
            b"conflict" => Err(self.conflict(reads)?),
            _ => Err(unexpected("verdict")),
        }
    }

    fn conflict<'a>(&self, mut reads: impl Iterator<Item = &'a [u8]>) -> Result<Error> {
        let Some(Value::Int(n)) = self.0.get(STAMPS + 1) else {
            return Err(unexpected("number of the check"));
        };
        let key = usize::try_from(*n - 1).ok().and_then(|n| reads.nth(n));
        Ok(Error::Conflict { key: key.ok_or_else(|| unexpected("check of ours"))?.to_vec() })
    }
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is committed.
    Done(Version),
    /// It was not applied, because a deferred batch before it was not.
    Broken,
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// A version as scripts write it.
pub(crate) fn version(bytes: &[u8]) -> Option<Version> {
    Some(Version(u64::from_be_bytes(bytes.try_into().ok()?)))
}
