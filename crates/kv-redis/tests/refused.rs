//! What a server may refuse, and what each refusal becomes.

mod server;

use kv::{Durability, Error, Outcome, Store};
use kv_redis::{Address, Redis, RedisOptions};
use server::{DURABLE, Real, Server, batch, get, installed, put};

fn impatient() -> RedisOptions {
    RedisOptions { connect_timeout: 200, ..RedisOptions::default() }
}

fn at(url: &str) -> Redis {
    Redis::connect(Address::parse(url).unwrap(), "test", impatient()).unwrap()
}

fn assert_unknown<T: std::fmt::Debug>(answer: Result<T, Error>) {
    match answer {
        Err(Error::Unauthorized(text)) => assert!(!text.contains("hush"), "{text}"),
        answer => panic!("{answer:?} instead of Unauthorized"),
    }
}

/// By password, by user and password with escapes, and in vain; and the secret is never told.
#[test]
fn who_has_no_right_password_is_denied() {
    if !installed() {
        return;
    }
    let server = Server::with(&["--requirepass", "hu/sh"]);
    let (url, env) = (format!("redis+unix://{}", server.socket().display()), Real::default());
    assert_unknown(put(&at(&url), &env, b"a", b"1"));
    assert_unknown(put(&at(&format!("{url}?password=hush")), &env, b"a", b"1"));
    assert_unknown(put(&at(&format!("{url}?user=nobody&password=hush")), &env, b"a", b"1"));
    let client = at(&format!("{url}?password=hu%2Fsh"));
    put(&client, &env, b"a", b"1").unwrap();
    let status = client.status(&env).unwrap();
    assert!(!format!("{client:?} {status:?}").contains("sh\""));
    assert!(!format!("{client:?} {status:?}").contains("hu/sh"));
    let acl = ["ACL", "SETUSER", "me@home", "on", ">hush hush", "~*", "+@all"];
    server.tell(&[&["-a", "hu/sh"], &acl[..]].concat());
    let client = at(&format!("{url}?user=me%40home&password=hush%20hush"));
    assert_eq!(get(&client, &env, b"a").unwrap(), Some(b"1".to_vec()));
}

/// A server that has no password, and one that does not know how to be told one: its own error
/// repeats what it was told.
#[test]
fn a_password_that_the_server_does_not_take_is_not_repeated() {
    if !installed() {
        return;
    }
    for settings in [&[][..], &["--rename-command", "AUTH", "ANOTHER"]] {
        let server = Server::with(settings);
        let url = format!("redis+unix://{}?password=hush", server.socket().display());
        assert_unknown(put(&at(&url), &Real::default(), b"a", b"1"));
    }
}

/// A server that has too many clients is waited for.
#[test]
fn a_crowded_server_is_not_ready() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    server.tell(&["CONFIG", "SET", "maxclients", "1"]);
    let answer = put(&server.client_with(impatient()), &env, b"a", b"1");
    assert!(matches!(answer, Err(Error::NotReady(_))), "{answer:?}");
}

/// A user who may not run scripts is told what is missing.
#[test]
fn who_may_not_run_scripts_is_denied() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let env = Real::default();
    server.tell(&["ACL", "SETUSER", "weak", "on", ">hush", "~*", "+@all", "-@scripting"]);
    let url = format!("redis+unix://{}?user=weak&password=hush", server.socket().display());
    let answer = put(&at(&url), &env, b"a", b"1");
    assert!(matches!(answer, Err(Error::Denied(_))), "{answer:?}");
}

/// Numbers of databases keep namespaces apart.
#[test]
fn databases_are_apart() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (url, env) = (format!("redis+unix://{}", server.socket().display()), Real::default());
    let (zero, one) = (at(&url), at(&format!("{url}?db=1")));
    put(&zero, &env, b"a", b"0").unwrap();
    assert_eq!(get(&one, &env, b"a").unwrap(), None);
    put(&one, &env, b"a", b"1").unwrap();
    assert_eq!(get(&zero, &env, b"a").unwrap(), Some(b"0".to_vec()));
    let answer = get(&at(&format!("{url}?db=99")), &env, b"a");
    assert!(matches!(answer, Err(Error::Denied(_))), "{answer:?}");
}

