//! The writer: the one process that changes the files.
//!
//! It is a loop around one wait. Whatever requests have arrived are applied to the open group; when
//! somebody waits for the group and nothing more comes in, it is committed and everybody is
//! answered. While one group is being synced the requests of the next one pile up in the sockets,
//! so that the number of commits per sync follows the load.
//!
//! An error that leaves it uncertain what is on the disk ends the writer without an answer. Its
//! clients lose their connections and ask its successor, whose file knows.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv::{Batch, Environment, Error, Result};
use rustix::event::{PollFd, PollFlags};

use crate::connection::{Connection, Received};
use crate::failure::from_io;
use crate::files::{Files, Shape};
use crate::group::{Entry, Group, Work};
use crate::journal::{self, Journal};
use crate::limits::{LIMITS, MAX_NAMESPACE};
use crate::lockfile::LockFile;
use crate::socket;
use crate::wire::{Header, Hello, Kind, PROTOCOL, Reply};

/// Longest wait when nothing happens, in microseconds.
const IDLE: u64 = 50_000;
/// How long an awaited group waits for more requests while more are likely to come, in microseconds:
/// half of what the last commit took, within these bounds.
const LINGER: RangeInclusive<u64> = 100..=1000;
/// A client that waited for a commit this long ago is likely to come back, in microseconds.
const LIKELY: u64 = 5000;
/// Most bytes taken from one connection before the others get their turn.
const TURN: u64 = 2 << 20;
/// Time between two searches for readers that died, in microseconds.
const READER_CHECK: u64 = 10_000_000;

/// Reader slots that the writer itself needs: for the last checkpoint, the one under way, and a look.
const PINS: u32 = 3;

/// How a [`Writer`] works.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Which server the store belongs to while this writer lives. Clients must name the same.
    pub identity: Vec<u8>,
    /// Size of the map at the start, in bytes. It costs address space only: the file is as large
    /// as what is in it. 64 GiB.
    pub map_size: usize,
    /// How large the map may grow, in bytes. 16 TiB.
    pub max_map_size: usize,
    /// Most processes that read at the same time. Must be larger than `max_connections` and all
    /// worker processes together.
    pub max_readers: u32,
    /// Most namespaces in one file. Every read pays for them a little: 16.
    pub max_namespaces: u32,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions {
            identity: Vec::new(),
            map_size: 64 << 30,
            max_map_size: 16 << 40,
            max_readers: 1024,
            max_namespaces: 16,
        }
    }
}

/// The exclusive right to write a store, and the socket on which others ask it to.
#[derive(Debug)]
pub struct Writer {
    files: Arc<Files>,
    /// Lent to the group while the writer runs.
    journal: Option<Journal>,
    options: WriterOptions,
    listener: OwnedFd,
    socket: PathBuf,
    connections: BTreeMap<u64, Connection>,
    /// Numbers connections; none is used twice.
    next_client: u64,
    readers_checked: u64,
    /// How long the last commit took, in microseconds.
    last_commit: u64,
    /// When the first client began to wait for the open group.
    awaited_since: u64,
    // Last, so that everything else is given up before the lock.
    _lock: LockFile,
}

impl Writer {
    /// Opens the store in `dir`, which is created if it is not there, and listens.
    ///
    /// `Denied` or `WrongStore` if another writer has it, `Denied` if the directory cannot be
    /// written, `Corrupt` if the file is damaged.
    pub fn open(dir: &Path, options: WriterOptions) -> Result<Writer> {
        create(dir)?;
        let lock = LockFile::take(dir, &options.identity)?;
        let shape = Shape {
            map_size: Some(options.map_size.min(options.max_map_size)),
            max_readers: options.max_readers + PINS,
            max_namespaces: options.max_namespaces,
        };
        let (files, journal) = journal::open(dir, shape, options.max_map_size)?;
        if files.max_key() < LIMITS.max_key {
            return Err(Error::Misconfigured("LMDB was built for keys that are too short".into()));
        }
        let socket = socket::path(dir)?;
        Ok(Writer {
            files,
            journal: Some(journal),
            options,
            listener: socket::listen(&socket)?,
            socket,
            connections: BTreeMap::new(),
            next_client: 0,
            readers_checked: 0,
            last_commit: 0,
            awaited_since: 0,
            _lock: lock,
        })
    }

