//! Ids handed out in blocks: a counter in the store that is asked for rarely.
//!
//! A lease is committed on its own, outside any transaction, so that two sessions never wait for
//! each other over an id; ids leased and not used are lost. It need not be durable by itself: a row
//! that uses a leased id is committed later, and a later durable commit makes earlier ones durable.

use std::ops::Range;

use kv::{Batch, CommitId, Durability, Environment, Error, Page, Result, STAMP, Store, Version};
use mvcc::key::plain as plain_key;

use crate::Key;

/// Ids that this session may hand out, in order.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    ids: Range<u64>,
    last_size: u64,
}

impl Lease {
    /// A lease over ids that nobody else knows of.
    pub fn of(ids: Range<u64>) -> Lease {
        Lease { ids, last_size: 0 }
    }

    /// The next id, if any is left.
    pub fn take(&mut self) -> Option<u64> {
        self.ids.next()
    }

    /// The id that would be handed out next.
    pub fn next(&self) -> u64 {
        self.ids.start
    }

    /// Leases another block, four times as large as the last one within the bounds given, because
    /// a session that used one up is loading.
    pub fn renew(
        &mut self,
        key: Key<'_>,
        size: Range<u64>,
        store: &dyn Store,
        env: &dyn Environment,
    ) -> Result<()> {
        let want = (self.last_size * 4).clamp(size.start, size.end);
        self.ids = lease(&key, want, store, env)?;
        self.last_size = want;
        Ok(())
    }
}

/// The first id that nobody leased.
pub fn high_water(key: &Key<'_>, store: &dyn Store, env: &dyn Environment) -> Result<u64> {
    Ok(read(&plain_key(&key.encode()), store, env)?.0)
}

/// What the store holds of a lease when everything below `next` is taken; published by the
/// transaction that made the space.
pub fn high_water_body(next: u64) -> [u8; 8] {
    next.to_be_bytes()
}

fn lease(key: &Key<'_>, size: u64, store: &dyn Store, env: &dyn Environment) -> Result<Range<u64>> {
    let key = plain_key(&key.encode());
    loop {
        let (first, seen) = read(&key, store, env)?;
        let mut batch = Batch::new(CommitId::random(env), Durability::Relaxed);
        batch.check(&key, seen);
        batch.put_stamped(&key, &[&(first + size).to_be_bytes()]);
        match store.commit(&batch, env) {
            Ok(_) => return Ok(first..first + size),
            // Another session was quicker, or the reply was lost and the ids with it.
            Err(Error::Conflict { .. } | Error::OutcomeUnknown { .. }) => {}
            Err(error) => return Err(error),
        }
        if env.interrupted() {
            return Err(Error::Interrupted);
        }
    }
}

fn read(key: &[u8], store: &dyn Store, env: &dyn Environment) -> Result<(u64, Version)> {
    let mut page = Page::default();
    store.get_many(&[key], &mut page, env)?;
    let Some(value) = page.get(0) else { return Ok((0, Version::ZERO)) };
    let next = value.get(STAMP..).and_then(|next| next.try_into().ok()).map(u64::from_be_bytes);
    let seen = Version::of_stamped(value);
    next.zip(seen).ok_or_else(|| Error::Corrupt("a counter of ids has the wrong length".into()))
}
