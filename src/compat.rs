//! Everything that differs between PostgreSQL 15, 16, 17 and 18, and what pgrx does not bind.

use pgrx::prelude::*;

unsafe extern "C-unwind" {
    fn PreCommit_CheckForSerializationFailure();

    /// Without pgrx's guard, which costs more than the call: it fails only for a slot of another
    /// kind, and the callers' slots are ours.
    pub(crate) fn ExecStoreHeapTuple(
        tuple: *mut pg_sys::HeapTupleData,
        slot: *mut pg_sys::TupleTableSlot,
        should_free: bool,
    ) -> *mut pg_sys::TupleTableSlot;

    // pgrx's own declarations of these stand behind a guard; see `ddl::hooks`.
    pub(crate) fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const core::ffi::c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        receiver: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
    pub(crate) fn standard_planner(
        query: *mut pg_sys::Query,
        text: *const core::ffi::c_char,
        options: i32,
        params: pg_sys::ParamListInfo,
    ) -> *mut pg_sys::PlannedStmt;
    pub(crate) fn standard_ExecutorFinish(query: *mut pg_sys::QueryDesc);
    pub(crate) fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: i32);
    #[cfg(not(feature = "pg18"))]
    pub(crate) fn standard_ExecutorRun(
        query: *mut pg_sys::QueryDesc,
        direction: pg_sys::ScanDirection::Type,
        count: u64,
        execute_once: bool,
    );
    #[cfg(feature = "pg18")]
    pub(crate) fn standard_ExecutorRun(
        query: *mut pg_sys::QueryDesc,
        direction: pg_sys::ScanDirection::Type,
        count: u64,
    );
}

/// PostgreSQL's check that a SERIALIZABLE transaction may commit, for its heap tables. It is made
/// before the store commits, because nothing may fail afterwards.
pub(crate) fn check_for_serialization_failure() {
    // SAFETY: called in the pre-commit phase, where PostgreSQL itself calls it a little later.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| PreCommit_CheckForSerializationFailure()) }
}

/// The end of what PostgreSQL has put into its log so far, on disk or not.
pub(crate) fn end_of_log() -> pg_sys::XLogRecPtr {
    const SHORT: u64 = size_of::<pg_sys::XLogPageHeaderData>() as u64;
    const LONG: u64 = size_of::<pg_sys::XLogLongPageHeaderData>() as u64;
    // SAFETY: reads the position, and a setting that is fixed.
    let (next, segment) =
        unsafe { (pg_sys::GetXLogInsertRecPtr(), pg_sys::wal_segment_size as u64) };
    // Where the next record begins: behind the next page's header, if the last one has filled its page.
    match next % u64::from(pg_sys::XLOG_BLCKSZ) {
        LONG if next % segment == LONG => next - LONG,
        SHORT => next - SHORT,
        _ => next,
    }
}

/// Which file PostgreSQL thinks a relation is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Locator {
    pub(crate) tablespace: pg_sys::Oid,
    pub(crate) number: pg_sys::Oid,
}

#[cfg(feature = "pg15")]
pub(crate) type RawLocator = pg_sys::RelFileNode;
#[cfg(not(feature = "pg15"))]
pub(crate) type RawLocator = pg_sys::RelFileLocator;

/// The locator of an open relation.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn locator(relation: pg_sys::Relation) -> Locator {
    // SAFETY: the caller's promise.
    unsafe { from_raw(&raw_locator(relation)) }
}

#[cfg(feature = "pg15")]
unsafe fn raw_locator(relation: pg_sys::Relation) -> RawLocator {
    // SAFETY: the caller's promise.
    unsafe { (*relation).rd_node }
}
#[cfg(not(feature = "pg15"))]
unsafe fn raw_locator(relation: pg_sys::Relation) -> RawLocator {
    // SAFETY: the caller's promise.
    unsafe { (*relation).rd_locator }
}

/// As `pg_class.reltablespace` has it: the database's own tablespace, which ALTER DATABASE may
/// change, is zero.
fn own_name(tablespace: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: set when the backend connects to its database.
    if tablespace == unsafe { pg_sys::MyDatabaseTableSpace } {
        pg_sys::InvalidOid
    } else {
        tablespace
    }
}

