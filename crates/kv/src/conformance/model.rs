//! Random batches and scans, compared with an ordered map that is written down as naively as
//! possible.
//!
//! Keys are few and short, so that they meet often. Stamped values, counters and archives live
//! under different first bytes, because the contract lets a check name only what is stamped and an
//! addition only what is a counter. The map applies a batch after the store did, with the version
//! that the store returned; whether the store had to refuse it, the map knows beforehand.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::Fixture;
use super::client::{Client, Entries, request};
use crate::{Batch, Direction, Error, STAMP, ScanRequest, Version};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const STAMPED: u8 = 0x00;
const COUNTER: u8 = b'c';
const ARCHIVED: u8 = 0xff;

/// One operation. Versions are chosen among those of the commits so far, by counting back.
#[derive(Clone, Debug)]
enum Step {
    Check(Vec<u8>, usize),
    CheckRange(Vec<u8>, Vec<u8>, usize),
    PutStamped(Vec<u8>, Vec<u8>),
    PutVersioned(Vec<u8>, usize, Vec<u8>),
    Delete(Vec<u8>),
    Clear(Vec<u8>, Vec<u8>),
    Add(Vec<u8>, i64),
    Archive(Vec<u8>, Vec<u8>),
}

/// What a client does.
#[derive(Clone, Debug)]
enum Action {
    Commit(Vec<Step>),
    Scan { start: Vec<u8>, end: Vec<u8>, backward: bool, max_rows: usize, max_bytes: usize },
    Get(Vec<Vec<u8>>),
}

fn suffix() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(vec![0x00, 0x01, b'a', 0xff]), 0..3)
}

fn key(kind: u8) -> impl Strategy<Value = Vec<u8>> {
    suffix().prop_map(move |suffix| [&[kind], suffix.as_slice()].concat())
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => key(STAMPED), 1 => key(COUNTER), 1 => key(ARCHIVED)]
}

