//! Reading single keys: as a snapshot sees them, or as they are now.

use std::collections::HashMap;

use kv::{Page, Result, Version};

use crate::value::{HEADER, head};
use crate::writes::WriteId;
use crate::{Base, Command, Snapshot, Transaction, key};

/// A version that was found, and where its body lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The entry of the page: 0 for a single key.
    pub entry: usize,
    /// Where the body begins in the entry's value.
    pub offset: usize,
    /// The commit that made it; `None` for an own version.
    pub version: Option<Version>,
    /// The own version.
    pub own: Option<WriteId>,
}

impl Found {
    /// The body.
    pub fn body<'a>(&self, page: &'a Page) -> &'a [u8] {
        &page.value(self.entry)[self.offset..]
    }

    pub(crate) fn committed(entry: usize, version: Version) -> Found {
        Found { entry, offset: HEADER, version: Some(version), own: None }
    }

    fn own(entry: usize, id: WriteId) -> Found {
        Found { entry, offset: HEADER, version: None, own: Some(id) }
    }
}

/// A key as it is now, whatever any snapshot sees. If it is not deleted, entry 0 of the page has
/// its value, the own one if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Newest {
    /// The own live version.
    pub own: Option<Own>,
    /// The committed version; not looked up when there is an own one, which decides. `None` without
    /// an own one means that the store has no current slot: [`Base::Absent`].
    pub committed: Option<Committed>,
}

impl Newest {
    /// What a current slot says that has no own version.
    pub(crate) fn of_slot(value: Option<&[u8]>, zero: Version) -> Result<Newest> {
        let Some(value) = value else { return Ok(Newest::default()) };
        let (version, flags) = head(value, zero)?;
        let committed = Committed { version, deleted: flags.tombstone() };
        Ok(Newest { own: None, committed: Some(committed) })
    }

    /// Whether the key has a value.
    pub fn exists(&self) -> bool {
        match (self.own, self.committed) {
            (Some(own), _) => !own.deleted,
            (None, Some(committed)) => !committed.deleted,
            (None, None) => false,
        }
    }

    /// What to write over it with. Of no meaning, and ignored, if there is an own version.
    pub fn base(&self) -> Base {
        self.committed.map_or(Base::Absent, |committed| Base::Seen(committed.version))
    }
}

/// The own live version of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Its name.
    pub id: WriteId,
    /// The command that made it.
    pub command: Command,
    /// Whether it deletes the key.
    pub deleted: bool,
}

/// The committed current version of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The commit that made it.
    pub version: Version,
    /// Whether it is a tombstone.
    pub deleted: bool,
}

/// How the current slot of a key looks from a snapshot.
pub(crate) enum Sight {
    /// It is what the snapshot sees.
    Value(Version),
    /// The snapshot sees no value.
    Nothing,
    /// The snapshot may see an older version.
    Older,
}

impl Sight {
    #[inline]
    pub(crate) fn of(value: &[u8], at: &Snapshot, zero: Version) -> Result<Sight> {
        let (version, flags) = head(value, zero)?;
        Ok(match (version <= at.version, flags.tombstone(), flags.fresh()) {
            (true, false, _) => Sight::Value(version),
            (true, true, _) | (false, _, true) => Sight::Nothing,
            (false, _, false) => Sight::Older,
        })
    }
}

impl Transaction {
    /// The version of a key that a snapshot sees. Its body lies in entry 0 of `page`, which was
    /// made by [`Transaction::page`].
    pub fn get(
        &mut self,
        key: &[u8],
        at: &Snapshot,
        zero: Version,
        page: &mut Page,
    ) -> Result<Option<Found>> {
        let slot = key::current(key);
        if let Some((id, record)) = self.writes.visible(&slot, at.command) {
            page.clear();
            page.push(key, &record.value);
            return Ok((!record.flags().tombstone()).then(|| Found::own(0, id)));
        }
        self.load(&[&slot], at, page)?;
        let Some(value) = page.get(0) else { return Ok(None) };
        match Sight::of(value, at, zero)? {
            Sight::Value(version) => Ok(Some(Found::committed(0, version))),
            Sight::Nothing => Ok(None),
            Sight::Older => {
                let mut found = None;
                self.look_back(&[key.to_vec()], at, zero, |_, version, value| {
                    page.clear();
                    page.push(key, value);
                    found = Some(Found::committed(0, version));
                })?;
                Ok(found)
            }
        }
    }

    /// The versions of many keys that a snapshot sees, in the order of the keys, with one round
    /// trip and one more if history is needed. [`Found::entry`] says where in `page` a body lies:
    /// not always at the position of its key.
    pub fn get_many(
        &mut self,
        keys: &[&[u8]],
        at: &Snapshot,
        zero: Version,
        page: &mut Page,
        found: &mut Vec<Option<Found>>,
    ) -> Result<()> {
        self.get_many_knowing(&Page::default(), keys, at, zero, page, found)
    }

