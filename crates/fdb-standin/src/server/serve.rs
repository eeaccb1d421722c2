//! Connections, and the thread that commits what they bring in groups.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::data::{Data, Want, Wish};
use super::faults::Faults;
use crate::wire::{COMMIT, CONTROL, GET, GRV, RANGE, Reader, Writer, read_frame, write_frame};

/// Most commits that share a version.
const GROUP: usize = 64;

/// Without commits there is an empty one every so often.
const IDLE: Duration = Duration::from_secs(2);

/// What all threads share.
struct Shared {
    data: Mutex<Data>,
    faults: Mutex<Faults>,
}

impl Shared {
    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().expect("no thread panics")
    }

    fn suffer(&self, kind: &str) -> (Duration, Option<(i32, bool)>) {
        self.faults.lock().expect("no thread panics").suffer(kind)
    }
}

/// A commit on its way.
struct Request {
    wish: Wish,
    fault: Option<(i32, bool)>,
    id: u64,
    reply: Arc<Mutex<UnixStream>>,
}

/// Microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "a program of its own")]
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// Serves on a socket, for ever.
pub fn serve(socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let data = Mutex::new(Data::begin(clock()));
    let shared = Arc::new(Shared { data, faults: Mutex::default() });
    let (sender, receiver) = channel();
    let its = Arc::clone(&shared);
    std::thread::spawn(move || commit_groups(&its, &receiver));
    for stream in listener.incoming() {
        let (stream, shared, sender) = (stream?, Arc::clone(&shared), sender.clone());
        // A client that goes away ends its thread.
        std::thread::spawn(move || drop(converse(stream, &shared, &sender)));
    }
    Ok(())
}

fn converse(stream: UnixStream, shared: &Shared, commits: &Sender<Request>) -> io::Result<()> {
    let reply = Arc::new(Mutex::new(stream.try_clone()?));
    let mut stream = io::BufReader::new(stream);
    loop {
        let (id, payload) = read_frame(&mut stream)?;
        let mut reader = Reader(&payload);
        let kind = reader.byte();
        let name = match kind {
            GRV => "grv",
            GET => "get",
            RANGE => "range",
            COMMIT => "commit",
            _ => "control",
        };
        let (delay, fault) = if kind == CONTROL { Default::default() } else { shared.suffer(name) };
        std::thread::sleep(delay);
        if kind == COMMIT {
            let wish = Wish::decode(&mut reader);
            let reply = Arc::clone(&reply);
            commits.send(Request { wish, fault, id, reply }).expect("the other thread goes on");
            continue;
        }
        let answer = match fault {
            Some((code, _)) => Err(code),
            None => answer(shared, kind, &mut reader),
        };
        send(&reply, id, answer)?;
    }
}

fn send(to: &Mutex<UnixStream>, id: u64, answer: Result<Vec<u8>, i32>) -> io::Result<()> {
    let mut writer = Writer::default();
    match answer {
        Ok(payload) => {
            writer.number(0);
            writer.0.extend_from_slice(&payload);
        }
        Err(code) => drop(writer.number(code as u64)),
    }
    write_frame(&mut *to.lock().expect("no thread panics"), id, &writer.0)
}

fn answer(shared: &Shared, kind: u8, reader: &mut Reader<'_>) -> Result<Vec<u8>, i32> {
    let mut writer = Writer::default();
    match kind {
        GRV => {
            let data = shared.data();
            let metadata = data.metadata_version();
            writer.number(data.version).optional(metadata.as_deref().map(Vec::as_slice));
        }
        GET => {
            let (version, key) = (reader.number(), reader.bytes());
            let value = shared.data().get(&key, version)?;
            writer.optional(value.as_deref().map(Vec::as_slice));
        }
        RANGE => {
            let (version, start, end) = (reader.number(), reader.bytes(), reader.bytes());
            let want = Want {
                rows: reader.number() as usize,
                bytes: Some(reader.number() as usize).filter(|bytes| *bytes > 0),
                reverse: reader.byte() == 1,
            };
            let (entries, more) = shared.data().range(&start, &end, version, want)?;
            writer.byte(more.into()).number(entries.len() as u64);
            for (key, value) in entries {
                writer.bytes(&key).bytes(&value);
            }
        }
        _ => {
            let text = String::from_utf8_lossy(reader.0).into_owned();
            let answer = command(shared, &text);
            writer.0 = answer.unwrap_or_else(|error| format!("error: {error}")).into_bytes();
        }
    }
    Ok(writer.0)
}

/// `jump VERSIONS`, or what [`Faults::command`] says.
fn command(shared: &Shared, text: &str) -> Result<String, String> {
    let Some(versions) = text.strip_prefix("jump ") else {
        return shared.faults.lock().expect("no thread panics").command(text);
    };
    shared.data().jump(versions.parse().map_err(|_| format!("{versions} is no number"))?);
    Ok("done".into())
}

/// What has arrived by the time a group begins shares its version.
fn commit_groups(shared: &Shared, commits: &Receiver<Request>) {
    loop {
        let first = match commits.recv_timeout(IDLE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                shared.data().advance(clock());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let group: Vec<Request> =
            std::iter::once(first).chain(commits.try_iter().take(GROUP - 1)).collect();
        let answers = commit_group(&mut shared.data(), &group);
        for (request, answer) in group.iter().zip(answers) {
            // Who has gone away waits for nothing.
            drop(send(&request.reply, request.id, answer));
        }
    }
}

fn commit_group(data: &mut Data, group: &[Request]) -> Vec<Result<Vec<u8>, i32>> {
    let version = data.advance(clock());
    let mut order = 0;
    let mut commit = |request: &Request| {
        if let Some((code, false)) = request.fault {
            return Err(code);
        }
        data.admits(&request.wish)?;
        data.apply(&request.wish, version, order)?;
        order += 1;
        match request.fault {
            Some((code, _)) => Err(code),
            None => Ok(version.to_le_bytes().to_vec()),
        }
    };
    group.iter().map(&mut commit).collect()
}

/// Tells the server of a socket what to do, and returns its answer.
pub fn tell(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    write_frame(&mut stream, 0, &[&[CONTROL], command.as_bytes()].concat())?;
    let (_, payload) = read_frame(&mut stream)?;
    Ok(String::from_utf8_lossy(&payload[8..]).into_owned())
}
