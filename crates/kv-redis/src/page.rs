//! Pages as the server keeps them, cut to what was asked for.

use kv::{Direction, Page, Result, ScanRequest};

use crate::failure::unexpected;

/// Bytes in front of the first entry.
const HEADER: usize = 8;

/// The entries of a stored page.
struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    fn of(page: &'a [u8]) -> Result<Entries<'a>> {
        let rest = page.get(HEADER..).ok_or_else(|| unexpected("page where one should be"))?;
        Ok(Entries { rest })
    }

    fn step(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (key_length, rest) = self.rest.split_first_chunk::<2>()?;
        let (value_length, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*key_length).into())?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
        self.rest = rest;
        Some((key, value))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.step()
    }
}

/// Fills `page` from stored pages in the order of the scan; `more` says whether the server has
/// others behind them.
pub(crate) fn fill<'a>(
    stored: impl Iterator<Item = &'a [u8]>,
    more: bool,
    request: &ScanRequest,
    page: &mut Page,
) -> Result<()> {
    page.clear();
    page.set_more(more);
    for bytes in stored {
        let entries = Entries::of(bytes)?;
        let ended = match request.direction {
            Direction::Forward => take(entries, request, page),
            Direction::Backward => {
                let entries: Vec<_> = entries.collect();
                take(entries.into_iter().rev(), request, page)
            }
        };
        if ended {
            break;
        }
    }
    Ok(())
}

/// Takes the entries of the range, in the order of the scan; true if the page ends with them.
///
/// The bounds are compared with every entry only until one is inside, and then with what the scan
/// runs towards.
fn take<'a>(
    entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    request: &ScanRequest,
    page: &mut Page,
) -> bool {
    let (start, end) = (request.start.as_slice(), request.end.as_slice());
    let forward = request.direction == Direction::Forward;
    for (key, value) in entries {
        let (before, behind) =
            if forward { (key < start, key >= end) } else { (key >= end, key < start) };
        if behind {
            page.set_more(false);
            return true;
        }
        if before {
            continue;
        }
        if request.is_met_by(page) {
            page.set_more(true);
            return true;
        }
        page.push(key, value);
    }
    false
}