/// A locator out of PostgreSQL's.
#[cfg(feature = "pg15")]
pub(crate) fn from_raw(raw: &RawLocator) -> Locator {
    Locator { tablespace: own_name(raw.spcNode), number: raw.relNode }
}
/// A locator out of PostgreSQL's.
#[cfg(not(feature = "pg15"))]
pub(crate) fn from_raw(raw: &RawLocator) -> Locator {
    Locator { tablespace: own_name(raw.spcOid), number: raw.relNumber }
}

/// Makes the empty file that PostgreSQL expects of every relation; removed if the transaction aborts.
pub(crate) fn create_file(raw: RawLocator, persistence: core::ffi::c_char) {
    // SAFETY: creates and closes a file that belongs to the running transaction.
    unsafe {
        let file = pg_sys::RelationCreateStorage(raw, persistence, true);
        pg_sys::smgrclose(file);
    }
}

macro_rules! count {
    ($name:ident, $old:ident, $new:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// `relation` must be open.
        pub(crate) unsafe fn $name(relation: pg_sys::Relation, n: i64) {
            // SAFETY: the statistics entry lives as long as the relation is open.
            unsafe {
                if (*relation).pgstat_info.is_null() && (*relation).pgstat_enabled {
                    pg_sys::pgstat_assoc_relation(relation);
                }
                if let Some(info) = (*relation).pgstat_info.as_mut() {
                    #[cfg(feature = "pg15")]
                    {
                        info.t_counts.$old += n;
                    }
                    #[cfg(not(feature = "pg15"))]
                    {
                        info.counts.$new += n;
                    }
                }
            }
        }
    };
}

count!(count_scan, t_numscans, numscans, "Counts a sequential scan.");
count!(count_fetched, t_tuples_fetched, tuples_fetched, "Counts rows that an index led to.");
count!(count_returned, t_tuples_returned, tuples_returned, "Counts rows that a scan returned.");

/// Counts an inserted row.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn count_insert(relation: pg_sys::Relation) {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::pgstat_count_heap_insert(relation, 1) }
}

/// Counts an updated row.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn count_update(relation: pg_sys::Relation) {
    // SAFETY: the caller's promise.
    #[cfg(feature = "pg15")]
    unsafe {
        pg_sys::pgstat_count_heap_update(relation, false)
    }
    // SAFETY: the caller's promise.
    #[cfg(not(feature = "pg15"))]
    unsafe {
        pg_sys::pgstat_count_heap_update(relation, false, false)
    }
}

/// Counts a deleted row.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn count_delete(relation: pg_sys::Relation) {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::pgstat_count_heap_delete(relation) }
}

/// Which index entries an update needs, as `tuple_update` says it.
#[cfg(feature = "pg15")]
pub(crate) type UpdateIndexes = bool;
#[cfg(not(feature = "pg15"))]
pub(crate) type UpdateIndexes = pg_sys::TU_UpdateIndexes::Type;

/// No index entry is needed.
#[cfg(feature = "pg15")]
pub(crate) const UPDATE_NO_INDEX: UpdateIndexes = false;
#[cfg(not(feature = "pg15"))]
pub(crate) const UPDATE_NO_INDEX: UpdateIndexes = pg_sys::TU_UpdateIndexes::TU_None;

/// The indexes of the row need new entries where the update changed them.
#[cfg(feature = "pg15")]
pub(crate) const UPDATE_INDEXES: UpdateIndexes = true;
#[cfg(not(feature = "pg15"))]
pub(crate) const UPDATE_INDEXES: UpdateIndexes = pg_sys::TU_UpdateIndexes::TU_All;

/// The columns that indexes use, in expressions and predicates too.
#[cfg(feature = "pg15")]
pub(crate) const INDEXED_COLUMNS: pg_sys::IndexAttrBitmapKind::Type =
    pg_sys::IndexAttrBitmapKind::INDEX_ATTR_BITMAP_ALL;
#[cfg(not(feature = "pg15"))]
pub(crate) const INDEXED_COLUMNS: pg_sys::IndexAttrBitmapKind::Type =
    pg_sys::IndexAttrBitmapKind::INDEX_ATTR_BITMAP_HOT_BLOCKING;

