//! What a transaction collects, and what it asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::future::{Answer, Entries, Future};
use super::link::Link;
use crate::server::{BYTE_MAX, CLEAR_RANGE, SET, STAMPED_VALUE};
use crate::wire::{COMMIT, GET, GRV, RANGE, Reader, Writer};

const TOO_OLD: i32 = 1007;
const INVALID_OPERATION: i32 = 2000;
const OUTSIDE_LEGAL_RANGE: i32 = 2004;
const NOT_COMMITTED_YET: i32 = 2021;
const CANCELLED: i32 = 1025;
const TRANSACTION_TOO_LARGE: i32 = 2101;
const KEY_TOO_LARGE: i32 = 2102;
const VALUE_TOO_LARGE: i32 = 2103;

/// FoundationDB's limits, in bytes.
const MAX_KEY: usize = 10_000;
const MAX_VALUE: usize = 100_000;
const MAX_TRANSACTION: usize = 10_000_000;

pub(super) const METADATA_VERSION: &[u8] = b"\xff/metadataVersion";
const STATUS: &[u8] = b"\xff\xff/status/json";
const STATUS_JSON: &[u8] = br#"{"client":{"database_status":{"available":true}},"cluster":{"processes":{"standin":{"version":"stand-in"}},"configuration":{"redundancy_mode":"none (a stand-in in memory)","storage_engine":"stand-in"},"data":{"total_kv_size_bytes":0}}}"#;

type Bytes = Vec<u8>;

/// What a mutation and a range count beside their bytes, in bytes.
const MUTATION: usize = 44;
const RANGE_SIZE: usize = 24;

/// A database: what all of its transactions share.
pub(super) struct Database {
    link: Arc<Link>,
    /// The lowest read version that the cluster gave it; the highest number before it gave any.
    lowest: Arc<AtomicU64>,
    understood: bool,
}

impl Database {
    /// Of a cluster file; 2104 (`connection_string_invalid`) if it is not the stand-in's. One that
    /// begins with `foreign:` is of a cluster that speaks another protocol: it never answers.
    pub(super) fn open(path: &str) -> Result<Database, i32> {
        let text = std::fs::read_to_string(path).map_err(|_| 1515)?;
        let (name, socket) = text.trim().split_once("@unix:").ok_or(2104)?;
        let understood = !name.starts_with("foreign:");
        let socket = if understood { PathBuf::from(socket) } else { PathBuf::from("/nowhere") };
        let lowest = Arc::new(AtomicU64::new(u64::MAX));
        Ok(Database { link: Link::open(socket), lowest, understood })
    }

    pub(super) fn transaction(&self) -> Transaction {
        let (link, lowest) = (Arc::clone(&self.link), Arc::clone(&self.lowest));
        Transaction { link, lowest, state: Arc::default() }
    }