    /// Serves until `env.interrupted()`, then finishes what it has begun. An error means that
    /// nothing more can be promised: whoever runs the writer drops it and starts another one.
    pub fn run(&mut self, env: &dyn Environment) -> Result<()> {
        let files = Arc::clone(&self.files);
        let Some(journal) = self.journal.take() else {
            return Err(Error::Unavailable("a writer that has failed is not run again".into()));
        };
        let mut group = Group::new(&files, journal, self.options.max_map_size);
        let served = self.serve_all(&mut group, env);
        // Nobody may wait for an answer that will not come; and to the group of another run the
        // namespaces of these connections mean nothing.
        self.connections.clear();
        served?;
        self.journal = Some(group.close()?);
        Ok(())
    }

    fn serve_all(&mut self, group: &mut Group<'_>, env: &dyn Environment) -> Result<()> {
        while !env.interrupted() {
            self.turn(group, env)?;
        }
        group.commit(env.now())?;
        self.answer(group);
        group.sync()
    }

    /// One wait and what follows from it.
    fn turn(&mut self, group: &mut Group<'_>, env: &dyn Environment) -> Result<()> {
        let timeout = self.timeout(group, env.now());
        let ready = self.wait(timeout)?;
        let quiet = ready.is_empty();
        if group.awaited() == 0 {
            self.awaited_since = env.now();
        }
        for client in ready {
            self.serve(client, group, env)?;
        }
        if self.is_due(group, quiet, env.now()) {
            let begin = env.now();
            group.commit(begin)?;
            self.last_commit = env.now().saturating_sub(begin);
        }
        self.answer(group);
        if quiet && timeout == IDLE {
            group.sync()?;
        }
        group.tend(env.now())?;
        self.check_readers(env.now())
    }

    /// Whether the group is to be committed now. One that somebody waits for waits for more only as
    /// long as that is likely to pay: whoever committed lately may come back.
    fn is_due(&self, group: &Group<'_>, quiet: bool, now: u64) -> bool {
        let patience_ends = now.abs_diff(self.awaited_since) >= self.linger();
        let awaited = group.awaited() > 0;
        let enough = quiet || patience_ends || group.awaited() >= self.likely(now);
        group.is_full() || group.due_in(now) == Some(0) || (awaited && enough)
    }

    /// How long to wait for more, in microseconds.
    fn linger(&self) -> u64 {
        (self.last_commit / 2).clamp(*LINGER.start(), *LINGER.end())
    }

    /// How many clients are at work.
    fn likely(&self, now: u64) -> usize {
        let lately = |connection: &&Connection| now.abs_diff(connection.awaited_at) < LIKELY;
        self.connections.values().filter(lately).count()
    }

    fn timeout(&self, group: &Group<'_>, now: u64) -> u64 {
        if group.awaited() > 0 {
            return self.linger().saturating_sub(now.abs_diff(self.awaited_since)).max(1);
        }
        group.due_in(now).map_or(IDLE, |due| due.min(IDLE))
    }

    /// The connections that have something to say, those accepted just now included.
    fn wait(&mut self, micros: u64) -> Result<Vec<u64>> {
        let failed = |e| from_io(&e, "waiting for requests");
        let mut fds = Vec::with_capacity(1 + self.connections.len());
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        fds.extend(self.connections.values().map(|c| PollFd::new(&c.socket, PollFlags::IN)));
        if socket::wait_any(&mut fds, micros).map_err(failed)? == 0 {
            return Ok(Vec::new());
        }
        let pending = !fds[0].revents().is_empty();
        let clients = self.connections.keys().zip(&fds[1..]);
        let ready = clients.filter(|(_, fd)| !fd.revents().is_empty()).map(|(client, _)| *client);
        let mut ready: Vec<u64> = ready.collect();
        drop(fds);
        if pending {
            self.accept(&mut ready)?;
        }
        Ok(ready)
    }

    fn accept(&mut self, ready: &mut Vec<u64>) -> Result<()> {
        let failed = |e: rustix::io::Errno| from_io(&e.into(), "accepting a connection");
        while let Some(socket) = socket::accept(&self.listener).map_err(failed)? {
            self.next_client += 1;
            self.connections.insert(self.next_client, Connection::new(socket));
            ready.push(self.next_client);
        }
        Ok(())
    }

