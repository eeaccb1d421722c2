//! The network thread: it starts the threads of connections, which so have its signal mask.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};

type Task = Box<dyn FnOnce() + Send>;

enum Network {
    Idle,
    SetUp(Sender<Option<Task>>, Option<Receiver<Option<Task>>>),
}

static NETWORK: Mutex<Network> = Mutex::new(Network::Idle);

fn network() -> MutexGuard<'static, Network> {
    NETWORK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn set_up() -> i32 {
    let mut network = network();
    if matches!(*network, Network::SetUp(..)) {
        return 2009;
    }
    let (sender, receiver) = channel();
    *network = Network::SetUp(sender, Some(receiver));
    0
}

/// Runs until it is stopped.
pub(super) fn run() -> i32 {
    let receiver = match &mut *network() {
        Network::Idle => return 2008,
        Network::SetUp(_, receiver) => receiver.take(),
    };
    let Some(receiver) = receiver else { return 2025 };
    while let Ok(Some(task)) = receiver.recv() {
        std::thread::spawn(task);
    }
    0
}

pub(super) fn stop() -> i32 {
    send(None)
}

/// Has a thread do something.
pub(super) fn start(task: impl FnOnce() + Send + 'static) -> i32 {
    send(Some(Box::new(task)))
}

fn send(task: Option<Task>) -> i32 {
    match &*network() {
        Network::Idle => 2008,
        // After the end nobody listens.
        Network::SetUp(sender, _) => {
            drop(sender.send(task));
            0
        }
    }
}
