//! Crashes of the machine and of the writer, simulated.
//!
//! A crash of the machine leaves of every page of LMDB's file whatever was written to it since the
//! last sync, or what was there before, each page as it likes; the log has what was synced, and of what
//! was not any part. The test keeps copies of the file to put such states together, opens
//! them and compares everything with the store that did not crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kv::environment::Simulated;
use kv::{Batch, CommitId, Durability, Environment, Version};

use crate::files::{DATA, Files, Shape};
use crate::group::{Entry, Group, Work};
use crate::journal;
use crate::log::{Mark, Segment};
use crate::wire::Reply;

const PAGE: usize = 4096;
const MAP: usize = 1 << 30;
const KEYS: u64 = 600;

/// A store without processes: what the writer does, one call at a time.
struct Machine {
    dir: tempfile::TempDir,
    files: Arc<Files>,
    env: Simulated,
}

fn shape() -> Shape {
    Shape { map_size: Some(MAP), max_readers: 10, max_namespaces: 3 }
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Everything that the two namespaces hold, and their last versions.
fn contents(files: &Files) -> Contents {
    let mut all = Contents::new();
    for name in ["main", "other"] {
        let opened = files.databases([crate::record::META, &crate::record::data_name(name)]);
        let Ok([meta, data]) = opened else { continue };
        files
            .read(|txn| {
                for entry in data.iter(txn)? {
                    let (key, value) = entry?;
                    all.insert([name.as_bytes(), b"/", key].concat(), value.to_vec());
                }
                let key = crate::record::stamp_key(name);
                if let Some(stamp) = meta.get(txn, &key)? {
                    all.insert(key, stamp.to_vec());
                }
                Ok(())
            })
            .unwrap();
    }
    all
}

impl Machine {
    fn start(dir: tempfile::TempDir, seed: u64) -> (Machine, Group<'static>) {
        Machine::start_with(dir, seed, shape())
    }

    fn start_with(dir: tempfile::TempDir, seed: u64, shape: Shape) -> (Machine, Group<'static>) {
        let (files, mut journal) = journal::open(dir.path(), shape, MAP).expect("it opens");
        journal.groups = 20;
        // The group borrows the files; a test may leak them.
        let leaked: &'static Arc<Files> = Box::leak(Box::new(Arc::clone(&files)));
        let mut group = Group::new(leaked, journal, MAP);
        for name in ["main", "other"] {
            group.namespace(name, 0).unwrap().unwrap();
        }
        (Machine { dir, files, env: Simulated::new(seed) }, group)
    }

    fn below(&self, end: u64) -> u64 {
        self.env.random() % end
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn batch(&self, durability: Durability) -> Batch {
        let mut batch = Batch::new(self.env.commit_id(), durability);
        for _ in 0..1 + self.below(6) {
            let key = self.below(KEYS).to_be_bytes();
            let long = if self.one_in(10) { 9000 } else { 300 };
            let value = vec![self.env.random() as u8; self.below(long) as usize];
            match self.below(10) {
                0 => batch.delete(&key),
                1 => batch.clear(&key, &(self.below(KEYS)).to_be_bytes()),
                2..4 => batch.add(format!("counter {}", self.below(5)).as_bytes(), 1),
                4..6 => {
                    let old = [&b"history"[..], &key, &self.env.now().to_be_bytes()].concat();
                    batch.archive(&key, &old, None);
                    batch.put_stamped(&key, &[&value]);
                }
                6 => batch.raise_floor(Version(self.env.now() / 2)),
                _ => batch.put_stamped(&key, &[&value]),
            }
        }
        batch
    }

    /// Commits a group of a few batches, some of which are sent twice.
    fn commit(&self, group: &mut Group<'_>, durability: Durability) {
        for client in 0..1 + self.below(4) {
            self.env.advance(1 + self.below(3));
            let now = self.env.now();
            let name = if self.one_in(4) { "other" } else { "main" };
            let namespace = group.namespace(name, now).unwrap().unwrap();
            let batch = self.batch(durability);
            for _ in 0..1 + u64::from(self.one_in(5)) {
                let work = Work::Commit(batch.clone());
                let entry =
                    Entry { client, namespace, work, refused: None, committed: None, reply: None };
                group.add(entry, now).unwrap();
            }
        }
        group.commit(self.env.now()).unwrap();
        for entry in group.take_finished() {
            assert!(matches!(entry.reply, Some(Reply::Done(_))), "{entry:?}");
        }
    }

    fn data(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join(DATA)).unwrap()
    }

    /// A directory as it is after a crash: each page as in one of `states`, the log as it is now.
    fn crash(&self, states: &[Vec<u8>]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let newest = states.last().unwrap();
        let mut data = newest.clone();
        for (number, page) in data.chunks_mut(PAGE).enumerate() {
            let state = &states[self.below(states.len() as u64) as usize];
            match state.get(number * PAGE..(number + 1) * PAGE) {
                Some(old) => page.copy_from_slice(old),
                None => page.fill(0),
            }
        }
        // The length is kept apart from the pages.
        let shortest = states.iter().map(Vec::len).min().unwrap();
        if self.one_in(2) {
            data.truncate(shortest.max(2 * PAGE));
        }
        std::fs::write(dir.path().join(DATA), data).unwrap();
        self.copy_log(dir.path());
        dir
    }

    fn copy_log(&self, to: &Path) {
        for number in 0..3 {
            let name = format!("log.{number}");
            std::fs::copy(self.dir.path().join(&name), to.join(&name)).unwrap();
        }
    }
}

fn recovered(dir: &Path) -> Contents {
    let (files, journal) = journal::open(dir, shape(), MAP).expect("a crashed store opens");
    let found = contents(&files);
    drop(journal);
    found
}

/// What two stores differ in, for a person.
fn differences(a: &Contents, b: &Contents) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
    differing.map(|key| key.escape_ascii().to_string()).take(5).collect()
}

