//! The map: of each key the versions of the last five seconds.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use super::conflicts::Writes;
use crate::wire::Reader;

pub(crate) const TOO_OLD: i32 = 1007;
pub(crate) const FUTURE: i32 = 1009;
pub(crate) const NOT_COMMITTED: i32 = 1020;
const INVALID: i32 = 2000;

/// How long a version can be read, in versions.
const KEPT: u64 = 5_000_000;

/// Most bytes of one reply.
const REPLY: usize = 80_000;

/// A shard ends behind one key in so many.
const SHARD: u32 = 256;

const METADATA_VERSION: &[u8] = b"\xff/metadataVersion";

type Value = Option<Arc<Vec<u8>>>;

/// Keys and values in the order in which they were asked for.
type Entries = Vec<(Vec<u8>, Arc<Vec<u8>>)>;

/// A change, in the numbers of `fdb_c_options.g.h`; 0 sets and 1 clears a range.
pub(crate) struct Mutation {
    pub(crate) kind: u8,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

pub(crate) const SET: u8 = 0;
pub(crate) const CLEAR_RANGE: u8 = 1;
pub(crate) const ADD: u8 = 2;
pub(crate) const STAMPED_VALUE: u8 = 15;
pub(crate) const BYTE_MAX: u8 = 17;

/// A transaction that wants to commit.
pub(crate) struct Wish {
    /// Zero if it read nothing.
    pub(crate) read_version: u64,
    pub(crate) reads: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) writes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) mutations: Vec<Mutation>,
}

impl Wish {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Wish {
        let (read_version, reads, writes) = (reader.number(), reader.ranges(), reader.ranges());
        let mutations = (0..reader.number()).map(|_| Mutation {
            kind: reader.byte(),
            key: reader.bytes(),
            value: reader.bytes(),
        });
        Wish { read_version, reads, writes, mutations: mutations.collect() }
    }
}

#[derive(Default)]
pub(crate) struct Data {
    keys: BTreeMap<Vec<u8>, Vec<(u64, Value)>>,
    writes: Writes,
    /// Keys that were written, in the order of versions, for whose old values nobody may ask soon.
    written: VecDeque<(u64, Vec<u8>)>,
    /// The newest version that can be read.
    pub(crate) version: u64,
    /// When it was made, by the clock.
    made: u64,
}

/// What of a range is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Want {
    pub(crate) rows: usize,
    /// What one reply may hold, or none for as many replies as it takes.
    pub(crate) bytes: Option<usize>,
    pub(crate) reverse: bool,
}

impl Data {
    /// A cluster whose versions begin now.
    pub(crate) fn begin(clock: u64) -> Data {
        Data { version: 1, made: clock, ..Data::default() }
    }

    /// The next version, as many later as microseconds have passed, but no more than are kept. Only
    /// commits make versions.
    pub(crate) fn advance(&mut self, clock: u64) -> u64 {
        self.version += clock.saturating_sub(self.made).clamp(1, KEPT);
        self.made = clock;
        self.version
    }

    /// What a recovery of the cluster does to versions.
    pub(crate) fn jump(&mut self, versions: u64) {
        self.version += versions;
    }

    pub(crate) fn metadata_version(&self) -> Value {
        self.value(METADATA_VERSION, self.version)
    }

    fn value(&self, key: &[u8], version: u64) -> Value {
        newest(self.keys.get(key)?, version)
    }

    fn check(&self, version: u64) -> Result<(), i32> {
        match version {
            _ if version > self.version => Err(FUTURE),
            _ if version + KEPT < self.version => Err(TOO_OLD),
            _ => Ok(()),
        }
    }

    pub(crate) fn get(&self, key: &[u8], version: u64) -> Result<Value, i32> {
        self.check(version)?;
        Ok(self.value(key, version))
    }

    /// Entries of a range until one reaches a limit, and whether there may be more.
    pub(crate) fn range(
        &self,
        start: &[u8],
        end: &[u8],
        version: u64,
        want: Want,
    ) -> Result<(Entries, bool), i32> {
        self.check(version)?;
        let range = self.keys.range::<[u8], _>((Included(start), Excluded(end.max(start))));
        let live =
            |(key, versions): (&Vec<u8>, &Vec<_>)| Some((key.clone(), newest(versions, version)?));
        Ok(match want.reverse {
            false => take(range.filter_map(live), want),
            true => take(range.rev().filter_map(live), want),
        })
    }

    /// Whether a transaction may commit now.
    pub(crate) fn admits(&self, wish: &Wish) -> Result<(), i32> {
        if wish.read_version > 0 {
            self.check(wish.read_version)?;
        }
        let conflict =
            |(start, end): &(Vec<u8>, Vec<u8>)| self.writes.newest(start, end) > wish.read_version;
        if wish.reads.iter().any(conflict) { Err(NOT_COMMITTED) } else { Ok(()) }
    }

