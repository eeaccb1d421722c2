//! The writer's end of one connection: requests in, out of however many pieces, and replies out.

use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::wire::{HEADER, Header, Reply};

/// Most memory reserved for a body before its bytes arrive.
const RESERVE: u64 = 4 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: UnixStream,
    /// The namespace it works in, once it has said who it is.
    pub(crate) namespace: Option<usize>,
    /// When its client last began to wait for a reply, in microseconds.
    pub(crate) awaited_at: u64,
    head: Vec<u8>,
    body: Option<(Header, Vec<u8>)>,
}

/// What a connection had to say.
#[derive(Debug)]
pub(crate) enum Received {
    /// A whole request.
    Request(Header, Vec<u8>),
    /// Nothing more at the moment.
    Nothing,
    /// The client is gone, or sends what no client sends.
    Gone,
}

impl Connection {
    /// The connection of an accepted, non-blocking socket.
    pub(crate) fn new(socket: OwnedFd) -> Connection {
        let head = Vec::with_capacity(HEADER);
        Connection { socket: socket.into(), namespace: None, awaited_at: 0, head, body: None }
    }

    /// The next request, if all of it has arrived.
    pub(crate) fn receive(&mut self) -> Received {
        if self.body.is_none() {
            match fill(&self.socket, &mut self.head, HEADER as u64) {
                Filled::Whole => {}
                Filled::Partly => return Received::Nothing,
                Filled::Broken => return Received::Gone,
            }
            let Some(header) = self.head.first_chunk().and_then(Header::decode) else {
                return Received::Gone;
            };
            self.head.clear();
            self.body = Some((header, Vec::with_capacity(header.length.min(RESERVE) as usize)));
        }
        self.receive_body()
    }

    fn receive_body(&mut self) -> Received {
        let Some((header, mut body)) = self.body.take() else { return Received::Nothing };
        match fill(&self.socket, &mut body, header.length) {
            Filled::Whole => Received::Request(header, body),
            Filled::Broken => Received::Gone,
            Filled::Partly => {
                self.body = Some((header, body));
                Received::Nothing
            }
        }
    }

    /// Sends a reply; false if the client does not read what it asked for, since clients read each
    /// reply before they ask for the next. A client that is gone is noticed when what it sent
    /// before is read to its end, and not here: that counts.
    pub(crate) fn send(&self, reply: &Reply) -> bool {
        let bytes = reply.encode();
        match rustix::net::send(&self.socket, &bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent == bytes.len(),
            Err(error) => error != Errno::AGAIN,
        }
    }
}

enum Filled {
    Whole,
    Partly,
    Broken,
}

/// Reads what has arrived until `bytes` has `length` bytes, and never beyond.
fn fill(mut socket: &UnixStream, bytes: &mut Vec<u8>, length: u64) -> Filled {
    let missing = length - bytes.len() as u64;
    match socket.by_ref().take(missing).read_to_end(bytes) {
        Ok(_) if bytes.len() as u64 == length => Filled::Whole,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Filled::Partly,
        _ => Filled::Broken,
    }
}
