//! Batches that were sent and not waited for.
//!
//! Several may be on their way at once, as long as none touches what another one does: then it does
//! not matter in which order the cluster applies them.

use std::cell::Cell;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use kv::{Batch, Op, Version};

use crate::client::Client;
use crate::commit::{Manner, attempt};
use crate::failure::Attempt;

/// Batches that may be on their way.
pub(crate) const WINDOW: usize = 6;

/// A batch on its way.
pub(crate) struct Flight {
    pub(crate) batch: Rc<Batch>,
    pub(crate) sent: Rc<Cell<bool>>,
    future: Pin<Box<dyn Future<Output = Attempt<Version>>>>,
    landed: Option<Attempt<Version>>,
    /// Digests of the keys that it writes.
    keys: HashSet<u64>,
}

/// The batches on their way, oldest first.
#[derive(Default)]
pub(crate) struct Flights {
    flights: VecDeque<Flight>,
    digest: RandomState,
}

impl Flights {
    pub(crate) fn len(&self) -> usize {
        self.flights.len()
    }

    /// The digests of the keys that a batch writes, if it does nothing else than writing single
    /// keys, and none that is being written.
    pub(crate) fn admit(&self, batch: &Batch) -> Option<HashSet<u64>> {
        let mut keys = HashSet::with_capacity(batch.len());
        for op in batch.ops() {
            let (Op::Put { key, .. } | Op::PutStamped { key, .. }) = op else { return None };
            keys.insert(self.digest.hash_one(key));
        }
        let clear = self.flights.iter().all(|flight| flight.keys.is_disjoint(&keys));
        clear.then_some(keys)
    }

    /// Sends a batch.
    pub(crate) fn start(&mut self, client: Rc<Client>, batch: Batch, keys: HashSet<u64>) {
        let batch = Rc::new(batch);
        let sent = Rc::new(Cell::new(false));
        let (its_batch, its_sent) = (Rc::clone(&batch), Rc::clone(&sent));
        let manner = Manner { trusting: true, doubtful: false, tidy: false };
        let future =
            Box::pin(async move { attempt(&client, &its_batch, manner, None, &its_sent).await });
        self.flights.push_back(Flight { batch, sent, future, landed: None, keys });
    }

    /// Gives every flight the chance to go on.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) {
        for flight in self.flights.iter_mut().filter(|flight| flight.landed.is_none()) {
            if let Poll::Ready(landed) = flight.future.as_mut().poll(context) {
                flight.landed = Some(landed);
            }
        }
    }

    /// Waits for the oldest flight, while the others go on.
    pub(crate) fn poll_oldest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll(context);
        match self.flights.front() {
            Some(flight) if flight.landed.is_none() => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// The oldest flight, if it has landed, and how.
    pub(crate) fn take_landed(&mut self) -> Option<(Flight, Attempt<Version>)> {
        let landed = self.flights.front_mut()?.landed.take()?;
        Some((self.flights.pop_front()?, landed))
    }

    /// Gives up what is on its way.
    pub(crate) fn forget(&mut self) {
        self.flights.clear();
    }
}
