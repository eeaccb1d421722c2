//! Golden scripts: one per rule of visibility and one per anomaly of the Hermitage list.
//!
//! A script drives named sessions over one store in memory; its output is part of the file and is
//! reviewed like code. `UPDATE_GOLDENFILES=1 cargo test -p mvcc --test scripts` rewrites it.
//!
//! The clock stands at 0 and moves by 10 with every commit, so versions are `@10`, `@20`, …. An
//! isolation level is what the layer above makes of the snapshots: `rc` takes a new one for every
//! command, `rr` and `ser` keep one, and refuse to write over what it does not show.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;

use goldenscript::{ArgumentConsumer, Command, Context};
use kv::environment::Simulated;
use kv::memory::{Config, Memory};
use kv::{Batch, Direction, Durability, Layout, Mapping, MappingSource, Store, Version};
use mvcc::{Base, Change, Found, Options, Scan, ScanOptions, Snapshot, Transaction, WriteId, key};

type Answer = Result<String, Box<dyn Error>>;

const LAYOUT: Layout = Layout { headroom: 16, phase: 3 };

#[test]
fn scripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<_> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        goldenscript::run(&mut Runner::default(), &path)
            .unwrap_or_else(|e| panic!("{path:?}: {e}"));
    }
}

struct Session {
    txn: Transaction,
    /// One for the whole transaction, or none at READ COMMITTED.
    kept: Option<Version>,
    command: mvcc::Command,
    zero: Version,
    cursor: Option<Scan>,
}

struct Runner {
    memory: Rc<Memory>,
    env: Rc<Simulated>,
    sessions: BTreeMap<String, Session>,
    retention: u64,
}

impl Default for Runner {
    fn default() -> Runner {
        Runner::new(true)
    }
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Answer {
        let mut args = command.consume_args();
        let answer = match (&context.prefix, command.name.as_str()) {
            (None, "reset") => self.reset(&mut args),
            (None, "dump") => Ok(self.dump()),
            (None, "clock") => self.clock(&mut args),
            (None, "retention") => self.set_retention(&mut args),
            (None, "floor") => self.raise_floor(&mut args),
            (None, "collect") => self.collect(),
            (Some(name), "begin") => self.begin(name, &mut args),
            (Some(name), "commit") => self.commit(name),
            (Some(name), "rollback") => {
                self.sessions.remove(name).ok_or("no such session")?;
                Ok(String::new())
            }
            (Some(name), verb) => {
                let session = self.sessions.get_mut(name).ok_or("no such session")?;
                session.run(verb, &mut args)
            }
            (None, other) => Err(format!("unknown command {other}").into()),
        }?;
        args.reject_next()?;
        Ok(answer)
    }
}

impl Runner {
    fn new(archives: bool) -> Runner {
        let mut config = Config::default();
        config.limits.archives = archives;
        let env = Rc::new(Simulated::new(0));
        env.set_now(0);
        Runner {
            memory: Rc::new(Memory::new(config)),
            env,
            sessions: BTreeMap::new(),
            retention: u64::MAX,
        }
    }

    /// An empty store, or one with the rows `key=value` at version 10.
    fn reset(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let archives = args.take_key("archives") != Some("no");
        *self = Runner::new(archives);
        let mut txn = self.transaction(false);
        while let Some((key, value)) = args.next_key() {
            txn.write(key.as_bytes(), Change::Put(&[value.as_bytes()]), 0, Base::New)?;
        }
        self.env.advance(10);
        txn.commit()?;
        Ok(String::new())
    }

    fn transaction(&self, serializable: bool) -> Transaction {
        let options =
            Options { serializable, max_buffered: 1000, retention: self.retention, layout: LAYOUT };
        let (store, env) = (Rc::clone(&self.memory), Rc::clone(&self.env));
        Transaction::new(store, env, options)
    }

