//! What a commit checks and does, encoded once, in the form in which it travels.

use std::fmt;

use crate::{Environment, Error, Limits, Result, STAMP, Version};

/// The random name of a commit, by which its outcome can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CommitId(pub [u8; 16]);

impl CommitId {
    /// A fresh id. 128 random bits never meet again.
    pub fn random(env: &dyn Environment) -> CommitId {
        let bits = u128::from(env.random()) << 64 | u128::from(env.random());
        CommitId(bits.to_be_bytes())
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an acknowledged batch must survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Everything that the store can survive. The default.
    #[default]
    Durable,
    /// Visible when acknowledged; a crash of the machine may lose it, whole, together with
    /// everything after it and nothing before it.
    Relaxed,
    /// May be acknowledged before it is applied: rows that nobody can see yet. See
    /// [`crate::Store::commit`]. A later durable batch makes it durable too.
    Deferred,
}

/// One step of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// Fail with `Conflict` if `key` holds a stamped value newer than `newest`.
    Check {
        /// The key.
        key: &'a [u8],
        /// The newest version that passes.
        newest: Version,
    },
    /// Fail with `Conflict` if any key in `start..end` holds a stamped value newer than `newest`.
    CheckRange {
        /// First key.
        start: &'a [u8],
        /// First key after the range.
        end: &'a [u8],
        /// The newest version that passes.
        newest: Version,
    },
    /// Write a value as it is.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Write a value whose first [`STAMP`] bytes the store replaces by the commit's version.
    PutStamped {
        /// The key.
        key: &'a [u8],
        /// The value, beginning with [`STAMP`] bytes of no meaning.
        value: &'a [u8],
    },
    /// Remove a key, if it is there.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Remove every key in `start..end`.
    Clear {
        /// First key.
        start: &'a [u8],
        /// First key after the range.
        end: &'a [u8],
    },
    /// Add to a counter: eight bytes, little-endian, wrapping; absent means zero.
    Add {
        /// The key.
        key: &'a [u8],
        /// What to add.
        delta: i64,
    },
    /// Copy what `key` holds before this batch, without its stamp, to `to`. Nothing if it is absent.
    Archive {
        /// The key whose value is about to be replaced.
        key: &'a [u8],
        /// Where its old value goes.
        to: &'a [u8],
        /// The old value without its stamp, if the caller has it; engines whose
        /// [`crate::Limits::archives`] is false need it.
        value: Option<&'a [u8]>,
    },
    /// Raise the floor to this version, if it is lower.
    RaiseFloor {
        /// The new floor.
        floor: Version,
    },
}

impl<'a> Op<'a> {
    /// The key and value that it writes as far as the batch says; empty where it says nothing.
    fn written(&self) -> (&'a [u8], &'a [u8]) {
        match *self {
            Op::Put { key, value } | Op::PutStamped { key, value } => (key, value),
            Op::Archive { to, value, .. } => (to, value.unwrap_or_default()),
            Op::Add { key, .. } => (key, &[]),
            _ => (&[], &[]),
        }
    }
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// Length of a field's length, in bytes.
const LENGTH: usize = size_of::<u32>();

const CHECK: u8 = 1;
const CHECK_RANGE: u8 = 2;
const PUT: u8 = 3;
const PUT_STAMPED: u8 = 4;
const DELETE: u8 = 5;
const CLEAR: u8 = 6;
const ADD: u8 = 7;
const ARCHIVE: u8 = 8;
const ARCHIVE_KNOWN: u8 = 9;
const RAISE_FLOOR: u8 = 10;

/// Checks and operations that are committed together. Build it with the methods named after the
/// variants of [`Op`]; engines read it with [`Batch::ops`]. Checks are made before anything is
/// applied, wherever they stand in the batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// By which [`crate::Store::outcome`] knows it. Must be fresh for every batch.
    pub id: CommitId,
    /// What it must survive.
    pub durability: Durability,
    /// A version that a reply of this store showed before the batch got its id, and such that every
    /// check was seen to pass there or in a later reply; zero if the caller knows none. An engine may
    /// then look only for what was written since, instead of looking at everything that is checked.
    pub observed: Version,
    bytes: Vec<u8>,
    count: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new(id: CommitId, durability: Durability) -> Batch {
        Batch { id, durability, observed: Version::ZERO, bytes: Vec::new(), count: 0 }
    }

    /// Forgets the operations and takes a new id, keeping the memory.
    pub fn reset(&mut self, id: CommitId) {
        self.id = id;
        self.observed = Version::ZERO;
        self.bytes.clear();
        self.count = 0;
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many operations and checks it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How large it is, in bytes, as [`crate::Limits::max_batch`] counts.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// `TooLarge` if the batch, or a key or value that it writes, is larger than these limits
    /// allow. What it merely reads or removes may be longer: there is no such key.
    pub fn obey(&self, limits: &Limits) -> Result<()> {
        within("transaction", self.size(), limits.max_batch)?;
        self.ops().try_for_each(|op| {
            let (key, value) = op.written();
            within("key", key.len(), limits.max_key)?;
            within("value", value.len(), limits.max_value)
        })
    }

    /// Adds [`Op::Check`].
    pub fn check(&mut self, key: &[u8], newest: Version) {
        self.add_op(CHECK, &[key, &newest.0.to_be_bytes()]);
    }

    /// Adds [`Op::CheckRange`].
    pub fn check_range(&mut self, start: &[u8], end: &[u8], newest: Version) {
        self.add_op(CHECK_RANGE, &[start, end, &newest.0.to_be_bytes()]);
    }

    /// Adds [`Op::Put`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.add_op(PUT, &[key, value]);
    }

