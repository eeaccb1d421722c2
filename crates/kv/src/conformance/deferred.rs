//! Batches that may be acknowledged before they are applied.

use super::Fixture;
use super::client::{Client, expected};
use crate::{Batch, CommitId, Durability, Error, Outcome, Result, Version};

fn defer(client: &Client<'_>, fill: impl FnOnce(&mut Batch)) -> (CommitId, Result<Version>) {
    let mut batch = client.batch(fill);
    batch.durability = Durability::Deferred;
    (batch.id, client.store.commit(&batch, client.env))
}

fn deferred(client: &Client<'_>, fill: impl FnOnce(&mut Batch)) -> CommitId {
    let (id, answer) = defer(client, fill);
    assert_eq!(answer, Ok(Version::ZERO), "a deferred batch has no version to tell");
    id
}

/// After a flush every client can read it.
pub fn a_flush_makes_it_visible(fixture: &Fixture) {
    let (client, other) = (fixture.client(), fixture.client());
    deferred(&client, |batch| batch.put(b"a", b"1"));
    client.store.flush(client.env).expect("nothing stands against it");
    assert_eq!(client.everything(), expected(&[("a", "1")]));
    assert_eq!(other.everything(), expected(&[("a", "1")]));
    client.store.flush(client.env).expect("there is nothing left to do");
}

/// A durable commit of the same handle is applied behind it.
pub fn a_later_commit_comes_after_it(fixture: &Fixture) {
    let client = fixture.client();
    deferred(&client, |batch| {
        batch.put(b"a", b"deferred");
        batch.put(b"b", b"deferred");
    });
    client.commit(|batch| batch.put(b"a", b"durable"));
    assert_eq!(client.everything(), expected(&[("a", "durable"), ("b", "deferred")]));
}

/// Many of them, each overwriting what the one before it wrote.
pub fn batches_apply_in_order(fixture: &Fixture) {
    let client = fixture.client();
    for i in 0..20u8 {
        deferred(&client, |batch| {
            batch.put(b"last", &[i]);
            batch.put(&[b'n', i], b"");
            batch.delete(&[b'n', i.wrapping_sub(1)]);
        });
    }
    client.store.flush(client.env).expect("nothing stands against them");
    assert_eq!(
        client.everything(),
        expected(&[(b"last".as_slice(), [19].as_slice()), (&[b'n', 19], &[])])
    );
}

/// The failure shows at once, or at the next commit, which is then not applied, or at the flush;
/// once.
pub fn a_failure_shows_later_and_stops_what_follows(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"a", b"");
    let before = client.everything();
    let (_, first) = defer(&client, |batch| {
        batch.check(b"a", Version::ZERO);
        batch.put(b"b", b"");
    });
    let second = client.try_commit(|batch| batch.put(b"c", b""));
    let failure = Err(Error::Conflict { key: b"a".to_vec() });
    let shown = [first, second.clone()].iter().filter(|answer| **answer == failure).count();
    assert_eq!(shown, 1, "the failure shows once");
    client.store.flush(client.env).expect("the failure was shown already");
    assert_eq!(client.get(b"b"), None);
    assert_eq!(client.get(b"c").is_some(), second.is_ok(), "an error means not applied");
    assert!(second.is_ok() || client.everything() == before);
    client.put_all(&[("d", "")]);
}

/// A read that comes between does not make the failure forgotten, though it may have waited for it.
pub fn a_failure_outlasts_a_read(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"a", b"");
    let (_, first) = defer(&client, |batch| {
        batch.check(b"a", Version::ZERO);
        batch.put(b"b", b"");
    });
    assert_eq!(client.get(b"b"), None);
    let second = client.try_commit(|batch| batch.put(b"c", b""));
    assert_eq!(second.is_ok(), first.is_err(), "the failure shows once");
    assert_eq!(client.get(b"c").is_some(), second.is_ok(), "an error means not applied");
}

/// Its outcome can be asked for like any other's.
pub fn it_leaves_a_marker(fixture: &Fixture) {
    let client = fixture.client();
    let before = client.put_all(&[("a", "")]);
    let id = deferred(&client, |batch| batch.put_stamped(b"b", &[]));
    client.store.flush(client.env).expect("nothing stands against it");
    let Ok(Outcome::Committed(version)) = client.store.outcome(id, client.env) else {
        panic!("a flushed batch is committed");
    };
    assert!(version > before);
    assert_eq!(client.get(b"b"), Some(super::client::stamped(version, b"")));
}
