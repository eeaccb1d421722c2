//! Pages of ranges.

use super::Fixture;
use super::client::{Client, Entries, entries, expected, request};
use super::reads::check_layout;
use crate::{Direction, Layout, Page, ScanRequest};

/// Twelve entries whose values grow, and the request for all of them.
fn dozen(client: &Client<'_>) -> (Entries, ScanRequest) {
    let all: Entries = (0..12u8).map(|i| (vec![b'k', i], vec![i; 10 * usize::from(i)])).collect();
    client.put_all(&all);
    (all, request(b"k", b"l"))
}

/// Shorter before longer, 0x00 first, 0xff last, and nothing is signed.
pub fn keys_are_ordered_bytewise(fixture: &Fixture) {
    let client = fixture.client();
    let ordered: [&[u8]; 12] = [
        b"\0",
        b"\0\0",
        b"\0\x01",
        b"\0\xff",
        b"\x01",
        b"a",
        b"a\0",
        b"a\0\xff",
        b"ab",
        b"\x7f",
        b"\x80",
        b"\xff\xff",
    ];
    let mut shuffled: Vec<(&[u8], &[u8])> = ordered.iter().map(|key| (*key, *key)).collect();
    shuffled.rotate_left(5);
    shuffled.reverse();
    client.put_all(&shuffled);
    let all = expected(&ordered.map(|key| (key, key)));
    assert_eq!(client.everything(), all);
    let backward = ScanRequest { direction: Direction::Backward, ..request(b"", &[0xff; 32]) };
    let reversed: Entries = all.into_iter().rev().collect();
    assert_eq!(client.scan(backward), reversed);
}

/// In both directions, and when the bounds are no keys of the store.
pub fn bounds_are_inclusive_and_exclusive(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1"), ("b", "2"), ("b\0", "3"), ("c", "4"), ("d", "5")]);
    let inner = expected(&[("b", "2"), ("b\0", "3"), ("c", "4")]);
    for (start, end) in [("b", "d"), ("a\0", "c\0"), ("aa", "cc")] {
        let forward = request(start.as_bytes(), end.as_bytes());
        assert_eq!(client.scan(forward.clone()), inner);
        let backward = ScanRequest { direction: Direction::Backward, ..forward };
        assert_eq!(client.scan(backward), inner.iter().rev().cloned().collect::<Entries>());
    }
}

/// So is one that ends where it starts; neither is an error.
pub fn a_range_that_ends_before_it_starts_is_empty(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1"), ("b", "2")]);
    for direction in [Direction::Forward, Direction::Backward] {
        for (start, end) in [("b", "a"), ("b", "b"), ("a\0", "b"), ("c", "\u{7f}"), ("", "")] {
            let range = request(start.as_bytes(), end.as_bytes());
            let (entries, more) = client.page(&ScanRequest { direction, ..range });
            assert_eq!((entries, more), (Entries::new(), false));
        }
    }
}

fn resume_pages_of_every_size(fixture: &Fixture, direction: Direction) {
    let client = fixture.client();
    let (mut all, whole) = dozen(&client);
    if direction == Direction::Backward {
        all.reverse();
    }
    let whole = ScanRequest { direction, ..whole };
    for max_rows in 1..=13 {
        assert_eq!(client.scan(ScanRequest { max_rows, ..whole.clone() }), all);
    }
    for max_bytes in [1, 2, 50, 200, 500] {
        assert_eq!(client.scan(ScanRequest { max_bytes, ..whole.clone() }), all);
    }
}

/// No entry twice, none left out.
pub fn pages_of_every_size_resume_forward(fixture: &Fixture) {
    resume_pages_of_every_size(fixture, Direction::Forward);
}

/// No entry twice, none left out.
pub fn pages_of_every_size_resume_backward(fixture: &Fixture) {
    resume_pages_of_every_size(fixture, Direction::Backward);
}

/// A page is a beginning of the range, never longer than asked for.
pub fn pages_obey_their_row_budget(fixture: &Fixture) {
    let client = fixture.client();
    let (all, whole) = dozen(&client);
    for max_rows in 1..=13 {
        let (page, more) = client.page(&ScanRequest { max_rows, ..whole.clone() });
        assert!((1..=max_rows).contains(&page.len()));
        assert_eq!(page, all[..page.len()]);
        assert!(more || page.len() == all.len(), "what is left is promised");
    }
}

/// Only the last entry of a page may cross the budget of bytes.
pub fn pages_obey_their_byte_budget(fixture: &Fixture) {
    let client = fixture.client();
    let (all, whole) = dozen(&client);
    for max_bytes in 1..800 {
        let (page, more) = client.page(&ScanRequest { max_bytes, ..whole.clone() });
        let before_last: usize =
            page.iter().rev().skip(1).map(|(key, value)| key.len() + value.len()).sum();
        assert!(before_last < max_bytes, "the entry that meets the budget is the last");
        assert!(!page.is_empty());
        assert_eq!(page, all[..page.len()]);
        assert!(more || page.len() == all.len(), "what is left is promised");
    }
}

