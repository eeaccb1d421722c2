//! What the writer knows of one namespace beyond what is in the file.
//!
//! Everything here has two states: what is committed, and what the open write transaction adds.
//! [`Namespace::committed`] makes the second the first, [`Namespace::roll_back`] drops it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Bound;

use heed::RwTxn;
use kv::{CommitId, Error, Outcome, ReadStamp, Result, Version};

use crate::failure::{Failure, from_heed};
use crate::files::{Database, Files};
use crate::recent::RecentWrites;
use crate::record;

/// Commits whose ids are kept in memory.
const REMEMBERED: usize = 1 << 18;
/// For how long the outcome of a commit can be asked, in microseconds.
const RETENTION: u64 = 3_600_000_000;
/// Time between two removals of old markers, in microseconds.
const PRUNING: u64 = 10_000_000;

type Heed<T> = heed::Result<T>;

/// One namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) data: Database,
    pub(crate) stamp: ReadStamp,
    pub(crate) writes: RecentWrites,
    /// No key of the data is greater; none if that is not known.
    pub(crate) last_key: Option<Vec<u8>>,
    committed: ReadStamp,
    meta: Database,
    commits: Database,
    /// Commits and fences of the open transaction.
    pending: Vec<(CommitId, Version)>,
    pending_fences: Vec<(CommitId, u64)>,
    remembered: HashMap<CommitId, Version>,
    /// What is remembered, oldest first, with the newest version of its group.
    order: VecDeque<(CommitId, Version)>,
    /// Every commit of the groups after the one with this newest version is remembered.
    remembered_after: Version,
    fences: HashSet<CommitId>,
    pruned_at: u64,
}

impl Namespace {
    /// A namespace as the file has it.
    pub(crate) fn load(
        files: &Files,
        name: &str,
        [meta, data, commits]: [Database; 3],
    ) -> Result<Namespace> {
        let key = record::stamp_key(name);
        let stamp = files.read(|txn| Ok(record::decode_stamp(meta.get(txn, &key)?)))?;
        let stamp =
            stamp.ok_or_else(|| Error::Corrupt(format!("the record of namespace {name:?}")))?;
        let mut namespace = Namespace {
            name: name.into(),
            data,
            stamp,
            writes: RecentWrites::starting_after(stamp.version),
            last_key: None,
            committed: stamp,
            meta,
            commits,
            pending: Vec::new(),
            pending_fences: Vec::new(),
            remembered: HashMap::new(),
            order: VecDeque::new(),
            remembered_after: stamp.version,
            fences: HashSet::new(),
            pruned_at: 0,
        };
        namespace.fences = files.read(|txn| namespace.stored_fences(txn))?;
        Ok(namespace)
    }

    /// The version of the next commit.
    pub(crate) fn next_version(&self, now: u64) -> Version {
        Version(now.max(self.stamp.version.0.saturating_add(1)))
    }

    /// Notes a commit of the open transaction.
    pub(crate) fn note_commit(&mut self, id: CommitId, version: Version) {
        self.stamp.version = version;
        self.pending.push((id, version));
    }

    /// What is already known of an id that is about to be committed.
    pub(crate) fn known(&self, id: CommitId) -> Option<Outcome> {
        if !self.fences.is_empty() && self.fences.contains(&id) {
            return Some(Outcome::NotCommitted);
        }
        if let Some(version) = self.remembered.get(&id) {
            return Some(Outcome::Committed(*version));
        }
        let mut pending = self.pending.iter().rev();
        pending.find(|(known, _)| *known == id).map(|(_, version)| Outcome::Committed(*version))
    }

    /// What became of a commit. If it did not happen, a fence sees to it that it never will: the
    /// batch may still lie in the socket of a connection that its sender gave up.
    pub(crate) fn outcome(&mut self, id: CommitId, txn: &mut RwTxn<'_>, now: u64) -> Heed<Outcome> {
        if let Some(known) = self.known(id) {
            return Ok(known);
        }
        if let Some(version) = self.stored_commit(id, txn)? {
            return Ok(Outcome::Committed(version));
        }
        self.fence(id, now, txn)?;
        Ok(Outcome::NotCommitted)
    }

    /// Promises that `id` will never be committed.
    pub(crate) fn fence(&mut self, id: CommitId, made: u64, txn: &mut RwTxn<'_>) -> Heed<()> {
        self.commits.put(txn, &record::fence_key(id), &made.to_be_bytes())?;
        self.fences.insert(id);
        self.pending_fences.push((id, made));
        Ok(())
    }

