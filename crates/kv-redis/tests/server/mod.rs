//! A `redis-server` of the test's own, on a Unix socket in a directory of its own.
#![allow(dead_code, reason = "every test crate uses its part of it")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use kv::conformance::Real;
use kv::{Batch, CommitId, Durability, Page, Result, Store, Version};
use kv_redis::{Address, Redis, RedisOptions};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// Whether there is a server to test with. Says so loudly if there is none.
pub(crate) fn installed() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: there is no redis-server on this machine, nothing was tested");
    }
    found
}

/// A server, killed when dropped.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    settings: Vec<String>,
    child: Child,
}

/// What makes every acknowledged commit durable.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

impl Server {
    /// One that keeps nothing.
    pub(crate) fn start() -> Server {
        Server::with(&[])
    }

    pub(crate) fn with(settings: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).into()).collect();
        let child = spawn(&dir, &settings);
        let server = Server { dir, settings, child };
        server.await_start();
        server
    }

    fn await_start(&self) {
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the server starts");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(crate) fn address(&self) -> Address {
        let url = format!("redis+unix://{}", self.socket().display());
        Address::parse(&url).expect("an address")
    }

    pub(crate) fn client(&self) -> Redis {
        self.client_with(RedisOptions::default())
    }

    pub(crate) fn client_with(&self, options: RedisOptions) -> Redis {
        Redis::connect(self.address(), "test", options).expect("a handle")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the server is there");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Starts it again after [`Server::kill`], on what it kept.
    pub(crate) fn restart(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        self.child = spawn(&self.dir, &self.settings);
        self.await_start();
    }

    /// Tells it something by `redis-cli`.
    pub(crate) fn tell(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.arg("-s").arg(self.socket()).args(command);
        let output = cli.output().expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).trim().into()
    }
}

fn spawn(dir: &TempDir, settings: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--unixsocket"]).arg(dir.path().join("s"));
    command.args(["--save", "", "--dir"]).arg(dir.path()).args(settings);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a server")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn batch(env: &Real, durability: Durability) -> Batch {
    Batch::new(CommitId::random(env), durability)
}

pub(crate) fn put(client: &Redis, env: &Real, key: &[u8], value: &[u8]) -> Result<Version> {
    let mut batch = batch(env, Durability::Durable);
    batch.put(key, value);
    client.commit(&batch, env)
}

pub(crate) fn get(client: &Redis, env: &Real, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut page = Page::default();
    client.get_many(&[key], &mut page, env)?;
    Ok(page.get(0).map(<[u8]>::to_vec))
}
