//! What makes commits durable although LMDB syncs nothing: the log, and checkpoints.
//!
//! LMDB never writes over a page that some snapshot still needs. So the writer keeps a read
//! transaction open, the *pin*, on the state of the last complete checkpoint: all of its pages are on
//! the disk and none of them changes until the next checkpoint is complete. Of what LMDB wrote since,
//! the disk may have any part after a crash of the machine, the meta pages that lead to it
//! included. They are the only pages that LMDB writes in place, and the log has their image: put
//! back, they lead to the checkpoint again, and the log leads on from there.
//!
//! A checkpoint begins between two groups: the log goes on in a new segment with an image of the meta
//! pages, and a thread pins that state, syncs the data file and marks the segment as complete,
//! while groups go on. Then the pin before it is given up, and with it the pages that only it needed.
//!
//! # Recovery
//!
//! [`open`] finds the newest complete segment, the *base*. If nobody has the files open,
//! the machine may have crashed, and it puts the image back. If others have, they read through
//! the same cache that LMDB writes to, which has everything, and the meta pages must not go back in
//! time under them. In both cases the state that LMDB then shows becomes a checkpoint of its own, with a
//! copy of the records behind the base in its segment, before anything is written: the pages of the old
//! base are protected by nobody any more. Then the records that LMDB does not have yet are
//! applied; a namespace's last version says which.
//!
//! A disk that refuses to sync may have dropped what it was given, and the cache is then no witness
//! either. The checkpoint is marked as failed, the writer ends, and no other opens the store before
//! everybody has closed it, which makes it go back to the base.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;

use kv::{Error, Result};
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::failure::{Failure, from_io};
use crate::files::{DATA, Files, Shape};
use crate::log::{Item, Log, Mark, Segment, boot};
use crate::namespace;
use crate::replay::Replay;

/// What has happened since a checkpoint began.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    groups: u64,
    /// When the first group was committed.
    since: u64,
    /// How long the segment was when the last checkpoint could not begin.
    bytes: u64,
}

/// Groups, each of which may write some thirty pages, after which a checkpoint begins.
const GROUPS: u64 = 512;
/// Bytes of log after which a checkpoint begins.
const BYTES: u64 = 64 << 20;
/// Microseconds after which what was committed is in a checkpoint, too.
const AGE: u64 = 30_000_000;
/// So many times as much, and everybody waits for the checkpoint that is under way.
const PATIENCE: u64 = 4;
/// Largest page that LMDB has, in bytes.
const MAX_PAGE: usize = 1 << 16;

/// The log, the last checkpoint, and the one under way.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Arc<Files>,
    /// LMDB's file, held open since before it was written to, so that no error of a sync is missed.
    data: Arc<File>,
    pub(crate) log: Log,
    /// Number of the segment that begins with the last complete checkpoint.
    base: u64,
    /// On the state of that checkpoint.
    pin: Pin,
    running: Option<Running>,
    load: Load,
    checkpoints: u64,
    /// As [`GROUPS`].
    pub(crate) groups: u64,
    /// While a test holds it, no checkpoint is completed.
    #[cfg(test)]
    pub(crate) held: Arc<std::sync::Mutex<()>>,
}

/// A checkpoint under way.
#[derive(Debug)]
struct Running {
    pin: Pin,
    /// Its segment's.
    number: u64,
    result: Receiver<io::Result<()>>,
}

/// Opens the files and brings them to where the log ends.
pub(crate) fn open(dir: &Path, shape: Shape, max_map: usize) -> Result<(Arc<Files>, Journal)> {
    let segments = Segment::all(dir).map_err(log_error)?;
    let tail = tail(&segments)?;
    let alone = Files::alone(dir)?;
    if alone.is_none() {
        believe_the_cache(&segments, tail)?;
    }
    if let Some(base) = tail.first() {
        base.confirm().map_err(log_error)?;
        if alone.is_some() {
            restore(dir, &base.image)?;
        }
    }
    let files = Files::open(dir, shape, alone)?;
    files.clear_stale_readers()?;
    if tail.is_empty() {
        namespace::refuse_without_log(&files)?;
    }
    let mut journal = Journal::begin(dir, &files, tail)?;
    files.stop_syncing()?;
    Replay::new(&files, max_map).run(tail)?;
    namespace::settle_format(&files)?;
    journal.checkpoint()?;
    Ok((files, journal))
}

/// The base and the segment that continues it; nothing if there never was a complete checkpoint.
fn tail(segments: &[Segment]) -> Result<&[Segment]> {
    let Some(newest) = segments.last() else { return Ok(&[]) };
    let base = if newest.mark == Mark::Complete { newest.number } else { newest.base };
    let is_base = |known: &Segment| known.number == base && known.mark == Mark::Complete;
    match segments.iter().position(is_base) {
        Some(at) => Ok(match &segments[at..] {
            [_, next, ..] if (next.number, next.base) == (base + 1, base) => &segments[at..at + 2],
            _ => &segments[at..=at],
        }),
        None if base == 0 => Ok(&[]),
        None => Err(Error::Corrupt(format!("the store's log has lost its segment {base}"))),
    }
}

