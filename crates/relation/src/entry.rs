//! Index entries: which row has which values in the columns of an index.
//!
//! The key of an entry is the prefix of its index's space, the cells of the key columns (`keycode`),
//! shortened if they are long, and behind them the row id, unless the index promises that no two rows
//! have the same cells. The body is
//!
//! ```text
//! row id (5) · form (1) · values
//! ```
//!
//! The row id is in every body, so that one rule finds the row of any entry ([`MAPPING_OFFSET`]).
//! Form is [`BY_CELLS`] or [`BY_ROW`]; the values are for whoever wants the columns without the row.

use kv::{Error, Mapping, MappingSource, Result};

use crate::{RowId, Space, key};

/// Longest key of an entry without the row id. With every byte escaped, and versions and row id
/// behind it, it still fits the shortest keys that a store may ask for (1,982 bytes).
pub const LONGEST: usize = 976;

/// Bytes in front of the values.
pub const HEADER: usize = ROW + 1;

/// Where in a body the row id begins.
const MAPPING_OFFSET: usize = 0;

/// How a store finds the rows of a table behind the bodies of entries.
pub fn mapping(table: Space) -> Mapping {
    let source = MappingSource::Value { offset: MAPPING_OFFSET };
    Mapping { prefix: key::rows_prefix(table), source, len: ROW }
}

/// Bytes of a row id.
const ROW: usize = 5;

/// The key ends with the cells: no other row may have them.
const BY_CELLS: u8 = 0;
/// The key ends with the row id.
const BY_ROW: u8 = 1;

/// Appends a row id to a key, so that rows with the same cells have entries of their own.
pub fn push_row(key: &mut Vec<u8>, row: RowId) {
    key.extend_from_slice(&row_bytes(row));
}

/// A key without the row id at its end, if it has one by its body.
pub fn cells<'a>(key: &'a [u8], body: &[u8]) -> Result<&'a [u8]> {
    match body.get(ROW) {
        Some(&BY_CELLS) => Ok(key),
        Some(&BY_ROW) => key.len().checked_sub(ROW).map(|end| &key[..end]).ok_or_else(damaged),
        _ => Err(damaged()),
    }
}

/// What a body begins with.
pub fn header(row: RowId, by_row: bool) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..ROW].copy_from_slice(&row_bytes(row));
    header[ROW] = if by_row { BY_ROW } else { BY_CELLS };
    header
}

/// The row that a body names.
pub fn row(body: &[u8]) -> Result<RowId> {
    let bytes = body.get(..ROW).filter(|_| body.len() >= HEADER).ok_or_else(damaged)?;
    let id = bytes.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
    Ok(RowId(id))
}

fn row_bytes(row: RowId) -> [u8; ROW] {
    let mut bytes = [0; ROW];
    bytes.copy_from_slice(&row.0.to_be_bytes()[3..]);
    bytes
}

fn damaged() -> Error {
    Error::Corrupt("an index entry cannot be read".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_name_their_row_and_how_their_key_ends() {
        let last = RowId::LAST;
        for by_row in [false, true] {
            let mut key = b"cells".to_vec();
            if by_row {
                push_row(&mut key, last);
            }
            let body = [&header(last, by_row)[..], b"values"].concat();
            assert_eq!(row(&body), Ok(last));
            assert_eq!(cells(&key, &body), Ok(&b"cells"[..]));
        }
    }

    #[test]
    fn damaged_bodies_are_refused() {
        assert!(row(b"12345").is_err());
        assert!(cells(b"key", b"12345\x07").is_err());
        assert!(cells(b"key", &header(RowId(1), true)).is_err());
    }

    #[test]
    fn the_longest_key_fits_the_strictest_store() {
        let key = vec![0; LONGEST + ROW];
        assert!(mvcc::key::longest(&key) <= 1982);
    }
}
