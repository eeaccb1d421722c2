//! Looking older versions up, all of a page's in one pipelined step.

use kv::{Direction, Page, Result, ScanRequest, Ticket, Version};

use crate::value::{history_flags, published};
use crate::{Snapshot, Transaction, key};

/// How many requests are under way at once.
pub(crate) const PIPELINE: usize = 256;

impl Transaction {
    /// Finds the newest history entry that a snapshot sees of each key (without kind byte). Hands
    /// `found` the key's position, the entry's version, and the value as a current slot would hold
    /// it. Keys that the snapshot does not see, or sees deleted, are passed over.
    pub(crate) fn look_back(
        &mut self,
        keys: &[Vec<u8>],
        at: &Snapshot,
        zero: Version,
        mut found: impl FnMut(usize, Version, &[u8]),
    ) -> Result<()> {
        let mut value = Vec::new();
        for (chunk, base) in keys.chunks(PIPELINE).zip((0..).step_by(PIPELINE)) {
            let mut tickets = self.start_lookups(chunk, at.version)?.into_iter();
            for i in base..base + chunk.len() {
                let Some(ticket) = tickets.next() else { break };
                let result = self.finish_lookup(ticket, at, zero, &mut value);
                match result {
                    Ok(Some(version)) => found(i, version, &value),
                    Ok(None) => {}
                    Err(error) => {
                        tickets.for_each(|ticket| self.store.cancel_scan(ticket));
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn start_lookups(&self, keys: &[Vec<u8>], newest: Version) -> Result<Vec<Ticket>> {
        // What a reply showed to be replaced is in history from that reply's version on.
        let requests = keys.iter().map(|key| {
            let (start, end) = key::history_until(key, newest);
            first_of(start, end, 1)
        });
        self.start_all(self.latest.get(), requests)
    }

    /// Asks for pages, where any state at or after `since` will do.
    pub(crate) fn start_all(
        &self,
        since: Version,
        requests: impl ExactSizeIterator<Item = ScanRequest>,
    ) -> Result<Vec<Ticket>> {
        let mut tickets = Vec::with_capacity(requests.len());
        for request in requests {
            match self.store.start_scan_since(since, request) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => {
                    tickets.into_iter().for_each(|ticket| self.store.cancel_scan(ticket));
                    return Err(error);
                }
            }
        }
        Ok(tickets)
    }

    fn finish_lookup(
        &mut self,
        ticket: Ticket,
        at: &Snapshot,
        zero: Version,
        value: &mut Vec<u8>,
    ) -> Result<Option<Version>> {
        let (stamp, _) = self.store.finish_scan(ticket, &mut self.scratch, &*self.env)?;
        self.observe_at(stamp, at)?;
        let Some(stored) = newest_version(&self.scratch) else { return Ok(None) };
        let version = published(stored, zero);
        let entry = self.scratch.value(0);
        if version > at.version || history_flags(entry)?.tombstone() {
            return Ok(None);
        }
        value.clear();
        value.extend_from_slice(&stored.0.to_be_bytes());
        value.extend_from_slice(entry);
        Ok(Some(version))
    }
}

/// A request for the first few entries of a range.
pub(crate) fn first_of(start: Vec<u8>, end: Vec<u8>, rows: usize) -> ScanRequest {
    let direction = Direction::Forward;
    ScanRequest { start, end, direction, max_rows: rows, max_bytes: usize::MAX }
}

/// The version of the first history entry of a page. The tail of a history key is its version.
pub(crate) fn newest_version(page: &Page) -> Option<Version> {
    if page.is_empty() {
        return None;
    }
    let version = page.key(0).last_chunk::<8>()?;
    Some(Version(!u64::from_be_bytes(*version)))
}
