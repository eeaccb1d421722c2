//! Lost replies, lost requests, lost connections and lost data.

#[path = "server/proxy.rs"]
mod proxy;
mod server;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use kv::{Direction, Durability, Environment, Error, Outcome, Page, ScanRequest, Store, Version};
use kv_redis::{Known, Memory, Redis, RedisOptions};
use proxy::{LOSE_REPLY, LOSE_REQUEST, Proxy};
use rustix::process::Signal;
use server::{DURABLE, Real, Server, batch, get, installed, put};

fn proxied() -> (Server, Proxy, Redis) {
    let server = Server::start();
    let proxy = Proxy::start(server.dir.path().join("proxy"), server.socket());
    let client = Redis::connect(proxy.address(), "test", RedisOptions::default()).unwrap();
    (server, proxy, client)
}

/// The commit happened, and is acknowledged with its version although its reply was lost.
#[test]
fn a_commit_whose_reply_is_lost_is_found() {
    if !installed() {
        return;
    }
    let (_server, proxy, client) = proxied();
    let env = Real::default();
    let before = put(&client, &env, b"a", b"1").unwrap();
    let mut second = batch(&env, Durability::Durable);
    second.add(b"n", 1);
    second.put_stamped(b"b", &[b"2"]);
    proxy.lose(LOSE_REPLY);
    let version = client.commit(&second, &env).unwrap();
    assert!(proxy.has_lost());
    assert!(version > before);
    let stamped = [&version.0.to_be_bytes()[..], b"2"].concat();
    assert_eq!(get(&client, &env, b"b").unwrap(), Some(stamped));
    assert_eq!(get(&client, &env, b"n").unwrap(), Some(1i64.to_le_bytes().to_vec()));
    assert_eq!(client.outcome(second.id, &env).unwrap(), Outcome::Committed(version));
}

/// The commit did not happen, and never will, although nobody said no.
#[test]
fn a_commit_whose_request_is_lost_is_not_done() {
    if !installed() {
        return;
    }
    let (_server, proxy, client) = proxied();
    let env = Real::default();
    put(&client, &env, b"a", b"1").unwrap();
    let mut second = batch(&env, Durability::Durable);
    second.put(b"b", b"2");
    proxy.lose(LOSE_REQUEST);
    let answer = client.commit(&second, &env);
    assert!(proxy.has_lost());
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert_eq!(get(&client, &env, b"b").unwrap(), None);
    assert_eq!(client.commit(&second, &env), Err(Error::Conflict { key: Vec::new() }));
    put(&client, &env, b"b", b"3").unwrap();
}

/// Reads are asked again, and tickets that went down with the connection too.
#[test]
fn reads_do_not_notice_a_lost_connection() {
    if !installed() {
        return;
    }
    let (_server, proxy, client) = proxied();
    let env = Real::default();
    put(&client, &env, b"a", b"1").unwrap();
    for lost in [LOSE_REQUEST, LOSE_REPLY] {
        proxy.lose(lost);
        assert_eq!(get(&client, &env, b"a").unwrap(), Some(b"1".to_vec()));
        proxy.lose(lost);
        let request = ScanRequest {
            start: b"a".to_vec(),
            end: b"z".to_vec(),
            direction: Direction::Forward,
            max_rows: 10,
            max_bytes: 1000,
        };
        let ticket = client.start_scan(request).unwrap();
        let mut page = Page::default();
        client.finish_scan(ticket, &mut page, &env).unwrap();
        assert_eq!((page.len(), page.value(0)), (1, b"1".as_slice()));
        assert!(proxy.has_lost());
    }
}

/// Rows that were on their way are not published by a commit that comes later.
#[test]
fn lost_deferred_rows_fail_the_next_commit_once() {
    if !installed() {
        return;
    }
    for lost in [LOSE_REQUEST, LOSE_REPLY] {
        let (_server, proxy, client) = proxied();
        let env = Real::default();
        put(&client, &env, b"a", b"1").unwrap();
        let mut rows = batch(&env, Durability::Deferred);
        rows.put(b"row", b"");
        proxy.lose(lost);
        // The loss shows once: to the call that sent the rows if it is noticed so early, which a busy
        // machine brings about, and else to the next one.
        let mut answer = client.commit(&rows, &env);
        if answer.is_ok() {
            thread::sleep(Duration::from_millis(20));
            answer = put(&client, &env, b"published", b"");
        }
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        assert_eq!(get(&client, &env, b"published").unwrap(), None);
        put(&client, &env, b"published", b"").unwrap();
    }
}

/// Rows that could not even be sent, because the server was restarted while nobody asked it anything,
/// are told of as lost, or are there.
#[test]
fn rows_for_a_connection_that_is_gone_are_not_lost_in_silence() {
    if !installed() {
        return;
    }
    let mut server = Server::with(DURABLE);
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    server.kill();
    server.restart();
    let mut rows = batch(&env, Durability::Deferred);
    rows.put(b"row", b"");
    let sent = client.commit(&rows, &env).and_then(|_| client.flush(&env));
    let there = get(&client, &env, b"row").unwrap().is_some();
    assert_eq!(there, sent.is_ok(), "{sent:?}");
}

