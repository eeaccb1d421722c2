//! Publications, of which fakegres tables cannot be part: logical replication takes changes from
//! PostgreSQL's WAL, and theirs are not there.

use pgrx::prelude::*;

use super::latest;
use crate::error::{unsupported, warn};
use crate::pg;

/// Publications and the fakegres tables in them.
const QUERY: &str = include_str!("publications.sql");

const HINT: &str = "Changes of fakegres tables are not in PostgreSQL's WAL, from which logical replication takes \
    them. A fakegres table can be the target of a subscription.";

/// A fakegres table in a publication.
struct Unpublished {
    publication: String,
    table: String,
    /// The publication has it by name, and not for its schema or as one of all tables.
    named: bool,
}

/// CREATE and ALTER PUBLICATION refuse fakegres tables by name, and tell of those that are among all
/// tables, or all of a schema. With another `wal_level` nothing is published, as PostgreSQL says itself.
///
/// # Safety
/// PostgreSQL's argument of a utility statement that has run.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn look(statement: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise; a statement's tag says which struct it is.
    let name = unsafe {
        let node = (*statement).utilityStmt;
        match (*node).type_ {
            pg_sys::NodeTag::T_CreatePublicationStmt => {
                (*node.cast::<pg_sys::CreatePublicationStmt>()).pubname
            }
            pg_sys::NodeTag::T_AlterPublicationStmt => {
                let alter = &*node.cast::<pg_sys::AlterPublicationStmt>();
                if alter.pubobjects.is_null()
                    || alter.action == pg_sys::AlterPublicationAction::AP_DropObjects
                {
                    return;
                }
                alter.pubname
            }
            _ => return,
        }
    };
    if !is_logical() || pg::fakegres() == pg_sys::InvalidOid {
        return;
    }
    // SAFETY: a catalog lookup of a name of the statement.
    let publication = unsafe { pg_sys::get_publication_oid(name, true) };
    let found = select(publication.into_datum(), None);
    if let Some(first) = found.iter().find(|found| found.named) {
        unsupported(format!("fakegres table {} cannot be published", first.table), HINT);
    }
    tell(&found);
}

/// Tells of the publications that tables are in whose definition has changed.
pub(super) fn look_at(tables: &[pg_sys::Oid]) {
    if is_logical() {
        tell(&select(None, tables.to_vec().into_datum()));
    }
}

/// Whether there is a WAL to replicate from.
fn is_logical() -> bool {
    // SAFETY: reads a setting of the server.
    unsafe { pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as i32 }
}

fn select(publication: Option<pg_sys::Datum>, tables: Option<pg_sys::Datum>) -> Vec<Unpublished> {
    let args = [
        (pg_sys::OIDOID, pg::fakegres().into_datum()),
        (pg_sys::OIDOID, publication),
        (pg_sys::OIDARRAYOID, tables),
    ];
    latest::select(QUERY, &args, |row| Unpublished {
        publication: row.get(1).unwrap_or_default(),
        table: row.get(2).unwrap_or_default(),
        named: row.get(3).unwrap_or_default(),
    })
}

/// One warning for each publication.
fn tell(found: &[Unpublished]) {
    for of_one in found.chunk_by(|one, next| one.publication == next.publication) {
        let (publication, table) = (&of_one[0].publication, &of_one[0].table);
        let others = match of_one.len() - 1 {
            0 => String::new(),
            1 => " and of one other fakegres table".to_owned(),
            many => format!(" and of {many} other fakegres tables"),
        };
        let what = format!(
            "publication \"{publication}\" does not publish changes of fakegres table {table}{others}"
        );
        warn(what, HINT);
    }
}