unsafe extern "C-unwind" {
    /// Without a guard: it compares bytes and cannot fail.
    pub(crate) fn datumIsEqual(
        a: pg_sys::Datum,
        b: pg_sys::Datum,
        by_value: bool,
        length: i32,
    ) -> bool;
}

/// Tells the statistics system what a VACUUM found.
///
/// # Safety
/// `relation` must be open.
pub(crate) unsafe fn report_vacuum(relation: pg_sys::Relation, live: i64, dead: i64) {
    // SAFETY: the caller's promise.
    unsafe {
        let (oid, shared) = ((*relation).rd_id, (*(*relation).rd_rel).relisshared);
        #[cfg(not(feature = "pg18"))]
        pg_sys::pgstat_report_vacuum(oid, shared, live, dead);
        #[cfg(feature = "pg18")]
        pg_sys::pgstat_report_vacuum(oid, shared, live, dead, pg_sys::GetCurrentTimestamp());
    }
}

/// Writes what a VACUUM found into `pg_class`.
///
/// # Safety
/// `relation` must be open, in the transaction of a VACUUM.
pub(crate) unsafe fn update_relstats(relation: pg_sys::Relation, pages: u32, rows: f64) {
    let (none, no_multi) = (pg_sys::InvalidTransactionId, pg_sys::MultiXactId::from(0));
    let (mut a, mut b) = (false, false);
    // SAFETY: the caller's promise.
    unsafe {
        let indexed = (*(*relation).rd_rel).relhasindex;
        #[cfg(not(feature = "pg18"))]
        pg_sys::vac_update_relstats(
            relation, pages, rows, 0, indexed, none, no_multi, &mut a, &mut b, false,
        );
        #[cfg(feature = "pg18")]
        pg_sys::vac_update_relstats(
            relation, pages, rows, 0, 0, indexed, none, no_multi, &mut a, &mut b, false,
        );
    }
}

/// Visits a node of a query tree.
pub(crate) type Walker =
    unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut core::ffi::c_void) -> bool;

unsafe extern "C-unwind" {
    #[cfg_attr(not(feature = "pg15"), link_name = "query_tree_walker_impl")]
    fn query_tree_walker(
        query: *mut pg_sys::Node,
        walker: Walker,
        context: *mut core::ffi::c_void,
        flags: i32,
    ) -> bool;
    #[cfg_attr(not(feature = "pg15"), link_name = "expression_tree_walker_impl")]
    fn expression_tree_walker(
        node: *mut pg_sys::Node,
        walker: Walker,
        context: *mut core::ffi::c_void,
    ) -> bool;
}

/// Visits everything in a query, subqueries too.
///
/// # Safety
/// `query` must be a live query and `context` what the walker expects.
pub(crate) unsafe fn walk_query(
    query: *mut pg_sys::Node,
    walker: Walker,
    context: *mut core::ffi::c_void,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| query_tree_walker(query, walker, context, 0)) }
}

/// Visits the children of an expression.
///
/// # Safety
/// `node` must be live and `context` what the walker expects.
pub(crate) unsafe fn walk_expression(
    node: *mut pg_sys::Node,
    walker: Walker,
    context: *mut core::ffi::c_void,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| expression_tree_walker(node, walker, context)) }
}

/// Support functions of a btree operator class (`BTNProcs`).
#[cfg(not(feature = "pg18"))]
pub(crate) const BTREE_SUPPORT: u16 = 5;
/// Support functions of a btree operator class (`BTNProcs`).
#[cfg(feature = "pg18")]
pub(crate) const BTREE_SUPPORT: u16 = 6;
/// The support function that takes options (`BTOPTIONS_PROC`).
pub(crate) const BTREE_OPTIONS: u16 = 5;

