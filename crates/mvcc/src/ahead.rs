//! Looking at many keys ahead of their being written.
//!
//! Whoever adds a row looks at its key as it is now, and whoever takes an entry away at that; each
//! look is a round trip. Statements that change many rows often go through keys in their order, so a
//! look may show the keys behind as well: a [`Stretch`] of current slots, without a gap, at one
//! version. It begins with one slot, which says that the keys in front of it are free, and grows as
//! long as it is of use. Where the keys are known before, they can be asked for at once
//! ([`Transaction::look_ahead`]).
//!
//! What was seen so may be over when it is used. The caller knows what cannot have happened since,
//! because of the locks that it holds; and the commit checks in any case.

use std::collections::HashMap;

use kv::{Direction, Page, Result, ScanRequest, Version};

use crate::read::Newest;
use crate::{Transaction, key};

/// How many ranges of keys are gone through at a time, at most.
const STRETCHES: usize = 8;

/// How many of them may be of one range: an update takes entries away in one place and adds them in
/// another.
const ALIKE: usize = 2;

/// Most slots and bytes of a stretch.
const MAX_ROWS: usize = 512;
const MAX_BYTES: usize = 256 << 10;

/// What was seen ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    stretches: Vec<Stretch>,
    /// Slots that were asked for by name, and where each is in the page.
    places: HashMap<Vec<u8>, usize>,
    page: Page,
    version: Version,
}

/// The current slots of all keys from `start` up to `until`.
#[derive(Debug)]
struct Stretch {
    /// Where the range ends that is gone through; it tells stretches apart.
    end: Vec<u8>,
    start: Vec<u8>,
    until: Vec<u8>,
    page: Page,
    version: Version,
    /// How many slots the next one may have.
    rows: usize,
    /// How many looks this one saved.
    used: usize,
}

impl Stretch {
    /// An empty one, of which another may be a continuation.
    fn at(place: Vec<u8>, end: Vec<u8>) -> Stretch {
        Stretch {
            end,
            start: place.clone(),
            until: place,
            page: Page::default(),
            version: Version::ZERO,
            rows: 1,
            used: 0,
        }
    }

    fn covers(&self, slot: &[u8]) -> bool {
        *self.start <= *slot && *slot < *self.until
    }

