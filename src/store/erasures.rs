//! The operator's own table `erasures`: erasures that delete rows page by page and have not ended.

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};

use super::Actor;
use crate::api::status::DeletionStep;
use crate::db::error::{During, OrFailure as _, Unreadable};
use crate::db::statement::{own, time};
use crate::domain::Failure;
use crate::domain::facts::UnderWay;
use crate::domain::written::WrittenTable;
use planner::cascade::CAPTURED_TIDS;

/// What reads an erasure without its cursor.
pub(super) const COLUMNS: &str = "e.object_uid AS erasure_uid, e.started_at, e.updated_at, e.estimated_rows, e.deleted, e.interrupted_at, e.paged_table";

const OF_ORGANIZATION: &str =
    "SELECT e.*, e.object_uid AS erasure_uid FROM organization_operator.erasures e WHERE e.organization_key = $1";

/// It goes on where it was if the plan is the same; with another plan it begins anew, and keeps what it has counted. It belongs
/// to the organization: the object that has the claim goes on with what another one began.
const BEGIN: &str = "INSERT INTO organization_operator.erasures AS e
    (cluster_id, object_uid, organization_key, plan_digest, estimated_rows)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organization_key) DO UPDATE SET cluster_id = EXCLUDED.cluster_id, object_uid = EXCLUDED.object_uid,
    plan_digest = EXCLUDED.plan_digest, interrupted_at = NULL,
    paged_table = CASE WHEN e.plan_digest = EXCLUDED.plan_digest THEN e.paged_table END,
    captured_tids = CASE WHEN e.plan_digest = EXCLUDED.plan_digest THEN e.captured_tids END,
    next_block = CASE WHEN e.plan_digest = EXCLUDED.plan_digest THEN e.next_block ELSE 0 END,
    rows_of_pass = CASE WHEN e.plan_digest = EXCLUDED.plan_digest THEN e.rows_of_pass ELSE 0 END";

/// Under the lock of the claim: whoever has it no longer deletes nothing.
const LOCK: &str =
    "SELECT e.*, e.object_uid AS erasure_uid, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal
FROM organization_operator.claims c
JOIN organization_operator.erasures e ON e.cluster_id = c.cluster_id AND e.object_uid = c.object_uid
WHERE c.cluster_id = $1 AND c.object_uid = $2 AND c.organization_key = $3
FOR UPDATE OF c, e";

const ADVANCE: &str = "UPDATE organization_operator.erasures
SET deleted = $3, written = $4, paged_table = $5, next_block = $6, rows_of_pass = $7, page_blocks = $8,
    page_rows = $9, captured_tids = $10, updated_at = clock_timestamp()
WHERE cluster_id = $1 AND object_uid = $2
RETURNING pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal";

const NARROW: &str = "UPDATE organization_operator.erasures
SET page_blocks = GREATEST(page_blocks / 2, 1), page_rows = GREATEST(page_rows / 2, 1)
WHERE cluster_id = $1 AND object_uid = $2";

const FORGET_TIDS: &str = "DELETE FROM organization_operator.captured_tids WHERE organization_key = $1";

const INTERRUPT: &str = "UPDATE organization_operator.erasures SET interrupted_at = clock_timestamp()
WHERE cluster_id = $1 AND object_uid = $2";

const ADOPT: &str =
    "UPDATE organization_operator.erasures SET cluster_id = $1, object_uid = $2 WHERE organization_key = $3";

/// In one statement: almost no deletion has pages, and none should wait for the answer.
const END: &str = "WITH c AS (DELETE FROM organization_operator.claims WHERE cluster_id = $1 AND object_uid = $2),
    d AS (DELETE FROM organization_operator.deletions WHERE cluster_id = $1 AND object_uid = $2),
    e AS (DELETE FROM organization_operator.erasures WHERE organization_key = $3 RETURNING *)
SELECT *, object_uid AS erasure_uid FROM e";

