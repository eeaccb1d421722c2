//! The functions of `fdb_c.h` that the `foundationdb` crate calls.

use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::future::{Answer, Callback, Future, KeyValue};
use super::network;
use super::transaction::{Database, Transaction};
use crate::server::CLEAR_RANGE;

const API_VERSION: c_int = 730;
const UNSUPPORTED: i32 = 2108;

static SELECTED: AtomicI32 = AtomicI32::new(0);

/// # Safety
/// The pointer is one that the library gave out and did not take back.
unsafe fn borrow<'a, T>(pointer: *const c_void) -> &'a T {
    // SAFETY: the caller says so.
    unsafe { &*pointer.cast::<T>() }
}

/// # Safety
/// The bytes are there, and stay as they are during the call.
unsafe fn bytes<'a>(pointer: *const u8, length: c_int) -> &'a [u8] {
    if length <= 0 {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { std::slice::from_raw_parts(pointer, length as usize) }
}

fn give(future: Arc<Future>) -> *mut c_void {
    Arc::into_raw(future).cast_mut().cast()
}

fn unsupported() -> *mut c_void {
    give(Future::ready(Err(UNSUPPORTED)))
}

/// # Safety
/// The future and the place for the answer are valid.
unsafe fn look<T>(
    future: *mut c_void,
    out: *mut T,
    look: impl FnOnce(&Answer) -> Option<T>,
) -> c_int {
    // SAFETY: the caller says so.
    match unsafe { borrow::<Future>(future) }.look(look) {
        Ok(answer) => {
            // SAFETY: the caller says so.
            unsafe { out.write(answer) };
            0
        }
        Err(code) => code,
    }
}

/// Defines functions of the library. What `fdb_c.h` demands of their callers makes each of them
/// safe to enter.
macro_rules! library {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)+) => {$(
        /// As `fdb_c.h` says.
        ///
        /// # Safety
        /// As `fdb_c.h` says.
        // SAFETY: this library is where the symbol comes from.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? {
            // SAFETY: the arguments are what fdb_c.h declares, and point to what it says.
            #[allow(unused_unsafe, reason = "not every function has a pointer to look behind")]
            unsafe { $body }
        }
    )+};
}

