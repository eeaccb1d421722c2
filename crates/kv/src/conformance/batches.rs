//! What the operations of a batch do, and in which order.

use super::Fixture;
use super::client::{expected, stamped};
use crate::{Batch, Version};

/// Puts and deletes of the same keys: what stands later in the batch wins.
pub fn operations_apply_in_order(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "old"), ("b", "old")]);
    client.commit(|batch| {
        batch.put(b"a", b"new");
        batch.delete(b"a");
        batch.delete(b"b");
        batch.put(b"b", b"new");
    });
    assert_eq!(client.everything(), expected(&[("b", "new")]));
}

/// A clear removes what the same batch put before it, and nothing that it puts after it.
pub fn put_clear_put_leaves_the_last(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("b", "old")]);
    client.commit(|batch| {
        batch.put(b"a", b"gone");
        batch.put(b"c", b"gone");
        batch.clear(b"a", b"d");
        batch.put(b"c", b"stays");
    });
    assert_eq!(client.everything(), expected(&[("c", "stays")]));
}

/// The same key twice, plain and stamped.
pub fn the_last_put_of_a_key_wins(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.commit(|batch| {
        batch.put(b"a", b"first");
        batch.put(b"a", b"second, and longer");
        batch.put(b"s", b"plain");
        batch.put_stamped(b"s", &[b"body"]);
    });
    assert_eq!(client.get(b"a").as_deref(), Some(b"second, and longer".as_slice()));
    assert_eq!(client.get(b"s"), Some(stamped(version, b"body")));
}

/// Ranges are half open.
pub fn a_clear_takes_its_start_and_spares_its_end(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1"), ("b", "2"), ("b\0", "3"), ("c", "4"), ("c\0", "5")]);
    client.commit(|batch| batch.clear(b"b", b"c"));
    assert_eq!(client.everything(), expected(&[("a", "1"), ("c", "4"), ("c\0", "5")]));
}

/// An inverted or empty range is no error.
pub fn a_clear_that_ends_before_it_starts_takes_nothing(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1"), ("b", "2")]);
    client.commit(|batch| {
        batch.clear(b"c", b"a");
        batch.clear(b"a", b"a");
    });
    assert_eq!(client.everything(), expected(&[("a", "1"), ("b", "2")]));
}

/// Removing nothing is no error.
pub fn deletes_of_absent_keys_do_nothing(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("b", "2")]);
    client.commit(|batch| {
        batch.delete(b"a");
        batch.clear(b"x", b"z");
    });
    assert_eq!(client.everything(), expected(&[("b", "2")]));
}

/// A batch without operations is a commit like others.
pub fn an_empty_batch_commits(fixture: &Fixture) {
    let client = fixture.client();
    let before = client.put_all(&[("a", "1")]);
    assert!(client.commit(|_| ()) > before);
    assert_eq!(client.everything(), expected(&[("a", "1")]));
}

/// Every stamped put of a batch, whatever its body, begins with the version that `commit` returns.
pub fn stamps_are_the_version_of_the_commit(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.commit(|batch| {
        batch.put_stamped(b"a", &[]);
        batch.put_stamped(b"b", &[b"one ", b"", b"two"]);
    });
    assert_eq!(client.get(b"a"), Some(stamped(version, b"")));
    assert_eq!(client.get(b"b"), Some(stamped(version, b"one two")));
    let later = client.put_stamped(b"a", b"again");
    assert_eq!(client.get(b"a"), Some(stamped(later, b"again")));
}

/// A value that begins with a version of the caller's keeps it.
pub fn given_versions_are_left_alone(fixture: &Fixture) {
    let client = fixture.client();
    client.commit(|batch| {
        batch.put_versioned(b"a", Version::ZERO, &[b"bo", b"dy"]);
        batch.put_versioned(b"b", Version(77), &[]);
    });
    assert_eq!(client.get(b"a"), Some(stamped(Version::ZERO, b"body")));
    assert_eq!(client.get(b"b"), Some(stamped(Version(77), b"")));
}

