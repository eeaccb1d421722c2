//! Indexes on fakegres tables: made as btree indexes, and ours before they are built.
//!
//! PostgreSQL makes an index of access method btree where nobody says otherwise, and expects btree in
//! several places: operator classes, foreign keys, ON CONFLICT, UNIQUE on partitioned tables. So the
//! statement is left as it is. When the catalog has the new index, and before anything is built, its
//! access method becomes `fakegres_index`; its operator classes stay.
//!
//! Where PostgreSQL looks at the access method itself, the relation cache shows btree meanwhile
//! ([`disguise`]).

use std::cell::RefCell;

use pgrx::prelude::*;

use crate::error::{raise, unsupported};
use crate::pg::{self, PerBackend};
use crate::{compat, index_am, transaction};

/// What indexes of other kinds than btree are told.
const ONLY_ORDERED: &str =
    "Use an index without USING, which is ordered like btree, or keep the table USING heap.";

/// A new index is in the catalog and not built yet.
///
/// # Safety
/// Called by the hook that says so.
pub(super) unsafe fn created(index: pg_sys::Oid) {
    // SAFETY: the catalog rows of the new index are there.
    unsafe {
        let table = pg_sys::IndexGetRelation(index, true);
        let method = pg::access_method(index);
        match (pg::is_fakegres(table), method == pg::fakegres_index()) {
            (true, true) => {
                depend(index);
                name_btree_classes(index);
                inherit(index);
                dress_new(index);
            }
            (true, false) if method == pg_sys::BTREE_AM_OID => {
                set_method(index, pg::fakegres_index());
                inherit(index);
                dress_new(index);
            }
            (true, false) => refuse(method),
            (false, true) => misplaced(),
            (false, false) => {}
        }
    }
}

fn refuse(method: pg_sys::Oid) -> ! {
    // SAFETY: a catalog lookup.
    let name = unsafe { pg::string(pg_sys::get_am_name(method)) }.unwrap_or_default();
    unsupported(
        format!("access method \"{name}\" is not supported for indexes on fakegres tables"),
        ONLY_ORDERED,
    )
}

fn misplaced() -> ! {
    unsupported(
        "access method \"fakegres_index\" is only for fakegres tables",
        "Leave out USING, or create the table USING fakegres.",
    )
}

