//! A raw client of FoundationDB, for `bench/fdb.py` to measure fakegres against. Prints one figure.
//!
//! ```text
//! raw LIBRARY CLUSTER_FILE scan PREFIX            rows a second of a range read
//! raw LIBRARY CLUSTER_FILE load PREFIX ROWS SIZE  rows a second of writes: 1 MB each, 8 under way
//! raw LIBRARY CLUSTER_FILE get PREFIX COUNT       transactions a second, one after the other: one key is read
//! raw LIBRARY CLUSTER_FILE update PREFIX COUNT    the same: one key is read and written
//! raw LIBRARY CLUSTER_FILE clear PREFIX           what stands under a prefix goes
//! ```
//!
//! A prefix is in hexadecimal digits. `get` and `update` take keys that are there, in no order.

// The client library's network thread must be stopped before the program ends.
#![allow(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use foundationdb::api::FdbApiBuilder;
use foundationdb::options::StreamingMode;
use foundationdb::{Database, KeySelector, RangeOption};
use futures::executor::block_on;
use futures::stream::{self, StreamExt, TryStreamExt};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of keys and values that a transaction writes, and how many are under way.
const BATCH: usize = 1 << 20;
const AHEAD: usize = 8;

/// How long a transaction reads; FoundationDB ends it after five seconds.
const LIFE: Duration = Duration::from_secs(3);

/// Most keys of which `get` and `update` take some.
const KEYS: usize = 100_000;

/// A number that has no factor in common with any number of keys up to [`KEYS`]: steps of it pass all.
const STEP: usize = 7_368_787;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, cluster, command, prefix, rest @ ..] = &arguments[..] else {
        return Err("usage: raw LIBRARY CLUSTER_FILE COMMAND PREFIX [NUMBERS]".into());
    };
    let numbers = rest.iter().map(|n| n.parse()).collect::<std::result::Result<Vec<usize>, _>>()?;
    fdb_loader::load(Some(Path::new(library)))?;
    // SAFETY: it is dropped, and with it the network thread stopped, before the program ends.
    let network = unsafe { FdbApiBuilder::default().build()?.boot()? };
    let database = Database::from_path(cluster)?;
    let prefix = bytes(prefix)?;
    let figure = block_on(run(&database, command, &prefix, &numbers));
    drop(database);
    drop(network);
    println!("{:.1}", figure?);
    Ok(())
}

async fn run(db: &Database, command: &str, prefix: &[u8], numbers: &[usize]) -> Result<f64> {
    match (command, numbers) {
        ("scan", []) => timed(scan(db, prefix, usize::MAX)).await,
        ("load", [rows, size]) => timed(load(db, prefix, *rows, *size)).await,
        ("get", [count]) => one_by_one(db, prefix, *count, false).await,
        ("update", [count]) => one_by_one(db, prefix, *count, true).await,
        ("clear", []) => timed(clear(db, prefix)).await,
        _ => Err("no such command".into()),
    }
}

/// How many of what the work counted it did a second.
async fn timed<T: Counted>(work: impl Future<Output = Result<T>>) -> Result<f64> {
    let begin = Instant::now();
    let count = work.await?.count();
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

trait Counted {
    fn count(&self) -> usize;
}

impl Counted for usize {
    fn count(&self) -> usize {
        *self
    }
}

fn bytes(digits: &str) -> Result<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    let byte = |i| digits.get(i..i + 2).ok_or("an odd number of digits");
    pairs.map(|i| Ok(u8::from_str_radix(byte(i)?, 16)?)).collect()
}

/// The keys behind a prefix in order, up to a number; counts all rows that it passes.
async fn scan(db: &Database, prefix: &[u8], keys: usize) -> Result<Rows> {
    let end = after(prefix);
    let mut option = RangeOption {
        begin: KeySelector::first_greater_or_equal(prefix),
        end: KeySelector::first_greater_or_equal(&end[..]),
        mode: StreamingMode::WantAll,
        ..RangeOption::default()
    };
    let (mut transaction, mut began) = (db.create_trx()?, Instant::now());
    let mut rows = Rows::default();
    loop {
        if began.elapsed() > LIFE {
            (transaction, began) = (db.create_trx()?, Instant::now());
        }
        let page = transaction.get_range(&option, 1, true).await?;
        rows.passed += page.len();
        let wanted = keys.min(KEYS).saturating_sub(rows.keys.len());
        if keys < usize::MAX {
            rows.keys.extend(page.iter().take(wanted).map(|row| row.key().to_vec()));
        }
        match option.next_range(&page) {
            Some(next) if rows.keys.len() < keys => option = next,
            _ => return Ok(rows),
        }
    }
}

#[derive(Default)]
struct Rows {
    passed: usize,
    keys: Vec<Vec<u8>>,
}

impl Counted for Rows {
    fn count(&self) -> usize {
        self.passed
    }
}

async fn load(db: &Database, prefix: &[u8], rows: usize, size: usize) -> Result<usize> {
    let each = (BATCH / (prefix.len() + 8 + size)).max(1);
    let value = vec![b'v'; size];
    let batches = stream::iter((0..rows).step_by(each)).map(|first| {
        let value = &value;
        async move {
            let transaction = db.create_trx()?;
            for row in first..(first + each).min(rows) {
                transaction.set(&[prefix, &row.to_be_bytes()].concat(), value);
            }
            transaction.commit().await.map_err(|error| *error)?;
            Ok::<(), foundationdb::FdbError>(())
        }
    });
    batches.buffer_unordered(AHEAD).try_collect::<()>().await?;
    Ok(rows)
}

async fn one_by_one(db: &Database, prefix: &[u8], count: usize, writes: bool) -> Result<f64> {
    let keys = scan(db, prefix, KEYS).await?.keys;
    if keys.is_empty() {
        return Err("there is no key".into());
    }
    timed(async {
        for i in 0..count {
            let key = &keys[i * STEP % keys.len()];
            let transaction = db.create_trx()?;
            let value = transaction.get(key, !writes).await?.ok_or("a key is gone")?;
            if writes {
                transaction.set(key, &value);
                transaction.commit().await.map_err(|error| *error)?;
            }
        }
        Ok(count)
    })
    .await
}

async fn clear(db: &Database, prefix: &[u8]) -> Result<usize> {
    let transaction = db.create_trx()?;
    transaction.clear_range(prefix, &after(prefix));
    transaction.commit().await.map_err(|error| *error)?;
    Ok(0)
}

/// Behind everything that begins so; no prefix of ours ends with the last byte.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.wrapping_add(1);
    }
    end
}