    /// The fences that the open transaction adds, and when they were made.
    pub(crate) fn pending_fences(&self) -> &[(CommitId, u64)] {
        &self.pending_fences
    }

    /// Writes what the open transaction adds, as the last thing before it is committed.
    pub(crate) fn save(&mut self, txn: &mut RwTxn<'_>, now: u64) -> Heed<()> {
        if self.stamp != self.committed {
            let key = record::stamp_key(&self.name);
            self.meta.put(txn, &key, &record::encode_stamp(self.stamp))?;
        }
        if let Some((_, newest)) = self.pending.last() {
            let key = record::group_key(*newest);
            self.commits.put(txn, &key, &record::encode_group(&self.pending))?;
        }
        if !self.pending.is_empty() && now >= self.pruned_at.saturating_add(PRUNING) {
            self.pruned_at = now;
            self.prune(txn, now)?;
        }
        Ok(())
    }

    /// The open transaction is committed.
    pub(crate) fn committed(&mut self) {
        self.committed = self.stamp;
        self.pending_fences.clear();
        let group = self.stamp.version;
        for (id, version) in self.pending.drain(..) {
            self.remembered.insert(id, version);
            self.order.push_back((id, group));
        }
        while self.order.len() > REMEMBERED {
            let Some((id, group)) = self.order.pop_front() else { break };
            self.remembered.remove(&id);
            self.remembered_after = group;
        }
    }

    /// The open transaction came to nothing.
    pub(crate) fn roll_back(&mut self) {
        self.stamp = self.committed;
        self.writes.roll_back(self.committed.version);
        self.last_key = None;
        self.pending.clear();
        for (id, _) in self.pending_fences.drain(..) {
            self.fences.remove(&id);
        }
    }

