//! What a table is, in MessagePack: names, columns, constraints, and where its rows are.
//!
//! The store is the truth about tables; a server's catalog is a copy that can be rebuilt. Types are
//! named, not numbered, because oids differ between servers. Fields are only ever added, with a
//! default, so that old definitions stay readable.

use kv::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Space;

/// A table.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TableDef {
    /// Name of the database.
    pub database: String,
    /// Name of the schema.
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// `r` table, `m` materialised view, as `pg_class.relkind` says it.
    pub kind: String,
    /// `p` permanent, `u` unlogged, `t` temporary, as `pg_class.relpersistence` says it.
    pub persistence: String,
    /// Name of the owning role.
    pub owner: String,
    /// The space of its rows.
    pub space: Option<u64>,
    /// Columns in order, dropped ones too, since rows keep their place.
    pub columns: Vec<ColumnDef>,
    /// Constraints: name and definition as SQL.
    pub constraints: Vec<ConstraintDef>,
    /// Parents, as `schema.name`, for inheritance and partitions.
    pub parents: Vec<String>,
    /// For a partition: its bound as SQL.
    pub partition_bound: Option<String>,
    /// Indexes, each with its space.
    pub indexes: Vec<IndexDef>,
    /// Types of this server that the columns use. Rows hold such values in the server's own form,
    /// with oids in it; another server translates them by this list.
    pub types: Vec<TypeDef>,
}

/// A column.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnDef {
    /// Name.
    pub name: String,
    /// Type with its modifier, as SQL.
    pub type_name: String,
    /// Collation as `schema.name`, if it has one.
    pub collation: Option<String>,
    /// NOT NULL.
    pub not_null: bool,
    /// Default or generation expression as SQL.
    pub default: Option<String>,
    /// `a` always or `d` by default, for an identity column.
    pub identity: Option<String>,
    /// `s` stored, `v` virtual, for a generated column.
    pub generated: Option<String>,
    /// The column was dropped; rows may still have a value for it.
    pub dropped: bool,
}

/// A constraint.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConstraintDef {
    /// Name.
    pub name: String,
    /// Definition as SQL.
    pub definition: String,
}

/// An index.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexDef {
    /// Name.
    pub name: String,
    /// Definition as SQL.
    pub definition: String,
    /// The space of its entries.
    pub space: Option<u64>,
}

/// A type that is not PostgreSQL's own.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TypeDef {
    /// Oid on the server that wrote the definition.
    pub oid: u32,
    /// Name as `schema.name`.
    pub name: String,
    /// `b` base, `c` composite, `d` domain, `e` enum, `r` range, `m` multirange, as `pg_type.typtype`.
    pub kind: String,
    /// Labels of an enum, in order, with the oids that stand for them in rows.
    pub labels: Vec<(u32, String)>,
    /// Attributes of a composite type, in order: name and type as SQL.
    pub attributes: Vec<(String, String)>,
    /// The type below: of a domain, the elements of an array, of a range.
    pub base: Option<String>,
}

impl TableDef {
    /// The definition as MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("a definition has no unserializable part")
    }

    /// A definition from MessagePack.
    pub fn decode(bytes: &[u8]) -> Result<TableDef> {
        rmp_serde::from_slice(bytes)
            .map_err(|error| Error::Corrupt(format!("a table definition cannot be read: {error}")))
    }

    /// Where the rows are.
    pub fn space(&self) -> Option<Space> {
        self.space.map(Space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_survives_and_old_ones_stay_readable() {
        let column = ColumnDef {
            name: "id".into(),
            type_name: "bigint".into(),
            not_null: true,
            ..Default::default()
        };
        let table = TableDef {
            name: "t".into(),
            space: Some(7),
            columns: vec![column],
            ..Default::default()
        };
        assert_eq!(TableDef::decode(&table.encode()), Ok(table));
        let old = rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("name", "t")]));
        assert_eq!(TableDef::decode(&old.expect("a map")).map(|t| t.name), Ok("t".into()));
        assert!(matches!(TableDef::decode(b"\xc1"), Err(Error::Corrupt(_))));
    }
}
