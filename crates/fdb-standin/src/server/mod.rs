//! The server process.

mod conflicts;
mod data;
mod faults;
mod serve;

pub(crate) use data::{ADD, BYTE_MAX, CLEAR_RANGE, SET, STAMPED_VALUE};
pub use serve::{serve, tell};