/// The batch is refused whole, reads go on, and what makes room is let in.
#[test]
fn a_full_server_refuses_whole_batches() {
    if !installed() {
        return;
    }
    let server = Server::with(&["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"]);
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"before", b"1").unwrap();
    let mut refused = None;
    for i in 0u32..100 {
        let mut large = batch(&env, Durability::Durable);
        large.put(format!("first {i:03}").as_bytes(), b"");
        large.put(format!("large {i:03}").as_bytes(), &vec![1; 1 << 20]);
        if let Err(error) = client.commit(&large, &env) {
            assert!(matches!(error, Error::OutOfMemory(_)), "{error:?}");
            let outcome = client.outcome(large.id, &env);
            assert!(!matches!(outcome, Ok(Outcome::Committed(_))), "{outcome:?}");
            refused = Some(i);
            break;
        }
    }
    let refused = refused.expect("there is no room for all");
    assert_eq!(get(&client, &env, format!("first {refused:03}").as_bytes()).unwrap(), None);
    assert_eq!(get(&client, &env, b"before").unwrap(), Some(b"1".to_vec()));
    let mut room = batch(&env, Durability::Durable);
    room.clear(b"large", b"largf");
    server.tell(&["CONFIG", "SET", "maxmemory", "1mb"]);
    assert!(matches!(put(&client, &env, b"after", b"2"), Err(Error::OutOfMemory(_))));
    client.commit(&room, &env).unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "20mb"]);
    put(&client, &env, b"after", b"2").unwrap();
}

/// What deferred batches could not write is told by the flush, once.
#[test]
fn a_deferred_batch_without_room_is_told() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"before", b"1").unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let rows = |key: &[u8]| {
        let mut rows = batch(&env, Durability::Deferred);
        rows.put(key, b"row");
        client.commit(&rows, &env)
    };
    rows(b"row 1").unwrap();
    let answers = [rows(b"row 2").map(drop), client.flush(&env)];
    let told = answers.iter().filter(|answer| matches!(answer, Err(Error::OutOfMemory(_)))).count();
    assert_eq!(told, 1, "{answers:?}");
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    client.flush(&env).unwrap();
    put(&client, &env, b"after", b"2").unwrap();
    assert_eq!(get(&client, &env, b"row 1").unwrap(), None);
}

/// What follows a refused deferred batch is not applied, although it was sent before anybody knew.
#[test]
fn nothing_follows_a_deferred_batch_that_failed() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    let mut first = batch(&env, Durability::Durable);
    first.put_stamped(b"checked", &[]);
    client.commit(&first, &env).unwrap();
    for i in 0..5u8 {
        let mut rows = batch(&env, Durability::Deferred);
        rows.put(&[b'r', i], b"");
        if i == 2 {
            rows.check(b"checked", kv::Version::ZERO);
        }
        match client.commit(&rows, &env) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, Error::Conflict { key: b"checked".to_vec() });
                break;
            }
        }
    }
    let _ = client.flush(&env);
    let there: Vec<bool> =
        (0..5u8).map(|i| get(&client, &env, &[b'r', i]).unwrap().is_some()).collect();
    assert_eq!(there, [true, true, false, false, false]);
}

/// A replica takes no commits; nothing was applied, and the commit succeeds when it is a master.
#[test]
fn a_replica_is_not_available() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client_with(impatient()), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    server.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    let mut second = batch(&env, Durability::Durable);
    second.put(b"b", b"2");
    let answer = client.commit(&second, &env);
    assert!(matches!(answer, Err(Error::ReadOnly(_))), "{answer:?}");
    let answer = get(&server.client_with(impatient()), &env, b"a");
    assert!(matches!(answer, Err(Error::ReadOnly(_))), "{answer:?}");
    server.tell(&["REPLICAOF", "NO", "ONE"]);
    let version = client.commit(&second, &env).unwrap();
    assert_eq!(client.outcome(second.id, &env).unwrap(), Outcome::Committed(version));
}

/// A server that is busy with somebody's script is waited for.
#[test]
fn a_busy_server_is_waited_for() {
    if !installed() {
        return;
    }
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let busy = "local t = os.clock() while os.clock() < t + 0.5 do end";
            server.tell(&["EVAL", busy, "0"]);
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        put(&client, &env, b"b", b"2").unwrap();
    });
}

