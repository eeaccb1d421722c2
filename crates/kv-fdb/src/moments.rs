//! Which version was the newest at which moment.
//!
//! Versions grow by a million in a second while the cluster runs, because its proxies commit even
//! when nobody else does; but a read version is one that was committed, up to some two seconds ago,
//! and when the cluster recovers, versions jump. So commits write moments down: the time of their own
//! clock just before they are sent, under which FoundationDB puts the version that they get. A
//! moment's version is therefore never less than what was the newest at that time, by as much as a
//! commit takes on its way.
//!
//! A moment costs no round trip and conflicts with nobody. Each handle writes one with its first
//! commit in every ten seconds, under the beginning of these, where the last of several handles
//! remains; and one under its exact time whenever versions and clock do not go together any more as
//! they did. So no commit stands between a jump and the first moment behind it, and from any moment
//! to the next one versions follow the clock.
//!
//! The clock is that of the PostgreSQL server. Where two servers with different ones write to a
//! namespace, a moment means what it means to the one that wrote it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::Future;

use foundationdb::future::FdbValues;
use foundationdb::options::StreamingMode;
use foundationdb::{KeySelector, RangeOption, Transaction};
use kv::Version;

use crate::client::Client;
use crate::failure::{Attempt, corrupt};
use crate::keys::{Keys, age};
use crate::value::VERSIONSTAMP;
use crate::view::Pending;

/// How far apart moments are written down, in microseconds.
const APART: u64 = 10_000_000;

/// How long they are kept, in microseconds: longer than any retention of history.
const KEPT: u64 = 31 * 86_400 * 1_000_000;

/// Versions and clock go together as long as they differ by no more than this, in versions or
/// microseconds: a read version may be old, and a commit long on its way. A recovery adds a hundred
/// million.
const BEND: u64 = 15_000_000;

/// So many moments on each side of a time are looked at: more than one, in case a clock was set.
const NEIGHBOURS: usize = 8;

/// How much more of the past is kept than is asked for, in microseconds: this share, up to so many.
const LEEWAY_SHARE: u64 = 64;
const LEEWAY: u64 = 5_000_000;

/// The moments of the last 40 minutes and more are among the newest so many.
const RECENT: usize = 256;

/// A moment and the version of the commit that wrote it down.
pub(crate) type Moment = (u64, Version);

/// What a handle knows of moments.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    /// A moment that was written down, here or before this handle was opened.
    known: Cell<Option<Moment>>,
    /// The interval in which this handle last wrote one.
    interval: Cell<Option<u64>>,
    /// What was written before this moment is of no use any more.
    useless: Cell<Option<u64>>,
}

/// A moment that a commit is to write down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// Under which moment's key.
    pub(crate) under: u64,
    /// The time.
    pub(crate) now: u64,
}

impl Moments {
    /// Whether a commit that is sent now, with this read version, is to write a moment down.
    pub(crate) fn due(&self, now: u64, read: Version) -> Option<Due> {
        let bent = self.known.get().is_none_or(|known| is_bent(known, (now, read)));
        let interval = now - now % APART;
        match bent {
            true => Some(Due { under: now, now }),
            false if self.interval.get() == Some(interval) => None,
            false => Some(Due { under: interval, now }),
        }
    }

    /// Takes note of a moment that was written down.
    pub(crate) fn wrote(&self, now: u64, version: Version) {
        self.known.set(Some((now, version)));
        self.interval.set(Some(now - now % APART));
        self.useless.set(None);
    }

    /// Before which moment nothing need be kept.
    pub(crate) fn useless(&self) -> Option<u64> {
        self.useless.get()
    }
}

/// Whether versions did not follow the clock from one moment to the other.
fn is_bent(one: Moment, other: Moment) -> bool {
    let micros = i128::from(other.0) - i128::from(one.0);
    let versions = i128::from(other.1.0) - i128::from(one.1.0);
    (versions - micros).unsigned_abs() > u128::from(BEND)
}

/// The value of a moment as the parameter of an atomic operation that puts the version first.
pub(crate) fn parameter(now: u64) -> Vec<u8> {
    [&[0; VERSIONSTAMP], now.to_be_bytes().as_slice(), &0u32.to_le_bytes()].concat()
}

/// Moments that were asked for.
struct Asked(Option<Pending<FdbValues>>);

impl Asked {
    /// The first or last so many in a range of keys.
    fn range(
        transaction: &Transaction,
        (start, end): (Vec<u8>, Vec<u8>),
        limit: usize,
        reverse: bool,
    ) -> Asked {
        if start >= end {
            return Asked(None);
        }
        let option = RangeOption {
            begin: KeySelector::first_greater_or_equal(start),
            end: KeySelector::first_greater_or_equal(end),
            limit: Some(limit),
            mode: StreamingMode::Exact,
            reverse,
            ..RangeOption::default()
        };
        Asked(Some(Box::pin(transaction.get_range(&option, 1, true))))
    }