    fn begin(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Answer {
        let level = args.next_pos().ok_or("which level?")?;
        let zero = Version(args.take_key("zero").map_or(Ok(0), str::parse)?);
        let txn = self.transaction(level == "ser");
        let kept = match level {
            "rc" => None,
            "rr" | "ser" => Some(txn.read_version()?),
            moment => Some(Version(moment.parse()?)),
        };
        let session = Session { txn, kept, command: 0, zero, cursor: None };
        self.sessions.insert(name.to_owned(), session);
        Ok(String::new())
    }

    fn commit(&mut self, name: &str) -> Answer {
        let session = self.sessions.remove(name).ok_or("no such session")?;
        self.env.advance(10);
        Ok(match session.txn.commit() {
            Ok(Some(version)) => format!("committed @{}", version.0),
            Ok(None) => "nothing to write".into(),
            Err(error) => refusal(&error),
        })
    }

    fn clock(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        self.env.set_now(args.next_pos().ok_or("what time?")?.parse()?);
        Ok(String::new())
    }

    fn set_retention(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        self.retention = args.next_pos().ok_or("how long?")?.parse()?;
        Ok(String::new())
    }

    fn raise_floor(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let mut batch = Batch::new(self.env.commit_id(), Durability::Durable);
        batch.raise_floor(Version(args.next_pos().ok_or("to what?")?.parse()?));
        self.memory.commit(&batch, &*self.env)?;
        Ok(String::new())
    }

    fn collect(&mut self) -> Answer {
        let done = mvcc::collect(&*self.memory, &*self.env, b"", b"\xff", self.retention, 1000)?;
        Ok(format!("{done:?}"))
    }

    fn dump(&self) -> String {
        let floor = self.memory.read_version(&*self.env).unwrap().floor;
        let rows = self.memory.dump();
        let lines = rows.iter().map(|(key, value)| raw(key, value));
        std::iter::once(format!("floor @{}", floor.0)).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

impl Session {
    fn run(&mut self, verb: &str, args: &mut ArgumentConsumer<'_>) -> Answer {
        match verb {
            "get" => self.get(args),
            "many" => self.get_many(args),
            "mapped" => self.mapped(args),
            "scan" => self.scan(args, Direction::Forward),
            "back" => self.scan(args, Direction::Backward),
            "newest" => self.newest(args),
            "put" => self.put(args),
            "insert" => self.insert(args),
            "delete" => self.delete(args),
            "lock" => self.lock(args),
            "own" => self.own(args),
            "made" => self.made(args),
            "exclusive" => self.exclusive(args),
            "publish" => self.publish(args),
            "bulk" => self.bulk(args),
            "count" => self.count(args),
            "open" => self.open(args),
            "next" | "prior" => self.fetch(verb),
            "sub" => Ok(self.savepoint(Transaction::begin_sub)),
            "release" => Ok(self.savepoint(Transaction::release_sub)),
            "undo" => Ok(self.savepoint(Transaction::rollback_sub)),
            other => Err(format!("unknown command {other}").into()),
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot, kv::Error> {
        let version = self.kept.map_or_else(|| self.txn.read_version(), Ok)?;
        self.command += 1;
        Ok(Snapshot { version, command: self.command })
    }

    fn savepoint(&mut self, act: fn(&mut Transaction)) -> String {
        act(&mut self.txn);
        format!("depth {}", self.txn.depth())
    }

    fn get(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let key = args.next_pos().ok_or("which key?")?;
        let (mut at, mut page) = (self.snapshot()?, self.txn.page());
        at.command = args.take_key("command").map_or(Ok(at.command), str::parse)?;
        Ok(match self.txn.get(key.as_bytes(), &at, self.zero, &mut page) {
            Ok(Some(found)) => row(key.as_bytes(), found.body(&page), found.version, found.own),
            Ok(None) => "none".into(),
            Err(error) => refusal(&error),
        })
    }

    fn get_many(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let keys: Vec<&[u8]> = std::iter::from_fn(|| args.next_pos()).map(str::as_bytes).collect();
        let (at, mut page, mut found) = (self.snapshot()?, self.txn.page(), Vec::new());
        self.txn.get_many(&keys, &at, self.zero, &mut page, &mut found)?;
        Ok(rows(&keys, &found, &page))
    }

    /// Entries whose bodies end the names of the rows that they point to, and these rows. At READ
    /// COMMITTED the first page takes the snapshot.
    fn mapped(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let mut scan = match self.kept {
            Some(_) => self.open_scan(args)?,
            None => {
                self.command += 1;
                let at = Snapshot { version: Version::MAX, command: self.command };
                self.scan_at(args, at).taking_snapshot()
            }
        };
        let source = MappingSource::Value { offset: 0 };
        scan = scan.with_rows(&Mapping { prefix: b"r".to_vec(), source, len: 1 });
        let (mut known, mut keys, mut answer) = (self.txn.page(), Vec::new(), Vec::new());
        while let Some(e) = scan.next(&mut self.txn, Direction::Forward)? {
            let body = &e.body[LAYOUT.headroom..];
            keys.push([b"r", body].concat());
            answer.push(row(e.key, body, e.version, e.own));
            let came = scan.take_rows();
            if !came.is_empty() {
                known = came;
            }
        }
        let at = scan.snapshot();
        let (mut page, mut found) = (self.txn.page(), Vec::new());
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        self.txn.get_many_knowing(&known, &keys, &at, self.zero, &mut page, &mut found)?;
        answer.push(format!("seen @{}, {} rows came along", at.version.0, known.len()));
        answer.push(rows(&keys, &found, &page));
        Ok(answer.join("\n"))
    }

    fn open_scan(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<Scan, Box<dyn Error>> {
        let at = self.snapshot()?;
        Ok(self.scan_at(args, at))
    }

    fn scan_at(&self, args: &mut ArgumentConsumer<'_>, at: Snapshot) -> Scan {
        let start = args.next_pos().unwrap_or_default();
        let end = args.next_pos().unwrap_or("~");
        let options = ScanOptions {
            zero: self.zero,
            first_rows: 1,
            max_rows: 2,
            max_bytes: 1000,
            layout: LAYOUT,
        };
        Scan::new(start.into(), end.into(), at, options)
    }

    fn scan(&mut self, args: &mut ArgumentConsumer<'_>, direction: Direction) -> Answer {
        let mut scan = self.open_scan(args)?;
        let mut rows = Vec::new();
        loop {
            match scan.next(&mut self.txn, direction) {
                Ok(None) => break,
                Ok(Some(e)) => rows.push(row(e.key, &e.body[LAYOUT.headroom..], e.version, e.own)),
                Err(error) => rows.push(refusal(&error)),
            }
            if rows.last().is_some_and(|row| row.starts_with("refused")) {
                break;
            }
        }
        Ok(if rows.is_empty() { "nothing".into() } else { rows.join("\n") })
    }

    fn open(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        self.cursor = Some(self.open_scan(args)?);
        Ok(String::new())
    }

    fn fetch(&mut self, verb: &str) -> Answer {
        let direction = if verb == "next" { Direction::Forward } else { Direction::Backward };
        let cursor = self.cursor.as_mut().ok_or("no cursor")?;
        Ok(match cursor.next(&mut self.txn, direction)? {
            Some(e) => row(e.key, &e.body[LAYOUT.headroom..], e.version, e.own),
            None => "none".into(),
        })
    }

    fn newest(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let key = args.next_pos().ok_or("which key?")?;
        let mut page = self.txn.page();
        let newest = self.txn.newest(key.as_bytes(), self.zero, &mut page)?;
        Ok(format!("{newest:?}"))
    }

    /// What UPDATE and DELETE do: look at the newest version, and refuse to replace one that the
    /// transaction's snapshot does not show.
    fn change(&mut self, key: &str, value: Option<&str>, command: Option<u32>) -> Answer {
        let mut at = self.snapshot()?;
        at.command = command.unwrap_or(at.command);
        let mut page = self.txn.page();
        let newest = self.txn.newest(key.as_bytes(), self.zero, &mut page)?;
        if self.kept.is_some() && newest.committed.is_some_and(|seen| seen.version > at.version) {
            return Ok("refused: not in the snapshot".into());
        }
        let parts = value.map(|value| [value.as_bytes()]);
        let change = parts.as_ref().map_or(Change::Delete, |parts| Change::Put(parts));
        Ok(match self.txn.write(key.as_bytes(), change, at.command, newest.base()) {
            Ok(id) => format!("#{}", id.0),
            Err(error) => refusal(&error),
        })
    }

    fn put(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let (key, value) = args.next_key().ok_or("key=value?")?;
        let command = args.take_key("command").map(str::parse).transpose()?;
        self.change(key, Some(value), command)
    }

    fn delete(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let key = args.next_pos().ok_or("which key?")?;
        self.change(key, None, None)
    }

    fn insert(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let (key, value) = args.next_key().ok_or("key=value?")?;
        let at = self.snapshot()?;
        let parts = [value.as_bytes()];
        let id = self.txn.write(key.as_bytes(), Change::Put(&parts), at.command, Base::New)?;
        Ok(format!("#{}", id.0))
    }

    fn bulk(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let (key, value) = args.next_key().ok_or("key=value?")?;
        self.txn.bulk_put(key.as_bytes(), value.as_bytes())?;
        Ok(String::new())
    }

    fn lock(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let key = args.next_pos().ok_or("which key?")?;
        let mut page = self.txn.page();
        let newest = self.txn.newest(key.as_bytes(), self.zero, &mut page)?;
        let seen = newest.committed.map_or(Version::ZERO, |seen| seen.version);
        self.txn.lock(key.as_bytes(), seen);
        Ok(format!("at @{}", seen.0))
    }

    fn own(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let id = WriteId(args.next_pos().ok_or("which id?")?.parse()?);
        Ok(match self.txn.own(id) {
            None => "none".into(),
            Some(own) => {
                let body =
                    own.body.map_or("deleted".into(), |body| body.escape_ascii().to_string());
                format!("{}={body} by command {}", own.key.escape_ascii(), own.command)
            }
        })
    }

    fn made(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let key = args.next_pos().ok_or("which key?")?.as_bytes();
        let (live, made, base) = (self.txn.live(key), self.txn.inserted(key), self.txn.base(key));
        let is_insert = live.is_some_and(|id| self.txn.is_insert(id));
        Ok(format!("live {live:?}, made by {made:?}, is its insert: {is_insert}, over {base:?}"))
    }

    fn exclusive(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let (start, end) = (args.next_pos().ok_or("from?")?, args.next_pos().ok_or("to?")?);
        self.txn.exclusive(start.as_bytes(), end.as_bytes());
        Ok(String::new())
    }

    fn publish(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let (key, value) = args.next_key().ok_or("key=value?")?;
        self.txn.publish(key.as_bytes(), value.as_bytes());
        Ok(String::new())
    }

    fn count(&mut self, args: &mut ArgumentConsumer<'_>) -> Answer {
        let (key, delta) = args.next_key().ok_or("key=delta?")?;
        self.txn.count(key.as_bytes(), delta.parse()?);
        Ok(format!("delta {}", self.txn.counter_delta(key.as_bytes())))
    }
}

fn rows(keys: &[&[u8]], found: &[Option<Found>], page: &kv::Page) -> String {
    let rows = keys.iter().zip(found).map(|(key, found)| match found {
        Some(found) => row(key, found.body(page), found.version, found.own),
        None => "none".into(),
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn row(key: &[u8], body: &[u8], version: Option<Version>, own: Option<WriteId>) -> String {
    let (key, body) = (key.escape_ascii(), body.escape_ascii());
    match (version, own) {
        (Some(version), _) => format!("{key}={body} @{}", version.0),
        (None, Some(id)) => format!("{key}={body} #{}", id.0),
        (None, None) => format!("{key}={body} of nobody"),
    }
}

fn refusal(error: &kv::Error) -> String {
    match error {
        kv::Error::Conflict { key } => format!("refused: conflict at {}", key.escape_ascii()),
        other => format!("refused: {other}"),
    }
}

fn raw(store_key: &[u8], value: &[u8]) -> String {
    let stamped = || (Version::of_stamped(value).unwrap().0, &value[8..]);
    match store_key[0] {
        1 if value.len() > 8 => {
            let (version, body) = stamped();
            format!("plain   {} @{version} {}", store_key[1..].escape_ascii(), body.escape_ascii())
        }
        1 => {
            let sum = i64::from_le_bytes(value.try_into().unwrap());
            format!("plain   {} = {sum}", store_key[1..].escape_ascii())
        }
        2 => {
            let (version, rest) = stamped();
            format!("current {} @{version} {}", store_key[1..].escape_ascii(), flagged(rest))
        }
        3 => {
            let (key, version) = key::parse_history(store_key).unwrap();
            format!("history {} @{} {}", key.escape_ascii(), version.0, flagged(value))
        }
        _ => format!("collected up to @{}", stamped().0),
    }
}

fn flagged(value: &[u8]) -> String {
    let flags = match value[0] {
        0 => "",
        1 => "deleted ",
        2 => "fresh ",
        _ => "? ",
    };
    format!("{flags}{}", value[1..].escape_ascii())
}
