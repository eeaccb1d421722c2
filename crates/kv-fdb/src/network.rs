//! The client library's network thread: one in a process, started by the first handle that is used.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::JoinHandle;

use fdb_loader::LoadError;
use foundationdb::FdbResult;
use foundationdb::api::{FdbApiBuilder, NetworkBuilder, NetworkRunner, NetworkStop, NetworkWait};
use foundationdb::options::NetworkOption;
use kv::{Error, Result};
use nix::sys::signal::SigSet;

use crate::address::{API_VERSIONS, Address, Tls};

/// Size of the network thread's stack, in bytes: what FoundationDB's own programs give to theirs.
const STACK: usize = 8 << 20;

/// What holds for the whole process, whatever cluster a handle is for.
#[derive(Clone, PartialEq, Eq)]
struct Settings {
    library: Option<PathBuf>,
    api_version: Option<i32>,
    tls: Tls,
}

enum Network {
    /// Nobody needed it so far.
    Idle,
    Running {
        process: u32,
        settings: Settings,
        stop: NetworkStop,
        thread: JoinHandle<()>,
    },
    /// It can be started once in a process.
    Stopped(&'static str),
}

static NETWORK: Mutex<Network> = Mutex::new(Network::Idle);

/// Sees to it that the network thread runs. `Misconfigured` if there is no client library, or it
/// runs with other settings.
pub(crate) fn start(address: &Address, library: Option<&Path>) -> Result<()> {
    let settings = Settings {
        library: library.map(Path::to_owned),
        api_version: address.api_version,
        tls: address.tls.clone(),
    };
    let mut network = NETWORK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match &*network {
        Network::Idle => {}
        Network::Running { process, .. } if *process != std::process::id() => {
            return Err(Error::Unavailable(
                "this process was forked from one that uses \
                 FoundationDB, which its client library does not survive"
                    .into(),
            ));
        }
        Network::Running { settings: running, .. } if *running == settings => return Ok(()),
        Network::Running { .. } => {
            return Err(Error::Misconfigured(
                "this session uses FoundationDB with another client \
                 library, api_version or TLS option already; a new session can use this one"
                    .into(),
            ));
        }
        Network::Stopped(why) => return Err(Error::Unavailable((*why).into())),
    }
    fdb_loader::load(library).map_err(not_loaded)?;
    let version = usable_version(settings.api_version)?;
    // From here on, whatever fails has used up the only attempt.
    *network =
        Network::Stopped("FoundationDB's client library could not be started in this session");
    let (stop, thread) = boot(version, &settings.tls).map_err(|error| {
        Error::Misconfigured(format!("FoundationDB's client library cannot be started: {error}"))
    })?;
    *network = Network::Running { process: std::process::id(), settings, stop, thread };
    Ok(())
}

/// Ends the network thread and waits for it. Must be called before a process that used FoundationDB
/// exits, and does nothing in one that did not. Afterwards every handle is `Unavailable`.
pub fn stop_network() {
    let mut network = NETWORK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let stopped = Network::Stopped("this session's connection to FoundationDB has ended");
    let Network::Running { process, stop, thread, .. } = std::mem::replace(&mut *network, stopped)
    else {
        return;
    };
    // A child of a fork has no such thread.
    if process == std::process::id() && stop.stop().is_ok() {
        drop(thread.join());
    }
}

fn not_loaded(error: LoadError) -> Error {
    let text = error.to_string();
    match error {
        LoadError::NotFound(_) => Error::Missing(text),
        LoadError::Unfit { .. } | LoadError::Another(_) => Error::Misconfigured(text),
    }
}

/// The version of the interface to ask for: the one that is wanted, else the newest that both the
/// library and we know.
fn usable_version(wanted: Option<i32>) -> Result<i32> {
    let newest = foundationdb::api::get_max_api_version().min(*API_VERSIONS.end());
    let version = wanted.unwrap_or(newest);
    if version > newest || !API_VERSIONS.contains(&version) {
        let oldest = API_VERSIONS.start();
        return Err(Error::Misconfigured(format!(
            "FoundationDB's client library offers API version {newest}; {} is needed",
            wanted.unwrap_or(*oldest)
        )));
    }
    Ok(version)
}

fn boot(version: i32, tls: &Tls) -> FdbResult<(NetworkStop, JoinHandle<()>)> {
    // What the library starts inherits this: signals are PostgreSQL's, and for its own thread.
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
    let booted = boot_quietly(version, tls);
    // It was in force a moment ago, so that it can be set again.
    let restored = before.and_then(|before| before.thread_set_mask());
    debug_assert!(restored.is_ok());
    booted
}

fn boot_quietly(version: i32, tls: &Tls) -> FdbResult<(NetworkStop, JoinHandle<()>)> {
    let builder = FdbApiBuilder::default().set_runtime_version(version).build()?;
    let (runner, wait) = with_options(builder, tls)?.build()?;
    let thread = std::thread::Builder::new().name("fdb-network".into()).stack_size(STACK);
    let thread = thread.spawn(move || run(runner)).map_err(|_| {
        // 1500: platform_error.
        foundationdb::FdbError::from_code(1500)
    })?;
    Ok((NetworkWait::wait(wait), thread))
}

fn with_options(mut builder: NetworkBuilder, tls: &Tls) -> FdbResult<NetworkBuilder> {
    let Tls { certificate, key, ca, verify_peers, password } = tls.clone();
    let options = [
        certificate.map(NetworkOption::TLSCertPath),
        key.map(NetworkOption::TLSKeyPath),
        ca.map(NetworkOption::TLSCaPath),
        verify_peers.map(|peers| NetworkOption::TLSVerifyPeers(peers.into_bytes())),
        password.map(NetworkOption::TLSPassword),
    ];
    for option in options.into_iter().flatten() {
        builder = builder.set_option(option)?;
    }
    Ok(builder)
}

/// The network thread. An error ends it, and whoever waits for an answer notices by the time-out.
#[allow(unsafe_code)]
fn run(runner: NetworkRunner) {
    // SAFETY: the loop must be stopped before the process exits: `stop_network` is for that, and the
    // extension calls it when PostgreSQL's process exits.
    let ended = unsafe { runner.run() };
    debug_assert!(ended.is_ok());
}