    /// As [`Transaction::get_many`], without asking for the keys whose current slots came with a scan
    /// ([`Scan::take_rows`](crate::Scan::take_rows)) that saw the snapshot or a later moment.
    pub fn get_many_knowing(
        &mut self,
        known: &Page,
        keys: &[&[u8]],
        at: &Snapshot,
        zero: Version,
        page: &mut Page,
        found: &mut Vec<Option<Found>>,
    ) -> Result<()> {
        found.clear();
        let slots: Vec<Vec<u8>> = keys.iter().map(|key| key::current(key)).collect();
        let entries = self.load_unknown(known, &slots, at, page)?;
        let mut older = Vec::new();
        for (i, slot) in slots.iter().enumerate() {
            found.push(None);
            let entry = entries.as_ref().map_or(i, |entries| entries[i]);
            if let Some((id, record)) = self.writes.visible(slot, at.command) {
                if !record.flags().tombstone() {
                    found[i] = Some(Found::own(page.len(), id));
                    page.push(keys[i], &record.value);
                }
            } else if let Some(value) = page.get(entry) {
                match Sight::of(value, at, zero)? {
                    Sight::Value(version) => found[i] = Some(Found::committed(entry, version)),
                    Sight::Nothing => {}
                    Sight::Older => older.push(i),
                }
            }
        }
        let wanted: Vec<Vec<u8>> = older.iter().map(|i| keys[*i].to_vec()).collect();
        self.look_back(&wanted, at, zero, |i, version, value| {
            found[older[i]] = Some(Found::committed(page.len(), version));
            page.push(&wanted[i], value);
        })
    }

    /// A key as it is now: what UPDATE, DELETE and row locks must look at. An own live version
    /// decides without a call of the store.
    pub fn newest(&mut self, key: &[u8], zero: Version, page: &mut Page) -> Result<Newest> {
        let slot = key::current(key);
        if let Some((id, record, _)) = self.writes.live(&slot) {
            page.clear();
            page.push(key, &record.value);
            let deleted = record.flags().tombstone();
            let own = Own { id, command: record.command, deleted };
            return Ok(Newest { own: Some(own), committed: None });
        }
        self.committed(&slot, zero, page)
    }

    /// The committed version in a current slot, as it is now.
    pub(crate) fn committed(
        &mut self,
        slot: &[u8],
        zero: Version,
        page: &mut Page,
    ) -> Result<Newest> {
        self.reveal_bulk(slot, &key::successor(slot))?;
        let stamp = self.store.get_many(&[slot], page, &*self.env)?;
        self.observe(stamp);
        self.track(slot, &key::successor(slot), stamp.version);
        Newest::of_slot(page.get(0), zero)
    }

    /// Reads the current slots that are not known yet, so that a snapshot can judge them all. Says
    /// where in the page each is, unless each is at its own place.
    fn load_unknown(
        &mut self,
        known: &Page,
        slots: &[Vec<u8>],
        at: &Snapshot,
        page: &mut Page,
    ) -> Result<Option<Vec<usize>>> {
        let place: HashMap<&[u8], usize> = (0..known.len()).map(|i| (known.key(i), i)).collect();
        let unknown = slots.iter().map(Vec::as_slice).filter(|slot| !place.contains_key(slot));
        let unknown: Vec<&[u8]> = unknown.collect();
        page.clear();
        if !unknown.is_empty() {
            self.load(&unknown, at, page)?;
        }
        if unknown.len() == slots.len() {
            return Ok(None);
        }
        let mut loaded = 0..;
        let entries = slots.iter().map(|slot| {
            let Some(i) = place.get(slot.as_slice()) else { return loaded.next().unwrap_or(0) };
            match known.get(*i) {
                Some(value) => page.push(slot, value),
                None => page.push_absent(slot),
            }
            self.track(slot, &key::successor(slot), at.version);
            page.len() - 1
        });
        Ok(Some(entries.collect()))
    }

    /// Reads current slots, so that a snapshot can judge them.
    fn load(&mut self, slots: &[&[u8]], at: &Snapshot, page: &mut Page) -> Result<()> {
        if self.bulk.used || self.options.serializable {
            for slot in slots {
                let after = key::successor(slot);
                self.reveal_bulk(slot, &after)?;
                self.track(slot, &after, at.version);
            }
        }
        let stamp = match self.enough(at) {
            Some(since) => self.store.get_many_since(since, slots, page, &*self.env)?,
            None => self.store.get_many(slots, page, &*self.env)?,
        };
        self.observe_at(stamp, at)
    }

    /// Any state at or after this version shows a snapshot its current slots, and those that are too
    /// new send it to history, which is looked at as it is then. Not where own rows of version zero
    /// went to the store after the snapshot was taken.
    pub(crate) fn enough(&self, at: &Snapshot) -> Option<Version> {
        (!self.bulk.used).then_some(at.version)
    }
}
