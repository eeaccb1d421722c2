//! Reading keys and ranges at one read version.

use std::ops::Deref;
use std::rc::Rc;

use foundationdb::future::{FdbSlice, FdbValue, FdbValues};
use foundationdb::options::StreamingMode;
use foundationdb::{KeySelector, RangeOption};
use kv::{Direction, Mapping, Page, ReadStamp, Result, ScanRequest};

use crate::client::Client;
use crate::failure::{Attempt, corrupt};
use crate::limits::LIMITS;
use crate::runs;
use crate::value::Stored;
use crate::view::{Pending, View};

/// Most keys of one call whose values are remembered for a commit, and most entries of a page of a range
/// that is read to its end: a small table, of which a row may be about to change.
const REMEMBERED: usize = 64;
const REMEMBERED_OF_RANGE: usize = 256;

/// Bytes that a server has in one reply.
const REPLY: usize = 80_000;

/// Most entries that a page may have which probably looks a key up. Many of them have one.
const LOOKUP: usize = 16;

/// A page that was asked for.
pub(crate) struct Started {
    view: Rc<View>,
    values: Pending<FdbValues>,
}

/// Asks for the first entries of a range that has any room, and waits for nothing.
pub(crate) fn start(client: &Client, view: Rc<View>, request: &ScanRequest) -> Started {
    let values = ask(client, &view, request);
    Started { view, values }
}

/// The range as it is stored. With a limit in bytes, FoundationDB's client library gives what one
/// server said in one reply: at most 80,000 bytes, and nothing from behind the end of a shard. Whoever
/// reads on asks for the next page while he looks at this one, which takes no more round trips than if
/// the library asked for more by itself, and wants less memory. `EXACT` has no lower limit of its own,
/// as the other modes have.
fn ask(client: &Client, view: &View, request: &ScanRequest) -> Pending<FdbValues> {
    let option = RangeOption {
        begin: KeySelector::first_greater_or_equal(client.keys.data(&request.start)),
        end: KeySelector::first_greater_or_equal(client.keys.data(&request.end)),
        limit: Some(request.max_rows.clamp(1, 1 << 20)),
        target_bytes: request.max_bytes.clamp(1, 1 << 24),
        mode: StreamingMode::Exact,
        reverse: request.direction == Direction::Backward,
        ..RangeOption::default()
    };
    Box::pin(view.transaction().get_range(&option, 1, true))
}

/// What was read of a range.
pub(crate) struct Range {
    view: Rc<View>,
    stamp: ReadStamp,
    values: FdbValues,
    /// How many of the values the page takes.
    taken: usize,
    longs: Longs,
}

/// Waits for a page.
pub(crate) async fn finish(
    client: &Client,
    started: Started,
    request: &ScanRequest,
) -> Attempt<Range> {
    let Started { view, values } = started;
    let stamp = client.stamp(&view).await?;
    let values = values.await?;
    // FoundationDB looks on until it has an entry or the end of the range.
    if values.is_empty() && values.more() {
        return Ok(corrupt("a reply of FoundationDB's")?);
    }
    let mut pending = Vec::new();
    let (mut taken, mut bytes) = (0, 0);
    for entry in values.iter() {
        if taken >= request.max_rows || bytes >= request.max_bytes {
            break;
        }
        let stored = Stored::decode(entry.value())?;
        let key = client.keys.user(entry.key());
        ask_for_rest(client, &view, key, &stored, &mut pending);
        bytes += key.len() + stored.length();
        taken += 1;
    }
    if !values.more() && values.len() <= REMEMBERED_OF_RANGE {
        let mut recent = client.recent.borrow_mut();
        for entry in values.iter() {
            recent.note(entry.key(), stamp.version, Some(entry.value()));
        }
    }
    let longs = Longs::arrive(pending).await?;
    Ok(Range { view, stamp, values, taken, longs })
}

impl Range {
    pub(crate) fn fill(&self, client: &Client, page: &mut Page) -> Result<ReadStamp> {
        page.clear();
        let (mut longs, mut scratch) = (self.longs.parts.iter(), Vec::new());
        for entry in self.values.iter().take(self.taken) {
            complete(&Stored::decode(entry.value())?, &mut longs, &mut scratch)?;
            page.push(client.keys.user(entry.key()), &scratch);
        }
        page.set_more(self.values.more() || self.taken < self.values.len());
        Ok(self.stamp)
    }
}

/// The parts of long values, in order.
struct Longs {
    parts: Vec<FdbValues>,
}

impl Longs {
    async fn arrive(pending: Vec<Pending<FdbValues>>) -> Attempt<Longs> {
        let mut parts = Vec::with_capacity(pending.len());
        for part in pending {
            parts.push(part.await?);
        }
        Ok(Longs { parts })
    }
}