#[track_caller]
fn assert_same(found: &Contents, expected: &Contents) {
    assert!(found == expected, "they differ in {:?} and maybe more", differences(found, expected));
}

/// The machine crashes again and again, whenever it likes: while checkpoints are complete, and while
/// one is under way. What was committed durably is there, exactly once, with the same versions.
#[test]
fn a_crash_of_the_machine_loses_nothing() {
    for seed in 0..6 {
        let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), seed);
        // Since the last checkpoint that is complete.
        let mut states = vec![machine.data()];
        let held = Arc::clone(&group.journal.held);
        let mut crashes = 0;
        while crashes < 25 {
            // What is under way is complete before the disk is looked at, or does not become so.
            let known = group.journal_numbers().0;
            group.journal.finish().unwrap();
            if group.journal_numbers().0 != known {
                states = vec![machine.data()];
            }
            let holding = held.lock().unwrap();
            for _ in 0..machine.below(30) {
                machine.commit(&mut group, Durability::Durable);
                if machine.one_in(8) {
                    states.push(machine.data());
                }
            }
            states.push(machine.data());
            let expected = contents(&machine.files);
            let crashed = machine.crash(&states);
            assert_same(&recovered(crashed.path()), &expected);
            // It may crash while it recovers, and then once more.
            assert_same(&recovered(crashed.path()), &expected);
            crashes += 1;
            drop(holding);
        }
        assert!(group.journal_numbers().0 > 3, "there were checkpoints");
    }
}

/// Of commits that need not be durable, a crash leaves the first so many, each whole, with
/// everything durable before them; and the machine goes on from there.
#[test]
fn a_crash_leaves_a_prefix_of_what_was_not_durable() {
    for seed in 0..20 {
        let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), seed);
        machine.commit(&mut group, Durability::Durable);
        let begin = machine.data();
        machine.commit(&mut group, Durability::Durable);
        let mut prefixes = vec![contents(&machine.files)];
        let synced = log(&machine);
        for _ in 0..machine.below(12) {
            machine.commit(&mut group, Durability::Relaxed);
            prefixes.push(contents(&machine.files));
        }
        let crashed = {
            let states = [begin, machine.data()];
            machine.crash(&states)
        };
        // Some sectors of the log were written, and some were not.
        for (name, now) in log(&machine) {
            let mut torn = synced[&name].clone();
            torn.resize(now.len(), 0);
            for (old, new) in torn.chunks_mut(512).zip(now.chunks(512)) {
                if !machine.one_in(6) {
                    old.copy_from_slice(new);
                }
            }
            std::fs::write(crashed.path().join(name), torn).unwrap();
        }
        let found = recovered(crashed.path());
        assert!(prefixes.contains(&found), "it is none of {} prefixes", prefixes.len());
        let (machine, mut group) = Machine::start(crashed, seed + 100);
        machine.env.set_now(2_000_000);
        machine.commit(&mut group, Durability::Durable);
        let states = [machine.data()];
        let expected = contents(&machine.files);
        assert_same(&recovered(machine.crash(&states).path()), &expected);
    }
}

