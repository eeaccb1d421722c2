//! A pointer to a store is a store, so that wrappers and upper layers can own or share one.

use std::rc::Rc;

use crate::{
    Batch, CommitId, Environment, Limits, Mapping, Outcome, Page, ReadStamp, Result, ScanRequest,
    Status, Store, Ticket, Version,
};

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        // Default methods are forwarded too: an engine's own `scan_mapped` must not be lost.
        impl<S: Store + ?Sized> Store for $pointer {
            fn limits(&self) -> Limits {
                (**self).limits()
            }
            fn status(&self, env: &dyn Environment) -> Result<Status> {
                (**self).status(env)
            }
            fn read_version(&self, env: &dyn Environment) -> Result<ReadStamp> {
                (**self).read_version(env)
            }
            fn version_at(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
                (**self).version_at(micros, env)
            }
            fn horizon(&self, micros: u64, env: &dyn Environment) -> Result<Version> {
                (**self).horizon(micros, env)
            }
            fn get_many(
                &self,
                keys: &[&[u8]],
                page: &mut Page,
                env: &dyn Environment,
            ) -> Result<ReadStamp> {
                (**self).get_many(keys, page, env)
            }
            fn get_many_since(
                &self,
                since: Version,
                keys: &[&[u8]],
                page: &mut Page,
                env: &dyn Environment,
            ) -> Result<ReadStamp> {
                (**self).get_many_since(since, keys, page, env)
            }
            fn get_watched_since(
                &self,
                since: Version,
                key: &[u8],
                page: &mut Page,
                env: &dyn Environment,
            ) -> Result<ReadStamp> {
                (**self).get_watched_since(since, key, page, env)
            }
            fn start_scan_since(&self, since: Version, request: ScanRequest) -> Result<Ticket> {
                (**self).start_scan_since(since, request)
            }
            fn start_scan(&self, request: ScanRequest) -> Result<Ticket> {
                (**self).start_scan(request)
            }
            fn finish_scan(
                &self,
                ticket: Ticket,
                page: &mut Page,
                env: &dyn Environment,
            ) -> Result<(ReadStamp, ScanRequest)> {
                (**self).finish_scan(ticket, page, env)
            }
            fn cancel_scan(&self, ticket: Ticket) {
                (**self).cancel_scan(ticket)
            }
            fn scan_mapped(
                &self,
                request: ScanRequest,
                mapping: &Mapping,
                entries: &mut Page,
                rows: &mut Page,
                env: &dyn Environment,
            ) -> Result<(ReadStamp, ScanRequest)> {
                (**self).scan_mapped(request, mapping, entries, rows, env)
            }
            fn scan_mapped_since(
                &self,
                since: Version,
                request: ScanRequest,
                mapping: &Mapping,
                entries: &mut Page,
                rows: &mut Page,
                env: &dyn Environment,
            ) -> Result<(ReadStamp, ScanRequest)> {
                (**self).scan_mapped_since(since, request, mapping, entries, rows, env)
            }
            fn commit(&self, batch: &Batch, env: &dyn Environment) -> Result<Version> {
                (**self).commit(batch, env)
            }
            fn flush(&self, env: &dyn Environment) -> Result<()> {
                (**self).flush(env)
            }
            fn outcome(&self, id: CommitId, env: &dyn Environment) -> Result<Outcome> {
                (**self).outcome(id, env)
            }
        }
    )+};
}

forward!(&S, Box<S>, Rc<S>);
