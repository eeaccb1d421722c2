//! A connection to the server, made again whenever it is lost. What was asked waits for it, except
//! commits that were on their way: what became of those nobody knows.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use super::network;
use crate::wire::{COMMIT, Reader, read_frame, write_frame};

const UNKNOWN_RESULT: i32 = 1021;
const PAUSE: Duration = Duration::from_millis(20);

type Done = Box<dyn FnOnce(Result<&[u8], i32>) + Send>;

struct Request {
    payload: Vec<u8>,
    sent: bool,
    done: Done,
}

#[derive(Default)]
struct State {
    next: u64,
    requests: BTreeMap<u64, Request>,
    stream: Option<UnixStream>,
}

pub(super) struct Link {
    state: Mutex<State>,
    writer: Sender<u64>,
}

impl Link {
    pub(super) fn open(socket: PathBuf) -> Arc<Link> {
        let (writer, ids) = channel();
        let link = Arc::new(Link { state: Mutex::default(), writer });
        let (reading, writing) = (Arc::downgrade(&link), Arc::downgrade(&link));
        network::start(move || read(&socket, &reading));
        network::start(move || write(&ids, &writing));
        link
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Asks, without waiting. `done` is called by another thread.
    pub(super) fn ask(
        &self,
        payload: Vec<u8>,
        done: impl FnOnce(Result<&[u8], i32>) + Send + 'static,
    ) {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.requests.insert(id, Request { payload, sent: false, done: Box::new(done) });
        drop(state);
        self.send(id);
    }

    /// After the end of the network thread there is no writer, and nothing is answered any more.
    fn send(&self, id: u64) {
        self.writer.send(id).unwrap_or_default();
    }

    fn connected(&self, stream: &UnixStream) {
        let mut state = self.state();
        state.stream = stream.try_clone().ok();
        let ids: Vec<u64> = state.requests.keys().copied().collect();
        drop(state);
        ids.into_iter().for_each(|id| self.send(id));
    }

    /// Commits that were sent are in doubt; everything else is asked again.
    fn lost(&self) {
        let mut state = self.state();
        state.stream = None;
        let doubtful: Vec<u64> = state
            .requests
            .iter()
            .filter(|(_, request)| request.sent && request.payload[0] == COMMIT)
            .map(|(id, _)| *id)
            .collect();
        state.requests.values_mut().for_each(|request| request.sent = false);
        let doubtful: Vec<Request> =
            doubtful.iter().filter_map(|id| state.requests.remove(id)).collect();
        drop(state);
        doubtful.into_iter().for_each(|request| (request.done)(Err(UNKNOWN_RESULT)));
    }

    fn answered(&self, id: u64, payload: &[u8]) {
        let request = self.state().requests.remove(&id);
        let Some(request) = request else { return };
        let mut reader = Reader(payload);
        match reader.number() {
            0 => (request.done)(Ok(reader.0)),
            code => (request.done)(Err(code as i32)),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(stream) = &self.state().stream {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn read(socket: &PathBuf, link: &Weak<Link>) {
    while link.strong_count() > 0 {
        let Ok(stream) = UnixStream::connect(socket) else {
            std::thread::sleep(PAUSE);
            continue;
        };
        match link.upgrade() {
            Some(link) => link.connected(&stream),
            None => return,
        }
        let mut stream = BufReader::new(stream);
        while let Ok((id, payload)) = read_frame(&mut stream) {
            let Some(link) = link.upgrade() else { return };
            link.answered(id, &payload);
        }
        if let Some(link) = link.upgrade() {
            link.lost();
        }
    }
}

fn write(ids: &Receiver<u64>, link: &Weak<Link>) {
    while let Ok(id) = ids.recv() {
        let Some(link) = link.upgrade() else { return };
        let mut state = link.state();
        let Some(mut stream) = state.stream.as_ref().and_then(|stream| stream.try_clone().ok())
        else {
            continue;
        };
        let Some(request) = state.requests.get_mut(&id).filter(|request| !request.sent) else {
            continue;
        };
        request.sent = true;
        let mut frame = Vec::new();
        // Writing to memory does not fail, and the reader sees what becomes of the socket.
        drop(write_frame(&mut frame, id, &request.payload));
        drop(state);
        drop(stream.write_all(&frame));
    }
}
