//! The order of commits, what replies say about it, and the floor.

use super::Fixture;
use super::client::{Client, request};
use crate::{Error, Mapping, MappingSource, Page, ReadStamp, Version};

/// The stamp of every kind of read, asked for one after the other.
fn stamps(client: &Client<'_>) -> [ReadStamp; 4] {
    let (mut page, mut rows) = (Page::default(), Page::default());
    let (store, env) = (&client.store, client.env);
    let ticket = store.start_scan(request(b"a", b"z")).expect("a scan starts");
    let source = MappingSource::Value { offset: 0 };
    let mapping = Mapping { prefix: b"r".to_vec(), source, len: 1 };
    let mapped = store.scan_mapped(request(b"a", b"z"), &mapping, &mut page, &mut rows, env);
    [
        client.stamp(),
        store.get_many(&[b"a"], &mut page, env).expect("a read succeeds"),
        store.finish_scan(ticket, &mut page, env).expect("a scan succeeds").0,
        mapped.expect("a scan succeeds").0,
    ]
}

/// Also when the clock stands still.
pub fn versions_grow_with_every_commit(fixture: &Fixture) {
    let client = fixture.client();
    let versions: Vec<Version> = (0..20).map(|_| client.put_all(&[("a", "1")])).collect();
    assert!(versions.is_sorted_by(|a, b| a < b));
    assert!(versions[0] > Version::ZERO);
}

/// Also when clients take turns.
pub fn versions_grow_over_clients(fixture: &Fixture) {
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    let versions: Vec<Version> = (0..15).map(|i| clients[i % 3].put_stamped(b"a", &[])).collect();
    assert!(versions.is_sorted_by(|a, b| a < b));
}

/// By every kind of read, also by a client that has not read before.
pub fn a_read_shows_what_was_acknowledged(fixture: &Fixture) {
    let client = fixture.client();
    for i in 0..3u8 {
        let version = client.put_all(&[(b"b", [i])]);
        assert!(stamps(&client).iter().all(|stamp| stamp.version >= version));
        let other = fixture.client();
        assert!(stamps(&other).iter().all(|stamp| stamp.version >= version));
        assert_eq!(other.get(b"b"), Some(vec![i]));
    }
}

/// A version that was shown is complete: what comes later is newer.
pub fn no_commit_slips_under_a_version_that_was_read(fixture: &Fixture) {
    let (reader, writer) = (fixture.client(), fixture.client());
    for _ in 0..5 {
        let read = stamps(&reader);
        let version = writer.put_stamped(b"a", b"");
        assert!(read.iter().all(|stamp| stamp.version < version));
    }
}

/// Raising it to something lower does nothing.
pub fn the_floor_rises_and_never_falls(fixture: &Fixture) {
    let (client, other) = (fixture.client(), fixture.client());
    assert_eq!(client.stamp().floor, Version::ZERO);
    let version = client.put_all(&[("a", "1")]);
    let lower = Version(version.0 - 1);
    for (raised, floor) in
        [(lower, lower), (Version::ZERO, lower), (version, version), (lower, version)]
    {
        client.commit(|batch| batch.raise_floor(raised));
        assert_eq!((client.stamp().floor, other.stamp().floor), (floor, floor));
    }
}

/// With the state in which it was read.
pub fn every_reply_carries_the_floor(fixture: &Fixture) {
    let (client, other) = (fixture.client(), fixture.client());
    let version = client.put_all(&[("a", "1")]);
    client.commit(|batch| {
        batch.raise_floor(version);
        batch.raise_floor(Version(version.0 - 1));
        batch.delete(b"a");
    });
    assert!(stamps(&client).iter().all(|stamp| stamp.floor == version));
    assert!(stamps(&other).iter().all(|stamp| stamp.floor == version));
}

/// It is an operation like others.
pub fn a_conflict_does_not_raise_the_floor(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.put_stamped(b"a", b"");
    let refused = client.try_commit(|batch| {
        batch.raise_floor(version);
        batch.check(b"a", Version::ZERO);
    });
    assert_eq!(refused, Err(Error::Conflict { key: b"a".to_vec() }));
    assert_eq!(client.stamp().floor, Version::ZERO);
}

/// The past has no versions, the future has the newest one, and in between they are in order.
pub fn moments_become_versions(fixture: &Fixture) {
    let client = fixture.client();
    let first = client.put_all(&[("a", "1")]);
    let last = client.put_all(&[("a", "2")]);
    let at = |micros| client.store.version_at(micros, client.env).expect("the store answers");
    assert!(at(0) < first);
    let far = client.env.now().saturating_add(1 << 50);
    assert!(at(far) >= last && at(far) <= client.stamp().version);
    let moments = [0, 1, client.env.now() / 2, client.env.now(), far];
    assert!(moments.map(at).is_sorted());
}
