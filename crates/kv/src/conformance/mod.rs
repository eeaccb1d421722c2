//! The contract as tests: one suite that every engine and every wrapper must pass.
//!
//! An engine's tests say
//!
//! ```ignore
//! kv::conformance!(fixture());
//! ```
//!
//! where `fixture()` makes a [`Fixture`]: an empty store, clients of it as many as a case wants, and
//! the environment that they run in. The macro makes one `#[test]` of every case, in a module per
//! chapter of the contract, so that a failure has a name.
//!
//! Cases rely on nothing that the contract leaves open: a page may be shorter than asked for, a
//! read's version may run ahead of the last commit, a deferred batch may be applied at once, a wish
//! to stop may be seen or not where nothing waits. Sizes follow [`crate::Limits`].

mod client;
mod real;

pub mod batches;
pub mod checks;
pub mod deferred;
pub mod limits;
pub mod mapped;
pub mod model;
pub mod outcomes;
pub mod reads;
pub mod scans;
pub mod versions;
pub mod waiting;

pub use client::{Client, Entries, Fixture};
pub use reads::WATCHED;
pub use real::Real;

/// Makes a test of every case of the conformance suite. The argument is an expression that makes a
/// fresh [`Fixture`](crate::conformance::Fixture); it is evaluated once per case.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance_cases! { $fixture;
            batches {
                operations_apply_in_order
                put_clear_put_leaves_the_last
                the_last_put_of_a_key_wins
                a_clear_takes_its_start_and_spares_its_end
                a_clear_that_ends_before_it_starts_takes_nothing
                deletes_of_absent_keys_do_nothing
                an_empty_batch_commits
                stamps_are_the_version_of_the_commit
                given_versions_are_left_alone
                counters_begin_at_zero_and_wrap
                counters_follow_what_the_batch_did_before
                counters_add_up_over_clients
                archives_copy_the_state_before_the_batch
                archives_of_absent_keys_copy_nothing
                archives_read_by_the_engine
                a_batch_outlives_a_trip_through_bytes
            }
            checks {
                equal_and_newer_bounds_pass
                an_older_bound_conflicts
                absent_keys_pass
                deleted_keys_pass
                the_zero_stamp_passes_everything
                a_range_is_checked_from_start_to_before_end
                an_empty_range_passes
                checks_see_the_state_before_the_batch
                a_conflict_leaves_nothing
                the_first_of_two_writers_wins
                what_was_observed_changes_no_answer
            }
            deferred {
                a_flush_makes_it_visible
                a_later_commit_comes_after_it
                batches_apply_in_order
                a_failure_shows_later_and_stops_what_follows
                a_failure_outlasts_a_read
                it_leaves_a_marker
            }
            limits {
                the_longest_key_fits
                a_longer_key_is_refused
                a_longer_key_is_absent_when_read
                the_largest_value_fits
                a_larger_value_is_refused
                the_largest_batch_fits
                a_larger_batch_is_refused
                values_of_megabytes_keep_every_byte
                bulk_batches_fit
            }
            mapped {
                rows_stand_beside_their_entries_by_key_suffix
                rows_stand_beside_their_entries_by_value
                a_single_key_comes_with_its_row
                missing_rows_and_short_entries_are_absent
                pages_resume_in_both_directions
                an_empty_range_has_no_rows
                several_entries_may_share_a_row
            }
            model {
                random_batches_and_scans_agree_with_a_map
            }
            outcomes {
                a_commit_is_known_by_its_id
                a_commit_reported_undone_is_never_done
                a_commit_is_done_once
                a_conflict_is_not_committed
                every_client_gets_the_same_answer
            }
            reads {
                values_come_in_the_order_of_the_keys
                keys_may_be_neighbours
                a_watched_key_is_as_it_is_in_the_store
                an_empty_value_is_not_an_absent_one
                the_empty_key_is_absent
                no_keys_no_entries
                a_read_replaces_the_page
                clients_see_each_other
                a_version_that_is_enough_is_shown
                values_stand_where_the_layout_says
                status_names_the_engine
            }
            scans {
                keys_are_ordered_bytewise
                bounds_are_inclusive_and_exclusive
                a_range_that_ends_before_it_starts_is_empty
                pages_of_every_size_resume_forward
                pages_of_every_size_resume_backward
                pages_obey_their_row_budget
                pages_obey_their_byte_budget
                an_entry_beyond_the_budget_comes_alone
                the_last_page_says_so
                tickets_finish_out_of_order
                cancelled_tickets_disturb_nobody
                a_page_may_be_dropped_with_its_ticket
                a_scan_sees_what_was_acknowledged_before_it_started
                values_stand_where_the_layout_says
            }
            versions {
                versions_grow_with_every_commit
                versions_grow_over_clients
                a_read_shows_what_was_acknowledged
                no_commit_slips_under_a_version_that_was_read
                the_floor_rises_and_never_falls
                every_reply_carries_the_floor
                a_conflict_does_not_raise_the_floor
                moments_become_versions
            }
            waiting {
                a_wish_to_stop_is_an_error_or_an_answer
                an_interrupted_commit_can_be_settled
            }
        }
    };
}

/// The list of cases of [`conformance!`] as tests.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($fixture:expr; $($chapter:ident { $($case:ident)+ })+) => {
        $(mod $chapter {
            #[allow(unused_imports, reason = "the fixture may be named by a path")]
            use super::*;
            $(#[test]
            fn $case() {
                $crate::conformance::$chapter::$case(&$fixture);
            })+
        })+
    };
}
