//! FoundationDB's errors, a cluster that does not answer, and clients that meet.

mod server;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kv::{Batch, CommitId, Durability, Environment, Error, Outcome, Page, Store, Version};
use nix::sys::signal::Signal;
use server::{Real, Server, batch, count, counted, get, put};

/// Errors after which FoundationDB tells clients to try again.
const PASSING: [i32; 5] = [1007, 1009, 1037, 1039, 1213];

/// Errors that leave open whether a commit happened.
const DOUBTFUL: [i32; 3] = [1021, 1031, 1039];

#[test]
fn reads_are_asked_again() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    put(&client, &env, b"a", b"1").expect("it commits");
    for code in PASSING {
        for kind in ["grv", "get", "range"] {
            server.tell(&format!("fault {kind} {code} 2"));
            client.read_version(&env).expect("it is asked again");
            assert!(
                get(&client, &env, b"a").expect("it is asked again").is_some(),
                "{kind} {code}"
            );
            let range = kv::ScanRequest {
                start: b"a".into(),
                end: b"z".into(),
                max_rows: 10,
                max_bytes: 1000,
                ..Default::default()
            };
            let ticket = client.start_scan(range).expect("it starts");
            let mut page = Page::default();
            client.finish_scan(ticket, &mut page, &env).expect("it is asked again");
            assert_eq!(page.len(), 1);
            server.tell("calm");
        }
    }
}

#[test]
fn a_commit_in_doubt_is_done_once() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    let mut expected = 0;
    for code in DOUBTFUL {
        for how in ["", " applied"] {
            for times in 1..4 {
                server.tell(&format!("fault commit {code} {times}{how}"));
                let version = count(&client, &env).expect("it is settled");
                expected += 1;
                assert_eq!(counted(&client, &env), expected, "{code}{how}");
                assert!(client.read_version(&env).expect("it answers").version >= version);
            }
        }
    }
}

#[test]
fn commits_that_were_refused_for_a_passing_reason_are_tried_again() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    for (i, code) in [1007, 1009, 1020, 1037, 1213].into_iter().enumerate() {
        server.tell(&format!("fault commit {code} 3"));
        count(&client, &env).expect("it is tried again");
        assert_eq!(counted(&client, &env), i as i64 + 1);
    }
}

#[test]
fn what_is_too_large_for_foundationdb_is_too_large() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    for (code, what) in [(2101, "transaction"), (2102, "key"), (2103, "value")] {
        server.tell(&format!("fault commit {code} 1"));
        match count(&client, &env) {
            Err(Error::TooLarge { what: named, .. }) => assert_eq!(named, what),
            answer => panic!("{answer:?}"),
        }
    }
    // Also where the engine's own keys and conflict ranges make it so.
    let mut many = batch(&env);
    (0..200_000u32).for_each(|i| many.put(&i.to_be_bytes(), b""));
    let refused = client.commit(&many, &env);
    assert!(matches!(refused, Err(Error::TooLarge { what: "transaction", .. })), "{refused:?}");
    assert_eq!(get(&client, &env, &1u32.to_be_bytes()), Ok(None));
    assert_eq!(counted(&client, &env), 0);
}

#[test]
fn a_reason_that_does_not_pass_is_told_in_time() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client_with(300);
    client.read_version(&env).expect("it answers");
    for (code, ready) in [(1213, false), (1037, true)] {
        server.tell(&format!("fault commit {code} 1000000"));
        let begin = Instant::now();
        let told = count(&client, &env);
        assert!(begin.elapsed() < Duration::from_secs(2));
        match told {
            Err(Error::Unavailable(_)) if ready => {}
            Err(Error::NotReady(_)) if !ready => {}
            answer => panic!("{answer:?}"),
        }
        server.tell("calm");
        assert_eq!(counted(&client, &env), 0);
    }
    server.tell("fault commit 1021 1000000");
    let told = count(&client, &env);
    assert!(matches!(told, Err(Error::OutcomeUnknown { .. })), "{told:?}");
}

