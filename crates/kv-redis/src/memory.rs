//! What is remembered of a namespace, so that a server that lost data is found out.

use kv::{Result, Version};

/// What is known of a namespace: enough to tell whether it is still the same and has lost nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The random id that it got when it was made.
    pub id: [u8; 16],
    /// The newest version that was seen there.
    pub version: Version,
}

impl Known {
    /// With the newer version of both, if both are about the same namespace.
    pub(crate) fn newest(self, other: Option<Known>) -> Known {
        let newest = other.filter(|other| other.id == self.id).map(|other| other.version);
        Known { version: self.version.max(newest.unwrap_or_default()), ..self }
    }
}

/// Where what is known outlives a handle, and is shared by handles that use the same namespace.
///
/// With it, what one of them was told by the server is what all others, and later ones, expect of
/// it. Without it, each handle knows what it saw itself.
pub trait Memory {
    /// The newest that was noted, ever; none if nothing was.
    fn recall(&self) -> Option<Known>;

    /// Remembers this, unless something newer is remembered already. The first id that is noted
    /// stays, and another is `LostData`.
    fn note(&self, known: Known) -> Result<()>;
}
