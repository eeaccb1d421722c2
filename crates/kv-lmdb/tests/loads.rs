//! Bulk loads: deferred batches by the megabyte, into gaps, beside other people's commits.

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kv::{CommitId, Direction, Durability, Error, Page, ScanRequest, Store, Version};
use kv_lmdb::Lmdb;
use server::{Real, Server, batch, get, put};

const VALUE: [u8; 100] = [7; 100];

fn key(space: u8, row: u32) -> [u8; 5] {
    let mut key = [space; 5];
    key[1..].copy_from_slice(&row.to_be_bytes());
    key
}

/// Loads rows in order, as a bulk load does, and says how many bytes of keys and values they are.
fn load(client: &Lmdb, env: &Real, space: u8, rows: std::ops::Range<u32>) -> u64 {
    let size = u64::from(rows.end - rows.start) * 113;
    let mut batch = batch(env, Durability::Deferred);
    for row in rows {
        batch.put_versioned(&key(space, row), Version::ZERO, &[&VALUE]);
        if batch.size() >= client.limits().bulk_batch {
            client.commit(&batch, env).unwrap();
            batch.reset(CommitId::random(env));
        }
    }
    client.commit(&batch, env).unwrap();
    size
}

fn rows(client: &Lmdb, env: &Real, space: u8) -> Vec<Vec<u8>> {
    let (start, end) = (vec![space], vec![space + 1]);
    let (direction, max_rows, max_bytes) = (Direction::Forward, 1000, 1 << 20);
    let mut request = ScanRequest { start, end, direction, max_rows, max_bytes };
    let (mut found, mut page) = (Vec::new(), Page::default());
    loop {
        let ticket = client.start_scan(request).unwrap();
        request = client.finish_scan(ticket, &mut page, env).unwrap().1;
        found.extend((0..page.len()).map(|i| page.key(i).to_vec()));
        if !request.advance(&page) {
            return found;
        }
    }
}

fn file_bytes(client: &Lmdb, env: &Real) -> u64 {
    client.status(env).unwrap().bytes.unwrap()
}

/// Between neighbours, one of which is the last key of all: pages are filled nevertheless, and
/// everybody is where they were.
#[test]
fn loads_into_gaps_fill_pages_and_keep_neighbours() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    for space in [1, 3] {
        (0..50).for_each(|row| drop(put(&client, &env, &key(space, row), b"old")));
    }
    let before = file_bytes(&client, &env);
    let size = load(&client, &env, 2, 0..100_000);
    client.flush(&env).unwrap();
    let grown = file_bytes(&client, &env) - before;
    assert!(grown < size * 14 / 10, "{grown} bytes for {size}");
    let loaded: Vec<Vec<u8>> = (0..100_000).map(|row| key(2, row).to_vec()).collect();
    assert_eq!(rows(&client, &env, 2), loaded);
    for space in [1, 3] {
        assert_eq!(rows(&client, &env, space).len(), 50);
        assert_eq!(get(&client, &env, &key(space, 49)), Some(b"old".to_vec()));
    }
    // Behind what was appended and before what stood aside.
    load(&client, &env, 3, 100..30_000);
    put(&client, &env, &key(2, 500_000), b"between").unwrap();
    put(&client, &env, &key(9, 0), b"last").unwrap();
    load(&client, &env, 4, 0..20_000);
    client.flush(&env).unwrap();
    assert_eq!(get(&client, &env, &key(2, 500_000)), Some(b"between".to_vec()));
    assert_eq!(get(&client, &env, &key(9, 0)), Some(b"last".to_vec()));
    assert_eq!((rows(&client, &env, 3).len(), rows(&client, &env, 4).len()), (29_950, 20_000));
}

/// What a load writes over is written over, also in pieces of the size for which others step aside.
#[test]
fn a_load_over_existing_rows_replaces_them() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, &key(2, 5000), b"old").unwrap();
    put(&client, &env, &key(2, 90_000), b"kept").unwrap();
    load(&client, &env, 2, 0..20_000);
    client.flush(&env).unwrap();
    assert_eq!(get(&client, &env, &key(2, 5000)), Some(VALUE.to_vec()));
    assert_eq!(get(&client, &env, &key(2, 90_000)), Some(b"kept".to_vec()));
    assert_eq!(rows(&client, &env, 2).len(), 20_001);
}

/// A load that never pauses holds nobody up.
#[test]
fn commits_pass_a_load() {
    let server = Server::start();
    let stop = Arc::new(AtomicBool::new(false));
    let (loader, seen) = (server.client(), Arc::clone(&stop));
    let loading = thread::spawn(move || {
        let env = Real::default();
        let mut row = 0;
        while !seen.load(Ordering::Relaxed) {
            load(&loader, &env, 2, row..row + 20_000);
            row += 20_000;
        }
        loader.flush(&env).unwrap();
        row
    });
    let (client, env) = (server.client(), Real::default());
    let mut slowest = Duration::ZERO;
    for i in 0..10u8 {
        let start = Instant::now();
        put(&client, &env, &[1, i], b"small").unwrap();
        slowest = slowest.max(start.elapsed());
        thread::sleep(Duration::from_millis(30));
    }
    stop.store(true, Ordering::Relaxed);
    let loaded = loading.join().unwrap();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(rows(&client, &env, 2).len(), loaded as usize);
}

/// Nobody waits for the failure of a deferred batch, but the load ends with it and not after hours,
/// and nothing that was sent behind it is there.
#[test]
fn a_load_ends_soon_after_it_failed() {
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, &key(1, 0), b"newer").unwrap();
    let mut failing = batch(&env, Durability::Deferred);
    failing.check(&key(1, 0), Version::ZERO);
    client.commit(&failing, &env).unwrap();
    let mut behind = batch(&env, Durability::Deferred);
    let mut refused = Ok(Version::ZERO);
    for row in 0..500 {
        behind.put(&key(2, row), b"behind");
        refused = client.commit(&behind, &env);
        if refused.is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
        behind.reset(CommitId::random(&env));
    }
    assert_eq!(refused, Err(Error::Conflict { key: key(1, 0).to_vec() }));
    assert_eq!(rows(&client, &env, 2).len(), 0);
    // Everything is said and the handle goes on.
    put(&client, &env, &key(3, 0), b"next").unwrap();
}