/// However small the budget is.
pub fn an_entry_beyond_the_budget_comes_alone(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[(b"a", vec![1; 5000]), (b"b", vec![2; 5000])]);
    let small = ScanRequest { max_bytes: 10, ..request(b"a", b"c") };
    assert_eq!(client.page(&small).0, expected(&[(b"a", vec![1; 5000])]));
    let backward = ScanRequest { direction: Direction::Backward, ..small };
    assert_eq!(client.page(&backward).0, expected(&[(b"b", vec![2; 5000])]));
}

/// A page that promises more is followed by others, until one promises nothing: that ends the
/// range, and it may be an empty one.
pub fn the_last_page_says_so(fixture: &Fixture) {
    let client = fixture.client();
    client.put_all(&[("a", "1")]);
    let mut page = Page::default();
    let mut range = request(b"a", b"b");
    let mut pages = 0;
    loop {
        let ticket = client.store.start_scan(range).expect("a scan starts");
        let finished = client.store.finish_scan(ticket, &mut page, client.env);
        range = finished.expect("a scan succeeds").1;
        pages += 1;
        if !range.advance(&page) {
            break;
        }
    }
    assert!(pages <= 2);
    let (nothing, more) = client.page(&request(b"b", b"c"));
    assert!(nothing.is_empty() && !more);
}

/// Each ticket gets the page of its own request.
pub fn tickets_finish_out_of_order(fixture: &Fixture) {
    let client = fixture.client();
    let (all, whole) = dozen(&client);
    let range = |i: usize| ScanRequest {
        start: all[i].0.clone(),
        max_rows: 1,
        direction: Direction::Forward,
        ..whole.clone()
    };
    let start = |i| client.store.start_scan(range(i)).expect("a scan starts");
    let mut tickets: Vec<_> = (0..6).map(|i| (i, start(i))).collect();
    let (_, cancelled) = tickets.remove(3);
    client.store.cancel_scan(cancelled);
    tickets.rotate_left(2);
    let mut page = Page::default();
    for (i, ticket) in tickets {
        let finished = client.store.finish_scan(ticket, &mut page, client.env);
        assert_eq!(finished.expect("a scan succeeds").1, range(i));
        assert_eq!(entries(&page), all[i..=i]);
    }
}

/// Cancelling in every position, with commits and reads in between.
pub fn cancelled_tickets_disturb_nobody(fixture: &Fixture) {
    let client = fixture.client();
    let (all, whole) = dozen(&client);
    for kept in 0..3 {
        let start = |_| client.store.start_scan(whole.clone()).expect("a scan starts");
        let mut tickets: Vec<_> = (0..3).map(start).collect();
        client.put_all(&[("other", "value")]);
        let ticket = tickets.remove(kept);
        tickets.into_iter().for_each(|ticket| client.store.cancel_scan(ticket));
        assert_eq!(client.get(b"other"), Some(b"value".to_vec()));
        let mut page = Page::default();
        client.store.finish_scan(ticket, &mut page, client.env).expect("a scan succeeds");
        assert_eq!(entries(&page), all[..page.len()]);
    }
}

/// A caller that is torn away by an error drops its ticket without a word.
pub fn a_page_may_be_dropped_with_its_ticket(fixture: &Fixture) {
    let client = fixture.client();
    let (all, whole) = dozen(&client);
    drop(client.store.start_scan(whole.clone()).expect("a scan starts"));
    assert_eq!(client.get(&all[1].0), Some(all[1].1.clone()));
    assert_eq!(client.scan(whole), all);
}

/// A page is no older than its request, and its version says how old it is.
pub fn a_scan_sees_what_was_acknowledged_before_it_started(fixture: &Fixture) {
    let (client, other) = (fixture.client(), fixture.client());
    for i in 0..5u8 {
        let first = other.put_all(&[(b"a", [i])]);
        let ticket = client.store.start_scan(request(b"a", b"z")).expect("a scan starts");
        let second = other.put_all(&[(b"b", [i])]);
        let mut page = Page::default();
        let finished = client.store.finish_scan(ticket, &mut page, client.env);
        let stamp = finished.expect("a scan succeeds").0;
        assert!(stamp.version >= first);
        assert_eq!(page.value(0), [i]);
        let saw_second = page.len() == 2 && page.value(1) == [i];
        assert!(saw_second || page.more() || stamp.version < second);
        assert!(!saw_second || stamp.version >= second, "what is in the reply is in its version");
    }
}

/// Aligned as the reader wants it, with room in front that belongs to nobody else.
pub fn values_stand_where_the_layout_says(fixture: &Fixture) {
    let client = fixture.client();
    let (all, whole) = dozen(&client);
    let mut page = Page::new(Layout { headroom: 12, phase: 4 });
    for _ in 0..2 {
        let ticket = client.store.start_scan(whole.clone()).expect("a scan starts");
        client.store.finish_scan(ticket, &mut page, client.env).expect("a scan succeeds");
        check_layout(&mut page, 12, 4);
        assert_eq!(entries(&page), all[..page.len()], "writing to the headroom changes nothing");
    }
}