fn step() -> impl Strategy<Value = Step> {
    let body = || vec(any::<u8>(), 0..20);
    let back = || 0usize..4;
    prop_oneof![
        2 => (key(STAMPED), back()).prop_map(|(key, back)| Step::Check(key, back)),
        1 => (key(STAMPED), key(STAMPED), back())
            .prop_map(|(start, end, back)| Step::CheckRange(start, end, back)),
        6 => (key(STAMPED), body()).prop_map(|(key, body)| Step::PutStamped(key, body)),
        1 => (key(STAMPED), back(), body())
            .prop_map(|(key, back, body)| Step::PutVersioned(key, back, body)),
        2 => any_key().prop_map(Step::Delete),
        1 => (any_key(), any_key()).prop_map(|(start, end)| Step::Clear(start, end)),
        2 => (key(COUNTER), any::<i64>()).prop_map(|(key, delta)| Step::Add(key, delta)),
        2 => (key(STAMPED), key(ARCHIVED)).prop_map(|(key, to)| Step::Archive(key, to)),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let scan = (any_key(), any_key(), any::<bool>(), 1usize..8, 1usize..100);
    prop_oneof![
        3 => vec(step(), 0..6).prop_map(Action::Commit),
        1 => scan.prop_map(|(start, end, backward, max_rows, max_bytes)| {
            Action::Scan { start, end, backward, max_rows, max_bytes }
        }),
        1 => vec(any_key(), 0..4).prop_map(Action::Get),
    ]
}

/// The map, and the versions of the commits so far, oldest first.
#[derive(Default)]
struct Model {
    map: Map,
    versions: Vec<Version>,
}

impl Model {
    fn version(&self, back: usize) -> Version {
        self.versions.iter().rev().nth(back).copied().unwrap_or_default()
    }

    fn range(&self, start: &[u8], end: &[u8]) -> Entries {
        let inside = |key: &[u8]| start <= key && key < end;
        let entries = self.map.iter().filter(|(key, _)| inside(key));
        entries.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn encode(&self, steps: &[Step], batch: &mut Batch) {
        for step in steps {
            match step {
                Step::Check(key, back) => batch.check(key, self.version(*back)),
                Step::CheckRange(start, end, back) => {
                    batch.check_range(start, end, self.version(*back));
                }
                Step::PutStamped(key, body) => batch.put_stamped(key, &[body]),
                Step::PutVersioned(key, back, body) => {
                    batch.put_versioned(key, self.version(*back), &[body]);
                }
                Step::Delete(key) => batch.delete(key),
                Step::Clear(start, end) => batch.clear(start, end),
                Step::Add(key, delta) => batch.add(key, *delta),
                Step::Archive(key, to) => {
                    if let Some(value) = self.map.get(key) {
                        batch.archive(key, to, Some(&value[STAMP..]));
                    }
                }
            }
        }
    }

    /// The keys that a refusal may name: none if the batch must be applied.
    fn refusals(&self, steps: &[Step]) -> Vec<Vec<u8>> {
        let newer = |value: &[u8], back| Version::of_stamped(value) > Some(self.version(back));
        let refusal = |step: &Step| match step {
            Step::Check(key, back) => {
                let refused = self.map.get(key).is_some_and(|value| newer(value, *back));
                refused.then(|| key.clone())
            }
            Step::CheckRange(start, end, back) => {
                let refused = self.range(start, end).iter().any(|(_, value)| newer(value, *back));
                refused.then(|| start.clone())
            }
            _ => None,
        };
        steps.iter().filter_map(refusal).collect()
    }

    fn apply(&mut self, steps: &[Step], version: Version) {
        let before = self.map.clone();
        for step in steps {
            match step {
                Step::Check(..) | Step::CheckRange(..) => {}
                Step::PutStamped(key, body) => self.put(key, version, body),
                Step::PutVersioned(key, back, body) => self.put(key, self.version(*back), body),
                Step::Delete(key) => drop(self.map.remove(key)),
                Step::Clear(start, end) => {
                    self.map.retain(|key, _| key < start || key >= end);
                }
                Step::Add(key, delta) => self.add(key, *delta),
                Step::Archive(key, to) => {
                    if let Some(value) = before.get(key) {
                        self.map.insert(to.clone(), value[STAMP..].to_vec());
                    }
                }
            }
        }
        self.versions.push(version);
    }

    fn put(&mut self, key: &[u8], version: Version, body: &[u8]) {
        self.map.insert(key.to_vec(), super::client::stamped(version, body));
    }

    fn add(&mut self, key: &[u8], delta: i64) {
        let value = self.map.entry(key.to_vec()).or_insert_with(|| vec![0; 8]);
        let held =
            i64::from_le_bytes(value.as_slice().try_into().expect("counters are kept apart"));
        *value = held.wrapping_add(delta).to_le_bytes().to_vec();
    }

    fn perform(&mut self, action: &Action, client: &Client<'_>) -> TestCaseResult {
        match action {
            Action::Commit(steps) => self.commit(steps, client),
            Action::Get(keys) => keys.iter().try_for_each(|key| {
                prop_assert_eq!(client.get(key), self.map.get(key).cloned());
                Ok(())
            }),
            Action::Scan { start, end, backward, max_rows, max_bytes } => {
                let mut expected = self.range(start, end);
                let mut request = ScanRequest {
                    max_rows: *max_rows,
                    max_bytes: *max_bytes,
                    ..request(start, end)
                };
                if *backward {
                    request.direction = Direction::Backward;
                    expected.reverse();
                }
                prop_assert_eq!(client.scan(request), expected);
                Ok(())
            }
        }
    }

    fn commit(&mut self, steps: &[Step], client: &Client<'_>) -> TestCaseResult {
        let refusals = self.refusals(steps);
        match client.try_commit(|batch| self.encode(steps, batch)) {
            Ok(version) => {
                prop_assert!(refusals.is_empty(), "a check should have failed");
                prop_assert!(version > self.version(0));
                self.apply(steps, version);
            }
            Err(Error::Conflict { key }) => {
                prop_assert!(refusals.contains(&key), "no check of this key should have failed");
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(())
    }
}

/// Three clients take turns in one sequence of calls.
pub fn random_batches_and_scans_agree_with_a_map(fixture: &Fixture) {
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let calls = vec((0..clients.len(), action()), 1..40);
    TestRunner::new(config)
        .run(&calls, |calls| {
            clients[0].commit(|batch| batch.clear(b"", &[0xff; 16]));
            let mut model = Model::default();
            for (client, action) in &calls {
                model.perform(action, &clients[*client])?;
            }
            prop_assert_eq!(clients[0].everything(), model.range(b"", &[0xff; 16]));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}\n"));
}