unsafe extern "C-unwind" {
    /// The options of a btree index, which ours takes, too.
    pub(crate) fn btoptions(options: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea;

    /// A table and what inherits from it.
    pub(crate) fn find_all_inheritors(
        table: pg_sys::Oid,
        lock: pg_sys::LOCKMODE,
        parents: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;

    pub(crate) fn btcostestimate(
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::IndexPath,
        loops: f64,
        startup: *mut pg_sys::Cost,
        total: *mut pg_sys::Cost,
        selectivity: *mut pg_sys::Selectivity,
        correlation: *mut f64,
        pages: *mut f64,
    );

    #[cfg(feature = "pg18")]
    fn bttranslatestrategy(
        strategy: pg_sys::StrategyNumber,
        family: pg_sys::Oid,
    ) -> pg_sys::CompareType::Type;
    #[cfg(feature = "pg18")]
    fn bttranslatecmptype(
        comparison: pg_sys::CompareType::Type,
        family: pg_sys::Oid,
    ) -> pg_sys::StrategyNumber;
}

/// What only some versions have in the routine of an index access method.
#[cfg(not(feature = "pg18"))]
pub(crate) fn complete_index_routine(_routine: &mut pg_sys::IndexAmRoutine) {}

/// What only some versions have in the routine of an index access method.
#[cfg(feature = "pg18")]
pub(crate) fn complete_index_routine(routine: &mut pg_sys::IndexAmRoutine) {
    routine.amconsistentequality = true;
    routine.amconsistentordering = true;
    routine.amtranslatestrategy = Some(bttranslatestrategy);
    routine.amtranslatecmptype = Some(bttranslatecmptype);
}

/// A sort of `bytea` values, bytewise.
///
/// # Safety
/// Called in the memory context in which the sort may live.
pub(crate) unsafe fn sort_bytes() -> *mut pg_sys::Tuplesortstate {
    // SAFETY: the operator is PostgreSQL's own.
    unsafe {
        pg_sys::tuplesort_begin_datum(
            pg_sys::BYTEAOID,
            pg_sys::Oid::from(BYTEA_LESS),
            pg_sys::InvalidOid,
            false,
            pg_sys::maintenance_work_mem,
            std::ptr::null_mut(),
            pg_sys::TUPLESORT_NONE as i32,
        )
    }
}

/// Oid of the operator `bytea < bytea`, which PostgreSQL fixes.
const BYTEA_LESS: u32 = 1957;

/// The next value of a finished sort; it lives until the next call.
///
/// # Safety
/// `sort` must have been performed.
pub(crate) unsafe fn next_sorted(sort: *mut pg_sys::Tuplesortstate) -> Option<pg_sys::Datum> {
    let (mut value, mut null) = (pg_sys::Datum::from(0), false);
    let none = std::ptr::null_mut();
    // SAFETY: the caller's promise.
    #[cfg(feature = "pg15")]
    let more = unsafe { pg_sys::tuplesort_getdatum(sort, true, &mut value, &mut null, none) };
    // SAFETY: the caller's promise.
    #[cfg(not(feature = "pg15"))]
    let more =
        unsafe { pg_sys::tuplesort_getdatum(sort, true, false, &mut value, &mut null, none) };
    more.then_some(value)
}

/// Builds an index again.
///
/// # Safety
/// The caller holds an exclusive lock on the index's table.
pub(crate) unsafe fn reindex(index: pg_sys::Oid, persistence: core::ffi::c_char) {
    let mut params = pg_sys::ReindexParams { options: 0, tablespaceOid: pg_sys::InvalidOid };
    // SAFETY: the caller's promise.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    unsafe {
        pg_sys::reindex_index(index, false, persistence, &mut params);
    }
    // SAFETY: the caller's promise.
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    unsafe {
        pg_sys::reindex_index(std::ptr::null(), index, false, persistence, &mut params);
    }
}

unsafe extern "C-unwind" {
    fn toast_compress_datum(value: pg_sys::Datum, method: core::ffi::c_char) -> pg_sys::Datum;

    #[link_name = "datum_image_eq"]
    fn raw_datum_image_eq(
        a: pg_sys::Datum,
        b: pg_sys::Datum,
        by_value: bool,
        length: core::ffi::c_int,
    ) -> bool;
}

/// A value compressed by a column's method, if that makes it shorter.
///
/// # Safety
/// `value` must be a varlena in line that is not compressed.
pub(crate) unsafe fn compress(
    value: pg_sys::Datum,
    method: core::ffi::c_char,
) -> Option<*mut pg_sys::varlena> {
    // SAFETY: the caller's promise.
    let compressed =
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| toast_compress_datum(value, method)) };
    (compressed.value() != 0).then(|| compressed.cast_mut_ptr())
}