/// Gives an index another access method, in the catalog and in the relation cache, which does not
/// expect that of an index that it knows.
unsafe fn set_method(index: pg_sys::Oid, method: pg_sys::Oid) {
    // SAFETY: the caller holds a lock on the index; the tuple is a copy.
    unsafe {
        let catalog =
            pg_sys::table_open(pg_sys::RelationRelationId, pg_sys::RowExclusiveLock as i32);
        let id = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCacheCopy(id, index.into(), none(), none(), none());
        (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relam = method;
        pg_sys::CatalogTupleUpdate(catalog, &raw mut (*tuple).t_self, tuple);
        pg_sys::heap_freetuple(tuple);
        pg_sys::table_close(catalog, pg_sys::RowExclusiveLock as i32);
        if method == pg::fakegres_index() {
            depend(index);
        } else {
            pg_sys::deleteDependencyRecordsForSpecific(
                pg_sys::RelationRelationId,
                index,
                pg_sys::DependencyType::DEPENDENCY_NORMAL as core::ffi::c_char,
                pg_sys::AccessMethodRelationId,
                pg::fakegres_index(),
            );
        }
        pg_sys::CommandCounterIncrement();
        let relation = pg_sys::RelationIdGetRelation(index);
        let handler = pg::handler_of(method);
        let routine = pg_sys::GetIndexAmRoutine(handler);
        *(*relation).rd_indam = *routine;
        (*relation).rd_amhandler = handler;
        (*relation).rd_amcache = std::ptr::null_mut();
        pg_sys::pfree(routine.cast());
        pg_sys::RelationClose(relation);
    }
}

/// The access method is dropped after its indexes. Other indexes depend on it through their operator
/// classes.
unsafe fn depend(index: pg_sys::Oid) {
    let method = pg_sys::ObjectAddress {
        classId: pg_sys::AccessMethodRelationId,
        objectId: pg::fakegres_index(),
        objectSubId: 0,
    };
    let index = pg_sys::ObjectAddress {
        classId: pg_sys::RelationRelationId,
        objectId: index,
        objectSubId: 0,
    };
    // SAFETY: writes to the catalog in a transaction that makes or changes the index.
    unsafe {
        pg_sys::recordDependencyOn(&index, &method, pg_sys::DependencyType::DEPENDENCY_NORMAL);
    }
}

fn none() -> pg_sys::Datum {
    pg_sys::Datum::from(0)
}

/// An index that was made by the name of our access method has its operator classes, which only
/// stand for those of btree; now it gets these.
unsafe fn name_btree_classes(index: pg_sys::Oid) {
    // SAFETY: the caller holds a lock on the index; the tuple is a copy, and the arrays have an element
    // for each key column.
    unsafe {
        let catalog = pg_sys::table_open(pg_sys::IndexRelationId, pg_sys::RowExclusiveLock as i32);
        let id = pg_sys::SysCacheIdentifier::INDEXRELID as i32;
        let tuple = pg_sys::SearchSysCacheCopy(id, index.into(), none(), none(), none());
        let column = pg_sys::Anum_pg_index_indclass as i16;
        let mut null = false;
        let datum = pg_sys::SysCacheGetAttr(id, tuple, column, &mut null);
        let classes = datum.cast_mut_ptr::<pg_sys::oidvector>();
        let count = (*classes).dim1 as usize;
        let mut changed = false;
        for class in (*classes).values.as_mut_slice(count) {
            if let Some(btree) = btree_class(*class) {
                *class = btree;
                changed = true;
            }
        }
        if changed {
            // The vector lies in the copied tuple.
            pg_sys::CatalogTupleUpdate(catalog, &raw mut (*tuple).t_self, tuple);
            pg_sys::CommandCounterIncrement();
            let classes = (*classes).values.as_slice(count).to_vec();
            show_classes(index, &classes);
        }
        pg_sys::heap_freetuple(tuple);
        pg_sys::table_close(catalog, pg_sys::RowExclusiveLock as i32);
    }
}

/// Puts operator classes into the relation cache's entry, which reads them only once.
unsafe fn show_classes(index: pg_sys::Oid, classes: &[pg_sys::Oid]) {
    // SAFETY: the arrays have an element for each key column, and support functions by column.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(index);
        let support = usize::from((*(*relation).rd_indam).amsupport);
        for (i, class) in classes.iter().enumerate() {
            let (mut family, mut input) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
            pg_sys::get_opclass_opfamily_and_input_type(*class, &mut family, &mut input);
            *(*relation).rd_opfamily.add(i) = family;
            *(*relation).rd_opcintype.add(i) = input;
            for number in 0..support {
                let procedure = pg_sys::get_opfamily_proc(family, input, input, number as i16 + 1);
                *(*relation).rd_support.add(i * support + number) = procedure;
            }
        }
        // The tuple of pg_index that the entry keeps is not read again either.
        let id = pg_sys::SysCacheIdentifier::INDEXRELID as i32;
        let column = pg_sys::Anum_pg_index_indclass as i16;
        let kept = pg_sys::SysCacheGetAttr(id, (*relation).rd_indextuple, column, &mut false);
        let kept = kept.cast_mut_ptr::<pg_sys::oidvector>();
        (*kept).values.as_mut_slice(classes.len()).copy_from_slice(classes);
        (*relation).rd_amcache = std::ptr::null_mut();
        pg_sys::RelationClose(relation);
    }
}

/// The btree operator class for which one of ours stands: of the same name, in the same schema.
unsafe fn btree_class(class: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: the tuple is pinned between the search and the release.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::CLAOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, class.into());
        if tuple.is_null() {
            return None;
        }
        let form = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_opclass>();
        let ours = form.opcmethod == pg::fakegres_index();
        let found = pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::CLAAMNAMENSP as i32,
            pg_sys::Anum_pg_opclass_oid as i16,
            pg_sys::BTREE_AM_OID.into(),
            pg_sys::Datum::from(&raw const form.opcname),
            form.opcnamespace.into(),
            none(),
        );
        pg_sys::ReleaseSysCache(tuple);
        (ours && found != pg_sys::InvalidOid).then_some(found)
    }
}

/// Tables whose access method an ALTER TABLE is changing: their indexes must become of the other
/// kind, and be built again.
static FOLLOWING: PerBackend<RefCell<Vec<pg_sys::Oid>>> = PerBackend(RefCell::new(Vec::new()));

/// A rewritten table had an index built that is not of its kind.
pub(crate) fn must_follow(table: pg_sys::Oid) {
    let mut following = FOLLOWING.borrow_mut();
    if !following.contains(&table) {
        following.push(table);
    }
}

/// The command that rewrote them is over: gives their indexes the access method of their table.
pub(super) fn follow() {
    for table in FOLLOWING.take() {
        // SAFETY: the command holds an exclusive lock on the table.
        unsafe { follow_table(table) };
    }
}

unsafe fn follow_table(table: pg_sys::Oid) {
    // SAFETY: the caller's promise; the relation is closed again.
    unsafe {
        pg_sys::CommandCounterIncrement();
        let relation = pg_sys::relation_open(table, pg_sys::NoLock as i32);
        let wanted =
            if pg::is_fakegres(table) { pg::fakegres_index() } else { pg_sys::BTREE_AM_OID };
        let persistence = (*(*relation).rd_rel).relpersistence;
        let list = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
        for index in list.iter_oid() {
            let method = pg::access_method(index);
            if method == wanted {
                continue;
            }
            if wanted == pg::fakegres_index() && method != pg_sys::BTREE_AM_OID {
                refuse(method);
            }
            set_method(index, wanted);
            forget(index);
            compat::reindex(index, persistence);
        }
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
    }
}

