//! What becomes of a transaction when single calls of the store break, and how many calls it makes
//! when none does.

use std::rc::Rc;

use kv::environment::Simulated;
use kv::memory::{Config, Memory};
use kv::wrap::{Fault, Faults, Log, Plan, Recorder};
use kv::{Error, Layout, Store, Version};
use mvcc::{Base, Change, Options, Snapshot, Transaction, key};

struct World {
    memory: Memory,
    env: Rc<Simulated>,
    plan: Plan,
}

impl World {
    fn new() -> World {
        let memory = Memory::new(Config { defer: true, ..Config::default() });
        World { memory, env: Rc::new(Simulated::new(1)), plan: Plan::new(1, None) }
    }

    fn transaction(&self) -> Transaction {
        let store = Rc::new(Faults::new(self.memory.handle(), self.plan.clone()));
        transaction(store, &self.env)
    }

    /// Commits one row and one count under a script, and says what the store counted.
    fn commit(&self, script: &[Option<Fault>]) -> (Result<Option<Version>, Error>, i64) {
        let mut txn = self.transaction();
        txn.write(b"k", Change::Put(&[b"v"]), 0, Base::New).unwrap();
        txn.count(b"n", 1);
        self.plan.script(script.iter().copied());
        let told = txn.commit();
        assert_eq!(self.plan.scripted(), 0, "not every fault happened");
        // Whatever is late arrives with the next call.
        self.transaction().read_version().unwrap();
        (told, self.counted())
    }

    fn counted(&self) -> i64 {
        let mut page = kv::Page::default();
        self.memory.get_many(&[&key::plain(b"n")], &mut page, &*self.env).unwrap();
        page.get(0).map_or(0, |value| i64::from_le_bytes(value.try_into().unwrap()))
    }
}

fn transaction(store: Rc<dyn Store>, env: &Rc<Simulated>) -> Transaction {
    let options = Options {
        serializable: false,
        max_buffered: 1 << 20,
        retention: u64::MAX,
        layout: Layout::default(),
    };
    Transaction::new(store, Rc::clone(env) as _, options)
}

#[test]
fn a_commit_whose_reply_is_lost_happens_once_and_is_known() {
    for fault in [Fault::LostReply, Fault::LostRequest, Fault::LateRequest] {
        let (told, counted) = World::new().commit(&[Some(fault)]);
        assert!(matches!(told, Ok(Some(_))), "{fault:?}: {told:?}");
        assert_eq!(counted, 1, "{fault:?}");
    }
}

#[test]
fn the_outcome_is_asked_for_until_the_store_says_it() {
    let down = Some(Fault::Unavailable);
    let (told, counted) = World::new().commit(&[Some(Fault::LostReply), down, down, down]);
    assert!(matches!(told, Ok(Some(_))), "{told:?}");
    assert_eq!(counted, 1);
}

#[test]
fn only_who_has_no_patience_is_left_in_doubt() {
    let world = World::new();
    world.env.interrupt(true);
    let (told, counted) = world.commit(&[Some(Fault::LostReply), Some(Fault::Unavailable)]);
    assert!(matches!(told, Err(Error::OutcomeUnknown { .. })), "{told:?}");
    assert_eq!(counted, 1);
}

#[test]
fn a_commit_that_is_lost_again_and_again_is_unavailable_and_has_not_happened() {
    let (told, counted) = World::new().commit(&[[Some(Fault::LostRequest), None]; 4].concat());
    assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
    assert_eq!(counted, 0);
}

#[test]
fn a_transaction_that_lost_bulk_rows_cannot_commit_however_it_goes_on() {
    let world = World::new();
    let mut txn = world.transaction();
    txn.bulk_put(b"s1", b"row").unwrap();
    txn.begin_sub();
    let (at, mut page) = (Snapshot { version: Version::ZERO, command: 1 }, txn.page());
    // The deferred batch is accepted, and then the wait for it fails.
    world.plan.script([None, Some(Fault::Unavailable)]);
    let read = txn.get(b"s1", &at, Version::ZERO, &mut page);
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    txn.rollback_sub();
    txn.write(b"published", Change::Put(&[]), 1, Base::New).unwrap();
    assert!(matches!(txn.commit(), Err(Error::Unavailable(_))));
}

#[test]
fn a_cancelled_wait_for_bulk_rows_loses_none() {
    let world = World::new();
    let mut txn = world.transaction();
    txn.bulk_put(b"s1", b"row").unwrap();
    world.plan.script([None, Some(Fault::Interrupted)]);
    assert_eq!(txn.bulk_flush(), Err(Error::Interrupted));
    txn.write(b"published", Change::Put(&[]), 1, Base::New).unwrap();
    let version = txn.commit().unwrap().unwrap();
    let (mut txn, at) = (world.transaction(), Snapshot { version, command: 0 });
    let mut page = txn.page();
    let found = txn.get(b"s1", &at, version, &mut page).unwrap().unwrap();
    assert_eq!(found.body(&page), b"row");
}

#[test]
fn every_call_costs_the_round_trips_that_it_must() {
    let (memory, log) = (Memory::default(), Log::default());
    let env = Rc::new(Simulated::new(1));
    let start = || transaction(Rc::new(Recorder::new(memory.handle(), log.clone())), &env);
    let trips = |act: &mut dyn FnMut()| {
        let before = log.round_trips();
        act();
        log.round_trips() - before
    };
    let mut txn = start();
    let mut page = txn.page();
    let write = |txn: &mut Transaction, base| {
        txn.write(b"k", Change::Put(&[b"v"]), 0, base).unwrap();
    };
    assert_eq!(trips(&mut || write(&mut txn, Base::New)), 0);
    let mut old = Version::ZERO;
    let mut txn = Some(txn);
    assert_eq!(trips(&mut || old = txn.take().unwrap().commit().unwrap().unwrap()), 1);

    let mut txn = start();
    let newest = trips(&mut || write(&mut txn, Base::Seen(old)));
    assert_eq!(newest, 0);
    let mut own = || assert!(txn.newest(b"k", Version::ZERO, &mut page).unwrap().exists());
    assert_eq!(trips(&mut own), 0, "an own version decides");
    let mut txn = Some(txn);
    assert_eq!(trips(&mut || assert!(txn.take().unwrap().commit().unwrap() > Some(old))), 1);

    let (mut txn, at) = (start(), Snapshot { version: old, command: 0 });
    let mut get = || assert!(txn.get(b"k", &at, Version::ZERO, &mut page).unwrap().is_some());
    assert_eq!(trips(&mut get), 2, "the slot and its history");
    assert_eq!(trips(&mut || assert_eq!(start().commit(), Ok(None))), 0);
}
