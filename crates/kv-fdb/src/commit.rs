//! A batch as one transaction of FoundationDB's.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use foundationdb::Transaction;
use foundationdb::options::{ConflictRangeType, MutationType, StreamingMode, TransactionOption};
use foundationdb::{KeySelector, RangeOption};
use kv::{Batch, CommitId, Environment, Error, Op, Outcome, Result, STAMP, Version};

use crate::client::{Client, stamp};
use crate::failure::{Attempt, Trouble, corrupt, is_doubtful};
use crate::keys::{METADATA_VERSION, age};
use crate::limits::{LIMITS, STORED_KEY};
use crate::moments::{self, Due};
use crate::value::{BARE_VERSIONSTAMP, PART, Stored, plain, stamped};
use crate::view::Pending;

/// How an attempt is made.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Whether to rely on what the caller says of its checks, if that is recent enough. Once that
    /// was refused, everything is looked at.
    pub(crate) trusting: bool,
    /// Whether an attempt was made before of which nobody knows what became.
    pub(crate) doubtful: bool,
    /// Whether to remove the markers of ages that nobody asks for any more.
    pub(crate) tidy: bool,
}

/// Tries to commit a batch. `sent` says, whatever becomes of this future, whether the commit may
/// have reached the cluster. With a clock, a moment is written down where one is due.
pub(crate) async fn attempt(
    client: &Client,
    batch: &Batch,
    manner: Manner,
    clock: Option<&dyn Environment>,
    sent: &Cell<bool>,
) -> Attempt<Version> {
    let transaction = client.transaction()?;
    let observed = batch.observed;
    let trusted = manner.trusting && client.is_young(observed);
    if trusted {
        transaction.set_read_version(observed.0 as i64);
    }
    let mut archived =
        if trusted { ask_for_archived(client, &transaction, batch, true) } else { Vec::new() };
    let read = match trusted {
        true => observed,
        false => Version(transaction.get_read_version().await? as u64),
    };
    client.saw(read);
    if !trusted {
        let ages = match manner.doubtful {
            true => moments::ages(client, &transaction).await?,
            false => BTreeSet::new(),
        };
        let marker = ask_for_marker(client, &transaction, ages, age(read.0), batch.id);
        archived = ask_for_archived(client, &transaction, batch, false);
        let checks = ask_for_checked(client, &transaction, batch, read);
        match found(marker).await? {
            Some(Outcome::Committed(version)) => return Ok(version),
            Some(Outcome::NotCommitted) => {
                return Err(Error::Conflict { key: Vec::new() }.into());
            }
            None => {}
        }
        verify(client, &transaction, batch, read, checks).await?;
    }
    let mut old = Vec::with_capacity(archived.len());
    for archive in archived {
        old.push(archive.complete(client, &transaction).await?);
    }
    demand(client, &transaction, batch)?;
    avoid_markers(client, &transaction, age(read.0), batch.id)?;
    Writer { client, transaction: &transaction, long: long_keys(batch, &old) }.apply(batch, old)?;
    let marker = client.keys.marker(age(read.0), batch.id);
    stamp(&transaction, &marker, &BARE_VERSIONSTAMP);
    if manner.tidy {
        remove_markers(client, &transaction).await?;
    }
    // Time passes until the version is assigned, and none must before the clock is asked.
    let due = clock.and_then(|env| client.moments.due(env.now(), read));
    if let Some(due) = due {
        write_moment(client, &transaction, due)?;
    }
    sent.set(true);
    let committed = transaction.commit().await.map_err(|error| {
        sent.set(is_doubtful(*error));
        *error
    })?;
    let version = Version(committed.committed_version()? as u64);
    client.saw(version);
    if let Some(due) = due {
        client.moments.wrote(due.now, version);
    }
    Ok(version)
}

fn write_moment(client: &Client, transaction: &Transaction, due: Due) -> Attempt<()> {
    let keys = &client.keys;
    if let Some(useless) = client.moments.useless() {
        transaction.clear_range(&keys.moment(0), &keys.moment(useless));
    }
    transaction.set_option(TransactionOption::NextWriteNoWriteConflictRange)?;
    stamp(transaction, &keys.moment(due.under), &moments::parameter(due.now));
    Ok(())
}