/// Has the client do what it does now and then, so that what follows can be counted.
fn warm_up(client: &kv_fdb::Fdb, env: &Real) {
    for _ in 0..6 {
        count(client, env).expect("it commits");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whose commits do not remove old markers, as one of 256 does, by an even random number.
struct Untidy(Real);

impl Environment for Untidy {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }

    fn now(&self) -> u64 {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random() | 1
    }
}

/// Beginning with an id and a version at which nothing was there.
fn checked(env: &Real, observed: Version, newest: Version) -> Batch {
    let mut batch = batch(env);
    batch.observed = observed;
    batch.check(b"k", newest);
    batch.put_stamped(b"k", &[b"mine"]);
    batch.archive(b"k", b"old", None);
    batch
}

#[test]
fn what_was_observed_is_not_looked_at_again() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    let first = put(&other, &env, b"k", b"1").expect("it commits");
    warm_up(&client, &env);
    let mut page = Page::default();
    let seen = client.get_many(&[b"k"], &mut page, &env).expect("it answers").version;
    server.counts();
    client.commit(&checked(&env, seen, first), &Untidy(env.clone())).expect("nobody wrote it");
    assert_eq!(server.counts(), "commit=1", "the value that is archived was read before");
    assert_eq!(get(&client, &env, b"old"), Ok(Some(b"1".to_vec())));
}

#[test]
fn what_was_written_since_it_was_observed_conflicts() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    let first = put(&other, &env, b"k", b"1").expect("it commits");
    let mut page = Page::default();
    let seen = client.get_many(&[b"k"], &mut page, &env).expect("it answers").version;
    let second = put(&other, &env, b"k", b"2").expect("it commits");
    let refused = client.commit(&checked(&env, seen, first), &env);
    assert_eq!(refused, Err(Error::Conflict { key: b"k".to_vec() }));
    assert_eq!(get(&client, &env, b"old"), Ok(None));
    // A check that knows of the second write passes, although it was observed before that.
    client.commit(&checked(&env, seen, second), &env).expect("the check passes");
    assert_eq!(get(&client, &env, b"old"), Ok(Some(b"2".to_vec())));
}

#[test]
fn ranges_that_were_observed_conflict_with_new_keys() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    let seen = client.read_version(&env).expect("it answers").version;
    let ranged = || {
        let mut batch = batch(&env);
        batch.observed = seen;
        batch.check_range(b"k", b"l", seen);
        batch.put_stamped(b"z", &[]);
        batch
    };
    client.commit(&ranged(), &env).expect("nothing was written there");
    put(&other, &env, b"k5", b"phantom").expect("it commits");
    let refused = client.commit(&ranged(), &env);
    assert_eq!(refused, Err(Error::Conflict { key: b"k".to_vec() }));
}

#[test]
fn ids_are_respected_by_batches_that_were_observed() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    let seen = client.read_version(&env).expect("it answers").version;
    let mut twice = batch(&env);
    twice.observed = seen;
    twice.add(b"counter", 1);
    let version = client.commit(&twice, &env);
    assert_eq!(client.commit(&twice, &env), version);
    assert_eq!(counted(&client, &env), 1);
    let mut fenced = batch(&env);
    fenced.observed = seen;
    fenced.add(b"counter", 1);
    assert_eq!(client.outcome(fenced.id, &env), Ok(Outcome::NotCommitted));
    assert_eq!(client.commit(&fenced, &env), Err(Error::Conflict { key: Vec::new() }));
    assert_eq!(counted(&client, &env), 1);
}

#[test]
fn reads_since_a_snapshot_cost_one_trip() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    put(&other, &env, b"a", b"1").expect("it commits");
    client.read_version(&env).expect("it answers");
    server.counts();
    let snapshot = client.read_version(&env).expect("it answers").version;
    let mut page = Page::default();
    for _ in 0..3 {
        let stamp = client.get_many_since(snapshot, &[b"a"], &mut page, &env);
        assert!(stamp.expect("it answers").version >= snapshot);
        assert!(page.get(0).is_some());
    }
    assert_eq!(server.counts(), "get=3 grv=1");
    // Somebody for whom the newest state is good enough only gets that.
    let newer = put(&other, &env, b"a", b"2").expect("it commits");
    let stamp = client.get_many(&[b"a"], &mut page, &env).expect("it answers");
    assert!(stamp.version >= newer && page.value(0).ends_with(b"2"));
    let stamp = client.get_many_since(newer, &[b"a"], &mut page, &env).expect("it answers");
    assert!(stamp.version >= newer && page.value(0).ends_with(b"2"));
}

