//! One read version, and what is read at it.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::Pin;

use foundationdb::future::FdbSlice;
use foundationdb::{FdbResult, Transaction};
use kv::{ReadStamp, Version};

use crate::client::{Client, Metadata};
use crate::failure::{Attempt, corrupt};
use crate::keys::METADATA_VERSION;

pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = FdbResult<T>>>>;

/// What is under way since the view was opened.
struct Opening {
    version: Pending<i64>,
    metadata: Pending<Option<FdbSlice>>,
}

/// A transaction that only reads.
pub(crate) struct View {
    transaction: Transaction,
    opening: RefCell<Option<Opening>>,
    stamp: Cell<Option<ReadStamp>>,
    /// The cluster's metadata version, once the stamp is known, if it may be read.
    metadata: OnceCell<Metadata>,
}

impl View {
    /// Asks for a read version, or takes the given one, and waits for nothing.
    pub(crate) fn open(transaction: Transaction, at: Option<Version>) -> View {
        if let Some(at) = at {
            transaction.set_read_version(at.0 as i64);
        }
        let opening = Opening {
            version: Box::pin(transaction.get_read_version()),
            metadata: Box::pin(transaction.get(METADATA_VERSION, true)),
        };
        View {
            transaction,
            opening: RefCell::new(Some(opening)),
            stamp: Cell::new(None),
            metadata: OnceCell::new(),
        }
    }

    pub(crate) fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The read version, if it is known by now.
    pub(crate) fn known(&self) -> Option<Version> {
        self.stamp.get().map(|stamp| stamp.version)
    }

    /// The cluster's metadata version. `None` before the stamp is known, and where it may not be read.
    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.get()
    }

    /// The read version and the floor at it.
    pub(crate) async fn stamp(&self, client: &Client) -> Attempt<ReadStamp> {
        if let Some(stamp) = self.stamp.get() {
            return Ok(stamp);
        }
        let Some(opening) = self.opening.take() else {
            return Err(foundationdb::FdbError::from_code(1025).into());
        };
        let version = Version(opening.version.await? as u64);
        client.saw(version);
        let floor = match opening.metadata.await {
            Ok(metadata) => {
                let metadata =
                    self.metadata.get_or_init(|| metadata.as_deref().map(<[u8]>::to_vec));
                match client.floor_at(metadata) {
                    Some(floor) => floor,
                    None => {
                        let floor = self.read_floor(client).await?;
                        client.note_floor(metadata, floor);
                        floor
                    }
                }
            }
            Err(error) if error.is_retryable() => return Err(error.into()),
            // Not everybody may be allowed to read the cluster's own keys.
            Err(_) => self.read_floor(client).await?,
        };
        let stamp = ReadStamp { version, floor };
        self.stamp.set(Some(stamp));
        Ok(stamp)
    }

    async fn read_floor(&self, client: &Client) -> Attempt<Version> {
        let floor = self.transaction.get(&client.keys.floor(), true).await?;
        match floor.as_deref() {
            None => Ok(Version::ZERO),
            Some(bytes) => match Version::of_stamped(bytes) {
                Some(floor) => Ok(floor),
                None => Ok(corrupt("the floor")?),
            },
        }
    }
}