    /// The last ones before a time.
    fn before(keys: &Keys, transaction: &Transaction, micros: u64, limit: usize) -> Asked {
        Asked::range(transaction, (keys.moment(0), keys.moment(micros)), limit, true)
    }

    /// The first ones at or after a time.
    fn after(keys: &Keys, transaction: &Transaction, micros: u64, limit: usize) -> Asked {
        Asked::range(transaction, (keys.moment(micros), keys.moment(u64::MAX)), limit, false)
    }

    async fn arrive(self) -> Attempt<Vec<Moment>> {
        let Some(pending) = self.0 else { return Ok(Vec::new()) };
        pending.await?.iter().map(|entry| decode(entry.value())).collect()
    }
}

fn decode(value: &[u8]) -> Attempt<Moment> {
    let micros = value.get(VERSIONSTAMP..).and_then(|micros| micros.try_into().ok());
    match (micros, Version::of_stamped(value)) {
        (Some(micros), Some(version)) => Ok((u64::from_be_bytes(micros), version)),
        _ => Ok(corrupt("a moment")?),
    }
}

/// Asks what was written down before this handle was opened.
pub(crate) fn look_back<'a>(
    client: &'a Client,
    transaction: &Transaction,
    now: u64,
) -> impl Future<Output = Attempt<()>> + use<'a> {
    let (keys, moments) = (&client.keys, &client.moments);
    let newest = Asked::before(keys, transaction, u64::MAX, NEIGHBOURS);
    let old = Asked::before(keys, transaction, now.saturating_sub(KEPT), 2);
    async move {
        moments.known.set(newest.arrive().await?.into_iter().max_by_key(|(_, version)| *version));
        // The newest of those that are too old says what there was before the next one.
        if let [(last, _), _] = old.arrive().await?.as_slice() {
            moments.useless.set(Some(last - last % APART));
        }
        Ok(())
    }
}

/// The ages in which commits of the last 40 minutes, and maybe older ones, put their markers. Versions
/// may have jumped over many ages since then.
pub(crate) async fn ages(client: &Client, transaction: &Transaction) -> Attempt<BTreeSet<u32>> {
    let moments = Asked::before(&client.keys, transaction, u64::MAX, RECENT).arrive().await?;
    let around = |(_, version): Moment| {
        age(version.0.saturating_sub(2 * BEND))..=age(version.0.saturating_add(2 * BEND))
    };
    Ok(moments.into_iter().flat_map(around).collect())
}

/// The newest version at or before a moment, as far as can be told: rather too new, by as much as a
/// commit takes, than older than what was acknowledged by then.
pub(crate) async fn version_at(client: &Client, micros: u64, now: u64) -> Attempt<Version> {
    let transaction = client.transaction()?;
    let read = Version(transaction.get_read_version().await? as u64);
    client.saw(read);
    if micros >= now {
        return Ok(read);
    }
    let behind = micros.saturating_add(1);
    let one = Asked::before(&client.keys, &transaction, behind, NEIGHBOURS);
    let other = Asked::after(&client.keys, &transaction, behind, NEIGHBOURS);
    let (mut moments, other) = (one.arrive().await?, other.arrive().await?);
    moments.extend(other);
    Ok(match around(&moments, micros, now) {
        (Some(before), Some(after)) => between(before, after, micros),
        (Some(before), None) => Version(forth(before, micros)),
        (None, after) => Version(back(after.unwrap_or((now, read)), micros)),
    }
    .min(read))
}

/// Of moments around a third, the newest version that there was before it, and the next one after.
/// Clocks are set: what is written down for the future says nothing about the past.
fn around(moments: &[Moment], micros: u64, now: u64) -> (Option<Moment>, Option<Moment>) {
    let newest = |(_, version): &Moment| *version;
    let before = moments.iter().copied().filter(|(at, _)| *at <= micros).max_by_key(newest);
    let least = before.map_or(Version::ZERO, |(_, version)| version);
    let fits = |(at, version): &Moment| micros < *at && *at < now && *version > least;
    (before, moments.iter().copied().filter(fits).min_by_key(|(at, _)| *at))
}

/// A moment early enough that its version is at or below whatever was read since the given one. A
/// read version may be two seconds old, and a moment's version as much too new as its commit took;
/// but a short past is not made much longer.
pub(crate) fn with_leeway(micros: u64, now: u64) -> u64 {
    micros.saturating_sub((now.saturating_sub(micros) / LEEWAY_SHARE).min(LEEWAY))
}

/// What an earlier moment says of a later time.
fn forth((moment, version): Moment, micros: u64) -> u64 {
    version.0.saturating_add(micros.saturating_sub(moment))
}

/// What a later moment says of an earlier time.
fn back((moment, version): Moment, micros: u64) -> u64 {
    version.0.saturating_sub(moment.saturating_sub(micros))
}

