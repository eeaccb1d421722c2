//! FoundationDB's C interface, spoken to the server over its socket.

// What C hands over are pointers.
#![allow(unsafe_code)]

mod api;
mod future;
mod link;
mod network;
mod transaction;
