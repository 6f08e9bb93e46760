//! What the live schema looks like: a few catalogue queries.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use super::bind::{Unreadable, own};
use super::connect::Database;
use super::error::{During, OrFailure as _};
use super::{migrate, properties};
use crate::domain::{Failure, PlanError};
use planner::catalog::{Catalog, ColumnInfo, Enforcement, ForeignKey, OnDelete, Privileges, TableId, TableInfo};
use planner::compile::compile;
use planner::identifier::Table;
use planner::{CompiledPlan, Plan};

/// Tables that the configuration names, each with its identity. Names without a schema follow the search path; names
/// with one are looked up directly, because resolving them would fail without USAGE on the schema.
const RESOLVE: &str = "WITH d AS MATERIALIZED (SELECT declared, \
        CASE WHEN position('.' IN declared) = 0 THEN to_regclass(quote_ident(declared))::oid END AS visible \
        FROM unnest($1::text[]) AS u(declared)) \
    SELECT d.declared, c.oid FROM d JOIN pg_class c ON c.oid = d.visible AND c.relkind IN ('r', 'p', 'v', 'f') \
    UNION ALL \
    SELECT d.declared, c.oid FROM d JOIN pg_namespace n ON n.nspname = split_part(d.declared, '.', 1) \
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'f') \
            AND c.relname = substr(d.declared, position('.' IN d.declared) + 1) \
        WHERE position('.' IN d.declared) > 0";

/// Tables with a tenant column. Partitions are covered by their parent, and nobody's temporary tables are the platform's.
macro_rules! tenant_tables {
    ($select:literal, $columns:literal) => {
        concat!(
            $select,
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE a.attname = ANY(",
            $columns,
            "::text[]) AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'organization_operator') AND n.nspname NOT LIKE 'pg\\_%'"
        )
    };
}

const TENANT_TABLES: &str = tenant_tables!("SELECT DISTINCT c.oid", "$1");

/// Foreign keys that refer to these tables; clones on partitions are left out, but not that their triggers are disabled.
/// `conenforced` exists since PostgreSQL 18.
const FOREIGN_KEYS: &str = "WITH RECURSIVE off AS (SELECT t.tgconstraint AS oid FROM pg_trigger t \
        WHERE t.tgconstraint <> 0 AND t.tgenabled NOT IN ('O', 'A') \
    UNION SELECT k.conparentid FROM off JOIN pg_constraint k ON k.oid = off.oid WHERE k.conparentid <> 0) \
    SELECT k.conname, k.conrelid, k.confrelid, k.confdeltype::text AS on_delete, k.condeferrable, \
    COALESCE((to_jsonb(k)->>'conenforced')::boolean, true) AS enforced, \
    k.oid IN (SELECT oid FROM off) AS disabled, \
    CASE WHEN c.relispartition THEN n.nspname::text END AS partition_schema, c.relname::text AS owner, \
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(k.conkey) WITH ORDINALITY u(n, o) \
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n) AS child_columns, \
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(k.confkey) WITH ORDINALITY u(n, o) \
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n) AS parent_columns \
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY($1) ORDER BY k.conname, k.oid";

/// Partitions of these tables, at any depth. A foreign key may belong to, or refer to, one of them alone.
const PARTITIONS: &str = "WITH RECURSIVE d AS (SELECT i.inhrelid, i.inhparent AS ancestor FROM pg_inherits i \
        JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition WHERE i.inhparent = ANY($1) \
    UNION SELECT i.inhrelid, d.ancestor FROM d JOIN pg_inherits i ON i.inhparent = d.inhrelid) \
    SELECT inhrelid, ancestor FROM d WHERE inhrelid <> ALL($1)";

const TABLES: &str = "SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, \
    has_schema_privilege(n.oid, 'USAGE') AS usage, has_table_privilege(c.oid, 'SELECT') AS sel, \
    has_table_privilege(c.oid, 'DELETE') AS del, has_any_column_privilege(c.oid, 'UPDATE') AS upd, \
    row_security_active(c.oid) AS row_security \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1) ORDER BY c.oid";

/// Types without a length: `bpchar`, since `character` means `character(1)`; of a domain the type below it, since a cast to
/// a domain over `varchar(3)` cuts off as well.
const COLUMNS: &str = "SELECT a.attrelid, a.attname::text AS name, \
    (WITH RECURSIVE b AS (SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid \
        UNION ALL SELECT t.oid, t.typtype, t.typbasetype FROM b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd') \
        SELECT format_type(b.oid, -1) FROM b WHERE b.typtype <> 'd') AS type_name, \
    (SELECT concat_ws('.', quote_ident(n.nspname), quote_ident(l.collname)) FROM pg_collation l \
        JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation AND NOT l.collisdeterministic) AS collation, \
    NOT a.attnotnull AS nullable, has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS updatable \
    FROM pg_attribute a WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const UNIQUE_KEYS: &str = "SELECT i.indrelid, \
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(n, o) \
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n WHERE u.o <= i.indnkeyatts) AS columns \
    FROM pg_index i WHERE i.indrelid = ANY($1) AND i.indisunique AND i.indisvalid AND i.indimmediate \
    AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid";

/// Foreign keys to, triggers on and tables below the tables of the plan, and the tables with a tenant column, as one short
/// text. What else may change makes a statement fail; these would be passed over in silence.
const FINGERPRINT: &str = concat!(
    "SELECT COALESCE(md5(string_agg(x, ',' ORDER BY x)), '') FROM ( \
    SELECT concat_ws(':', k.oid, k.conrelid, k.confdeltype, k.condeferrable, k.conkey, k.confkey) AS x FROM pg_constraint k \
        WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY($1) \
    UNION ALL SELECT concat_ws(':', t.oid, t.tgenabled) FROM pg_trigger t WHERE t.tgrelid = ANY($1) \
        AND (NOT t.tgisinternal OR t.tgenabled NOT IN ('O', 'A')) \
    UNION ALL SELECT concat_ws(':', i.inhparent, i.inhrelid) FROM pg_inherits i WHERE i.inhparent = ANY($1) \
    UNION ALL ",
    tenant_tables!("SELECT c.oid::text", "$2"),
    ") s"
);

