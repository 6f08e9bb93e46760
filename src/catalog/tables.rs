//! Tables with their columns, unique keys and privileges.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use crate::db::statement::own;
use planner::catalog::{ColumnInfo, Privileges, TableId, TableInfo};
use planner::identifier::Table;

const TABLES: &str = "SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
    has_schema_privilege(n.oid, 'USAGE') AS usage,
    has_table_privilege(c.oid, 'SELECT') AS select,
    has_table_privilege(c.oid, 'DELETE') AS delete,
    has_any_column_privilege(c.oid, 'UPDATE') AS update,
    row_security_active(c.oid) AS row_security
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY($1)
ORDER BY c.oid";

/// Types without a length: `bpchar`, since `character` means `character(1)`; of a domain the type below it, since a cast to
/// a domain over `varchar(3)` cuts off as well.
const COLUMNS: &str = "SELECT a.attrelid, a.attname::text AS name,
    (WITH RECURSIVE b AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype FROM b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
    ) SELECT format_type(b.oid, -1) FROM b WHERE b.typtype <> 'd') AS type_name,
    (SELECT concat_ws('.', quote_ident(n.nspname), quote_ident(l.collname))
        FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
        WHERE l.oid = a.attcollation AND NOT l.collisdeterministic) AS collation,
    NOT a.attnotnull AS nullable,
    has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS updatable
FROM pg_attribute a
WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

const UNIQUE_KEYS: &str = "SELECT i.indrelid,
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n
        WHERE u.o <= i.indnkeyatts) AS columns
FROM pg_index i
WHERE i.indrelid = ANY($1) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
    AND i.indexprs IS NULL
ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid";

/// The identities of tables, as they are bound.
pub(super) fn oids<'i>(ids: impl IntoIterator<Item = &'i TableId>) -> Vec<Oid> {
    ids.into_iter().map(|id| Oid(id.0)).collect()
}

/// The identity of a table, as it is read.
pub(crate) fn table_id(row: &PgRow, column: impl sqlx::ColumnIndex<PgRow>) -> Result<TableId, sqlx::Error> {
    Ok(TableId(row.try_get::<Oid, _>(column)?.0))
}

/// These tables.
pub(super) async fn tables(
    connection: &mut PgConnection,
    ids: &BTreeSet<TableId>,
) -> Result<Vec<TableInfo>, sqlx::Error> {
    let ids = oids(ids);
    let mut tables: Vec<TableInfo> = own(TABLES)
        .bind(ids.clone())
        .fetch_all(&mut *connection)
        .await?
        .iter()
        .map(|row| {
            Ok(TableInfo {
                id: table_id(row, "oid")?,
                table: Table::qualified(row.try_get::<String, _>("schema")?, row.try_get::<String, _>("name")?),
                declared: Vec::new(),
                columns: Vec::new(),
                unique_keys: Vec::new(),
                privileges: Privileges {
                    usage: row.try_get("usage")?,
                    select: row.try_get("select")?,
                    delete: row.try_get("delete")?,
                    lock: row.try_get("update")?,
                },
                row_security: row.try_get("row_security")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    for row in own(COLUMNS).bind(ids.clone()).fetch_all(&mut *connection).await? {
        let id = table_id(&row, "attrelid")?;
        if let Some(table) = tables.iter_mut().find(|t| t.id == id) {
            table.columns.push(ColumnInfo {
                name: row.try_get("name")?,
                type_name: row.try_get("type_name")?,
                collation: row.try_get("collation")?,
                nullable: row.try_get("nullable")?,
                updatable: row.try_get("updatable")?,
            });
        }
    }
    for row in own(UNIQUE_KEYS).bind(ids).fetch_all(connection).await? {
        let id = table_id(&row, "indrelid")?;
        if let Some(table) = tables.iter_mut().find(|t| t.id == id) {
            table.unique_keys.push(row.try_get("columns")?);
        }
    }
    Ok(tables)
}
