//! How fast rows are loaded and read: `cargo run --release -p kv-lmdb --example scan [directory]`.
//!
//! Loads a million rows as a bulk load does, through a writer in another thread, and scans them in
//! pages as a table scan does. The directory should be on the disk that is meant.

#[path = "../tests/server/mod.rs"]
mod server;

use std::time::{Duration, Instant};

use kv::{Direction, Durability, Environment, Layout, Page, ScanRequest, Store, Version};
use server::{Real, Server, batch, options};

const ROWS: u64 = 1_000_000;
const VALUE: [u8; 112] = [7; 112];

fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "/var/tmp".into());
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let server = Server::start_in(dir, options());
    let env = Real::default();
    let client = server.client();
    // A table's rows are rarely the last keys of a store.
    server::put(&client, &env, b"something behind the rows", b"").expect("the commit is done");
    let (wall, cpu) = timed(|| load(&client, &env));
    println!("load   {ROWS} rows  {:7.1} ms, {:.1} ms of CPU of both sides", ms(wall), cpu);
    let status = client.status(&env).expect("the writer answers");
    println!("file   {:?} bytes for {} of rows", status.bytes, ROWS * 137);
    for (name, direction) in [("scan", Direction::Forward), ("back", Direction::Backward)] {
        for round in 0..3 {
            let (wall, cpu) = timed(|| assert_eq!(scan(&client, &env, direction), ROWS));
            let rate = ROWS as f64 / cpu / 1000.0;
            println!(
                "{name} {round} {ROWS} rows  {:7.1} ms, {rate:.1} M rows per CPU second",
                ms(wall)
            );
        }
    }
    gets(&client, &env);
}

fn key(row: u64) -> [u8; 17] {
    let mut key = *b"rows of t........";
    key[9..].copy_from_slice(&row.to_be_bytes());
    key
}

fn load(client: &impl Store, env: &dyn Environment) {
    let mut rows = batch(env, Durability::Deferred);
    for row in 0..ROWS {
        rows.put_versioned(&key(row), Version::ZERO, &[&VALUE]);
        if rows.size() >= client.limits().bulk_batch {
            client.commit(&rows, env).expect("the batch is taken");
            rows.reset(kv::CommitId::random(env));
        }
    }
    rows.durability = Durability::Durable;
    client.commit(&rows, env).expect("the load is committed");
}

fn scan(client: &impl Store, env: &dyn Environment, direction: Direction) -> u64 {
    let mut page = Page::new(Layout { headroom: 32, phase: 0 });
    let (start, end) = (b"rows of t".to_vec(), b"rows of u".to_vec());
    let mut request = ScanRequest { start, end, direction, max_rows: 4096, max_bytes: 256 << 10 };
    let mut rows = 0;
    loop {
        let ticket = client.start_scan(request).expect("a scan starts");
        request = client.finish_scan(ticket, &mut page, env).expect("a scan succeeds").1;
        rows += page.len() as u64;
        if !request.advance(&page) {
            return rows;
        }
    }
}

fn gets(client: &impl Store, env: &dyn Environment) {
    let keys: Vec<[u8; 17]> = (0..100).map(|i| key(i * 7919 % ROWS)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let mut page = Page::default();
    for size in [1, 100] {
        let (wall, _) = timed(|| {
            for _ in 0..20_000 / size {
                client.get_many(&keys[..size], &mut page, env).expect("a read succeeds");
            }
        });
        println!("get_many of {size:3}  {:5.2} us per key", ms(wall) / 20.0);
    }
}

/// Wall time, and milliseconds of CPU of the whole process.
fn timed(work: impl FnOnce()) -> (Duration, f64) {
    let (cpu, start) = (cpu(), Instant::now());
    work();
    (start.elapsed(), self::cpu() - cpu)
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks * 10.0
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
