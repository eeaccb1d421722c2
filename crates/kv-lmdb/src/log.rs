//! The log: what was committed since the last checkpoint, on the disk before anybody can see it.
//!
//! LMDB makes a commit durable by syncing every page it changed, some thirty of them wherever they
//! lie, and then the page that makes them valid. Here a group is one record at the end of a file and
//! one sync. LMDB's own pages are written behind it without a sync, and every so often all of them
//! are synced at once (`journal`), after which older records are not needed any more.
//!
//! # Segments
//!
//! Each checkpoint begins a segment of its own, number *n* in the file `log.{n % 3}`: the segment of
//! the last complete checkpoint, that of the one under way, and a third that a recovery may begin
//! without writing over these two. Files are used again and not truncated: overwriting
//! blocks that are there is the cheapest thing to sync.
//!
//! | offset | content |
//! |---|---|
//! | 0 | `fgreslog`, format (4), length of the image (4), number (8), salt (8), first sequence number (8), number of the last segment that was complete (8), the machine's boot id (16), CRC-32 of these and the image (4) |
//! | 512 | the mark: number (8), 1 for complete or 2 for failed (4), CRC-32 of the salt and these (4) |
//! | 4096 | the image: LMDB's two meta pages as they were when the checkpoint began |
//! | next multiple of 4096 | records |
//!
//! A record is CRC-32 (4), zero (4), sequence number (8), length (8), and as many bytes of items. The
//! checksum covers the segment's salt as well, so that nothing that the file held before passes for a
//! record. An item is a kind (1), length and text of the namespace (1 + n), a commit's id (16), its
//! version (8), length (8) and operations, as [`kv::Batch::encoded`] has them; or the same for a fence
//! with the moment it was made and nothing behind it. All numbers are little-endian.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32fast::Hasher;
use kv::{CommitId, Version};

const MAGIC: &[u8; 8] = b"fgreslog";
const FORMAT: u32 = 1;
/// How many files there are.
const FILES: u64 = 3;
/// Length of the head without its checksum.
const HEAD: usize = 64;
const MARK_AT: u64 = 512;
const MARK: usize = 16;
const IMAGE_AT: u64 = 4096;
const BLOCK: u64 = 4096;
/// Longest image: two pages of the largest machine.
const MAX_IMAGE: usize = 2 << 16;
const RECORD: usize = 24;
/// Each file is made this long and keeps it.
const LENGTH: u64 = 1 << 20;
/// A file that became longer is cut when it is used again.
const MAX_LENGTH: u64 = 32 << 20;
const COMMIT: u8 = 1;
const FENCE: u8 = 2;
/// Length of an item without its name and its operations.
const ITEM: usize = 34;

/// What became of the checkpoint that a segment begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// It is under way, or its writer died.
    Begun,
    /// Everything that the image leads to is on the disk.
    Complete,
    /// The disk refused, so that nobody knows what is on it.
    Failed,
}

/// A thing that a record says happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item<'a> {
    /// A commit, with the operations of its batch.
    Commit { namespace: &'a str, id: CommitId, version: Version, ops: &'a [u8] },
    /// A promise that this id will never be committed, and when it was made.
    Fence { namespace: &'a str, id: CommitId, made: u64 },
}

impl<'a> Item<'a> {
    pub(crate) fn namespace(&self) -> &'a str {
        match self {
            Item::Commit { namespace, .. } | Item::Fence { namespace, .. } => namespace,
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (kind, namespace, id, number, ops) = match *self {
            Item::Commit { namespace, id, version, ops } => (COMMIT, namespace, id, version.0, ops),
            Item::Fence { namespace, id, made } => (FENCE, namespace, id, made, &[][..]),
        };
        out.write_all(&[kind, namespace.len() as u8])?;
        out.write_all(namespace.as_bytes())?;
        out.write_all(&id.0)?;
        out.write_all(&number.to_le_bytes())?;
        out.write_all(&(ops.len() as u64).to_le_bytes())?;
        out.write_all(ops)
    }

    fn size(&self) -> usize {
        match self {
            Item::Commit { namespace, ops, .. } => ITEM + namespace.len() + ops.len(),
            Item::Fence { namespace, .. } => ITEM + namespace.len(),
        }
    }

    fn read(bytes: &'a [u8]) -> Option<(Item<'a>, &'a [u8])> {
        let ([kind, length], rest) = bytes.split_first_chunk()?;
        let (namespace, rest) = rest.split_at_checked(usize::from(*length))?;
        let namespace = std::str::from_utf8(namespace).ok()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (ops, rest) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (id, number) = (CommitId(*id), u64::from_le_bytes(*number));
        let item = match *kind {
            COMMIT => Item::Commit { namespace, id, version: Version(number), ops },
            FENCE => Item::Fence { namespace, id, made: number },
            _ => return None,
        };
        Some((item, rest))
    }
}

