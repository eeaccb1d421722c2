//! Whose the namespace is, and in which format.
//!
//! The first server that opens a namespace writes its identity and a random name into it. Another
//! server is refused: its row locks, row ids and space map would know nothing of the first one's.

use kv::{Batch, CommitId, Durability, Environment, Error, Page, Result, STAMP, Store, Version};
use mvcc::key::plain as plain_key;
use serde::{Deserialize, Serialize};

use crate::Key;

/// The format of keys and values that this code reads and writes.
pub const FORMAT: u32 = 1;

/// What stands in a namespace about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// Format of keys and values.
    pub format: u32,
    /// The PostgreSQL cluster: its system identifier.
    pub server: u64,
    /// A random name, by which a table knows the namespace that it was made in.
    pub name: u64,
}

/// Claims the namespace for a server, or finds that it is this server's already. Returns its name.
pub fn open(server: u64, store: &dyn Store, env: &dyn Environment) -> Result<u64> {
    let key = plain_key(&Key::Owner.encode());
    loop {
        if let Some(owner) = read(&key, store, env)? {
            return accept(&owner, server);
        }
        let owner = Owner { format: FORMAT, server, name: env.random() };
        let value = rmp_serde::to_vec_named(&owner).expect("an owner has no unserializable part");
        let mut batch = Batch::new(CommitId::random(env), Durability::Durable);
        batch.check(&key, Version::ZERO);
        batch.put_stamped(&key, &[&value]);
        match store.commit(&batch, env) {
            Ok(_) | Err(Error::Conflict { .. } | Error::OutcomeUnknown { .. }) => {}
            Err(error) => return Err(error),
        }
        if env.interrupted() {
            return Err(Error::Interrupted);
        }
    }
}

fn read(key: &[u8], store: &dyn Store, env: &dyn Environment) -> Result<Option<Owner>> {
    let mut page = Page::default();
    store.get_many(&[key], &mut page, env)?;
    let Some(value) = page.get(0) else { return Ok(None) };
    let body = value.get(STAMP..).unwrap_or_default();
    let owner = rmp_serde::from_slice(body)
        .map_err(|_| Error::Corrupt("the owner of the namespace cannot be read".into()))?;
    Ok(Some(owner))
}

fn accept(owner: &Owner, server: u64) -> Result<u64> {
    if owner.format != FORMAT {
        return Err(Error::WrongStore(format!(
            "the namespace has format {}, this version of fakegres reads format {FORMAT}",
            owner.format
        )));
    }
    if owner.server != server {
        return Err(Error::WrongStore(format!(
            "the namespace belongs to another PostgreSQL cluster (system identifier {}, this one is {server})",
            owner.server
        )));
    }
    Ok(owner.name)
}
