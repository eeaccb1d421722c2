//! Holds what the clients were told against the order of commits.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use kv::environment::Simulated;
use kv::memory::Memory;
use kv::{Direction, Error, Layout, Store, Version};
use mvcc::{Options, Scan, ScanOptions, Snapshot, Transaction, key};

use crate::client::{ACCOUNTS, BALANCE, COUNTER, number};
use crate::report::{Event, Key, Read, Report, Rows};

type State = BTreeMap<Key, Vec<u8>>;
/// Oldest first; `None` is a deletion.
type Versions = Vec<(Version, Option<Vec<u8>>)>;
type Told = Result<Option<Version>, Error>;

/// How often what happened, so that a simulation in which nothing happens is noticed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    committed: u64,
    /// Committed, and the client does not know.
    committed_unknown: u64,
    not_committed_unknown: u64,
    conflicts: u64,
    too_old: u64,
    unavailable: u64,
    serializable: u64,
    reads: u64,
    spaces: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.committed += other.committed;
        self.committed_unknown += other.committed_unknown;
        self.not_committed_unknown += other.not_committed_unknown;
        self.conflicts += other.conflicts;
        self.too_old += other.too_old;
        self.unavailable += other.unavailable;
        self.serializable += other.serializable;
        self.reads += other.reads;
        self.spaces += other.spaces;
    }

    pub(crate) fn assert_something_happened(&self) {
        let all = [
            self.committed,
            self.committed_unknown,
            self.not_committed_unknown,
            self.conflicts,
            self.too_old,
            self.unavailable,
            self.serializable,
            self.reads,
            self.spaces,
        ];
        assert!(all.iter().all(|count| *count > 0), "something never happens: {self:?}");
    }
}

#[derive(Default)]
pub(crate) struct Audit {
    done: Vec<(Report, Option<Told>)>,
    /// The last report of each client.
    last: HashMap<usize, usize>,
}

impl Audit {
    pub(crate) fn hear(&mut self, client: usize, event: Event) {
        match event {
            Event::Did(report) => {
                self.last.insert(client, self.done.len());
                self.done.push((report, None));
            }
            Event::Told(told) => self.done[self.last[&client]].1 = Some(told),
        }
    }

    pub(crate) fn judge(&self, memory: &Memory) -> Tally {
        let mut tally = Tally::default();
        let markers = read_all(memory, b"m", b"n", Version::ZERO);
        let markers: HashMap<Key, Version> =
            markers.into_iter().map(|(key, _, version)| (key, version)).collect();
        let mut committed: Vec<(Version, &Report)> = Vec::new();
        for (report, told) in &self.done {
            let version = markers.get(&report.marker).copied();
            judge_told(report, told.as_ref(), version, &mut tally);
            committed.extend(version.map(|version| (version, report)));
        }
        committed.sort_by_key(|(version, _)| *version);
        assert!(committed.windows(2).all(|pair| pair[0].0 < pair[1].0), "two commits, one version");
        let history = History::replay(&committed);
        for (report, _) in &self.done {
            report.reads.iter().for_each(|read| history.judge_read(read));
            tally.reads += report.reads.len() as u64;
        }
        for (version, report) in &committed {
            if report.serializable {
                tally.serializable += 1;
                let before = Version(version.0 - 1);
                for read in &report.reads {
                    history.judge_read(&Read { at: before, ..read.clone() });
                }
            }
        }
        tally.spaces = history.judge_store(memory, &committed);
        let total: i64 = committed.iter().map(|(_, report)| report.count).sum();
        assert_eq!(counter(memory), total, "a count was lost or made twice");
        tally
    }
}

/// No acknowledged commit is lost, and none happens that was denied.
fn judge_told(report: &Report, told: Option<&Told>, found: Option<Version>, tally: &mut Tally) {
    let name = report.marker.escape_ascii();
    match (told, found) {
        (Some(Ok(version)), found) => {
            assert!(version.is_some(), "{name}: a write is nothing to write");
            assert_eq!(*version, found, "{name}: an acknowledged commit");
            tally.committed += 1;
        }
        (None | Some(Err(Error::OutcomeUnknown { .. })), Some(_)) => tally.committed_unknown += 1,
        (None | Some(Err(Error::OutcomeUnknown { .. })), None) => tally.not_committed_unknown += 1,
        (Some(Err(error)), Some(_)) => panic!("{name}: committed although {error}"),
        (Some(Err(Error::Conflict { .. })), None) => tally.conflicts += 1,
        (Some(Err(Error::TooOld)), None) => tally.too_old += 1,
        (Some(Err(Error::Unavailable(_))), None) => tally.unavailable += 1,
        (Some(Err(error)), None) => panic!("{name}: {error}"),
    }
}

/// Every version of every key, as the commits in their order make them.
#[derive(Default)]
struct History {
    keys: BTreeMap<Key, Versions>,
    last: Version,
}

impl History {
    fn replay(committed: &[(Version, &Report)]) -> History {
        let mut history = History::default();
        for (version, report) in committed {
            for (key, value) in &report.bulk {
                history.push(key, *version, Some(value.clone()));
            }
            for write in &report.writes {
                history.judge_base(&write.key, write.base, *version);
                history.push(&write.key, *version, write.value.clone());
            }
            history.last = *version;
        }
        history
    }

