//! What a transaction knows of its own versions, and what it publishes besides rows.

use crate::value::head;
use crate::{Found, Snapshot, key};

use crate::transaction::{Base, Transaction};
use crate::writes::WriteId;
use kv::{Page, Result, Version};

impl Transaction {
    /// How many versions this transaction made, rolled back ones too.
    pub fn written(&self) -> u64 {
        self.writes.written()
    }

    /// The own live version of a key.
    pub fn live(&self, key: &[u8]) -> Option<WriteId> {
        self.writes.live(&key::current(key)).map(|(id, _, _)| id)
    }

    /// What the first writer of a key saw in the store, if the key has an own live version.
    pub fn base(&self, key: &[u8]) -> Option<Base> {
        self.writes.live(&key::current(key)).map(|(_, _, base)| base)
    }

    /// The version with which this transaction made a key, if it did.
    pub fn inserted(&self, key: &[u8]) -> Option<WriteId> {
        let (id, _, base) = self.writes.live(&key::current(key))?;
        (base == Base::New).then(|| self.writes.first(id))
    }

    /// Whether a version is the one with which this transaction made its key.
    pub fn is_insert(&self, id: WriteId) -> bool {
        self.writes.record(id).is_some_and(|record| {
            self.writes.first(id) == id
                && self.writes.live(&record.key).is_some_and(|(_, _, base)| base == Base::New)
        })
    }

    /// The committed version of a key on which this transaction's own one stands, with its body in
    /// entry 0 of `page`. It is found however old it is: it is the current one still, or this
    /// transaction cannot commit.
    pub fn get_base(
        &mut self,
        key: &[u8],
        version: Version,
        zero: Version,
        page: &mut Page,
    ) -> Result<Option<Found>> {
        let slot = key::current(key);
        self.reveal_bulk(&slot, &key::successor(&slot))?;
        let stamp = self.store.get_many(&[&slot], page, &*self.env)?;
        self.observe(stamp);
        if let Some(value) = page.get(0) {
            let (current, flags) = head(value, zero)?;
            if current <= version {
                return Ok((!flags.tombstone()).then(|| Found::committed(0, current)));
            }
        }
        // Command zero sees no own version.
        self.get(key, &Snapshot { version, command: 0 }, zero, page)
    }

    /// Writes the plain key `key`, behind the version of the commit, when this transaction commits.
    /// Not undone by savepoints: for what is known right before the commit.
    pub fn publish(&mut self, key: &[u8], body: &[u8]) {
        self.published.push((key::plain(key), body.to_vec()));
    }
}
