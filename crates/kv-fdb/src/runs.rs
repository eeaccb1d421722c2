//! Which keys of many are neighbours, so that a range has them.
//!
//! A range of a hundred keys costs a server and a client little more than one key, and a hundred keys cost
//! a hundred times as much. Rows that an index names in its order were mostly made in that order, and so
//! have neighbouring ids.

/// Fewest keys of a run: below that, a range costs as much as its keys.
const SHORTEST: usize = 4;
/// Most keys of a run. Longer ones are cut, so that servers work on them at the same time.
const LONGEST: usize = 64;
/// How far apart neighbours may be. What lies between them is read in vain.
pub(crate) const APART: u64 = 2;

/// Splits the keys into runs, each of its keys in ascending order, and the others. Keys are named by
/// their places.
pub(crate) fn runs(keys: &[Option<Vec<u8>>]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let (mut runs, mut others) = (Vec::new(), Vec::new());
    let mut order: Vec<usize> = (0..keys.len()).filter(|place| keys[*place].is_some()).collect();
    if order.len() < SHORTEST {
        return (runs, order);
    }
    order.sort_by_key(|place| &keys[*place]);
    let mut run: Vec<usize> = Vec::new();
    let mut close = |run: &mut Vec<usize>| {
        if run.len() < SHORTEST {
            others.append(run);
        } else {
            runs.push(std::mem::take(run));
        }
    };
    for place in order {
        let follows = |last: &usize| are_neighbours(keys[*last].as_ref(), keys[place].as_ref());
        if run.len() == LONGEST || !run.last().is_none_or(follows) {
            close(&mut run);
        }
        run.push(place);
    }
    close(&mut run);
    (runs, others)
}

/// Whether two keys are one but for their last bytes, which are numbers that follow each other closely.
fn are_neighbours(low: Option<&Vec<u8>>, high: Option<&Vec<u8>>) -> bool {
    let (Some(low), Some(high)) = (low, high) else { return false };
    let head = low.len().saturating_sub(size_of::<u32>());
    if low.len() != high.len() || low[..head] != high[..head] {
        return false;
    }
    let number = |tail: &[u8]| tail.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    number(&high[head..]) - number(&low[head..]) <= APART
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Option<Vec<u8>> {
        Some([b"rows".as_slice(), &n.to_be_bytes()].concat())
    }

    #[test]
    fn neighbours_in_any_order_are_one_run() {
        let keys: Vec<_> = (0..10).rev().map(key).collect();
        assert_eq!(runs(&keys), (vec![(0..10).rev().collect()], vec![]));
        let keys: Vec<_> = [7, 5, 3, 9].into_iter().map(key).collect();
        assert_eq!(runs(&keys), (vec![vec![2, 1, 0, 3]], vec![]));
    }

    #[test]
    fn numbers_are_carried_over_bytes() {
        let keys: Vec<_> = (254..260).map(key).collect();
        assert_eq!(runs(&keys).0.len(), 1);
    }

    #[test]
    fn few_keys_and_far_ones_are_on_their_own() {
        let keys: Vec<_> = (0..3).map(key).collect();
        assert_eq!(runs(&keys), (vec![], vec![0, 1, 2]));
        let keys: Vec<_> = (0..20).map(|n| key(n * 3)).collect();
        assert_eq!(runs(&keys), (vec![], (0..20).collect()));
        let keys: Vec<_> = [0, 1, 2, 3, 10, 20, 30].into_iter().map(key).collect();
        assert_eq!(runs(&keys), (vec![vec![0, 1, 2, 3]], vec![4, 5, 6]));
    }

    #[test]
    fn a_key_that_is_asked_for_twice_is_in_the_run_twice() {
        let keys: Vec<_> = [1, 2, 2, 3].into_iter().map(key).collect();
        assert_eq!(runs(&keys), (vec![vec![0, 1, 2, 3]], vec![]));
    }

    #[test]
    fn keys_of_other_lengths_and_heads_do_not_belong_together() {
        let longer = Some(b"rows\0\0\0\x02\0".to_vec());
        let other = Some(b"Rows\0\0\0\x03".to_vec());
        let keys = [key(1), longer, other, key(2), None, Some(Vec::new()), Some(vec![3])];
        let (runs, mut others) = runs(&keys);
        others.sort_unstable();
        assert_eq!((runs, others), (vec![], vec![0, 1, 2, 3, 5, 6]));
    }

    #[test]
    fn long_runs_are_cut() {
        let keys: Vec<_> = (0..LONGEST as u32 * 2 + 3).map(key).collect();
        let (runs, others) = runs(&keys);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST]);
        assert_eq!(others.len(), 3);
    }
}