    /// Adds [`Op::PutStamped`]: the value is `parts` behind [`STAMP`] bytes for the version.
    pub fn put_stamped(&mut self, key: &[u8], parts: &[&[u8]]) {
        self.put_parts(PUT_STAMPED, key, Version::ZERO, parts);
    }

    /// Adds [`Op::Put`] of a value that begins with a given version instead of the commit's.
    pub fn put_versioned(&mut self, key: &[u8], version: Version, parts: &[&[u8]]) {
        self.put_parts(PUT, key, version, parts);
    }

    /// Adds [`Op::Delete`].
    pub fn delete(&mut self, key: &[u8]) {
        self.add_op(DELETE, &[key]);
    }

    /// Adds [`Op::Clear`].
    pub fn clear(&mut self, start: &[u8], end: &[u8]) {
        self.add_op(CLEAR, &[start, end]);
    }

    /// Adds [`Op::Add`].
    pub fn add(&mut self, key: &[u8], delta: i64) {
        self.add_op(ADD, &[key, &delta.to_le_bytes()]);
    }

    /// Adds [`Op::Archive`].
    pub fn archive(&mut self, key: &[u8], to: &[u8], value: Option<&[u8]>) {
        match value {
            None => self.add_op(ARCHIVE, &[key, to]),
            Some(value) => self.add_op(ARCHIVE_KNOWN, &[key, to, value]),
        }
    }

    /// Adds [`Op::RaiseFloor`].
    pub fn raise_floor(&mut self, floor: Version) {
        self.add_op(RAISE_FLOOR, &[&floor.0.to_be_bytes()]);
    }

    /// The operations in order. They were encoded by this type or passed [`Batch::decode`].
    pub fn ops(&self) -> Ops<'_> {
        Ops { rest: &self.bytes }
    }

    /// The operations as bytes, for [`Batch::decode`] in another process.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// A batch out of what [`Batch::encoded`] gave. Anything else is `Corrupt`.
    pub fn decode(id: CommitId, durability: Durability, bytes: Vec<u8>) -> Result<Batch> {
        let mut ops = Ops { rest: &bytes };
        let count = ops.by_ref().count();
        if !ops.rest.is_empty() {
            return Err(Error::Corrupt("a batch cannot be decoded".into()));
        }
        Ok(Batch { id, durability, observed: Version::ZERO, bytes, count })
    }

    fn add_op(&mut self, tag: u8, fields: &[&[u8]]) {
        self.bytes.reserve(1 + fields.iter().map(|field| LENGTH + field.len()).sum::<usize>());
        self.bytes.push(tag);
        for field in fields {
            self.push_length(field.len());
            self.bytes.extend_from_slice(field);
        }
        self.count += 1;
    }

    fn put_parts(&mut self, tag: u8, key: &[u8], version: Version, parts: &[&[u8]]) {
        self.add_op(tag, &[key]);
        let length = STAMP + parts.iter().map(|part| part.len()).sum::<usize>();
        self.bytes.reserve(LENGTH + length);
        self.push_length(length);
        self.bytes.extend_from_slice(&version.0.to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
    }

    fn push_length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("callers obey Limits::max_value");
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }
}

/// Iterator over the operations of a batch. Ends early at bytes that are no operation.
#[derive(Debug)]
pub struct Ops<'a> {
    rest: &'a [u8],
}

impl<'a> Ops<'a> {
    fn decode(&mut self) -> Option<Op<'a>> {
        let before = self.rest;
        let op = self.decode_op();
        if op.is_none() {
            self.rest = before;
        }
        op
    }

    fn decode_op(&mut self) -> Option<Op<'a>> {
        let (tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match *tag {
            CHECK => Op::Check { key: self.field()?, newest: self.version()? },
            CHECK_RANGE => {
                Op::CheckRange { start: self.field()?, end: self.field()?, newest: self.version()? }
            }
            PUT => Op::Put { key: self.field()?, value: self.field()? },
            PUT_STAMPED => Op::PutStamped { key: self.field()?, value: self.stampable()? },
            DELETE => Op::Delete { key: self.field()? },
            CLEAR => Op::Clear { start: self.field()?, end: self.field()? },
            ADD => Op::Add {
                key: self.field()?,
                delta: i64::from_le_bytes(self.field()?.try_into().ok()?),
            },
            ARCHIVE => Op::Archive { key: self.field()?, to: self.field()?, value: None },
            ARCHIVE_KNOWN => {
                Op::Archive { key: self.field()?, to: self.field()?, value: Some(self.field()?) }
            }
            RAISE_FLOOR => Op::RaiseFloor { floor: self.version()? },
            _ => return None,
        })
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH>()?;
        let (field, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(field)
    }

    /// A value with room for the stamp, on which engines rely.
    fn stampable(&mut self) -> Option<&'a [u8]> {
        self.field().filter(|value| value.len() >= STAMP)
    }

    fn version(&mut self) -> Option<Version> {
        Some(Version(u64::from_be_bytes(self.field()?.try_into().ok()?)))
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        self.decode()
    }
}
