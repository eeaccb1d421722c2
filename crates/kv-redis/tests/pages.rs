//! Batches that only put travel as whole pages. Wherever they fall between pages that are there, what
//! is read afterwards is what a map would hold.

mod server;

use std::collections::BTreeMap;

use kv::{Direction, Durability, Environment, Page, ScanRequest, Store};
use kv_redis::{Redis, RedisOptions};
use server::{Real, Server, batch, installed};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys of three tables, which begin alike for ten bytes each.
fn key(number: u64) -> Vec<u8> {
    format!("table {:04} {:05}", number % 3, number / 3).into_bytes()
}

fn scan(client: &Redis, env: &Real, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (start, end) = (b"table".to_vec(), b"u".to_vec());
    let mut request = ScanRequest { start, end, direction, max_rows: 300, max_bytes: 8 << 10 };
    let (mut page, mut all) = (Page::default(), Vec::new());
    loop {
        let ticket = client.start_scan(request).unwrap();
        request = client.finish_scan(ticket, &mut page, env).unwrap().1;
        all.extend((0..page.len()).map(|i| (page.key(i).to_vec(), page.value(i).to_vec())));
        if !request.advance(&page) {
            return all;
        }
    }
}

fn compare(client: &Redis, env: &Real, map: &Map) {
    let mut expected: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(scan(client, env, Direction::Forward), expected);
    expected.reverse();
    assert_eq!(scan(client, env, Direction::Backward), expected);
    let keys: Vec<&[u8]> = map.keys().map(Vec::as_slice).collect();
    let mut page = Page::default();
    client.get_many(&keys, &mut page, env).unwrap();
    assert!((0..keys.len()).all(|i| page.get(i) == map.get(keys[i]).map(Vec::as_slice)));
}

/// Runs of neighbours from anywhere, over rows that are there and between them, and single rows and
/// cleared ranges in between.
#[test]
fn pages_fall_where_their_entries_belong() {
    if !installed() {
        return;
    }
    for (page_bytes, segment_pages) in [(200, 3), (100, 1), (1000, 8)] {
        let server = Server::start();
        let options = RedisOptions { page_bytes, segment_pages, ..RedisOptions::default() };
        let (client, env) = (server.client_with(options), Real::default());
        let mut map = Map::new();
        for round in 0..120u32 {
            let mut changes = batch(&env, Durability::Durable);
            let (first, step) = (env.random() % 3000, 1 + env.random() % 4);
            match round % 4 {
                3 => {
                    let (start, end) = (key(first), key(first + 3 * (env.random() % 100)));
                    changes.clear(&start, &end);
                    map.retain(|key, _| *key < start || *key >= end);
                }
                _ => {
                    for i in 0..1 + env.random() % 60 {
                        let (key, value) =
                            (key(first + i * step), vec![round as u8; round as usize % 50]);
                        changes.put(&key, &value);
                        map.insert(key, value);
                    }
                }
            }
            client.commit(&changes, &env).unwrap();
            compare(&client, &env, &map);
        }
        assert!(map.len() > 300, "enough is left to be wrong");
    }
}

/// Rows in order are stored as they come: full pages, and no more of the server's time than pages cost.
#[test]
fn rows_in_order_fill_their_pages() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    let mut first = batch(&env, Durability::Durable);
    first.put(b"before", b"");
    client.commit(&first, &env).unwrap();
    let mut rows = batch(&env, Durability::Durable);
    let mut bytes = 0;
    for row in 0..2000 {
        rows.put(&key(row * 3), &[7; 100]);
        bytes += key(row * 3).len() + 106;
    }
    client.commit(&rows, &env).unwrap();
    let pages: usize = server.tell(&["EVAL", COUNT, "0"]).trim().parse().unwrap();
    assert!((bytes / 4000..bytes / 3800 + 2).contains(&pages), "{pages} pages for {bytes} bytes");
    assert_eq!(scan(&client, &env, Direction::Forward).len(), 2000);
}

/// Counts the pages of all segments.
const COUNT: &str = "local n = 0 for _, k in ipairs(redis.call('KEYS', '*:p:*')) do n = n + redis.call('HLEN', k) end return n";
