//! One connection: commands out, replies in, nothing that blocks without asking.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use kv::{Environment, Error, Result};
use redis::{Cmd, Parser, Value};
use rustix::event::PollFlags;

use crate::address::{Address, Endpoint};
use crate::patience::Patience;
use crate::socket::Socket;

/// Bytes that are read at once.
const INCOMING: usize = 256 << 10;

/// Bytes that wait to be sent before the memory behind them is given back.
const OUTGOING: usize = 4 << 20;

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Encrypted(Box<crate::tls::Encrypted>),
}

impl Stream {
    fn connect(
        address: &Address,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Result<Stream> {
        let socket = Socket::connect(address, patience, env)?;
        match (&address.tls, &address.endpoint) {
            #[cfg(feature = "tls")]
            (Some(tls), Endpoint::Tcp { host, .. }) => {
                let stream = crate::tls::connect(socket, host, tls, patience, env)?;
                Ok(Stream::Encrypted(Box::new(stream)))
            }
            #[cfg(not(feature = "tls"))]
            (Some(_), Endpoint::Tcp { .. }) => {
                Err(Error::Misconfigured("rediss:// needs a build with TLS".into()))
            }
            _ => Ok(Stream::Plain(socket)),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Plain(socket) => socket.as_fd(),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(bytes),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.flush(),
        }
    }
}

/// An open connection. After an error it is of no use.
pub(crate) struct Link {
    stream: BufReader<Stream>,
    parser: Parser,
    outgoing: Vec<u8>,
    sent: usize,
    /// Why nothing more can be sent. A server that closes a connection may have said why before.
    closed: Option<Error>,
}

impl Link {
    pub(crate) fn connect(
        address: &Address,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Result<Link> {
        let stream = BufReader::with_capacity(INCOMING, Stream::connect(address, patience, env)?);
        Ok(Link { stream, parser: Parser::new(), outgoing: Vec::new(), sent: 0, closed: None })
    }

    /// Sends a command as far as that goes without waiting. What breaks here shows to who waits for
    /// the reply, after what the server has said.
    pub(crate) fn send(&mut self, command: &Cmd) {
        command.write_packed_command(&mut self.outgoing);
        self.pump();
    }

    fn pump(&mut self) {
        if self.closed.is_none()
            && let Err(error) = self.try_pump()
        {
            self.closed = Some(error);
        }
        if self.closed.is_some() {
            self.recycle();
        }
    }

    fn try_pump(&mut self) -> Result<()> {
        while self.sent < self.outgoing.len() {
            match self.stream.get_mut().write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(lost("it takes no more")),
                Ok(count) => self.sent += count,
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(lost(&error.to_string())),
            }
        }
        match self.stream.get_mut().flush() {
            Ok(()) => self.recycle(),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(lost(&error.to_string())),
        }
        Ok(())
    }

    fn recycle(&mut self) {
        self.outgoing.clear();
        self.outgoing.shrink_to(OUTGOING);
        self.sent = 0;
    }

    /// Waits for the next reply, and meanwhile for what is left to be sent.
    pub(crate) fn receive(
        &mut self,
        patience: &mut Patience,
        env: &dyn Environment,
    ) -> Result<Value> {
        loop {
            if let Some(value) = self.poll()? {
                return Ok(value);
            }
            let out =
                if self.sent < self.outgoing.len() { PollFlags::OUT } else { PollFlags::empty() };
            patience.wait(self.stream.get_ref().as_fd(), PollFlags::IN | out, env)?;
        }
    }

    /// The next reply, if it is there.
    pub(crate) fn poll(&mut self) -> Result<Option<Value>> {
        self.pump();
        match (self.parser.parse_value(&mut self.stream), self.closed.take()) {
            (Ok(value), closed) => {
                self.closed = closed;
                Ok(Some(value))
            }
            (Err(_), Some(closed)) => Err(closed),
            (Err(error), None) if error.is_timeout() => Ok(None),
            (Err(error), None) => Err(lost(&error.to_string())),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn lost(reason: &str) -> Error {
    Error::Unavailable(format!("the connection to the Redis server was lost: {reason}"))
}
