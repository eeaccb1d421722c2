//! What processes do to each other: they are killed, stopped, replaced, and there are many.

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kv::{CommitId, Direction, Durability, Error, Outcome, Page, ScanRequest, Store};
use kv_lmdb::{Lmdb, LmdbOptions, Writer};
use rustix::process::Signal;
use server::{Real, Server, WriterProcess, batch, client, get, options, process, put};

/// What the children of these tests do; see [`server::command`].
#[test]
#[ignore = "played by the children of the other tests"]
fn role() {
    let dir = std::env::var_os("KV_LMDB_DIR").expect("the parent says where");
    let dir = std::path::Path::new(&dir);
    match std::env::var("KV_LMDB_ROLE").as_deref() {
        Ok("writer") => server::play_writer(dir),
        Ok("reader") => play_reader(dir),
        role => panic!("there is no role {role:?}"),
    }
}

fn play_reader(dir: &std::path::Path) {
    let (client, env) = (client(dir), Real::default());
    assert_eq!(get(&client, &env, b"key"), Some(b"value".to_vec()));
    println!("reading");
    loop {
        client.read_version(&env).expect("a read succeeds");
    }
}

fn detail(client: &Lmdb, name: &str) -> u64 {
    let status = client.status(&Real::default()).expect("the writer answers");
    let found = status.details.iter().find(|(known, _)| known == name);
    found.and_then(|(_, value)| value.parse().ok()).expect("the writer says so")
}

/// With four slots and a dozen readers that die without giving theirs back.
#[test]
fn slots_of_killed_readers_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let _writer = WriterProcess::start(dir.path(), &[("READERS", 4)]);
    let env = Real::default();
    put(&client(dir.path()), &env, b"key", b"value").unwrap();
    for _ in 0..12 {
        let mut reader = process("reader", dir.path());
        server::wait_for_line(&mut reader, "reading");
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
    assert_eq!(get(&client(dir.path()), &env, b"key"), Some(b"value".to_vec()));
}

/// What a client saw of its commits while writers were killed.
struct Witness {
    acknowledged: Vec<u64>,
    refused: Vec<u64>,
}

/// Commits pairs of keys until told to stop.
fn commit_pairs(dir: &std::path::Path, number: u64, stop: &AtomicBool) -> Witness {
    let (client, env) = (client(dir), Real::default());
    let mut witness = Witness { acknowledged: Vec::new(), refused: Vec::new() };
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut pair = batch(&env, Durability::Durable);
        pair.put_stamped(format!("left {number} {i}").as_bytes(), &[b"body"]);
        pair.put_stamped(format!("right {number} {i}").as_bytes(), &[b"body"]);
        match client.commit(&pair, &env) {
            Ok(_) => witness.acknowledged.push(i),
            Err(Error::Unavailable(_)) => witness.refused.push(i),
            Err(error) => panic!("a killed writer is no {error:?}"),
        }
    }
    witness
}

/// The writer is killed three times under load. A commit is there if and only if its client was
/// told so, and both of its keys are or none is.
#[test]
fn killed_writers_lose_nothing_and_halve_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = WriterProcess::start(dir.path(), &[]);
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (path, stop) = (dir.path().to_owned(), Arc::clone(&stop));
            thread::spawn(move || commit_pairs(&path, number, &stop))
        })
        .collect();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(150));
        drop(writer);
        writer = WriterProcess::start(dir.path(), &[]);
    }
    thread::sleep(Duration::from_millis(50));
    stop.store(true, Ordering::Relaxed);
    let (reader, env) = (client(dir.path()), Real::default());
    for (number, thread) in clients.into_iter().enumerate() {
        let witness = thread.join().unwrap();
        assert!(witness.acknowledged.len() > 10, "there was a load");
        for (commits, there) in [(witness.acknowledged, true), (witness.refused, false)] {
            for i in commits {
                for side in ["left", "right"] {
                    let key = format!("{side} {number} {i}");
                    assert_eq!(get(&reader, &env, key.as_bytes()).is_some(), there, "{key}");
                }
            }
        }
    }
}

