//! The Unix-domain socket between backends and the writer. Nothing here blocks without a limit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use kv::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::failure::from_io;

const BACKLOG: i32 = 1024;
const BUFFER: usize = 1 << 20;

/// Longest wait between two questions whether to stop, in milliseconds.
pub(crate) const SLICE: u32 = 50;

/// Where the writer of `dir` listens: as short as the working directory allows.
pub(crate) fn path(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("writer.sock");
    let short =
        std::env::current_dir().ok().and_then(|cwd| Some(path.strip_prefix(cwd).ok()?.to_owned()));
    let path = short.unwrap_or(path);
    match SocketAddrUnix::new(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(Error::Misconfigured(format!(
            "the path {} is longer than the path of a socket may be",
            path.display()
        ))),
    }
}

/// The listening socket. Whoever calls this holds the writer's lock, so that a socket found there
/// is what a dead writer left.
pub(crate) fn listen(path: &Path) -> Result<OwnedFd> {
    let failed = |e: Errno| from_io(&e.into(), &format!("cannot listen on {}", path.display()));
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(failed(e)),
    }
    let socket = stream().map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    rustix::net::bind(&socket, &address).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
    Ok(socket)
}

/// Accepts a connection, if one is waiting.
pub(crate) fn accept(listener: &OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Connects, if there is somebody who will accept; none while there is not.
pub(crate) fn connect(path: &Path) -> Result<Option<OwnedFd>> {
    let failed = |e: Errno| from_io(&e.into(), &format!("cannot connect to {}", path.display()));
    let socket = stream().map_err(failed)?;
    // The default is what a few rows need; a bulk load keeps the writer busy with more.
    let _ = sockopt::set_socket_send_buffer_size(&socket, BUFFER);
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

fn stream() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Waits until something can be read (or written), at most so many milliseconds.
pub(crate) fn wait(socket: &OwnedFd, events: PollFlags, millis: u32) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), events)];
    Ok(wait_any(&mut fds, u64::from(millis) * 1000)? > 0)
}

/// Waits until one of several is ready, at most so many microseconds. A signal ends the wait.
pub(crate) fn wait_any(fds: &mut [PollFd<'_>], micros: u64) -> io::Result<usize> {
    let timeout =
        Timespec { tv_sec: (micros / 1_000_000) as i64, tv_nsec: (micros % 1_000_000 * 1000) as _ };
    match poll(fds, Some(&timeout)) {
        Err(Errno::INTR) => Ok(0),
        polled => Ok(polled?),
    }
}
