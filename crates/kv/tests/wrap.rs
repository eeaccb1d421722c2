//! The wrappers obey the contract, and do what they are for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use kv::conformance::Fixture;
use kv::environment::Simulated;
use kv::memory::{Config, Memory};
use kv::wrap::{Fault, Faults, Log, Mirror, Plan, Rates, Recorder};
use kv::{
    Batch, CommitId, Direction, Durability, Environment, Error, Outcome, Page, ScanRequest, Store,
    Version,
};

fn fixture(open: impl Fn() -> Box<dyn Store> + 'static) -> Fixture {
    Fixture::new(Simulated::new(2), open)
}

fn distant() -> Config {
    Config { defer: true, prefetch: true, ..Config::default() }
}

mod recorder {
    use super::*;

    fn recorded() -> Fixture {
        let (memory, log) = (Memory::default(), Log::default());
        fixture(move || Box::new(Recorder::new(memory.handle(), log.clone())))
    }

    kv::conformance!(recorded());
}

mod mirror {
    use super::*;

    fn mirrored() -> Fixture {
        let (engine, reference) = (Memory::new(distant()), Memory::default());
        let first = Mirror::new(engine.handle(), reference.handle());
        fixture(move || Box::new(first.with(engine.handle(), reference.handle())))
    }

    kv::conformance!(mirrored());
}

mod no_faults {
    use super::*;

    fn faultless() -> Fixture {
        let (memory, plan) = (Memory::new(distant()), Plan::new(1, None));
        fixture(move || Box::new(Faults::new(memory.handle(), plan.clone())))
    }

    kv::conformance!(faultless());
}

/// Short pages are no faults: the contract allows them, and a mirror around them sees none.
mod short_pages {
    use super::*;

    fn short() -> Fixture {
        let (memory, reference) = (Memory::default(), Memory::default());
        let plan = Plan::new(7, None);
        plan.set_rates(Rates { short_page: 700, ..Rates::default() });
        let open = move || Faults::new(memory.handle(), plan.clone());
        let first = Mirror::new(open(), reference.handle());
        fixture(move || Box::new(first.with(open(), reference.handle())))
    }

    kv::conformance!(short());
}

fn range(start: &[u8], end: &[u8]) -> ScanRequest {
    ScanRequest {
        start: start.to_vec(),
        end: end.to_vec(),
        direction: Direction::Forward,
        max_rows: 10,
        max_bytes: 1000,
    }
}

fn put(env: &Simulated, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new(env.commit_id(), Durability::Durable);
    batch.put(key, value);
    batch
}

#[test]
fn a_recorder_writes_down_every_call() {
    let (env, log) = (Simulated::new(3), Log::default());
    let store = Recorder::new(Memory::default(), log.clone());
    let mut batch = put(&env, b"a\0", &[b'v'; 50]);
    batch.put_stamped(b"b", &[b"body"]);
    batch.add(b"c", 3);
    let version = store.commit(&batch, &env).expect("nothing stands against it");
    assert_eq!(store.outcome(batch.id, &env), Ok(Outcome::Committed(version)));
    batch.reset(env.commit_id());
    batch.durability = Durability::Relaxed;
    batch.check(b"b", Version::ZERO);
    batch.check_range(b"a", b"z", version);
    batch.delete(b"a\0");
    batch.clear(b"d", b"e");
    batch.archive(b"b", b"h", Some(b"body"));
    batch.archive(b"b", b"h", None);
    batch.raise_floor(version);
    store.commit(&batch, &env).expect_err("the check fails");
    let mut page = Page::default();
    store.get_many(&[b"c", b"x"], &mut page, &env).expect("a read succeeds");
    let ticket = store.start_scan(range(b"a", b"c")).expect("a scan starts");
    store.finish_scan(ticket, &mut page, &env).expect("a scan succeeds");
    store.cancel_scan(store.start_scan(range(b"a", b"c")).expect("a scan starts"));
    assert_eq!(log.take(), include_str!("recorder.golden"));
    assert_eq!(log.take(), "");
    assert_eq!(log.round_trips(), 5);
}