/// A stopped server holds nobody who wants to stop, whatever is being waited for.
#[test]
fn a_stopped_server_can_be_left_within_a_second() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    server.signal(Signal::STOP);
    let stop = |wait: &dyn Fn() -> Error| {
        env.stop.store(false, Ordering::Relaxed);
        let flag = std::sync::Arc::clone(&env.stop);
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            flag.store(true, Ordering::Relaxed);
        });
        let begun = Instant::now();
        let error = wait();
        assert!(begun.elapsed() < Duration::from_secs(1));
        stopper.join().unwrap();
        error
    };
    let large = vec![1; 8 << 20];
    let commit = stop(&|| put(&client, &env, b"b", &large).unwrap_err());
    assert!(matches!(commit, Error::OutcomeUnknown { .. }), "{commit:?}");
    // Now a connection is being made, to a server that accepts it and says nothing.
    assert_eq!(stop(&|| get(&client, &env, b"a").unwrap_err()), Error::Interrupted);
    env.stop.store(false, Ordering::Relaxed);
    let impatient =
        server.client_with(RedisOptions { connect_timeout: 200, ..RedisOptions::default() });
    let answer = get(&impatient, &env, b"a");
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    server.signal(Signal::CONT);
    assert_eq!(get(&client, &env, b"a").unwrap(), Some(b"1".to_vec()));
}

/// What was acknowledged before a `kill -9` is there afterwards, and clients go on by themselves.
#[test]
fn a_killed_server_keeps_what_it_acknowledged() {
    if !installed() {
        return;
    }
    let mut server = Server::with(DURABLE);
    let address = server.address();
    let writer = thread::spawn(move || {
        let client = Redis::connect(address, "test", RedisOptions::default()).unwrap();
        let (env, begun) = (Real::default(), Instant::now());
        let mut acknowledged = Vec::new();
        for i in 0u32.. {
            match put(&client, &env, &i.to_be_bytes(), b"value") {
                Ok(version) => acknowledged.push((i, version)),
                Err(Error::Unavailable(_) | Error::NotReady(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if begun.elapsed() > Duration::from_millis(1500) {
                break;
            }
        }
        acknowledged
    });
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(300));
        server.kill();
        server.restart();
    }
    let acknowledged = writer.join().unwrap();
    assert!(acknowledged.len() > 10, "it worked between the crashes");
    assert!(acknowledged.is_sorted_by(|a, b| a.1 < b.1));
    let (client, env) = (server.client(), Real::default());
    for (i, _) in acknowledged {
        assert_eq!(get(&client, &env, &i.to_be_bytes()).unwrap(), Some(b"value".to_vec()), "{i}");
    }
}

fn assert_wrong<T: std::fmt::Debug>(answer: Result<T, Error>) {
    match answer {
        Err(Error::LostData(text)) => assert!(text.contains("lost"), "{text}"),
        answer => panic!("{answer:?} instead of LostData"),
    }
}

/// Every call of a client that has seen the namespace before says that it is gone.
#[test]
fn a_flushed_server_is_found_out() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    server.tell(&["FLUSHALL"]);
    assert_wrong(get(&client, &env, b"a"));
    assert_wrong(put(&client, &env, b"a", b"2"));
    assert_wrong(client.read_version(&env));
    assert_wrong(client.outcome(kv::CommitId::random(&env), &env));
    // Also when somebody has made it anew.
    put(&server.client(), &env, b"a", b"other").unwrap();
    assert_wrong(get(&client, &env, b"a"));
    assert_wrong(put(&client, &env, b"a", b"2"));
}

/// The connection breaks with the server, and the new one has nothing.
#[test]
fn a_server_that_restarts_empty_is_found_out() {
    if !installed() {
        return;
    }
    let mut server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    let known = client.known(&env).unwrap();
    server.kill();
    server.restart();
    assert_wrong(get(&client, &env, b"a"));
    assert_wrong(put(&client, &env, b"a", b"2"));
    assert_wrong(get(&remembering(&server, &shared(known)), &env, b"a"));
}

/// What several handles remember together.
#[derive(Clone, Default)]
struct Shared(Rc<Cell<Option<Known>>>);

impl Memory for Shared {
    fn recall(&self) -> Option<Known> {
        self.0.get()
    }

    fn note(&self, known: Known) -> Result<(), Error> {
        let newest = self.recall().map_or(Version::ZERO, |known| known.version);
        self.0.set(Some(Known { version: known.version.max(newest), ..known }));
        Ok(())
    }
}

fn shared(known: Known) -> Shared {
    Shared(Rc::new(Cell::new(Some(known))))
}

fn remembering(server: &Server, memory: &Shared) -> Redis {
    server.client().with_memory(Box::new(memory.clone()))
}

/// A handle that has seen nothing for a while knows what others were told meanwhile.
#[test]
fn what_one_handle_saw_all_handles_know() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (memory, env) = (Shared::default(), Real::default());
    let (idle, busy) = (remembering(&server, &memory), remembering(&server, &memory));
    let Known { version, .. } = idle.known(&env).unwrap();
    let newest = put(&busy, &env, b"a", b"1").unwrap();
    assert!(memory.recall().is_some_and(|known| known.version == newest && newest > version));
    server.tell(&["EVAL", OLDER, "1", "fakegres:{test}"]);
    assert_wrong(get(&idle, &env, b"a"));
    assert_wrong(get(&remembering(&server, &memory), &env, b"a"));
    assert!(get(&server.client(), &env, b"a").is_ok());
}

/// A replica that was promoted too early, or a restored snapshot.
#[test]
fn a_namespace_that_is_older_than_before_is_found_out() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    let Known { id, version } = client.known(&env).unwrap();
    let known = Known { id, version: Version(version.0 + 1) };
    assert_wrong(get(&remembering(&server, &shared(known)), &env, b"a"));
    // And while a connection lasts.
    server.tell(&["EVAL", OLDER, "1", "fakegres:{test}"]);
    assert_wrong(get(&client, &env, b"a"));
    assert_wrong(put(&client, &env, b"a", b"2"));
    assert!(env.now() > version.0);
}

const OLDER: &str = "redis.call('HSET', KEYS[1], 'version', string.rep('\\0', 8))";
