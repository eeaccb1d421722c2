//! A batch as `commit.lua` reads it. One that only puts, and more than a page, comes as pages of entries
//! in order, which can be stored as they are if nothing is where they belong. Any other comes as steps: what it reads first and what it writes then, each step as
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

/// The two halves of a batch, or its pages.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) reads: Vec<u8>,
    pub(crate) writes: Vec<u8>,
    pub(crate) pages: Vec<Vec<u8>>,
}

impl Steps {
    /// The steps of a batch that obeys the limits; its pages, where it has some, of so many bytes.
    pub(crate) fn of(batch: &Batch, page_bytes: usize) -> Steps {
        if batch.size() > page_bytes
            && let Some(puts) = puts_in_order(batch)
        {
            return Steps { pages: pages_of(&puts, page_bytes), ..Steps::default() };
        }
        let mut steps =
            Steps { writes: Vec::with_capacity(batch.size() + batch.len()), ..Steps::default() };
        batch.ops().for_each(|op| steps.add(op));
        steps
    }

    /// Bytes of all.
    pub(crate) fn size(&self) -> usize {
        let pages: usize = self.pages.iter().map(Vec::len).sum();
        self.reads.len() + self.writes.len() + pages
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

type Put<'a> = (&'a [u8], &'a [u8]);

/// What a batch puts, in the order of keys; none if it does anything else, or puts a key twice.
fn puts_in_order(batch: &Batch) -> Option<Vec<Put<'_>>> {
    let mut puts = Vec::with_capacity(batch.len());
    for op in batch.ops() {
        let Op::Put { key, value } = op else { return None };
        puts.push((key, value));
    }
    if !puts.is_sorted_by(|a, b| a.0 < b.0) {
        puts.sort_by_key(|(key, _)| *key);
    }
    puts.is_sorted_by(|a, b| a.0 < b.0).then_some(puts)
}

/// Keys of one table begin alike for so many bytes. Between those that do not, there may be anything.
const ALIKE: usize = 10;

/// Pages of about the same size, so that none is nearly empty, each of keys that begin alike.
fn pages_of(puts: &[Put<'_>], page_bytes: usize) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    for run in puts.chunk_by(|a, b| a.0.get(..ALIKE) == b.0.get(..ALIKE)) {
        let mut left: usize = run.iter().map(entry_length).sum();
        let mut rest = run;
        while !rest.is_empty() {
            let fill = left.div_ceil(left.div_ceil(page_bytes));
            let (mut count, mut size) = (0, 0);
            for length in rest.iter().map(entry_length) {
                if count > 0 && (size >= fill || size + length > page_bytes) {
                    break;
                }
                (count, size) = (count + 1, size + length);
            }
            let (page, behind) = rest.split_at(count);
            pages.push(page_of(page, size));
            (rest, left) = (behind, left - size);
        }
    }
    pages
}

/// Bytes of an entry in front of its key: the lengths of key and value.
const LENGTHS: usize = 6;
/// Bytes of a page in front of its entries.
const HEADER: usize = 8;

fn entry_length((key, value): &Put<'_>) -> usize {
    LENGTHS + key.len() + value.len()
}

/// A page as the server keeps it, of entries that have so many bytes. Scripts count bytes from one.
fn page_of(entries: &[Put<'_>], size: usize) -> Vec<u8> {
    let last = HEADER + 1 + size - entries.last().map_or(0, entry_length);
    let mut page = Vec::with_capacity(HEADER + size);
    page.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    page.extend_from_slice(&(last as u32).to_le_bytes());
    for (key, value) in entries {
        page.extend_from_slice(&(key.len() as u16).to_le_bytes());
        page.extend_from_slice(&(value.len() as u32).to_le_bytes());
        page.extend_from_slice(key);
        page.extend_from_slice(value);
    }
    page
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
