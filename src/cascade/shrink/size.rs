//! How large an organization is.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::domain::Failure;
use planner::cascade::TableSize;
use planner::{COUNT_LIMIT, CompiledPlan};

/// About how many rows an organization has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The number of rows.
    pub rows: i64,
    /// They were counted.
    pub exact: bool,
}

impl Database {
    /// Counts the organization's rows, and no more than `limit` + 1 of them. If there are more, it asks the statistics of
    /// `PostgreSQL` how many there are, which may be far from the truth. So the rows of each table are counted as well, up to
    /// [`COUNT_LIMIT`].
    ///
    /// # Errors
    /// Fails when the plan must not be used or the database cannot be read.
    pub async fn size_of(&self, key: &str, plan: &CompiledPlan, limit: i64) -> Result<Estimate, Failure> {
        let erase = plan.erase()?;
        let during = During::action("estimating the number of rows");
        let mut tx = self.begin().await?;
        let (mut counted, mut left) = (Vec::new(), limit.max(0).saturating_add(1));
        for size in &erase.sizes {
            let rows = if left > 0 { count(&mut tx, size, key, left).await.or_failure(during)? } else { 0 };
            left -= rows;
            counted.push((size, rows));
        }
        let mut sum = counted.iter().map(|(_, rows)| rows).sum();
        if left > 0 {
            tx.rollback().await.or_failure(during)?;
            return Ok(Estimate { rows: sum, exact: true });
        }
        sum = 0;
        for (size, mut rows) in counted {
            if rows <= COUNT_LIMIT {
                rows = count(&mut tx, size, key, COUNT_LIMIT + 1).await.or_failure(during)?;
            }
            let all = rows <= COUNT_LIMIT;
            sum += if all { rows } else { explain(&mut tx, size, key).await.or_failure(during)?.max(rows) };
        }
        tx.rollback().await.or_failure(during)?;
        Ok(Estimate { rows: sum, exact: false })
    }
}

async fn count(connection: &mut PgConnection, size: &TableSize, key: &str, limit: i64) -> Result<i64, sqlx::Error> {
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
