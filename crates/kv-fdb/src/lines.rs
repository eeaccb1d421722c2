//! Which row an entry that was never looked up probably points to.
//!
//! Rows get their ids in the order in which they are inserted, and so do most keys get their values:
//! from a sequence, or a clock. So among neighbouring keys the row's id is often a linear function of the
//! key's last bytes. It is learned from the lookups that were made, and believed only where it has
//! just been right; a row that is asked for in vain costs a read, and no time.

use std::collections::HashMap;

/// How many of a key's last bytes vary along a line.
const VARYING: usize = 2;
/// Longest id of a row that is understood, in bytes.
const LONGEST_ID: usize = 8;
/// Most lines that are remembered, about 150 bytes each.
const LINES: usize = 1 << 12;
/// How many wrong guesses a line survives that was always right before.
const TRUST: u8 = 3;

/// Lines through the rows that lookups found, by the hash of what does not vary along one.
#[derive(Default)]
pub(crate) struct Lines {
    known: HashMap<u64, Line>,
}

/// Two points, and how often the line through them was right.
struct Line {
    /// What the key of the row begins with.
    prefix: Box<[u8]>,
    id_length: usize,
    older: Option<Point>,
    newer: Point,
    trust: u8,
}

/// The last bytes of a lookup's key, and the row's id.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Point {
    at: i128,
    id: i128,
}

impl Lines {
    /// The key of the row that a lookup from this place will probably find.
    pub(crate) fn guess(&self, start: &[u8]) -> Option<Vec<u8>> {
        let (place, at) = split(start)?;
        let line = self.known.get(&place).filter(|line| line.trust > 0)?;
        let id = u64::try_from(line.id_at(at)?).ok()?;
        let bytes = &id.to_be_bytes()[LONGEST_ID - line.id_length..];
        // An id that needs more bytes is none.
        let whole = id.leading_zeros() as usize / 8 + line.id_length >= LONGEST_ID;
        whole.then(|| [&line.prefix, bytes].concat())
    }

    /// Learns which row a lookup found. The last `id_length` bytes of the row's key are its id.
    pub(crate) fn note(&mut self, start: &[u8], row: &[u8], id_length: usize) {
        let Some((place, at)) = split(start) else { return };
        let Some(cut) = row.len().checked_sub(id_length).filter(|_| id_length <= LONGEST_ID) else {
            return;
        };
        let (prefix, id) = row.split_at(cut);
        let id = id.iter().fold(0, |id, byte| id << 8 | i128::from(*byte));
        let point = Point { at, id };
        if let Some(line) = self.known.get_mut(&place)
            && *line.prefix == *prefix
            && line.id_length == id_length
        {
            line.learn(point);
            return;
        }
        if self.known.len() >= LINES {
            self.known.clear();
        }
        let line = Line { prefix: prefix.into(), id_length, older: None, newer: point, trust: 0 };
        self.known.insert(place, line);
    }
}

impl Line {
    /// The id at a place, if the line through the two points meets a whole number there.
    fn id_at(&self, at: i128) -> Option<i128> {
        let (Point { at: x, id }, older) = (self.newer, self.older?);
        let (run, rise) = (x - older.at, id - older.id);
        let climbed = (at - x) * rise;
        (climbed % run == 0).then(|| id + climbed / run)
    }

    fn learn(&mut self, point: Point) {
        if point.at == self.newer.at {
            self.newer = point;
            self.older = self.older.filter(|older| older.at != point.at);
            return;
        }
        match self.id_at(point.at) {
            Some(id) if id == point.id => self.trust = (self.trust + 1).min(TRUST),
            _ if self.trust > 1 => self.trust -= 1,
            _ => {
                self.trust = 0;
                self.older = Some(self.newer);
                self.newer = point;
            }
        }
    }
}

/// Which line a key is on, and where.
fn split(start: &[u8]) -> Option<(u64, i128)> {
    let (fixed, varying) = start.split_at_checked(start.len().checked_sub(VARYING)?)?;
    let at = varying.iter().fold(0, |at, byte| at << 8 | i128::from(*byte));
    Some((crate::hints::place_of(fixed), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: usize = 5;

    fn start(n: u64) -> Vec<u8> {
        [b"index", &n.to_be_bytes()[..]].concat()
    }

    fn row(n: u64) -> Vec<u8> {
        [b"table", &n.to_be_bytes()[LONGEST_ID - ID..]].concat()
    }

    #[test]
    fn what_was_right_once_is_believed() {
        let mut lines = Lines::default();
        lines.note(&start(10), &row(110), ID);
        lines.note(&start(70), &row(170), ID);
        assert_eq!(lines.guess(&start(30)), None);
        lines.note(&start(20), &row(120), ID);
        assert_eq!(lines.guess(&start(30)), Some(row(130)));
        // Of keys far away, nothing is known.
        assert_eq!(lines.guess(&start(1 << 20)), None);
    }

    #[test]
    fn keys_in_steps_are_followed_backwards_too() {
        let mut lines = Lines::default();
        for n in [300, 100, 400] {
            lines.note(&start(n), &row(5000 - n / 100), ID);
        }
        assert_eq!(lines.guess(&start(900)), Some(row(4991)));
        assert_eq!(lines.guess(&start(950)), None, "no whole number");
    }

    #[test]
    fn keys_without_order_are_not_guessed() {
        let mut lines = Lines::default();
        for n in 0..1000_u64 {
            lines.note(&start(n * 7919 % 1000), &row(n * n % 997), ID);
        }
        let guessed = (0..1000).filter(|n| lines.guess(&start(*n)).is_some()).count();
        assert_eq!(guessed, 0);
    }

    #[test]
    fn an_exception_is_survived_and_a_new_line_is_learned() {
        let mut lines = Lines::default();
        (1..9).for_each(|n| lines.note(&start(n), &row(n), ID));
        lines.note(&start(9), &row(7777), ID);
        assert_eq!(lines.guess(&start(10)), Some(row(10)));
        (11..20).for_each(|n| lines.note(&start(n), &row(n + 50), ID));
        assert_eq!(lines.guess(&start(20)), Some(row(70)));
    }

    #[test]
    fn ids_that_cannot_be_are_not_guessed() {
        let mut lines = Lines::default();
        for n in [3, 2, 4] {
            lines.note(&start(n), &row(n - 2), ID);
        }
        assert_eq!(lines.guess(&start(0)), None, "below zero");
        let mut lines = Lines::default();
        let last = (1 << 40) - 1;
        for n in [3, 2, 1] {
            lines.note(&start(n), &row(last - 10 + n), ID);
        }
        assert_eq!(lines.guess(&start(10)), Some(row(last)));
        assert_eq!(lines.guess(&start(11)), None, "too long");
    }

    #[test]
    fn they_do_not_grow_for_ever() {
        let mut lines = Lines::default();
        for n in 0..3 * LINES as u64 {
            lines.note(&start(n << 16), &row(n), ID);
            assert!(lines.known.len() <= LINES);
        }
        lines.note(b"", b"", ID);
        lines.note(b"short", b"x", ID);
        assert_eq!(lines.guess(b""), None);
    }
}
