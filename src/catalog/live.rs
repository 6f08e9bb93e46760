//! The part of the live schema that a plan is compiled against.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row as _};

use super::fingerprint;
use super::foreign_keys::foreign_keys;
use super::own_schema::missing_privileges;
use super::properties::properties;
use super::tables::{oids, table_id, tables};
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::domain::{Failure, PlanError};
use planner::catalog::{Catalog, TableId};
use planner::compile::compile;
use planner::{CompiledPlan, Plan};

/// Tables that the configuration names, each with its identity. Names without a schema follow the search path; names
/// with one are looked up directly, because resolving them would fail without USAGE on the schema.
const RESOLVE: &str = "WITH d AS MATERIALIZED (
    SELECT declared, CASE WHEN position('.' IN declared) = 0 THEN to_regclass(quote_ident(declared))::oid END AS visible
    FROM unnest($1::text[]) AS u(declared)
)
SELECT d.declared, c.oid
FROM d JOIN pg_class c ON c.oid = d.visible AND c.relkind IN ('r', 'p', 'v', 'f')
UNION ALL
SELECT d.declared, c.oid
FROM d
    JOIN pg_namespace n ON n.nspname = split_part(d.declared, '.', 1)
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'f')
        AND c.relname = substr(d.declared, position('.' IN d.declared) + 1)
WHERE position('.' IN d.declared) > 0";

/// Partitions of these tables, at any depth. A foreign key may belong to, or refer to, one of them alone.
const PARTITIONS: &str = "WITH RECURSIVE d AS (
    SELECT i.inhrelid, i.inhparent AS ancestor
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
    WHERE i.inhparent = ANY($1)
    UNION
    SELECT i.inhrelid, d.ancestor FROM d JOIN pg_inherits i ON i.inhparent = d.inhrelid
)
SELECT inhrelid, ancestor FROM d WHERE inhrelid <> ALL($1)";

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
        let read = read_catalog(&mut tx, plan).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        Ok(read)
    }
}

async fn read_catalog(connection: &mut PgConnection, plan: &Plan) -> Result<(Catalog, String), sqlx::Error> {
    let role: String = own("SELECT current_user::text").fetch_one(&mut *connection).await?.try_get(0)?;
    let of_plan: Vec<String> =
        std::iter::once(plan.organization.table.clone()).chain(plan.steps.iter().map(|s| s.table.clone())).collect();
    let kept = plan.keep.iter().map(|k| &k.table);
    let referring = plan.steps.iter().flat_map(|s| &s.unless).map(|r| &r.table);
    let all: BTreeSet<String> = of_plan.iter().chain(kept).chain(referring).cloned().collect();
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
    for row in own(PARTITIONS).bind(oids(&plan_tables)).fetch_all(&mut *connection).await? {
        ancestors.insert(table_id(&row, 0)?, table_id(&row, 1)?);
    }
    plan_tables.extend(ancestors.keys());

    // Read before what it stands for: a change in between makes the plan outdated, and is not missed.
    let fingerprint = fingerprint::read(&mut *connection, oids(&plan_tables), &plan.tenant_columns).await?;
    let mut foreign_keys = foreign_keys(&mut *connection, &plan_tables).await?;
    for key in &mut foreign_keys {
        // A partition's rows are those of the table that the plan names.
        key.parent = ancestors.get(&key.parent).copied().unwrap_or(key.parent);
        key.child = ancestors.get(&key.child).copied().unwrap_or(key.child);
    }
    let mut ids: BTreeSet<TableId> = declared.iter().map(|(_, id)| *id).collect();
    ids.extend(foreign_keys.iter().map(|k| k.child));
    ids.extend(fingerprint.tenant_tables.iter().map(|id| TableId(id.0)));
    let mut tables = tables(&mut *connection, &ids).await?;
    for table in &mut tables {
        table.declared = declared.iter().filter(|(_, id)| *id == table.id).map(|(name, _)| name.clone()).collect();
    }
    let properties = properties(&mut *connection, oids(&ids), oids(&plan_tables)).await?;
    let own_missing = missing_privileges(connection).await?;
    let plan_tables = plan_tables.into_iter().collect();
    Ok((Catalog { tables, foreign_keys, plan_tables, fingerprint: fingerprint.text, properties, own_missing }, role))
}