/// Whether two values have the same bytes, however they are compressed.
///
/// # Safety
/// The values must be of the type that `attribute` has.
pub(crate) unsafe fn datum_image_eq(
    a: pg_sys::Datum,
    b: pg_sys::Datum,
    attribute: &pg_sys::FormData_pg_attribute,
) -> bool {
    let length = i32::from(attribute.attlen);
    // SAFETY: the caller's promise.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| raw_datum_image_eq(a, b, attribute.attbyval, length))
    }
}

/// Begins a scan of all of an index.
///
/// # Safety
/// The relations must be open and the snapshot live.
pub(crate) unsafe fn index_beginscan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
) -> pg_sys::IndexScanDesc {
    // SAFETY: the caller's promise.
    #[cfg(not(feature = "pg18"))]
    unsafe {
        pg_sys::index_beginscan(table, index, snapshot, 0, 0)
    }
    // SAFETY: the caller's promise.
    #[cfg(feature = "pg18")]
    unsafe {
        pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), 0, 0)
    }
}

unsafe extern "C-unwind" {
    fn pg_newlocale_from_collation(collation: pg_sys::Oid) -> *mut core::ffi::c_void;

    #[link_name = "multirange_get_range"]
    fn raw_multirange_get_range(
        range: *mut pg_sys::TypeCacheEntry,
        multirange: *const pg_sys::varlena,
        i: i32,
    ) -> *mut pg_sys::varlena;

    /// PostgreSQL 18 takes the length as a signed number, which is passed in the same way.
    #[cfg(not(feature = "pg15"))]
    fn pg_strnxfrm(
        key: *mut u8,
        size: usize,
        text: *const u8,
        length: usize,
        locale: *mut core::ffi::c_void,
    ) -> usize;
}

/// How many ranges a multirange has.
///
/// # Safety
/// `multirange` must be one in line, with a long header.
pub(crate) unsafe fn multirange_count(multirange: *const pg_sys::varlena) -> i32 {
    // SAFETY: the caller's promise: the number follows the header and the type's oid.
    unsafe { *multirange.cast::<i32>().add(2) }
}

/// A copy of one of the ranges of a multirange, which the caller frees.
///
/// # Safety
/// As for [`multirange_count`], with an `i` below it, and `range` the entry of its range type.
pub(crate) unsafe fn multirange_get_range(
    range: *mut pg_sys::TypeCacheEntry,
    multirange: *const pg_sys::varlena,
    i: i32,
) -> *mut pg_sys::varlena {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| raw_multirange_get_range(range, multirange, i)) }
}

/// What makes the sort keys of a collation. It lives as long as the backend; null is the C library's
/// locale of the process, which is the database's.
#[derive(Clone, Copy)]
pub(crate) struct Locale(*mut core::ffi::c_void);

impl Locale {
    /// That of a collation of ICU or of the C library.
    pub(crate) fn of(collation: pg_sys::Oid) -> Locale {
        // SAFETY: raises an error for a collation that this server cannot use.
        Locale(unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| pg_newlocale_from_collation(collation))
        })
    }

    /// Makes `key` the sort key of a text.
    pub(crate) fn sort_key(self, text: &[u8], key: &mut Vec<u8>) {
        const BYTES_PER_BYTE: usize = 5;
        key.resize(text.len() * BYTES_PER_BYTE + 16, 0);
        let length = self.transform(text, key);
        let fits = length < key.len();
        key.resize(length + 1, 0);
        if !fits {
            self.transform(text, key);
        }
        key.truncate(length);
    }

    /// Writes a sort key if there is room for it and for a zero; its length.
    #[cfg(not(feature = "pg15"))]
    fn transform(self, text: &[u8], key: &mut [u8]) -> usize {
        let (start, size) = (key.as_mut_ptr(), key.len());
        // SAFETY: both slices are as long as it is told.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                pg_strnxfrm(start, size, text.as_ptr(), text.len(), self.0)
            })
        }
    }

    /// Writes a sort key if there is room for it and for a zero; its length.
    #[cfg(feature = "pg15")]
    fn transform(self, text: &[u8], key: &mut [u8]) -> usize {
        sort_key15::transform(self.0.cast(), text, key)
    }
}

