//! fakegres: PostgreSQL tables whose rows live in a key–value store.

// The extension is the only place that talks to PostgreSQL's C code.
#![allow(unsafe_code)]
// PostgreSQL decides how many arguments its callbacks have.
#![allow(clippy::too_many_arguments)]

mod changes;
mod compat;
mod compress;
mod ddl;
mod error;
mod home;
mod index_am;
mod inspect;
mod lock;
mod pg;
mod remembered;
mod row;
mod running;
mod session;
mod settings;
mod standby;
mod store;
mod table;
mod table_am;
mod transaction;
mod writer;

use pgrx::prelude::*;

pg_module_magic!();

/// Called when the library is loaded: in the postmaster if it is preloaded, else in a session.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    writer::check_creation();
    settings::register();
    transaction::register();
    ddl::register();
    writer::register();
    changes::register();
}
