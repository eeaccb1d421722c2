//! Waiting for what the network thread brings, in slices, between which the caller is asked whether
//! to stop.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use kv::Environment;

/// Longest wait between two questions whether to stop.
const SLICE: Duration = Duration::from_millis(50);

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gone {
    /// The caller wants to stop.
    Interrupted,
    /// The time is over.
    TimedOut,
}

/// What is left of a time-out.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Instant,
    length: Duration,
    pause: Duration,
}

impl Patience {
    pub(crate) fn millis(millis: u32) -> Patience {
        let length = Duration::from_millis(millis.into());
        Patience { until: now() + length, length, pause: Duration::from_millis(1) }
    }

    /// Waits a little before something is tried again, longer each time. False if the time is over.
    pub(crate) fn pause(&mut self, env: &dyn Environment) -> Result<bool, Gone> {
        if now() >= self.until {
            return Ok(false);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(SLICE);
        if env.interrupted() {
            return Err(Gone::Interrupted);
        }
        std::thread::sleep(pause);
        Ok(true)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long this process has waited is no matter of data"
)]
fn now() -> Instant {
    Instant::now()
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What wakes this thread.
pub(crate) fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

/// Waits for a future.
pub(crate) fn wait<F: Future>(
    future: F,
    patience: &mut Patience,
    env: &dyn Environment,
) -> Result<F::Output, Gone> {
    wait_while_heard(future, &Cell::new(0), patience, env)
}

/// Waits for a future that counts what it hears: as long as that grows within the time-out, the time
/// is not over.
pub(crate) fn wait_while_heard<F: Future>(
    future: F,
    heard: &Cell<u64>,
    patience: &mut Patience,
    env: &dyn Environment,
) -> Result<F::Output, Gone> {
    let waker = waker();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let (mut until, mut last) = (patience.until, heard.get());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        if env.interrupted() {
            return Err(Gone::Interrupted);
        }
        if heard.get() != last {
            last = heard.get();
            until = until.max(now() + patience.length);
        }
        let left = until.saturating_duration_since(now());
        if left.is_zero() {
            return Err(Gone::TimedOut);
        }
        std::thread::park_timeout(left.min(SLICE));
    }
}