    /// Applies a transaction that was admitted, as number `order` of those that share a version.
    pub(crate) fn apply(&mut self, wish: &Wish, version: u64, order: u16) -> Result<(), i32> {
        for (start, end) in &wish.writes {
            self.writes.note(start, end, version);
        }
        for mutation in &wish.mutations {
            self.mutate(mutation, version, order)?;
        }
        self.collect(version);
        Ok(())
    }

    fn mutate(&mut self, mutation: &Mutation, version: u64, order: u16) -> Result<(), i32> {
        let Mutation { kind, key, value } = mutation;
        let value = match *kind {
            SET => value.clone(),
            CLEAR_RANGE => {
                let bounds = (Included(key.as_slice()), Excluded(value.max(key).as_slice()));
                let range = self.keys.range::<[u8], _>(bounds);
                let keys: Vec<Vec<u8>> = range.map(|(key, _)| key.clone()).collect();
                keys.into_iter().for_each(|key| self.put(key, version, None));
                return Ok(());
            }
            ADD => add(self.value(key, u64::MAX), value),
            BYTE_MAX => match self.value(key, u64::MAX) {
                Some(old) if *old > *value => return Ok(()),
                _ => value.clone(),
            },
            STAMPED_VALUE => stamp(value, version, order).ok_or(INVALID)?,
            _ => return Err(INVALID),
        };
        self.put(key.clone(), version, Some(Arc::new(value)));
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, version: u64, value: Value) {
        let versions = self.keys.entry(key.clone()).or_default();
        match versions.last_mut() {
            Some((last, held)) if *last == version => *held = value,
            Some((_, None)) if value.is_none() => return,
            _ => versions.push((version, value)),
        }
        self.written.push_back((version, key));
    }

    fn collect(&mut self, version: u64) {
        let horizon = version.saturating_sub(KEPT);
        while self.written.front().is_some_and(|(written, _)| *written < horizon) {
            let Some((_, key)) = self.written.pop_front() else { return };
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            let kept = versions.iter().rposition(|(version, _)| *version <= horizon).unwrap_or(0);
            versions.drain(..kept);
            if matches!(versions.as_slice(), [(version, None)] if *version <= horizon) {
                self.keys.remove(&key);
            }
        }
        self.writes.forget(horizon);
    }
}

fn newest(versions: &[(u64, Value)], version: u64) -> Value {
    versions.iter().rev().find(|(written, _)| *written <= version)?.1.clone()
}

/// The byte limit is soft and counts what an entry costs a server. Where it is for one reply, that
/// also ends with a shard.
fn take(entries: impl Iterator<Item = (Vec<u8>, Arc<Vec<u8>>)>, want: Want) -> (Entries, bool) {
    let most = want.bytes.map_or(usize::MAX, |bytes| bytes.min(REPLY));
    let (mut taken, mut bytes) = (Entries::new(), 0);
    for (key, value) in entries {
        if want.reverse && want.bytes.is_some() && !taken.is_empty() && ends_shard(&key) {
            return (taken, true);
        }
        let ends = !want.reverse && want.bytes.is_some() && ends_shard(&key);
        bytes += key.len() + value.len() + 24;
        taken.push((key, value));
        // FoundationDB says that there is more when a limit or a shard ended the reply, without
        // having looked.
        if taken.len() >= want.rows || bytes >= most || ends {
            return (taken, true);
        }
    }
    (taken, false)
}

/// Whether a shard ends behind this key. It is as good as chance, and always the same.
fn ends_shard(key: &[u8]) -> bool {
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    (key.iter().fold(0x811c_9dc5, mix) >> 8).is_multiple_of(SHARD)
}

fn add(old: Value, addend: &[u8]) -> Vec<u8> {
    let Some(old) = old else { return addend.to_vec() };
    let mut carry = 0;
    let mut sum = Vec::with_capacity(addend.len());
    for (i, byte) in addend.iter().enumerate() {
        let digit = u16::from(*byte) + u16::from(old.get(i).copied().unwrap_or(0)) + carry;
        sum.push(digit as u8);
        carry = digit >> 8;
    }
    sum
}

