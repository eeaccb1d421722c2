//! Versions that only commits make: moments, horizons and snapshots. On a real cluster, too, if
//! `FDB_CLUSTER_FILE` names one.

mod server;

use std::time::Duration;

use kv::{Environment, Store, Version};
use server::{Cluster, Real, batch, put};

fn wait(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// A clock that is wrong by so many microseconds.
struct Shifted(Real, i64);

impl Environment for Shifted {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }

    fn now(&self) -> u64 {
        self.0.now().saturating_add_signed(self.1)
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

/// Sessions that commit once and go, on a cluster where nobody else does.
#[test]
fn a_moment_shows_what_was_acknowledged_by_then_and_no_more() {
    let (cluster, env) = (Cluster::start(), Real::default());
    let reader = cluster.client();
    let mut seen = Vec::new();
    for pause in [0, 700, 200, 2500, 0, 1200] {
        let before = env.now();
        wait(300 + pause);
        let version = put(&cluster.client(), &env, b"k", b"").expect("it commits");
        seen.push((before, version, env.now()));
        let at = |moment| reader.version_at(moment, &env).expect("it answers");
        for (before, version, after) in &seen {
            assert!(at(*before) < *version, "{} {version:?}", at(*before).0);
            assert!(at(*after) >= *version, "{} {version:?}", at(*after).0);
        }
    }
    let moments: Vec<u64> = seen.iter().flat_map(|(one, _, two)| [*one, *two]).collect();
    let versions: Vec<Version> =
        moments.iter().map(|at| reader.version_at(*at, &env).expect("it answers")).collect();
    assert!(versions.is_sorted(), "{versions:?}");
}

#[test]
fn a_namespace_where_little_happens_has_a_past() {
    const HOUR: i64 = 3_600_000_000;
    let (cluster, env) = (Cluster::start(), Real::default());
    let hour_ago = Shifted(Real::default(), -HOUR);
    let client = cluster.client();
    client.open(&hour_ago).expect("it answers");
    let version = client
        .commit(
            &{
                let mut one = batch(&env);
                one.put_stamped(b"k", &[b"1"]);
                one
            },
            &hour_ago,
        )
        .expect("it commits");
    let at = |micros| cluster.client().version_at(micros, &env).expect("it answers");
    assert!(at(env.now() - HOUR as u64 / 2) >= version);
    assert!(at(hour_ago.now() - HOUR as u64) < version);
}

/// Whoever took a snapshot within the retention can read at it, though nobody had committed for a
/// while when it was taken.
#[test]
fn a_horizon_is_not_above_what_was_read_since() {
    let (cluster, env) = (Cluster::start(), Real::default());
    let client = cluster.client();
    put(&client, &env, b"k", b"").expect("it commits");
    wait(1_500);
    let moment = env.now();
    let snapshot = client.read_version(&env).expect("it answers").version;
    put(&client, &env, b"k", b"").expect("it commits");
    // A long retention later.
    let later = Shifted(Real::default(), 600_000_000);
    assert!(client.horizon(moment, &later).expect("it answers") <= snapshot);
}

#[test]
fn a_worker_reads_at_the_snapshot_of_its_leader() {
    let (cluster, env) = (Cluster::start(), Real::default());
    let leader = cluster.client();
    put(&leader, &env, b"k", b"1").expect("it commits");
    let snapshot = leader.read_version(&env).expect("it answers").version;
    put(&leader, &env, b"k", b"2").expect("it commits");
    // The worker's first version is newer than the snapshot.
    let worker = cluster.client();
    let mut page = kv::Page::default();
    let stamp = worker.get_many_since(snapshot, &[b"k"], &mut page, &env).expect("it answers");
    assert!(stamp.version > snapshot && page.value(0).ends_with(b"2"));
}
