//! What the clients do: transfers between accounts, names that must be unique, spaces filled in
//! bulk, reading of all of these from every side, and collecting garbage.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use kv::environment::Simulated;
use kv::{Direction, Environment, Error, Layout, Limits, Result, Version};
use mvcc::{Base, Change, Options, Scan, ScanOptions, Snapshot, Transaction};

use crate::report::{Event, Key, Read, Report, Rows, Write};
use crate::server::TRANSACTORS;
use crate::wire::{Crashed, Message, Reply, Surroundings, Wire};

pub(crate) const ACCOUNTS: u64 = 6;
pub(crate) const BALANCE: i64 = 100;
const NAMES: u64 = 4;
const ROUNDS: u64 = 25;
const LAYOUT: Layout = Layout { headroom: 16, phase: 0 };
pub(crate) const COUNTER: &[u8] = b"commits";

pub(crate) struct Start {
    pub(crate) number: usize,
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) prefetch: bool,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) to_server: Sender<(usize, Message)>,
    pub(crate) from_server: Receiver<Reply>,
}

pub(crate) fn main(start: Start) {
    let random = Simulated::new(start.seed);
    let wire = Rc::new(Wire {
        client: start.number,
        limits: start.limits,
        prefetch: start.prefetch,
        to_server: start.to_server,
        from_server: start.from_server,
        fetched: Default::default(),
        next_ticket: Default::default(),
    });
    let interrupted = Arc::clone(&start.interrupted);
    let env = Rc::new(Surroundings { clock: start.clock, interrupted: start.interrupted, random });
    for round in 0..ROUNDS {
        interrupted.store(false, Ordering::SeqCst);
        let lives = catch_unwind(AssertUnwindSafe(|| {
            if start.number >= TRANSACTORS {
                collect(&wire, &env);
            } else {
                Work::new(&wire, &env, round).run();
            }
        }));
        match lives {
            Err(cause) if !cause.is::<Crashed>() => {
                wire.send(Message::Panicked);
                return;
            }
            _ => {}
        }
    }
    wire.send(Message::Finished);
}

fn collect(wire: &Wire, env: &Surroundings) {
    let retention = 100 << (env.random() % 5);
    let mut start = Vec::new();
    // What fails is tried again the next time.
    while let Ok(done) = mvcc::collect(wire, env, &start, b"z", retention, 40) {
        match done.next {
            Some(next) => start = next,
            None => break,
        }
    }
}

/// One transaction.
struct Work {
    wire: Rc<Wire>,
    env: Rc<Surroundings>,
    txn: Transaction,
    name: String,
    kept: Option<Version>,
    command: u32,
    /// Own writes in order, with what they replace.
    log: Vec<Write>,
    report: Report,
}

impl Work {
    fn new(wire: &Rc<Wire>, env: &Rc<Surroundings>, round: u64) -> Work {
        let serializable = env.random().is_multiple_of(3);
        let retention = 1500;
        let options = Options { serializable, max_buffered: 1 << 20, retention, layout: LAYOUT };
        let txn = Transaction::new(Rc::clone(wire) as _, Rc::clone(env) as _, options);
        let name = format!("{}.{round:03}", wire.client);
        let marker = format!("m{name}").into_bytes();
        let report = Report { marker, serializable, ..Report::default() };
        Work {
            wire: Rc::clone(wire),
            env: Rc::clone(env),
            txn,
            name,
            kept: None,
            command: 0,
            log: Vec::new(),
            report,
        }
    }

    fn run(mut self) {
        let done = self.steps();
        self.report.writes = last_writes(&self.log);
        self.wire.send(Message::Event(Event::Did(self.report)));
        let told = match done {
            Ok(()) => self.txn.commit(),
            Err(error) => Err(error),
        };
        self.wire.send(Message::Event(Event::Told(told)));
    }

    fn steps(&mut self) -> Result<()> {
        if self.report.serializable || self.env.random().is_multiple_of(2) {
            self.kept = Some(self.txn.read_version()?);
        }
        for _ in 0..1 + self.env.random() % 5 {
            self.step()?;
        }
        self.txn.count(COUNTER, 1);
        self.report.count += 1;
        let marker = self.report.marker.clone();
        self.write(marker, Some(Vec::new()), Base::New, Version::ZERO)
    }

