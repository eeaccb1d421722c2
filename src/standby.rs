//! What a hot standby reads of a store that its primary writes.
//!
//! The standby's catalog is as old as the log that it has replayed; the store is the primary's and has
//! today's rows. What the primary drops, truncates or rewrites is gone from the store before the standby
//! hears of it, and would look empty. So a query looks at its end whether all that the transaction has read
//! is still there: a space goes with its record, in one commit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use pgrx::prelude::*;
use relation::Space;
use relation::space;

use crate::error::{OrRaise, raise};
use crate::pg::PerBackend;
use crate::transaction;

/// What this transaction has read on a standby.
static READ: PerBackend<RefCell<BTreeSet<Space>>> = PerBackend(RefCell::new(BTreeSet::new()));

/// The server is no standby, and never will be one again.
static IS_NONE: PerBackend<Cell<bool>> = PerBackend(Cell::new(false));

/// Whether this server is a standby, or otherwise still replays its log.
pub(crate) fn is_one() -> bool {
    if IS_NONE.get() {
        return false;
    }
    // SAFETY: reads shared memory.
    let is = unsafe { pg_sys::RecoveryInProgress() };
    IS_NONE.set(!is);
    is
}

/// Raises an error if this is a standby, which must not write to its primary's store.
pub(crate) fn refuse_writing() {
    if is_one() {
        raise(
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            "cannot change the store during recovery",
            "The primary can.",
        );
    }
}

/// Notes that a space is read.
pub(crate) fn reads(space: Space) {
    if is_one() {
        READ.borrow_mut().insert(space);
    }
}

/// Ends a query if what the transaction has read is not there any more.
pub(crate) fn check() {
    let spaces: Vec<Space> = READ.borrow().iter().copied().collect();
    if spaces.is_empty() {
        return;
    }
    let there = transaction::with(|active| {
        let (store, env) = (&*active.session.store, &*active.session.env);
        space::are_there(transaction::database(), &spaces, store, env)
    });
    if !there.or_raise() {
        conflict();
    }
}

/// Raises what PostgreSQL raises where replay takes away what a query reads.
pub(crate) fn conflict() -> ! {
    raise(
        PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        "canceling statement due to conflict with recovery: the primary has dropped, truncated or rewritten what it reads",
        "Try again when the standby has replayed that.",
    )
}

/// The transaction is over.
pub(crate) fn forget() {
    READ.borrow_mut().clear();
}
