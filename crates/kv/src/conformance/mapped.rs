//! Pages of index ranges together with the rows that they point to.

use super::Fixture;
use super::client::{Client, Entries, entries, request};
use crate::{Direction, Mapping, MappingSource, Page, ScanRequest};

const SUFFIX: MappingSource = MappingSource::KeySuffix;

fn mapping(source: MappingSource) -> Mapping {
    Mapping { prefix: b"r/".to_vec(), source, len: 2 }
}

/// The whole range with its rows, in pages as the request says.
fn scan(
    client: &Client<'_>,
    mut request: ScanRequest,
    mapping: &Mapping,
) -> (Entries, Vec<Option<Vec<u8>>>) {
    let (mut page, mut rows) = (Page::default(), Page::default());
    let (mut all, mut all_rows) = (Entries::new(), Vec::new());
    loop {
        let finished = client.store.scan_mapped(request, mapping, &mut page, &mut rows, client.env);
        request = finished.expect("a scan succeeds").1;
        assert_eq!(page.len(), rows.len(), "every entry has its row beside it");
        assert!(page.len() <= request.max_rows);
        all.extend(entries(&page));
        all_rows.extend((0..rows.len()).map(|i| rows.get(i).map(<[u8]>::to_vec)));
        if !request.advance(&page) {
            return (all, all_rows);
        }
    }
}

/// Rows 1 to 6, and index entries in the opposite order that end with the row's number.
fn six_by_suffix(client: &Client<'_>) -> Vec<Option<Vec<u8>>> {
    client.commit(|batch| {
        for i in 1..=6u8 {
            batch.put(&[b'r', b'/', 0, i], &[b'v', i]);
            batch.put(&[b'i', b'/', 10 - i, 0, i], b"");
        }
    });
    (1..=6u8).rev().map(|i| Some(vec![b'v', i])).collect()
}

/// The last bytes of the entry's key are the last bytes of the row's key.
pub fn rows_stand_beside_their_entries_by_key_suffix(fixture: &Fixture) {
    let client = fixture.client();
    let expected = six_by_suffix(&client);
    let (entries, rows) = scan(&client, request(b"i/", b"i0"), &mapping(SUFFIX));
    assert_eq!(rows, expected);
    assert!(entries.is_sorted() && entries.len() == 6);
}

/// A cut out of the entry's value is the end of the row's key.
pub fn rows_stand_beside_their_entries_by_value(fixture: &Fixture) {
    let client = fixture.client();
    let keys = [(b"i/a", b"........id22more"), (b"i/b", b"........id11more")];
    client.put_all(&keys);
    client.put_all(&[("r/id11", "one"), ("r/id22", "two"), ("r/id", "neither")]);
    let source = MappingSource::Value { offset: 8 };
    let mapping = Mapping { len: 4, ..mapping(source) };
    let (_, rows) = scan(&client, request(b"i/", b"i0"), &mapping);
    assert_eq!(rows, [Some(b"two".to_vec()), Some(b"one".to_vec())]);
}

/// The entry stays, its row has no value.
pub fn missing_rows_and_short_entries_are_absent(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("i/a", "0123"), ("i/b", ""), ("i/c", "0"), ("i/d", "01xx")]);
    client.put_all(&[("r/01", ""), ("r/", "no row"), ("r/0", "no row")]);
    let source = MappingSource::Value { offset: 0 };
    let (entries, rows) = scan(&client, request(b"i/", b"i0"), &mapping(source));
    assert_eq!(entries.len(), 4);
    assert_eq!(rows, [Some(Vec::new()), None, None, Some(Vec::new())]);
    let source = MappingSource::Value { offset: usize::MAX };
    let (_, rows) = scan(&client, request(b"i/", b"i0"), &mapping(source));
    assert_eq!(rows, [None, None, None, None]);
    let long = Mapping { len: 99, ..mapping(SUFFIX) };
    assert_eq!(scan(&client, request(b"i/", b"i0"), &long).1, [None, None, None, None]);
    client.commit(|batch| batch.delete(b"r/01"));
    let source = MappingSource::Value { offset: 0 };
    assert_eq!(scan(&client, request(b"i/", b"i0"), &mapping(source)).1, [None, None, None, None]);
}

/// No entry twice, none left out, each with its own row.
pub fn pages_resume_in_both_directions(fixture: &Fixture) {
    let client = fixture.client();
    let forward = six_by_suffix(&client);
    let backward: Vec<_> = forward.iter().rev().cloned().collect();
    for max_rows in 1..=7 {
        let request = ScanRequest { max_rows, ..request(b"i/", b"i0") };
        assert_eq!(scan(&client, request.clone(), &mapping(SUFFIX)).1, forward);
        let request = ScanRequest { direction: Direction::Backward, ..request };
        assert_eq!(scan(&client, request, &mapping(SUFFIX)).1, backward);
    }
}

/// A range of one key has that entry, and no neighbour.
pub fn a_single_key_comes_with_its_row(fixture: &Fixture) {
    let client = fixture.client();
    six_by_suffix(&client);
    for i in 1..=6u8 {
        let key = [b'i', b'/', 10 - i, 0, i];
        for direction in [Direction::Forward, Direction::Backward] {
            let end = [&key[..], &[0]].concat();
            let request = ScanRequest { direction, ..request(&key, &end) };
            let (entries, rows) = scan(&client, request, &mapping(SUFFIX));
            assert_eq!((entries.len(), rows), (1, vec![Some(vec![b'v', i])]));
        }
        let between = [&key[..4], &[i, 0]].concat();
        let end = [&between[..], &[0]].concat();
        assert_eq!(scan(&client, request(&between, &end), &mapping(SUFFIX)).1, []);
    }
}

/// And replaces what both pages held.
pub fn an_empty_range_has_no_rows(fixture: &Fixture) {
    let client = fixture.client();
    let version = client.put_all(&[("r/01", "row")]);
    let (mut page, mut rows) = (Page::default(), Page::default());
    page.push(b"old", b"old");
    rows.push(b"old", b"old");
    let range = request(b"i/", b"i0");
    let scanned =
        client.store.scan_mapped(range, &mapping(SUFFIX), &mut page, &mut rows, client.env);
    let (stamp, _) = scanned.expect("a scan succeeds");
    assert!(page.is_empty() && rows.is_empty() && !page.more());
    assert!(stamp.version >= version);
}

/// Each entry has a copy.
pub fn several_entries_may_share_a_row(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("i/a01", ""), ("i/b01", ""), ("i/c02", ""), ("i/d01", "")]);
    client.put_all(&[("r/01", "one"), ("r/02", "two")]);
    let (one, two) = (Some(b"one".to_vec()), Some(b"two".to_vec()));
    let (_, rows) = scan(&client, request(b"i/", b"i0"), &mapping(SUFFIX));
    assert_eq!(rows, [one.clone(), one.clone(), two, one]);
}
