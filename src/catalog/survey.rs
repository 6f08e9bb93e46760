//! All tables that could belong to an organization: what a plan is drafted from.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row as _};

use super::foreign_keys::foreign_keys;
use super::platform::platform_tables;
use super::tables::{oids, table_id, tables};
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::domain::Failure;
use planner::catalog::TableId;
use planner::infer::{Survey, Surveyed, Values};

const TABLES: &str = concat!("SELECT c.oid, pg_table_is_visible(c.oid) AS visible ", platform_tables!());

/// Whole indexes that can find a value.
const INDEXES: &str = "SELECT i.indrelid,
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n
        WHERE u.o <= i.indnkeyatts) AS columns
FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = ANY($1) AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    AND m.amname IN ('btree', 'hash')";

const GENERATED: &str = "SELECT a.attrelid, a.attname::text AS name
FROM pg_attribute a
WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''";

impl Database {
    /// Reads all tables, their columns, keys, indexes and foreign keys.
    ///
    /// # Errors
    /// Fails when the catalogue cannot be read.
    pub async fn survey(&self) -> Result<Survey, Failure> {
        let mut tx = self.begin().await?;
        let during = During::action("reading the catalogue");
        let survey = survey(&mut tx).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        Ok(survey)
    }

    /// Those of the names, as the configuration writes them, that no table, view or foreign table of the database has.
    ///
    /// # Errors
    /// Fails when the catalogue cannot be read.
    pub async fn missing(&self, names: &[String]) -> Result<Vec<String>, Failure> {
        let mut tx = self.begin().await?;
        let during = During::action("reading the catalogue");
        let rows = own(MISSING).bind(names.to_vec()).fetch_all(&mut *tx).await.or_failure(during)?;
        tx.rollback().await.or_failure(during)?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>().or_failure(during)
    }
}

/// Names that no table, view or foreign table has.
const MISSING: &str = "SELECT d.name
FROM unnest($1::text[]) AS d(name)
WHERE NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (c.relname = d.name AND pg_table_is_visible(c.oid) OR n.nspname || '.' || c.relname = d.name))
ORDER BY d.name";

async fn survey(connection: &mut PgConnection) -> Result<Survey, sqlx::Error> {
    let mut visible: BTreeMap<TableId, bool> = BTreeMap::new();
    for row in own(TABLES).fetch_all(&mut *connection).await? {
        visible.insert(table_id(&row, "oid")?, row.try_get("visible")?);
    }
    let ids: BTreeSet<TableId> = visible.keys().copied().collect();
    let mut surveyed: Vec<Surveyed> = tables(&mut *connection, &ids)
        .await?
        .into_iter()
        .map(|info| Surveyed {
            visible: visible.get(&info.id).copied().unwrap_or_default(),
            info,
            indexes: Vec::new(),
            generated: Vec::new(),
        })
        .collect();
    let places: BTreeMap<TableId, usize> = surveyed.iter().enumerate().map(|(i, t)| (t.info.id, i)).collect();
    for row in own(INDEXES).bind(oids(&ids)).fetch_all(&mut *connection).await? {
        if let Some(i) = places.get(&table_id(&row, "indrelid")?) {
            surveyed[*i].indexes.push(row.try_get("columns")?);
        }
    }
    for row in own(GENERATED).bind(oids(&ids)).fetch_all(&mut *connection).await? {
        if let Some(i) = places.get(&table_id(&row, "attrelid")?) {
            surveyed[*i].generated.push(row.try_get("name")?);
        }
    }
    let mut keys = foreign_keys(connection, &ids).await?;
    // A key that only one partition has says nothing about the table.
    keys.retain(|k| ids.contains(&k.child));
    Ok(Survey { tables: surveyed, foreign_keys: keys, values: Values::default() })
}