/// Asks what became of a commit, and sees to it that the answer stays true.
pub(crate) async fn settle(client: &Client, id: CommitId) -> Attempt<Outcome> {
    let transaction = client.transaction()?;
    let read = transaction.get_read_version().await? as u64;
    client.saw(Version(read));
    let ages = moments::ages(client, &transaction).await?;
    let marker = ask_for_marker(client, &transaction, ages, age(read), id);
    if let Some(outcome) = found(marker).await? {
        return Ok(outcome);
    }
    avoid_markers(client, &transaction, age(read), id)?;
    transaction.set(&client.keys.marker(age(read), id), &[]);
    transaction.commit().await.map_err(|error| *error)?;
    Ok(Outcome::NotCommitted)
}

type Value = Pending<Option<foundationdb::future::FdbSlice>>;

fn get(transaction: &Transaction, key: &[u8]) -> Value {
    Box::pin(transaction.get(key, true))
}

/// The markers of an id in this age, the one before and others.
fn ask_for_marker(
    client: &Client,
    transaction: &Transaction,
    mut ages: BTreeSet<u32>,
    age: u32,
    id: CommitId,
) -> Vec<Value> {
    ages.extend([age, age.saturating_sub(1)]);
    ages.into_iter().map(|age| get(transaction, &client.keys.marker(age, id))).collect()
}

/// Removes the markers of ages that are over: those before all that recent commits used.
async fn remove_markers(client: &Client, transaction: &Transaction) -> Attempt<()> {
    if let Some(oldest) = moments::ages(client, transaction).await?.first() {
        let (start, end) = (client.keys.markers_from(0), client.keys.markers_from(*oldest));
        transaction.clear_range(&start, &end);
    }
    Ok(())
}

async fn found(markers: Vec<Value>) -> Attempt<Option<Outcome>> {
    for marker in markers {
        match marker.await?.as_deref() {
            None => {}
            Some([]) => return Ok(Some(Outcome::NotCommitted)),
            Some(bytes) => {
                return match Version::of_stamped(bytes) {
                    Some(version) => Ok(Some(Outcome::Committed(version))),
                    None => Ok(corrupt("the marker of a commit")?),
                };
            }
        }
    }
    Ok(None)
}

/// Conflicts with whoever writes the marker of this id: in this age, in the one before, where a
/// transaction with an older read version puts it, or in the next, where a later one does.
fn avoid_markers(
    client: &Client,
    transaction: &Transaction,
    age: u32,
    id: CommitId,
) -> Attempt<()> {
    for age in age.saturating_sub(1)..=age + 1 {
        conflict_with(transaction, &client.keys.marker(age, id))?;
    }
    Ok(())
}

fn conflict_with(transaction: &Transaction, key: &[u8]) -> Attempt<()> {
    let end = [key, &[0]].concat();
    Ok(transaction.add_conflict_range(key, &end, ConflictRangeType::Read)?)
}