#[test]
fn a_mirror_sees_what_differs() {
    let env = Simulated::new(4);
    let (engine, reference) = (Memory::default(), Memory::default());
    let mirror = Mirror::new(engine.handle(), reference.handle());
    mirror.commit(&put(&env, b"a", b"1"), &env).expect("nothing stands against it");
    mirror.commit(&put(&env, b"b", b"1"), &env).expect("nothing stands against it");
    let mut page = Page::default();
    mirror.get_many(&[b"a", b"b"], &mut page, &env).expect("they are alike");
    // Behind the mirror's back, in one of them.
    engine.commit(&put(&env, b"b", b"2"), &env).expect("nothing stands against it");
    mirror.get_many(&[b"a"], &mut page, &env).expect("what was read is alike");
    let mut panics = |call: &mut dyn FnMut(&mut Page)| {
        assert!(catch_unwind(AssertUnwindSafe(|| call(&mut page))).is_err());
    };
    panics(&mut |page| drop(mirror.get_many(&[b"b"], page, &env)));
    panics(&mut |page| {
        let ticket = mirror.start_scan(range(b"a", b"c")).expect("a scan starts");
        drop(mirror.finish_scan(ticket, page, &env));
    });
    engine.commit(&put(&env, b"c", b""), &env).expect("nothing stands against it");
    panics(&mut |page| {
        let ticket = mirror.start_scan(range(b"c", b"d")).expect("a scan starts");
        drop(mirror.finish_scan(ticket, page, &env));
    });
    let mut checked = put(&env, b"d", b"");
    reference.commit(&put(&env, b"s", &u64::MAX.to_be_bytes()), &env).expect("nothing is there");
    checked.check(b"s", Version::ZERO);
    panics(&mut |_| drop(mirror.commit(&checked, &env)));
}

#[test]
fn scripted_faults_happen_in_order() {
    let clock = Rc::new(Simulated::new(5));
    let (env, plan) = (&*clock, Plan::new(5, Some(Rc::clone(&clock))));
    let memory = Memory::default();
    let store = Faults::new(memory.handle(), plan.clone());
    plan.script([Some(Fault::Unavailable), None, Some(Fault::Interrupted)]);
    let batch = put(env, b"a", b"1");
    assert!(matches!(store.commit(&batch, env), Err(Error::Unavailable(_))));
    assert!(memory.dump().is_empty());
    store.commit(&batch, env).expect("this call is spared");
    assert_eq!(store.read_version(env), Err(Error::Interrupted));
    plan.script([Some(Fault::Delay(5_000_000)), Some(Fault::Delay(5_000_000))]);
    let before = env.now();
    store.flush(env).expect("it only takes long");
    assert_eq!(env.now(), before + 5_000_000);
    env.interrupt(true);
    assert_eq!(store.flush(env), Err(Error::Interrupted));
    assert_eq!(env.now(), before + 5_100_000, "a wish to stop is heard within 100 ms");
    assert_eq!(plan.scripted(), 0);
}

#[test]
fn a_short_page_promises_the_rest() {
    let (env, plan) = (Simulated::new(5), Plan::new(5, None));
    let store = Faults::new(Memory::default(), plan.clone());
    for key in [b"a", b"b", b"c"] {
        store.commit(&put(&env, key, b""), &env).expect("nothing stands against it");
    }
    plan.script([None, Some(Fault::ShortPage(2)), None, Some(Fault::ShortPage(2))]);
    let mut page = Page::default();
    let ticket = store.start_scan(range(b"a", b"z")).expect("a scan starts");
    let (_, mut rest) = store.finish_scan(ticket, &mut page, &env).expect("a scan succeeds");
    assert_eq!((page.len(), page.more()), (2, true));
    assert!(rest.advance(&page));
    let ticket = store.start_scan(rest).expect("a scan starts");
    store.finish_scan(ticket, &mut page, &env).expect("a scan succeeds");
    assert_eq!((page.len(), page.more(), page.key(0)), (1, false, b"c".as_slice()));
}

