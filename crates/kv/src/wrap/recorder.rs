//! Writes down every call and its answer, one line each, and counts round trips.
//!
//! The lines are made for golden files: keys and values are printed with escapes and cut short when
//! long, ids are left out because they are random, and what a line shows depends on nothing but the
//! call and its answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::{
    Batch, CommitId, Direction, Durability, Environment, Limits, Mapping, Op, Outcome, Page,
    ReadStamp, Result, STAMP, ScanRequest, Status, Store, Ticket, Version,
};

/// Longer keys and values are cut to this many bytes.
const SHOWN: usize = 40;

#[derive(Debug, Default)]
struct Record {
    lines: RefCell<Vec<String>>,
    round_trips: Cell<u64>,
}

/// What a [`Recorder`] wrote. Clones are the same log, and recorders may share one.
#[derive(Clone, Debug, Default)]
pub struct Log(Rc<Record>);

impl Log {
    /// The lines since the last call, each ended by a newline.
    pub fn take(&self) -> String {
        self.0.lines.take().iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// How many round trips to the store there were, as if it were behind a network and answered
    /// deferred batches at once.
    pub fn round_trips(&self) -> u64 {
        self.0.round_trips.get()
    }

    fn write<T>(&self, call: String, answer: &Result<T>, show: impl FnOnce(&T) -> String) {
        self.0.round_trips.set(self.0.round_trips.get() + 1);
        let answer = match answer {
            Ok(answer) => show(answer),
            Err(error) => format!("{error:?}"),
        };
        self.note(format!("{call} -> {answer}"));
    }

    fn note(&self, line: String) {
        self.0.lines.borrow_mut().push(line);
    }
}

/// A store that writes down what is asked of the store inside it.
#[derive(Debug)]
pub struct Recorder<S> {
    inner: S,
    log: Log,
}

impl<S: Store> Recorder<S> {
    /// Records what is asked of `inner` in `log`.
    pub fn new(inner: S, log: Log) -> Recorder<S> {
        Recorder { inner, log }
    }
}

impl<S: Store> Store for Recorder<S> {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        let answer = self.inner.status(env);
        self.log.write("status".into(), &answer, |status| status.engine.clone());
        answer
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        let answer = self.inner.read_version(env);
        self.log.write("read_version".into(), &answer, stamp);
        answer
    }

    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        let answer = self.inner.version_at(micros, env);
        self.log.write(format!("version_at {micros}"), &answer, version);
        answer
    }

    fn horizon(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        let answer = self.inner.horizon(micros, env);
        self.log.write(format!("horizon {micros}"), &answer, version);
        answer
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        let answer = self.inner.get_many(keys, page, env);
        let call = keys.iter().fold(String::from("get_many"), |call, key| call + " " + &text(key));
        self.log.write(call, &answer, |answer| format!("{} {}", stamp(answer), contents(page)));
        answer
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        let call = format!("start_scan {}", range(&request));
        let answer = self.inner.start_scan(request);
        self.log.note(match &answer {
            Ok(_) => call,
            Err(error) => format!("{call} -> {error:?}"),
        });
        answer
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let call = format!("finish_scan {}", range(&ticket.request));
        let answer = self.inner.finish_scan(ticket, page, env);
        self.log
            .write(call, &answer, |(answer, _)| format!("{} {}", stamp(answer), contents(page)));
        answer
    }

    fn cancel_scan(&self, ticket: Ticket) {
        self.log.note(format!("cancel_scan {}", range(&ticket.request)));
        self.inner.cancel_scan(ticket);
    }

    fn scan_mapped(
        &self,
        request: ScanRequest,
        mapping: &Mapping,
        entries: &mut Page,
        rows: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let call = format!("scan_mapped {} to {}", range(&request), text(&mapping.prefix));
        let answer = self.inner.scan_mapped(request, mapping, entries, rows, env);
        self.log.write(call, &answer, |(answer, _)| {
            format!("{} {} rows {}", stamp(answer), contents(entries), contents(rows))
        });
        answer
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        let answer = self.inner.commit(batch, env);
        let how = match batch.durability {
            Durability::Durable => "",
            Durability::Relaxed => " relaxed",
            Durability::Deferred => " deferred",
        };
        let ops: Vec<String> = batch.ops().map(|op| step(&op)).collect();
        self.log.write(format!("commit{how} {}", ops.join("; ")), &answer, version);
        answer
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        let answer = self.inner.flush(env);
        self.log.write("flush".into(), &answer, |()| "done".into());
        answer
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        let answer = self.inner.outcome(id, env);
        self.log.write("outcome".into(), &answer, |outcome| match outcome {
            Outcome::Committed(committed) => format!("committed {}", version(committed)),
            Outcome::NotCommitted => "not committed".into(),
        });
        answer
    }
}

fn text(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(head) if bytes.len() > SHOWN => {
            format!("\"{}\"…{}", head.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

fn version(version: &Version) -> String {
    format!("@{}", version.0)
}

fn stamp(stamp: &ReadStamp) -> String {
    format!("@{} floor @{}", stamp.version.0, stamp.floor.0)
}

fn range(request: &ScanRequest) -> String {
    let direction = match request.direction {
        Direction::Forward => "forward",
        Direction::Backward => "backward",
    };
    let (start, end) = (text(&request.start), text(&request.end));
    format!("{start}..{end} {direction} {} rows {} bytes", request.max_rows, request.max_bytes)
}

fn contents(page: &Page) -> String {
    let entry = |i| match page.get(i) {
        Some(value) => format!("{}={}", text(page.key(i)), text(value)),
        None => format!("{}=none", text(page.key(i))),
    };
    let entries: Vec<String> = (0..page.len()).map(entry).collect();
    format!("[{}]{}", entries.join(" "), if page.more() { " more" } else { "" })
}

fn step(op: &Op<'_>) -> String {
    match *op {
        Op::Check { key, newest } => format!("check {} {}", text(key), version(&newest)),
        Op::CheckRange { start, end, newest } => {
            format!("check {}..{} {}", text(start), text(end), version(&newest))
        }
        Op::Put { key, value } => format!("put {}={}", text(key), text(value)),
        Op::PutStamped { key, value } => {
            format!("put {}=stamp+{}", text(key), text(value.get(STAMP..).unwrap_or_default()))
        }
        Op::Delete { key } => format!("delete {}", text(key)),
        Op::Clear { start, end } => format!("clear {}..{}", text(start), text(end)),
        Op::Add { key, delta } => format!("add {} {delta:+}", text(key)),
        Op::Archive { key, to, value: None } => format!("archive {} to {}", text(key), text(to)),
        Op::Archive { key, to, value: Some(value) } => {
            format!("archive {}={} to {}", text(key), text(value), text(to))
        }
        Op::RaiseFloor { floor } => format!("floor {}", version(&floor)),
    }
}