/// What two moments say of a time in between: the higher of both guesses, unless versions jumped,
/// which they did just before the later moment.
fn between(before: Moment, after: Moment, micros: u64) -> Version {
    let (forth, back) = (forth(before, micros), back(after, micros));
    let guess = if is_bent(before, after) { forth } else { forth.max(back) };
    // The later moment's commit was not acknowledged by then.
    Version(guess.min(after.1.0.saturating_sub(1)).max(before.1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_higher_guess_counts() {
        let before = (100 * SECOND, Version(1000));
        // One commit was longer on its way than the other.
        let after = (110 * SECOND, Version(1000 + 10 * SECOND + 500));
        assert_eq!(between(before, after, 105 * SECOND), Version(1500 + 5 * SECOND));
        let after = (110 * SECOND, Version(1000 + 10 * SECOND - 500));
        assert_eq!(between(before, after, 105 * SECOND), Version(1000 + 5 * SECOND));
        // What the later commit wrote is not there yet.
        assert_eq!(between(before, after, 110 * SECOND - 1), Version(1000 + 10 * SECOND - 501));
    }

    #[test]
    fn a_jump_comes_just_before_the_moment_behind_it() {
        let before = (100 * SECOND, Version(1000));
        let after = (110 * SECOND, Version(1000 + 110 * SECOND));
        assert_eq!(between(before, after, 109 * SECOND), Version(1000 + 9 * SECOND));
        // The cluster stood still for longer than it jumps.
        let after = (4000 * SECOND, Version(1000 + 110 * SECOND));
        assert_eq!(between(before, after, 109 * SECOND), Version(1000 + 9 * SECOND));
        assert_eq!(between(before, after, 3999 * SECOND), Version(999 + 110 * SECOND));
    }

    #[test]
    fn moments_in_order_have_versions_in_order() {
        for before in [(100, Version(0)), (100, Version(990)), (100, Version(5))] {
            for last in [1000, 200 * SECOND] {
                let versions: Vec<Version> =
                    (100..1000).map(|at| between(before, (1000, Version(last)), at)).collect();
                assert!(versions.is_sorted());
                assert!(versions.iter().all(|version| *version < Version(last)));
            }
        }
        assert_eq!(forth((100, Version(5)), 107), 12);
        assert_eq!((back((100, Version(5)), 97), back((100, Version(5)), 0)), (2, 0));
    }

    #[test]
    fn a_little_more_of_the_past_is_kept() {
        let now = 10_000 * SECOND;
        assert_eq!(with_leeway(now - 600 * SECOND, now), now - 605 * SECOND);
        assert_eq!(with_leeway(now - 64, now), now - 65);
        assert_eq!((with_leeway(now, now), with_leeway(now + 1, now)), (now, now + 1));
        assert_eq!(with_leeway(0, now), 0);
    }

    #[test]
    fn what_a_clock_that_was_set_left_behind_is_passed_over() {
        let (old, new) = ((900, Version(10)), (800, Version(60)));
        let moments = [(700, Version(50)), old, new, (1000, Version(20)), (1100, Version(80))];
        assert_eq!(around(&moments, 950, 5000), (Some(new), Some((1100, Version(80)))));
        assert_eq!(around(&moments, 950, 1100), (Some(new), None));
        assert_eq!(around(&moments, 600, 5000), (None, Some((700, Version(50)))));
    }

    #[test]
    fn a_moment_is_due_once_in_ten_seconds_and_when_versions_jump() {
        let moments = Moments::default();
        let start = 1_000 * APART + 3;
        let due = |now, read| moments.due(now, Version(read)).map(|due| due.under);
        assert_eq!(due(start, 7), Some(start), "nothing is known");
        moments.wrote(start, Version(50 * SECOND));
        assert_eq!(due(start + SECOND, 50 * SECOND), None);
        assert_eq!(due(start + APART, 53 * SECOND), Some(start - 3 + APART));
        // A read version that is some seconds old is no jump.
        assert_eq!(due(start + 6 * SECOND, 50 * SECOND), None);
        let jumped = start + SECOND;
        assert_eq!(due(jumped, 150 * SECOND), Some(jumped));
        moments.wrote(jumped, Version(150 * SECOND));
        assert_eq!(due(jumped + SECOND, 151 * SECOND), None);
        // The clock was set.
        assert_eq!(due(SECOND, 152 * SECOND), Some(SECOND));
    }

    #[test]
    fn a_moment_is_stored_behind_its_version() {
        let mut stored = parameter(7);
        let place = stored.split_off(stored.len() - 4);
        assert_eq!(place, [0; 4]);
        stored[..VERSIONSTAMP].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 0, 1]);
        assert_eq!(decode(&stored).expect("a moment"), (7, Version(9)));
        assert!(decode(&stored[..12]).is_err());
    }
}
