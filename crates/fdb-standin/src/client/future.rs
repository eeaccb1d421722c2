//! Answers that come later.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard};

/// As `fdb_c.h` declares it: without padding.
#[repr(C, packed(4))]
pub(super) struct KeyValue {
    key: *const u8,
    key_length: c_int,
    value: *const u8,
    value_length: c_int,
}

/// Entries of a range, and the array that shows them to C.
pub(super) struct Entries {
    _bytes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) array: Vec<KeyValue>,
    pub(super) more: bool,
}

impl Entries {
    pub(super) fn new(bytes: Vec<(Vec<u8>, Vec<u8>)>, more: bool) -> Entries {
        let show = |(key, value): &(Vec<u8>, Vec<u8>)| KeyValue {
            key: key.as_ptr(),
            key_length: key.len() as c_int,
            value: value.as_ptr(),
            value_length: value.len() as c_int,
        };
        let array = bytes.iter().map(show).collect();
        Entries { _bytes: bytes, array, more }
    }
}

pub(super) enum Answer {
    Done,
    Version(u64),
    Value(Option<Vec<u8>>),
    Entries(Entries),
}

// SAFETY: the pointers point into what the same value owns and nobody changes.
unsafe impl Send for Answer {}

pub(super) type Callback = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// What to call, with the future's address and the parameter.
struct Call(Callback, usize, usize);

#[derive(Default)]
struct State {
    answer: Option<Result<Answer, i32>>,
    callback: Option<Call>,
}

/// A future. C holds one reference, whoever answers another.
#[derive(Default)]
pub(super) struct Future {
    state: Mutex<State>,
}

impl Future {
    /// A future that is answered already.
    pub(super) fn ready(answer: Result<Answer, i32>) -> Arc<Future> {
        let future = Arc::new(Future::default());
        future.state().answer = Some(answer);
        future
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Answers, unless it was answered or cancelled before.
    pub(super) fn answer(&self, answer: Result<Answer, i32>) {
        let mut state = self.state();
        if state.answer.is_some() {
            return;
        }
        state.answer = Some(answer);
        let callback = state.callback.take();
        drop(state);
        if let Some(Call(callback, future, parameter)) = callback {
            // SAFETY: whoever set the callback keeps what it needs until it is called.
            unsafe { callback(future as *mut c_void, parameter as *mut c_void) };
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state().answer.is_some()
    }

    pub(super) fn set_callback(
        &self,
        callback: Callback,
        future: *mut c_void,
        parameter: *mut c_void,
    ) {
        let mut state = self.state();
        if state.answer.is_none() {
            state.callback = Some(Call(callback, future as usize, parameter as usize));
            return;
        }
        drop(state);
        // SAFETY: as in `answer`.
        unsafe { callback(future, parameter) };
    }

    /// Looks at the answer; 2015 (`future_not_set`) if there is none.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Answer) -> Option<T>) -> Result<T, i32> {
        match &self.state().answer {
            None => Err(2015),
            Some(Err(code)) => Err(*code),
            Some(Ok(answer)) => look(answer).ok_or(2000),
        }
    }
}
