//! Transactions against a naive model that keeps every version of every key in a list.
//!
//! Sessions run random operations one after the other; every answer must be the model's. What the
//! model cannot foresee exactly is bounded from both sides: a serializable transaction must fail if
//! something that it read has changed, and may fail only if something has been committed since its
//! snapshot; a snapshot may be too old only if it is below the floor.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use kv::environment::Simulated;
use kv::memory::{Config, Memory};
use kv::{Direction, Error, Layout, Store, Version};
use mvcc::{Change, Options, Scan, ScanOptions, Snapshot, Transaction};
use proptest::prelude::*;

const LAYOUT: Layout = Layout { headroom: 23, phase: 7 };

/// In order, with prefixes and zeros that an escape could get wrong.
const KEYS: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"a\xff", b"b"];
const AFTER: &[u8] = b"c";

type Value = Option<u8>;
type Row = (usize, u8);

#[derive(Clone, Debug)]
enum Op {
    Begin {
        serializable: bool,
    },
    Put(usize, u8),
    Delete(usize),
    Lock(usize),
    Get(usize),
    Many,
    Open(usize, usize, Option<bool>),
    /// Steps of a cursor, all in one direction.
    Move {
        forward: bool,
        steps: usize,
    },
    Sub,
    Release,
    Undo,
    Commit,
    Collect(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    prop_oneof![
        2 => any::<bool>().prop_map(|serializable| Op::Begin { serializable }),
        6 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        3 => key.clone().prop_map(Op::Delete),
        1 => key.clone().prop_map(Op::Lock),
        2 => key.clone().prop_map(Op::Get),
        1 => Just(Op::Many),
        2 => (key.clone(), 0..=KEYS.len(), any::<Option<bool>>())
            .prop_map(|(start, end, started)| Op::Open(start, end, started)),
        8 => (any::<bool>(), 1usize..6).prop_map(|(forward, steps)| Op::Move { forward, steps }),
        1 => Just(Op::Sub),
        1 => Just(Op::Release),
        1 => Just(Op::Undo),
        4 => Just(Op::Commit),
        1 => (0u64..60).prop_map(Op::Collect),
    ]
}

#[derive(Default)]
struct Model {
    /// Versions of each key, oldest first.
    keys: [Vec<(Version, Value)>; KEYS.len()],
    /// When a key that did not exist was last deleted: that may leave a tombstone or nothing, and
    /// so make others fail or not.
    doubtful: [Version; KEYS.len()],
    last: Version,
}

impl Model {
    fn at(&self, key: usize, version: Version) -> Value {
        self.keys[key].iter().rev().find(|(made, _)| *made <= version).and_then(|(_, value)| *value)
    }

    fn newest(&self, key: usize) -> Version {
        self.keys[key].last().map_or(Version::ZERO, |(made, _)| *made)
    }
}

struct Session {
    txn: Transaction,
    version: Version,
    serializable: bool,
    command: u32,
    writes: Vec<(usize, Value, Version)>,
    locks: Vec<(usize, Version)>,
    /// Lengths of `writes` and `locks` at each savepoint.
    marks: Vec<(usize, usize)>,
    read: Vec<usize>,
    cursor: Option<Cursor>,
    /// Whether garbage was collected since it began.
    collected: bool,
}

struct Cursor {
    scan: Scan,
    rows: Vec<Row>,
    /// Visible rows before the cursor, and the first after it.
    left: usize,
    right: usize,
    placed: bool,
}

impl Session {
    fn see(&self, model: &Model, key: usize) -> Value {
        let own = self.writes.iter().rev().find(|(written, _, _)| *written == key);
        own.map_or_else(|| model.at(key, self.version), |(_, value, _)| *value)
    }

    fn snapshot(&mut self) -> Snapshot {
        self.command += 1;
        Snapshot { version: self.version, command: self.command }
    }
}

struct World {
    memory: Rc<Memory>,
    env: Rc<Simulated>,
    model: Model,
    sessions: [Option<Session>; 3],
    rows: usize,
}

impl World {
    fn new(archives: bool, network: bool, rows: usize) -> World {
        let mut config = Config { defer: network, prefetch: network, ..Config::default() };
        config.limits.archives = archives;
        let (memory, env) = (Rc::new(Memory::new(config)), Rc::new(Simulated::new(7)));
        let sessions = [None, None, None];
        World { memory, env, model: Model::default(), sessions, rows }
    }