/// The transaction is about to commit: no index may be left that was built for the other kind.
pub(crate) fn check_followed() {
    if !FOLLOWING.borrow().is_empty() {
        raise(
            PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            "a table got another access method, and its indexes did not",
            "Use ALTER TABLE … SET ACCESS METHOD for it.",
        );
    }
}

/// The transaction, or the statement, is over.
pub(crate) fn forget_followed() {
    FOLLOWING.take();
}

/// An index whose access method the relation cache shows as btree.
struct Disguise {
    index: pg_sys::Oid,
    /// The index, if it is kept open.
    open: pg_sys::Relation,
    /// Its access method.
    method: pg_sys::Oid,
    /// The level of the savepoint in which it was put on.
    level: i32,
}

/// Disguises that are on. Planning takes them off: the planner would read the file of a btree index.
static WARDROBE: PerBackend<RefCell<Vec<Disguise>>> = PerBackend(RefCell::new(Vec::new()));

/// Indexes whose disguise an abort left on, where nothing can be looked up.
static LEFT_ON: PerBackend<RefCell<Vec<pg_sys::Oid>>> = PerBackend(RefCell::new(Vec::new()));

/// How long a disguise must last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    /// While a command looks at indexes that it may also drop or build again.
    Loose,
    /// While a query runs: the index is kept open, so that an invalidation reads its entry again at
    /// once, and a callback puts the disguise on again.
    Open,
    /// The same, while a query only reads the index.
    Reading,
}

/// How many disguises are on; [`undress`] takes off those put on since.
pub(super) fn dressed() -> usize {
    WARDROBE.borrow().len()
}

/// Shows the indexes of a table, and of its partitions, as btree.
///
/// # Safety
/// `table` must be the oid of a relation that nobody drops meanwhile.
pub(super) unsafe fn disguise(table: pg_sys::Oid, hold: Hold) {
    // SAFETY: the caller's promise; the indexes are closed by `undress`, or by the abort.
    unsafe {
        let none = pg_sys::NoLock as i32;
        let tables = compat::find_all_inheritors(table, none, std::ptr::null_mut());
        for table in pgrx::PgList::<pg_sys::Oid>::from_pg(tables).iter_oid() {
            if !pg::is_fakegres(table) {
                continue;
            }
            let relation = pg_sys::relation_open(table, pg_sys::AccessShareLock as i32);
            let list = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
            list.iter_oid().for_each(|index| put_on(index, hold));
            pg_sys::relation_close(relation, none);
        }
    }
}

/// Shows an index as btree, if it is one of ours.
///
/// # Safety
/// `index` must be the oid of an index that nobody drops meanwhile.
pub(super) unsafe fn disguise_index(index: pg_sys::Oid, hold: Hold) {
    if pg::access_method(index) == pg::fakegres_index() {
        // SAFETY: the caller's promise.
        unsafe { put_on(index, hold) };
    }
}

unsafe fn put_on(index: pg_sys::Oid, hold: Hold) {
    // SAFETY: the caller's promise.
    unsafe {
        let lock = match hold {
            Hold::Loose | Hold::Reading => pg_sys::AccessShareLock,
            Hold::Open => pg_sys::RowExclusiveLock,
        };
        let open = pg_sys::index_open(index, lock as i32);
        let method = (*(*open).rd_rel).relam;
        if method == pg_sys::BTREE_AM_OID {
            // It wears one already.
            return pg_sys::index_close(open, pg_sys::NoLock as i32);
        }
        (*(*open).rd_rel).relam = pg_sys::BTREE_AM_OID;
        let mut disguise = Disguise { index, open, method, level: transaction::level() };
        if hold == Hold::Loose {
            pg_sys::index_close(open, pg_sys::NoLock as i32);
            disguise.open = std::ptr::null_mut();
        }
        WARDROBE.borrow_mut().push(disguise);
    }
}

impl Disguise {
    /// Shows the index as one of an access method, if it is still there.
    unsafe fn show(&self, method: pg_sys::Oid) {
        // SAFETY: an index that is not open is looked up, in a transaction that can.
        unsafe {
            if !self.open.is_null() {
                (*(*self.open).rd_rel).relam = method;
            } else if pg_sys::IsTransactionState() {
                show(self.index, method);
            }
        }
    }
}

unsafe fn show(index: pg_sys::Oid, method: pg_sys::Oid) {
    // SAFETY: the caller runs in a transaction that can look up.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(index);
        if !relation.is_null() {
            (*(*relation).rd_rel).relam = method;
            pg_sys::RelationClose(relation);
        }
    }
}