    fn step(&mut self) -> Result<()> {
        match self.env.random() % 10 {
            0..=2 => self.transfer(),
            3 => self.toggle_name(),
            4 | 5 => self.scan(b"a", b"b", Version::ZERO).map(drop),
            6 => self.get_some(),
            7 => self.read_spaces(),
            8 => self.create_space(),
            _ => self.try_and_undo(),
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let version = self.kept.map_or_else(|| self.txn.read_version(), Ok)?;
        self.command += 1;
        Ok(Snapshot { version, command: self.command })
    }

    /// Moves money. An account that is not there yet has its opening balance.
    fn transfer(&mut self) -> Result<()> {
        let from = self.env.random() % ACCOUNTS;
        let to = (from + 1 + self.env.random() % (ACCOUNTS - 1)) % ACCOUNTS;
        let amount = (self.env.random() % 20) as i64;
        self.snapshot()?;
        self.change_account(from, -amount)?;
        self.change_account(to, amount)
    }

    fn change_account(&mut self, account: u64, amount: i64) -> Result<()> {
        let key = format!("a{account}").into_bytes();
        let (value, base, version) = self.newest(&key, Version::ZERO)?;
        let balance = value.map_or(BALANCE, |value| number(&value));
        self.write(key, Some((balance + amount).to_string().into_bytes()), base, version)
    }

    /// Takes a name that is free, or gives one up.
    fn toggle_name(&mut self) -> Result<()> {
        let key = format!("u{}", self.env.random() % NAMES).into_bytes();
        self.snapshot()?;
        let (value, base, version) = self.newest(&key, Version::ZERO)?;
        let value = value.is_none().then(|| self.name.clone().into_bytes());
        self.write(key, value, base, version)
    }

    fn newest(&mut self, key: &[u8], zero: Version) -> Result<(Option<Vec<u8>>, Base, Version)> {
        let mut page = self.txn.page();
        let newest = self.txn.newest(key, zero, &mut page)?;
        let version = newest.committed.map_or(Version::ZERO, |committed| committed.version);
        if self.kept.is_some_and(|kept| version > kept) {
            return Err(Error::Conflict { key: key.to_vec() });
        }
        let value = newest.exists().then(|| page.value(0)[mvcc::HEADER..].to_vec());
        Ok((value, newest.base(), version))
    }

    fn write(
        &mut self,
        key: Key,
        value: Option<Vec<u8>>,
        base: Base,
        version: Version,
    ) -> Result<()> {
        let parts = value.as_ref().map(|value| [value.as_slice()]);
        let change = parts.as_ref().map_or(Change::Delete, |parts| Change::Put(parts));
        self.txn.write(&key, change, self.command, base)?;
        self.log.push(Write { key, value, base: version });
        Ok(())
    }

    /// Reads a range, wandering to and fro, and reports it.
    fn scan(&mut self, start: &[u8], end: &[u8], zero: Version) -> Result<Rows> {
        let options =
            ScanOptions { zero, first_rows: 2, max_rows: 5, max_bytes: 500, layout: LAYOUT };
        let at = self.snapshot()?;
        let mut scan = Scan::new(start.to_vec(), end.to_vec(), at, options);
        let mut turns = 4;
        let mut direction = match self.env.random() % 2 {
            0 => Direction::Forward,
            _ => Direction::Backward,
        };
        if self.env.random().is_multiple_of(2) {
            scan.start(&mut self.txn, direction)?;
        }
        let mut rows = BTreeMap::new();
        while let Some(entry) = scan.next(&mut self.txn, direction)? {
            let (key, body) = (entry.key.to_vec(), entry.body[LAYOUT.headroom..].to_vec());
            if let Some(before) = rows.insert(key, body.clone()) {
                assert_eq!(before, body, "a row changed under a cursor");
            }
            if turns > 0 && self.env.random().is_multiple_of(5) {
                turns -= 1;
                direction = turned(direction);
            }
        }
        // Then it stands at one end: the other way shows everything.
        let mut others = BTreeMap::new();
        while let Some(entry) = scan.next(&mut self.txn, turned(direction))? {
            others.insert(entry.key.to_vec(), entry.body[LAYOUT.headroom..].to_vec());
        }
        assert!(rows.iter().all(|(key, body)| others.get(key) == Some(body)), "cursor lost a row");
        let rows: Rows = others.into_iter().collect();
        self.report_read(at, start, end, rows.clone());
        Ok(rows)
    }

    fn get_some(&mut self) -> Result<()> {
        let at = self.snapshot()?;
        let keys: Vec<Key> = (0..ACCOUNTS).map(|n| format!("a{n}").into_bytes()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let (mut page, mut found) = (self.txn.page(), Vec::new());
        self.txn.get_many(&keys, &at, Version::ZERO, &mut page, &mut found)?;
        let rows = keys.iter().zip(&found);
        let rows =
            rows.filter_map(|(key, f)| Some((key.to_vec(), f.as_ref()?.body(&page).to_vec())));
        self.report_read(at, b"a", b"b", rows.collect());
        let name = format!("u{}", self.env.random() % NAMES).into_bytes();
        let found = self.txn.get(&name, &at, Version::ZERO, &mut page)?;
        let rows = found.map(|found| (name.clone(), found.body(&page).to_vec()));
        let after = [name.as_slice(), b"\0"].concat();
        self.report_read(at, &name, &after, rows.into_iter().collect());
        Ok(())
    }

    fn report_read(&mut self, at: Snapshot, start: &[u8], end: &[u8], rows: Rows) {
        let bulk = self.report.bulk.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        let log = self.log.iter().map(|write| (write.key.clone(), write.value.clone()));
        let own = bulk.chain(log).collect();
        let (start, end) = (start.to_vec(), end.to_vec());
        self.report.reads.push(Read { at: at.version, start, end, rows, own });
    }

    /// Reads a space that somebody has published, and changes a row of it.
    fn read_spaces(&mut self) -> Result<()> {
        let kept = self.kept;
        let version = self.snapshot()?.version;
        self.kept = Some(version);
        let spaces = self.scan(b"p", b"q", Version::ZERO)?;
        if !spaces.is_empty() {
            let (space, _) = &spaces[self.env.random() as usize % spaces.len()];
            let name = String::from_utf8(space[1..].to_vec()).expect("names are text");
            self.visit_space(space, &name, version)?;
        }
        self.kept = kept;
        Ok(())
    }

    fn visit_space(&mut self, space: &[u8], name: &str, version: Version) -> Result<()> {
        let mut page = self.txn.page();
        let at = Snapshot { version, command: self.command };
        let found = self.txn.get(space, &at, Version::ZERO, &mut page)?;
        // Of an own space, the rows have no version yet.
        let zero = found.and_then(|found| found.version).unwrap_or(Version::ZERO);
        let (start, end) = (format!("s{name}/"), format!("s{name}0"));
        let rows = self.scan(start.as_bytes(), end.as_bytes(), zero)?;
        if let Some((key, _)) = rows.first() {
            let (value, base, version) = self.newest(key, zero)?;
            let value = value.filter(|_| self.env.random().is_multiple_of(2));
            let value = value.map(|value| [value, b"+".to_vec()].concat());
            self.write(key.clone(), value, base, version)?;
        }
        Ok(())
    }

    /// Fills a space past the buffer, changes some of it through the buffer, and publishes it.
    fn create_space(&mut self) -> Result<()> {
        let publication = format!("p{}", self.name).into_bytes();
        if !self.report.bulk.is_empty() {
            return Ok(());
        }
        self.snapshot()?;
        let rows = 5 + self.env.random() % 30;
        for row in 0..rows {
            let key = format!("s{}/{row:02}", self.name).into_bytes();
            let value = format!("row {row}").into_bytes();
            self.txn.bulk_put(&key, &value)?;
            self.report.bulk.push((key, value));
        }
        let changes = [(1, None), (3, Some(b"changed".to_vec()))];
        // Sometimes nobody looks at the rows before the commit.
        let changes = changes.into_iter().take(self.env.random() as usize % 3);
        for (row, value) in changes {
            let key = format!("s{}/{row:02}", self.name).into_bytes();
            let (found, base, _) = self.newest(&key, Version::ZERO)?;
            assert_eq!(found, Some(format!("row {row}").into_bytes()), "a bulk row is not there");
            self.write(key, value, base, Version::ZERO)?;
        }
        self.write(publication, Some(Vec::new()), Base::New, Version::ZERO)
    }

    /// Does something in a savepoint and, mostly, takes it back.
    fn try_and_undo(&mut self) -> Result<()> {
        let (writes, count) = (self.log.len(), self.report.count);
        self.txn.begin_sub();
        self.txn.count(COUNTER, 5);
        self.report.count += 5;
        self.transfer()?;
        self.toggle_name()?;
        // Not the unpublished spaces, which begin with s.
        self.scan(b"a", b"q", Version::ZERO)?;
        if self.env.random().is_multiple_of(3) {
            self.txn.release_sub();
        } else {
            self.txn.rollback_sub();
            self.log.truncate(writes);
            self.report.count = count;
        }
        self.scan(b"a", b"b", Version::ZERO).map(drop)
    }
}

fn turned(direction: Direction) -> Direction {
    match direction {
        Direction::Forward => Direction::Backward,
        Direction::Backward => Direction::Forward,
    }
}

/// The last value of each key with the base of its first write.
fn last_writes(log: &[Write]) -> Vec<Write> {
    let mut last: BTreeMap<&[u8], Write> = BTreeMap::new();
    for write in log {
        let entry = last.entry(&write.key).or_insert_with(|| write.clone());
        entry.value.clone_from(&write.value);
    }
    last.into_values().collect()
}

pub(crate) fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).expect("a balance")
}
