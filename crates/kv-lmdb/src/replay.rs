//! Applying what the log has and LMDB has not.

use kv::{Batch, Durability, Error, Result};

use crate::apply::Applier;
use crate::failure::Failure;
use crate::files::Files;
use crate::journal::read;
use crate::log::{Item, Segment, decode};
use crate::namespace::{self, Namespace};

/// Bytes of records that are applied in one transaction.
const MAX_BYTES: usize = 4 << 20;
/// Records that are: each may clear much, and a transaction can become too large for LMDB.
const MAX_RECORDS: usize = 64;

/// A replay of the log.
pub(crate) struct Replay<'a> {
    files: &'a Files,
    max_map: usize,
    namespaces: Vec<Namespace>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(files: &'a Files, max_map: usize) -> Replay<'a> {
        Replay { files, max_map, namespaces: Vec::new() }
    }

    /// Applies the records of these segments that are not applied yet.
    pub(crate) fn run(mut self, tail: &[Segment]) -> Result<()> {
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        read(tail, |body| {
            bytes += body.len();
            bodies.push(body);
            if bytes < MAX_BYTES && bodies.len() < MAX_RECORDS {
                return Ok(());
            }
            bytes = 0;
            self.apply(&std::mem::take(&mut bodies))
        })?;
        self.apply(&bodies)
    }

    /// Applies records in one transaction.
    fn apply(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let mut items = Vec::new();
        for body in bodies {
            items.extend(decode(body).ok_or_else(|| damaged("a record cannot be decoded"))?);
        }
        for item in &items {
            self.open(item.namespace())?;
        }
        while let Err(failure) = self.try_apply(&items) {
            self.namespaces.iter_mut().for_each(Namespace::roll_back);
            match failure {
                Failure::MapFull if self.files.grow(self.max_map)? => {}
                // They may have been too much for one transaction only together.
                Failure::Full(_) if bodies.len() > 1 => {
                    return bodies
                        .iter()
                        .try_for_each(|body| self.apply(std::slice::from_ref(body)));
                }
                Failure::Refused(error) => return Err(damaged(&error.to_string())),
                failure => return Err(failure.into_error()),
            }
        }
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<()> {
        while !self.namespaces.iter().any(|known| known.name == name) {
            match namespace::open(self.files, name) {
                Ok(opened) => self.namespaces.push(opened),
                Err(Failure::MapFull) if self.files.grow(self.max_map)? => {}
                Err(failure) => return Err(failure.into_error()),
            }
        }
        Ok(())
    }

    fn try_apply(&mut self, items: &[Item<'_>]) -> std::result::Result<(), Failure> {
        let files = self.files;
        let (mut txn, mut scratch) = (files.write()?, Vec::new());
        for item in items {
            let mut known = self.namespaces.iter_mut();
            let Some(namespace) = known.find(|known| known.name == item.namespace()) else {
                return Err(Failure::Fatal(damaged("a record is of a namespace that is not open")));
            };
            match *item {
                // The file has it already.
                Item::Commit { version, .. } if version <= namespace.stamp.version => {}
                Item::Commit { id, version, ops, .. } => {
                    let batch = Batch::decode(id, Durability::Durable, ops.to_vec());
                    let batch = batch.map_err(Failure::Fatal)?;
                    let (txn, scratch) = (&mut txn, &mut scratch);
                    Applier { files, namespace, txn, scratch }.write(&batch, version)?;
                }
                Item::Fence { id, made, .. } => {
                    namespace.fence(id, made, &mut txn).map_err(|e| files.failure(e))?;
                }
            }
        }
        for namespace in &mut self.namespaces {
            // At the beginning of time no marker is old.
            namespace.save(&mut txn, 0).map_err(|e| files.failure(e))?;
        }
        txn.commit().map_err(|e| files.failure(e))?;
        self.namespaces.iter_mut().for_each(Namespace::committed);
        Ok(())
    }
}

fn damaged(what: &str) -> Error {
    Error::Corrupt(format!("the store's log is damaged: {what}"))
}
