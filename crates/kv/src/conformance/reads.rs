//! Reading keys by name.

use super::Fixture;
use super::client::{Client, expected, request, stamped};
use crate::{Batch, Layout, Page, Version};

fn read(client: &Client<'_>, keys: &[&[u8]], page: &mut Page) -> Vec<Option<Vec<u8>>> {
    client.store.get_many(keys, page, client.env).expect("a read succeeds");
    assert_eq!(page.len(), keys.len());
    assert!((0..keys.len()).all(|i| page.key(i) == keys[i]), "one entry per key, in order");
    (0..keys.len()).map(|i| page.get(i).map(<[u8]>::to_vec)).collect()
}

/// Not in the order of the store, and a key may be asked for twice.
pub fn values_come_in_the_order_of_the_keys(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let values = read(&client, &[b"c", b"x", b"a", b"c", b"b\0"], &mut Page::default());
    let (one, three) = (Some(b"1".to_vec()), Some(b"3".to_vec()));
    assert_eq!(values, [three.clone(), None, one, three, None]);
}

/// A store may read them as a range: what lies between them, behind them, or is missing is not theirs.
pub fn keys_may_be_neighbours(fixture: &Fixture) {
    let client = fixture.client();
    let key = |n: u32| [b"row".as_slice(), &n.to_be_bytes()].concat();
    let longest = client.store.limits().max_value.min(200_000);
    let value = |n: u32| vec![n as u8; if n % 50 == 7 { longest } else { n as usize % 300 }];
    // Every third is not there, and some have other keys right behind them.
    let there = |n: u32| !n.is_multiple_of(3);
    let mut pairs: Vec<_> = (200..500).filter(|n| there(*n)).map(|n| (key(n), value(n))).collect();
    pairs.extend((200..500).step_by(5).map(|n| ([key(n), vec![0]].concat(), vec![1])));
    for pairs in pairs.chunks(50) {
        client.put_all(pairs);
    }
    let up: Vec<u32> = (190..510).collect();
    let down: Vec<u32> = (190..510).rev().collect();
    let sparse: Vec<u32> = (190..510).step_by(2).collect();
    let mixed: Vec<u32> = (190..510).map(|n| 190 + (n * 7919) % 320).collect();
    let twice: Vec<u32> = (0..40).map(|n| 300 + n / 2).collect();
    for numbers in [up, down, sparse, mixed, twice] {
        let keys: Vec<_> = numbers.iter().map(|n| key(*n)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let expected: Vec<_> = numbers
            .iter()
            .map(|n| ((200..500).contains(n) && there(*n)).then(|| value(*n)))
            .collect();
        assert!(read(&client, &keys, &mut Page::default()) == expected, "{numbers:?}");
    }
}

/// A key of which engines that want to know are told that it is watched.
pub const WATCHED: &[u8] = b"watched";

/// Whatever changes it, everybody sees it as it is; and so it is with a key of which nobody was told.
pub fn a_watched_key_is_as_it_is_in_the_store(fixture: &Fixture) {
    let (writer, reader) = (fixture.client(), fixture.client());
    let see = |client: &Client<'_>, key: &[u8]| {
        let mut page = Page::default();
        let since = client.stamp().version;
        let stamp = client.store.get_watched_since(since, key, &mut page, client.env);
        assert!(stamp.expect("a read succeeds").version >= since);
        assert_eq!((page.len(), page.key(0)), (1, key));
        page.get(0).map(<[u8]>::to_vec)
    };
    let changes: [fn(&mut Batch, &[u8]); 11] = [
        |batch, _| batch.put(b"another", b"1"),
        |batch, key| batch.archive(b"stamped", key, Some(b"archived")),
        |batch, key| batch.put(key, b"put"),
        |batch, key| batch.put(key, b""),
        |batch, key| batch.delete(key),
        |batch, key| batch.add(key, 7),
        |batch, key| batch.add(key, 7),
        |batch, _| batch.clear(b"a", b"z"),
        |batch, key| batch.put_stamped(key, &[b"stamped"]),
        |batch, key| batch.clear(key, key),
        |batch, key| batch.clear(key, &[key, &[0]].concat()),
    ];
    for key in [WATCHED, b"not watched".as_slice()] {
        writer.put_stamped(b"stamped", b"archived");
        assert_eq!(see(&reader, key), None);
        for change in changes {
            writer.commit(|batch| change(batch, key));
            let there = writer.get(key);
            for client in [&reader, &writer, &reader] {
                assert_eq!(see(client, key), there);
            }
        }
        let version = writer.put_stamped(key, b"last");
        let refused = writer.try_commit(|batch| {
            batch.delete(key);
            batch.check(key, Version::ZERO);
        });
        assert!(refused.is_err());
        assert_eq!(see(&reader, key), Some(stamped(version, b"last")));
    }
}

