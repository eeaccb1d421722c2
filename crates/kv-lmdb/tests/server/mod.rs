//! A writer on a directory of its own, in a thread or in another process, and clients of it.
#![allow(dead_code, reason = "every test crate uses its part of it")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use kv::conformance::Real;
use kv::{Batch, CommitId, Durability, Environment, Page, Result, Store, Version};
use kv_lmdb::{Lmdb, LmdbOptions, Writer, WriterOptions};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

pub(crate) fn options() -> WriterOptions {
    WriterOptions { identity: b"tests".to_vec(), map_size: 1 << 30, ..WriterOptions::default() }
}

/// A writer in a thread, stopped when dropped.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_in(tempfile::tempdir().expect("a directory"), options())
    }

    pub(crate) fn start_in(dir: TempDir, options: WriterOptions) -> Server {
        let mut writer = Writer::open(dir.path(), options).expect("the store opens");
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let run = move || writer.run(&Real::stopped_by(seen));
        Server { dir, stop, thread: Some(std::thread::spawn(run)) }
    }

    pub(crate) fn client(&self) -> Lmdb {
        client(self.dir.path())
    }

    /// Stops the writer and gives the directory back.
    pub(crate) fn stop(mut self) -> TempDir {
        self.join();
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the writer does not panic").expect("the writer ends well");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

pub(crate) fn client(dir: &Path) -> Lmdb {
    Lmdb::connect(dir, b"tests", "main", LmdbOptions::default()).expect("a handle is made")
}

pub(crate) fn batch(env: &dyn Environment, durability: Durability) -> Batch {
    Batch::new(CommitId::random(env), durability)
}

pub(crate) fn put(store: &Lmdb, env: &Real, key: &[u8], value: &[u8]) -> Result<Version> {
    let mut batch = batch(env, Durability::Durable);
    batch.put_stamped(key, &[value]);
    store.commit(&batch, env)
}

/// The value of a key without its stamp.
pub(crate) fn get(store: &Lmdb, env: &Real, key: &[u8]) -> Option<Vec<u8>> {
    let mut page = Page::default();
    store.get_many(&[key], &mut page, env).expect("a read succeeds");
    page.get(0).map(|value| value[8..].to_vec())
}

/// This test program again, as another process that plays `role` in `dir`.
pub(crate) fn process(role: &str, dir: &Path) -> Child {
    command(role, dir).spawn().expect("the process starts")
}

pub(crate) fn command(role: &str, dir: &Path) -> Command {
    let program = std::env::current_exe().expect("the test knows its program");
    let mut command = Command::new(program);
    command.args(["--exact", "role", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("KV_LMDB_ROLE", role).env("KV_LMDB_DIR", dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Waits for something that another process brings about.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} does not happen");
}

/// A writer in a process of its own, killed when dropped.
pub(crate) struct WriterProcess(pub(crate) Child);

impl WriterProcess {
    /// Starts it; `settings` are pairs for [`play_writer`].
    pub(crate) fn start(dir: &Path, settings: &[(&str, u64)]) -> WriterProcess {
        let mut command = command("writer", dir);
        command.envs(settings.iter().map(|(name, value)| (name, value.to_string())));
        WriterProcess::started(command)
    }

    pub(crate) fn started(mut command: Command) -> WriterProcess {
        let mut child = command.spawn().expect("the process starts");
        wait_for_line(&mut child, "ready");
        WriterProcess(child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("the process is there");
        if signal == Signal::STOP {
            // It takes effect in each thread when that thread next looks.
            eventually("a stop", || self.is_stopped());
        }
    }

    fn is_stopped(&self) -> bool {
        let tasks = format!("/proc/{}/task", self.0.id());
        let mut tasks = std::fs::read_dir(tasks).expect("the process is there");
        tasks.all(|task| {
            let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat")));
            stat.is_ok_and(|stat| {
                stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
            })
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        self.0.kill().expect("our own child can be killed");
        self.0.wait().expect("our own child can be waited for");
    }
}

/// Reads what a child prints until a line ends with `line`.
pub(crate) fn wait_for_line(child: &mut Child, line: &str) {
    let output = child.stdout.take().expect("the output is a pipe");
    let mut lines = BufReader::new(output).lines().map(|line| line.expect("the child prints text"));
    assert!(lines.any(|printed| printed.ends_with(line)), "the child ends without {line:?}");
}

/// The child's side of [`WriterProcess`].
pub(crate) fn play_writer(dir: &Path) {
    let setting = |name| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    let mut options = options();
    options.map_size = setting("MAP").unwrap_or(options.map_size);
    options.max_map_size = setting("MAX_MAP").unwrap_or(options.max_map_size);
    options.max_readers = setting("READERS").map_or(options.max_readers, |n| n as u32);
    let mut writer = Writer::open(dir, options).expect("the store opens");
    println!("ready");
    writer.run(&Real::default()).expect("nothing ends the writer");
}