/// The items of a record; none if it is damaged.
pub(crate) fn decode(mut body: &[u8]) -> Option<Vec<Item<'_>>> {
    let mut items = Vec::new();
    while !body.is_empty() {
        let (item, rest) = Item::read(body)?;
        items.push(item);
        body = rest;
    }
    Some(items)
}

/// One segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// LMDB's meta pages as they were when the checkpoint began.
    pub(crate) image: Vec<u8>,
    pub(crate) mark: Mark,
    /// Sequence number of the first record.
    pub(crate) first: u64,
    /// The segment that was the newest complete one when this one began; zero if there was none.
    pub(crate) base: u64,
    /// Names the time between two starts of the machine in which it began.
    pub(crate) boot: u128,
    file: Arc<File>,
    salt: u64,
}

impl Segment {
    /// The segments that the directory has, in order. What no head stands on is none.
    pub(crate) fn all(dir: &Path) -> io::Result<Vec<Segment>> {
        let mut found = Vec::new();
        for number in 0..FILES {
            match OpenOptions::new().read(true).write(true).open(path(dir, number)) {
                Ok(file) => found.extend(Segment::read(file)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|segment| segment.number);
        Ok(found)
    }

    fn read(file: File) -> io::Result<Option<Segment>> {
        let mut head = [0; HEAD + 4];
        if !fill(&file, &mut head, 0)? || head[..8] != *MAGIC || int(&head[8..]) != FORMAT {
            return Ok(None);
        }
        let length = int(&head[12..]) as usize;
        let mut image = vec![0; length.min(MAX_IMAGE)];
        if length > MAX_IMAGE || !fill(&file, &mut image, IMAGE_AT)? {
            return Ok(None);
        }
        if int(&head[HEAD..]) != checksum(&[&head[..HEAD], &image]) {
            return Ok(None);
        }
        let mut segment = Segment {
            number: long(&head[16..]),
            image,
            mark: Mark::Begun,
            first: long(&head[32..]),
            base: long(&head[40..]),
            boot: u128::from(long(&head[48..])) | u128::from(long(&head[56..])) << 64,
            file: Arc::new(file),
            salt: long(&head[24..]),
        };
        segment.mark = segment.read_mark()?;
        Ok(Some(segment))
    }

    fn read_mark(&self) -> io::Result<Mark> {
        let mut mark = [0; MARK];
        let whole = fill(&self.file, &mut mark, MARK_AT)?;
        let sum = checksum(&[&self.salt.to_le_bytes(), &mark[..12]]);
        let ours = long(&mark) == self.number && int(&mark[12..]) == sum;
        Ok(match int(&mark[8..]) {
            1 if whole && ours => Mark::Complete,
            2 if whole && ours => Mark::Failed,
            _ => Mark::Begun,
        })
    }

    /// Writes the head into the file of this number; it is durable with what is synced next.
    fn begin(
        dir: &Path,
        number: u64,
        first: u64,
        base: u64,
        image: Vec<u8>,
    ) -> io::Result<Segment> {
        let file = Arc::new(reserve(dir, number)?);
        if file.metadata()?.len() > MAX_LENGTH {
            file.set_len(MAX_LENGTH)?;
        }
        let mut salt = [0; 8];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())?;
        let (salt, mark, boot) = (u64::from_le_bytes(salt), Mark::Begun, boot());
        let segment = Segment { number, image, mark, first, base, boot, file, salt };
        segment.file.write_all_at(&[0; MARK], MARK_AT)?;
        segment.write_head()?;
        Ok(segment)
    }

    fn write_head(&self) -> io::Result<()> {
        let mut head = Vec::with_capacity(HEAD + 4);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&(self.image.len() as u32).to_le_bytes());
        for number in [self.number, self.salt, self.first, self.base] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(&self.boot.to_le_bytes());
        head.extend_from_slice(&checksum(&[&head, &self.image]).to_le_bytes());
        self.file.write_all_at(&self.image, IMAGE_AT)?;
        self.file.write_all_at(&head, 0)
    }

    /// Writes again what a complete segment begins with, durably: who wrote it may have failed to sync
    /// it, and only the cache may have it.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        self.write_head()?;
        self.set_mark(Mark::Complete)
    }

    /// Says durably what became of the checkpoint.
    pub(crate) fn set_mark(&self, mark: Mark) -> io::Result<()> {
        let state: u32 = match mark {
            Mark::Begun => 0,
            Mark::Complete => 1,
            Mark::Failed => 2,
        };
        let mut bytes = Vec::with_capacity(MARK);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&state.to_le_bytes());
        let sum = checksum(&[&self.salt.to_le_bytes(), &bytes]);
        bytes.extend_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&bytes, MARK_AT)?;
        self.file.sync_data()
    }

    fn records_at(&self) -> u64 {
        IMAGE_AT + (self.image.len() as u64).next_multiple_of(BLOCK)
    }

    /// The records in order.
    pub(crate) fn records(&self) -> io::Result<Records<'_>> {
        let length = self.file.metadata()?.len();
        Ok(Records { segment: self, at: self.records_at(), sequence: self.first, length })
    }
}