    fn push(&mut self, key: &[u8], version: Version, value: Option<Vec<u8>>) {
        let versions = self.keys.entry(key.to_vec()).or_default();
        // Deleting what is not there (inserted and deleted again) may leave a tombstone or nothing.
        if value.is_some() || versions.last().is_some_and(|(_, last)| last.is_some()) {
            versions.push((version, value));
        }
    }

    /// First committer wins: what a writer replaced is what it had seen. A row of its own new space
    /// it saw as version zero, as it saw nothing where a tombstone had been collected.
    fn judge_base(&self, key: &[u8], base: Version, version: Version) {
        let replaced = self.keys.get(key).and_then(|versions| versions.last());
        let lost = match replaced {
            None => base != Version::ZERO,
            Some((made, _)) if *made == version => base != Version::ZERO,
            Some((made, Some(_))) => *made != base,
            Some((made, None)) => base < *made && base != Version::ZERO,
        };
        assert!(!lost, "{}: {base:?} was seen and {replaced:?} replaced", key.escape_ascii());
    }

    fn state(&self, at: Version, start: &[u8], end: &[u8]) -> State {
        let range = self
            .keys
            .range::<[u8], _>((std::ops::Bound::Included(start), std::ops::Bound::Excluded(end)));
        let visible = range.filter_map(|(key, versions)| {
            let (_, value) = versions.iter().rev().find(|(made, _)| *made <= at)?;
            Some((key.clone(), value.clone()?))
        });
        visible.collect()
    }

    fn judge_read(&self, read: &Read) {
        let mut expected = self.state(read.at, &read.start, &read.end);
        for (key, value) in &read.own {
            if (&read.start..&read.end).contains(&key) {
                match value {
                    Some(value) => expected.insert(key.clone(), value.clone()),
                    None => expected.remove(key),
                };
            }
        }
        let expected: Rows = expected.into_iter().collect();
        assert_eq!(readable(&read.rows), readable(&expected), "a read at {:?}", read.at);
        // At READ COMMITTED, own writes may lie over what others have changed since: such a
        // transaction will fail.
        if read.start == b"a" && read.end == b"b" && read.own.is_empty() {
            let sum: i64 = read.rows.iter().map(|(_, value)| number(value) - BALANCE).sum();
            assert_eq!(sum, 0, "money was made or lost at {:?}", read.at);
            assert!(read.rows.len() as u64 <= ACCOUNTS);
        }
    }

    /// What the store holds in the end is what the commits made; and a second look at every moment
    /// above the floor shows what was seen then.
    fn judge_store(&self, memory: &Memory, committed: &[(Version, &Report)]) -> u64 {
        let floor = memory.read_version(&Simulated::new(0)).unwrap().floor;
        let moments = committed.iter().map(|(version, _)| *version);
        for at in moments.filter(|version| *version >= floor).chain([Version(u64::MAX - 1)]) {
            for (start, end) in [(b"a", b"b"), (b"m", b"n"), (b"p", b"q"), (b"u", b"v")] {
                let found = read_at(memory, start, end, at, Version::ZERO);
                let found: State = found.into_iter().map(|(key, value, _)| (key, value)).collect();
                assert_eq!(found, self.state(at, start, end), "the store at {at:?}");
            }
        }
        let mut spaces = 0;
        for (version, report) in committed.iter().filter(|(_, report)| !report.bulk.is_empty()) {
            let name = report.marker[1..].escape_ascii();
            let (start, end) = (format!("s{name}/").into_bytes(), format!("s{name}0").into_bytes());
            let found = read_all(memory, &start, &end, *version);
            let found: State = found.into_iter().map(|(key, value, _)| (key, value)).collect();
            assert_eq!(found, self.state(self.last, &start, &end), "a published space");
            spaces += 1;
        }
        spaces
    }
}

fn read_all(
    memory: &Memory,
    start: &[u8],
    end: &[u8],
    zero: Version,
) -> Vec<(Key, Vec<u8>, Version)> {
    read_at(memory, start, end, Version(u64::MAX - 1), zero)
}

fn read_at(
    memory: &Memory,
    start: &[u8],
    end: &[u8],
    at: Version,
    zero: Version,
) -> Vec<(Key, Vec<u8>, Version)> {
    let layout = Layout::default();
    let options = Options { serializable: false, max_buffered: 0, retention: u64::MAX, layout };
    let store = Rc::new(memory.handle());
    let mut txn = Transaction::new(store, Rc::new(Simulated::new(0)), options);
    let options = ScanOptions { zero, first_rows: 100, max_rows: 100, max_bytes: 10_000, layout };
    let at = Snapshot { version: at, command: 0 };
    let mut scan = Scan::new(start.to_vec(), end.to_vec(), at, options);
    let mut rows = Vec::new();
    while let Some(entry) = scan.next(&mut txn, Direction::Forward).unwrap() {
        rows.push((entry.key.to_vec(), entry.body.to_vec(), entry.version.unwrap()));
    }
    rows
}

fn readable(rows: &Rows) -> String {
    let rows =
        rows.iter().map(|(k, value)| format!("{}={}", k.escape_ascii(), value.escape_ascii()));
    rows.collect::<Vec<_>>().join(" ")
}

fn counter(memory: &Memory) -> i64 {
    let mut page = kv::Page::default();
    let slot = key::plain(COUNTER);
    memory.get_many(&[&slot], &mut page, &Simulated::new(0)).unwrap();
    page.get(0).map_or(0, |value| i64::from_le_bytes(value.try_into().unwrap()))
}