/// Outcomes are in the file, and so are the promises never to commit.
#[test]
fn outcomes_and_fences_survive_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (env, never) = (Real::default(), CommitId([9; 16]));
    let mut done = batch(&env, Durability::Durable);
    done.put(b"a", b"1");
    let version = {
        let _writer = WriterProcess::start(dir.path(), &[]);
        client(dir.path()).commit(&done, &env).unwrap()
    };
    {
        let _writer = WriterProcess::start(dir.path(), &[]);
        let client = client(dir.path());
        assert_eq!(client.outcome(done.id, &env), Ok(Outcome::Committed(version)));
        assert_eq!(client.outcome(never, &env), Ok(Outcome::NotCommitted));
    }
    let _writer = WriterProcess::start(dir.path(), &[]);
    let mut late = batch(&env, Durability::Durable);
    late.reset(never);
    late.put(b"b", b"2");
    let refused = client(dir.path()).commit(&late, &env);
    assert_eq!(refused, Err(Error::Conflict { key: Vec::new() }));
}

/// A commit after deferred batches that died with their writer must not publish what is left.
#[test]
fn deferred_batches_lost_with_the_writer_are_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let writer = WriterProcess::start(dir.path(), &[]);
    let (client, env) = (client(dir.path()), Real::default());
    let mut rows = batch(&env, Durability::Deferred);
    rows.put(b"row", b"deferred");
    client.commit(&rows, &env).unwrap();
    drop(writer);
    let _writer = WriterProcess::start(dir.path(), &[]);
    let refused = put(&client, &env, b"space", b"published");
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(get(&client, &env, b"space"), None);
    put(&client, &env, b"space", b"published").unwrap();
}

/// A reader in another process, which opened the file while it was small, follows it.
#[test]
fn the_map_grows_under_readers() {
    let dir = tempfile::tempdir().unwrap();
    let _writer = WriterProcess::start(dir.path(), &[("MAP", 1 << 20)]);
    let (client, env) = (client(dir.path()), Real::default());
    put(&client, &env, b"first", b"1").unwrap();
    assert_eq!(get(&client, &env, b"first"), Some(b"1".to_vec()));
    for chunk in 0..20u64 {
        let durability = if chunk % 2 == 0 { Durability::Deferred } else { Durability::Durable };
        let mut rows = batch(&env, durability);
        for row in 0..1000 {
            rows.put(&(chunk * 1000 + row).to_be_bytes(), &[3; 1000]);
        }
        client.commit(&rows, &env).unwrap();
    }
    assert!(detail(&client, "map bytes") > 16 << 20);
    assert_eq!(count(&client, &env), 20_001);
}

fn count(client: &Lmdb, env: &Real) -> usize {
    let mut page = Page::default();
    let mut request = ScanRequest {
        start: Vec::new(),
        end: vec![0xff; 9],
        direction: Direction::Backward,
        max_rows: 5000,
        max_bytes: 1 << 20,
    };
    let mut rows = 0;
    loop {
        let ticket = client.start_scan(request).unwrap();
        request = client.finish_scan(ticket, &mut page, env).unwrap().1;
        rows += page.len();
        if !request.advance(&page) {
            return rows;
        }
    }
}

/// Each says who has it: the own server's other writer is `Denied`, another's is `WrongStore`.
#[test]
fn a_second_writer_and_foreign_clients_are_refused() {
    let server = Server::start();
    let dir = server.dir.path();
    let pid = std::process::id().to_string();
    match Writer::open(dir, options()) {
        Err(Error::Denied(text)) => {
            assert!(text.contains(&pid) && text.contains("tests"), "{text}")
        }
        other => panic!("{other:?}"),
    }
    let mut foreign = options();
    foreign.identity = b"another".to_vec();
    match Writer::open(dir, foreign) {
        Err(Error::WrongStore(text)) => assert!(text.contains(&pid), "{text}"),
        other => panic!("{other:?}"),
    }
    let client = Lmdb::connect(dir, b"another", "main", LmdbOptions::default()).unwrap();
    let refused = client.read_version(&Real::default());
    assert!(matches!(refused, Err(Error::WrongStore(_))), "{refused:?}");
    put(&server.client(), &Real::default(), b"still", b"works").unwrap();
}