    fn run(&mut self, slot: usize, op: &Op) {
        self.env.advance(5);
        match op {
            Op::Begin { serializable } => self.begin(slot, *serializable),
            Op::Collect(retention) => self.collect(*retention),
            Op::Commit => self.commit(slot),
            op => self.run_in_session(slot, op),
        }
    }

    fn begin(&mut self, slot: usize, serializable: bool) {
        let options =
            Options { serializable, max_buffered: 1 << 20, retention: u64::MAX, layout: LAYOUT };
        let store: Rc<dyn Store> = Rc::new(self.memory.handle());
        let txn = Transaction::new(store, Rc::clone(&self.env) as _, options);
        let version = txn.read_version().unwrap();
        assert_eq!(version, self.model.last);
        self.sessions[slot] = Some(Session {
            txn,
            version,
            serializable,
            command: 0,
            writes: Vec::new(),
            locks: Vec::new(),
            marks: Vec::new(),
            read: Vec::new(),
            cursor: None,
            collected: false,
        });
    }

    fn collect(&mut self, retention: u64) {
        let done = mvcc::collect(&*self.memory, &*self.env, b"", AFTER, retention, 3).unwrap();
        if let Some(next) = done.next {
            mvcc::collect(&*self.memory, &*self.env, &next, AFTER, retention, 1000).unwrap();
        }
        // Collecting commits batches of its own.
        self.model.last = self.memory.read_version(&*self.env).unwrap().version;
        self.sessions.iter_mut().flatten().for_each(|session| session.collected = true);
    }

    fn commit(&mut self, slot: usize) {
        let Some(session) = self.sessions[slot].take() else { return };
        let wants_to_write = !session.writes.is_empty();
        assert_eq!(session.txn.has_writes(), wants_to_write);
        // A key that came and went again, and whose tombstone was collected, is as absent as it was
        // when the session looked: whoever puts it then loses nothing of anybody's.
        let absent_again = |key: usize, seen: Version| {
            let absent = self.model.at(key, Version::MAX).is_none();
            seen == Version::ZERO && absent && session.collected
        };
        let changed =
            |key: usize, seen: Version| self.model.newest(key) != seen && !absent_again(key, seen);
        let lost = session.writes.iter().map(|(key, _, base)| (*key, *base));
        let conflict =
            lost.chain(session.locks.iter().copied()).any(|(key, seen)| changed(key, seen));
        let stale = session.read.iter().any(|key| self.model.newest(*key) > session.version);
        let must_fail = wants_to_write && (conflict || session.serializable && stale);
        let mut touched = session
            .writes
            .iter()
            .map(|(key, _, _)| key)
            .chain(session.locks.iter().map(|(key, _)| key));
        let doubtful = touched.any(|key| self.model.doubtful[*key] > session.version);
        let may_fail = must_fail
            || doubtful
            || session.collected
            || session.serializable && self.model.last > session.version;
        match session.txn.commit() {
            Ok(None) => assert!(!wants_to_write),
            Ok(Some(version)) => {
                assert!(!must_fail, "a conflict was missed");
                assert!(version > self.model.last);
                self.model.last = version;
                let newest: BTreeMap<usize, Value> =
                    session.writes.iter().map(|(key, value, _)| (*key, *value)).collect();
                for (key, value) in newest {
                    match (value, self.model.at(key, Version::MAX)) {
                        (None, None) => self.model.doubtful[key] = version,
                        (value, _) => self.model.keys[key].push((version, value)),
                    }
                }
            }
            Err(Error::Conflict { .. } | Error::TooOld) => assert!(may_fail, "a false conflict"),
            Err(error) => panic!("{error}"),
        }
    }