    /// The value of a slot that it covers.
    fn get(&self, slot: &[u8]) -> Option<&[u8]> {
        let (mut low, mut high) = (0, self.page.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.page.key(middle).cmp(slot) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(self.page.value(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

impl Transaction {
    /// Reads the current slots of keys that [`Transaction::newest_ahead`] will be asked for, with one
    /// round trip.
    pub fn look_ahead(&mut self, keys: &[&[u8]]) -> Result<()> {
        self.look_ahead_since(None, keys)
    }

    /// As [`Transaction::look_ahead`], where any state will do that is at or after a version and all that this
    /// transaction has seen.
    pub fn look_back_at(&mut self, version: Version, keys: &[&[u8]]) -> Result<()> {
        // Own rows of version zero may have gone to the store since.
        let since = Some(self.latest.get().max(version)).filter(|_| !self.bulk.used);
        self.look_ahead_since(since, keys)
    }

    fn look_ahead_since(&mut self, since: Option<Version>, keys: &[&[u8]]) -> Result<()> {
        let slots: Vec<Vec<u8>> = keys.iter().map(|key| key::current(key)).collect();
        let wanted: Vec<&[u8]> = slots.iter().map(Vec::as_slice).collect();
        let mut page = std::mem::take(&mut self.ahead.page);
        self.ahead.places.clear();
        let stamp = match since {
            Some(since) => self.store.get_many_since(since, &wanted, &mut page, &*self.env)?,
            None => self.store.get_many(&wanted, &mut page, &*self.env)?,
        };
        self.observe(stamp);
        self.ahead.page = page;
        self.ahead.version = stamp.version;
        self.ahead.places = slots.into_iter().zip(0..).collect();
        Ok(())
    }

    /// As [`Transaction::newest`], of a key in a range up to `end` that may be gone through in order.
    ///
    /// What was seen of it at an earlier version is taken if `holds` says that nobody has changed the
    /// key since that version, as far as the caller must know.
    pub fn newest_ahead(
        &mut self,
        key: &[u8],
        end: &[u8],
        zero: Version,
        page: &mut Page,
        holds: impl Fn(Version) -> bool,
    ) -> Result<Newest> {
        let slot = key::current(key);
        if self.writes.live(&slot).is_some() || self.bulk.used {
            return self.newest(key, zero, page);
        }
        if !self.see(&slot, page, &holds) {
            if !self.is_next(&slot, end) {
                return self.committed(&slot, zero, page);
            }
            self.stretch(&slot)?;
            // What is changed from now on is for the caller to find out, as after any look.
            if !self.see(&slot, page, &|_| true) {
                return self.committed(&slot, zero, page);
            }
        }
        Newest::of_slot(page.get(0), zero)
    }

    /// The committed version of a key that may have an own one too, by what was seen ahead if that
    /// holds.
    pub fn committed_ahead(
        &mut self,
        key: &[u8],
        zero: Version,
        page: &mut Page,
        holds: impl Fn(Version) -> bool,
    ) -> Result<Newest> {
        let slot = key::current(key);
        if self.bulk.used || !self.see(&slot, page, &holds) {
            return self.committed(&slot, zero, page);
        }
        Newest::of_slot(page.get(0), zero)
    }

    /// Whether something was seen ahead of a key that still holds.
    pub fn was_seen(&self, key: &[u8], holds: impl Fn(Version) -> bool) -> bool {
        let slot = key::current(key);
        let Ahead { stretches, places, version, .. } = &self.ahead;
        if places.contains_key(&slot) {
            return holds(*version);
        }
        stretches.iter().find(|stretch| stretch.covers(&slot)).is_some_and(|s| holds(s.version))
    }

    /// Looks at what follows a key in a range up to `end`, because the keys behind it may be next.
    pub fn look_behind(&mut self, key: &[u8], end: &[u8]) -> Result<()> {
        let slot = key::successor(&key::current(key));
        // Whether it was or not, the last stretch is one to continue now.
        self.is_next(&slot, end);
        self.stretch(&slot)
    }

    /// Puts what was seen of a slot into the page. False if nothing was, or it may be over.
    fn see(&mut self, slot: &[u8], page: &mut Page, holds: &dyn Fn(Version) -> bool) -> bool {
        let Ahead { stretches, places, page: asked, version } = &mut self.ahead;
        let seen = if let Some(place) = places.get(slot) {
            (*version, asked.get(*place))
        } else if let Some(stretch) = stretches.iter_mut().find(|stretch| stretch.covers(slot)) {
            stretch.used += 1;
            (stretch.version, stretch.get(slot))
        } else {
            return false;
        };
        let (version, value) = seen;
        if !holds(version) {
            places.remove(slot);
            stretches.retain(|stretch| !stretch.covers(slot));
            return false;
        }
        page.clear();
        match value {
            Some(value) => page.push(slot, value),
            None => page.push_absent(slot),
        }
        self.track(slot, &key::successor(slot), version);
        true
    }

    /// Whether a slot lies behind one that was looked at before in its range, so that others may
    /// follow. The stretch that it follows is the last one then.
    fn is_next(&mut self, slot: &[u8], end: &[u8]) -> bool {
        let stretches = &mut self.ahead.stretches;
        let alike = |stretch: &Stretch| stretch.end[1..] == *end;
        let before = (0..stretches.len()).filter(|i| {
            let stretch = &stretches[*i];
            alike(stretch) && *stretch.until <= *slot
        });
        let nearest = before.max_by(|i, j| stretches[*i].until.cmp(&stretches[*j].until));
        if let Some(nearest) = nearest {
            let nearest = stretches.remove(nearest);
            stretches.push(nearest);
            return true;
        }
        let first = stretches.iter().position(alike);
        let crowded = stretches.iter().filter(|stretch| alike(stretch)).count() == ALIKE;
        match first.filter(|_| crowded) {
            Some(first) => drop(stretches.remove(first)),
            None if stretches.len() == STRETCHES => drop(stretches.remove(0)),
            None => {}
        }
        stretches.push(Stretch::at(key::successor(slot), key::current(end)));
        false
    }

    /// Reads the slots from one on, which follows the last stretch.
    fn stretch(&mut self, slot: &[u8]) -> Result<()> {
        let Some(mut stretch) = self.ahead.stretches.pop() else { return Ok(()) };
        // One that was hardly of use was too long.
        let useful = stretch.used * 2 >= stretch.page.len();
        stretch.rows = if useful { (stretch.rows * 2).min(MAX_ROWS) } else { 1 };
        let request = ScanRequest {
            start: slot.to_vec(),
            end: stretch.end.clone(),
            direction: Direction::Forward,
            max_rows: stretch.rows,
            max_bytes: MAX_BYTES,
        };
        let ticket = self.store.start_scan(request)?;
        let (stamp, _) = self.store.finish_scan(ticket, &mut stretch.page, &*self.env)?;
        self.observe(stamp);
        stretch.start = slot.to_vec();
        stretch.until = match (stretch.page.more(), stretch.page.len().checked_sub(1)) {
            (false, _) => stretch.end.clone(),
            (true, Some(last)) => key::successor(stretch.page.key(last)),
            (true, None) => stretch.start.clone(),
        };
        stretch.version = stamp.version;
        stretch.used = 0;
        self.ahead.stretches.push(stretch);
        Ok(())
    }
}
