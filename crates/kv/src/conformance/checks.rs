//! What a batch may demand before it is applied.

use super::Fixture;
use super::client::{Client, expected};
use crate::{Batch, Error, Version};

fn conflicts(client: &Client<'_>, key: &[u8], fill: impl FnOnce(&mut Batch)) {
    let refused = client.try_commit(fill);
    assert_eq!(refused, Err(Error::Conflict { key: key.to_vec() }));
}

/// A check passes up to and including the version that the key holds.
pub fn equal_and_newer_bounds_pass(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.put_stamped(b"a", b"");
    client.commit(|batch| {
        batch.check(b"a", version);
        batch.check(b"a", Version(version.0 + 1));
        batch.check(b"a", Version::MAX);
        batch.check_range(b"a", b"b", version);
        batch.check_range(b"", b"\xff", Version::MAX);
    });
}

/// The conflict names the key, or the start of the range.
pub fn an_older_bound_conflicts(fixture: &Fixture) {
    let client = fixture.client();
    let old = client.put_stamped(b"a", b"");
    let new = client.put_stamped(b"a", b"");
    conflicts(&client, b"a", |batch| batch.check(b"a", old));
    conflicts(&client, b"a", |batch| batch.check(b"a", Version(new.0 - 1)));
    conflicts(&client, b"a", |batch| batch.check(b"a", Version::ZERO));
    conflicts(&client, b"0", |batch| batch.check_range(b"0", b"b", old));
}

/// What is not there is not newer than anything.
pub fn absent_keys_pass(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"a", b"");
    client.commit(|batch| {
        batch.check(b"b", Version::ZERO);
        batch.check_range(b"b", b"c", Version::ZERO);
    });
}

/// The store keeps no memory of what was removed; tombstones are the business of upper layers.
pub fn deleted_keys_pass(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"a", b"");
    client.commit(|batch| batch.delete(b"a"));
    client.commit(|batch| batch.check(b"a", Version::ZERO));
}

/// Values written outside of any order of commits carry zero.
pub fn the_zero_stamp_passes_everything(fixture: &Fixture) {
    let client = fixture.client();
    client.commit(|batch| batch.put_versioned(b"a", Version::ZERO, &[b"body"]));
    client.commit(|batch| {
        batch.check(b"a", Version::ZERO);
        batch.check_range(b"a", b"b", Version::ZERO);
    });
}

/// Neighbours of the range do not matter; every key inside does, also the first and the last.
pub fn a_range_is_checked_from_start_to_before_end(fixture: &Fixture) {
    let client = fixture.client();
    let old = client.commit(|batch| {
        [b"a", b"b", b"c", b"d"].iter().for_each(|key| batch.put_stamped(*key, &[]));
    });
    client.put_stamped(b"a", b"");
    client.put_stamped(b"d", b"");
    client.commit(|batch| batch.check_range(b"b", b"d", old));
    client.commit(|batch| batch.check_range(b"a\0", b"d", old));
    conflicts(&client, b"a", |batch| batch.check_range(b"a", b"d", old));
    conflicts(&client, b"b", |batch| batch.check_range(b"b", b"d\0", old));
    client.put_stamped(b"b\0phantom", b"");
    conflicts(&client, b"b", |batch| batch.check_range(b"b", b"d", old));
}

/// Also one that ends before it starts.
pub fn an_empty_range_passes(fixture: &Fixture) {
    let client = fixture.client();
    client.put_stamped(b"b", b"");
    client.commit(|batch| {
        batch.check_range(b"b", b"b", Version::ZERO);
        batch.check_range(b"c", b"a", Version::ZERO);
    });
}

/// Checks do not stumble over what their own batch writes, and are not helped by what it removes,
/// wherever they stand in it.
pub fn checks_see_the_state_before_the_batch(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.put_stamped(b"a", b"");
    client.commit(|batch| {
        batch.put_stamped(b"a", &[b"new"]);
        batch.put_stamped(b"b", &[]);
        batch.check(b"a", version);
        batch.check(b"b", Version::ZERO);
        batch.check_range(b"a", b"c", version);
    });
    conflicts(&client, b"a", |batch| {
        batch.clear(b"a", b"z");
        batch.delete(b"a");
        batch.check(b"a", version);
    });
}

/// Neither what stands before the failing check nor what stands behind it is applied.
pub fn a_conflict_leaves_nothing(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.put_stamped(b"a", b"a");
    client.put_all(&[("b", "kept")]);
    let before = client.everything();
    conflicts(&client, b"a", |batch| {
        batch.put(b"0", b"");
        batch.add(b"c", 1);
        batch.clear(b"b", b"c");
        batch.check(b"a", Version(version.0 - 1));
        batch.put_stamped(b"a", &[b"lost"]);
        batch.archive(b"a", b"h", Some(b"a"));
        batch.put(b"z", b"");
    });
    assert_eq!(client.everything(), before);
}

/// Two clients that saw the same version: the second is refused, and succeeds when it has looked
/// again.
pub fn the_first_of_two_writers_wins(fixture: &Fixture) {
    let (one, two) = (fixture.client(), fixture.client());
    let seen = one.put_stamped(b"a", b"0");
    let write = |body: &'static [u8], newest| {
        move |batch: &mut Batch| {
            batch.check(b"a", newest);
            batch.put_stamped(b"a", &[body]);
        }
    };
    let newer = one.commit(write(b"1", seen));
    conflicts(&two, b"a", write(b"2", seen));
    let newest = two.commit(write(b"2", newer));
    assert_eq!(one.everything(), expected(&[("a", super::client::stamped(newest, b"2"))]));
}

/// Saying at which version the checks held only says where to look: what was written since is
/// found, and what was not is not.
pub fn what_was_observed_changes_no_answer(fixture: &Fixture) {
    let (one, two) = (fixture.client(), fixture.client());
    let seen = one.put_stamped(b"a", b"0");
    let write = |observed: Version, newest: Version| {
        move |batch: &mut Batch| {
            batch.observed = observed;
            batch.check(b"a", newest);
            batch.check_range(b"b", b"c", observed);
            batch.put_stamped(b"a", &[b"1"]);
            batch.put_stamped(b"b", &[]);
        }
    };
    let observed = one.stamp().version;
    two.put_stamped(b"z", b"elsewhere");
    let newer = one.commit(write(observed, seen));
    conflicts(&two, b"a", write(observed, seen));
    // The range was written to by the first of them, after it was observed.
    conflicts(&two, b"b", write(observed, newer));
    let observed = two.stamp().version;
    two.commit(write(observed, newer));
    conflicts(&one, b"a", write(observed, newer));
}
