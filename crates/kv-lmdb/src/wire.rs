//! What travels between a backend and the writer.
//!
//! A request is a header of [`HEADER`] bytes and a body: length of the body (8, little-endian),
//! kind (1), durability (1), zeros (6), commit id (16). The body of a commit is
//! [`kv::Batch::encoded`] and is never copied into another frame. A reply is its length (4,
//! little-endian), then a tag and its fields.
//!
//! Replies come in the order of the requests that have one: all but deferred commits and
//! [`Kind::Clear`]. A deferred commit that fails is answered at once, and what the client sends
//! after it is passed over without an answer up to and including the next commit or flush, so that
//! the failure is the answer to that. A client that sees the failure earlier sends `Clear` instead.

use kv::{CommitId, Durability, Error, Outcome, Result, Version};

use crate::limits::LIMITS;

/// Changes whenever anything here changes: backends and writer are of one build or do not talk.
pub(crate) const PROTOCOL: u32 = 1;
/// Length of a request's header, in bytes.
pub(crate) const HEADER: usize = 32;
/// Most bytes of a request that is no commit, and of a reply.
const MAX_SMALL: u64 = 64 << 10;
const GREETING: &[u8; 8] = b"fakegres";

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Who the client is; first on every connection.
    Hello = 1,
    /// Commit a batch.
    Commit = 2,
    /// Commit everything deferred.
    Flush = 3,
    /// The client knows of the failed deferred commit.
    Clear = 4,
    /// Was this commit done?
    Outcome = 5,
    /// Details for a person.
    Status = 6,
}

/// The fixed part of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) durability: Durability,
    pub(crate) id: CommitId,
    pub(crate) length: u64,
}

impl Header {
    /// A request without a batch.
    pub(crate) fn plain(kind: Kind, id: CommitId, length: usize) -> Header {
        Header { kind, durability: Durability::Durable, id, length: length as u64 }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8] = self.kind as u8;
        bytes[9] = match self.durability {
            Durability::Durable => 0,
            Durability::Relaxed => 1,
            Durability::Deferred => 2,
        };
        bytes[16..].copy_from_slice(&self.id.0);
        bytes
    }

    /// None for what no client of this protocol sends.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Option<Header> {
        let kind = match bytes[8] {
            1 => Kind::Hello,
            2 => Kind::Commit,
            3 => Kind::Flush,
            4 => Kind::Clear,
            5 => Kind::Outcome,
            6 => Kind::Status,
            _ => return None,
        };
        let durability = match bytes[9] {
            0 => Durability::Durable,
            1 => Durability::Relaxed,
            2 => Durability::Deferred,
            _ => return None,
        };
        let length = u64::from_le_bytes(*bytes.first_chunk()?);
        let limit = if kind == Kind::Commit { LIMITS.max_batch as u64 } else { MAX_SMALL };
        let id = CommitId(*bytes.last_chunk()?);
        (length <= limit).then_some(Header { kind, durability, id, length })
    }
}

/// The body of [`Kind::Hello`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) identity: Vec<u8>,
    pub(crate) namespace: String,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = GREETING.to_vec();
        bytes.extend_from_slice(&self.protocol.to_le_bytes());
        put(&mut bytes, &self.identity);
        put(&mut bytes, self.namespace.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Hello> {
        let mut rest = Fields(bytes.strip_prefix(GREETING)?);
        let protocol = u32::from_le_bytes(rest.array()?);
        let identity = rest.bytes()?.to_vec();
        let namespace = rest.text()?;
        Some(Hello { protocol, identity, namespace })
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// Committed, flushed or welcome.
    Done(Version),
    /// The answer to [`Kind::Outcome`].
    Outcome(Outcome),
    /// The answer to [`Kind::Status`].
    Details(Vec<(String, String)>),
    /// The request failed.
    Failed(Error),
    /// A deferred commit failed.
    DeferredFailed(Error),
}

impl Reply {
    /// With the length in front.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        match self {
            Reply::Done(version) => put_number(&mut bytes, 1, version.0),
            Reply::Outcome(Outcome::Committed(version)) => put_number(&mut bytes, 2, version.0),
            Reply::Outcome(Outcome::NotCommitted) => put_number(&mut bytes, 3, 0),
            Reply::Details(details) => {
                bytes.push(4);
                details.iter().for_each(|(name, value)| {
                    put(&mut bytes, name.as_bytes());
                    put(&mut bytes, value.as_bytes());
                });
            }
            Reply::Failed(error) => put_error(&mut bytes, 5, error),
            Reply::DeferredFailed(error) => put_error(&mut bytes, 6, error),
        }
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Without the length.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Reply> {
        let (tag, rest) = bytes.split_first()?;
        let mut rest = Fields(rest);
        Some(match tag {
            1 => Reply::Done(Version(rest.number()?)),
            2 => Reply::Outcome(Outcome::Committed(Version(rest.number()?))),
            3 => Reply::Outcome(Outcome::NotCommitted),
            4 => {
                let mut details = Vec::new();
                while !rest.0.is_empty() {
                    details.push((rest.text()?, rest.text()?));
                }
                Reply::Details(details)
            }
            5 => Reply::Failed(rest.error()?),
            6 => Reply::DeferredFailed(rest.error()?),
            _ => return None,
        })
    }

    /// The length of a reply, out of the bytes in front of it.
    pub(crate) fn length(bytes: [u8; 4]) -> Result<usize> {
        let length = u32::from_le_bytes(bytes);
        let sane = u64::from(length) <= MAX_SMALL;
        sane.then_some(length as usize)
            .ok_or_else(|| Error::Corrupt("the writer's answer cannot be decoded".into()))
    }
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&(field.len() as u32).to_le_bytes());
    bytes.extend_from_slice(field);
}

