//! Sockets that never block: whoever has to wait does it with [`Patience`].

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use kv::{Environment, Error, Result};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::address::{Address, Endpoint};
use crate::patience::Patience;

/// After how much silence the system asks the server whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// After how long without an answer from the server's system a connection is lost, in milliseconds.
const UNACKNOWLEDGED: u32 = 30_000;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn connect(
        address: &Address,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Result<Socket> {
        let connected = match &address.endpoint {
            Endpoint::Tcp { host, port } => connect_tcp(host, *port, patience, env),
            Endpoint::Unix(path) => connect_unix(path),
        };
        connected.map_err(|error| match error {
            Error::Unavailable(reason) => {
                Error::Unavailable(format!("cannot connect to {address}: {reason}"))
            }
            error => error,
        })
    }
}

/// Tries every address of the host. Looking a name up is the one wait that cannot be interrupted:
/// the system offers nothing better.
fn connect_tcp(
    host: &str,
    port: u16,
    patience: &mut Patience,
    env: &dyn Environment,
) -> Result<Socket> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, port).to_socket_addrs().map_err(|error| unavailable(&error))?;
    let mut failure = Error::Unavailable("the host has no address".into());
    for address in addresses {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        match start(family, &address.into()).and_then(|socket| finish(socket, patience, env)) {
            Ok(socket) => {
                tune(&socket);
                return Ok(Socket::Tcp(socket.into()));
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn connect_unix(path: &Path) -> Result<Socket> {
    let address = SocketAddrUnix::new(path).map_err(|error| unavailable(&error.into()))?;
    let socket = start(AddressFamily::UNIX, &address.into())?;
    Ok(Socket::Unix(socket.into()))
}

fn start(family: AddressFamily, address: &SocketAddrAny) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .map_err(|error| unavailable(&error.into()))?;
    match rustix::net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(unavailable(&error.into())),
    }
}

fn finish(socket: OwnedFd, patience: &mut Patience, env: &dyn Environment) -> Result<OwnedFd> {
    loop {
        match rustix::net::getpeername(&socket) {
            Ok(_) => return Ok(socket),
            Err(Errno::NOTCONN) => {}
            Err(error) => return Err(unavailable(&error.into())),
        }
        if let Ok(Err(error)) = sockopt::socket_error(&socket) {
            return Err(unavailable(&error.into()));
        }
        patience.wait(socket.as_fd(), PollFlags::OUT, env)?;
    }
}

/// None of this is needed for right answers, so a system that refuses is not argued with.
fn tune(socket: &OwnedFd) {
    let _ = sockopt::set_tcp_nodelay(socket, true);
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEPALIVE);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEPALIVE);
    let _ = sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED);
}

fn unavailable(error: &io::Error) -> Error {
    Error::Unavailable(error.to_string())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(bytes),
            Socket::Unix(socket) => socket.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
