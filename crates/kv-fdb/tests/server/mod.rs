//! A server of the stand-in, of the test's own, in a directory of its own; or a real cluster.
#![allow(dead_code, reason = "every test crate uses its part of it")]

mod leave;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use kv::{Batch, CommitId, Durability, Environment, Page, Result, Store, Version};
use kv_fdb::{Address, Fdb, FdbOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Real time, random bits out of it, and a switch for the wish to stop.
#[derive(Clone, Default)]
pub(crate) struct Real {
    pub(crate) stop: Arc<AtomicBool>,
    random: Cell<u64>,
}

impl Environment for Real {
    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.expect("the clock is right").as_micros() as u64
    }

    /// Different in every process and thread and at every call.
    fn random(&self) -> u64 {
        use std::hash::{BuildHasher, RandomState};
        let mixed =
            RandomState::new().hash_one((self.random.get(), std::process::id(), self.now()));
        self.random.set(mixed);
        mixed
    }
}

/// Where the stand-in's library and program are; they are built if they are not there or old.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let this = std::env::current_exe().expect("a test is a program");
        let profile = this.ancestors().nth(2).expect("it lies in target/PROFILE/deps");
        let target = profile.parent().expect("it lies in target/PROFILE/deps");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--package", "fdb-standin", "--target-dir"]).arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("cargo runs").success(), "the stand-in is built");
        profile.to_owned()
    })
}

/// A namespace of its own in the cluster that `FDB_CLUSTER_FILE` names, or else in a stand-in.
pub(crate) enum Cluster {
    StandIn(Server),
    Real { file: String, library: Option<PathBuf>, namespace: String },
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        // make exports them empty if nobody said anything.
        let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match said("FDB_CLUSTER_FILE") {
            None => Cluster::StandIn(Server::start()),
            Some(file) => Cluster::Real {
                file,
                library: said("FDB_CLIENT_LIBRARY").map(PathBuf::from),
                namespace: format!("test-{:x}", Real::default().random()),
            },
        }
    }

    pub(crate) fn client(&self) -> Fdb {
        match self {
            Cluster::StandIn(server) => server.client(),
            Cluster::Real { file, library, namespace } => {
                let address = Address::parse(&format!("fdb://{file}")).expect("an address");
                let options = FdbOptions {
                    client_library: library.clone(),
                    watched: watched(),
                    ..FdbOptions::default()
                };
                let fdb = Fdb::connect(address, namespace, options).expect("a handle");
                // A cluster that does not answer leaves the library loaded, too.
                let opened = fdb.open(&Real::default());
                leave::stop_at_exit();
                opened.expect("the cluster answers");
                fdb
            }
        }
    }
}

/// What every handle of the tests watches, as the conformance suite wants it.
fn watched() -> Vec<Vec<u8>> {
    vec![kv::conformance::WATCHED.to_vec()]
}

/// A server, killed when dropped.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(built().join("fdb-standin"));
        command.arg("serve").arg(dir.path().join("s")).arg(dir.path().join("fdb.cluster"));
        let child = command.stdin(Stdio::null()).spawn().expect("a server");
        let server = Server { dir, child };
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(server.socket()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the server starts");
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(crate) fn address(&self) -> Address {
        let url = format!("fdb://{}/fdb.cluster", self.dir.path().display());
        Address::parse(&url).expect("an address")
    }

    pub(crate) fn client(&self) -> Fdb {
        self.client_with(5000)
    }

    /// With a time-out of so many milliseconds.
    pub(crate) fn client_with(&self, connect_timeout: u32) -> Fdb {
        let client_library = Some(library());
        let options = FdbOptions { connect_timeout, client_library, watched: watched() };
        Fdb::connect(self.address(), "test", options).expect("a handle")
    }

    /// Has something go wrong; see `fdb-standin`'s `server/faults.rs`.
    pub(crate) fn tell(&self, command: &str) -> String {
        let mut program = Command::new(built().join("fdb-standin"));
        let output = program.arg("tell").arg(self.socket()).arg(command).output();
        let answer = String::from_utf8(output.expect("it runs").stdout).expect("it is text");
        assert!(!answer.starts_with("error"), "{answer}");
        answer.trim().to_owned()
    }

    /// How many requests of each kind there were since this was asked last.
    pub(crate) fn counts(&self) -> String {
        self.tell("counts")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id();
        kill(Pid::from_raw(pid as i32), signal).expect("the server is there");
        // Its threads do not all stop at once.
        let stopped = || {
            std::fs::read_dir(format!("/proc/{pid}/task")).expect("this is Linux").all(|task| {
                let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat"));
                stat.is_ok_and(|stat| stat.contains(") T "))
            })
        };
        while signal == Signal::SIGSTOP && !stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The stand-in's library.
pub(crate) fn library() -> PathBuf {
    built().join("libfdb_standin.so")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn batch(env: &Real) -> Batch {
    Batch::new(CommitId::random(env), Durability::Durable)
}

pub(crate) fn put(client: &Fdb, env: &Real, key: &[u8], value: &[u8]) -> Result<Version> {
    let mut batch = batch(env);
    batch.put_stamped(key, &[value]);
    client.commit(&batch, env)
}

/// Adds one to a counter.
pub(crate) fn count(client: &Fdb, env: &Real) -> Result<Version> {
    let mut batch = batch(env);
    batch.add(b"counter", 1);
    client.commit(&batch, env)
}

pub(crate) fn counted(client: &Fdb, env: &Real) -> i64 {
    let value = get(client, env, b"counter").expect("the cluster answers");
    value.map_or(0, |value| i64::from_le_bytes(value.try_into().expect("eight bytes")))
}

pub(crate) fn get(client: &Fdb, env: &Real, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut page = Page::default();
    client.get_many(&[key], &mut page, env)?;
    Ok(page.get(0).map(<[u8]>::to_vec))
}
