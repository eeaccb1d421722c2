//! What orders the text of a collation.
//!
//! PostgreSQL compares text by its bytes (`C`, `POSIX`, the builtin provider), by ICU or by the C
//! library (`varstr_cmp`). ICU guarantees that its sort keys order as its comparison does, and
//! PostgreSQL relies on it too. The C library has broken that promise in the past, for which PostgreSQL stopped to
//! use its sort keys (`TRUST_STRXFRM`); here they are used if they agree in this backend
//! ([`agreement`]).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};

use pgrx::pg_sys::{InvalidOid, Oid, SysCacheIdentifier};
use pgrx::prelude::*;

use super::{agreement, catalog};
use crate::compat::Locale;
use crate::pg::PerBackend;

/// What orders the text of a collation.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// The bytes.
    Bytes,
    /// The locale's sort keys, and then the bytes if the collation is deterministic.
    SortKeys { locale: Locale, deterministic: bool },
    /// Nothing that is known to agree with PostgreSQL. Equal text has equal bytes.
    Unknown,
}

/// Collations never change their rules within a backend, and what the C library does takes time to
/// find out.
static KNOWN: PerBackend<RefCell<BTreeMap<u32, Rule>>> = PerBackend(RefCell::new(BTreeMap::new()));

/// The rule of a collation.
pub(super) fn rule(collation: Oid) -> Rule {
    let known = KNOWN.borrow().get(&collation.to_u32()).copied();
    known.unwrap_or_else(|| {
        let rule = find_out(collation);
        KNOWN.borrow_mut().insert(collation.to_u32(), rule);
        rule
    })
}

/// PostgreSQL raises an error when it compares text without a collation, so no rule is right.
fn find_out(collation: Oid) -> Rule {
    if collation == InvalidOid {
        return Rule::Unknown;
    }
    match provider(collation) {
        Some(b'b') => Rule::Bytes,
        Some(b'i') => {
            let deterministic = is_deterministic(collation);
            Rule::SortKeys { locale: Locale::of(collation), deterministic }
        }
        Some(b'c') => rule_of_c_library(collation),
        _ => Rule::Unknown,
    }
}

fn rule_of_c_library(collation: Oid) -> Rule {
    let Some(name) = locale_name(collation) else { return Rule::Unknown };
    if name == "C" || name == "POSIX" || has_no_rules(&name) {
        return Rule::Bytes;
    }
    let locale = Locale::of(collation);
    if agreement::of_sort_keys(collation, locale) {
        Rule::SortKeys { locale, deterministic: true }
    } else {
        Rule::Unknown
    }
}

/// `collprovider`; of the default collation, that of the database.
fn provider(collation: Oid) -> Option<u8> {
    let provider = if collation == pg_sys::DEFAULT_COLLATION_OID {
        of_database::<i8>(pg_sys::Anum_pg_database_datlocprovider)
    } else {
        of_collation::<i8>(collation, pg_sys::Anum_pg_collation_collprovider)
    };
    provider.map(|provider| provider as u8)
}

/// The default collation is always deterministic, and its catalog row says so.
fn is_deterministic(collation: Oid) -> bool {
    of_collation(collation, pg_sys::Anum_pg_collation_collisdeterministic).unwrap_or(true)
}

/// The C library's name of a collation's locale.
fn locale_name(collation: Oid) -> Option<String> {
    if collation == pg_sys::DEFAULT_COLLATION_OID {
        of_database(pg_sys::Anum_pg_database_datcollate)
    } else {
        of_collation(collation, pg_sys::Anum_pg_collation_collcollate)
    }
}

fn of_collation<T: FromDatum>(collation: Oid, attribute: u32) -> Option<T> {
    catalog::value(SysCacheIdentifier::COLLOID, collation, attribute)
}

fn of_database<T: FromDatum>(attribute: u32) -> Option<T> {
    // SAFETY: set when the backend connects to its database.
    let database = unsafe { pg_sys::MyDatabaseId };
    catalog::value(SysCacheIdentifier::DATABASEOID, database, attribute)
}

unsafe extern "C" {
    fn newlocale(mask: c_int, name: *const c_char, base: *mut c_char) -> *mut c_char;
    fn freelocale(locale: *mut c_char);
    fn nl_langinfo_l(item: c_int, locale: *mut c_char) -> *mut c_char;
}

/// Whether glibc has no rules for a locale, so that its `strcoll` is `strcmp` (`strcoll_l.c`). So it is
/// with its own `C.UTF-8`, from 2.35 on; distributions had others of that name, with rules.
fn has_no_rules(name: &str) -> bool {
    const LC_COLLATE: c_int = 3;
    /// `_NL_COLLATE_NRULES` of glibc's `langinfo.h`.
    const NUMBER_OF_RULES: c_int = LC_COLLATE << 16;
    let known = cfg!(all(target_os = "linux", target_env = "gnu", target_endian = "little"));
    let Ok(name) = CString::new(name) else { return false };
    if !known {
        return false;
    }
    // SAFETY: the locale is freed after its last use. The answer to this item is a number in the lower
    // half of what otherwise is a pointer.
    unsafe {
        let locale = newlocale(1 << LC_COLLATE, CStr::as_ptr(&name), std::ptr::null_mut());
        if locale.is_null() {
            return false;
        }
        let rules = nl_langinfo_l(NUMBER_OF_RULES, locale) as usize as u32;
        freelocale(locale);
        rules == 0
    }
}