/// Takes off the disguises that were put on since there were so many, and closes the indexes.
pub(super) fn undress(dressed: usize) {
    if WARDROBE.borrow().len() <= dressed {
        return;
    }
    let off = WARDROBE.borrow_mut().split_off(dressed);
    for disguise in off {
        // SAFETY: put on by `disguise`.
        unsafe {
            disguise.show(disguise.method);
            if !disguise.open.is_null() {
                pg_sys::index_close(disguise.open, pg_sys::NoLock as i32);
            }
        }
    }
}

/// A (sub)transaction is aborted: PostgreSQL closes open indexes itself, a little later.
pub(crate) fn tear_off(level: i32) {
    WARDROBE.borrow_mut().retain(|disguise| {
        if disguise.level < level {
            return true;
        }
        if disguise.open.is_null() {
            LEFT_ON.borrow_mut().push(disguise.index);
        } else {
            // SAFETY: still open.
            unsafe { (*(*disguise.open).rd_rel).relam = disguise.method };
        }
        false
    });
}

/// Takes off what an abort left on.
fn take_off_the_rest() {
    // SAFETY: reads the state of the transaction.
    if LEFT_ON.borrow().is_empty() || !unsafe { pg_sys::IsTransactionState() } {
        return;
    }
    for index in LEFT_ON.take() {
        // SAFETY: what the catalog says is what an entry should show.
        unsafe { show(index, pg::access_method(index)) };
    }
}

/// The planner, and whoever else looks at an index for what it is, begins.
pub(super) fn show_real() {
    take_off_the_rest();
    for disguise in WARDROBE.borrow().iter() {
        // SAFETY: put on by `disguise`.
        unsafe { disguise.show(disguise.method) };
    }
}

/// And is done.
pub(super) fn show_btree() {
    for disguise in WARDROBE.borrow().iter() {
        // SAFETY: put on by `disguise`.
        unsafe { disguise.show(pg_sys::BTREE_AM_OID) };
    }
}

/// PostgreSQL may have read the entry of an open index again.
#[pg_guard]
unsafe extern "C-unwind" fn invalidated(_argument: pg_sys::Datum, _relation: pg_sys::Oid) {
    for disguise in WARDROBE.borrow().iter().filter(|disguise| !disguise.open.is_null()) {
        // SAFETY: open until it is taken out of the list.
        unsafe { disguise.show(pg_sys::BTREE_AM_OID) };
    }
}

/// A command that compares indexes made another one.
unsafe fn dress_new(index: pg_sys::Oid) {
    let compares = WARDROBE.borrow().iter().any(|disguise| disguise.open.is_null());
    if compares {
        // SAFETY: the index was just made.
        unsafe { put_on(index, Hold::Loose) };
    }
}

/// Spaces of indexes that DROP INDEX CONCURRENTLY is about to drop. It allows no change of a table
/// before its first transaction ends.
static DROPPED_LATER: PerBackend<RefCell<Vec<pg_sys::Oid>>> = PerBackend(RefCell::new(Vec::new()));

/// An index goes, and its space with it.
pub(super) fn dropped(index: pg_sys::Oid, concurrently: bool) {
    if concurrently {
        DROPPED_LATER.borrow_mut().push(index);
    } else {
        forget(index);
    }
}

/// The command that dropped them is in its last transaction.
pub(super) fn finish_drops() {
    DROPPED_LATER.take().into_iter().for_each(forget);
}

fn forget(index: pg_sys::Oid) {
    // SAFETY: the index is locked, or was made by this transaction; it may be gone from the catalog.
    let locator = unsafe { locator(index) };
    for space in super::mapping::remove_all(index) {
        transaction::with(|active| match locator {
            Some(locator) => active.drop_index_space(space, locator),
            None => active.drop_space(space),
        });
    }
}

unsafe fn locator(index: pg_sys::Oid) -> Option<compat::Locator> {
    // SAFETY: the entry is released again.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(index);
        if relation.is_null() {
            return None;
        }
        let locator = compat::locator(relation);
        pg_sys::RelationClose(relation);
        Some(locator)
    }
}

/// ALTER TABLE may make an index anew that changed in nothing but its definition: it gets the file of
/// the one that was dropped and is not built.
unsafe fn inherit(index: pg_sys::Oid) {
    // SAFETY: the index was just made.
    let Some(locator) = (unsafe { locator(index) }) else { return };
    if let Some(space) = transaction::with(|active| active.revive(locator)) {
        super::mapping::insert(locator, index, space);
    }
}

/// Hangs the callback in.
pub(super) fn register() {
    // SAFETY: the callback stays loaded as long as the backend lives.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(invalidated), none()) };
    index_am::cost::register();
}
