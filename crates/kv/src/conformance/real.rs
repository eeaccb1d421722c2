//! The environment of tests that meet a real server: real time, and a switch for the wish to stop.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::Environment;

/// Real time, random bits out of it, and a switch for the wish to stop.
#[derive(Debug, Default)]
pub struct Real {
    /// Whether whoever waits is to stop.
    pub stop: Arc<AtomicBool>,
    random: Cell<u64>,
}

impl Real {
    /// One that is stopped by this switch.
    pub fn stopped_by(stop: Arc<AtomicBool>) -> Real {
        Real { stop, random: Cell::default() }
    }
}

impl Environment for Real {
    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    #[allow(clippy::disallowed_methods, reason = "a real server has a real clock")]
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.expect("the clock is right").as_micros() as u64
    }

    /// Different in every process and thread and at every call.
    fn random(&self) -> u64 {
        let mixed =
            RandomState::new().hash_one((self.random.get(), std::process::id(), self.now()));
        self.random.set(mixed);
        mixed
    }
}