/// Scripts that the server has forgotten are sent again, also for what is in flight.
#[test]
fn forgotten_scripts_are_sent_again() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    for i in 0..3u8 {
        put(&client, &env, &[i], b"1").unwrap();
        server.tell(&["SCRIPT", "FLUSH"]);
        assert_eq!(get(&client, &env, &[i]).unwrap(), Some(b"1".to_vec()));
    }
    let mut rows = batch(&env, Durability::Deferred);
    rows.put(b"row", b"");
    server.tell(&["SCRIPT", "FLUSH"]);
    client.commit(&rows, &env).unwrap();
    client.flush(&env).unwrap();
    assert!(get(&client, &env, b"row").unwrap().is_some());
}

/// Keys that are gone or of another kind are damage, and not missing rows.
#[test]
fn damage_is_found() {
    if !installed() {
        return;
    }
    for (damage, recreate) in [
        ("fakegres:{test}:r", false),
        ("fakegres:{test}:i:", false),
        ("fakegres:{test}:p:", false),
        ("fakegres:{test}:r", true),
        ("fakegres:{test}:p:", true),
    ] {
        let server = Server::start();
        let (client, env) = (server.client(), Real::default());
        put(&client, &env, b"a", b"1").unwrap();
        assert_eq!(server.tell(&["DEL", damage]), "1");
        if recreate {
            server.tell(&["SET", damage, "other"]);
        }
        let answer = get(&client, &env, b"a");
        assert!(matches!(answer, Err(Error::Corrupt(_))), "{damage}: {answer:?}");
        let answer = put(&client, &env, b"b", b"1");
        assert!(matches!(answer, Err(Error::Corrupt(_))), "{damage}: {answer:?}");
    }
}

/// A counter that is none is found before anything is applied.
#[test]
fn a_batch_that_turns_out_impossible_leaves_nothing() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"no counter").unwrap();
    let mut impossible = batch(&env, Durability::Durable);
    impossible.clear(b"0", b"z");
    impossible.put(b"b", b"1");
    impossible.put(b"c", b"short");
    impossible.add(b"c", 1);
    let answer = client.commit(&impossible, &env);
    assert!(matches!(answer, Err(Error::Corrupt(_))), "{answer:?}");
    assert_eq!(get(&client, &env, b"a").unwrap(), Some(b"no counter".to_vec()));
    assert_eq!(get(&client, &env, b"b").unwrap(), None);
}

/// What is in force is told, and refused where it is not enough.
#[test]
fn durability_is_told_as_it_is() {
    if !installed() {
        return;
    }
    let env = Real::default();
    let demanding = RedisOptions { require_durable: true, ..impatient() };
    let careless = Server::start();
    let told = careless.client().durability(&env).unwrap();
    assert!(!told.durable && told.hint.contains("appendonly yes"), "{told:?}");
    let answer = put(&careless.client_with(demanding), &env, b"a", b"1");
    assert!(matches!(answer, Err(Error::NotDurable(_))), "{answer:?}");
    let evicting = Server::with(&[DURABLE, &["--maxmemory-policy", "allkeys-lru"]].concat());
    let told = evicting.client().durability(&env).unwrap();
    assert!(!told.durable && told.hint.contains("noeviction"), "{told:?}");
    let durable = Server::with(DURABLE);
    let client = durable.client_with(demanding);
    put(&client, &env, b"a", b"1").unwrap();
    assert!(client.durability(&env).unwrap().durable);
    let status = client.status(&env).unwrap();
    assert_eq!((status.engine.as_str(), status.bytes.is_some()), ("redis", true));
    assert_eq!(status.durability, client.durability(&env).unwrap().text);
    durable.tell(&["CONFIG", "SET", "appendfsync", "everysec"]);
    let status = client.status(&env).unwrap();
    assert!(status.durability.contains("last seconds"), "{status:?}");
}

/// One request per call, whatever it reads or writes.
#[test]
fn a_call_is_one_round_trip() {
    if !installed() {
        return;
    }
    let server = Server::start();
    let (client, env) = (server.client(), Real::default());
    put(&client, &env, b"a", b"1").unwrap();
    get(&client, &env, b"a").unwrap();
    let before = client.round_trips();
    let mut many = batch(&env, Durability::Durable);
    (0..100u8).for_each(|i| many.put(&[b'k', i], &[i]));
    client.commit(&many, &env).unwrap();
    let mut page = kv::Page::default();
    let keys: Vec<[u8; 2]> = (0..100u8).map(|i| [b'k', i]).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 2]>::as_slice).collect();
    client.get_many(&keys, &mut page, &env).unwrap();
    assert!((0..100u8).all(|i| page.get(i.into()) == Some(&[i][..])));
    assert_eq!(client.round_trips(), before + 2);
}
