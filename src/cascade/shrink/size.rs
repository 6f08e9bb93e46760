//! How large an organization is.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::transaction::rollback;
use crate::domain::Failure;
use planner::cascade::TableSize;
use planner::{COUNT_LIMIT, CompiledPlan};

impl Database {
    /// About how many rows an organization has. It counts them, and no more than `limit` + 1 of them. If there are more, it asks
    /// the statistics of `PostgreSQL` how many there are, which may be far from the truth. So at least [`COUNT_LIMIT`] rows of
    /// each table are counted.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read.
    pub async fn size_of(&self, key: &str, plan: &CompiledPlan, limit: i64) -> Result<i64, Failure> {
        let erase = plan.erase()?;
        let during = During::action("estimating the number of rows");
        let mut tx = self.begin().await?;
        let mut sum: i64 = 0;
        for size in &erase.sizes {
            let most = limit.saturating_sub(sum).max(COUNT_LIMIT).saturating_add(1);
            let mut rows = count(&mut tx, size, key, most).await.or_failure(during)?;
            if rows == most {
                rows = explain(&mut tx, size, key).await.or_failure(during)?.max(rows);
            }
            sum = sum.saturating_add(rows);
        }
        rollback(tx).await?;
        Ok(sum)
    }

    /// How many rows an organization has by the statistics of `PostgreSQL` alone, which may be far from the truth: for one whose
    /// rows take too long to be counted.
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read.
    pub async fn expected_size_of(&self, key: &str, plan: &CompiledPlan) -> Result<i64, Failure> {
        let erase = plan.erase()?;
        let during = During::action("estimating the number of rows");
        let mut tx = self.begin().await?;
        let mut sum: i64 = 0;
        for size in &erase.sizes {
            sum = sum.saturating_add(explain(&mut tx, size, key).await.or_failure(during)?);
        }
        rollback(tx).await?;
        Ok(sum)
    }
}

/// Counts the rows of a table, at most `limit` of them.
pub(super) async fn count(
    connection: &mut PgConnection,
    size: &TableSize,
    key: &str,
    limit: i64,
) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM ({} LIMIT {limit}) s", size.rows.sql());
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(key);
    query.fetch_one(connection).await?.try_get(0)
}

/// The number of rows that the planner of `PostgreSQL` expects.
async fn explain(connection: &mut PgConnection, size: &TableSize, key: &str) -> Result<i64, sqlx::Error> {
    #[derive(serde::Deserialize)]
    struct Explained {
        #[serde(rename = "Plan")]
        plan: Plan,
    }
    #[derive(serde::Deserialize)]
    struct Plan {
        #[serde(rename = "Plan Rows")]
        rows: i64,
    }
    let sql = format!("EXPLAIN (FORMAT JSON) {}", size.rows.sql());
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(key);
    let plans: Json<Vec<Explained>> = query.fetch_one(connection).await?.try_get(0)?;
    Ok(plans.0.iter().map(|explained| explained.plan.rows).sum())
}