#[test]
fn a_snapshot_outlives_five_seconds() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    let first = put(&other, &env, b"k", b"1").expect("it commits");
    let mut page = Page::default();
    let seen = client.get_many(&[b"k"], &mut page, &env).expect("it answers").version;
    std::thread::sleep(Duration::from_millis(6500));
    let stamp = client.get_many_since(seen, &[b"k"], &mut page, &env).expect("it answers");
    assert!(stamp.version >= seen && page.value(0).ends_with(b"1"));
    // Conflicts are found by looking, now that FoundationDB has forgotten.
    client.commit(&checked(&env, seen, first), &env).expect("nobody wrote it");
    let refused = client.commit(&checked(&env, seen, first), &env);
    assert_eq!(refused, Err(Error::Conflict { key: b"k".to_vec() }));
}

#[test]
fn the_floor_is_read_when_it_has_changed() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    let version = put(&other, &env, b"a", b"1").expect("it commits");
    assert_eq!(client.read_version(&env).expect("it answers").floor, Version::ZERO);
    let mut raise = batch(&env);
    raise.raise_floor(version);
    other.commit(&raise, &env).expect("it commits");
    server.counts();
    assert_eq!(client.read_version(&env).expect("it answers").floor, version);
    assert_eq!(client.read_version(&env).expect("it answers").floor, version);
    assert_eq!(server.counts(), "get=1 grv=2");
}

/// However often it is asked for, and whatever else is committed meanwhile.
#[test]
fn a_watched_key_is_read_when_it_has_changed() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    let key = kv::conformance::WATCHED;
    let mut page = Page::default();
    let mut ask = || {
        let since = client.read_version(&env).expect("it answers").version;
        client.get_watched_since(since, key, &mut page, &env).expect("it answers");
        page.get(0).map(<[u8]>::to_vec)
    };
    for value in [b"1", b"2"] {
        put(&other, &env, key, value).expect("it commits");
        put(&other, &env, b"a", value).expect("it commits");
        assert!(ask().is_some_and(|there| there.ends_with(value)));
        put(&other, &env, b"a", value).expect("it commits");
        server.counts();
        for _ in 0..3 {
            assert!(ask().is_some_and(|there| there.ends_with(value)));
        }
        assert_eq!(server.counts(), "grv=3");
    }
}

#[test]
fn deferred_batches_survive_trouble_and_keep_their_order() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    for code in [1007, 1020, 1021, 1037, 1039, 1213] {
        server.tell(&format!("fault commit {code} 2 applied"));
        server.tell("fault get 1037 2");
        for i in 0..40u8 {
            let mut deferred = Batch::new(CommitId::random(&env), Durability::Deferred);
            deferred.put(&[b'r', i], &[code as u8]);
            // Some touch what others touch.
            deferred.put(&[b's', i / 3], &[i]);
            assert_eq!(client.commit(&deferred, &env), Ok(Version::ZERO));
        }
        client.flush(&env).expect("nothing stands against them");
        for i in 0..40u8 {
            assert_eq!(get(&client, &env, &[b'r', i]), Ok(Some(vec![code as u8])));
            let last = (i / 3 * 3 + 2).min(39);
            assert_eq!(get(&client, &env, &[b's', i / 3]), Ok(Some(vec![last])));
        }
        server.tell("calm");
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_unavailable_in_time() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client_with(400);
    client.read_version(&env).expect("it answers");
    server.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    let told = client.read_version(&env);
    assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
    let told = server.client_with(400).read_version(&env);
    assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
    assert!(begin.elapsed() < Duration::from_secs(3));
    let mut large = batch(&env);
    large.observed = Version(1);
    (0..80u8).for_each(|i| large.put(&[i], &vec![i; 100_000]));
    let told = client.commit(&large, &env);
    assert!(matches!(told, Err(Error::Unavailable(_) | Error::OutcomeUnknown { .. })), "{told:?}");
    server.signal(Signal::SIGCONT);
    client.read_version(&env).expect("it answers again");
    count(&client, &env).expect("it answers again");
}