/// The difference between an empty value and none.
pub fn an_empty_value_is_not_an_absent_one(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "")]);
    let mut page = Page::default();
    assert_eq!(read(&client, &[b"a", b"b"], &mut page), [Some(Vec::new()), None]);
    assert_eq!((page.value(0), page.value(1)), (b"".as_slice(), b"".as_slice()));
    assert_eq!(client.everything(), expected(&[("a", "")]));
}

/// No entry maps to a key that is empty, so asking for it is how "no row" is asked for.
pub fn the_empty_key_is_absent(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1")]);
    assert_eq!(read(&client, &[b"", b"a"], &mut Page::default()), [None, Some(b"1".to_vec())]);
}

/// An empty list is a read all the same.
pub fn no_keys_no_entries(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.put_all(&[("a", "1")]);
    let mut page = Page::default();
    let stamp = client.store.get_many(&[], &mut page, client.env).expect("a read succeeds");
    assert!(page.is_empty() && stamp.version >= version);
}

/// What the page held before is gone, and so is its promise of more.
pub fn a_read_replaces_the_page(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "a long value that was here before"), ("b", "2")]);
    let mut page = Page::default();
    read(&client, &[b"a", b"a", b"a"], &mut page);
    page.set_more(true);
    assert_eq!(read(&client, &[b"b"], &mut page), [Some(b"2".to_vec())]);
    assert!(!page.more());
}

/// A client reads what another has committed, and not its own past.
pub fn clients_see_each_other(fixture: &Fixture) {
    let (one, two) = (fixture.client(), fixture.client());
    for i in 0..5u8 {
        one.put_all(&[(b"a", [i])]);
        assert_eq!(two.get(b"a"), Some(vec![i]));
        two.put_all(&[(b"b", [i])]);
        assert_eq!(one.get(b"b"), Some(vec![i]));
    }
}

/// Aligned as the reader wants it, with room in front that belongs to nobody else.
pub fn values_stand_where_the_layout_says(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1"), ("key of odd length", "second"), ("z", "")]);
    let mut page = Page::new(Layout { headroom: 23, phase: 3 });
    let keys: [&[u8]; 4] = [b"z", b"key of odd length", b"none", b"a"];
    let before = read(&client, &keys, &mut page);
    check_layout(&mut page, 23, 3);
    let after: Vec<_> = (0..page.len()).map(|i| page.get(i).map(<[u8]>::to_vec)).collect();
    assert_eq!(after, before, "writing to the headroom changes no value");
    assert!((0..keys.len()).all(|i| page.key(i) == keys[i]), "nor a key");
}

/// Demands the alignment of every value and fills every headroom.
pub(super) fn check_layout(page: &mut Page, headroom: usize, phase: usize) {
    for i in 0..page.len() {
        let length = page.value(i).len();
        assert_eq!(page.value(i).as_ptr().addr() % 8, phase);
        let room = page.value_with_headroom(i);
        assert_eq!(room.len(), headroom + length);
        room[..headroom].fill(0xaa);
    }
}

/// A person can tell which engine it is and what it promises.
pub fn status_names_the_engine(fixture: &Fixture) {
    let client = fixture.client();
    let status = client.store.status(client.env).expect("the store answers");
    assert!(!status.engine.is_empty() && !status.durability.is_empty());
}

/// By reads that are content with a version; whether they show more is left open.
pub fn a_version_that_is_enough_is_shown(fixture: &Fixture) {
    let (client, other) = (fixture.client(), fixture.client());
    let mut page = Page::default();
    for i in 0..3u8 {
        let version = other.put_stamped(b"a", &[i]);
        let since = client.stamp().version;
        assert!(since >= version);
        let newer = other.put_stamped(b"b", &[i]);
        let store = &client.store;
        for _ in 0..2 {
            let stamp = store.get_many_since(since, &[b"b", b"a"], &mut page, client.env);
            let stamp = stamp.expect("a read succeeds");
            assert!(stamp.version >= since);
            assert_eq!(page.value(1), stamped(version, &[i]));
            assert_eq!(page.value(0) == stamped(newer, &[i]), stamp.version >= newer);
            let ticket = store.start_scan_since(since, request(b"a", b"c"));
            let ticket = ticket.expect("a scan starts");
            let finished = store.finish_scan(ticket, &mut page, client.env);
            assert!(finished.expect("a scan succeeds").0.version >= since);
            assert_eq!((page.key(0), page.value(0)), (b"a".as_slice(), &*stamped(version, &[i])));
        }
        assert_eq!(client.get(b"b"), Some(stamped(newer, &[i])), "who asks for the newest gets it");
    }
}
