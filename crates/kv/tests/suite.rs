//! The conformance suite finds what is wrong: every defect here breaks one sentence of the
//! contract, and the case that guards this sentence fails.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use kv::conformance::{self as suite, Fixture};
use kv::environment::Simulated;
use kv::memory::Memory;
use kv::{
    Batch, CommitId, Direction, Durability, Environment, Limits, Op, Outcome, Page, ReadStamp,
    Result, ScanRequest, Status, Store, Ticket, Version,
};

/// What is wrong with an engine.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Defect {
    None,
    ForgetsMore,
    LosesEmptyValues,
    IncludesTheEnd,
    IgnoresDirection,
    IgnoresRowBudget,
    IgnoresByteBudget,
    DropsTheLayout,
    SkipsChecks,
    SkipsRangeChecks,
    ChecksLate,
    AppliesBackwards,
    ArchivesLate,
    DropsDeferred,
    AppliesBeforeConflict,
    CommitsTwice,
    DoesNotFence,
    ForgetsOutcomes,
    ShowsTooNewVersions,
    ShowsTooOldVersions,
    ForgetsTheFloor,
    IgnoresLimits,
    TruncatesValues,
}

use Defect as D;

struct Broken {
    inner: Memory,
    defect: Defect,
    committed: Rc<RefCell<HashMap<CommitId, Version>>>,
}

/// The operations of a batch that pass, in the batch's order.
fn only(batch: &Batch, passes: impl Fn(&Op<'_>) -> bool) -> Batch {
    of(batch, batch.ops().filter(passes))
}

fn of<'a>(batch: &Batch, ops: impl Iterator<Item = Op<'a>>) -> Batch {
    let mut rewritten = Batch::new(batch.id, batch.durability);
    ops.for_each(|op| add(&mut rewritten, &op));
    rewritten
}

/// A batch of the same kind under another name, so that one may follow the other.
fn renamed(mut batch: Batch, env: &dyn Environment) -> Batch {
    batch.id = CommitId::random(env);
    batch
}

fn is_check(op: &Op<'_>) -> bool {
    matches!(op, Op::Check { .. } | Op::CheckRange { .. })
}

fn add(batch: &mut Batch, op: &Op<'_>) {
    match *op {
        Op::Check { key, newest } => batch.check(key, newest),
        Op::CheckRange { start, end, newest } => batch.check_range(start, end, newest),
        Op::Put { key, value } => batch.put(key, value),
        Op::PutStamped { key, value } => batch.put_stamped(key, &[&value[kv::STAMP..]]),
        Op::Delete { key } => batch.delete(key),
        Op::Clear { start, end } => batch.clear(start, end),
        Op::Add { key, delta } => batch.add(key, delta),
        Op::Archive { key, to, .. } => batch.archive(key, to, None),
        Op::RaiseFloor { floor } => batch.raise_floor(floor),
    }
}

impl Broken {
    fn distort(&self, mut stamp: ReadStamp) -> ReadStamp {
        match self.defect {
            D::ShowsTooNewVersions => stamp.version.0 += 1000,
            D::ShowsTooOldVersions => stamp.version.0 = stamp.version.0.saturating_sub(1),
            D::ForgetsTheFloor => stamp.floor = Version::ZERO,
            _ => {}
        }
        stamp
    }

    fn spoil(&self, page: &mut Page) {
        let mut spoiled = Page::default();
        for i in 0..page.len() {
            match page.get(i) {
                Some([]) if self.defect == D::LosesEmptyValues => spoiled.push_absent(page.key(i)),
                Some(value) if self.defect == D::TruncatesValues => {
                    spoiled.push(page.key(i), &value[..value.len().min(1000)]);
                }
                Some(value) => spoiled.push(page.key(i), value),
                None => spoiled.push_absent(page.key(i)),
            }
        }
        spoiled.set_more(page.more() && self.defect != D::ForgetsMore);
        match self.defect {
            D::DropsTheLayout => *page = spoiled,
            _ => page.copy_from(&spoiled),
        }
    }

    fn bend(&self, mut request: ScanRequest) -> ScanRequest {
        match self.defect {
            D::IncludesTheEnd => request.end.push(0),
            D::IgnoresDirection => request.direction = Direction::Forward,
            D::IgnoresRowBudget => request.max_rows = usize::MAX,
            D::IgnoresByteBudget => request.max_bytes = usize::MAX,
            _ => {}
        }
        request
    }

    fn commit_badly(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        let inner = &self.inner;
        match self.defect {
            D::SkipsChecks => inner.commit(&only(batch, |op| !is_check(op)), env),
            D::SkipsRangeChecks => {
                let kept = |op: &Op<'_>| !matches!(op, Op::CheckRange { .. });
                inner.commit(&only(batch, kept), env)
            }
            D::ChecksLate => {
                inner.commit(&renamed(only(batch, |op| !is_check(op)), env), env)?;
                inner.commit(&only(batch, is_check), env)
            }
            D::AppliesBeforeConflict => inner.commit(batch, env).inspect_err(|_| {
                let unchecked = only(batch, |op| matches!(op, Op::Put { .. }));
                let _ = inner.commit(&renamed(unchecked, env), env);
            }),
            D::AppliesBackwards => {
                let ops: Vec<Op<'_>> = batch.ops().collect();
                inner.commit(&of(batch, ops.into_iter().rev()), env)
            }
            D::ArchivesLate => {
                let archives = |op: &Op<'_>| matches!(op, Op::Archive { .. });
                let version = inner.commit(&only(batch, |op| !archives(op)), env)?;
                inner.commit(&renamed(only(batch, archives), env), env)?;
                Ok(version)
            }
            D::DropsDeferred if batch.durability == Durability::Deferred => Ok(Version::ZERO),
            D::CommitsTwice => inner.commit(&renamed(batch.clone(), env), env),
            _ => inner.commit(batch, env),
        }
    }
}

