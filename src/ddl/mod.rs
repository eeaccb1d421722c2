//! What makes plain SQL do the right thing: hooks, the space map, definitions in the store.

mod catalog;
pub(crate) mod definition;
mod hooks;
pub(crate) mod indexes;
mod latest;
pub(crate) mod mapping;
mod publications;
pub(crate) mod retyped;
mod sizes;
mod statements;
pub(crate) mod sweep;

pub(crate) use hooks::{forget_imported_snapshot, imported_snapshot};

/// Hangs the hooks in.
pub(crate) fn register() {
    hooks::register();
    indexes::register();
}
