//! A batch as `commit.lua` reads it: what it reads first and what it writes then, each step as
//! tag u8 · length of key u16 · length of the rest u32 · key · rest. A put's step without its tag is
//! the entry that stands in a page.

use kv::{Batch, Op, Version};

use crate::limits::clipped;

const CHECK: u8 = 1;
const CHECK_RANGE: u8 = 2;
const FETCH: u8 = 3;
const PUT: u8 = 4;
const PUT_STAMPED: u8 = 5;
const DELETE: u8 = 6;
const CLEAR: u8 = 7;
const ADD: u8 = 8;
const STORE: u8 = 9;
const RAISE: u8 = 10;

/// The two halves of a batch.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) reads: Vec<u8>,
    pub(crate) writes: Vec<u8>,
}

impl Steps {
    /// The steps of a batch that obeys the limits.
    pub(crate) fn of(batch: &Batch) -> Steps {
        let mut steps =
            Steps { reads: Vec::new(), writes: Vec::with_capacity(batch.size() + batch.len()) };
        batch.ops().for_each(|op| steps.add(op));
        steps
    }

    /// Bytes of both.
    pub(crate) fn size(&self) -> usize {
        self.reads.len() + self.writes.len()
    }

    fn add(&mut self, op: Op<'_>) {
        let (reads, writes) = (&mut self.reads, &mut self.writes);
        match op {
            Op::Check { key, newest } => push(reads, CHECK, key, &[&bytes(newest)]),
            Op::CheckRange { start, end, newest } => {
                push(reads, CHECK_RANGE, start, &[&bytes(newest), clipped(end)]);
            }
            Op::Put { key, value } => push(writes, PUT, key, &[value]),
            Op::PutStamped { key, value } => push(writes, PUT_STAMPED, key, &[value]),
            Op::Delete { key } => push(writes, DELETE, key, &[]),
            Op::Clear { start, end } => push(writes, CLEAR, start, &[clipped(end)]),
            Op::Add { key, delta } => push(writes, ADD, key, &[&delta.to_le_bytes()]),
            // The engine reads the old value itself, whether the caller has it or not.
            Op::Archive { key, to, .. } => {
                push(reads, FETCH, key, &[]);
                push(writes, STORE, to, &[]);
            }
            Op::RaiseFloor { floor } => push(writes, RAISE, &bytes(floor), &[]),
        }
    }
}

fn bytes(version: Version) -> [u8; 8] {
    version.0.to_be_bytes()
}

fn push(steps: &mut Vec<u8>, tag: u8, key: &[u8], rest: &[&[u8]]) {
    let key = clipped(key);
    let length: usize = rest.iter().map(|part| part.len()).sum();
    steps.push(tag);
    steps.extend_from_slice(&(key.len() as u16).to_le_bytes());
    steps.extend_from_slice(&(length as u32).to_le_bytes());
    steps.extend_from_slice(key);
    rest.iter().for_each(|part| steps.extend_from_slice(part));
}

/// The keys that the reading steps are known by in a conflict, in their order.
pub(crate) fn reads(batch: &Batch) -> impl Iterator<Item = &[u8]> {
    batch.ops().filter_map(|op| match op {
        Op::Check { key, .. } | Op::Archive { key, .. } => Some(key),
        Op::CheckRange { start, .. } => Some(start),
        _ => None,
    })
}
