//! A proxy that loses one request or one reply.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use kv_redis::Address;

const PASS: u8 = 0;
/// The next request does not arrive.
pub(crate) const LOSE_REQUEST: u8 = 1;
/// The next request arrives and its reply does not.
pub(crate) const LOSE_REPLY: u8 = 2;

/// A listening proxy in front of a server. Its threads end with the process.
pub(crate) struct Proxy {
    path: PathBuf,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) fn start(path: PathBuf, server: PathBuf) -> Proxy {
        let listener = UnixListener::bind(&path).expect("a socket");
        let mode = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&mode);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                serve(client, &server, &shared);
            }
        });
        Proxy { path, mode }
    }

    pub(crate) fn address(&self) -> Address {
        Address::parse(&format!("redis+unix://{}", self.path.display())).expect("an address")
    }

    /// What happens to the next request; the connection is closed with it.
    pub(crate) fn lose(&self, what: u8) {
        self.mode.store(what, Ordering::SeqCst);
    }

    /// Whether something was lost since.
    pub(crate) fn has_lost(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == PASS
    }
}

/// One request and its reply after the other, as they come: clients of these tests wait for each.
fn serve(mut client: UnixStream, server: &Path, mode: &AtomicU8) {
    let Ok(mut server) = UnixStream::connect(server) else { return };
    let mut replies = server.try_clone().expect("a second handle");
    let mut back = client.try_clone().expect("a second handle");
    let mut bytes = vec![0; 1 << 20];
    thread::scope(|scope| {
        let losing = Arc::new(AtomicU8::new(PASS));
        let lost = Arc::clone(&losing);
        scope.spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while let Ok(count @ 1..) = replies.read(&mut bytes) {
                if lost.load(Ordering::SeqCst) == LOSE_REPLY {
                    break;
                }
                if back.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = back.shutdown(std::net::Shutdown::Both);
            let _ = replies.shutdown(std::net::Shutdown::Both);
        });
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            let now = mode.swap(PASS, Ordering::SeqCst);
            if now == LOSE_REQUEST {
                break;
            }
            if now == LOSE_REPLY {
                losing.store(LOSE_REPLY, Ordering::SeqCst);
            }
            if server.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
}