#[test]
fn a_wish_to_stop_is_heard_while_nothing_answers() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client_with(60_000);
    client.read_version(&env).expect("it answers");
    server.signal(Signal::SIGSTOP);
    let stop = env.stop.clone();
    let begin = Instant::now();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(client.read_version(&env), Err(Error::Interrupted));
    assert!(begin.elapsed() < Duration::from_secs(1));
    stopper.join().expect("it ends");
    let mut commit = batch(&env);
    commit.add(b"counter", 1);
    let told = client.commit(&commit, &env);
    assert!(matches!(told, Err(Error::Interrupted | Error::OutcomeUnknown { .. })), "{told:?}");
    env.stop.store(false, Ordering::Relaxed);
    server.signal(Signal::SIGCONT);
    let outcome = client.outcome(commit.id, &env).expect("it answers again");
    let happened = matches!(outcome, Outcome::Committed(_));
    assert_eq!(counted(&client, &env), i64::from(happened));
    // Whatever was said stays true.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.outcome(commit.id, &env), Ok(outcome));
    assert_eq!(counted(&client, &env), i64::from(happened));
}

/// Clients that add to one value by reading it and writing it back, while commits are lost.
#[test]
fn clients_that_meet_lose_nothing() {
    const ROUNDS: u64 = 40;
    let server = Server::start();
    let read = |client: &kv_fdb::Fdb, env: &Real| {
        let mut page = Page::default();
        let stamp = client.get_many(&[b"k"], &mut page, env).expect("it answers");
        let sum = page.get(0).map_or(0, |value| {
            u64::from_be_bytes(value[8..].try_into().expect("a stamp and a number"))
        });
        (stamp.version, Version::of_stamped(page.value(0)).unwrap_or_default(), sum)
    };
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (server, read) = (&server, &read);
            scope.spawn(move || {
                let (client, env) = (server.client(), Real::default());
                let mut done = 0;
                while done < ROUNDS {
                    let (observed, newest, sum) = read(&client, &env);
                    let mut add = batch(&env);
                    // Half of them trust what they saw, half have everything looked at.
                    add.observed = if thread % 2 == 0 { observed } else { Version::ZERO };
                    add.check(b"k", newest);
                    add.put_stamped(b"k", &[&(sum + 1).to_be_bytes()]);
                    if env.random().is_multiple_of(8) {
                        let how = if env.random().is_multiple_of(2) { " applied" } else { "" };
                        server.tell(&format!("fault commit 1021 1{how}"));
                    }
                    match client.commit(&add, &env) {
                        Ok(_) => done += 1,
                        Err(Error::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let (client, env) = (server.client(), Real::default());
    assert_eq!(read(&client, &env).2, 4 * ROUNDS);
}

#[test]
fn the_status_says_what_a_person_wants_to_know() {
    let (server, env) = (Server::start(), Real::default());
    let status = server.client().status(&env).expect("it answers");
    assert_eq!((status.engine.as_str(), status.server_version.as_str()), ("fdb", "stand-in"));
    assert!(status.durability.contains("redundancy mode"), "{}", status.durability);
    let detail = |name: &str| status.details.iter().find(|(known, _)| known == name);
    assert!(detail("latency of a read version").is_some() && detail("client library").is_some());
}

#[test]
fn a_long_value_that_another_replaces_is_no_damage() {
    let (server, env) = (Server::start(), Real::default());
    let (client, other) = (server.client(), server.client());
    put(&other, &env, b"k", &[1; 200_000]).expect("it commits");
    let seen = client.read_version(&env).expect("it answers").version;
    let second = put(&other, &env, b"k", &[2; 100_000]).expect("it commits");
    assert!(get(&client, &env, b"k").expect("it answers").is_some());
    // What is observed is older than what was read of the value.
    client.commit(&checked(&env, seen, second), &env).expect("the check passes");
    assert_eq!(get(&client, &env, b"old"), Ok(Some(vec![2; 100_000])));
    assert_eq!(get(&client, &env, b"k").expect("it answers").map(|value| value.len()), Some(12));
}