/// Loses a commit as `fault` says, then makes some call, then asks for the outcome.
fn lose(fault: Fault, ask_at_once: bool) -> (Outcome, usize) {
    let (env, plan, memory) = (Simulated::new(6), Plan::new(6, None), Memory::default());
    let store = Faults::new(memory.handle(), plan.clone());
    plan.script([Some(fault)]);
    let batch = put(&env, b"a", b"1");
    let answer = store.commit(&batch, &env);
    assert!(matches!(answer, Err(Error::OutcomeUnknown { id, .. }) if id == batch.id));
    if !ask_at_once {
        store.read_version(&env).expect("this call is spared");
    }
    let outcome = store.outcome(batch.id, &env).expect("this call is spared");
    assert_eq!(store.outcome(batch.id, &env), Ok(outcome), "the answer is final");
    (outcome, memory.dump().len())
}

#[test]
fn lost_commits_are_settled_by_asking() {
    let applied = |answer| matches!(answer, (Outcome::Committed(_), 1));
    assert!(applied(lose(Fault::LostReply, true)));
    assert_eq!(lose(Fault::LostRequest, true), (Outcome::NotCommitted, 0));
    assert_eq!(lose(Fault::LateRequest, true), (Outcome::NotCommitted, 0));
    assert!(applied(lose(Fault::LateRequest, false)));
}

/// A mirror around faults settles what they leave open, so that both engines still agree after
/// many random calls, and every one that was acknowledged is there.
#[test]
fn random_faults_leave_both_engines_alike() {
    let (env, plan) = (Simulated::new(8), Plan::new(8, None));
    let (engine, reference) = (Memory::new(distant()), Memory::default());
    let store = Mirror::new(Faults::new(engine.handle(), plan.clone()), reference.handle());
    let lost = Rates { unavailable: 100, interrupted: 100, lost: 300, short_page: 300 };
    plan.set_rates(lost);
    let (mut acknowledged, mut open) = (0, Vec::new());
    let mut page = Page::default();
    for round in 0..2000u64 {
        let mut batch = Batch::new(CommitId::random(&env), Durability::Durable);
        batch.put_stamped(&[b'k', env.random() as u8 % 50], &[&round.to_le_bytes()]);
        batch.add(b"count", 1);
        if round % 7 == 0 {
            batch.durability = Durability::Deferred;
        }
        match store.commit(&batch, &env) {
            Ok(_) => acknowledged += 1,
            Err(Error::OutcomeUnknown { .. } | Error::Unavailable(_) | Error::Interrupted) => {
                open.push(batch.id);
            }
            Err(error) => panic!("{error:?} was not planned"),
        }
        if let Ok(ticket) = store.start_scan(range(b"a", b"z")) {
            drop(store.finish_scan(ticket, &mut page, &env));
        }
    }
    plan.set_rates(Rates::default());
    store.get_many(&[b"count"], &mut page, &env).expect("faults are over");
    let counted = u64::from_le_bytes(page.value(0).try_into().expect("a counter"));
    let committed = |id: &&CommitId| {
        matches!(store.outcome(**id, &env).expect("faults are over"), Outcome::Committed(_))
    };
    let settled = open.iter().filter(committed).count() as u64;
    assert!(acknowledged > 500 && settled > 50);
    assert_eq!(counted, acknowledged + settled, "no commit is lost, none happens twice");
    assert_eq!(engine.dump(), reference.dump());
}

#[test]
fn the_same_seed_is_the_same_plan() {
    let run = |seed| {
        let (env, plan) = (Simulated::new(9), Plan::new(seed, None));
        plan.set_rates(Rates { unavailable: 200, lost: 200, ..Rates::default() });
        let store = Faults::new(Memory::default(), plan);
        (0..100).map(|_| store.commit(&put(&env, b"a", b""), &env)).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
