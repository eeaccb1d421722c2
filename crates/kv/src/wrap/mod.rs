//! Stores around stores, for tests: one writes down every call, one compares two engines, one
//! breaks things. They compose, and each passes the conformance suite.

mod faults;
mod mirror;
mod recorder;

pub use faults::{Fault, Faults, Plan, Rates};
pub use mirror::Mirror;
pub use recorder::{Log, Recorder};
