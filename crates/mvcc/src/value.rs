//! What stands in front of every body: `version(8, big-endian) ‖ flags(1)`.

use kv::{Error, Layout, Page, Result, STAMP, Version};

/// Bytes in front of the body in a current slot.
pub const HEADER: usize = STAMP + 1;

/// The flags byte. A value outside of these bits, such as the one reserved for intents
/// ([`Flags::INTENT`]), was written by something newer than this code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flags(pub u8);

impl Flags {
    /// The key was deleted; there is no body.
    pub(crate) const TOMBSTONE: u8 = 0x01;
    /// The key had no earlier version that a reader could need: one whose snapshot is older need
    /// not look into the history.
    pub(crate) const FRESH: u8 = 0x02;
    /// Reserved for values written before their transaction commits.
    pub(crate) const INTENT: u8 = 0x80;

    pub(crate) fn tombstone(self) -> bool {
        self.0 & Flags::TOMBSTONE != 0
    }

    pub(crate) fn fresh(self) -> bool {
        self.0 & Flags::FRESH != 0
    }

    #[inline]
    fn checked(byte: u8) -> Result<Flags> {
        match byte & !(Flags::TOMBSTONE | Flags::FRESH) {
            0 => Ok(Flags(byte)),
            _ => Err(unknown_flags(byte)),
        }
    }
}

#[cold]
fn unknown_flags(byte: u8) -> Error {
    let what = if byte == Flags::INTENT { "an intent, which" } else { "flags that" };
    Error::Corrupt(format!("a value has {what} this version does not know ({byte:#04x})"))
}

/// The head of a current slot: its version, with zero read as `zero`, and its flags.
#[inline]
pub(crate) fn head(value: &[u8], zero: Version) -> Result<(Version, Flags)> {
    let version = Version::of_stamped(value);
    let (Some(version), Some(flags)) = (version, value.get(STAMP)) else { return Err(too_short()) };
    Ok((published(version, zero), Flags::checked(*flags)?))
}

/// The flags with which a history entry begins.
pub(crate) fn history_flags(entry: &[u8]) -> Result<Flags> {
    Flags::checked(*entry.first().ok_or_else(too_short)?)
}

/// The version at which a value became visible: version zero means "when its space was published".
#[inline]
pub(crate) fn published(version: Version, zero: Version) -> Version {
    if version == Version::ZERO { zero } else { version }
}

#[cold]
fn too_short() -> Error {
    Error::Corrupt("a value has no version and flags".into())
}

/// An empty page in which *bodies* are placed as `layout` says, for the reads of this crate.
///
/// The nine bytes of version and flags in front of a body count as headroom.
pub fn page(layout: Layout) -> Page {
    Page::new(Layout {
        headroom: layout.headroom.saturating_sub(HEADER),
        phase: layout.phase.wrapping_sub(HEADER) & 7,
    })
}

/// The body of an entry of a page made by [`page`] with this layout, with its headroom in front:
/// `layout.headroom` bytes that the caller may overwrite, then the body.
#[inline]
pub fn body_with_headroom(page: &mut Page, entry: usize, layout: Layout) -> &mut [u8] {
    let unused = HEADER.saturating_sub(layout.headroom);
    &mut page.value_with_headroom(entry)[unused..]
}

/// The store key of an entry, and its body as [`body_with_headroom`] gives it.
#[inline]
pub(crate) fn slot_and_body(page: &mut Page, entry: usize, layout: Layout) -> (&[u8], &mut [u8]) {
    let unused = HEADER.saturating_sub(layout.headroom);
    let (slot, value) = page.key_and_value_with_headroom(entry);
    (slot, &mut value[unused..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_lie_where_the_layout_says() {
        for headroom in 0..20 {
            for phase in 0..8 {
                let layout = Layout { headroom, phase };
                let mut page = page(layout);
                page.push(b"other", b"12345678.first");
                page.push(b"key", b"12345678.body");
                let bytes = body_with_headroom(&mut page, 1, layout);
                assert_eq!(&bytes[headroom..], b"body");
                assert_eq!(bytes[headroom..].as_ptr().addr() % 8, phase);
            }
        }
    }

    #[test]
    fn flags_of_the_future_are_refused() {
        assert!(matches!(head(b"12345678\x80", Version::ZERO), Err(Error::Corrupt(_))));
        assert!(matches!(head(b"12345678", Version::ZERO), Err(Error::Corrupt(_))));
    }
}