/// What PostgreSQL has as `pg_strnxfrm` from 16 on.
#[cfg(feature = "pg15")]
mod sort_key15 {
    use std::ffi::{CStr, CString, c_char, c_int, c_void};
    use std::sync::OnceLock;

    use pgrx::prelude::*;

    /// The head of `pg_locale_struct`. `handle` is the C library's locale, or ICU's name of it.
    #[repr(C)]
    pub(super) struct RawLocale {
        provider: c_char,
        deterministic: bool,
        handle: *mut c_void,
        collator: *mut c_void,
    }

    unsafe extern "C" {
        fn strxfrm(key: *mut u8, text: *const c_char, size: usize) -> usize;
        fn strxfrm_l(key: *mut u8, text: *const c_char, size: usize, locale: *mut c_void) -> usize;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }

    type GetSortKey = unsafe extern "C" fn(*const c_void, *const u16, i32, *mut u8, i32) -> i32;
    type ToUchar = unsafe extern "C-unwind" fn(*mut *mut u16, *const u8, usize) -> i32;

    /// What a PostgreSQL with ICU has; looked up, so that one without it can load the extension too.
    #[derive(Clone, Copy)]
    struct Icu {
        to_uchar: ToUchar,
        get_sort_key: GetSortKey,
    }

    pub(super) fn transform(locale: *const RawLocale, text: &[u8], key: &mut [u8]) -> usize {
        // SAFETY: null, or a locale of PostgreSQL.
        match unsafe { locale.as_ref() } {
            Some(locale) if locale.provider as u8 == b'i' => by_icu(locale, text, key),
            locale => by_c_library(locale, text, key),
        }
    }

    fn by_c_library(locale: Option<&RawLocale>, text: &[u8], key: &mut [u8]) -> usize {
        let text = CString::new(text).expect("text has no zeros");
        let (start, size) = (key.as_mut_ptr(), key.len());
        // SAFETY: the text ends with a zero and the key is as long as it is told.
        unsafe {
            match locale {
                Some(locale) => strxfrm_l(start, text.as_ptr(), size, locale.handle),
                None => strxfrm(start, text.as_ptr(), size),
            }
        }
    }

    fn by_icu(locale: &RawLocale, text: &[u8], key: &mut [u8]) -> usize {
        let icu = icu();
        let mut wide = std::ptr::null_mut();
        // SAFETY: PostgreSQL allocates the text in ICU's form; the key is as long as it is told.
        unsafe {
            let length = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                (icu.to_uchar)(&mut wide, text.as_ptr(), text.len())
            });
            let (start, size) = (key.as_mut_ptr(), key.len() as i32);
            let written = (icu.get_sort_key)(locale.collator, wide, length, start, size);
            pg_sys::pfree(wide.cast());
            // ICU counts the zero, so that nothing means a failure.
            let failed = || {
                crate::error::raise(
                    PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                    "ICU made no sort key",
                    "",
                )
            };
            usize::try_from(written - 1).unwrap_or_else(|_| failed())
        }
    }

    fn icu() -> Icu {
        static ICU: OnceLock<Option<Icu>> = OnceLock::new();
        ICU.get_or_init(find_icu).unwrap_or_else(|| {
            crate::error::unsupported("the sort keys of this server's ICU cannot be reached", "")
        })
    }

    /// ICU's functions carry its version in their names.
    fn find_icu() -> Option<Icu> {
        let get_sort_key = (40..=99).find_map(|version: c_int| {
            find(&CString::new(format!("ucol_getSortKey_{version}")).ok()?)
        });
        let (get_sort_key, to_uchar) =
            (get_sort_key.or_else(|| find(c"ucol_getSortKey"))?, find(c"icu_to_uchar")?);
        // SAFETY: the functions of these names have these signatures.
        unsafe {
            Some(Icu {
                to_uchar: std::mem::transmute::<*mut c_void, ToUchar>(to_uchar),
                get_sort_key: std::mem::transmute::<*mut c_void, GetSortKey>(get_sort_key),
            })
        }
    }

    /// A function in whatever is loaded.
    fn find(name: &CStr) -> Option<*mut c_void> {
        // SAFETY: null is RTLD_DEFAULT; the name ends with a zero.
        let symbol = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
        (!symbol.is_null()).then_some(symbol)
    }
}
