//! Row ids, and the TIDs that PostgreSQL knows them by.
//!
//! A row id has 40 bits and is never reused. PostgreSQL names a row by block (32 bits) and offset
//! (16 bits); bitmaps of TIDs allow offsets up to 291, so a block has 256 rows.
//!
//! The last [`VERSION_BLOCKS`] blocks name no rows. Their TIDs name *versions* that the running
//! transaction made by updating a row: an update keeps the row id, but PostgreSQL fetches the old
//! and the new version of a row by TID, sometimes much later.

/// A row of a space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowId(pub u64);

/// Rows in a block.
pub const ROWS_PER_BLOCK: u64 = 256;
/// Blocks at the end of the range whose TIDs name versions; 2^28 blocks of 256 versions.
pub const VERSION_BLOCKS: u32 = 1 << 28;
/// PostgreSQL's invalid block number and the one below stay unused.
const FIRST_VERSION_BLOCK: u32 = u32::MAX - 1 - VERSION_BLOCKS;

impl RowId {
    /// The largest row id.
    pub const LAST: RowId = RowId(FIRST_VERSION_BLOCK as u64 * ROWS_PER_BLOCK - 1);

    /// The first row of a block.
    pub fn first_of_block(block: u32) -> RowId {
        RowId(u64::from(block) * ROWS_PER_BLOCK)
    }
}

/// A row's or version's address, as PostgreSQL writes it: block and offset from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tid {
    /// Block.
    pub block: u32,
    /// Offset in the block, from 1.
    pub offset: u16,
}

/// What a TID names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A row, in the version that a snapshot sees.
    Row(RowId),
    /// A version that the running transaction made, by its number in the transaction.
    Version(u64),
    /// Nothing: no TID of ours looks like this.
    Nothing,
}

impl Tid {
    /// The TID of a row.
    pub fn of_row(row: RowId) -> Tid {
        debug_assert!(row <= RowId::LAST);
        Tid::of_index(row.0)
    }

    /// The TID of a version made by the running transaction. `None` when there are too many.
    pub fn of_version(number: u64) -> Option<Tid> {
        (number < u64::from(VERSION_BLOCKS) * ROWS_PER_BLOCK)
            .then(|| Tid::of_index(RowId::LAST.0 + 1 + number))
    }

    /// What this TID names.
    pub fn target(self) -> Target {
        let Some(index) = self.index() else { return Target::Nothing };
        match index.checked_sub(RowId::LAST.0 + 1) {
            None => Target::Row(RowId(index)),
            Some(number) => Target::Version(number),
        }
    }

    fn of_index(index: u64) -> Tid {
        Tid { block: (index / ROWS_PER_BLOCK) as u32, offset: (index % ROWS_PER_BLOCK) as u16 + 1 }
    }

    fn index(self) -> Option<u64> {
        let offset = u64::from(self.offset.checked_sub(1)?);
        (offset < ROWS_PER_BLOCK && self.block < u32::MAX - 1)
            .then(|| u64::from(self.block) * ROWS_PER_BLOCK + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges() {
        assert_eq!(Tid::of_row(RowId(0)), Tid { block: 0, offset: 1 });
        assert_eq!(Tid::of_row(RowId(256)), Tid { block: 1, offset: 1 });
        assert_eq!(Tid::of_row(RowId::LAST).target(), Target::Row(RowId::LAST));
        assert_eq!(Tid::of_version(0).map(Tid::target), Some(Target::Version(0)));
        let most = u64::from(VERSION_BLOCKS) * ROWS_PER_BLOCK;
        assert_eq!(Tid::of_version(most - 1).map(Tid::target), Some(Target::Version(most - 1)));
        assert_eq!(Tid::of_version(most), None);
        assert_eq!(Tid { block: u32::MAX, offset: 1 }.target(), Target::Nothing);
        assert_eq!(Tid { block: 0, offset: 0 }.target(), Target::Nothing);
        assert_eq!(Tid { block: 0, offset: 257 }.target(), Target::Nothing);
    }

    proptest! {
        #[test]
        fn rows_and_tids_are_in_the_same_order(a in 0..=RowId::LAST.0, b in 0..=RowId::LAST.0) {
            prop_assert_eq!(Tid::of_row(RowId(a)).cmp(&Tid::of_row(RowId(b))), a.cmp(&b));
            prop_assert_eq!(Tid::of_row(RowId(a)).target(), Target::Row(RowId(a)));
        }
    }
}