library! {
    fn fdb_get_error(code: c_int) -> *const c_char {
        let text = match code {
            0 => c"Success",
            1007 => c"Transaction is too old to perform reads or be committed",
            1009 => c"Request for future version",
            1020 => c"Transaction not committed due to conflict with another transaction",
            1021 => c"Transaction may or may not have committed",
            1025 => c"Operation aborted because the transaction was cancelled",
            1031 => c"Operation aborted because the transaction timed out",
            1037 => c"Storage process does not have recent mutations",
            1039 => c"The protocol version of the cluster has changed",
            1213 => c"Transaction tag is being throttled",
            2101 => c"Transaction exceeds byte limit",
            2102 => c"Key length exceeds limit",
            2103 => c"Value length exceeds limit",
            2104 => c"Connection string invalid",
            _ => c"An error of the stand-in",
        };
        text.as_ptr()
    }

    fn fdb_error_predicate(predicate: c_int, code: c_int) -> c_int {
        let maybe = matches!(code, 1021 | 1039);
        let not = matches!(code, 1007 | 1009 | 1020 | 1037 | 1038 | 1042 | 1051 | 1078 | 1213 | 1223);
        let is = match predicate {
            50000 => maybe || not,
            50001 => maybe,
            50002 => not,
            _ => false,
        };
        is.into()
    }

    fn fdb_get_max_api_version() -> c_int { API_VERSION }

    fn fdb_select_api_version_impl(runtime: c_int, header: c_int) -> c_int {
        if runtime > header || header > API_VERSION {
            return 2203;
        }
        match SELECTED.compare_exchange(0, runtime, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => 0,
            Err(_) => 2201,
        }
    }

    fn fdb_network_set_option(_option: c_int, _value: *const u8, _length: c_int) -> c_int { 0 }
    fn fdb_setup_network() -> c_int { network::set_up() }
    fn fdb_run_network() -> c_int { network::run() }
    fn fdb_stop_network() -> c_int { network::stop() }

    fn fdb_future_destroy(future: *mut c_void) {
        let future = Arc::from_raw(future.cast::<Future>().cast_const());
        future.answer(Err(1101));
    }

    fn fdb_future_is_ready(future: *mut c_void) -> c_int {
        borrow::<Future>(future).is_ready().into()
    }

    fn fdb_future_set_callback(
        future: *mut c_void,
        callback: Option<Callback>,
        parameter: *mut c_void,
    ) -> c_int {
        let Some(callback) = callback else { return 2000 };
        borrow::<Future>(future).set_callback(callback, future, parameter);
        0
    }

    fn fdb_future_get_error(future: *mut c_void) -> c_int {
        borrow::<Future>(future).look(|_| Some(())).err().unwrap_or(0)
    }

    fn fdb_future_get_int64(future: *mut c_void, out: *mut i64) -> c_int {
        look(future, out, |answer| match answer {
            Answer::Version(version) => Some(*version as i64),
            _ => None,
        })
    }

    fn fdb_future_get_key(future: *mut c_void, key: *mut *const u8, length: *mut c_int) -> c_int {
        let mut found: (*const u8, c_int) = (std::ptr::null(), 0);
        let code = look(future, &raw mut found, |answer| match answer {
            Answer::Value(Some(value)) => Some((value.as_ptr(), value.len() as c_int)),
            _ => None,
        });
        if code == 0 {
            key.write(found.0);
            length.write(found.1);
        }
        code
    }

    fn fdb_future_get_value(
        future: *mut c_void,
        present: *mut c_int,
        value: *mut *const u8,
        length: *mut c_int,
    ) -> c_int {
        let mut found: (c_int, *const u8, c_int) = (0, std::ptr::null(), 0);
        let code = look(future, &raw mut found, |answer| match answer {
            Answer::Value(None) => Some((0, std::ptr::null(), 0)),
            Answer::Value(Some(value)) => Some((1, value.as_ptr(), value.len() as c_int)),
            _ => None,
        });
        if code == 0 {
            present.write(found.0);
            value.write(found.1);
            length.write(found.2);
        }
        code
    }

    fn fdb_future_get_keyvalue_array(
        future: *mut c_void,
        array: *mut *const KeyValue,
        count: *mut c_int,
        more: *mut c_int,
    ) -> c_int {
        let mut found: (*const KeyValue, c_int, c_int) = (std::ptr::null(), 0, 0);
        let code = look(future, &raw mut found, |answer| match answer {
            Answer::Entries(entries) => {
                let array = &entries.array;
                Some((array.as_ptr(), array.len() as c_int, entries.more.into()))
            }
            _ => None,
        });
        if code == 0 {
            array.write(found.0);
            count.write(found.1);
            more.write(found.2);
        }
        code
    }

    fn fdb_future_get_mappedkeyvalue_array(
        _future: *mut c_void,
        _array: *mut c_void,
        _count: *mut c_int,
        _more: *mut c_int,
    ) -> c_int { UNSUPPORTED }

    fn fdb_future_get_key_array(
        _future: *mut c_void,
        _array: *mut c_void,
        _count: *mut c_int,
    ) -> c_int { UNSUPPORTED }

    fn fdb_future_get_string_array(
        _future: *mut c_void,
        _array: *mut c_void,
        _count: *mut c_int,
    ) -> c_int { UNSUPPORTED }

    fn fdb_create_database(path: *const c_char, out: *mut *mut c_void) -> c_int {
        let Ok(path) = CStr::from_ptr(path).to_str() else { return 2104 };
        match Database::open(path) {
            Ok(database) => {
                out.write(Box::into_raw(Box::new(database)).cast());
                0
            }
            Err(code) => code,
        }
    }

    fn fdb_database_destroy(database: *mut c_void) {
        drop(Box::from_raw(database.cast::<Database>()));
    }

    fn fdb_database_set_option(
        _database: *mut c_void,
        _option: c_int,
        _value: *const u8,
        _length: c_int,
    ) -> c_int { 0 }

    fn fdb_database_create_transaction(database: *mut c_void, out: *mut *mut c_void) -> c_int {
        let transaction = borrow::<Database>(database).transaction();
        out.write(Box::into_raw(Box::new(transaction)).cast());
        0
    }

    fn fdb_database_get_main_thread_busyness(_database: *mut c_void) -> c_double { 0.0 }
    fn fdb_database_get_client_status(database: *mut c_void) -> *mut c_void {
        let status = borrow::<Database>(database).status();
        give(Future::ready(Ok(Answer::Value(Some(status)))))
    }

    fn fdb_transaction_destroy(transaction: *mut c_void) {
        drop(Box::from_raw(transaction.cast::<Transaction>()));
    }

    fn fdb_transaction_cancel(transaction: *mut c_void) {
        borrow::<Transaction>(transaction).cancel();
    }

    fn fdb_transaction_reset(transaction: *mut c_void) {
        borrow::<Transaction>(transaction).reset();
    }

    fn fdb_transaction_set_option(
        transaction: *mut c_void,
        option: c_int,
        _value: *const u8,
        _length: c_int,
    ) -> c_int {
        borrow::<Transaction>(transaction).set_option(option);
        0
    }

    fn fdb_transaction_set_read_version(transaction: *mut c_void, version: i64) {
        borrow::<Transaction>(transaction).set_read_version(version as u64);
    }

    fn fdb_transaction_get_read_version(transaction: *mut c_void) -> *mut c_void {
        give(borrow::<Transaction>(transaction).get_read_version())
    }

    fn fdb_transaction_get(
        transaction: *mut c_void,
        key: *const u8,
        length: c_int,
        snapshot: c_int,
    ) -> *mut c_void {
        give(borrow::<Transaction>(transaction).get(bytes(key, length), snapshot != 0))
    }

    fn fdb_transaction_get_key(
        _transaction: *mut c_void,
        _key: *const u8,
        _length: c_int,
        _or_equal: c_int,
        _offset: c_int,
        _snapshot: c_int,
    ) -> *mut c_void { unsupported() }

    fn fdb_transaction_get_addresses_for_key(
        _transaction: *mut c_void,
        _key: *const u8,
        _length: c_int,
    ) -> *mut c_void { unsupported() }

    fn fdb_transaction_get_range(
        transaction: *mut c_void,
        begin: *const u8,
        begin_length: c_int,
        begin_or_equal: c_int,
        begin_offset: c_int,
        end: *const u8,
        end_length: c_int,
        end_or_equal: c_int,
        end_offset: c_int,
        limit: c_int,
        target_bytes: c_int,
        mode: c_int,
        _iteration: c_int,
        snapshot: c_int,
        reverse: c_int,
    ) -> *mut c_void {
        let bound = |key: &[u8], or_equal: c_int| match or_equal {
            0 => key.to_vec(),
            _ => [key, &[0]].concat(),
        };
        if begin_offset != 1 || end_offset != 1 {
            return unsupported();
        }
        let range = (
            bound(bytes(begin, begin_length), begin_or_equal),
            bound(bytes(end, end_length), end_or_equal),
        );
        // EXACT without a limit in bytes goes on until it has its rows; everything else is content
        // with what a server sends at once.
        let exact = mode == 0;
        if exact && limit <= 0 && target_bytes <= 0 {
            return give(Future::ready(Err(2210)));
        }
        let rows = if limit > 0 { limit as u64 } else { u64::MAX >> 1 };
        let bytes = match target_bytes {
            0 if exact => 0,
            0 => 80_000,
            target => target as u64,
        };
        let limits = (rows, bytes);
        let transaction = borrow::<Transaction>(transaction);
        give(transaction.get_range(range, limits, snapshot != 0, reverse != 0))
    }

    fn fdb_transaction_get_mapped_range(
        _transaction: *mut c_void,
        _begin: *const u8, _begin_length: c_int, _begin_or_equal: c_int, _begin_offset: c_int,
        _end: *const u8, _end_length: c_int, _end_or_equal: c_int, _end_offset: c_int,
        _mapper: *const u8, _mapper_length: c_int,
        _limit: c_int, _target_bytes: c_int, _mode: c_int, _iteration: c_int,
        _snapshot: c_int, _reverse: c_int,
    ) -> *mut c_void { unsupported() }

    fn fdb_transaction_get_estimated_range_size_bytes(
        _transaction: *mut c_void,
        _begin: *const u8, _begin_length: c_int,
        _end: *const u8, _end_length: c_int,
    ) -> *mut c_void { unsupported() }

    fn fdb_transaction_get_range_split_points(
        _transaction: *mut c_void,
        _begin: *const u8, _begin_length: c_int,
        _end: *const u8, _end_length: c_int,
        _chunk_size: i64,
    ) -> *mut c_void { unsupported() }

    fn fdb_transaction_set(
        transaction: *mut c_void,
        key: *const u8, key_length: c_int,
        value: *const u8, value_length: c_int,
    ) {
        let (key, value) = (bytes(key, key_length), bytes(value, value_length));
        borrow::<Transaction>(transaction).mutate(crate::server::SET, key, value);
    }

    fn fdb_transaction_atomic_op(
        transaction: *mut c_void,
        key: *const u8, key_length: c_int,
        parameter: *const u8, parameter_length: c_int,
        operation: c_int,
    ) {
        let (key, parameter) = (bytes(key, key_length), bytes(parameter, parameter_length));
        borrow::<Transaction>(transaction).mutate(operation as u8, key, parameter);
    }

    fn fdb_transaction_clear(transaction: *mut c_void, key: *const u8, length: c_int) {
        let key = bytes(key, length);
        borrow::<Transaction>(transaction).mutate(CLEAR_RANGE, key, &[key, &[0]].concat());
    }

    fn fdb_transaction_clear_range(
        transaction: *mut c_void,
        begin: *const u8, begin_length: c_int,
        end: *const u8, end_length: c_int,
    ) {
        let (begin, end) = (bytes(begin, begin_length), bytes(end, end_length));
        borrow::<Transaction>(transaction).mutate(CLEAR_RANGE, begin, end);
    }

    fn fdb_transaction_watch(
        _transaction: *mut c_void,
        _key: *const u8,
        _length: c_int,
    ) -> *mut c_void { unsupported() }

    fn fdb_transaction_commit(transaction: *mut c_void) -> *mut c_void {
        give(borrow::<Transaction>(transaction).commit())
    }

    fn fdb_transaction_get_committed_version(transaction: *mut c_void, out: *mut i64) -> c_int {
        match borrow::<Transaction>(transaction).committed_version() {
            Ok(version) => {
                out.write(version as i64);
                0
            }
            Err(code) => code,
        }
    }

    fn fdb_transaction_get_approximate_size(_transaction: *mut c_void) -> *mut c_void {
        unsupported()
    }

    fn fdb_transaction_get_versionstamp(_transaction: *mut c_void) -> *mut c_void { unsupported() }

    fn fdb_transaction_on_error(transaction: *mut c_void, code: c_int) -> *mut c_void {
        if fdb_error_predicate(50000, code) == 0 {
            return give(Future::ready(Err(code)));
        }
        borrow::<Transaction>(transaction).reset();
        give(Future::ready(Ok(Answer::Done)))
    }

    fn fdb_transaction_add_conflict_range(
        transaction: *mut c_void,
        begin: *const u8, begin_length: c_int,
        end: *const u8, end_length: c_int,
        kind: c_int,
    ) -> c_int {
        let (begin, end) = (bytes(begin, begin_length), bytes(end, end_length));
        borrow::<Transaction>(transaction).add_conflict(begin.to_vec(), end.to_vec(), kind == 0)
    }
}