/// Refuses to take what others see for what was written, where it may not be.
fn believe_the_cache(segments: &[Segment], tail: &[Segment]) -> Result<()> {
    if segments.last().is_some_and(|last| last.mark == Mark::Failed) {
        return Err(Error::Faulty(
            "the disk failed to keep what was written to the store; restart the server, so that it \
             goes back to the last checkpoint and forward from there"
                .into(),
        ));
    }
    if tail.first().is_some_and(|base| base.boot != boot()) {
        return Err(Error::Denied(
            "another program has had the store's file open since before the server has seen to it \
             after the start of this machine; end that program"
                .into(),
        ));
    }
    Ok(())
}

/// Passes the body of every record of the tail to `each`.
pub(crate) fn read(tail: &[Segment], mut each: impl FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
    let mut expected = tail.first().map_or(0, |base| base.first);
    for segment in tail {
        if segment.first != expected {
            return Err(Error::Corrupt(format!(
                "the store's log ends at record {expected} and goes on at {}",
                segment.first
            )));
        }
        let mut records = segment.records().map_err(log_error)?;
        while let Some(body) = records.next().map_err(log_error)? {
            each(body)?;
        }
        expected = records.sequence;
    }
    Ok(())
}

/// Puts the meta pages of a checkpoint back.
fn restore(dir: &Path, image: &[u8]) -> Result<()> {
    let path = dir.join(DATA);
    let restored = OpenOptions::new().write(true).open(&path).and_then(|file| {
        file.write_all_at(image, 0)?;
        file.sync_data()
    });
    restored.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            Error::Corrupt(format!("there is a log, but no {}", path.display()))
        }
        _ => from_io(&e, &format!("cannot write {}", path.display())),
    })
}

fn log_error(error: io::Error) -> Error {
    from_io(&error, "the store's log")
}

impl Journal {
    /// Makes what LMDB shows now the last complete checkpoint, with the records of `tail` behind it.
    fn begin(dir: &Path, files: &Arc<Files>, tail: &[Segment]) -> Result<Journal> {
        let path = dir.join(DATA);
        let data = OpenOptions::new().read(true).write(true).open(&path);
        let data = data.map_err(|e| from_io(&e, &format!("cannot open {}", path.display())))?;
        // Neither the base nor what continues it: its file must not be written over.
        let number = tail.first().map_or(1, |base| base.number + 2);
        Log::reserve(dir).map_err(log_error)?;
        let base = tail.first().map_or(0, |base| base.number);
        let log = Log::begin(dir, number, 0, base, image(&data)?);
        let mut log = log.map_err(log_error)?;
        read(tail, |body| log.append_body(&body).map_err(log_error))?;
        log.sync().map_err(log_error)?;
        let pin = Pin::take(files)?;
        conclude(&data, log.segment()).map_err(log_error)?;
        Ok(Journal {
            files: Arc::clone(files),
            data: Arc::new(data),
            base: number,
            log,
            pin,
            running: None,
            load: Load::default(),
            checkpoints: 0,
            groups: GROUPS,
            #[cfg(test)]
            held: Arc::default(),
        })
    }

    /// Adds a group, durably if that is wanted.
    pub(crate) fn append(
        &mut self,
        items: &[Item<'_>],
        durable: bool,
    ) -> std::result::Result<(), Failure> {
        self.log.append(items).map_err(|e| match from_io(&e, "the store's log") {
            Error::Full(text) => Failure::Full(text),
            error => Failure::Fatal(error),
        })?;
        if durable { self.sync().map_err(Failure::Fatal) } else { Ok(()) }
    }

    /// Takes the group that was added last back: LMDB had no room for it.
    pub(crate) fn retract(&mut self) -> Result<()> {
        self.log.retract().map_err(log_error)
    }

    /// Makes every group durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.log.sync().map_err(log_error)
    }

    /// Begins and ends checkpoints as they are due. An error ends the writer.
    pub(crate) fn tend(&mut self, committed: u64, now: u64) -> Result<()> {
        if self.load.groups == 0 {
            self.load.since = now;
        }
        self.load.groups += committed;
        match self.running.as_ref().map(|running| running.result.try_recv()) {
            None if self.is_due(1, now) => self.start()?,
            None => {}
            Some(Err(TryRecvError::Empty)) if self.is_due(PATIENCE, now) => self.finish()?,
            Some(Err(TryRecvError::Empty)) => {}
            Some(result) => self.adopt(result.unwrap_or_else(|_| Err(silent())))?,
        }
        Ok(())
    }

    fn is_due(&self, times: u64, now: u64) -> bool {
        let Load { groups, since, bytes } = self.load;
        let old = now.saturating_sub(since) >= AGE * times;
        let bytes = self.log.bytes().saturating_sub(bytes);
        groups >= self.groups * times || bytes >= BYTES * times || (groups > 0 && old)
    }