fn ask_for_rest(
    client: &Client,
    view: &View,
    key: &[u8],
    stored: &Stored<'_>,
    pending: &mut Vec<Pending<FdbValues>>,
) {
    if stored.rest > 0 {
        pending.push(ask_for_parts(client, view, key, stored.parts()));
    }
}

/// Puts a value together.
fn complete<'a>(
    stored: &Stored<'_>,
    longs: &mut impl Iterator<Item = &'a FdbValues>,
    value: &mut Vec<u8>,
) -> Result<()> {
    value.clear();
    value.extend_from_slice(stored.stamp);
    value.extend_from_slice(stored.body);
    if stored.rest > 0 {
        for part in longs.next().into_iter().flat_map(|parts| parts.iter()) {
            value.extend_from_slice(part.value());
        }
    }
    if value.len() == stored.length() { Ok(()) } else { corrupt("a long value") }
}

fn ask_for_parts(client: &Client, view: &View, key: &[u8], count: usize) -> Pending<FdbValues> {
    let (start, end) = client.keys.parts_of(key);
    let option = RangeOption {
        begin: KeySelector::first_greater_or_equal(start),
        end: KeySelector::first_greater_or_equal(end),
        limit: Some(count),
        mode: StreamingMode::Exact,
        ..RangeOption::default()
    };
    Box::pin(view.transaction().get_range(&option, 1, true))
}

/// What was read of keys.
pub(crate) struct Many {
    stamp: ReadStamp,
    values: Vec<Option<Bytes>>,
    longs: Longs,
}

/// A value that came alone, or with its neighbours.
enum Bytes {
    Alone(FdbSlice),
    Beside(Rc<FdbValue>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Alone(value) => value,
            Bytes::Beside(entry) => entry.value(),
        }
    }
}

/// Keys that were asked for: each as it is stored, if it can be; and values to be, with the places of
/// their keys.
struct Asked {
    stored_keys: Vec<Option<Vec<u8>>>,
    alone: Vec<(usize, Pending<Option<FdbSlice>>)>,
    ranges: Vec<(Vec<usize>, Pending<FdbValues>)>,
}

/// Reads keys, all at once.
pub(crate) async fn get_many(client: &Client, view: Rc<View>, keys: &[&[u8]]) -> Attempt<Many> {
    let asked = ask_for_many(client, &view, keys);
    finish_many(client, view, keys, asked).await
}

/// Reads a watched key, unless it is known to be as it was.
pub(crate) async fn get_watched(
    client: &Client,
    view: Rc<View>,
    key: &[u8],
) -> Attempt<(ReadStamp, Option<Vec<u8>>)> {
    let stamp = client.stamp(&view).await?;
    let metadata = view.metadata();
    if let Some(known) = metadata.and_then(|metadata| client.watched_at(metadata, key)) {
        return Ok((stamp, known));
    }
    let many = get_many(client, Rc::clone(&view), &[key]).await?;
    let mut page = Page::default();
    many.fill(&[key], &mut page)?;
    if let Some(metadata) = metadata {
        client.note_watched(metadata, key, page.get(0));
    }
    Ok((stamp, page.get(0).map(<[u8]>::to_vec)))
}

/// Asks for keys, and waits for nothing.
fn ask_for_many(client: &Client, view: &View, keys: &[&[u8]]) -> Asked {
    let readable = |key: &[u8]| !key.is_empty() && key.len() <= LIMITS.max_key;
    let stored_keys: Vec<Option<Vec<u8>>> =
        keys.iter().map(|key| readable(key).then(|| client.keys.data(key))).collect();
    let (runs, others) = runs::runs(&stored_keys);
    let place = |places: &[usize], i: usize| stored_keys[places[i]].as_deref().unwrap_or_default();
    let ranges = runs.into_iter().map(|run| {
        let (first, last) = (place(&run, 0), place(&run, run.len() - 1));
        let pending = ask_for_run(view, first, last, run.len());
        (run, pending)
    });
    let ranges = ranges.collect();
    let alone = ask_for_each(view, &stored_keys, others);
    Asked { stored_keys, alone, ranges }
}

fn ask_for_each(
    view: &View,
    stored_keys: &[Option<Vec<u8>>],
    places: Vec<usize>,
) -> Vec<(usize, Pending<Option<FdbSlice>>)> {
    let ask = |place: usize| Some((place, ask_for_one(view, stored_keys[place].as_ref()?)));
    places.into_iter().filter_map(ask).collect()
}

/// Asks for the range from one key up to another one, which has so many that are wanted. One reply of a
/// server's, as a page: of long values, those behind it are asked for one by one, at once.
fn ask_for_run(view: &View, first: &[u8], last: &[u8], wanted: usize) -> Pending<FdbValues> {
    let option = RangeOption {
        begin: KeySelector::first_greater_or_equal(first),
        end: KeySelector::first_greater_than(last),
        limit: Some(wanted * runs::APART as usize),
        target_bytes: REPLY,
        mode: StreamingMode::Exact,
        ..RangeOption::default()
    };
    Box::pin(view.transaction().get_range(&option, 1, true))
}

