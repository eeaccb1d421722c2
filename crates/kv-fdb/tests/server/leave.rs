//! A test program leaves the network thread before it exits, as every process must.

// The harness has no place for what is to be done at its end, and the C library has.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::Once;

unsafe extern "C" {
    fn atexit(function: extern "C" fn()) -> c_int;
}

extern "C" fn stop() {
    kv_fdb::stop_network();
}

/// Stops the network thread when this process exits. To be called when the client library is loaded.
pub(crate) fn stop_at_exit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function is there until the process ends, and is called before what the client
        // library registered, because that was loaded before.
        let registered = unsafe { atexit(stop) };
        assert_eq!(registered, 0, "the C library takes it");
    });
}