impl Database {
    /// Reads the catalogue and compiles the plan against it.
    ///
    /// # Errors
    /// Fails when the database cannot be read, or when the organization's own table cannot be resolved.
    pub async fn compile(&self, plan: &Plan) -> Result<CompiledPlan, PlanError> {
        let (catalog, role) = self.catalog(plan).await?;
        Ok(compile(plan, &catalog, &role)?)
    }

    /// Reads the part of the catalogue that the plan touches, and the name of the operator's role.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn catalog(&self, plan: &Plan) -> Result<(Catalog, String), Failure> {
        let mut tx = self.begin().await?;
        let during = During::action("reading the catalogue");
        let read = read(&mut tx, plan).await.or_failure(during)?;
        // Nothing was changed; the connection is clean either way.
        tx.rollback().await.or_failure(during)?;
        Ok(read)
    }
}

/// The fingerprint of these tables now.
pub(crate) async fn fingerprint(
    connection: &mut PgConnection,
    tables: &[TableId],
    tenant_columns: &[String],
) -> Result<String, sqlx::Error> {
    own(FINGERPRINT).bind(oids(tables.iter().copied())).bind(tenant_columns).fetch_one(connection).await?.try_get(0)
}

pub(super) fn oids(ids: impl Iterator<Item = TableId>) -> Vec<Oid> {
    ids.map(|id| Oid(id.0)).collect()
}

pub(super) fn table_id(row: &PgRow, column: impl sqlx::ColumnIndex<PgRow>) -> Result<TableId, sqlx::Error> {
    Ok(TableId(row.try_get::<Oid, _>(column)?.0))
}

async fn read(connection: &mut PgConnection, plan: &Plan) -> Result<(Catalog, String), sqlx::Error> {
    let role: String = own("SELECT current_user::text").fetch_one(&mut *connection).await?.try_get(0)?;
    let of_plan: Vec<String> =
        std::iter::once(plan.organization.table.clone()).chain(plan.steps.iter().map(|s| s.table.clone())).collect();
    let all: BTreeSet<String> = of_plan.iter().cloned().chain(plan.keep.iter().map(|k| k.table.clone())).collect();
    let declared: Vec<(String, TableId)> = own(RESOLVE)
        .bind(all.into_iter().collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("declared")?, table_id(row, "oid")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let mut plan_tables: BTreeSet<TableId> =
        declared.iter().filter(|(name, _)| of_plan.contains(name)).map(|(_, id)| *id).collect();
    let mut ancestors: BTreeMap<TableId, TableId> = BTreeMap::new();
    for row in own(PARTITIONS).bind(oids(plan_tables.iter().copied())).fetch_all(&mut *connection).await? {
        ancestors.insert(table_id(&row, 0)?, table_id(&row, 1)?);
    }
    plan_tables.extend(ancestors.keys());

    let mut foreign_keys = foreign_keys(&mut *connection, &plan_tables).await?;
    for key in &mut foreign_keys {
        // A partition's rows are those of the table that the plan names.
        key.parent = ancestors.get(&key.parent).copied().unwrap_or(key.parent);
        key.child = ancestors.get(&key.child).copied().unwrap_or(key.child);
    }
    let mut ids: BTreeSet<TableId> = declared.iter().map(|(_, id)| *id).collect();
    ids.extend(foreign_keys.iter().map(|k| k.child));
    for row in own(TENANT_TABLES).bind(&plan.tenant_columns).fetch_all(&mut *connection).await? {
        ids.insert(table_id(&row, 0)?);
    }
    let mut tables = tables(&mut *connection, &ids).await?;
    for table in &mut tables {
        table.declared = declared.iter().filter(|(_, id)| *id == table.id).map(|(name, _)| name.clone()).collect();
    }
    let plan_tables: Vec<TableId> = plan_tables.into_iter().collect();
    let properties =
        properties::read(&mut *connection, oids(ids.into_iter()), oids(plan_tables.iter().copied())).await?;
    let own_missing = migrate::missing_privileges(&mut *connection).await?;
    let fingerprint = fingerprint(connection, &plan_tables, &plan.tenant_columns).await?;
    Ok((Catalog { tables, foreign_keys, plan_tables, fingerprint, properties, own_missing }, role))
}

pub(crate) async fn foreign_keys(
    connection: &mut PgConnection,
    parents: &BTreeSet<TableId>,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    own(FOREIGN_KEYS)
        .bind(oids(parents.iter().copied()))
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
pub(crate) fn on_delete(code: &str) -> Result<OnDelete, Unreadable> {
    Ok(match code {
        "a" => OnDelete::NoAction,
        "r" => OnDelete::Restrict,
        "c" => OnDelete::Cascade,
        "n" => OnDelete::SetNull,
        "d" => OnDelete::SetDefault,
        _ => return Err(Unreadable("what a foreign key does ON DELETE")),
    })
}

pub(crate) async fn tables(
    connection: &mut PgConnection,
    ids: &BTreeSet<TableId>,
) -> Result<Vec<TableInfo>, sqlx::Error> {
    let ids = oids(ids.iter().copied());
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
                    select: row.try_get("sel")?,
                    delete: row.try_get("del")?,
                    lock: row.try_get("upd")?,
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