    /// Takes what one client has sent, as far as it is its turn.
    fn serve(&mut self, client: u64, group: &mut Group<'_>, env: &dyn Environment) -> Result<()> {
        let mut taken = 0;
        while taken < TURN && !group.is_full() {
            let Some(connection) = self.connections.get_mut(&client) else { return Ok(()) };
            match connection.receive() {
                Received::Nothing => return Ok(()),
                Received::Request(header, body) => {
                    taken += header.length;
                    if !self.request(client, header, body, group, env.now())? {
                        self.disconnect(client, group);
                    }
                }
                Received::Gone => self.disconnect(client, group),
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, client: u64, group: &mut Group<'_>) {
        self.connections.remove(&client);
        group.forget(client);
    }

    /// Does what is asked, or puts it into the group; false for what no client asks.
    fn request(
        &mut self,
        client: u64,
        header: Header,
        body: Vec<u8>,
        group: &mut Group<'_>,
        now: u64,
    ) -> Result<bool> {
        let Some(connection) = self.connections.get(&client) else { return Ok(false) };
        let Some(namespace) = connection.namespace else {
            return Ok(header.kind == Kind::Hello && self.welcome(client, &body, group, now)?);
        };
        let work = match header.kind {
            Kind::Commit => match Batch::decode(header.id, header.durability, body) {
                Ok(batch) => Work::Commit(batch),
                Err(_) => return Ok(false),
            },
            Kind::Flush => Work::Flush,
            Kind::Clear => Work::Clear,
            Kind::Outcome => Work::Outcome(header.id),
            Kind::Status => return Ok(connection.send(&Reply::Details(self.details(group)?))),
            Kind::Hello => return Ok(false),
        };
        let entry = Entry { client, namespace, work, refused: None, committed: None, reply: None };
        if let Some(connection) = self.connections.get_mut(&client).filter(|_| entry.is_awaited()) {
            connection.awaited_at = now;
        }
        group.add(entry, now)?;
        Ok(true)
    }

    fn welcome(
        &mut self,
        client: u64,
        body: &[u8],
        group: &mut Group<'_>,
        now: u64,
    ) -> Result<bool> {
        let opened = match Hello::decode(body) {
            None => return Ok(false),
            Some(hello) => match self.admit(&hello) {
                Ok(()) => group.namespace(&hello.namespace, now)?,
                Err(error) => Err(error),
            },
        };
        let Some(connection) = self.connections.get_mut(&client) else { return Ok(false) };
        Ok(match opened {
            Ok(namespace) => {
                connection.namespace = Some(namespace);
                connection.send(&Reply::Done(kv::Version::ZERO))
            }
            Err(error) => {
                connection.send(&Reply::Failed(error));
                false
            }
        })
    }

    fn admit(&self, hello: &Hello) -> Result<()> {
        if hello.protocol != PROTOCOL {
            return Err(Error::WrongStore(format!(
                "the store's writer speaks protocol {PROTOCOL} and this process {}: they are of \
                 different versions of the extension",
                hello.protocol
            )));
        }
        if hello.identity != self.options.identity {
            return Err(Error::WrongStore(format!(
                "the store is in use by the server {}, and this one is {}",
                self.options.identity.escape_ascii(),
                hello.identity.escape_ascii()
            )));
        }
        check_name(&hello.namespace)
    }

    /// Sends the replies of everything that is committed. A client that is gone does not matter:
    /// its commit is done.
    fn answer(&mut self, group: &mut Group<'_>) {
        for entry in group.take_finished() {
            let Some(reply) = entry.reply else { continue };
            let connection = self.connections.get(&entry.client);
            if connection.is_some_and(|connection| !connection.send(&reply)) {
                self.disconnect(entry.client, group);
            }
        }
    }

    fn details(&self, group: &Group<'_>) -> Result<Vec<(String, String)>> {
        let numbers = self.files.numbers()?;
        let counts = group.counts();
        let (checkpoints, log) = group.journal_numbers();
        let details = [
            ("writer process", std::process::id().to_string()),
            ("writer connections", self.connections.len().to_string()),
            ("requests", counts.requests.to_string()),
            ("groups", counts.groups.to_string()),
            ("checkpoints", checkpoints.to_string()),
            ("log bytes", log.to_string()),
            ("file bytes", numbers.file.to_string()),
            ("map bytes", numbers.map.to_string()),
            ("reader slots used", numbers.readers.to_string()),
            ("reader slots", numbers.max_readers.to_string()),
        ];
        Ok(details.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Readers that were killed keep freed pages from being used again until this finds them.
    fn check_readers(&mut self, now: u64) -> Result<()> {
        if now.abs_diff(self.readers_checked) >= READER_CHECK {
            self.readers_checked = now;
            self.files.clear_stale_readers()?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The lock is still held, so that this is our own socket. If it stays, the next writer
        // removes it.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// `Misconfigured` for what cannot be the name of a namespace.
pub(crate) fn check_name(namespace: &str) -> Result<()> {
    if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || namespace.contains('\0') {
        return Err(Error::Misconfigured(format!(
            "a namespace needs a name of 1 to {MAX_NAMESPACE} bytes without zeros"
        )));
    }
    Ok(())
}

fn create(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| from_io(&e, &format!("cannot create {}", dir.display())))
}
