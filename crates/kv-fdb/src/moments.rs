//! Which version was the newest at which moment.
//!
//! Versions grow by about a million in a second, but not exactly, and they jump when the cluster
//! recovers. So who commits writes down, every ten seconds, which version there is, under the time
//! of its own clock; between two of these, time is counted in microseconds, and the lower of both
//! guesses is taken.

use std::cell::Cell;

use foundationdb::options::StreamingMode;
use foundationdb::{KeySelector, RangeOption, Transaction};
use kv::Version;

use crate::client::Client;
use crate::failure::{Attempt, corrupt};
use crate::keys::Keys;

/// How far apart moments are written down, in microseconds.
const APART: u64 = 10_000_000;

/// How long they are kept, in microseconds: longer than any retention of history.
const KEPT: u64 = 31 * 86_400 * 1_000_000;

/// How long before the first moment anything may have been committed, in microseconds.
const BEGINNING: u64 = 6 * APART;

/// A moment and the version that was the newest then.
pub(crate) type Moment = (u64, Version);

/// When this handle last wrote a moment down, or saw that it need not.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    last: Cell<u64>,
}

impl Sampler {
    /// Whether it is time to look again.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let due = now.saturating_sub(self.last.get()) >= APART;
        if due {
            self.last.set(now);
        }
        due
    }
}

/// Writes the moment down, unless somebody did a short while ago. That two do at once is prevented,
/// so that moments and versions have one order.
pub(crate) async fn sample(client: &Client, now: u64) -> Attempt<()> {
    let transaction = client.transaction()?;
    let version = Version(transaction.get_read_version().await? as u64);
    let (_, end) = range(&client.keys);
    let newest = last(client, &transaction, &client.keys.moment(0), &end, false).await?;
    let fits = |(moment, known): Moment| {
        now.saturating_sub(moment) >= APART && known < version && moment < now
    };
    if newest.is_none_or(fits) {
        transaction.set(&client.keys.moment(now), &version.0.to_be_bytes());
        let gone = client.keys.moment(now.saturating_sub(KEPT));
        transaction.clear_range(&client.keys.moment(0), &gone);
        transaction.commit().await.map_err(|error| *error)?;
    }
    Ok(())
}

/// The newest version at or before a moment, as far as can be told.
pub(crate) async fn version_at(client: &Client, micros: u64, now: u64) -> Attempt<Version> {
    let transaction = client.transaction()?;
    let version = Version(transaction.get_read_version().await? as u64);
    client.saw(version);
    if micros >= now {
        return Ok(version);
    }
    let (start, end) = range(&client.keys);
    let at = client.keys.moment(micros.saturating_add(1));
    let before = last(client, &transaction, &start, &at, true).await?;
    let after = first(client, &transaction, &at, &end).await?;
    // Clocks differ: what is written down for the future says nothing about the past.
    let after = after.filter(|(moment, known)| *moment < now && *known < version);
    Ok(between(before, after.unwrap_or((now, version)), micros))
}

/// The lower of what two moments around a third say of it, and never below the earlier one.
fn between(before: Option<Moment>, after: Moment, micros: u64) -> Version {
    let (moment, version) = after;
    let back = version.0.saturating_sub(moment.saturating_sub(micros));
    let Some((moment, version)) = before else {
        // The first commit writes the first moment down; long before it there was nothing.
        let long_before = moment.saturating_sub(micros) > BEGINNING;
        return if long_before { Version::ZERO } else { Version(back) };
    };
    let forth = version.0.saturating_add(micros.saturating_sub(moment));
    Version(forth.min(back).max(version.0).min(after.1.0.max(version.0)))
}

fn range(keys: &Keys) -> (Vec<u8>, Vec<u8>) {
    (keys.moment(0), keys.moment(u64::MAX))
}

async fn last(
    client: &Client,
    transaction: &Transaction,
    start: &[u8],
    end: &[u8],
    snapshot: bool,
) -> Attempt<Option<Moment>> {
    one(client, transaction, start, end, true, snapshot).await
}

async fn first(
    client: &Client,
    transaction: &Transaction,
    start: &[u8],
    end: &[u8],
) -> Attempt<Option<Moment>> {
    one(client, transaction, start, end, false, true).await
}

async fn one(
    client: &Client,
    transaction: &Transaction,
    start: &[u8],
    end: &[u8],
    reverse: bool,
    snapshot: bool,
) -> Attempt<Option<Moment>> {
    if start >= end {
        return Ok(None);
    }
    let option = RangeOption {
        begin: KeySelector::first_greater_or_equal(start),
        end: KeySelector::first_greater_or_equal(end),
        limit: Some(1),
        mode: StreamingMode::Exact,
        reverse,
        ..RangeOption::default()
    };
    let values = transaction.get_range(&option, 1, snapshot).await?;
    let Some(entry) = values.first() else { return Ok(None) };
    match (client.keys.micros(entry.key()), Version::of_stamped(entry.value())) {
        (Some(micros), Some(version)) => Ok(Some((micros, version))),
        _ => Ok(corrupt("a moment")?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_guess_counts() {
        let after = (1000, Version(5000));
        assert_eq!(between(None, after, 900), Version(4900));
        assert_eq!(between(None, after, 0), Version(4000));
        assert_eq!(between(None, (10_000, Version(5000)), 0), Version(0));
        let late = (2 * BEGINNING, Version(3 * BEGINNING));
        assert_eq!(between(None, late, BEGINNING - 1), Version::ZERO);
        assert_eq!(between(None, late, BEGINNING), Version(2 * BEGINNING));
        // The cluster recovered in between, and versions jumped.
        let before = Some((800, Version(100)));
        assert_eq!(between(before, after, 900), Version(200));
        // It stood still.
        let before = Some((800, Version(4950)));
        assert_eq!(between(before, after, 900), Version(4950));
        assert_eq!(between(before, after, 990), Version(4990));
    }

    #[test]
    fn moments_in_order_have_versions_in_order() {
        for before in [None, Some((100, Version(0))), Some((100, Version(990)))] {
            let versions: Vec<Version> =
                (100..1000).map(|micros| between(before, (1000, Version(1000)), micros)).collect();
            assert!(versions.is_sorted());
            assert!(versions.iter().all(|version| *version <= Version(1000)));
        }
    }
}
