//! The keys that recent commits wrote, so that checking a range costs what was written since the
//! snapshot and not what the range holds.

use std::collections::VecDeque;

use kv::Version;

const MAX_BYTES: usize = 16 << 20;
const OVERHEAD: usize = 48;

/// A bounded log of written keys, oldest first.
#[derive(Debug)]
pub(crate) struct RecentWrites {
    keys: VecDeque<(Version, Box<[u8]>)>,
    bytes: usize,
    /// Every key written after this version is in the log.
    complete_after: Version,
}

impl RecentWrites {
    /// A log that knows nothing of what was committed up to `version`.
    pub(crate) fn starting_after(version: Version) -> RecentWrites {
        RecentWrites { keys: VecDeque::new(), bytes: 0, complete_after: version }
    }

    /// Notes that the commit `version`, the newest one, wrote a key whose value begins with `stamp`.
    pub(crate) fn push(&mut self, version: Version, stamp: Version, key: &[u8]) {
        if stamp > version {
            // A stamp out of the future cannot be found by its commit's version.
            self.complete_after = Version::MAX;
        }
        self.bytes += key.len() + OVERHEAD;
        self.keys.push_back((version, key.into()));
        while self.bytes > MAX_BYTES {
            let Some((dropped, key)) = self.keys.pop_front() else { break };
            self.bytes -= key.len() + OVERHEAD;
            self.complete_after = self.complete_after.max(dropped);
        }
    }

    /// Forgets what commits after `version` wrote: they were rolled back.
    pub(crate) fn roll_back(&mut self, version: Version) {
        while let Some((_, key)) = self.keys.pop_back_if(|(written, _)| *written > version) {
            self.bytes -= key.len() + OVERHEAD;
        }
    }

    /// The keys written after `newest`, newest first; none if the log does not reach back so far.
    pub(crate) fn since(&self, newest: Version) -> Option<impl Iterator<Item = &[u8]>> {
        let recent = self.keys.iter().rev().take_while(move |(version, _)| *version > newest);
        (newest >= self.complete_after).then(|| recent.map(|(_, key)| &**key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(log: &RecentWrites, newest: u64) -> Option<Vec<Vec<u8>>> {
        log.since(Version(newest)).map(|keys| keys.map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn shows_what_is_newer_and_nothing_else() {
        let mut log = RecentWrites::starting_after(Version(10));
        log.push(Version(11), Version(11), b"a");
        log.push(Version(12), Version(0), b"b");
        assert_eq!(seen(&log, 9), None);
        assert_eq!(seen(&log, 10), Some(vec![b"b".to_vec(), b"a".to_vec()]));
        assert_eq!(seen(&log, 11), Some(vec![b"b".to_vec()]));
        assert_eq!(seen(&log, 12), Some(vec![]));
    }

    #[test]
    fn forgets_the_oldest_and_knows_it() {
        let mut log = RecentWrites::starting_after(Version(0));
        let key = vec![7; 1 << 20];
        (1..=20).for_each(|version| log.push(Version(version), Version(version), &key));
        assert_eq!(seen(&log, 3), None);
        assert_eq!(seen(&log, 18).map(|keys| keys.len()), Some(2));
    }

    #[test]
    fn forgets_what_was_rolled_back() {
        let mut log = RecentWrites::starting_after(Version(0));
        log.push(Version(1), Version(1), b"kept");
        log.push(Version(2), Version(2), b"lost");
        log.roll_back(Version(1));
        assert_eq!(seen(&log, 0), Some(vec![b"kept".to_vec()]));
    }

    #[test]
    fn a_stamp_out_of_the_future_ends_the_shortcut() {
        let mut log = RecentWrites::starting_after(Version(0));
        log.push(Version(5), Version(50), b"future");
        assert_eq!(seen(&log, 10), None);
    }
}
