//! Looking at keys ahead: what it says is what a look at each key says, and it makes fewer calls.

use std::rc::Rc;

use kv::environment::Simulated;
use kv::memory::{Config, Memory};
use kv::wrap::{Log, Recorder};
use kv::{Layout, Page, Version};
use mvcc::{Base, Change, Newest, Options, Transaction};
use proptest::prelude::*;

/// Behind all keys of the tests.
const END: &[u8] = &[0xff];

struct World {
    memory: Memory,
    env: Rc<Simulated>,
    log: Log,
}

impl World {
    fn new() -> World {
        let memory = Memory::new(Config::default());
        World { memory, env: Rc::new(Simulated::new(1)), log: Log::default() }
    }

    fn begin(&self) -> Transaction {
        let options = Options {
            serializable: false,
            max_buffered: 1 << 20,
            retention: u64::MAX,
            layout: Layout::default(),
        };
        let store = Rc::new(Recorder::new(self.memory.handle(), self.log.clone()));
        Transaction::new(store, Rc::clone(&self.env) as _, options)
    }

    fn commit(&self, keys: impl IntoIterator<Item = u16>) -> Version {
        let mut txn = self.begin();
        for key in keys {
            change(&mut txn, &name(key), Change::Put(&[b"committed"]));
        }
        txn.commit().unwrap().unwrap()
    }

    /// Runs and says how many calls of the store that took.
    fn counting(&self, run: impl FnOnce()) -> u64 {
        let before = self.log.round_trips();
        run();
        self.log.round_trips() - before
    }
}

fn name(key: u16) -> [u8; 2] {
    key.to_be_bytes()
}

/// Writes over whatever there is.
fn change(txn: &mut Transaction, key: &[u8], change: Change<'_>) {
    let base = txn.newest(key, Version::ZERO, &mut Page::default()).unwrap().base();
    txn.write(key, change, 0, base).unwrap();
}

fn ahead(txn: &mut Transaction, key: &[u8], page: &mut Page, holds: bool) -> Newest {
    txn.newest_ahead(key, END, Version::ZERO, page, |_| holds).unwrap()
}

#[test]
fn free_keys_in_order_cost_one_look() {
    let world = World::new();
    world.commit([5, 1000]);
    let mut txn = world.begin();
    let calls = world.counting(|| {
        for key in 10..900 {
            assert_eq!(ahead(&mut txn, &name(key), &mut Page::default(), true), Newest::default());
        }
    });
    assert!(calls <= 2, "{calls} calls");
}

#[test]
fn taken_keys_in_order_cost_fewer_and_fewer() {
    let world = World::new();
    let version = world.commit(0..1000);
    let mut txn = world.begin();
    let calls = world.counting(|| {
        for key in 0..1000 {
            let mut page = Page::default();
            let newest = ahead(&mut txn, &name(key), &mut page, true);
            assert_eq!(newest.base(), Base::Seen(version));
            assert_eq!(&page.value(0)[mvcc::HEADER..], b"committed");
        }
    });
    assert!(calls <= 12, "{calls} calls");
}

/// An update of a key takes entries away in one place and adds them in another.
#[test]
fn two_places_of_a_range_are_gone_through_at_a_time() {
    let world = World::new();
    world.commit(0..1000);
    let mut txn = world.begin();
    let calls = world.counting(|| {
        for key in 0..1000 {
            assert!(ahead(&mut txn, &name(key), &mut Page::default(), true).exists());
            assert!(!ahead(&mut txn, &name(5000 + key), &mut Page::default(), true).exists());
        }
    });
    assert!(calls <= 16, "{calls} calls");
}

#[test]
fn keys_far_apart_are_not_read_with_what_lies_between() {
    let world = World::new();
    world.commit(0..2000);
    let mut txn = world.begin();
    let rows = |world: &World| world.log.take().matches("committed").count();
    rows(&world);
    for key in (0..2000).step_by(20) {
        assert!(ahead(&mut txn, &name(key), &mut Page::default(), true).exists());
    }
    assert!(rows(&world) < 500);
}

#[test]
fn keys_that_are_named_are_read_at_once() {
    let world = World::new();
    let version = world.commit([3]);
    let mut txn = world.begin();
    let calls = world.counting(|| {
        let keys = [9, 3, 7].map(name);
        txn.look_ahead(&keys.each_ref().map(|key| &key[..])).unwrap();
        for (key, committed) in [(7, None), (3, Some(version)), (9, None)] {
            let newest = ahead(&mut txn, &name(key), &mut Page::default(), true);
            assert_eq!(newest.committed.map(|committed| committed.version), committed);
        }
    });
    assert_eq!(calls, 1);
}

#[test]
fn what_may_be_over_is_looked_at_again() {
    let world = World::new();
    let mut txn = world.begin();
    txn.look_ahead(&[&name(1)]).unwrap();
    for key in 10..20 {
        assert!(!ahead(&mut txn, &name(key), &mut Page::default(), true).exists());
    }
    world.commit([1, 30]);
    for key in [1, 30] {
        assert!(!ahead(&mut txn, &name(key), &mut Page::default(), true).exists());
        assert!(ahead(&mut txn, &name(key), &mut Page::default(), false).exists());
    }
}

#[test]
fn own_versions_decide() {
    let world = World::new();
    let mut txn = world.begin();
    for key in 10..20 {
        ahead(&mut txn, &name(key), &mut Page::default(), true);
        txn.write(&name(key), Change::Put(&[b"own"]), 0, Base::Absent).unwrap();
        assert!(ahead(&mut txn, &name(key), &mut Page::default(), true).own.is_some());
    }
}

#[test]
fn a_serializable_transaction_relies_on_what_it_saw() {
    let world = World::new();
    let mut txn = Transaction::new(
        Rc::new(world.memory.handle()),
        Rc::clone(&world.env) as _,
        Options {
            serializable: true,
            max_buffered: 1 << 20,
            retention: u64::MAX,
            layout: Layout::default(),
        },
    );
    for key in 10..20 {
        ahead(&mut txn, &name(key), &mut Page::default(), true);
    }
    world.commit([15]);
    txn.write(&name(1), Change::Put(&[b"own"]), 0, Base::Absent).unwrap();
    assert!(matches!(txn.commit(), Err(kv::Error::Conflict { .. })));
}

proptest! {
    /// Without others, whatever is asked for in whatever order has the answer of a look at it.
    #[test]
    fn it_says_what_a_look_says(
        committed in proptest::collection::vec(0_u16..200, 0..60),
        deleted in proptest::collection::vec(0_u16..200, 0..20),
        asked in proptest::collection::vec((0_u16..200, 1_u16..12, any::<bool>()), 1..40),
    ) {
        let world = World::new();
        world.commit(committed.into_iter().chain([0]));
        let mut txn = world.begin();
        for key in deleted {
            change(&mut txn, &name(key), Change::Delete);
        }
        txn.commit().unwrap();
        let (mut txn, mut other) = (world.begin(), world.begin());
        for (first, count, named) in asked {
            let keys: Vec<_> = (first..first + count).map(name).collect();
            if named {
                txn.look_ahead(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>()).unwrap();
            }
            for key in keys {
                let (mut page, mut plain) = (txn.page(), other.page());
                let newest = ahead(&mut txn, &key, &mut page, true);
                prop_assert_eq!(newest, other.newest(&key, Version::ZERO, &mut plain).unwrap());
                prop_assert_eq!(page.get(0), plain.get(0));
            }
        }
    }
}