    fn run_in_session(&mut self, slot: usize, op: &Op) {
        let Some(session) = &mut self.sessions[slot] else { return };
        let floor = self.memory.read_version(&*self.env).unwrap().floor;
        let too_old = floor > session.version;
        let result = match op {
            Op::Put(key, value) => session.write(&self.model, *key, Some(*value)),
            Op::Delete(key) => session.write(&self.model, *key, None),
            Op::Lock(key) => session.lock(&self.model, *key),
            Op::Get(key) => session.get(&self.model, *key),
            Op::Many => session.get_many(&self.model),
            Op::Open(start, end, started) => {
                session.open(&self.model, *start..*end, *started, self.rows)
            }
            Op::Move { forward, steps } => (0..*steps).try_for_each(|_| session.step(*forward)),
            savepoint => session.savepoint(savepoint),
        };
        match result {
            Ok(()) => {}
            Err(Error::TooOld) => {
                assert!(too_old, "not too old");
                session.cursor = None;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Session {
    fn write(&mut self, model: &Model, key: usize, value: Value) -> Result<(), Error> {
        let mut page = self.txn.page();
        let newest = self.txn.newest(KEYS[key], Version::ZERO, &mut page)?;
        let own = self.writes.iter().find(|(written, _, _)| *written == key);
        assert_eq!(newest.own.is_some(), own.is_some());
        let expected = match own {
            Some(_) => self.see(model, key),
            None => model.at(key, Version::MAX),
        };
        assert_eq!(newest.exists(), expected.is_some());
        if let Some(value) = expected {
            assert_eq!(page.value(0)[mvcc::HEADER..], body(value));
        }
        let base = own.map_or_else(|| model.newest(key), |(_, _, base)| *base);
        // As a serializable transaction would see it, reading the newest is reading.
        self.snapshot();
        let bytes = value.map(body);
        let parts = bytes.as_ref().map(|bytes| [bytes.as_slice()]);
        let change = parts.as_ref().map_or(Change::Delete, |parts| Change::Put(parts));
        self.txn.write(KEYS[key], change, self.command, newest.base())?;
        self.writes.push((key, value, base));
        Ok(())
    }

    fn lock(&mut self, model: &Model, key: usize) -> Result<(), Error> {
        let mut page = self.txn.page();
        let newest = self.txn.newest(KEYS[key], Version::ZERO, &mut page)?;
        if newest.own.is_none() && !self.locks.iter().any(|(locked, _)| *locked == key) {
            let seen = newest.committed.map_or(Version::ZERO, |committed| committed.version);
            self.txn.lock(KEYS[key], seen);
            self.locks.push((key, model.newest(key)));
        }
        Ok(())
    }

    fn get(&mut self, model: &Model, key: usize) -> Result<(), Error> {
        let (at, mut page) = (self.snapshot(), self.txn.page());
        let found = self.txn.get(KEYS[key], &at, Version::ZERO, &mut page)?;
        let own = self.writes.iter().any(|(written, _, _)| *written == key);
        assert_eq!(
            found.as_ref().map(|found| found.body(&page).to_vec()),
            self.see(model, key).map(body)
        );
        assert_eq!(found.and_then(|found| found.own).is_some(), found.is_some() && own);
        if !own {
            self.read.push(key);
        }
        Ok(())
    }

    fn get_many(&mut self, model: &Model) -> Result<(), Error> {
        let (at, mut page, mut found) = (self.snapshot(), self.txn.page(), Vec::new());
        self.txn.get_many(&KEYS, &at, Version::ZERO, &mut page, &mut found)?;
        for (key, found) in found.iter().enumerate() {
            let body_found = found.as_ref().map(|found| found.body(&page).to_vec());
            assert_eq!(body_found, self.see(model, key).map(body));
            if found.is_some_and(|found| found.own.is_none()) {
                self.read.push(key);
            }
        }
        Ok(())
    }

    /// Where it says `started`, the first page is asked for at once, forwards or backwards.
    fn open(
        &mut self,
        model: &Model,
        keys: Range<usize>,
        started: Option<bool>,
        rows: usize,
    ) -> Result<(), Error> {
        let options = ScanOptions {
            zero: Version::ZERO,
            first_rows: rows,
            max_rows: rows * 2,
            max_bytes: 1 << 10,
            layout: LAYOUT,
        };
        let after = KEYS.get(keys.end).copied().unwrap_or(AFTER);
        let mut scan =
            Scan::new(KEYS[keys.start].to_vec(), after.to_vec(), self.snapshot(), options);
        let rows: Vec<Row> = keys.filter_map(|key| Some((key, self.see(model, key)?))).collect();
        let at = if started == Some(false) { rows.len() } else { 0 };
        if let Some(forward) = started {
            scan.start(
                &mut self.txn,
                if forward { Direction::Forward } else { Direction::Backward },
            )?;
        }
        self.cursor = Some(Cursor { scan, rows, left: at, right: at, placed: started.is_some() });
        Ok(())
    }

    fn step(&mut self, forward: bool) -> Result<(), Error> {
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        let expected = cursor.expect(forward);
        let found = cursor.scan.next(&mut self.txn, direction)?;
        assert_eq!(found.is_some(), expected.is_some());
        if let (Some(entry), Some((key, value))) = (found, expected) {
            assert_eq!(entry.key, KEYS[key]);
            let (headroom, found) = entry.body.split_at_mut(LAYOUT.headroom);
            assert_eq!(found, body(value));
            assert_eq!(found.as_ptr().addr() % 8, LAYOUT.phase);
            headroom.fill(0xee);
            if entry.own.is_none() {
                self.read.push(key);
            }
        }
        Ok(())
    }

    fn savepoint(&mut self, op: &Op) -> Result<(), Error> {
        match (op, self.marks.last().copied()) {
            (Op::Sub, _) => {
                self.txn.begin_sub();
                self.marks.push((self.writes.len(), self.locks.len()));
            }
            (Op::Release, Some(_)) => {
                self.txn.release_sub();
                self.marks.pop();
            }
            (Op::Undo, Some((writes, locks))) => {
                self.txn.rollback_sub();
                self.marks.pop();
                self.writes.truncate(writes);
                self.locks.truncate(locks);
                // What it saw may not be there any more.
                self.cursor = None;
            }
            _ => {}
        }
        assert_eq!(self.txn.depth(), self.marks.len());
        Ok(())
    }
}

impl Cursor {
    fn expect(&mut self, forward: bool) -> Option<Row> {
        if !self.placed {
            self.placed = true;
            self.left = if forward { 0 } else { self.rows.len() };
            self.right = self.left;
        }
        let row = match forward {
            true if self.right == self.rows.len() => {
                self.left = self.right;
                return None;
            }
            true => self.right,
            false if self.left == 0 => {
                self.right = 0;
                return None;
            }
            false => self.left - 1,
        };
        (self.left, self.right) = (row, row + 1);
        Some(self.rows[row])
    }
}

/// Bodies of different lengths, also of none.
fn body(value: u8) -> Vec<u8> {
    vec![value; value as usize % 11]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_models(
        archives: bool,
        network: bool,
        rows in 1usize..4,
        ops in prop::collection::vec((0usize..3, op()), 1..120),
    ) {
        let mut world = World::new(archives, network, rows);
        for (slot, op) in &ops {
            world.run(*slot, op);
        }
    }
}

/// First committers win, but who put a key and took it away again, tombstone and all, has not won
/// anything: the second puts it over what it saw, which is nothing.
#[test]
fn a_key_that_is_absent_again_is_no_conflict() {
    let ops = [
        (0, Op::Begin { serializable: false }),
        (0, Op::Put(7, 0)),
        (2, Op::Begin { serializable: false }),
        (2, Op::Put(7, 0)),
        (2, Op::Commit),
        (2, Op::Begin { serializable: false }),
        (2, Op::Delete(7)),
        (2, Op::Commit),
        (1, Op::Begin { serializable: false }),
        (0, Op::Collect(0)),
        (0, Op::Commit),
    ];
    for archives in [false, true] {
        let mut world = World::new(archives, false, 1);
        ops.iter().for_each(|(slot, op)| world.run(*slot, op));
    }
}
