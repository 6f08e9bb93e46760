//! The operator's own table `deletions`: what it has noted of deletions that did not end at once. And what the breaker counts.

use k8s_openapi::jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::db::Database;
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::statement::{own, time};
use crate::db::transaction::rollback;
use crate::domain::breaker::Counted;
use crate::domain::facts::NotedDeletion;
use crate::domain::{Failure, Subject};

/// An earlier note of when the deletion was seen stays. Of two clocks that disagree the later one counts.
const NOTE: &str = "INSERT INTO organization_operator.deletions AS d
    (cluster_id, object_uid, object_name, requested_at, first_seen_at, breaker_deletions, breaker_objects)
VALUES ($1, $2, $3, $4, GREATEST($5, clock_timestamp() - make_interval(secs => $6)), $7, $8)
ON CONFLICT (cluster_id, object_uid) DO UPDATE
SET breaker_deletions = EXCLUDED.breaker_deletions, breaker_objects = EXCLUDED.breaker_objects
WHERE EXCLUDED.breaker_deletions IS NOT NULL";

const ERASED: &str = "SELECT object_uid, COALESCE(requested_at, started_at) AS requested
FROM organization_operator.ledger
WHERE cluster_id = $1 AND outcome = 'Erased' AND COALESCE(requested_at, started_at) BETWEEN $2 AND $3";

/// Counting ends at a limit: the burst of a large cluster would count all its deletions for each of them.
const COUNT: &str = "SELECT count(*) FROM (
    SELECT FROM organization_operator.ledger
    WHERE cluster_id = $1 AND outcome = 'Erased' AND COALESCE(requested_at, started_at) BETWEEN $2 AND $3
    LIMIT $4
) l";

const NOTED: &str = "SELECT object_uid, object_name FROM organization_operator.deletions WHERE cluster_id = $1";

const FORGET: &str = "DELETE FROM organization_operator.deletions WHERE cluster_id = $1 AND object_uid = $2";

/// A deletion that has erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedDeletion {
    /// The object's uid. The object may still be there.
    pub uid: String,
    /// When the deletion was requested.
    pub requested: Timestamp,
}

/// A deletion of which something is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfObject {
    /// The object's uid.
    pub uid: String,
    /// Its name.
    pub name: String,
}

/// Reads what is noted from a row. Returns `None` if the columns are NULL.
pub(super) fn noted_in(row: &PgRow) -> Result<Option<NotedDeletion>, sqlx::Error> {
    let Some(first_seen) = time(row, "first_seen_at")? else { return Ok(None) };
    let number = |column| {
        let number = row.try_get::<Option<i64>, _>(column)?.map(u64::try_from).transpose();
        number.map_err(|_| sqlx::Error::from(Unreadable("what the breaker counted")))
    };
    let counted = number("breaker_deletions")?.zip(number("breaker_objects")?);
    let tripped = counted.map(|(deletions, objects)| Counted { deletions, objects });
    Ok(Some(NotedDeletion { first_seen, tripped }))
}

fn counting() -> During<'static> {
    During::table("counting deletions in", None, "organization_operator.ledger")
}

fn during() -> During<'static> {
    During::table("recording the deletion", None, "organization_operator.deletions")
}

impl Database {
    /// Notes that the operator has seen a deletion, `seen_for` seconds ago by its own clock and no later than `first_seen`, and
    /// what the breaker counted if that holds the deletion back. Does nothing if the object is not being deleted.
    ///
    /// # Errors
    /// Fails when the database refuses.
    pub async fn note_deletion(
        &self,
        cluster: &str,
        subject: &Subject,
        first_seen: Timestamp,
        seen_for: f64,
        tripped: Option<Counted>,
    ) -> Result<(), Failure> {
        let Some(requested) = subject.terminating_since else { return Ok(()) };
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut tx = self.begin().await?;
        own(NOTE)
            .bind(cluster)
            .bind(&subject.uid)
            .bind(&subject.name)
            .bind(jiff_sqlx::Timestamp::from(requested))
            .bind(jiff_sqlx::Timestamp::from(first_seen))
            .bind(seen_for)
            .bind(tripped.map(|counted| number(counted.deletions)))
            .bind(tripped.map(|counted| number(counted.objects)))
            .execute(&mut *tx)
            .await
            .or_failure(during())?;
        self.commit(tx).await
    }

    /// How many deletions of the cluster have erased and were requested between two times, both included; at most `limit`.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn count_erased(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<usize, Failure> {
        let mut tx = self.begin().await?;
        let count: i64 = own(COUNT)
            .bind(cluster)
            .bind(jiff_sqlx::Timestamp::from(from))
            .bind(jiff_sqlx::Timestamp::from(to))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_one(&mut *tx)
            .await
            .and_then(|row| row.try_get(0))
            .or_failure(counting())?;
        rollback(tx).await?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// The deletions of the cluster that have erased and were requested between two times, both included.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn erased_between(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<ErasedDeletion>, Failure> {
        let mut tx = self.begin().await?;
        let rows = own(ERASED)
            .bind(cluster)
            .bind(jiff_sqlx::Timestamp::from(from))
            .bind(jiff_sqlx::Timestamp::from(to))
            .fetch_all(&mut *tx)
            .await
            .or_failure(counting())?;
        rollback(tx).await?;
        let erased = |row: &PgRow| {
            let requested = time(row, "requested")?.ok_or(Unreadable("a time"))?;
            Ok(ErasedDeletion { uid: row.try_get("object_uid")?, requested })
        };
        rows.iter().map(erased).collect::<Result<_, sqlx::Error>>().or_failure(counting())
    }

    /// The deletions of the cluster of which something is noted.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn noted_deletions(&self, cluster: &str) -> Result<Vec<OfObject>, Failure> {
        let mut tx = self.begin().await?;
        let rows = own(NOTED).bind(cluster).fetch_all(&mut *tx).await.or_failure(during())?;
        rollback(tx).await?;
        let noted = |row: &PgRow| Ok(OfObject { uid: row.try_get("object_uid")?, name: row.try_get("object_name")? });
        rows.iter().map(noted).collect::<Result<_, sqlx::Error>>().or_failure(during())
    }

    /// Forgets what is noted of the deletion of an object that is gone.
    ///
    /// # Errors
    /// Fails when the database refuses.
    pub async fn forget_deletion(&self, cluster: &str, uid: &str) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        own(FORGET).bind(cluster).bind(uid).execute(&mut *tx).await.or_failure(during())?;
        self.commit(tx).await
    }
}
