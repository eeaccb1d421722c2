//! Pages: entries come back as they went in, wherever the layout puts them.

use kv::{Direction, Layout, Page, ScanRequest};
use proptest::collection::vec;
use proptest::prelude::*;

type Entry = (Vec<u8>, Option<Vec<u8>>);

fn push(page: &mut Page, (key, value): &Entry) {
    match value {
        Some(value) => page.push(key, value),
        None => page.push_absent(key),
    }
}

fn contents(page: &Page) -> Vec<Entry> {
    (0..page.len()).map(|i| (page.key(i).to_vec(), page.get(i).map(<[u8]>::to_vec))).collect()
}

fn payload(entries: &[Entry]) -> usize {
    entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

fn entry() -> impl Strategy<Value = Entry> {
    let length = || prop_oneof![5 => 0usize..40, 1 => 0usize..6000];
    let bytes = move || length().prop_flat_map(|length| vec(any::<u8>(), length));
    (vec(any::<u8>(), 0..30), prop::option::weighted(0.8, bytes()))
}

proptest! {
    /// Two fillings of one page, the first cut short, with everything that a page tells compared.
    #[test]
    fn entries_come_back(
        headroom in 0usize..40,
        phase in 0usize..8,
        first in vec(entry(), 0..20),
        kept in 0usize..25,
        second in vec(entry(), 0..20),
    ) {
        let mut page = Page::new(Layout { headroom, phase });
        first.iter().for_each(|entry| push(&mut page, entry));
        page.truncate(kept);
        let mut expected = first;
        expected.truncate(kept);
        prop_assert_eq!(contents(&page), &expected[..]);
        prop_assert_eq!(page.payload(), payload(&expected));
        second.iter().for_each(|entry| push(&mut page, entry));
        expected.extend(second.iter().cloned());
        fill_headrooms(&mut page, headroom, phase);
        prop_assert_eq!(contents(&page), &expected[..]);
        prop_assert_eq!(page.payload(), payload(&expected));

        let mut copy = Page::new(Layout { headroom: phase, phase: headroom % 8 });
        page.set_more(true);
        copy.copy_from(&page);
        prop_assert_eq!(contents(&copy), expected);
        prop_assert!(copy.more());

        page.clear();
        prop_assert!(page.is_empty() && !page.more() && page.payload() == 0);
        second.iter().for_each(|entry| push(&mut page, entry));
        fill_headrooms(&mut page, headroom, phase);
        prop_assert_eq!(contents(&page), second);
    }
}

/// Writing to every headroom must change no entry.
fn fill_headrooms(page: &mut Page, headroom: usize, phase: usize) {
    for i in 0..page.len() {
        assert_eq!(page.value(i).as_ptr().addr() % 8, phase);
        let length = page.value(i).len();
        let room = page.value_with_headroom(i);
        assert_eq!(room.len(), headroom + length);
        room[..headroom].fill(0x55);
        let (key, value) = (page.key(i).to_vec(), page.value(i).to_vec());
        let (beside, room) = page.key_and_value_with_headroom(i);
        assert_eq!((beside, &room[headroom..]), (&*key, &*value));
        room[..headroom].fill(0xaa);
    }
}

#[test]
#[should_panic(expected = "a phase is an offset")]
fn a_phase_of_a_whole_word_is_refused() {
    Page::new(Layout { headroom: 0, phase: 8 });
}

fn request(direction: Direction) -> ScanRequest {
    let (start, end) = (b"b".to_vec(), b"y".to_vec());
    ScanRequest { start, end, direction, max_rows: 2, max_bytes: 10 }
}

#[test]
fn a_request_advances_behind_the_last_entry() {
    let mut page = Page::default();
    page.push(b"c", b"");
    page.push(b"d", b"");
    page.set_more(true);
    let mut forward = request(Direction::Forward);
    assert!(forward.advance(&page));
    assert_eq!((&*forward.start, &*forward.end), (b"d\0".as_slice(), b"y".as_slice()));
    let mut backward = request(Direction::Backward);
    assert!(backward.advance(&page));
    assert_eq!((&*backward.start, &*backward.end), (b"b".as_slice(), b"d".as_slice()));
    page.set_more(false);
    assert!(!backward.advance(&page));
    page.clear();
    page.set_more(true);
    assert!(!forward.advance(&page), "an empty page leads nowhere");
}

#[test]
fn a_request_is_met_by_rows_or_by_bytes() {
    let request = request(Direction::Forward);
    let mut page = Page::default();
    page.push(b"c", b"12345678");
    assert!(!request.is_met_by(&page));
    page.push(b"d", b"");
    assert!(request.is_met_by(&page), "two rows and ten bytes");
    page.truncate(1);
    assert!(!request.is_met_by(&page));
    page.clear();
    page.push(b"c", b"123456789");
    assert!(request.is_met_by(&page), "ten bytes in one row");
}
