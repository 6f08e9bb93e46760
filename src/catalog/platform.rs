//! Which tables are the platform's.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row as _};

use super::tables::{oids, table_id};
use crate::db::statement::own;
use planner::catalog::TableId;
use planner::identifier::Table;

/// `FROM` and `WHERE` of a query of the platform's ordinary and partitioned tables: `c` is the table, `n` its schema. Partitions
/// are covered by their parent, temporary tables end with their session, and tables of an extension hold no tenant's rows.
macro_rules! platform_tables {
    () => {
        r"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'organization_operator')
    AND n.nspname NOT LIKE 'pg\_%'
    AND NOT EXISTS (SELECT 1 FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
    };
}
pub(super) use platform_tables;

const OTHERS: &str = concat!(
    "SELECT n.nspname::text AS schema, c.relname::text AS name, c.oid ",
    platform_tables!(),
    " AND n.nspname <> ALL($1) ORDER BY 1, 2"
);

/// Relations that views are made of, at any depth.
const BELOW: &str = "WITH RECURSIVE b AS (
    SELECT c.oid FROM pg_class c WHERE c.oid = ANY($1) AND c.relkind = 'v'
    UNION
    SELECT d.refobjid
    FROM b
        JOIN pg_class v ON v.oid = b.oid AND v.relkind = 'v'
        JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass
)
SELECT oid FROM b WHERE oid <> ALL($1)";

/// The relations that the views among these are made of: a delete from such a view deletes their rows.
pub(crate) async fn below_views(
    connection: &mut PgConnection,
    relations: &[TableId],
) -> Result<BTreeSet<TableId>, sqlx::Error> {
    own(BELOW).bind(oids(relations)).fetch_all(connection).await?.iter().map(|row| table_id(row, 0)).collect()
}

/// The platform's tables outside these schemas and without those that are `known`.
pub(super) async fn other_tables(
    connection: &mut PgConnection,
    schemas: Vec<String>,
    known: &BTreeSet<TableId>,
) -> Result<Vec<Table>, sqlx::Error> {
    let mut others = Vec::new();
    for row in own(OTHERS).bind(schemas).fetch_all(connection).await? {
        if !known.contains(&table_id(&row, "oid")?) {
            others.push(Table::qualified(row.try_get::<String, _>("schema")?, row.try_get::<String, _>("name")?));
        }
    }
    Ok(others)
}