fn log(machine: &Machine) -> BTreeMap<String, Vec<u8>> {
    let names = (0..3).map(|number| format!("log.{number}"));
    names
        .map(|name| {
            let bytes = std::fs::read(machine.dir.path().join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

/// A writer that dies while others have the files open leaves its successor the state that they see,
/// and the successor leaves the machine one that it can crash in at any moment.
#[test]
fn writers_that_die_under_readers_lose_nothing() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 7);
    for _ in 0..15 {
        for _ in 0..machine.below(40) {
            machine.commit(&mut group, Durability::Durable);
        }
        let expected = contents(&machine.files);
        // Its pins go with it; our handle on the files keeps them open.
        drop(group);
        let (files, mut journal) = journal::open(machine.dir.path(), shape(), MAP).unwrap();
        assert!(Arc::ptr_eq(&files, &machine.files));
        journal.groups = 20;
        assert_same(&contents(&machine.files), &expected);
        let mut states = vec![machine.data()];
        group = Group::new(Box::leak(Box::new(files)), journal, MAP);
        for _ in 0..machine.below(15) {
            machine.commit(&mut group, Durability::Durable);
        }
        states.push(machine.data());
        let expected = contents(&machine.files);
        assert_same(&recovered(machine.crash(&states).path()), &expected);
    }
}

/// It may die when a group is in the log and not yet in the file, which then goes forward only.
#[test]
fn what_only_the_log_has_is_applied_under_readers() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 8);
    let held = Arc::clone(&group.journal.held);
    for _ in 0..60 {
        machine.commit(&mut group, Durability::Durable);
        group.journal.finish().unwrap();
        let _holding = held.lock().unwrap();
        let (before, earlier) = (machine.data(), contents(&machine.files));
        machine.commit(&mut group, Durability::Durable);
        let expected = contents(&machine.files);
        let died = tempfile::tempdir().unwrap();
        std::fs::write(died.path().join(DATA), &before).unwrap();
        machine.copy_log(died.path());
        let reader = Files::open(died.path(), shape(), None).unwrap();
        assert_same(&contents(&reader), &earlier);
        assert_same(&recovered(died.path()), &expected);
        assert_same(&contents(&reader), &expected);
    }
}

/// Nobody knows what a disk has that failed to sync: as long as somebody may see what it only seems to
/// have, the store stays closed; then it goes back to the last checkpoint, and forward.
#[test]
fn a_failed_checkpoint_is_not_believed() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 9);
    let mut states = vec![machine.data()];
    let held = Arc::clone(&group.journal.held);
    let failed = {
        let _holding = held.lock().unwrap();
        (0..30).for_each(|_| machine.commit(&mut group, Durability::Durable));
        states.push(machine.data());
        machine.crash(&states)
    };
    let expected = contents(&machine.files);
    let newest = Segment::all(failed.path()).unwrap().pop().unwrap();
    assert_eq!(newest.mark, Mark::Begun);
    newest.set_mark(Mark::Failed).unwrap();
    {
        let _reader = Files::open(failed.path(), shape(), None).unwrap();
        let opened = journal::open(failed.path(), shape(), MAP);
        assert!(matches!(opened, Err(kv::Error::Faulty(_))), "{:?}", opened.map(drop));
    }
    assert_same(&recovered(failed.path()), &expected);
}

/// A file and a log that do not belong together, or one without the other.
#[test]
fn what_is_missing_is_said() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 10);
    machine.commit(&mut group, Durability::Durable);
    let data = machine.data();
    let no_log = tempfile::tempdir().unwrap();
    std::fs::write(no_log.path().join(DATA), &data).unwrap();
    let opened = journal::open(no_log.path(), shape(), MAP).map(drop);
    assert!(matches!(&opened, Err(kv::Error::Corrupt(text)) if text.contains("log")), "{opened:?}");
    let no_data = tempfile::tempdir().unwrap();
    machine.copy_log(no_data.path());
    let opened = journal::open(no_data.path(), shape(), MAP).map(drop);
    assert!(matches!(&opened, Err(kv::Error::Corrupt(text)) if text.contains(DATA)), "{opened:?}");
}

