//! The part of the live schema that a plan is compiled against.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row as _};

use super::fingerprint;
use super::foreign_keys::foreign_keys;
use super::own_schema::missing_privileges;
use super::platform::{below_views, other_tables};
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

/// Partitions of these tables, each with the table.
async fn partitions(
    connection: &mut PgConnection,
    tables: &BTreeSet<TableId>,
) -> Result<BTreeMap<TableId, TableId>, sqlx::Error> {
    let rows = own(PARTITIONS).bind(oids(tables)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((table_id(row, 0)?, table_id(row, 1)?))).collect()
}

async fn read_catalog(connection: &mut PgConnection, plan: &Plan) -> Result<(Catalog, String), sqlx::Error> {
    let role: String = own("SELECT current_user::text").fetch_one(&mut *connection).await?.try_get(0)?;
    let of_plan: Vec<String> =
        std::iter::once(plan.organization.table.clone()).chain(plan.steps.iter().map(|s| s.table.clone())).collect();
    let kept: BTreeSet<&String> = plan.keep.iter().map(|k| &k.table).collect();
    let referring: BTreeSet<&String> = plan.steps.iter().flat_map(|s| &s.unless).map(|r| &r.table).collect();
    let left: BTreeSet<&String> = plan.global.iter().chain(plan.unclassified.iter().map(|u| &u.table)).collect();
    let all: BTreeSet<String> =
        [&kept, &referring, &left].into_iter().flatten().copied().chain(&of_plan).cloned().collect();
    let declared: Vec<(String, TableId)> = own(RESOLVE)
        .bind(all.into_iter().collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get("declared")?, table_id(row, "oid")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let mut plan_tables: BTreeSet<TableId> =
        declared.iter().filter(|(name, _)| of_plan.contains(name)).map(|(_, id)| *id).collect();
    let mut ancestors = partitions(&mut *connection, &plan_tables).await?;
    plan_tables.extend(ancestors.keys());
    let others = declared.iter().filter(|(name, id)| kept.contains(name) && !plan_tables.contains(id));
    let others = others.map(|(_, id)| *id).collect();
    ancestors.extend(partitions(&mut *connection, &others).await?);

    // Read before what it stands for: a change in between makes the plan outdated, and is not missed.
    let fingerprint =
        fingerprint::read(&mut *connection, oids(&plan_tables), &plan.tenant_columns, plan.free_schemas().as_deref())
            .await?;
    let mut foreign_keys = foreign_keys(&mut *connection, &plan_tables).await?;
    for key in &mut foreign_keys {
        // A partition's rows are those of the table that the plan names.
        key.parent = ancestors.get(&key.parent).copied().unwrap_or(key.parent);
        key.child = ancestors.get(&key.child).copied().unwrap_or(key.child);
    }
    // Global and unclassified tables are not read, unless they refer to a table of the plan or are a partition of one.
    let read = |name: &String, id: &TableId| {
        of_plan.contains(name) || kept.contains(name) || referring.contains(name) || plan_tables.contains(id)
    };
    let mut ids: BTreeSet<TableId> = declared.iter().filter(|(name, id)| read(name, id)).map(|(_, id)| *id).collect();
    ids.extend(foreign_keys.iter().map(|k| k.child));
    ids.extend(fingerprint.tenant_tables.iter().map(|id| TableId(id.0)));
    let mut tables = tables(&mut *connection, &ids).await?;
    for table in &mut tables {
        table.declared = declared.iter().filter(|(_, id)| *id == table.id).map(|(name, _)| name.clone()).collect();
    }
    let properties = properties(&mut *connection, oids(&ids), oids(&plan_tables)).await?;
    // A table that only `unless` names does not count as mentioned: the plan does not say what happens to its rows.
    let mentioned = |name: &String| of_plan.contains(name) || kept.contains(name) || left.contains(name);
    let mut known: BTreeSet<TableId> = declared.iter().filter(|(name, _)| mentioned(name)).map(|(_, id)| *id).collect();
    let plan_tables: Vec<TableId> = plan_tables.into_iter().collect();
    // A step whose table is a view deletes the rows of the tables below it.
    known.extend(below_views(&mut *connection, &plan_tables).await?);
    let mut unmentioned =
        other_tables(&mut *connection, plan.global_schemas().map(str::to_owned).collect(), &known).await?;
    unmentioned.retain(|table| !plan.unclassified.iter().any(|open| table.is_written(&open.table)));
    let own_missing = missing_privileges(connection).await?;
    let fingerprint = fingerprint.text;
    Ok((Catalog { tables, foreign_keys, plan_tables, fingerprint, properties, unmentioned, own_missing }, role))
}
