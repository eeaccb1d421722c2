//! What it costs to put an entry into a page: the hot path of every scan.
//!
//! `cargo bench -p kv` prints nanoseconds per entry of a 20-byte key and a 100-byte value.

use std::hint::black_box;
use std::time::Instant;

use kv::{Layout, Page};

const ROUNDS: usize = 2000;
const ROWS: usize = 1000;

fn measure(name: &str, mut round: impl FnMut()) {
    round();
    #[allow(clippy::disallowed_methods, reason = "a benchmark is about time")]
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| round());
    let nanos = start.elapsed().as_nanos() as f64;
    println!("{name}: {:.1} ns per entry", nanos / (ROUNDS * ROWS) as f64);
}

fn fill(page: &mut Page, key: &[u8], value: &[u8]) {
    page.clear();
    for _ in 0..ROWS {
        page.push(black_box(key), black_box(value));
    }
}

fn main() {
    let (key, value) = ([7; 20], [9; 100]);
    let mut page = Page::new(Layout { headroom: 24, phase: 1 });
    measure("push, reused page", || fill(&mut page, &key, &value));
    measure("push, fresh page", || fill(&mut Page::new(Layout::default()), &key, &value));
    measure("read", || {
        for i in 0..page.len() {
            black_box((page.key(i), page.value(i)));
        }
    });
}
