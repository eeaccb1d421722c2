//! Errors of which nobody knows what they mean, commits that take long, and clusters that cannot be
//! understood.

mod server;

use std::time::{Duration, Instant};

use kv::{Error, Outcome, Store};
use kv_fdb::{Address, Fdb, FdbOptions};
use server::{Real, Server, batch, counted, put};

/// What the client library says when something in it failed, of which it does not know what.
const INTERNAL: [i32; 4] = [1500, 4000, 4100, 1026];

#[test]
fn a_commit_that_failed_for_no_known_reason_is_settled() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    for (done, code) in INTERNAL.into_iter().enumerate() {
        let mut add = batch(&env);
        add.add(b"counter", 1);
        server.tell(&format!("fault commit {code} 1"));
        let told = client.commit(&add, &env);
        assert!(matches!(told, Err(Error::Internal(_))), "{code}: {told:?}");
        // Nor will it happen.
        assert_eq!(client.outcome(add.id, &env), Ok(Outcome::NotCommitted));
        assert_eq!(client.commit(&add, &env), Err(Error::Conflict { key: Vec::new() }));
        assert_eq!(counted(&client, &env), done as i64);

        let mut add = batch(&env);
        add.add(b"counter", 1);
        server.tell(&format!("fault commit {code} 1 applied"));
        client.commit(&add, &env).expect("it happened");
        assert_eq!(counted(&client, &env), done as i64 + 1);
    }
}

#[test]
fn what_cannot_be_checked_in_time_has_changed() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client_with(300);
    let first = put(&client, &env, b"k", b"1").expect("it commits");
    server.tell("fault commit 1007 1000000");
    let mut checked = batch(&env);
    checked.check(b"k", first);
    checked.put_stamped(b"k", &[b"2"]);
    assert_eq!(client.commit(&checked, &env), Err(Error::Conflict { key: Vec::new() }));
}

#[test]
fn a_long_check_is_no_silence() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client_with(400);
    let mut many = batch(&env);
    (0..2000u32).for_each(|i| many.put_stamped(&i.to_be_bytes(), &[&[0; 200]]));
    let written = client.commit(&many, &env).expect("it commits");
    // What is checked is older than the newest version, so it has to be looked at.
    put(&client, &env, b"other", b"").expect("it commits");
    server.tell("delay range 150");
    let mut checked = batch(&env);
    checked.check_range(&0u32.to_be_bytes(), &2000u32.to_be_bytes(), written);
    checked.put_stamped(b"done", &[]);
    let begin = Instant::now();
    client.commit(&checked, &env).expect("nobody wrote there");
    assert!(begin.elapsed() > Duration::from_millis(600), "it takes longer than the time-out");
}

/// What FoundationDB sends at once is less than what a page may hold.
#[test]
fn pages_end_with_their_reply() {
    let (server, env) = (Server::start(), Real::default());
    let client = server.client();
    let mut many = batch(&env);
    (0..3000u32).for_each(|i| many.put_stamped(&i.to_be_bytes(), &[&[0; 100]]));
    client.commit(&many, &env).expect("it commits");
    let mut request = kv::ScanRequest {
        start: vec![0],
        end: vec![1],
        max_rows: 10_000,
        max_bytes: 512 << 10,
        ..Default::default()
    };
    let (mut page, mut pages, mut rows) = (kv::Page::default(), 0, 0);
    loop {
        let ticket = client.start_scan(request).expect("it starts");
        (_, request) = client.finish_scan(ticket, &mut page, &env).expect("it answers");
        assert!(page.payload() < 81_000);
        (pages, rows) = (pages + 1, rows + page.len());
        if !request.advance(&page) {
            break;
        }
    }
    assert_eq!(rows, 3000);
    assert!(pages > 4, "{pages}");
}

#[test]
fn a_cluster_that_speaks_another_protocol_is_told_apart() {
    let (server, env) = (Server::start(), Real::default());
    let file = server.dir.path().join("foreign.cluster");
    std::fs::write(&file, "foreign:standin@unix:/nowhere").expect("a file");
    let address = Address::parse(&format!("fdb://{}", file.display())).expect("an address");
    let client_library = Some(server::library());
    let options = FdbOptions { connect_timeout: 300, client_library, ..FdbOptions::default() };
    let client = Fdb::connect(address, "test", options).expect("a handle");
    match client.read_version(&env) {
        Err(Error::Misconfigured(why)) => assert!(why.contains("protocol"), "{why}"),
        answer => panic!("{answer:?}"),
    }
}