/// It keeps what it has, and from then on it is safe in the same way.
#[test]
fn a_file_from_before_the_log_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    {
        let files = Files::open(dir.path(), shape(), None).unwrap();
        let main = crate::namespace::open(&files, "main").unwrap();
        let [meta] = files.create([crate::record::META]).unwrap();
        let mut txn = files.write().unwrap();
        main.data.put(&mut txn, b"old", b"........value").unwrap();
        meta.put(&mut txn, crate::record::FORMAT_KEY, &crate::record::FORMAT_WITHOUT_LOG).unwrap();
        txn.commit().unwrap();
    }
    let (machine, mut group) = Machine::start(dir, 11);
    let mut states = vec![machine.data()];
    for _ in 0..10 {
        machine.commit(&mut group, Durability::Durable);
    }
    states.push(machine.data());
    let expected = contents(&machine.files);
    assert_eq!(expected[&b"main/old"[..]], b"........value");
    assert_same(&recovered(machine.crash(&states).path()), &expected);
}

/// Commits one key, and says what its client is told.
fn put(group: &mut Group<'_>, name: &str, key: u64, size: usize, now: u64) -> Vec<Reply> {
    let namespace = group.namespace(name, now).unwrap().unwrap();
    let id = CommitId((u128::from(now) << 64 | u128::from(key)).to_be_bytes());
    let mut batch = Batch::new(id, Durability::Durable);
    batch.put_stamped(&key.to_be_bytes(), &[&vec![key as u8; size]]);
    ask(group, namespace, Work::Commit(batch), now)
}

fn ask(group: &mut Group<'_>, namespace: usize, work: Work, now: u64) -> Vec<Reply> {
    let entry = Entry { client: 1, namespace, work, refused: None, committed: None, reply: None };
    group.add(entry, now).unwrap();
    group.commit(now).unwrap();
    group.take_finished().into_iter().filter_map(|entry| entry.reply).collect()
}

const LATER: u64 = 100 * 3_600_000_000;

/// A recovery whose map is too small grows it; one that may not grows nothing, and the next one finds
/// the whole log again.
#[test]
fn a_recovery_that_runs_out_of_room_loses_nothing() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 12);
    group.journal.groups = 1_000_000;
    let held = Arc::clone(&group.journal.held);
    let _holding = held.lock().unwrap();
    (0..600).for_each(|key| drop(put(&mut group, "main", key, 20_000, LATER + key)));
    let expected = contents(&machine.files);
    let states = [machine.data()];
    let crashed = machine.crash(&states);
    let small = Shape { map_size: Some(2 << 20), ..shape() };
    let opened = journal::open(crashed.path(), small, 8 << 20).map(drop);
    assert!(matches!(opened, Err(kv::Error::Full(_))), "{opened:?}");
    let (files, journal) = journal::open(crashed.path(), small, MAP).unwrap();
    assert_same(&contents(&files), &expected);
    drop((files, journal));
    assert_same(&recovered(crashed.path()), &expected);
}

/// The map grows while no checkpoint can begin: what the last one needs stays all the same.
#[test]
fn a_map_that_grows_without_a_checkpoint_is_safe() {
    let small = Shape { map_size: Some(1 << 20), ..shape() };
    let (machine, mut group) = Machine::start_with(tempfile::tempdir().unwrap(), 13, small);
    group.journal.groups = 1_000_000;
    (0..20).for_each(|key| drop(put(&mut group, "main", key, 3000, LATER + key)));
    group.journal.checkpoint().unwrap();
    let mut states = vec![machine.data()];
    let next = format!("log.{}", (group.journal.log.segment().number + 1) % 3);
    let next = machine.dir.path().join(next);
    let aside = machine.dir.path().join("aside");
    std::fs::rename(&next, &aside).unwrap();
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    let before = machine.files.numbers().unwrap().map;
    for n in 0..400 {
        put(&mut group, "main", n % 20 + 1000 * (n % 2), 3000, 2 * LATER + n);
        if n == 200 {
            group.journal.checkpoint().unwrap();
        }
    }
    assert!(machine.files.numbers().unwrap().map > before, "it grew");
    states.push(machine.data());
    let expected = contents(&machine.files);
    std::fs::remove_file(&next).unwrap();
    std::fs::rename(&aside, &next).unwrap();
    assert_same(&recovered(machine.crash(&states).path()), &expected);
}