/// A clean stop gives everything back, and what a killed writer left is removed.
#[test]
fn writers_follow_one_another() {
    let env = Real::default();
    let server = Server::start();
    put(&server.client(), &env, b"a", b"1").unwrap();
    let dir = server.stop();
    assert!(!dir.path().join("writer.sock").exists());
    drop(WriterProcess::start(dir.path(), &[]));
    assert!(dir.path().join("writer.sock").exists());
    let server = Server::start_in(dir, options());
    assert_eq!(get(&server.client(), &env, b"a"), Some(b"1".to_vec()));
    put(&server.client(), &env, b"b", b"2").unwrap();
}

#[test]
fn no_writer_is_unavailable_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let options = LmdbOptions { connect_timeout: 50, ..LmdbOptions::default() };
    let client = Lmdb::connect(dir.path(), b"tests", "main", options).unwrap();
    match client.read_version(&Real::default()) {
        Err(Error::Unavailable(text)) => assert!(text.contains("writer.sock"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// An environment whose wish to stop comes after a while.
fn stopping() -> Real {
    let env = Real::default();
    let stop = Arc::clone(&env.stop);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
    });
    env
}

fn within_a_second<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
    done
}

/// Waiting for an answer, for room in the socket and for a greeting can all be given up, and what
/// happened to the commit is known as soon as the writer goes on.
#[test]
fn a_stopped_writer_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let writer = WriterProcess::start(dir.path(), &[]);
    let (patient, loading, env) = (client(dir.path()), client(dir.path()), Real::default());
    put(&patient, &env, b"a", b"1").unwrap();
    put(&loading, &env, b"a", b"1").unwrap();
    writer.signal(Signal::STOP);
    let mut commit = batch(&env, Durability::Durable);
    commit.put_stamped(b"b", &[b"2"]);
    let unknown = within_a_second(|| patient.commit(&commit, &stopping()));
    assert!(matches!(unknown, Err(Error::OutcomeUnknown { id, .. }) if id == commit.id));
    let mut rows = batch(&env, Durability::Deferred);
    rows.put(b"large", &[0; 8 << 20]);
    assert_eq!(within_a_second(|| loading.commit(&rows, &stopping())), Err(Error::Interrupted));
    let late = client(dir.path());
    assert_eq!(within_a_second(|| late.read_version(&stopping())), Err(Error::Interrupted));
    let asked = within_a_second(|| patient.outcome(commit.id, &stopping()));
    assert_eq!(asked, Err(Error::Interrupted));
    writer.signal(Signal::CONT);
    match patient.outcome(commit.id, &env).unwrap() {
        Outcome::Committed(_) => assert_eq!(get(&patient, &env, b"b"), Some(b"2".to_vec())),
        Outcome::NotCommitted => assert_eq!(get(&patient, &env, b"b"), None),
    }
    put(&loading, &env, b"c", b"3").unwrap();
}

/// It accepts connections, so that only the missing greeting tells.
#[test]
fn a_stopped_writer_is_unavailable_to_newcomers() {
    let dir = tempfile::tempdir().unwrap();
    let writer = WriterProcess::start(dir.path(), &[]);
    writer.signal(Signal::STOP);
    let options = LmdbOptions { connect_timeout: 200, ..LmdbOptions::default() };
    let late = Lmdb::connect(dir.path(), b"tests", "main", options).unwrap();
    let env = Real::default();
    let refused = within_a_second(|| late.read_version(&env));
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    writer.signal(Signal::CONT);
    put(&late, &env, b"a", b"1").unwrap();
}

/// Requests that pile up while the writer is busy share a sync.
#[test]
fn concurrent_commits_share_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let writer = WriterProcess::start(dir.path(), &[]);
    let (observer, env) = (client(dir.path()), Real::default());
    let clients: Vec<_> = (0..8).map(|_| client(dir.path())).collect();
    for client in &clients {
        put(client, &env, b"warm", b"up").unwrap();
    }
    let (groups, requests) = (detail(&observer, "groups"), detail(&observer, "requests"));
    writer.signal(Signal::STOP);
    let threads: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(i, client)| {
            thread::spawn(move || put(&client, &Real::default(), &[b'k', i as u8], b""))
        })
        .collect();
    thread::sleep(Duration::from_millis(400));
    writer.signal(Signal::CONT);
    let versions: Vec<_> =
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), 8, "every commit has a version of its own");
    assert_eq!(detail(&observer, "requests") - requests, 8);
    // One or two, unless the machine is so busy that some clients had not even begun.
    assert!(detail(&observer, "groups") - groups <= 4);
}
