//! A stand-in for FoundationDB, for tests where no FoundationDB can be installed.
//!
//! Two halves, which talk over a Unix socket: [`server`], a process that keeps an ordered map in
//! memory with FoundationDB's semantics as far as `kv-fdb` relies on them, and `client`, a shared
//! library with FoundationDB's C interface, so that an engine's own code and its loader run
//! unchanged. A cluster file of the stand-in says `standin:standin@unix:/path/to/socket`, which
//! FoundationDB refuses, as the stand-in refuses FoundationDB's.
//!
//! What it has: versions that only commits make, and an empty one every two seconds, snapshots and
//! their five seconds, conflict ranges, groups of commits that share a version, versionstamped values,
//! atomic additions and maxima, `\xff/metadataVersion`, replies that end after 80,000 bytes and at the
//! ends of shards, limits of keys, values and transactions, and on demand errors and versions that
//! jump. What it has not: disks, more than one server, key selectors with offsets, watches, tenants,
//! mapped ranges. Nothing that a user installs contains it.

mod client;
pub mod server;
mod wire;