    /// Looks through the groups that are not remembered, newest first: questions are about commits
    /// of a moment ago.
    fn stored_commit(&self, id: CommitId, txn: &RwTxn<'_>) -> Heed<Option<Version>> {
        let first = record::group_key(Version::ZERO);
        let newest = record::group_key(self.remembered_after);
        let range = (Bound::Included(&first[..]), Bound::Included(&newest[..]));
        for group in self.commits.rev_range(txn, &range)? {
            let (_, group) = group?;
            let Some(mut commits) = record::decode_group(group) else {
                return Err(heed::MdbError::Corrupted.into());
            };
            if let Some((_, version)) = commits.find(|(known, _)| *known == id) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    fn stored_fences(&self, txn: &heed::RoTxn<'_>) -> Heed<HashSet<CommitId>> {
        let mut found = HashSet::new();
        for fence in self.commits.prefix_iter(txn, &[record::FENCE])? {
            found.extend(record::fenced(fence?.0));
        }
        Ok(found)
    }

    fn prune(&mut self, txn: &mut RwTxn<'_>, now: u64) -> Heed<()> {
        let old = now.saturating_sub(RETENTION);
        let first = record::group_key(Version::ZERO);
        let end = record::group_key(Version(old));
        self.commits
            .delete_range(txn, &(Bound::Included(&first[..]), Bound::Excluded(&end[..])))?;
        let mut expired = Vec::new();
        for fence in self.commits.prefix_iter(txn, &[record::FENCE])? {
            let (key, made) = fence?;
            if made < &old.to_be_bytes()[..] {
                expired.extend(record::fenced(key));
            }
        }
        for id in expired {
            self.commits.delete(txn, &record::fence_key(id))?;
            self.fences.remove(&id);
        }
        Ok(())
    }
}

/// Makes the databases of a namespace if they are not there, and loads it.
pub(crate) fn open(files: &Files, name: &str) -> std::result::Result<Namespace, Failure> {
    let names = [record::META, &record::data_name(name), &record::commits_name(name)];
    let databases = files.create(names)?;
    Namespace::load(files, name, databases).map_err(Failure::Fatal)
}

/// Checks the version of the format, or writes it into a file that is new or of a format before.
pub(crate) fn settle_format(files: &Files) -> Result<()> {
    let (meta, found) = format(files)?;
    match found {
        Some(found) if found == record::FORMAT => Ok(()),
        None | Some(record::FORMAT_WITHOUT_LOG) => write_format(files, meta),
        Some(found) => Err(unknown_format(found)),
    }
}

/// `Corrupt` if the file belongs to a log, which is not there.
pub(crate) fn refuse_without_log(files: &Files) -> Result<()> {
    match format(files)?.1 {
        None | Some(record::FORMAT_WITHOUT_LOG) => Ok(()),
        Some(record::FORMAT) => Err(Error::Corrupt(
            "the store's log is missing; without it nobody knows what of the file is whole".into(),
        )),
        Some(found) => Err(unknown_format(found)),
    }
}

fn format(files: &Files) -> Result<(Database, Option<[u8; 4]>)> {
    let [meta] = files.create([record::META]).map_err(Failure::into_error)?;
    let found =
        files.read(|txn| Ok(meta.get(txn, record::FORMAT_KEY)?.map(<[u8; 4]>::try_from)))?;
    let found = found.transpose();
    Ok((meta, found.map_err(|_| Error::Corrupt("the record of the file's format".into()))?))
}

fn unknown_format(found: [u8; 4]) -> Error {
    Error::WrongStore(format!(
        "the store's file is of format {}; this program knows {} and writes {}",
        u32::from_be_bytes(found),
        u32::from_be_bytes(record::FORMAT_WITHOUT_LOG),
        u32::from_be_bytes(record::FORMAT)
    ))
}

fn write_format(files: &Files, meta: Database) -> Result<()> {
    let mut txn = files.write().map_err(Failure::into_error)?;
    meta.put(&mut txn, record::FORMAT_KEY, &record::FORMAT).map_err(from_heed)?;
    txn.commit().map_err(from_heed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Shape;

    const START: u64 = 1_000_000_000_000;

    fn id(number: u64) -> CommitId {
        CommitId((u128::from(number) << 64).to_be_bytes())
    }

    fn files() -> (tempfile::TempDir, std::sync::Arc<Files>) {
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape { map_size: Some(1 << 30), max_readers: 10, max_namespaces: 1 };
        let files = Files::open(dir.path(), shape, None).unwrap();
        (dir, files)
    }

    /// Commits one group of these ids.
    fn commit(namespace: &mut Namespace, files: &Files, ids: std::ops::Range<u64>, now: u64) {
        let mut txn = files.write().unwrap();
        ids.for_each(|number| namespace.note_commit(id(number), namespace.next_version(now)));
        namespace.save(&mut txn, now).unwrap();
        txn.commit().unwrap();
        namespace.committed();
    }

    fn outcome(namespace: &mut Namespace, files: &Files, number: u64, now: u64) -> Outcome {
        let mut txn = files.write().unwrap();
        let outcome = namespace.outcome(id(number), &mut txn, now).unwrap();
        txn.commit().unwrap();
        outcome
    }

    /// Also when memory has forgotten a part of a group.
    #[test]
    fn what_memory_forgets_is_found_in_the_file() {
        let (_dir, files) = files();
        let mut namespace = open(&files, "main").unwrap();
        commit(&mut namespace, &files, 0..3, START);
        commit(&mut namespace, &files, 3..2 + REMEMBERED as u64, START + 10);
        assert_eq!(namespace.known(id(1)), None);
        for number in 0..3 {
            let version = Version(START + number);
            let found = outcome(&mut namespace, &files, number, START);
            assert_eq!(found, Outcome::Committed(version));
        }
        let never = 1 << 40;
        assert_eq!(outcome(&mut namespace, &files, never, START), Outcome::NotCommitted);
        assert_eq!(namespace.known(id(never)), Some(Outcome::NotCommitted));
    }

    #[test]
    fn a_fence_that_is_rolled_back_was_never_made() {
        let (_dir, files) = files();
        let mut namespace = open(&files, "main").unwrap();
        let mut txn = files.write().unwrap();
        namespace.outcome(id(1), &mut txn, START).unwrap();
        txn.abort();
        namespace.roll_back();
        assert_eq!(namespace.known(id(1)), None);
    }

    /// Markers and fences older than the retention go with a later commit, newer ones stay.
    #[test]
    fn old_markers_are_removed() {
        let (_dir, files) = files();
        let mut namespace = open(&files, "main").unwrap();
        commit(&mut namespace, &files, 0..1, START);
        outcome(&mut namespace, &files, 100, START);
        let later = START + RETENTION;
        commit(&mut namespace, &files, 1..2, later);
        assert_eq!(stored(&namespace, &files), 3);
        commit(&mut namespace, &files, 2..3, later + PRUNING);
        assert_eq!(stored(&namespace, &files), 2);
        assert_eq!(namespace.known(id(100)), None);
    }

    fn stored(namespace: &Namespace, files: &Files) -> u64 {
        files.read(|txn| namespace.commits.len(txn)).unwrap()
    }
}
