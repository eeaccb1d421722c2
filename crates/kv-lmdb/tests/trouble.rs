//! What can be wrong with the disk, the files and the bytes that arrive.

mod server;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use kv::{CommitId, Durability, Environment, Error, Store};
use kv_lmdb::{Lmdb, LmdbOptions, Writer, WriterOptions};
use rustix::process::{Resource, Rlimit};
use server::{Real, Server, WriterProcess, batch, client, eventually, get, options, put};

/// What the children of these tests do; see [`server::command`].
#[test]
#[ignore = "played by the children of the other tests"]
fn role() {
    let dir = std::env::var_os("KV_LMDB_DIR").expect("the parent says where");
    assert_eq!(std::env::var("KV_LMDB_ROLE").as_deref(), Ok("writer"));
    server::play_writer(Path::new(&dir));
}

fn put_large(client: &Lmdb, env: &Real, key: &[u8], size: usize) -> Result<(), Error> {
    let mut large = batch(env, Durability::Durable);
    large.put_stamped(key, &[&vec![5; size]]);
    client.commit(&large, env).map(drop)
}

fn assert_full(refused: Result<(), Error>) {
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
}

/// The batch that is too large is refused; smaller ones before and after it are done.
#[test]
fn a_map_that_may_not_grow_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions { map_size: 1 << 20, max_map_size: 4 << 20, ..options() };
    let server = Server::start_in(dir, options);
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"before", b"1").unwrap();
    assert_full(put_large(&client, &env, b"large", 8 << 20));
    put(&client, &env, b"after", b"2").unwrap();
    assert_eq!(get(&client, &env, b"large"), None);
    assert_eq!(get(&client, &env, b"before"), Some(b"1".to_vec()));
    assert_eq!(get(&client, &env, b"after"), Some(b"2".to_vec()));
}

/// A failed deferred batch is told at the next flush, once.
#[test]
fn a_deferred_batch_without_room_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions { map_size: 1 << 20, max_map_size: 4 << 20, ..options() };
    let server = Server::start_in(dir, options);
    let (client, env) = (server.client(), Real::default());
    let mut rows = batch(&env, Durability::Deferred);
    rows.put(b"large", &vec![0; 8 << 20]);
    client.commit(&rows, &env).unwrap();
    assert_full(client.flush(&env));
    client.flush(&env).unwrap();
    put(&client, &env, b"after", b"2").unwrap();
}

/// The disk ends in the middle of a commit; the writer lives on, and when there is room again it
/// commits again.
#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    let inner = server::command("writer", dir.path());
    // As PostgreSQL does: the signal of a file that becomes too large is ignored.
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(Stdio::piped());
    let writer = WriterProcess::started(command);
    let (client, env) = (client(dir.path()), Real::default());
    put(&client, &env, b"before", b"1").unwrap();
    assert_full(put_large(&client, &env, b"large", 16 << 20));
    put(&client, &env, b"after", b"2").unwrap();
    assert_eq!(get(&client, &env, b"large"), None);
    let room = Rlimit { current: None, maximum: None };
    rustix::process::prlimit(Some(writer.pid()), Resource::Fsize, room).unwrap();
    put_large(&client, &env, b"large", 16 << 20).unwrap();
    assert_eq!(get(&client, &env, b"large").map(|value| value.len()), Some(16 << 20));
    assert_eq!(get(&client, &env, b"before"), Some(b"1".to_vec()));
}

#[test]
fn a_damaged_file_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("data.mdb"), [0x5a; 64 << 10]).unwrap();
    let opened = Writer::open(dir.path(), options());
    assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
}

#[test]
fn a_directory_that_cannot_be_written_is_denied() {
    let opened = Writer::open(Path::new("/sys/fakegres"), options());
    assert!(matches!(opened, Err(Error::Denied(_))), "{opened:?}");
}

#[test]
fn a_path_too_long_for_a_socket_is_misconfigured() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120));
    let made = Lmdb::connect(&long, b"tests", "main", LmdbOptions::default());
    assert!(matches!(made, Err(Error::Misconfigured(_))), "{made:?}");
    let opened = Writer::open(&long, options());
    assert!(matches!(opened, Err(Error::Misconfigured(_))), "{opened:?}");
}

#[test]
fn names_that_are_none_are_misconfigured() {
    for name in ["", "a\0b", &"n".repeat(300)] {
        let made = Lmdb::connect(Path::new("/tmp"), b"tests", name, LmdbOptions::default());
        assert!(matches!(made, Err(Error::Misconfigured(_))), "{made:?}");
    }
}