/// What fails while a newcomer's namespace is made ends the writer, and nobody is told that it is done.
#[test]
fn a_failure_under_a_newcomer_is_everybodys() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 14);
    let namespace = group.namespace("main", LATER).unwrap().unwrap();
    let mut batch = Batch::new(CommitId([7; 16]), Durability::Durable);
    batch.put_stamped(b"key", &[b"value"]);
    let work = Work::Commit(batch);
    let entry = Entry { client: 1, namespace, work, refused: None, committed: None, reply: None };
    group.add(entry, LATER).unwrap();
    group.journal.log.break_it();
    assert!(group.namespace("third", LATER).is_err());
    group.commit(LATER + 1).unwrap();
    assert!(group.take_finished().is_empty());
    assert!(!contents(&machine.files).contains_key(&b"main/key"[..]));
}

/// The clock was days ahead once, when another namespace committed.
#[test]
fn a_recovery_forgets_no_outcome() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 15);
    put(&mut group, "other", 1, 10, 2 * LATER);
    group.journal.finish().unwrap();
    let held = Arc::clone(&group.journal.held);
    let _holding = held.lock().unwrap();
    let done = put(&mut group, "main", 2, 10, LATER);
    put(&mut group, "other", 3, 10, LATER + 1);
    let states = [machine.data()];
    let crashed = machine.crash(&states);
    let (_again, mut group) = Machine::start(crashed, 16);
    let namespace = group.namespace("main", LATER + 2).unwrap().unwrap();
    let id = CommitId((u128::from(LATER) << 64 | 2).to_be_bytes());
    let asked = ask(&mut group, namespace, Work::Outcome(id), LATER + 3);
    let [Reply::Done(version)] = done[..] else { panic!("{done:?}") };
    assert_eq!(asked, [Reply::Outcome(kv::Outcome::Committed(version))]);
}

/// A checkpoint that some later segment relied on is not replaced by one before it.
#[test]
fn a_base_that_is_lost_is_missed() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 17);
    for _ in 0..3 {
        machine.commit(&mut group, Durability::Durable);
        group.journal.checkpoint().unwrap();
    }
    let states = [machine.data()];
    let crashed = machine.crash(&states);
    let newest = Segment::all(crashed.path()).unwrap().pop().unwrap();
    let (number, image) = (newest.number, newest.image.clone());
    newest.set_mark(Mark::Begun).unwrap();
    // Without another one after it, it never was complete.
    drop(journal::open(crashed.path(), shape(), MAP).unwrap());
    let crashed = machine.crash(&states);
    Segment::all(crashed.path()).unwrap().pop().unwrap().set_mark(Mark::Begun).unwrap();
    drop(crate::log::Log::begin(crashed.path(), number + 2, 0, number, image).unwrap());
    let opened = journal::open(crashed.path(), shape(), MAP).map(drop);
    assert!(matches!(opened, Err(kv::Error::Corrupt(_))), "{opened:?}");
}

/// More than a file of the log keeps when it is used again, in the segment of the last checkpoint and
/// in the one that goes on.
#[test]
fn a_long_log_is_read_to_its_end() {
    let (machine, mut group) = Machine::start(tempfile::tempdir().unwrap(), 18);
    group.journal.groups = 1_000_000;
    let states = [machine.data()];
    for key in 0..45 {
        put(&mut group, "main", key, 1 << 20, LATER + key);
    }
    let expected = contents(&machine.files);
    let crashed = machine.crash(&[states[0].clone(), machine.data()]);
    assert_same(&recovered(crashed.path()), &expected);
    let held = Arc::clone(&group.journal.held);
    let _holding = held.lock().unwrap();
    group.journal.groups = 1;
    put(&mut group, "main", 45, 1 << 20, LATER + 45);
    group.journal.groups = 1_000_000;
    for key in 46..90 {
        put(&mut group, "main", key, 1 << 20, LATER + key);
    }
    let expected = contents(&machine.files);
    let crashed = machine.crash(&[states[0].clone(), machine.data()]);
    let segments = Segment::all(crashed.path()).unwrap();
    let marks: Vec<_> = segments.iter().rev().take(2).map(|one| one.mark).collect();
    assert_eq!(marks, [Mark::Begun, Mark::Complete]);
    assert_same(&recovered(crashed.path()), &expected);
}
