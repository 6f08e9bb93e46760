//! Changes of the schema that make a compiled plan wrong.

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use super::platform::platform_tables;
use super::tables::oids;
use crate::db::statement::own;
use planner::CompiledPlan;

/// Foreign keys to, triggers and rules on, and partitions or inheritance children of the tables of the plan, and the tables with a
/// tenant column, as one short text. Any other change makes a statement fail; these would go unnoticed.
/// Partitions are covered by their parent, and temporary tables do not belong to the platform. `$3` is NULL, and adds nothing,
/// if the plan does not have to mention every table; else it lists the schemas whose tables it need not mention.
const FINGERPRINT: &str = concat!(
    r"WITH tenant_tables AS (
    SELECT c.oid
    FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attname = ANY($2::text[]) AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'organization_operator')
        AND n.nspname NOT LIKE 'pg\_%'
), parts(part) AS (
    SELECT concat_ws(':', k.oid, k.conrelid, k.confdeltype, k.condeferrable, k.conkey, k.confkey)
    FROM pg_constraint k
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY($1)
    UNION ALL
    SELECT concat_ws(':', t.oid, t.tgenabled)
    FROM pg_trigger t
    WHERE t.tgrelid = ANY($1) AND (NOT t.tgisinternal OR t.tgenabled NOT IN ('O', 'A'))
    UNION ALL
    SELECT concat_ws(':', i.inhparent, i.inhrelid) FROM pg_inherits i WHERE i.inhparent = ANY($1)
    UNION ALL
    SELECT concat_ws(':', r.oid, r.ev_enabled) FROM pg_rewrite r WHERE r.ev_class = ANY($1) AND r.ev_type = '4'
    UNION ALL
    SELECT oid::text FROM tenant_tables
    UNION ALL
    SELECT concat_ws(':', c.oid, n.nspname, c.relname) ",
    platform_tables!(),
    " AND n.nspname <> ALL($3)
)
SELECT (SELECT COALESCE(md5(string_agg(part, ',' ORDER BY part)), '') FROM parts) AS fingerprint,
    ARRAY(SELECT DISTINCT oid FROM tenant_tables) AS tenant_tables,
    current_setting('session_replication_role') <> 'replica' AS enforces"
);

/// What the fingerprint is made of.
pub(crate) struct Fingerprint {
    /// The fingerprint itself.
    pub(crate) text: String,
    /// This session enforces foreign keys and fires triggers.
    pub(crate) enforces: bool,
    /// The tables with a tenant column.
    pub(super) tenant_tables: Vec<Oid>,
}

/// Reads the fingerprint of these tables, and the tables with a tenant column.
pub(super) async fn read(
    connection: &mut PgConnection,
    tables: Vec<Oid>,
    tenant_columns: &[String],
    free_schemas: Option<&[String]>,
) -> Result<Fingerprint, sqlx::Error> {
    let row = own(FINGERPRINT).bind(tables).bind(tenant_columns).bind(free_schemas).fetch_one(connection).await?;
    Ok(Fingerprint {
        text: row.try_get("fingerprint")?,
        enforces: row.try_get("enforces")?,
        tenant_tables: row.try_get("tenant_tables")?,
    })
}

/// The fingerprint now of what this plan was compiled against.
pub(crate) async fn fingerprint(
    connection: &mut PgConnection,
    plan: &CompiledPlan,
) -> Result<Fingerprint, sqlx::Error> {
    let tables = oids(&plan.fingerprint_tables);
    read(connection, tables, &plan.tenant_columns, plan.free_schemas.as_deref()).await
}