/// More namespaces than the file was opened for are refused, and those that fit keep apart.
#[test]
fn namespaces_keep_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir, WriterOptions { max_namespaces: 2, ..options() });
    let env = Real::default();
    let open = |name| {
        let options = LmdbOptions { max_namespaces: 2, ..LmdbOptions::default() };
        Lmdb::connect(server.dir.path(), b"tests", name, options).unwrap()
    };
    let (a, b) = (open("a"), open("b"));
    put(&a, &env, b"key", b"of a").unwrap();
    assert_eq!(get(&b, &env, b"key"), None);
    assert_eq!(b.read_version(&env).unwrap().version, kv::Version::ZERO);
    let refused = open("c").read_version(&env);
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    put(&b, &env, b"key", b"of b").unwrap();
    assert_eq!(get(&a, &env, b"key"), Some(b"of a".to_vec()));
}

/// Requests written by hand, as the wire's documentation says.
struct Raw(UnixStream);

impl Raw {
    fn connect(server: &Server) -> Raw {
        Raw(UnixStream::connect(server.dir.path().join("writer.sock")).unwrap())
    }

    fn request(kind: u8, id: [u8; 16], body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u64).to_le_bytes();
        [&length[..], &[kind, 0, 0, 0, 0, 0, 0, 0], &id, body].concat()
    }

    fn hello() -> Vec<u8> {
        let body = b"fakegres\x01\0\0\0\x05\0\0\0tests\x04\0\0\0main";
        Raw::request(1, [0; 16], body)
    }

    fn commit(id: CommitId) -> Vec<u8> {
        let mut batch = kv::Batch::new(id, Durability::Durable);
        batch.put_stamped(b"raw", &[b"value"]);
        Raw::request(2, id.0, batch.encoded())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// What the writer says until it closes the connection.
    fn farewell(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap_or_default();
        bytes
    }
}

/// Cut off at every byte of what it says: nothing is committed and nobody else notices.
#[test]
fn clients_that_die_while_they_speak_disturb_nobody() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    let whole = [Raw::hello(), Raw::commit(CommitId([1; 16]))].concat();
    for end in (0..whole.len()).step_by(5) {
        Raw::connect(&server).send(&whole[..end]);
    }
    put(&client, &env, b"other", b"1").unwrap();
    assert_eq!(get(&client, &env, b"raw"), None);
}

/// What arrived whole counts, also when nobody waits for the answer.
#[test]
fn a_batch_that_arrived_whole_is_committed() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    let mut raw = Raw::connect(&server);
    raw.send(&[Raw::hello(), Raw::commit(CommitId([1; 16]))].concat());
    drop(raw);
    eventually("the commit", || get(&client, &env, b"raw") == Some(b"value".to_vec()));
}

/// It is the end of that connection and of nothing else.
#[test]
fn nonsense_ends_the_connection_that_it_comes_from() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    let id = CommitId([1; 16]);
    let nonsense = [
        vec![0xff; 200],
        Raw::commit(id),
        Raw::request(1, [0; 16], b"fakegres"),
        Raw::request(1, [0; 16], b"another protocol altogether"),
        [Raw::hello(), Raw::hello()].concat(),
        [Raw::hello(), Raw::request(2, id.0, b"\x63no batch")].concat(),
        [Raw::hello(), Raw::request(9, id.0, b"")].concat(),
        [Raw::hello(), u64::MAX.to_le_bytes().to_vec(), vec![2; 24]].concat(),
    ];
    for bytes in nonsense {
        let mut raw = Raw::connect(&server);
        raw.send(&bytes);
        // Ends, or the test does not.
        raw.farewell();
    }
    put(&client, &env, b"other", b"1").unwrap();
    assert_eq!(get(&client, &env, b"raw"), None);
}

/// A build that speaks otherwise is told so.
#[test]
fn another_protocol_is_the_wrong_store() {
    let server = Server::start();
    let mut raw = Raw::connect(&server);
    let mut hello = Raw::hello();
    hello[32 + 8] = 99;
    raw.send(&hello);
    let reply = String::from_utf8_lossy(&raw.farewell()).into_owned();
    assert!(reply.contains("protocol 1 and this process 99"), "{reply:?}");
}

/// A million-to-one batch: values at the limit of a page, of many pages, and of nothing.
#[test]
fn values_of_every_size_come_back() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    for size in [0, 1, 2000, 4087, 4088, 4089, 5000, 1 << 20, 100 << 20] {
        let value: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        put(&client, &env, b"key", &value).unwrap();
        assert_eq!(get(&client, &env, b"key"), Some(value));
    }
    assert!(env.now() > 0);
}