/// What the records of a segment hold, one after the other, up to the first that is not whole.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    segment: &'a Segment,
    at: u64,
    /// Number of the next one.
    pub(crate) sequence: u64,
    length: u64,
}

impl Records<'_> {
    /// The body of the next record.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; RECORD];
        if !fill(&self.segment.file, &mut head, self.at)? || long(&head[8..]) != self.sequence {
            return Ok(None);
        }
        let begin = self.at + RECORD as u64;
        let size = long(&head[16..]);
        if size > self.length.saturating_sub(begin) {
            return Ok(None);
        }
        let mut body = vec![0; size as usize];
        let whole = fill(&self.segment.file, &mut body, begin)?;
        let sum = checksum(&[&self.segment.salt.to_le_bytes(), &head[8..], &body]);
        if !whole || int(&head) != sum {
            return Ok(None);
        }
        self.at = begin + size;
        self.sequence += 1;
        Ok(Some(body))
    }
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    segment: Segment,
    /// Where the next record goes, and its number.
    end: u64,
    sequence: u64,
    /// Where the last record begins.
    last: u64,
    unsynced: bool,
}

impl Log {
    /// Begins segment `number`, whose first record will have the number `first`, while `base` is the
    /// newest complete one.
    pub(crate) fn begin(
        dir: &Path,
        number: u64,
        first: u64,
        base: u64,
        image: Vec<u8>,
    ) -> io::Result<Log> {
        let segment = Segment::begin(dir, number, first, base, image)?;
        let end = segment.records_at();
        Ok(Log { dir: dir.into(), segment, end, sequence: first, last: end, unsynced: true })
    }

    /// Makes all the files that there will be, as long as they will usually be, so that a disk that
    /// becomes full later does not prevent a checkpoint.
    pub(crate) fn reserve(dir: &Path) -> io::Result<()> {
        (0..FILES).try_for_each(|number| reserve(dir, number).map(drop))?;
        File::open(dir)?.sync_all()
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// From now on it cannot be written.
    #[cfg(test)]
    pub(crate) fn break_it(&mut self) {
        self.segment.file = Arc::new(File::open("/dev/null").expect("there is one"));
    }

    /// How many bytes of records the segment has.
    pub(crate) fn bytes(&self) -> u64 {
        self.end - self.segment.records_at()
    }

    /// Adds a record. After an error it is as if nothing had been added.
    pub(crate) fn append(&mut self, items: &[Item<'_>]) -> io::Result<()> {
        let length = items.iter().map(Item::size).sum();
        self.append_with(length, |out| items.iter().try_for_each(|item| item.write(out)))
    }

    /// Adds a record of another segment.
    pub(crate) fn append_body(&mut self, body: &[u8]) -> io::Result<()> {
        self.append_with(body.len(), |out| out.write_all(body))
    }

    fn append_with(
        &mut self,
        length: usize,
        write: impl Fn(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut head = [0; RECORD];
        head[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        head[16..].copy_from_slice(&(length as u64).to_le_bytes());
        let mut sum = Sum(Hasher::new());
        sum.write_all(&self.segment.salt.to_le_bytes())?;
        sum.write_all(&head[8..])?;
        write(&mut sum)?;
        head[..4].copy_from_slice(&sum.0.finalize().to_le_bytes());
        self.unsynced = true;
        let place = Place { file: &self.segment.file, at: self.end };
        let mut out = BufWriter::with_capacity((RECORD + length).min(BUFFER), place);
        out.write_all(&head)?;
        write(&mut out)?;
        out.flush()?;
        self.last = self.end;
        self.end += (RECORD + length) as u64;
        self.sequence += 1;
        Ok(())
    }

    /// Takes the last record back, durably.
    pub(crate) fn retract(&mut self) -> io::Result<()> {
        self.segment.file.write_all_at(&[0; RECORD], self.last)?;
        self.end = self.last;
        self.sequence -= 1;
        self.unsynced = true;
        self.sync()
    }

    /// Makes every record durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.segment.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Goes on in the next segment. After an error it is still this one.
    /// What was added must be durable by then, so that there is no gap at the end of this one.
    pub(crate) fn switch(&mut self, base: u64, image: Vec<u8>) -> io::Result<()> {
        debug_assert!(!self.unsynced);
        *self = Log::begin(&self.dir, self.segment.number + 1, self.sequence, base, image)?;
        Ok(())
    }
}

/// Most memory for a record that is written.
const BUFFER: usize = 1 << 20;

/// A checksum as something to write to.
struct Sum(Hasher);

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A place in a file.
struct Place<'a> {
    file: &'a File,
    at: u64,
}

impl Write for Place<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("log.{}", number % FILES))
}

/// The file of a number, with blocks to write over.
fn reserve(dir: &Path, number: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path(dir, number))?;
    let length = file.metadata()?.len();
    if length < LENGTH {
        file.write_all_at(&vec![0; (LENGTH - length) as usize], length)?;
        file.sync_all()?;
    }
    Ok(file)
}