fn put_number(bytes: &mut Vec<u8>, tag: u8, number: u64) {
    bytes.push(tag);
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_error(bytes: &mut Vec<u8>, tag: u8, error: &Error) {
    bytes.push(tag);
    let (code, text): (u8, &[u8]) = match error {
        Error::Conflict { key } => (1, key),
        Error::Unavailable(text) => (2, text.as_bytes()),
        Error::TooLarge { what, .. } => (3, what.as_bytes()),
        Error::Full(text) => (4, text.as_bytes()),
        Error::Denied(text) => (5, text.as_bytes()),
        Error::WrongStore(text) => (6, text.as_bytes()),
        Error::Misconfigured(text) => (7, text.as_bytes()),
        Error::Corrupt(text) => (8, text.as_bytes()),
        Error::TooOld => (9, &[]),
        // Conditions of stores that are servers; the writer is in none of them.
        Error::Missing(text)
        | Error::NotReady(text)
        | Error::ReadOnly(text)
        | Error::OutOfMemory(text)
        | Error::Faulty(text)
        | Error::Internal(text)
        | Error::Unauthorized(text)
        | Error::NotDurable(text)
        | Error::LostData(text) => (2, text.as_bytes()),
        // The writer waits for nobody and knows every outcome.
        Error::OutcomeUnknown { .. } | Error::Interrupted => (2, b"the writer is stopping"),
    };
    bytes.push(code);
    put(bytes, &text[..text.len().min(MAX_SMALL as usize / 2)]);
    if let Error::TooLarge { size, limit, .. } = error {
        bytes.extend_from_slice(&(*size as u64).to_le_bytes());
        bytes.extend_from_slice(&(*limit as u64).to_le_bytes());
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        let (field, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn error(&mut self) -> Option<Error> {
        let [code] = self.array()?;
        let field = self.bytes()?;
        let text = || String::from_utf8_lossy(field).into_owned();
        Some(match code {
            1 => Error::Conflict { key: field.to_vec() },
            2 => Error::Unavailable(text()),
            3 => Error::TooLarge {
                what: ["key", "value"]
                    .into_iter()
                    .find(|w| w.as_bytes() == field)
                    .unwrap_or("transaction"),
                size: self.number()? as usize,
                limit: self.number()? as usize,
            },
            4 => Error::Full(text()),
            5 => Error::Denied(text()),
            6 => Error::WrongStore(text()),
            7 => Error::Misconfigured(text()),
            8 => Error::Corrupt(text()),
            9 => Error::TooOld,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_hellos_come_back() {
        for durability in [Durability::Durable, Durability::Relaxed, Durability::Deferred] {
            let header =
                Header { kind: Kind::Commit, durability, id: CommitId([9; 16]), length: 1 << 31 };
            assert_eq!(Header::decode(&header.encode()), Some(header));
        }
        let hello = Hello { protocol: 1, identity: b"\xff\0".to_vec(), namespace: "main".into() };
        assert_eq!(Hello::decode(&hello.encode()), Some(hello));
    }

    #[test]
    fn oversized_and_unknown_headers_are_refused() {
        let small = Header::plain(Kind::Flush, CommitId::default(), 1 << 20);
        assert_eq!(Header::decode(&small.encode()), None);
        let huge = Header { kind: Kind::Commit, length: (2 << 30) + 1, ..small };
        assert_eq!(Header::decode(&huge.encode()), None);
        assert_eq!(Header::decode(&[0xff; HEADER]), None);
    }

    #[test]
    fn replies_come_back() {
        let errors = [
            Error::Conflict { key: vec![0, 1] },
            Error::Unavailable("u".into()),
            Error::TooLarge { what: "value", size: 7, limit: 3 },
            Error::Full("f".into()),
            Error::Denied("d".into()),
            Error::WrongStore("w".into()),
            Error::Misconfigured("m".into()),
            Error::Corrupt("c".into()),
            Error::TooOld,
        ];
        let mut replies: Vec<Reply> = errors.into_iter().map(Reply::Failed).collect();
        replies.push(Reply::Done(Version(7)));
        replies.push(Reply::Outcome(Outcome::Committed(Version(8))));
        replies.push(Reply::Outcome(Outcome::NotCommitted));
        replies.push(Reply::Details(vec![("a".into(), "b".into())]));
        replies.push(Reply::DeferredFailed(Error::TooOld));
        for reply in replies {
            let bytes = reply.encode();
            assert_eq!(Reply::length(*bytes.first_chunk().unwrap()), Ok(bytes.len() - 4));
            assert_eq!(Reply::decode(&bytes[4..]), Some(reply));
        }
    }

    #[test]
    fn truncated_replies_are_no_replies() {
        let bytes = Reply::Failed(Error::TooLarge { what: "key", size: 1, limit: 2 }).encode();
        for end in 4..bytes.len() {
            assert_eq!(Reply::decode(&bytes[4..end]), None);
        }
    }
}
