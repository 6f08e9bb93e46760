//! Foreign keys.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row as _};

use super::tables::{oids, table_id};
use crate::db::error::Unreadable;
use crate::db::statement::own;
use planner::catalog::{Enforcement, ForeignKey, OnDelete, TableId};
use planner::identifier::Table;

/// Foreign keys that refer to these tables; clones on partitions are left out, but not that their triggers are disabled.
/// `conenforced` exists since PostgreSQL 18.
const FOREIGN_KEYS: &str = "WITH RECURSIVE off AS (
    SELECT t.tgconstraint AS oid FROM pg_trigger t WHERE t.tgconstraint <> 0 AND t.tgenabled NOT IN ('O', 'A')
    UNION
    SELECT k.conparentid FROM off JOIN pg_constraint k ON k.oid = off.oid WHERE k.conparentid <> 0
)
SELECT k.conname, k.conrelid, k.confrelid, k.confdeltype::text AS on_delete, k.condeferrable,
    COALESCE((to_jsonb(k)->>'conenforced')::boolean, true) AS enforced,
    k.oid IN (SELECT oid FROM off) AS disabled,
    CASE WHEN c.relispartition THEN n.nspname::text END AS partition_schema, c.relname::text AS owner,
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n) AS child_columns,
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n) AS parent_columns
FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY($1)
ORDER BY k.conname, k.oid";

/// Foreign keys that refer to these tables.
pub(super) async fn foreign_keys(
    connection: &mut PgConnection,
    parents: &BTreeSet<TableId>,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    own(FOREIGN_KEYS)
        .bind(oids(parents))
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok(ForeignKey {
                name: row.try_get("conname")?,
                child: table_id(row, "conrelid")?,
                child_columns: row.try_get("child_columns")?,
                parent: table_id(row, "confrelid")?,
                parent_columns: row.try_get("parent_columns")?,
                on_delete: on_delete(row.try_get("on_delete")?)?,
                deferrable: row.try_get("condeferrable")?,
                enforcement: match (row.try_get("enforced")?, row.try_get("disabled")?) {
                    (false, _) => Enforcement::NotEnforced,
                    (true, true) => Enforcement::Disabled,
                    (true, false) => Enforcement::Enforced,
                },
                partition: row
                    .try_get::<Option<String>, _>("partition_schema")?
                    .map(|schema| Ok::<_, sqlx::Error>(Table::qualified(schema, row.try_get::<String, _>("owner")?)))
                    .transpose()?,
            })
        })
        .collect()
}

/// `confdeltype` of `pg_constraint`.
pub(super) fn on_delete(code: &str) -> Result<OnDelete, Unreadable> {
    Ok(match code {
        "a" => OnDelete::NoAction,
        "r" => OnDelete::Restrict,
        "c" => OnDelete::Cascade,
        "n" => OnDelete::SetNull,
        "d" => OnDelete::SetDefault,
        _ => return Err(Unreadable("the ON DELETE action of a foreign key")),
    })
}