/// Reads as many bytes as fit; false if the file ends before.
fn fill(file: &File, bytes: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kernel's name for this run of the machine; zero if it has none.
pub(crate) fn boot() -> u128 {
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&name.trim().replace('-', ""), 16).unwrap_or_default()
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut sum = Hasher::new();
    parts.iter().for_each(|part| sum.update(part));
    sum.finalize()
}

fn int(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn long(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(version: u64, ops: &[u8]) -> Item<'_> {
        let id = CommitId([version as u8; 16]);
        Item::Commit { namespace: "main", id, version: Version(version), ops }
    }

    fn bodies(segment: &Segment) -> Vec<Vec<u8>> {
        let mut records = segment.records().unwrap();
        std::iter::from_fn(|| records.next().unwrap()).collect()
    }

    fn only(dir: &Path) -> Segment {
        let mut all = Segment::all(dir).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn records_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::begin(dir.path(), 4, 100, 3, vec![7; 8192]).unwrap();
        let fence = Item::Fence { namespace: "other", id: CommitId([9; 16]), made: 5 };
        let large = vec![3; 3 << 20];
        log.append(&[commit(1, b"first"), fence]).unwrap();
        log.append(&[commit(2, &large)]).unwrap();
        let found = only(dir.path());
        assert_eq!((found.number, found.first, found.mark), (4, 100, Mark::Begun));
        assert_eq!((found.base, found.boot), (3, boot()));
        assert_eq!(found.image, vec![7; 8192]);
        let bodies = bodies(&found);
        assert_eq!(decode(&bodies[0]).unwrap(), [commit(1, b"first"), fence]);
        assert_eq!(decode(&bodies[1]).unwrap(), [commit(2, &large)]);
        assert_eq!(bodies.len(), 2);
        assert_eq!(decode(&bodies[0][1..]), None);
    }

    #[test]
    fn marks_belong_to_their_segment() {
        let dir = tempfile::tempdir().unwrap();
        for (number, mark) in [(1, Mark::Complete), (4, Mark::Begun), (7, Mark::Failed)] {
            let log = Log::begin(dir.path(), number, 0, 0, vec![0; 8192]).unwrap();
            if mark != Mark::Begun {
                log.segment().set_mark(mark).unwrap();
            }
            assert_eq!(only(dir.path()).mark, mark);
        }
    }

    /// What the file held in an earlier life, what was taken back and what is damaged is no record.
    #[test]
    fn only_whole_records_of_this_segment_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut old = Log::begin(dir.path(), 0, 0, 0, vec![0; 8192]).unwrap();
        (0..10).for_each(|version| old.append(&[commit(version, b"old")]).unwrap());
        let mut log = Log::begin(dir.path(), 3, 0, 0, vec![0; 8192]).unwrap();
        (0..3).for_each(|version| log.append(&[commit(version, b"new")]).unwrap());
        assert_eq!(bodies(&only(dir.path())).len(), 3);
        log.retract().unwrap();
        assert_eq!(bodies(&only(dir.path())).len(), 2);
        log.append(&[commit(8, b"again")]).unwrap();
        assert_eq!(bodies(&only(dir.path())).len(), 3);
        let place = log.last + RECORD as u64 + 20;
        log.segment.file.write_all_at(b"X", place).unwrap();
        assert_eq!(bodies(&only(dir.path())).len(), 2);
    }

    #[test]
    fn segments_follow_one_another() {
        let dir = tempfile::tempdir().unwrap();
        Log::reserve(dir.path()).unwrap();
        assert!(Segment::all(dir.path()).unwrap().is_empty());
        let mut log = Log::begin(dir.path(), 1, 0, 0, vec![0; 8192]).unwrap();
        for number in 2..6 {
            log.append(&[commit(number, b"")]).unwrap();
            log.sync().unwrap();
            log.switch(1, vec![number as u8; 8192]).unwrap();
        }
        let all = Segment::all(dir.path()).unwrap();
        let numbers: Vec<_> = all.iter().map(|segment| (segment.number, segment.first)).collect();
        assert_eq!(numbers, [(3, 2), (4, 3), (5, 4)]);
    }
}
