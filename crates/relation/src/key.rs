//! Every key that can exist. The numbers are a format: they are never reused.
//!
//! `mvcc` puts a byte in front that tells versioned keys from plain ones, so the two lists below
//! cannot meet. `docs/format.md` shows the bytes.

use crate::{RowId, Space};

/// A key of the relation layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key<'a> {
    // Plain keys: one value, no history.
    /// Who may use this namespace, and in which format it is. Stamped.
    Owner,
    /// The next space id that nobody leased. Stamped.
    SpaceLease,
    /// A space that exists, by the database it belongs to. Stamped; zero until published.
    SpaceRecord {
        /// Oid of the database.
        database: u32,
        /// The space.
        space: Space,
    },
    /// The next row id of a space that nobody leased. Stamped.
    RowLease(Space),
    /// Counter: live rows of a space.
    Rows(Space),
    /// Counter: bytes of the live rows of a space.
    Bytes(Space),
    /// Its stamp is the version of the last change of a definition. Stamped, without a body.
    CatalogVersion,

    // Versioned keys.
    /// A row.
    Row(Space, RowId),
    /// The definition of a table, by database and table oid.
    Definition {
        /// Oid of the database.
        database: u32,
        /// Oid of the table.
        table: u32,
    },
    /// A key of the user's own (`fakegres.kv_put`).
    User(&'a [u8]),
}

const OWNER: u8 = 0x01;
const SPACE_LEASE: u8 = 0x02;
const SPACE_RECORD: u8 = 0x03;
const ROW_LEASE: u8 = 0x04;
const ROWS: u8 = 0x05;
const BYTES: u8 = 0x06;
const CATALOG_VERSION: u8 = 0x07;
const ROW: u8 = 0x10;
/// The keys of index entries go on behind the space with cells; see [`crate::entry`].
const ENTRY: u8 = 0x11;
const DEFINITION: u8 = 0x20;
const USER: u8 = 0x30;

impl Key<'_> {
    /// The key as bytes.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Key::Owner => vec![OWNER],
            Key::SpaceLease => vec![SPACE_LEASE],
            Key::SpaceRecord { database, space } => {
                [&[SPACE_RECORD][..], &database.to_be_bytes(), &space.0.to_be_bytes()].concat()
            }
            Key::RowLease(space) => of_space(ROW_LEASE, space),
            Key::Rows(space) => of_space(ROWS, space),
            Key::Bytes(space) => of_space(BYTES, space),
            Key::Row(space, row) => row_key(space, row).to_vec(),
            Key::Definition { database, table } => {
                [&[DEFINITION][..], &database.to_be_bytes(), &table.to_be_bytes()].concat()
            }
            Key::CatalogVersion => vec![CATALOG_VERSION],
            Key::User(key) => [&[USER], key].concat(),
        }
    }
}

/// Length of the key of a row.
pub const ROW_KEY: usize = 1 + 8 + 5;

/// The key of a row, without an allocation.
pub fn row_key(space: Space, row: RowId) -> [u8; ROW_KEY] {
    let mut key = [0; ROW_KEY];
    key[0] = ROW;
    key[1..9].copy_from_slice(&space.0.to_be_bytes());
    key[9..].copy_from_slice(&row.0.to_be_bytes()[3..]);
    key
}

/// The row that a key of a row names; `None` if it is no such key.
pub fn row_of_key(key: &[u8]) -> Option<RowId> {
    let key: &[u8; ROW_KEY] = key.try_into().ok()?;
    let mut id = [0; 8];
    id[3..].copy_from_slice(&key[9..]);
    (key[0] == ROW).then_some(RowId(u64::from_be_bytes(id)))
}

/// What the keys of all rows of a space begin with.
pub fn rows_prefix(space: Space) -> Vec<u8> {
    of_space(ROW, space)
}

/// What the keys of all entries of an index space begin with.
pub fn entries_prefix(space: Space) -> Vec<u8> {
    of_space(ENTRY, space)
}

/// What the space records of a database begin with.
pub fn space_records_prefix(database: u32) -> Vec<u8> {
    [&[SPACE_RECORD][..], &database.to_be_bytes()].concat()
}

/// What the space records of every database begin with.
pub fn all_space_records_prefix() -> Vec<u8> {
    vec![SPACE_RECORD]
}

/// The database and the space that a space record's key names.
pub fn space_of_record_key(key: &[u8]) -> Option<(u32, Space)> {
    let database = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let space = u64::from_be_bytes(key.get(5..)?.try_into().ok()?);
    Some((database, Space(space)))
}

/// What the definitions of a database's tables begin with.
pub fn definitions_prefix(database: u32) -> Vec<u8> {
    [&[DEFINITION][..], &database.to_be_bytes()].concat()
}

/// What all definitions begin with.
pub fn all_definitions_prefix() -> Vec<u8> {
    vec![DEFINITION]
}

/// What all of the user's own keys begin with.
pub fn user_prefix() -> Vec<u8> {
    vec![USER]
}

/// The user's own part of a key.
pub fn user_part(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[USER])
}

/// The first key after all keys that begin with `prefix`, which must not be all 0xff.
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

fn of_space(tag: u8, space: Space) -> Vec<u8> {
    [&[tag][..], &space.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_bytes_that_the_format_says() {
        let space = Space(0x0102);
        let cases = [
            (Key::Owner, "01"),
            (Key::SpaceLease, "02"),
            (Key::SpaceRecord { database: 5, space }, "03000000050000000000000102"),
            (Key::RowLease(space), "040000000000000102"),
            (Key::Rows(space), "050000000000000102"),
            (Key::Bytes(space), "060000000000000102"),
            (Key::Row(space, RowId(0x01_0000_00ff)), "10000000000000010201000000ff"),
            (Key::Definition { database: 5, table: 16384 }, "200000000500004000"),
            (Key::CatalogVersion, "07"),
            (Key::User(b"a"), "3061"),
        ];
        for (key, expected) in cases {
            let hex: String = key.encode().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, expected, "{key:?}");
        }
    }

    #[test]
    fn row_keys_name_their_row() {
        let key = row_key(Space(7), RowId(RowId::LAST.0));
        assert_eq!(row_of_key(&key), Some(RowId::LAST));
        assert_eq!(row_of_key(&Key::Rows(Space(7)).encode()), None);
    }

    #[test]
    fn the_end_of_a_prefix_carries() {
        assert_eq!(after_prefix(&[1, 0xff]), vec![2]);
        assert_eq!(after_prefix(&[1, 2]), vec![1, 3]);
    }
}