/// Demands that what the batch checks and archives is not written any more.
fn demand(client: &Client, transaction: &Transaction, batch: &Batch) -> Attempt<()> {
    let mut last = None;
    for op in batch.ops() {
        match op {
            // What is archived is checked just before, and each range counts against the limit.
            Op::Archive { key, value: None, .. } if last == Some(key) => {}
            Op::Check { key, .. } | Op::Archive { key, value: None, .. } => {
                conflict_with(transaction, &client.keys.data(key))?;
                last = Some(key);
            }
            Op::CheckRange { start, end, .. } => {
                let (start, end) = (client.keys.data(start), client.keys.data(end));
                if start < end {
                    transaction.add_conflict_range(&start, &end, ConflictRangeType::Read)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The values of the keys whose checks are about more than what was written since `read`.
fn ask_for_checked(
    client: &Client,
    transaction: &Transaction,
    batch: &Batch,
    read: Version,
) -> Vec<Value> {
    let checked = batch.ops().filter_map(|op| match op {
        Op::Check { key, newest } if newest < read => Some(client.keys.data(key)),
        _ => None,
    });
    checked.map(|key| get(transaction, &key)).collect()
}

async fn verify(
    client: &Client,
    transaction: &Transaction,
    batch: &Batch,
    read: Version,
    values: Vec<Value>,
) -> Attempt<()> {
    let mut values = values.into_iter();
    for op in batch.ops() {
        match op {
            Op::Check { key, newest } if newest < read => {
                let Some(value) = values.next() else { return Ok(corrupt("a batch")?) };
                if let Some(value) = value.await?.as_deref() {
                    verify_one(value, newest, key)?;
                }
            }
            Op::CheckRange { start, end, newest } if newest < read && start < end => {
                verify_range(client, transaction, start, end, newest).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn verify_one(stored: &[u8], newest: Version, name: &[u8]) -> Result<()> {
    match Stored::decode(stored)?.version() {
        None => corrupt("the stamp of a key that is checked"),
        Some(version) if version > newest => Err(Error::Conflict { key: name.to_vec() }),
        Some(_) => Ok(()),
    }
}

async fn verify_range(
    client: &Client,
    transaction: &Transaction,
    start: &[u8],
    end: &[u8],
    newest: Version,
) -> Attempt<()> {
    let mut option = RangeOption {
        begin: KeySelector::first_greater_or_equal(client.keys.data(start)),
        end: KeySelector::first_greater_or_equal(client.keys.data(end)),
        mode: StreamingMode::WantAll,
        ..RangeOption::default()
    };
    loop {
        let values = transaction.get_range(&option, 1, true).await?;
        client.heard();
        for entry in values.iter() {
            verify_one(entry.value(), newest, start)?;
        }
        match option.next_range(&values) {
            Some(next) => option = next,
            None => return Ok(()),
        }
    }
}

/// What an archiving operation copies.
enum Archive<'a> {
    /// The caller said it, without its stamp.
    Said(&'a [u8]),
    /// It was read before, as it is stored, without parts.
    Known(Option<Vec<u8>>),
    /// It is being read.
    Asked(&'a [u8], Value),
}

/// An old value without its stamp, and whether it stands in parts.
type Old = Option<(Vec<u8>, bool)>;

fn ask_for_archived<'a>(
    client: &Client,
    transaction: &Transaction,
    batch: &'a Batch,
    trusted: bool,
) -> Vec<Archive<'a>> {
    let recent = client.recent.borrow();
    let archive = |op| match op {
        Op::Archive { value: Some(value), .. } => Some(Archive::Said(value)),
        Op::Archive { key, .. } => {
            let stored = client.keys.data(key);
            let known = if trusted { recent.get(&stored, batch.observed) } else { None };
            Some(match known.filter(|value| stands_alone(value.as_deref())) {
                Some(value) => Archive::Known(value),
                None => Archive::Asked(key, get(transaction, &stored)),
            })
        }
        _ => None,
    };
    batch.ops().filter_map(archive).collect()
}

/// Whether a value that was read after the version that is observed may be taken for the one of that
/// version. If another one stood there then, the commit is refused; but the parts of a long value are
/// read at the observed version, and would belong to that other one.
fn stands_alone(stored: Option<&[u8]>) -> bool {
    stored.is_none_or(|stored| Stored::decode(stored).is_ok_and(|stored| stored.rest == 0))
}

impl Archive<'_> {
    async fn complete(self, client: &Client, transaction: &Transaction) -> Attempt<Old> {
        match self {
            Archive::Said(value) => Ok(Some((value.to_vec(), false))),
            Archive::Known(value) => old(client, transaction, &[], value.as_deref()).await,
            Archive::Asked(key, value) => {
                old(client, transaction, key, value.await?.as_deref()).await
            }
        }
    }
}

async fn old(
    client: &Client,
    transaction: &Transaction,
    key: &[u8],
    stored: Option<&[u8]>,
) -> Attempt<Old> {
    let Some(stored) = stored else { return Ok(None) };
    let stored = Stored::decode(stored)?;
    let mut value = [stored.stamp, stored.body].concat();
    if stored.rest > 0 {
        let (start, end) = client.keys.parts_of(key);
        let option = RangeOption {
            begin: KeySelector::first_greater_or_equal(start),
            end: KeySelector::first_greater_or_equal(end),
            limit: Some(stored.parts()),
            mode: StreamingMode::Exact,
            ..RangeOption::default()
        };
        for part in transaction.get_range(&option, 1, true).await?.iter() {
            value.extend_from_slice(part.value());
        }
    }
    if value.len() != stored.length() || value.len() < STAMP {
        return Ok(corrupt("a value that is archived")?);
    }
    Ok(Some((value.split_off(STAMP), stored.rest > 0)))
}

/// The keys that the batch archives whose values stand in parts.
fn long_keys<'a>(batch: &'a Batch, old: &[Old]) -> HashSet<&'a [u8]> {
    let archived = batch.ops().filter_map(|op| match op {
        Op::Archive { key, .. } => Some(key),
        _ => None,
    });
    let long = archived.zip(old).filter(|(_, old)| old.as_ref().is_some_and(|(_, long)| *long));
    long.map(|(key, _)| key).collect()
}

/// Puts the operations of a batch into a transaction, in their order.
struct Writer<'a> {
    client: &'a Client,
    transaction: &'a Transaction,
    /// Keys whose present values stand in parts.
    long: HashSet<&'a [u8]>,
}

impl Writer<'_> {
    fn apply(&self, batch: &Batch, old: Vec<Old>) -> Attempt<()> {
        let (mut old, mut announced) = (old.into_iter(), false);
        for op in batch.ops() {
            announced |= self.announces(&op);
            match op {
                Op::Check { .. } | Op::CheckRange { .. } => {}
                Op::Archive { to, .. } => {
                    if let Some((value, _)) = old.next().flatten() {
                        self.put_unchecked(to, &value)?;
                    }
                }
                op => self.write(op)?,
            }
        }
        if announced {
            stamp(self.transaction, METADATA_VERSION, &BARE_VERSIONSTAMP);
        }
        Ok(())
    }

    /// Whether it changes what others remember, who read it again when the metadata version changes.
    fn announces(&self, op: &Op<'_>) -> bool {
        let watches = |key| self.client.watches(|watched| watched == key);
        match *op {
            Op::RaiseFloor { .. } => true,
            Op::Put { key, .. }
            | Op::PutStamped { key, .. }
            | Op::Delete { key }
            | Op::Add { key, .. }
            | Op::Archive { to: key, .. } => watches(key),
            Op::Clear { start, end } => {
                self.client.watches(|watched| start <= watched && watched < end)
            }
            Op::Check { .. } | Op::CheckRange { .. } => false,
        }
    }

    fn write(&self, op: Op<'_>) -> Attempt<()> {
        let (keys, transaction) = (&self.client.keys, self.transaction);
        match op {
            Op::Put { key, value } => self.put(key, value)?,
            Op::PutStamped { key, value } => {
                let (stored, rest) = stamped(&value[STAMP..]);
                self.put_parts(key, rest)?;
                stamp(transaction, &keys.data(key), &stored);
            }
            Op::Delete { key } => {
                transaction.clear(&keys.data(key));
                self.clear_parts(key);
            }
            Op::Clear { start, end } => {
                let (from, to) = (keys.data(start), keys.data(end));
                if from < to {
                    transaction.clear_range(&from, &to);
                    transaction.clear_range(&keys.parts_from(start), &keys.parts_from(end));
                }
            }
            Op::Add { key, delta } => {
                self.without_conflict()?;
                transaction.atomic_op(&keys.data(key), &delta.to_le_bytes(), MutationType::Add);
            }
            Op::RaiseFloor { floor } => {
                let raised = floor.0.to_be_bytes();
                transaction.atomic_op(&keys.floor(), &raised, MutationType::ByteMax);
            }
            Op::Check { .. } | Op::CheckRange { .. } | Op::Archive { .. } => {}
        }
        Ok(())
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Attempt<()> {
        let (stored, rest) = plain(value);
        self.put_parts(key, rest)?;
        self.transaction.set(&self.client.keys.data(key), &stored);
        Ok(())
    }

    /// A value without a stamp cannot be checked, so nobody has to be told that it was written.
    fn put_unchecked(&self, key: &[u8], value: &[u8]) -> Attempt<()> {
        let (stored, rest) = plain(value);
        self.put_parts(key, rest)?;
        self.without_conflict()?;
        self.transaction.set(&self.client.keys.data(key), &stored);
        Ok(())
    }

    fn without_conflict(&self) -> Attempt<()> {
        Ok(self.transaction.set_option(TransactionOption::NextWriteNoWriteConflictRange)?)
    }

    /// What a short value leaves of a long one before it is never read, and goes with the key.
    fn put_parts(&self, key: &[u8], rest: &[u8]) -> Attempt<()> {
        if !rest.is_empty() || self.long.contains(key) {
            self.clear_parts(key);
        }
        for (number, part) in (0..).zip(rest.chunks(PART)) {
            let stored = self.client.keys.part(key, number);
            if stored.len() > STORED_KEY {
                let (size, limit) = (key.len(), LIMITS.max_key / 2);
                return Err(Trouble::Final(Error::TooLarge { what: "key", size, limit }));
            }
            self.transaction.set(&stored, part);
        }
        Ok(())
    }

    fn clear_parts(&self, key: &[u8]) {
        // A key of zeros would be too long for FoundationDB once it is escaped, and then it has no
        // parts.
        let (start, end) = self.client.keys.parts_of(key);
        if end.len() <= STORED_KEY {
            self.transaction.clear_range(&start, &end);
        }
    }
}