/// The same, but only the erasure that this object began.
const DROP: &str = "WITH c AS (DELETE FROM organization_operator.claims WHERE cluster_id = $1 AND object_uid = $2),
    d AS (DELETE FROM organization_operator.deletions WHERE cluster_id = $1 AND object_uid = $2),
    e AS (DELETE FROM organization_operator.erasures WHERE cluster_id = $1 AND object_uid = $2 RETURNING *)
SELECT *, object_uid AS erasure_uid FROM e";

/// Where an erasure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The table that is paged. `None` before the first.
    pub(crate) table: Option<String>,
    /// How many tuple identifiers of the walked table were captured. `None` where pages are ranges of blocks.
    pub(crate) captured: Option<i64>,
    /// The first block of the next page, or the number of its first captured tuple identifier.
    pub(crate) next: i64,
    /// Rows deleted since the pass began.
    pub(crate) rows_of_pass: i64,
    /// How many blocks, or captured tuple identifiers, a page has.
    pub(crate) width: i64,
    /// The most rows of a page, where pages are found by the rows to which theirs belong.
    pub(crate) page_rows: i64,
}

/// What triggers wrote: each table once. `None` if that was not counted.
pub(crate) type Written = Option<Vec<WrittenTable>>;

/// An erasure that this transaction has locked.
pub(crate) struct Locked {
    /// What is shown of it.
    pub(crate) under_way: UnderWay,
    /// What triggers wrote so far.
    pub(crate) written: Written,
    /// The plan for which the cursor holds.
    pub(crate) plan_digest: String,
    pub(crate) cursor: Cursor,
    /// Where the server writes its log, in bytes.
    pub(crate) wal: i64,
}

fn during() -> During<'static> {
    During::table("recording the pages of the deletion", None, "organization_operator.erasures")
}

/// Reads an erasure from a row. Returns `None` if the columns are NULL.
pub(super) fn under_way_in(row: &PgRow) -> Result<Option<UnderWay>, sqlx::Error> {
    let Some(started) = time(row, "started_at")? else { return Ok(None) };
    let deleted: Json<Vec<DeletionStep>> = row.try_get("deleted")?;
    Ok(Some(UnderWay {
        uid: row.try_get("erasure_uid")?,
        started,
        updated: time(row, "updated_at")?.ok_or(Unreadable("a time"))?,
        estimated: row.try_get("estimated_rows")?,
        deleted: deleted.0,
        interrupted: time(row, "interrupted_at")?,
        paged: row.try_get::<Option<&str>, _>("paged_table")?.is_some(),
    }))
}

fn written_in(row: &PgRow) -> Result<Written, sqlx::Error> {
    Ok(row.try_get::<Option<Json<Vec<WrittenTable>>>, _>("written")?.map(|written| written.0))
}

/// Records that an erasure begins, or goes on by this plan.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    plan_digest: &str,
    estimated: i64,
) -> Result<(), Failure> {
    let begun = actor.own(BEGIN).bind(actor.key).bind(plan_digest).bind(estimated).execute(connection).await;
    begun.or_failure(during())?;
    Ok(())
}

/// Locks the claim and the erasure. Returns `None` if the object has no claim on the organization, or no erasure.
pub(crate) async fn lock(connection: &mut PgConnection, actor: Actor<'_>) -> Result<Option<Locked>, Failure> {
    let row = actor.own(LOCK).bind(actor.key).fetch_optional(connection).await.or_failure(during())?;
    row.map(|row| locked_in(&row)).transpose().map(Option::flatten).or_failure(during())
}

fn locked_in(row: &PgRow) -> Result<Option<Locked>, sqlx::Error> {
    let Some(under_way) = under_way_in(row)? else { return Ok(None) };
    Ok(Some(Locked {
        under_way,
        written: written_in(row)?,
        plan_digest: row.try_get("plan_digest")?,
        cursor: Cursor {
            table: row.try_get("paged_table")?,
            captured: row.try_get("captured_tids")?,
            next: row.try_get("next_block")?,
            rows_of_pass: row.try_get("rows_of_pass")?,
            width: row.try_get("page_blocks")?,
            page_rows: row.try_get("page_rows")?,
        },
        wal: row.try_get("wal")?,
    }))
}

