//! What triggers write to tables that are not steps of the plan. The catalogue does not say what a trigger does; the server
//! counts the rows that each transaction writes.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::catalog::{below_views, table_id};
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::db::transaction::check_constraints;
use crate::domain::Failure;
use crate::domain::written::WrittenTable;
use planner::CompiledPlan;
use planner::catalog::TableId;

/// What the session has written and not yet reported: with the transaction's rows also those of earlier transactions of the
/// session, whoever ran them behind a pooler. The server counts in a partition, and names the whole table here. It reports the
/// counts only between transactions, so they only grow within one.
const COUNTS: &str = r"SELECT w.id, w.partition, concat_ws('.', n.nspname, t.relname) AS name, w.inserted, w.updated, w.deleted
FROM (
    SELECT COALESCE(pg_partition_root(c.oid)::oid, c.oid) AS id, c.oid AS partition,
        pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
        pg_stat_get_xact_tuples_updated(c.oid) AS updated,
        pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'organization_operator')
        AND n.nspname NOT LIKE 'pg\_%'
    ) w
    JOIN pg_class t ON t.oid = w.id
    JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE w.inserted + w.updated + w.deleted > 0";

/// Whether the server counts, and whether a trigger can wait for COMMIT. The triggers of foreign keys and unique constraints
/// write nothing that is not known already.
const SETTINGS: &str = "SELECT current_setting('track_counts')::boolean AS counts,
    EXISTS (SELECT FROM pg_trigger WHERE tgdeferrable AND NOT tgisinternal) AS deferred";

/// Rows inserted, updated and deleted in a table.
type Counts = [i64; 3];

/// What was counted before a cascade.
enum Counted {
    /// Rows by table, without partitions.
    Rows(BTreeMap<TableId, Counts>),
    /// Nothing: the server does not count.
    No,
    /// Nothing: nothing can write to another table.
    NothingToCome,
}

/// What a session had written before a cascade.
pub(super) struct Before {
    counts: Counted,
    /// A trigger may run at COMMIT only.
    deferred: bool,
}

impl Before {
    /// Nothing can write to another table.
    pub(super) const fn nothing_to_come() -> Self {
        Self { counts: Counted::NothingToCome, deferred: false }
    }
}

fn during() -> During<'static> {
    During::action("reading what the transaction has written")
}

/// Reads what the session has written so far.
pub(super) async fn before(connection: &mut PgConnection) -> Result<Before, Failure> {
    let row = own(SETTINGS).fetch_one(&mut *connection).await.or_failure(during())?;
    let deferred = row.try_get("deferred").or_failure(during())?;
    let counts = if row.try_get("counts").or_failure(during())? {
        let rows = own(COUNTS).fetch_all(connection).await.or_failure(during())?;
        let counts = rows.iter().map(|row| Ok((table_id(row, "partition")?, counts(row)?)));
        Counted::Rows(counts.collect::<Result<_, sqlx::Error>>().or_failure(during())?)
    } else {
        Counted::No
    };
    Ok(Before { counts, deferred })
}

impl Before {
    /// The same as [`since`](Self::since), after the triggers that would run at COMMIT.
    pub(super) async fn since_all(
        &self,
        connection: &mut PgConnection,
        plan: &CompiledPlan,
    ) -> Result<Option<Vec<WrittenTable>>, Failure> {
        if self.deferred {
            check_constraints(connection).await?;
        }
        self.since(connection, plan).await
    }

    /// What has been written since to tables from which the plan does not delete, kept ones among them. Returns `None` if the
    /// server does not count.
    pub(super) async fn since(
        &self,
        connection: &mut PgConnection,
        plan: &CompiledPlan,
    ) -> Result<Option<Vec<WrittenTable>>, Failure> {
        match &self.counts {
            Counted::Rows(before) => self.difference(connection, plan, before).await.or_failure(during()).map(Some),
            Counted::No => Ok(None),
            Counted::NothingToCome => Ok(Some(Vec::new())),
        }
    }

    async fn difference(
        &self,
        connection: &mut PgConnection,
        plan: &CompiledPlan,
        before: &BTreeMap<TableId, Counts>,
    ) -> Result<Vec<WrittenTable>, sqlx::Error> {
        let plan_tables = &plan.fingerprint_tables;
        let mut written: BTreeMap<TableId, (String, Counts)> = BTreeMap::new();
        for row in own(COUNTS).fetch_all(&mut *connection).await? {
            let (id, partition) = (table_id(&row, "id")?, table_id(&row, "partition")?);
            if plan_tables.contains(&id) || plan_tables.contains(&partition) {
                continue;
            }
            let then = before.get(&partition).copied().unwrap_or_default();
            let now = counts(&row)?;
            let (_, sum) = written.entry(id).or_insert((row.try_get("name")?, Counts::default()));
            for (sum, (now, then)) in sum.iter_mut().zip(now.into_iter().zip(then)) {
                *sum += (now - then).max(0);
            }
        }
        written.retain(|_, (_, sum)| *sum != Counts::default());
        if !written.is_empty() {
            // A step deletes these rows through a view.
            for below in below_views(connection, plan_tables).await? {
                if let Some((_, sum)) = written.get_mut(&below) {
                    sum[2] = 0;
                }
            }
        }
        let written = written.into_values().filter(|(_, sum)| *sum != Counts::default());
        let mut written: Vec<WrittenTable> = written
            .map(|(table, [inserted, updated, deleted])| WrittenTable { table, inserted, updated, deleted })
            .collect();
        written.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(written)
    }
}

fn counts(row: &PgRow) -> Result<Counts, sqlx::Error> {
    Ok([row.try_get("inserted")?, row.try_get("updated")?, row.try_get("deleted")?])
}
