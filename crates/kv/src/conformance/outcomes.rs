//! Whether a commit happened: asked for instead of guessed, and answered for good.

use super::Fixture;
use crate::{CommitId, Error, Outcome};

/// By its id, with its version.
pub fn a_commit_is_known_by_its_id(fixture: &Fixture) {
    let client = fixture.client();
    let batch = client.batch(|batch| batch.put(b"a", b"1"));
    let version = client.store.commit(&batch, client.env).expect("nothing stands against it");
    client.put_all(&[("a", "2")]);
    let outcome = client.store.outcome(batch.id, client.env);
    assert_eq!(outcome, Ok(Outcome::Committed(version)));
}

/// A batch that arrives after the question was answered is refused, every time.
pub fn a_commit_reported_undone_is_never_done(fixture: &Fixture) {
    let (client, late) = (fixture.client(), fixture.client());
    let batch = client.batch(|batch| batch.put(b"a", b"1"));
    assert_eq!(client.store.outcome(batch.id, client.env), Ok(Outcome::NotCommitted));
    for _ in 0..2 {
        let refused = late.store.commit(&batch, late.env);
        assert_eq!(refused, Err(Error::Conflict { key: Vec::new() }));
        assert_eq!(client.get(b"a"), None);
        assert_eq!(late.store.outcome(batch.id, late.env), Ok(Outcome::NotCommitted));
    }
}

/// The same batch twice is the same commit, also when its checks would fail by now.
pub fn a_commit_is_done_once(fixture: &Fixture) {
    let (client, other) = (fixture.client(), fixture.client());
    let seen = client.put_stamped(b"a", b"0");
    let batch = client.batch(|batch| {
        batch.check(b"a", seen);
        batch.put_stamped(b"a", &[b"1"]);
        batch.add(b"c", 1);
    });
    let version = client.store.commit(&batch, client.env);
    other.put_stamped(b"a", b"2");
    let before = client.everything();
    assert_eq!(other.store.commit(&batch, other.env), version);
    assert_eq!(client.everything(), before);
    assert_eq!(client.counter(b"c"), 1);
}

/// A refused batch leaves no marker, and asking for it says no.
pub fn a_conflict_is_not_committed(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"a", b"");
    let batch = client.batch(|batch| batch.check(b"a", crate::Version::ZERO));
    for _ in 0..2 {
        let refused = client.store.commit(&batch, client.env);
        assert_eq!(refused, Err(Error::Conflict { key: b"a".to_vec() }));
    }
    assert_eq!(client.store.outcome(batch.id, client.env), Ok(Outcome::NotCommitted));
}

/// The answer belongs to the store, not to the client that committed.
pub fn every_client_gets_the_same_answer(fixture: &Fixture) {
    let (one, two) = (fixture.client(), fixture.client());
    let batch = one.batch(|batch| batch.put(b"a", b""));
    let version = one.store.commit(&batch, one.env).expect("nothing stands against it");
    assert_eq!(two.store.outcome(batch.id, two.env), Ok(Outcome::Committed(version)));
    let other = CommitId::random(two.env);
    assert_eq!(two.store.outcome(other, two.env), Ok(Outcome::NotCommitted));
    assert_eq!(one.store.outcome(other, one.env), Ok(Outcome::NotCommitted));
}
