//! Versions that jump, as they do when a cluster recovers.

mod server;

use std::time::Duration;

use kv::{Environment, Outcome, Store};
use server::{Real, Server, batch, count, counted, put};

/// What a forced recovery adds to the version.
const FORCED: u64 = 600_000_000_000;

/// What every recovery adds.
const RECOVERY: u64 = 100_000_000;

fn wait(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[test]
fn versions_that_jump_do_so_between_two_commits() {
    let (server, env) = (Server::start(), Real::default());
    let clients = [server.client(), server.client(), server.client()];
    let mut seen = Vec::new();
    for round in 0..6 {
        for client in &clients {
            let before = env.now();
            wait(30);
            let version = put(client, &env, b"k", b"").expect("it commits");
            seen.push((before, version, env.now()));
            wait(30);
        }
        server.tell(&format!("jump {}", RECOVERY + round));
        wait(30);
    }
    for (before, version, after) in seen {
        let at = |micros| clients[0].version_at(micros, &env).expect("it answers");
        assert!(at(before) < version && at(after) >= version);
    }
}

#[test]
fn a_commit_before_a_jump_is_found() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    let mut first = batch(&env);
    first.add(b"counter", 1);
    let version = client.commit(&first, &env).expect("it commits");
    server.tell(&format!("jump {FORCED}"));
    // Among them are some that remove old markers.
    for _ in 0..1000 {
        put(&client, &env, b"k", b"").expect("it commits");
    }
    for asking in [client, server.client()] {
        assert_eq!(asking.outcome(first.id, &env), Ok(Outcome::Committed(version)));
        assert_eq!(counted(&asking, &env), 1);
    }
}

#[test]
fn a_commit_in_doubt_is_found_over_a_jump() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    count(&client, &env).expect("it commits");
    let mut doubtful = batch(&env);
    doubtful.observed = client.read_version(&env).expect("it answers").version;
    doubtful.add(b"counter", 1);
    // It happens, the reply is lost, and the next attempt comes after a recovery.
    server.tell("fault commit 1021 1 applied");
    server.tell("fault grv 1037 1000000");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait(300);
            server.tell(&format!("jump {FORCED}"));
            server.tell("calm");
        });
        client.commit(&doubtful, &env).expect("it is settled");
    });
    assert_eq!(counted(&client, &env), 2);
}