/// Absent means zero; the sum wraps in 64 bits.
pub fn counters_begin_at_zero_and_wrap(fixture: &Fixture) {
    let client = fixture.client();
    client.commit(|batch| batch.add(b"c", -3));
    assert_eq!(client.counter(b"c"), -3);
    client.commit(|batch| {
        batch.add(b"c", 5);
        batch.add(b"max", i64::MAX);
        batch.add(b"min", i64::MIN);
    });
    assert_eq!(client.counter(b"c"), 2);
    client.commit(|batch| {
        batch.add(b"max", 1);
        batch.add(b"min", -1);
    });
    assert_eq!((client.counter(b"max"), client.counter(b"min")), (i64::MIN, i64::MAX));
}

/// An addition sees what stands before it in the batch.
pub fn counters_follow_what_the_batch_did_before(fixture: &Fixture) {
    let client = fixture.client();
    client.commit(|batch| batch.add(b"c", 10));
    client.commit(|batch| {
        batch.add(b"c", 1);
        batch.add(b"c", 1);
        batch.put(b"d", &5i64.to_le_bytes());
        batch.add(b"d", 1);
        batch.add(b"e", 4);
        batch.delete(b"e");
        batch.add(b"e", 3);
    });
    assert_eq!((client.counter(b"c"), client.counter(b"d"), client.counter(b"e")), (12, 6, 3));
}

/// No addition is lost between clients.
pub fn counters_add_up_over_clients(fixture: &Fixture) {
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    for round in 0..5 {
        for client in &clients {
            client.commit(|batch| batch.add(b"c", round));
        }
    }
    assert_eq!(clients[0].counter(b"c"), 30);
}

/// The archive gets the old value without its stamp, wherever it stands in the batch, and two
/// archives in a chain do not see each other.
pub fn archives_copy_the_state_before_the_batch(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"a", b"old a");
    client.put_stamped(b"b", b"old b");
    let version = client.commit(|batch| {
        batch.put_stamped(b"a", &[b"new a"]);
        batch.archive(b"a", b"h/a", Some(b"old a"));
        batch.archive(b"b", b"a2", Some(b"old b"));
        batch.archive(b"a", b"b", Some(b"old a"));
        batch.clear(b"h/a", b"h/b");
        batch.archive(b"a", b"h/a2", Some(b"old a"));
    });
    let a = stamped(version, b"new a");
    let old_a = b"old a".to_vec();
    let old_b = b"old b".to_vec();
    assert_eq!(
        client.everything(),
        expected(&[("a", &a), ("a2", &old_b), ("b", &old_a), ("h/a2", &old_a)])
    );
}

/// Nothing to archive is no error.
pub fn archives_of_absent_keys_copy_nothing(fixture: &Fixture) {
    let client = fixture.client();
    if !client.store.limits().archives {
        return;
    }
    let version = client.commit(|batch| {
        batch.put_stamped(b"a", &[b"new"]);
        batch.archive(b"a", b"h", None);
    });
    assert_eq!(client.everything(), expected(&[("a", stamped(version, b"new"))]));
}

/// An engine that says so finds the old value itself, also an empty one.
pub fn archives_read_by_the_engine(fixture: &Fixture) {
    let client = fixture.client();
    if !client.store.limits().archives {
        return;
    }
    client.put_stamped(b"a", b"old");
    client.put_stamped(b"b", b"");
    client.commit(|batch| {
        batch.archive(b"a", b"h/a", None);
        batch.archive(b"b", b"h/b", None);
        batch.clear(b"a", b"c");
    });
    assert_eq!(client.everything(), expected(&[("h/a", "old"), ("h/b", "")]));
}

/// What another process decodes is committed like the original.
pub fn a_batch_outlives_a_trip_through_bytes(fixture: &Fixture) {
    let client = fixture.client();
    let batch = client.batch(|batch| {
        batch.put(b"a", b"\0\xff");
        batch.put_stamped(b"b", &[b"body"]);
        batch.add(b"c", -1);
    });
    let copy = Batch::decode(batch.id, batch.durability, batch.encoded().to_vec());
    let copy = copy.expect("it was encoded by us");
    assert_eq!(copy, batch);
    let version = client.store.commit(&copy, client.env).expect("nothing stands against it");
    assert_eq!(client.get(b"a").as_deref(), Some(b"\0\xff".as_slice()));
    assert_eq!(client.get(b"b"), Some(stamped(version, b"body")));
    assert_eq!(client.counter(b"c"), -1);
}
