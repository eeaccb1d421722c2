//! A backend's connection to the writer.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;

use kv::{Environment, Error, Result};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::socket::{self, SLICE};
use crate::wire::{Header, Reply};

/// Milliseconds between two attempts to connect.
const RETRY: u32 = 10;

/// Why nothing more can be sent or received.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection is lost.
    Lost(String),
    /// The caller does not want to wait any longer.
    Interrupted,
}

impl Broken {
    /// As the error of a request that changed nothing.
    pub(crate) fn harmless(self) -> Error {
        match self {
            Broken::Lost(reason) => Error::Unavailable(reason),
            Broken::Interrupted => Error::Interrupted,
        }
    }
}

type Sent<T> = std::result::Result<T, Broken>;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
}

impl Link {
    /// Connects, waiting for a writer that is about to start as long as `patience` (milliseconds)
    /// lasts.
    pub(crate) fn connect(path: &Path, patience: &mut u32, env: &dyn Environment) -> Result<Link> {
        loop {
            if let Some(socket) = socket::connect(path)? {
                return Ok(Link { socket });
            }
            if env.interrupted() {
                return Err(Error::Interrupted);
            }
            if *patience == 0 {
                return Err(Error::Unavailable(format!(
                    "no writer listens on {}; the server starts it as a background process, and \
                     its log says why it does not run",
                    path.display()
                )));
            }
            Link::pause(patience)?;
        }
    }

    /// Waits a little before the next attempt.
    pub(crate) fn pause(patience: &mut u32) -> Result<()> {
        *patience = patience.saturating_sub(RETRY);
        let slept = socket::wait_any(&mut [], u64::from(RETRY) * 1000);
        slept.map(drop).map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Sends a request. Broken on the way, it has not arrived whole and counts for nothing.
    pub(crate) fn send(&self, header: &Header, body: &[u8], env: &dyn Environment) -> Sent<()> {
        let header = header.encode();
        let total = header.len() + body.len();
        let mut sent = 0;
        while sent < total {
            let (head, tail) =
                (&header[sent.min(header.len())..], &body[sent.saturating_sub(header.len())..]);
            match self.send_some(&[IoSlice::new(head), IoSlice::new(tail)]) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN | Errno::INTR) => self.wait(PollFlags::OUT, env)?,
                Err(error) => return Err(lost(&error.to_string())),
            }
        }
        Ok(())
    }

    fn send_some(&self, parts: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
        let mut control = rustix::net::SendAncillaryBuffer::default();
        rustix::net::sendmsg(&self.socket, parts, &mut control, SendFlags::NOSIGNAL)
    }

    /// Waits for a reply.
    pub(crate) fn receive(&self, env: &dyn Environment) -> Sent<Reply> {
        let mut length = [0; 4];
        self.receive_exactly(&mut length, env)?;
        let length = Reply::length(length).map_err(|error| lost(&error.to_string()))?;
        let mut bytes = vec![0; length];
        self.receive_exactly(&mut bytes, env)?;
        Reply::decode(&bytes).ok_or_else(|| lost("the writer's answer cannot be decoded"))
    }

    /// Whether a reply has arrived, or the connection is lost.
    pub(crate) fn has_news(&self) -> bool {
        socket::wait(&self.socket, PollFlags::IN, 0).unwrap_or(true)
    }

    fn receive_exactly(&self, bytes: &mut [u8], env: &dyn Environment) -> Sent<()> {
        let mut have = 0;
        while have < bytes.len() {
            match rustix::net::recv(&self.socket, &mut bytes[have..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(lost("the writer has closed it")),
                Ok((count, _)) => have += count,
                Err(Errno::AGAIN | Errno::INTR) => self.wait(PollFlags::IN, env)?,
                Err(error) => return Err(lost(&error.to_string())),
            }
        }
        Ok(())
    }

    fn wait(&self, events: PollFlags, env: &dyn Environment) -> Sent<()> {
        match socket::wait(&self.socket, events, SLICE) {
            Ok(true) => Ok(()),
            Ok(false) if env.interrupted() => Err(Broken::Interrupted),
            Ok(false) => Ok(()),
            Err(error) => Err(lost(&error.to_string())),
        }
    }
}

fn lost(reason: &str) -> Broken {
    Broken::Lost(format!("the connection to the writer was lost: {reason}"))
}
