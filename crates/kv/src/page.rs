//! A page of entries: one reused arena plus offsets, not an allocation per row.

/// How values are placed in a page's arena, so that the reader can use them where they lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// Unused bytes left free in front of every value, which the reader may overwrite.
    pub headroom: usize,
    /// Every value begins at an address that is this much above a multiple of 8.
    pub phase: usize,
}

impl Layout {
    /// Where a value begins whose key ends here.
    fn value_after(self, key_end: usize) -> usize {
        let earliest = key_end + self.headroom;
        earliest + (self.phase.wrapping_sub(earliest) & 7)
    }
}

/// The first allocation of a page, in words: enough for a handful of rows.
const LEAST_WORDS: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: usize,
    key_len: u32,
    value_len: u32,
    value: usize,
    present: bool,
}

impl Entry {
    fn payload(&self) -> usize {
        self.key_len as usize + self.value_len as usize
    }
}

/// Entries of a range or of a list of keys, in one allocation.
#[derive(Debug, Default)]
pub struct Page {
    layout: Layout,
    /// Backed by words so that the arena begins at a multiple of 8.
    words: Vec<u64>,
    used: usize,
    entries: Vec<Entry>,
    payload: usize,
    more: bool,
}

impl Page {
    /// An empty page whose values will be placed as `layout` says.
    pub fn new(layout: Layout) -> Page {
        assert!(layout.phase < 8, "a phase is an offset from a multiple of 8");
        Page { layout, ..Page::default() }
    }

    /// Forgets the entries and keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.entries.clear();
        self.payload = 0;
        self.more = false;
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the range may have entries beyond this page.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Says whether the range may have entries beyond this page.
    pub fn set_more(&mut self, more: bool) {
        self.more = more;
    }

    /// Bytes of keys and values, without padding.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// The key of entry `i`.
    pub fn key(&self, i: usize) -> &[u8] {
        let e = &self.entries[i];
        &self.bytes()[e.key..e.key + e.key_len as usize]
    }

    /// The value of entry `i`; empty for a key that was not there.
    pub fn value(&self, i: usize) -> &[u8] {
        let e = &self.entries[i];
        &self.bytes()[e.value..e.value + e.value_len as usize]
    }

    /// The value of entry `i`, or `None` for a key that was not there.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        self.entries[i].present.then(|| self.value(i))
    }

    /// The value of entry `i` with its headroom in front: `layout.headroom` bytes that the caller
    /// may overwrite, then the value.
    pub fn value_with_headroom(&mut self, i: usize) -> &mut [u8] {
        let e = self.entries[i];
        let headroom = self.layout.headroom;
        &mut self.bytes_mut()[e.value - headroom..e.value + e.value_len as usize]
    }

    /// The key of entry `i`, and its value as [`Page::value_with_headroom`] gives it.
    pub fn key_and_value_with_headroom(&mut self, i: usize) -> (&[u8], &mut [u8]) {
        let e = self.entries[i];
        let headroom = self.layout.headroom;
        let value_end = e.value + e.value_len as usize;
        // The headroom begins behind the key, so the two do not overlap.
        let (front, back) = self.bytes_mut()[..value_end].split_at_mut(e.value - headroom);
        (&front[e.key..e.key + e.key_len as usize], back)
    }

    /// Adds an entry.
    #[inline]
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let key_at = self.used;
        let value_at = self.layout.value_after(key_at + key.len());
        self.reserve(value_at + value.len());
        // One bounds check for both: the arena is never shorter than what is used of it.
        let used = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut self.words)[key_at..self.used];
        let (head, tail) = used.split_at_mut(value_at - key_at);
        head[..key.len()].copy_from_slice(key);
        tail.copy_from_slice(value);
        self.entries.push(Entry {
            key: key_at,
            key_len: length(key),
            value_len: length(value),
            value: value_at,
            present: true,
        });
        self.payload += key.len() + value.len();
    }

    /// Adds an entry for a key that is not there.
    pub fn push_absent(&mut self, key: &[u8]) {
        self.push(key, &[]);
        if let Some(entry) = self.entries.last_mut() {
            entry.present = false;
        }
    }

    /// Replaces the contents by those of another page, placed as this page's layout says.
    pub fn copy_from(&mut self, other: &Page) {
        self.clear();
        for i in 0..other.len() {
            match other.get(i) {
                Some(value) => self.push(other.key(i), value),
                None => self.push_absent(other.key(i)),
            }
        }
        self.more = other.more;
    }

    /// Drops every entry from `len` on.
    pub fn truncate(&mut self, len: usize) {
        let Some(dropped) = self.entries.get(len..) else { return };
        self.payload -= dropped.iter().map(Entry::payload).sum::<usize>();
        self.used = dropped.first().map_or(self.used, |entry| entry.key);
        self.entries.truncate(len);
    }

    /// Makes the arena reach to `used`.
    #[inline]
    fn reserve(&mut self, used: usize) {
        if used > self.words.len() * size_of::<u64>() {
            self.grow(used.div_ceil(size_of::<u64>()));
        }
        self.used = used;
    }

    /// Fresh zeroed memory comes from the operating system as it is; enlarging a vector in place
    /// would write the zeroes once more, over what entries are about to overwrite.
    #[cold]
    fn grow(&mut self, words: usize) {
        let mut grown = vec![0; words.max(self.words.len() * 2).max(LEAST_WORDS)];
        let used = self.used.div_ceil(size_of::<u64>());
        grown[..used].copy_from_slice(&self.words[..used]);
        self.words = grown;
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("stores refuse keys and values of 4 GiB")
}
