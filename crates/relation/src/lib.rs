//! Tables as keys: which keys exist, what they hold, and how ids are handed out.
//!
//! | module | what |
//! |---|---|
//! | [`key`] | every key that can exist, on one screen |
//! | [`entry`] | index entries |
//! | [`row`] | row ids and their TIDs |
//! | [`space`] | physical tables: created, published, cleared |
//! | [`lease`] | ids handed out in blocks |
//! | [`namespace`] | whose the namespace is |
//! | [`definition`] | table definitions in MessagePack |

pub mod definition;
pub mod entry;
pub mod key;
pub mod lease;
pub mod namespace;
pub mod row;
pub mod space;

pub use key::Key;
pub use row::{RowId, Tid};
pub use space::Space;