async fn finish_many(
    client: &Client,
    view: Rc<View>,
    keys: &[&[u8]],
    asked: Asked,
) -> Attempt<Many> {
    let Asked { stored_keys, mut alone, ranges } = asked;
    let stamp = client.stamp(&view).await?;
    let mut values: Vec<Option<Bytes>> = std::iter::repeat_with(|| None).take(keys.len()).collect();
    for (run, entries) in ranges {
        let entries = entries.await?;
        let left = put_in_places(entries, &stored_keys, &run, &mut values);
        alone.extend(ask_for_each(&view, &stored_keys, left));
    }
    for (place, value) in alone {
        values[place] = value.await?.map(Bytes::Alone);
    }
    if keys.len() <= REMEMBERED {
        let mut recent = client.recent.borrow_mut();
        for (key, value) in stored_keys.iter().zip(&values) {
            if let Some(key) = key {
                recent.note(key, stamp.version, value.as_deref());
            }
        }
    }
    let mut rests = Vec::new();
    for (key, value) in keys.iter().zip(&values) {
        if let Some(value) = value {
            ask_for_rest(client, &view, key, &Stored::decode(value)?, &mut rests);
        }
    }
    Ok(Many { stamp, values, longs: Longs::arrive(rests).await? })
}

/// Puts the entries of a range where their keys are among those that were asked for, of which `run` are
/// in the range, in ascending order. Returns those that lie behind where the range was cut off.
fn put_in_places(
    entries: FdbValues,
    stored_keys: &[Option<Vec<u8>>],
    run: &[usize],
    values: &mut [Option<Bytes>],
) -> Vec<usize> {
    let more = entries.more();
    let mut entries = entries.into_iter().map(Rc::new).peekable();
    let mut left = Vec::new();
    for place in run {
        let key = stored_keys[*place].as_deref().unwrap_or_default();
        while entries.next_if(|entry| entry.key() < key).is_some() {}
        match entries.peek() {
            Some(entry) if entry.key() == key => {
                values[*place] = Some(Bytes::Beside(Rc::clone(entry)))
            }
            Some(_) => {}
            None if more => left.push(*place),
            None => {}
        }
    }
    left
}

fn ask_for_one(view: &View, key: &[u8]) -> Pending<Option<FdbSlice>> {
    Box::pin(view.transaction().get(key, true))
}

impl Many {
    pub(crate) fn fill(&self, keys: &[&[u8]], page: &mut Page) -> Result<ReadStamp> {
        page.clear();
        let (mut longs, mut scratch) = (self.longs.parts.iter(), Vec::new());
        for (key, value) in keys.iter().zip(&self.values) {
            match value {
                None => page.push_absent(key),
                Some(value) => {
                    complete(&Stored::decode(value)?, &mut longs, &mut scratch)?;
                    page.push(key, &scratch);
                }
            }
        }
        Ok(self.stamp)
    }
}

/// The keys of the rows that the entries of a page point to.
pub(crate) fn row_keys(entries: &Page, mapping: &Mapping) -> Vec<Vec<u8>> {
    let row_key = |i| mapping.row_key(entries.key(i), entries.value(i)).unwrap_or_default();
    (0..entries.len()).map(row_key).collect()
}

/// The row that a lookup from here found the last time, or that others make probable.
fn probable_row(client: &Client, start: &[u8]) -> Option<Vec<u8>> {
    let known = client.hints.borrow_mut().get(start).map(<[u8]>::to_vec);
    known.or_else(|| client.lines.borrow().guess(start))
}

/// A page of an index range, and the rows that its entries point to.
pub(crate) async fn mapped(
    client: &Client,
    view: Rc<View>,
    request: &ScanRequest,
    mapping: &Mapping,
) -> Attempt<(Range, Vec<Vec<u8>>, Many)> {
    let lookup = request.max_rows <= LOOKUP;
    let hint = if lookup { probable_row(client, &request.start) } else { None };
    let guess = hint.map(|row| {
        let asked = ask_for_many(client, &view, &[&row]);
        (row, asked)
    });
    let range = finish(client, start(client, view, request), request).await?;
    let mut entries = Page::default();
    range.fill(client, &mut entries)?;
    let keys = row_keys(&entries, mapping);
    if let ([key], true) = (&keys[..], lookup) {
        client.hints.borrow_mut().note(&request.start, key);
        client.lines.borrow_mut().note(&request.start, key, mapping.len);
    }
    let view = Rc::clone(&range.view);
    let many = {
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let asked = match guess {
            Some((row, asked)) if *keys == [&row] => asked,
            _ => ask_for_many(client, &view, &keys),
        };
        finish_many(client, view, &keys, asked).await?
    };
    Ok((range, keys, many))
}
