//! What must live while a value is looked at.

use std::alloc::{Layout, dealloc};
use std::cell::RefCell;

use pgrx::prelude::*;

/// Owns the parts of a value that had to be made: sort keys, elements, detoasted bytes. Making one
/// allocates nothing, so that types which are read in place cost nothing.
#[derive(Default)]
pub(super) struct Arena {
    kept: RefCell<Vec<Kept>>,
}

enum Kept {
    Rust(*mut u8, Layout),
    Postgres(*mut pg_sys::varlena),
}

impl Arena {
    /// Keeps a slice as long as the arena lives. Nothing is dropped but its memory, which is all that
    /// there is of values that can be copied.
    pub(super) fn keep<T: Copy>(&self, values: Vec<T>) -> &[T] {
        let values = Box::leak(values.into_boxed_slice());
        let layout = Layout::for_value(&*values);
        if layout.size() > 0 {
            self.kept.borrow_mut().push(Kept::Rust(values.as_mut_ptr().cast(), layout));
        }
        values
    }

    /// Keeps one value.
    pub(super) fn keep_one<T: Copy>(&self, value: T) -> &T {
        &self.keep(vec![value])[0]
    }

    /// Frees what PostgreSQL allocated when the arena ends.
    pub(super) fn own(&self, allocated: *mut pg_sys::varlena) -> *mut pg_sys::varlena {
        self.kept.borrow_mut().push(Kept::Postgres(allocated));
        allocated
    }
}

impl Drop for Arena {
    /// PostgreSQL frees its own memory after an error and must not be called then.
    #[inline]
    fn drop(&mut self) {
        for kept in self.kept.get_mut().drain(..) {
            // SAFETY: `keep` and `own` say what was allocated how, and handed out no borrow that
            // outlives the arena.
            unsafe {
                match kept {
                    Kept::Rust(pointer, layout) => dealloc(pointer, layout),
                    Kept::Postgres(pointer) if !std::thread::panicking() => {
                        pg_sys::pfree(pointer.cast());
                    }
                    Kept::Postgres(_) => {}
                }
            }
        }
    }
}