fn stamp(parameter: &[u8], version: u64, order: u16) -> Option<Vec<u8>> {
    let (value, at) = parameter.split_last_chunk::<4>()?;
    let at = u32::from_le_bytes(*at) as usize;
    let mut value = value.to_vec();
    let place = value.get_mut(at..at.checked_add(10)?)?;
    place[..8].copy_from_slice(&version.to_be_bytes());
    place[8..].copy_from_slice(&order.to_be_bytes());
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &[u8], value: &[u8]) -> Wish {
        let mutation = Mutation { kind: SET, key: key.to_vec(), value: value.to_vec() };
        wish(0, &[], key, mutation)
    }

    fn wish(read_version: u64, read: &[u8], key: &[u8], mutation: Mutation) -> Wish {
        let range = |key: &[u8]| (key.to_vec(), [key, &[0]].concat());
        let reads = if read.is_empty() { vec![] } else { vec![range(read)] };
        Wish { read_version, reads, writes: vec![range(key)], mutations: vec![mutation] }
    }

    fn commit(data: &mut Data, wish: &Wish) -> Result<u64, i32> {
        data.admits(wish)?;
        let version = data.advance(0);
        data.apply(wish, version, 0)?;
        Ok(version)
    }

    #[test]
    fn a_version_shows_what_was_committed_by_then() {
        let mut data = Data::default();
        let one = commit(&mut data, &set(b"a", b"1")).expect("it commits");
        let two = commit(&mut data, &set(b"a", b"2")).expect("it commits");
        let get = |version| data.get(b"a", version).map(|value| value.map(|value| value.to_vec()));
        assert_eq!(get(one - 1), Ok(None));
        assert_eq!(get(one), Ok(Some(b"1".to_vec())));
        assert_eq!(get(two), Ok(Some(b"2".to_vec())));
        assert_eq!(get(two + 1), Err(FUTURE));
        data.advance(KEPT + two);
        assert_eq!(data.get(b"a", one), Err(TOO_OLD));
    }

    #[test]
    fn what_was_read_must_not_have_been_written() {
        let mut data = Data::default();
        let one = commit(&mut data, &set(b"a", b"1")).expect("it commits");
        commit(&mut data, &set(b"a", b"2")).expect("it commits");
        let mutation = || Mutation { kind: SET, key: b"b".to_vec(), value: Vec::new() };
        assert_eq!(commit(&mut data, &wish(one, b"a", b"b", mutation())), Err(NOT_COMMITTED));
        assert!(commit(&mut data, &wish(one, b"c", b"b", mutation())).is_ok());
    }

    #[test]
    fn mutations_do_what_the_manual_says() {
        let mut data = Data::default();
        let mut apply = |kind, value: &[u8]| {
            let mutation = Mutation { kind, key: b"k".to_vec(), value: value.to_vec() };
            commit(&mut data, &wish(0, b"", b"k", mutation)).map(|version| {
                (version, data.get(b"k", version).expect("it is young").map(|v| v.to_vec()))
            })
        };
        assert_eq!(apply(ADD, &[255, 1]).expect("it commits").1, Some(vec![255, 1]));
        assert_eq!(apply(ADD, &[1, 255]).expect("it commits").1, Some(vec![0, 1]));
        assert_eq!(apply(BYTE_MAX, &[0]).expect("it commits").1, Some(vec![0, 1]));
        assert_eq!(apply(BYTE_MAX, &[9]).expect("it commits").1, Some(vec![9]));
        let (version, value) = apply(STAMPED_VALUE, b"x..........y\x01\0\0\0").expect("it commits");
        let stamp = [b"x", version.to_be_bytes().as_slice(), &[0, 0], b"y"].concat();
        assert_eq!(value, Some(stamp));
        assert_eq!(apply(STAMPED_VALUE, b"short\x01\0\0\0"), Err(INVALID));
        assert_eq!(apply(CLEAR_RANGE, b"l").expect("it commits").1, None);
    }

    #[test]
    fn versions_follow_the_clock_of_commits() {
        let mut data = Data::begin(1_000);
        assert_eq!(data.advance(1_000), 2);
        assert_eq!(data.advance(1_500), 502);
        assert_eq!(data.advance(1_000_000_000), 502 + KEPT, "a long pause makes a short one");
        data.jump(7);
        assert_eq!(data.version, 509 + KEPT);
    }

    #[test]
    fn a_reply_ends_with_its_shard_and_its_size() {
        let mut data = Data::default();
        for i in 0..2_000u32 {
            commit(&mut data, &set(&i.to_be_bytes(), &[0; 100])).expect("it commits");
        }
        let end = 2_000u32.to_be_bytes();
        let read = |rows, bytes, reverse| {
            data.range(b"", &end, 2_000, Want { rows, bytes, reverse }).expect("it is young")
        };
        assert_eq!(read(10_000, None, false).0.len(), 2_000, "the library goes on by itself");
        let shards: Vec<u32> = (0..2_000).filter(|i: &u32| ends_shard(&i.to_be_bytes())).collect();
        let (first, more) = read(10_000, Some(1 << 20), false);
        assert!(more && first.len() < 700 && (1..700).contains(&shards[0]));
        assert_eq!(first.len() as u32, shards[0] + 1);
        let last = shards.last().expect("there are some");
        assert_eq!(read(10_000, Some(1 << 20), true).0.len() as u32, 1_999 - last);
        assert_eq!(read(5, Some(1 << 20), false).0.len(), 5);
    }

    #[test]
    fn old_versions_go() {
        let mut data = Data::default();
        commit(&mut data, &set(b"a", b"1")).expect("it commits");
        let mutation = Mutation { kind: CLEAR_RANGE, key: b"a".to_vec(), value: b"b".to_vec() };
        commit(&mut data, &wish(0, b"", b"a", mutation)).expect("it commits");
        data.advance(3 * KEPT);
        commit(&mut data, &set(b"z", b"")).expect("it commits");
        assert_eq!(data.keys.len(), 1);
        assert_eq!(data.written.len(), 1);
    }
}
