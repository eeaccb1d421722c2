//! Whether the sort keys of the C library agree with its comparison.
//!
//! In glibc up to 2.36 at least they do not for most locales: where texts differ only in the places of
//! characters that are ignored at first, such as punctuation, both have rules of their own. So they
//! are tried on such texts, on case, accents, characters without rules, and how they combine. A sample
//! proves nothing about other texts, but a locale with that fault does not get through.

use std::cmp::Ordering;

use pgrx::pg_sys::{Oid, pg_enc};
use pgrx::prelude::*;

use crate::compat::Locale;

/// What single characters are put before and behind.
const NEIGHBOURS: [&[u8]; 4] = [b"a", b"A", b" ", b"-"];
const RANDOM_TEXTS: usize = 1500;
const LONGEST_RANDOM_TEXT: usize = 6;
/// How many texts are compared with each other, all with all.
const COMPARED_WITH_ALL: usize = 150;

/// Whether they agree for a collation. Takes some ten milliseconds.
pub(super) fn of_sort_keys(collation: Oid, locale: Locale) -> bool {
    let Some(alphabet) = alphabet() else { return false };
    let mut keyed: Vec<_> = sample(&alphabet).map(|text| (key(&text, locale), text)).collect();
    keyed.sort();
    keyed.dedup();
    let texts: Vec<_> = keyed.into_iter().map(|(_, text)| text).collect();
    let ascend = |a: &[u8], b: &[u8]| compare(collation, a, b) == Ordering::Less;
    let neighbours = texts.windows(2).all(|pair| ascend(&pair[0], &pair[1]));
    let step = (texts.len() / COMPARED_WITH_ALL).max(1);
    let some: Vec<_> = texts.iter().step_by(step).collect();
    neighbours && (0..some.len()).all(|i| some[i + 1..].iter().all(|b| ascend(some[i], b)))
}

fn key(text: &[u8], locale: Locale) -> Vec<u8> {
    let mut key = Vec::new();
    locale.sort_key(text, &mut key);
    key
}

/// PostgreSQL's own comparison.
fn compare(collation: Oid, a: &[u8], b: &[u8]) -> Ordering {
    let (a_start, b_start) = (a.as_ptr().cast(), b.as_ptr().cast());
    let (a_len, b_len) = (a.len() as i32, b.len() as i32);
    // SAFETY: both are as long as it is told.
    unsafe { pg_sys::varstr_cmp(a_start, a_len, b_start, b_len, collation) }.cmp(&0)
}

/// The printable characters that are tried: ASCII, Latin-1, and some of the others. `None` for an
/// encoding in which this does not know how to write them.
fn alphabet() -> Option<Vec<Vec<u8>>> {
    let ascii = 0x20..=0x7e_u32;
    let latin = 0xa1..=0xff_u32;
    // SAFETY: set when the backend connects to its database.
    let (encoding, longest) =
        unsafe { (pg_sys::GetDatabaseEncoding(), pg_sys::pg_database_encoding_max_length()) };
    if encoding == pg_enc::PG_UTF8 as i32 {
        let others = (0x100..0x1_0000_u32).step_by(97).chain((0x1_0000..0x3_0000).step_by(4099));
        let characters = ascii.chain(latin).chain(others).filter_map(char::from_u32);
        Some(characters.map(|character| character.to_string().into_bytes()).collect())
    } else if longest == 1 {
        Some(ascii.chain(latin).map(|byte| vec![byte as u8]).collect())
    } else {
        None
    }
}

fn sample(alphabet: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> {
    let random = random_texts(alphabet).flat_map(|text| rearranged(&text));
    alphabet.iter().flat_map(|character| combined(character)).chain(random)
}

/// A character alone, twice, and before and behind others.
fn combined(character: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = vec![character.to_vec(), character.repeat(2)];
    for neighbour in NEIGHBOURS {
        texts.push([neighbour, character].concat());
        texts.push([character, neighbour].concat());
    }
    texts
}

/// A text, and again with any two neighbours exchanged.
fn rearranged(characters: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut texts = vec![characters.concat()];
    for i in 1..characters.len() {
        let mut others = characters.to_vec();
        others.swap(i - 1, i);
        texts.push(others.concat());
    }
    texts
}

/// Always the same ones, so that all backends come to the same result.
fn random_texts(alphabet: &[Vec<u8>]) -> impl Iterator<Item = Vec<&[u8]>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    // Every other character is ASCII, whose rules are the most intricate in most locales.
    let ascii = alphabet.len().min(95);
    (0..RANDOM_TEXTS).map(move |_| {
        let length = 2 + below(LONGEST_RANDOM_TEXT - 1);
        let limits = (0..length).map(|i| if i % 2 == 0 { ascii } else { alphabet.len() });
        limits.map(|limit| alphabet[below(limit)].as_slice()).collect()
    })
}
