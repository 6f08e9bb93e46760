//! All organizations of the platform, page by page, for those who want an object for each.

use std::sync::Arc;

use sqlx::{PgConnection, Row as _};

use super::tables::oids;
use crate::api::Reason;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{about, about_all, own};
use crate::db::transaction::rollback;
use crate::domain::Failure;
use planner::CompiledPlan;
use planner::identifier::Column;

/// Organizations that are read at a time.
pub const PAGE: u32 = 1000;

/// A column is unique if an index says so that holds for every row at every time.
const COLUMNS: &str = "SELECT a.attname::text AS name, EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
        AND i.indexprs IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
) AS is_unique
FROM pg_attribute a
WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

/// A column of the organizations' table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// No two rows have the same value, as an index ensures.
    pub unique: bool,
}

/// An organization of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key in canonical text.
    pub key: String,
    /// The text of the column that was asked for.
    pub name: Option<String>,
    /// Whether it is active. `None` if the plan cannot tell.
    pub active: Option<bool>,
}

/// Reads all organizations in the order of their keys, in a short read-only transaction for each page.
pub struct Organizations<'d> {
    database: &'d Database,
    plan: Arc<CompiledPlan>,
    column: Column,
    /// The last key that was read.
    last: Option<String>,
    ended: bool,
}

impl Database {
    /// The columns of the organizations' table.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn organization_columns(&self, plan: &CompiledPlan) -> Result<Vec<TableColumn>, Failure> {
        let during = During::action("reading the catalogue");
        let mut tx = self.begin().await?;
        let rows = own(COLUMNS).bind(oids([&plan.root.id])).fetch_all(&mut *tx).await.or_failure(during)?;
        rollback(tx).await?;
        rows.iter()
            .map(|row| Ok(TableColumn { name: row.try_get("name")?, unique: row.try_get("is_unique")? }))
            .collect::<Result<_, sqlx::Error>>()
            .or_failure(during)
    }

    /// All organizations, from the first one, with the text of this column of their table.
    #[must_use]
    pub fn organizations(&self, plan: Arc<CompiledPlan>, column: &str) -> Organizations<'_> {
        Organizations { database: self, plan, column: Column::new(column), last: None, ended: false }
    }

    /// The canonical text of many ids, in their order; `None` for one that is no value of the key's type.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn canonical_many(&self, ids: &[String], plan: &CompiledPlan) -> Result<Vec<Option<String>>, Failure> {
        let statement = plan.root.canonical_many();
        let during = During::action("reading ids").id();
        let mut canonical = Vec::with_capacity(ids.len());
        // One id that is no key fails the whole query: then its neighbours are asked in halves.
        let mut open: Vec<&[String]> = ids.chunks(PAGE as usize).rev().collect();
        while let Some(some) = open.pop() {
            let mut tx = self.begin().await?;
            match about_all(&statement, some).fetch_all(&mut *tx).await.or_failure(during) {
                Ok(rows) => {
                    for row in &rows {
                        canonical.push(Some(row.try_get("key").or_failure(during)?));
                    }
                    rollback(tx).await?;
                }
                Err(failure) if failure.reason == Reason::InvalidOrganizationId => {
                    if some.len() == 1 {
                        canonical.push(None);
                    } else {
                        let (first, second) = some.split_at(some.len() / 2);
                        open.extend([second, first]);
                    }
                }
                Err(failure) => return Err(failure.explained_by(plan)),
            }
        }
        Ok(canonical)
    }
}

impl Organizations<'_> {
    /// The next organizations. Empty: there are no more.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Listed>, Failure> {
        if self.ended {
            return Ok(Vec::new());
        }
        let mut tx = self.database.begin().await?;
        let read = self.page(&mut tx).await;
        rollback(tx).await?;
        let page = read?;
        self.ended = page.len() < PAGE as usize;
        if let Some(last) = page.last() {
            self.last = Some(last.key.clone());
        }
        Ok(page)
    }

    async fn page(&self, connection: &mut PgConnection) -> Result<Vec<Listed>, Failure> {
        let root = &self.plan.root;
        let table = root.table.name();
        let during = During::table("reading all organizations in", None, &table);
        own("SET TRANSACTION READ ONLY").execute(&mut *connection).await.or_failure(during)?;
        let statement = root.page(&self.column, self.last.is_some(), PAGE);
        let rows = about(&statement, self.last.as_deref().unwrap_or_default()).fetch_all(connection).await;
        let rows = rows.or_failure(during).map_err(|f| f.explained_by(&self.plan))?;
        rows.iter()
            .map(|row| {
                Ok(Listed { key: row.try_get("key")?, name: row.try_get("name")?, active: row.try_get("active")? })
            })
            .collect::<Result<_, sqlx::Error>>()
            .or_failure(during)
    }
}
