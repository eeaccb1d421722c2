//! How long to wait, counted in slices, between which the caller is asked whether to stop.
//!
//! The core has no clock, so time is what the waits add up to.

use std::os::fd::BorrowedFd;

use kv::{Environment, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::failure::is_busy;

/// Longest wait between two questions whether to stop, in milliseconds.
const SLICE: u32 = 50;

/// Milliseconds before something is tried once more, and before a busy server is asked again.
const PAUSE: u32 = 20;
const BUSY_PAUSE: u32 = 100;

/// How many time-outs are waited for a server that is there and runs somebody's script: a large commit
/// is one, and whoever waits for it waits as for a lock.
const BUSY: u32 = 12;

/// What is left of a time-out; none means to wait as long as the caller does.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Option<u32>,
    /// What is left of the time for a server that says that it is busy.
    busy: Option<u32>,
}

impl Patience {
    pub(crate) fn millis(millis: u32) -> Patience {
        Patience { left: Some(millis), busy: Some(millis.saturating_mul(BUSY)) }
    }

    pub(crate) fn endless() -> Patience {
        Patience { left: None, busy: None }
    }

    /// Waits for a socket. A signal ends the wait, so that its reason is asked for at once.
    pub(crate) fn wait(
        &mut self,
        socket: BorrowedFd<'_>,
        events: PollFlags,
        env: &dyn Environment,
    ) -> Result<()> {
        let mut fds = [PollFd::from_borrowed_fd(socket, events)];
        if sleep(&mut self.left, &mut fds, SLICE, env)? {
            return Ok(());
        }
        match self.left {
            Some(0) => Err(Error::Unavailable("the server does not answer".into())),
            _ => Ok(()),
        }
    }

    /// Waits a little because of an error that passes; false if there is no time left.
    pub(crate) fn pause(&mut self, error: &Error, env: &dyn Environment) -> Result<bool> {
        let (left, pause) = match is_busy(error) {
            true => (&mut self.busy, BUSY_PAUSE),
            false => (&mut self.left, PAUSE),
        };
        if *left == Some(0) {
            return Ok(false);
        }
        sleep(left, &mut [], pause, env)?;
        Ok(true)
    }
}

/// Waits for sockets, no longer than what is left.
fn sleep(
    left: &mut Option<u32>,
    fds: &mut [PollFd<'_>],
    millis: u32,
    env: &dyn Environment,
) -> Result<bool> {
    if env.interrupted() {
        return Err(Error::Interrupted);
    }
    let millis = left.map_or(millis, |left| left.min(millis));
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(millis) * 1_000_000 };
    let ready = match poll(fds, Some(&timeout)) {
        Ok(ready) => ready > 0,
        Err(Errno::INTR) => return Ok(false),
        Err(error) => return Err(Error::Unavailable(error.to_string())),
    };
    if let Some(left) = left.as_mut().filter(|_| !ready) {
        *left -= millis;
    }
    if !ready && env.interrupted() { Err(Error::Interrupted) } else { Ok(ready) }
}
