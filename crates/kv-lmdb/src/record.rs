//! Every database, key and value that the engine adds to the data of a namespace.
//!
//! | database | key | value |
//! |---|---|---|
//! | `meta` | `format` | version of this format (4, big-endian) |
//! | `meta` | `ns/` name | last version (8), floor (8), big-endian |
//! | `data/` name | as the caller says | as the caller says |
//! | `commits/` name | 1, newest version (8, big-endian) | the commits of a group: id (16), version (8) each |
//! | `commits/` name | 2, id (16) | when it was promised never to be committed (8, microseconds) |
//!
//! One record names all commits of a group because ids are random: a record each would touch a page
//! each.

use kv::{CommitId, ReadStamp, Version};

/// The value of `format`.
pub(crate) const FORMAT: [u8; 4] = 2u32.to_be_bytes();
/// The format of files that LMDB synced itself. They become files of this one when they are opened.
pub(crate) const FORMAT_WITHOUT_LOG: [u8; 4] = 1u32.to_be_bytes();
/// Key of the format's version.
pub(crate) const FORMAT_KEY: &[u8] = b"format";
/// Name of the database that has one record per namespace.
pub(crate) const META: &str = "meta";
/// What keys of groups begin with.
pub(crate) const GROUP: u8 = 1;
/// What keys of fences begin with.
pub(crate) const FENCE: u8 = 2;

const COMMIT: usize = 24;

/// Name of the database with the data of a namespace.
pub(crate) fn data_name(namespace: &str) -> String {
    format!("data/{namespace}")
}

/// Name of the database with the markers of a namespace.
pub(crate) fn commits_name(namespace: &str) -> String {
    format!("commits/{namespace}")
}

/// Key of a namespace in `meta`.
pub(crate) fn stamp_key(namespace: &str) -> Vec<u8> {
    [b"ns/", namespace.as_bytes()].concat()
}

/// A stamp as it is stored.
pub(crate) fn encode_stamp(stamp: ReadStamp) -> [u8; 16] {
    (u128::from(stamp.version.0) << 64 | u128::from(stamp.floor.0)).to_be_bytes()
}

/// A stamp out of what is stored; none if it is damaged. A namespace without one has no commits.
pub(crate) fn decode_stamp(value: Option<&[u8]>) -> Option<ReadStamp> {
    let Some(value) = value else { return Some(ReadStamp::default()) };
    let both = u128::from_be_bytes(value.try_into().ok()?);
    Some(ReadStamp { version: Version((both >> 64) as u64), floor: Version(both as u64) })
}

/// Key of the record of the group whose newest commit is `version`.
pub(crate) fn group_key(version: Version) -> [u8; 9] {
    let mut key = [GROUP; 9];
    key[1..].copy_from_slice(&version.0.to_be_bytes());
    key
}

/// Key of the fence of an id.
pub(crate) fn fence_key(id: CommitId) -> [u8; 17] {
    let mut key = [FENCE; 17];
    key[1..].copy_from_slice(&id.0);
    key
}

/// The id of a fence, out of its key.
pub(crate) fn fenced(key: &[u8]) -> Option<CommitId> {
    Some(CommitId(key.strip_prefix(&[FENCE])?.try_into().ok()?))
}

/// The record of a group.
pub(crate) fn encode_group(commits: &[(CommitId, Version)]) -> Vec<u8> {
    let mut record = Vec::with_capacity(commits.len() * COMMIT);
    for (id, version) in commits {
        record.extend_from_slice(&id.0);
        record.extend_from_slice(&version.0.to_be_bytes());
    }
    record
}

/// The commits of a group; none if the record is damaged.
pub(crate) fn decode_group(record: &[u8]) -> Option<impl Iterator<Item = (CommitId, Version)>> {
    let (commits, rest) = record.as_chunks::<COMMIT>();
    rest.is_empty().then(|| commits.iter().map(decode_commit))
}

fn decode_commit(commit: &[u8; COMMIT]) -> (CommitId, Version) {
    let mut id = [0; 16];
    let mut version = [0; 8];
    id.copy_from_slice(&commit[..16]);
    version.copy_from_slice(&commit[16..]);
    (CommitId(id), Version(u64::from_be_bytes(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back() {
        let stamp = ReadStamp { version: Version(u64::MAX - 1), floor: Version(3) };
        assert_eq!(decode_stamp(Some(&encode_stamp(stamp))), Some(stamp));
        assert_eq!(decode_stamp(None), Some(ReadStamp::default()));
        assert_eq!(decode_stamp(Some(b"short")), None);
    }

    #[test]
    fn groups_come_back_and_sort_by_version() {
        let commits = vec![(CommitId([1; 16]), Version(5)), (CommitId([2; 16]), Version(6))];
        let record = encode_group(&commits);
        assert_eq!(decode_group(&record).map(Iterator::collect), Some(commits));
        assert!(decode_group(&record[1..]).is_none());
        assert!(group_key(Version(255)) < group_key(Version(256)));
        assert!(group_key(Version::MAX)[..] < fence_key(CommitId([0; 16]))[..]);
    }

    #[test]
    fn fences_come_back() {
        let id = CommitId([7; 16]);
        assert_eq!(fenced(&fence_key(id)), Some(id));
        assert_eq!(fenced(&group_key(Version(1))), None);
    }
}
