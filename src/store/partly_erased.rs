//! Organizations of which a deletion has erased a part and has not ended.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::db::transaction::rollback;
use crate::domain::Failure;

/// The table is almost always empty, and has a row for each large deletion that is under way.
const ALL: &str = "SELECT e.organization_key, e.cluster_id, e.object_uid,
    (SELECT sum((step ->> 'deleted')::bigint)::bigint FROM jsonb_array_elements(e.deleted) step) AS rows
FROM organization_operator.erasures e WHERE e.deleted <> '[]' ORDER BY e.started_at";

/// An organization of which a deletion has erased a part and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartlyErased {
    /// The organization's key.
    pub key: String,
    /// The cluster of the object whose deletion it is.
    pub cluster: String,
    /// The uid of that object, which may be gone: somebody may have removed its finalizer by force.
    pub uid: String,
    /// Rows that were deleted in pages.
    pub rows: i64,
}

impl Database {
    /// The organizations of which deletions have erased a part and have not ended, the oldest deletion first.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn partly_erased(&self) -> Result<Vec<PartlyErased>, Failure> {
        let during = During::table("reading", None, "organization_operator.erasures");
        let mut tx = self.begin().await?;
        let rows = own(ALL).fetch_all(&mut *tx).await.or_failure(during)?;
        rollback(tx).await?;
        rows.iter().map(partly_erased_in).collect::<Result<_, _>>().or_failure(during)
    }
}

fn partly_erased_in(row: &PgRow) -> Result<PartlyErased, sqlx::Error> {
    Ok(PartlyErased {
        key: row.try_get("organization_key")?,
        cluster: row.try_get("cluster_id")?,
        uid: row.try_get("object_uid")?,
        rows: row.try_get("rows")?,
    })
}
