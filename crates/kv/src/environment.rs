//! An [`Environment`] for tests and simulations: a clock that stands still until it is moved,
//! random bits out of a seed, and a switch for the wish to stop.

use std::cell::Cell;

use crate::{CommitId, Environment};

/// A deterministic environment: two of the same seed that are treated alike answer alike.
#[derive(Debug)]
pub struct Simulated {
    now: Cell<u64>,
    seed: Cell<u64>,
    interrupted: Cell<bool>,
}

impl Simulated {
    /// An environment whose clock stands at a round moment and whose randomness follows `seed`.
    pub fn new(seed: u64) -> Simulated {
        let now = Cell::new(1_000_000);
        Simulated { now, seed: Cell::new(seed), interrupted: Cell::new(false) }
    }

    /// Sets the clock, in microseconds since the Unix epoch; also backwards.
    pub fn set_now(&self, micros: u64) {
        self.now.set(micros);
    }

    /// Moves the clock on.
    pub fn advance(&self, micros: u64) {
        self.now.set(self.now.get() + micros);
    }

    /// Says whether the caller wants to stop waiting.
    pub fn interrupt(&self, wish: bool) {
        self.interrupted.set(wish);
    }

    /// A fresh name for a batch.
    pub fn commit_id(&self) -> CommitId {
        CommitId::random(self)
    }
}

impl Environment for Simulated {
    fn interrupted(&self) -> bool {
        self.interrupted.get()
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    /// SplitMix64 (Steele, Lea and Flood 2014): one addition and two multiplications, no state
    /// but the sum.
    fn random(&self) -> u64 {
        let sum = self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.seed.set(sum);
        let mixed = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
