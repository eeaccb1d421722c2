//! Long scans, whose next pages are foretold and confirmed, while others change what was foretold.

mod server;

use kv::{Batch, CommitId, Direction, Durability, Page, ScanRequest, Store};
use kv_redis::{Redis, RedisOptions};
use server::{Real, Server, batch, installed};

const ROWS: u32 = 20_000;
const VALUE: [u8; 100] = [7; 100];

fn key(row: u32) -> Vec<u8> {
    [b"row ".as_slice(), &row.to_be_bytes()].concat()
}

fn whole() -> ScanRequest {
    ScanRequest {
        start: b"row ".to_vec(),
        end: b"row!".to_vec(),
        direction: Direction::Forward,
        max_rows: 1000,
        max_bytes: 32 << 10,
    }
}

fn load(client: &Redis, env: &Real) {
    let mut rows = batch(env, Durability::Deferred);
    for row in 0..ROWS {
        rows.put(&key(row * 2), &VALUE);
        if rows.size() >= client.limits().bulk_batch {
            client.commit(&rows, env).unwrap();
            rows.reset(CommitId::random(env));
        }
    }
    client.commit(&rows, env).unwrap();
    client.flush(env).unwrap();
}

/// Scans everything, asking for each page before the one before it is looked at; `between` sees the
/// last key of every page.
fn scan(client: &Redis, env: &Real, mut between: impl FnMut(&[u8])) -> Vec<Vec<u8>> {
    let (mut request, mut page, mut keys) = (whole(), Page::default(), Vec::<Vec<u8>>::new());
    loop {
        let ticket = client.start_scan(request).unwrap();
        if let Some(last) = keys.last() {
            between(last);
        }
        request = client.finish_scan(ticket, &mut page, env).unwrap().1;
        keys.extend((0..page.len()).map(|i| page.key(i).to_vec()));
        if !request.advance(&page) {
            return keys;
        }
    }
}

fn calls(server: &Server, command: &str) -> u64 {
    let said = server.tell(&["INFO", "commandstats"]);
    let line =
        said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

/// Most pages come the quick way, each row once and in order.
#[test]
fn foretold_pages_are_the_right_ones() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    load(&client, &env);
    for _ in 0..2 {
        let executed = calls(&server, "exec");
        let (before, mut pages) = (client.round_trips(), 1);
        let keys = scan(&client, &env, |_| pages += 1);
        assert_eq!(keys, (0..ROWS).map(|row| key(row * 2)).collect::<Vec<_>>());
        let again = client.round_trips() - before - pages;
        assert!(again * 5 < pages, "{again} of {pages} had to be asked for again");
        let executed = calls(&server, "exec") - executed;
        assert!(executed * 2 > pages, "most pages are read outside of scripts");
        server.tell(&["SCRIPT", "FLUSH"]);
    }
}

fn commit(client: &Redis, env: &Real, fill: impl FnOnce(&mut Batch)) {
    let mut batch = batch(env, Durability::Durable);
    fill(&mut batch);
    client.commit(&batch, env).unwrap();
}

fn number(key: &[u8]) -> u32 {
    u32::from_be_bytes(key[4..].try_into().unwrap())
}

/// Rows that come or go behind the page that is being asked for are seen by the one after it, also
/// where they divide or remove pages and segments that were foretold.
#[test]
fn what_changes_ahead_of_a_scan_is_seen() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let options = RedisOptions { page_bytes: 1000, segment_pages: 20, ..RedisOptions::default() };
    let (client, other) = (server.client_with(options), server.client_with(options));
    let env = Real::default();
    load(&client, &env);
    let mut expected: Vec<u32> = (0..ROWS).map(|row| row * 2).collect();
    let mut turn = 0;
    let keys = scan(&client, &env, |last| {
        // The page in flight was read before this change or after it. It has some 300 rows, and
        // cannot reach so far even where most of what lies before has been cleared. Behind the last
        // row that was loaded it could, because nothing but our own few rows would lie before.
        let ahead = number(last) + 6000;
        if ahead + 400 > ROWS * 2 {
            return;
        }
        turn += 1;
        commit(&other, &env, |batch| match turn % 3 {
            0 => batch.put(&key(ahead + 1), &VALUE),
            1 => (0..30).for_each(|i| batch.put(&key(ahead + 1 + 2 * i), &[8; 500])),
            _ => batch.clear(&key(ahead), &key(ahead + 400)),
        });
        match turn % 3 {
            0 => expected.push(ahead + 1),
            1 => expected.extend((0..30).map(|i| ahead + 1 + 2 * i)),
            _ => expected.retain(|row| !(ahead..ahead + 400).contains(row)),
        }
    });
    expected.sort_unstable();
    expected.dedup();
    assert!(turn > 30);
    let seen: Vec<u32> = keys.iter().map(|key| number(key)).collect();
    let differs = seen.iter().zip(&expected).position(|(seen, expected)| seen != expected);
    let around = |rows: &[u32], at: usize| -> Vec<u32> {
        rows.iter().skip(at.saturating_sub(5)).take(15).copied().collect()
    };
    let differs = differs.map(|at| (around(&seen, at), around(&expected, at)));
    assert_eq!((seen.len(), differs), (expected.len(), None));
}

/// A page that is removed behind our back is damage, in whichever way it would have been read.
#[test]
fn a_foretold_page_that_is_gone_is_damage() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    load(&client, &env);
    let (mut request, mut page) = (whole(), Page::default());
    let ticket = client.start_scan(request).unwrap();
    request = client.finish_scan(ticket, &mut page, &env).unwrap().1;
    assert!(request.advance(&page));
    server.tell(&["DEL", "fakegres:{test}:p:"]);
    let ticket = client.start_scan(request).unwrap();
    let answer = client.finish_scan(ticket, &mut page, &env);
    assert!(matches!(answer, Err(kv::Error::Corrupt(_))), "{answer:?}");
}