    /// What the library knows of its connections, in JSON.
    pub(super) fn status(&self) -> Vec<u8> {
        format!(r#"{{"Connections":[{{"Compatible":{}}}]}}"#, self.understood).into_bytes()
    }
}

type Then = Box<dyn FnOnce(Result<(u64, &Option<Bytes>), i32>) + Send>;

#[derive(Default)]
enum ReadVersion {
    #[default]
    Unasked,
    Asked(Vec<Then>),
    /// With the metadata version, if the server told it.
    Known(u64, Option<Option<Bytes>>),
    Failed(i32),
}

#[derive(Default)]
struct State {
    read_version: ReadVersion,
    reads: Vec<(Bytes, Bytes)>,
    writes: Vec<(Bytes, Bytes)>,
    mutations: Vec<(u8, Bytes, Bytes)>,
    next_without_conflict: bool,
    failed: Option<i32>,
    committed: Option<u64>,
    pending: Vec<std::sync::Weak<Future>>,
}

pub(super) struct Transaction {
    link: Arc<Link>,
    lowest: Arc<AtomicU64>,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Transaction {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn reset(&self) {
        self.cancel();
        *self.state() = State::default();
    }

    /// Ends what is under way.
    pub(super) fn cancel(&self) {
        let pending = std::mem::take(&mut self.state().pending);
        for future in pending.iter().filter_map(std::sync::Weak::upgrade) {
            future.answer(Err(CANCELLED));
        }
    }

    /// `NEXT_WRITE_NO_WRITE_CONFLICT_RANGE`; other options change nothing that a stand-in does.
    pub(super) fn set_option(&self, option: i32) {
        self.state().next_without_conflict |= option == 30;
    }

    pub(super) fn set_read_version(&self, version: u64) {
        self.state().read_version = ReadVersion::Known(version, None);
    }

    pub(super) fn committed_version(&self) -> Result<u64, i32> {
        self.state().committed.ok_or(NOT_COMMITTED_YET)
    }

    fn new_future(&self) -> Arc<Future> {
        let future = Arc::new(Future::default());
        self.state().pending.push(Arc::downgrade(&future));
        future
    }

    /// Does something once the read version is known, and asks for it first if nobody has.
    fn with_version(&self, then: impl FnOnce(Result<(u64, &Option<Bytes>), i32>) + Send + 'static) {
        let mut state = self.state();
        match &mut state.read_version {
            ReadVersion::Known(version, metadata) => {
                let (version, metadata) = (*version, metadata.clone().flatten());
                drop(state);
                then(Ok((version, &metadata)));
            }
            ReadVersion::Failed(code) => {
                let code = *code;
                drop(state);
                then(Err(code));
            }
            ReadVersion::Asked(waiting) => waiting.push(Box::new(then)),
            ReadVersion::Unasked => {
                state.read_version = ReadVersion::Asked(vec![Box::new(then)]);
                drop(state);
                let (its, lowest) = (Arc::clone(&self.state), Arc::clone(&self.lowest));
                self.link.ask(vec![GRV], move |answer| arrive(&its, &lowest, answer));
            }
        }
    }

    /// Asks for something at the read version, which must not be below all that the cluster gave.
    fn ask_at(
        &self,
        future: &Arc<Future>,
        request: impl FnOnce(u64) -> Vec<u8> + Send + 'static,
        read: fn(&[u8]) -> Answer,
    ) {
        let (its, link, lowest) =
            (Arc::clone(future), Arc::clone(&self.link), Arc::clone(&self.lowest));
        self.with_version(move |known| match known {
            Err(code) => its.answer(Err(code)),
            Ok((version, _)) if version < lowest.load(Ordering::Acquire) => {
                its.answer(Err(TOO_OLD));
            }
            Ok((version, _)) => {
                link.ask(request(version), move |answer| its.answer(answer.map(read)));
            }
        });
    }

    pub(super) fn get_read_version(&self) -> Arc<Future> {
        let future = self.new_future();
        let its = Arc::clone(&future);
        self.with_version(move |known| {
            its.answer(known.map(|(version, _)| Answer::Version(version)))
        });
        future
    }

    pub(super) fn get(&self, key: &[u8], snapshot: bool) -> Arc<Future> {
        if key == STATUS {
            return Future::ready(Ok(Answer::Value(Some(STATUS_JSON.to_vec()))));
        }
        if key == METADATA_VERSION {
            return self.get_metadata_version();
        }
        if key.first() == Some(&0xff) {
            return Future::ready(Err(OUTSIDE_LEGAL_RANGE));
        }
        // FoundationDB does not even ask for what nobody can have written.
        if key.len() > MAX_KEY {
            return Future::ready(Ok(Answer::Value(None)));
        }
        if !snapshot {
            self.state().reads.push((key.to_vec(), [key, &[0]].concat()));
        }
        let key = key.to_vec();
        let future = self.new_future();
        self.ask_at(&future, move |version| get_request(version, &key), value);
        future
    }

    /// Comes with the read version, or has to be asked for if that was set.
    fn get_metadata_version(&self) -> Arc<Future> {
        let future = self.new_future();
        let set = matches!(self.state().read_version, ReadVersion::Known(_, None));
        if set {
            self.ask_at(&future, |version| get_request(version, METADATA_VERSION), value);
            return future;
        }
        let its = Arc::clone(&future);
        self.with_version(move |known| {
            its.answer(known.map(|(_, metadata)| Answer::Value(metadata.clone())));
        });
        future
    }

    pub(super) fn get_range(
        &self,
        (start, end): (Bytes, Bytes),
        limits: (u64, u64),
        snapshot: bool,
        reverse: bool,
    ) -> Arc<Future> {
        if start > end || end.first() == Some(&0xff) && end.len() > 1 {
            return Future::ready(Err(if start > end { 2005 } else { OUTSIDE_LEGAL_RANGE }));
        }
        if !snapshot {
            self.state().reads.push((start.clone(), end.clone()));
        }
        let future = self.new_future();
        let request = move |version| {
            let mut request = Writer::default();
            request.byte(RANGE).number(version).bytes(&start).bytes(&end);
            request.number(limits.0).number(limits.1).byte(reverse.into());
            request.0
        };
        self.ask_at(&future, request, entries);
        future
    }

    pub(super) fn mutate(&self, kind: u8, key: &[u8], value: &[u8]) {
        let mut state = self.state();
        let conflict = !std::mem::take(&mut state.next_without_conflict);
        if let Err(code) = legal(kind, key, value) {
            state.failed = state.failed.or(Some(code));
            return;
        }
        if conflict {
            let end = if kind == CLEAR_RANGE { value.to_vec() } else { [key, &[0]].concat() };
            state.writes.push((key.to_vec(), end));
        }
        state.mutations.push((kind, key.to_vec(), value.to_vec()));
    }

    /// 2005 (`inverted_range`) if it ends before it starts.
    pub(super) fn add_conflict(&self, start: Bytes, end: Bytes, read: bool) -> i32 {
        if start > end {
            return 2005;
        }
        let mut state = self.state();
        match read {
            true => state.reads.push((start, end)),
            false => state.writes.push((start, end)),
        }
        0
    }

    pub(super) fn commit(&self) -> Arc<Future> {
        let state = self.state();
        if let Some(code) = state.failed {
            return Future::ready(Err(code));
        }
        if state.mutations.is_empty() && state.writes.is_empty() {
            return Future::ready(Ok(Answer::Done));
        }
        let ranges = state.reads.iter().chain(&state.writes);
        let mutations = state.mutations.iter();
        let size = ranges.map(|(start, end)| start.len() + end.len() + RANGE_SIZE).sum::<usize>()
            + mutations.map(|(_, key, value)| key.len() + value.len() + MUTATION).sum::<usize>();
        if size > MAX_TRANSACTION {
            return Future::ready(Err(TRANSACTION_TOO_LARGE));
        }
        let mut rest = Writer::default();
        rest.ranges(&state.reads).ranges(&state.writes).number(state.mutations.len() as u64);
        for (kind, key, value) in &state.mutations {
            rest.byte(*kind).bytes(key).bytes(value);
        }
        let reads = !state.reads.is_empty();
        drop(state);
        let future = self.new_future();
        let (its, link, txn) =
            (Arc::clone(&future), Arc::clone(&self.link), Arc::clone(&self.state));
        let send = move |known: Result<(u64, &Option<Bytes>), i32>| match known {
            Err(code) => its.answer(Err(code)),
            Ok((version, _)) => {
                let mut request = Writer::default();
                request.byte(COMMIT).number(version);
                request.0.extend_from_slice(&rest.0);
                link.ask(request.0, move |answer| {
                    its.answer(answer.map(|bytes| {
                        lock(&txn).committed = Some(Reader(bytes).number());
                        Answer::Done
                    }));
                });
            }
        };
        if reads {
            self.with_version(send)
        } else {
            send(Ok((0, &None)))
        }
        future
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The read version has arrived: whoever waits for it goes on.
fn arrive(state: &Mutex<State>, lowest: &AtomicU64, answer: Result<&[u8], i32>) {
    let known = answer.map(|bytes| {
        let mut reader = Reader(bytes);
        (reader.number(), reader.optional())
    });
    if let Ok((version, _)) = &known {
        lowest.fetch_min(*version, Ordering::AcqRel);
    }
    let mut state = lock(state);
    let next = match &known {
        Ok((version, metadata)) => ReadVersion::Known(*version, Some(metadata.clone())),
        Err(code) => ReadVersion::Failed(*code),
    };
    let ReadVersion::Asked(waiting) = std::mem::replace(&mut state.read_version, next) else {
        return;
    };
    drop(state);
    for then in waiting {
        then(known.as_ref().map(|(version, metadata)| (*version, metadata)).map_err(|code| *code));
    }
}

fn get_request(version: u64, key: &[u8]) -> Vec<u8> {
    let mut request = Writer::default();
    request.byte(GET).number(version).bytes(key);
    request.0
}

fn value(bytes: &[u8]) -> Answer {
    Answer::Value(Reader(bytes).optional())
}

fn entries(bytes: &[u8]) -> Answer {
    let mut reader = Reader(bytes);
    let more = reader.byte() == 1;
    let entries = (0..reader.number()).map(|_| (reader.bytes(), reader.bytes())).collect();
    Answer::Entries(Entries::new(entries, more))
}

fn legal(kind: u8, key: &[u8], value: &[u8]) -> Result<(), i32> {
    if key == METADATA_VERSION && kind == STAMPED_VALUE && value == [0; 14] {
        return Ok(());
    }
    if key.first() == Some(&0xff) {
        return Err(if key == METADATA_VERSION { INVALID_OPERATION } else { OUTSIDE_LEGAL_RANGE });
    }
    if kind == CLEAR_RANGE {
        return if key > value { Err(2005) } else { Ok(()) };
    }
    match kind {
        _ if key.len() > MAX_KEY => Err(KEY_TOO_LARGE),
        _ if value.len() > MAX_VALUE => Err(VALUE_TOO_LARGE),
        SET | crate::server::ADD | BYTE_MAX => Ok(()),
        STAMPED_VALUE if value.len() >= 14 => Ok(()),
        _ => Err(INVALID_OPERATION),
    }
}