impl Store for Broken {
    fn limits(&self) -> Limits {
        let limits = self.inner.limits();
        match self.defect {
            D::IgnoresLimits => {
                Limits { max_key: 50, max_value: 1000, max_batch: 9000, bulk_batch: 9000, ..limits }
            }
            _ => limits,
        }
    }

    fn status(&self, env: &dyn Environment) -> Result<Status> {
        self.inner.status(env)
    }

    fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
        self.inner.read_version(env).map(|stamp| self.distort(stamp))
    }

    fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
        self.inner.version_at(micros, env)
    }

    fn get_many(
        &self,
        keys: &[&[u8]],
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<ReadStamp> {
        let stamp = self.inner.get_many(keys, page, env)?;
        self.spoil(page);
        Ok(self.distort(stamp))
    }

    fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
        self.inner.start_scan(request)
    }

    fn finish_scan(
        &self,
        ticket: Ticket,
        page: &mut Page,
        env: &dyn Environment,
    ) -> Result<(ReadStamp, ScanRequest)> {
        let request = ticket.request.clone();
        let bent = Ticket { request: self.bend(ticket.request), ..ticket };
        let (stamp, _) = self.inner.finish_scan(bent, page, env)?;
        self.spoil(page);
        Ok((self.distort(stamp), request))
    }

    fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
        let version = self.commit_badly(batch, env)?;
        self.committed.borrow_mut().insert(batch.id, version);
        Ok(version)
    }

    fn flush(&self, env: &dyn Environment) -> Result<()> {
        self.inner.flush(env)
    }

    fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
        match self.defect {
            D::ForgetsOutcomes => Ok(Outcome::NotCommitted),
            D::DoesNotFence => Ok(match self.committed.borrow().get(&id) {
                Some(version) => Outcome::Committed(*version),
                None => Outcome::NotCommitted,
            }),
            _ => self.inner.outcome(id, env),
        }
    }
}

fn fixture(defect: Defect) -> Fixture {
    let (memory, committed) = (Memory::default(), Rc::default());
    Fixture::new(Simulated::new(5), move || {
        Box::new(Broken { inner: memory.handle(), defect, committed: Rc::clone(&committed) })
    })
}

type Case = fn(&Fixture);

/// Every defect, and the cases that must notice it.
const GUARDS: &[(Defect, &[Case])] = &[
    (D::ForgetsMore, &[suite::scans::pages_of_every_size_resume_forward]),
    (D::LosesEmptyValues, &[suite::reads::an_empty_value_is_not_an_absent_one]),
    (D::IncludesTheEnd, &[suite::scans::bounds_are_inclusive_and_exclusive]),
    (D::IgnoresDirection, &[suite::scans::pages_of_every_size_resume_backward]),
    (D::IgnoresRowBudget, &[suite::scans::pages_obey_their_row_budget]),
    (
        D::IgnoresByteBudget,
        &[
            suite::scans::pages_obey_their_byte_budget,
            suite::scans::an_entry_beyond_the_budget_comes_alone,
        ],
    ),
    (
        D::DropsTheLayout,
        &[
            suite::scans::values_stand_where_the_layout_says,
            suite::reads::values_stand_where_the_layout_says,
        ],
    ),
    (
        D::SkipsChecks,
        &[
            suite::checks::an_older_bound_conflicts,
            suite::checks::the_first_of_two_writers_wins,
            suite::model::random_batches_and_scans_agree_with_a_map,
        ],
    ),
    (
        D::SkipsRangeChecks,
        &[
            suite::checks::a_range_is_checked_from_start_to_before_end,
            suite::model::random_batches_and_scans_agree_with_a_map,
        ],
    ),
    (D::ChecksLate, &[suite::checks::checks_see_the_state_before_the_batch]),
    (D::AppliesBeforeConflict, &[suite::checks::a_conflict_leaves_nothing]),
    (
        D::AppliesBackwards,
        &[
            suite::batches::operations_apply_in_order,
            suite::batches::put_clear_put_leaves_the_last,
            suite::batches::the_last_put_of_a_key_wins,
            suite::model::random_batches_and_scans_agree_with_a_map,
        ],
    ),
    (D::ArchivesLate, &[suite::batches::archives_copy_the_state_before_the_batch]),
    (D::DropsDeferred, &[suite::deferred::a_flush_makes_it_visible]),
    (D::CommitsTwice, &[suite::outcomes::a_commit_is_done_once]),
    (D::DoesNotFence, &[suite::outcomes::a_commit_reported_undone_is_never_done]),
    (D::ForgetsOutcomes, &[suite::outcomes::a_commit_is_known_by_its_id]),
    (D::ShowsTooNewVersions, &[suite::versions::no_commit_slips_under_a_version_that_was_read]),
    (D::ShowsTooOldVersions, &[suite::versions::a_read_shows_what_was_acknowledged]),
    (D::ForgetsTheFloor, &[suite::versions::every_reply_carries_the_floor]),
    (
        D::IgnoresLimits,
        &[
            suite::limits::a_longer_key_is_refused,
            suite::limits::a_larger_value_is_refused,
            suite::limits::a_larger_batch_is_refused,
        ],
    ),
    (D::TruncatesValues, &[suite::limits::values_of_megabytes_keep_every_byte]),
];

#[test]
fn every_defect_is_noticed() {
    for (defect, guards) in GUARDS {
        for (number, guard) in guards.iter().enumerate() {
            guard(&fixture(D::None));
            let noticed = catch_unwind(AssertUnwindSafe(|| guard(&fixture(*defect)))).is_err();
            assert!(noticed, "guard {number} does not notice {defect:?}");
        }
    }
}