/// Records a page: what is deleted by now, and where the next one begins. Returns where the server writes its log, in bytes.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    deleted: &[DeletionStep],
    written: Option<&[WrittenTable]>,
    cursor: &Cursor,
) -> Result<i64, Failure> {
    actor
        .own(ADVANCE)
        .bind(Json(deleted))
        .bind(written.map(Json))
        .bind(&cursor.table)
        .bind(cursor.next)
        .bind(cursor.rows_of_pass)
        .bind(cursor.width)
        .bind(cursor.page_rows)
        .bind(cursor.captured)
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get("wal"))
        .or_failure(during())
}

/// Halves the next page, because this one took too long.
pub(crate) async fn narrow(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    actor.own(NARROW).execute(connection).await.or_failure(during())?;
    Ok(())
}

/// Forgets the tuple identifiers that were captured of the table before.
pub(crate) async fn forget_tids(connection: &mut PgConnection, key: &str) -> Result<(), Failure> {
    let during = During::table("forgetting rows of", None, CAPTURED_TIDS);
    own(FORGET_TIDS).bind(key).execute(connection).await.or_failure(during)?;
    Ok(())
}

/// Records that a lowered policy stopped the erasure.
pub(crate) async fn interrupt(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    actor.own(INTERRUPT).execute(connection).await.or_failure(during())?;
    Ok(())
}

/// The erasure of an organization, whoever began it, without a lock.
pub(crate) async fn of_organization(connection: &mut PgConnection, key: &str) -> Result<Option<UnderWay>, Failure> {
    let row = own(OF_ORGANIZATION).bind(key).fetch_optional(connection).await;
    let during = During::table("observing", None, "organization_operator.erasures");
    row.and_then(|row| row.as_ref().map_or(Ok(None), under_way_in)).or_failure(during)
}

/// Lets the object go on with an erasure that another one began, whose claim it has by now.
pub(super) async fn adopt(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    let adopted = actor.own(ADOPT).bind(actor.key).execute(connection).await;
    adopted.or_failure(During::action("taking over the erasure"))?;
    Ok(())
}

/// What pages of an erasure did that has ended now.
pub(crate) struct Pages {
    pub(crate) under_way: UnderWay,
    /// What triggers wrote.
    pub(crate) written: Written,
    /// The plan of the last page.
    pub(crate) plan_digest: String,
}

/// Drops the object's claim, and ends the erasure of its organization, whoever began it. Returns what pages did, or `None` if
/// there were none. What they deleted must be recorded in the same transaction.
pub(crate) async fn end_with_claim(connection: &mut PgConnection, actor: Actor<'_>) -> Result<Option<Pages>, Failure> {
    let row = actor.own(END).bind(actor.key).fetch_optional(connection).await.or_failure(during())?;
    row.map_or(Ok(None), |row| pages_in(&row)).or_failure(during())
}

fn pages_in(row: &PgRow) -> Result<Option<Pages>, sqlx::Error> {
    let Some(under_way) = under_way_in(row)? else { return Ok(None) };
    Ok(Some(Pages { under_way, written: written_in(row)?, plan_digest: row.try_get("plan_digest")? }))
}

/// Drops the object's claim and its own erasure. Returns how many rows its pages had deleted.
pub(super) async fn drop_with_claim(connection: &mut PgConnection, actor: Actor<'_>) -> Result<i64, Failure> {
    let row = actor.own(DROP).fetch_optional(connection).await;
    let begun = row.and_then(|row| row.as_ref().map_or(Ok(None), under_way_in)).or_failure(during())?;
    Ok(begun.map_or(0, |begun| begun.rows()))
}