    /// Makes a checkpoint of what is committed and waits for it: a page that was freed before can be
    /// used again then.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        self.finish()?;
        self.start()?;
        self.finish()
    }

    /// Whether a checkpoint would free pages.
    pub(crate) fn holds_pages(&self) -> bool {
        self.load.groups > 0 || self.running.is_some()
    }

    /// Numbers for a person: checkpoints since the writer started, bytes of log since the last.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        (self.checkpoints, self.log.bytes())
    }

    /// Begins a checkpoint. If there is no room for one, or no slot for its pin, the log goes on where
    /// it is, and the next try is after as much again.
    fn start(&mut self) -> Result<()> {
        self.load = Load { bytes: self.log.bytes(), ..Load::default() };
        self.sync()?;
        let Ok(pin) = Pin::take(&self.files) else { return Ok(()) };
        match self.log.switch(self.base, image(&self.data)?).map_err(log_error) {
            Ok(()) => self.load.bytes = 0,
            Err(Error::Full(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let (done, result) = sync_channel(1);
        let (data, segment) = (Arc::clone(&self.data), self.log.segment().clone());
        #[cfg(test)]
        let held = Arc::clone(&self.held);
        pin.run(move || {
            #[cfg(test)]
            let _held = held.lock();
            // The writer may be gone, and with it the wish to know.
            let _ = done.send(conclude(&data, &segment));
        });
        self.running = Some(Running { pin, number: self.log.segment().number, result });
        Ok(())
    }

    /// Waits for the checkpoint that is under way.
    pub(crate) fn finish(&mut self) -> Result<()> {
        match self.running.as_ref().map(|running| running.result.recv()) {
            Some(result) => self.adopt(result.unwrap_or_else(|_| Err(silent()))),
            None => Ok(()),
        }
    }

    fn adopt(&mut self, result: io::Result<()>) -> Result<()> {
        if let Some(running) = self.running.take() {
            result.map_err(|e| Error::Faulty(format!("a checkpoint of the store: {e}")))?;
            (self.pin, self.base) = (running.pin, running.number);
            self.checkpoints += 1;
        }
        Ok(())
    }
}

fn silent() -> io::Error {
    io::Error::other("its thread ended without a word")
}

/// Syncs what LMDB wrote, and says in the log that it is there, or that it may not be.
fn conclude(data: &File, segment: &Segment) -> io::Result<()> {
    let synced = data.sync_data();
    let marked = segment.set_mark(if synced.is_ok() { Mark::Complete } else { Mark::Failed });
    synced.and(marked)
}

/// LMDB's two meta pages: the first two, each of which begins with sixteen bytes that all pages have,
/// a magic number (4), version (4), address (8), size of the map (8) and size of the pages (4).
fn image(data: &File) -> Result<Vec<u8>> {
    const LENGTH: usize = 44;
    const MAGIC: [u8; 4] = 0xbeef_c0de_u32.to_ne_bytes();
    let read = |bytes: &mut [u8], at| {
        data.read_exact_at(bytes, at).map_err(|e| from_io(&e, "the store's file"))
    };
    let mut meta = [0; LENGTH];
    read(&mut meta, 0)?;
    let size = meta.last_chunk().map_or(0, |size| u32::from_ne_bytes(*size)) as usize;
    let mut image = vec![0; 2 * size.min(MAX_PAGE)];
    read(&mut image, 0)?;
    let is_meta = |at: usize| image.get(at + 16..).is_some_and(|page| page.starts_with(&MAGIC));
    if size > MAX_PAGE || !is_meta(0) || !is_meta(size) {
        return Err(Error::Corrupt("the store's file does not begin with two meta pages".into()));
    }
    Ok(image)
}

/// A read transaction in a thread of its own, kept until this is dropped. LMDB has one for each
/// thread.
#[derive(Debug)]
struct Pin {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What a pin's thread does while it waits for its end.
type Job = Box<dyn FnOnce() + Send>;

impl Pin {
    /// Pins the newest state. It is pinned when this returns.
    fn take(files: &Arc<Files>) -> Result<Pin> {
        let files = Arc::clone(files);
        let (jobs, asked) = channel::<Job>();
        let (pinned, taken) = sync_channel(1);
        let hold = move || {
            let held = files.pin(|| {
                let _ = pinned.send(Ok(()));
                // Ends when the other side is dropped.
                asked.into_iter().for_each(|job| job());
            });
            if let Err(error) = held {
                let _ = pinned.send(Err(error));
            }
        };
        let thread = spawn(hold).map_err(|e| from_io(&e, "starting a thread"))?;
        let pin = Pin { jobs: Some(jobs), thread: Some(thread) };
        taken.recv().unwrap_or_else(|_| Err(log_error(silent())))?;
        Ok(pin)
    }

    /// Has the thread do something. If it is gone, the job is dropped, and with it what it holds.
    fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Box::new(job));
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been heard of as silence.
            let _ = thread.join();
        }
    }
}

/// Starts a thread that sees no signals: they are PostgreSQL's, whose handlers know one thread.
fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let thread = std::thread::Builder::new().name("fakegres-pin".into()).spawn(work);
    // It was in force a moment ago, so that it can be set again.
    let restored = before.and_then(|before| before.thread_set_mask());
    debug_assert!(restored.is_ok());
    thread
}
