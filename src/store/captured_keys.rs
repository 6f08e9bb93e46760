//! The operator's own table `captured_keys`: keys of parents that are gone, kept until the rows that are found by them were
//! counted again.

use std::collections::BTreeMap;

use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};

use super::Actor;
use crate::api::Reason;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::unpaired;
use crate::domain::Failure;
use planner::captured::Keys;
use planner::cascade::Capture;
use planner::{CapturedKeys, ErasePlan};

const KEEP: &str = r"
    INSERT INTO organization_operator.captured_keys (cluster_id, object_uid, parent_table, keys)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (cluster_id, object_uid, parent_table) DO UPDATE SET keys = EXCLUDED.keys";

const LOAD: &str = r"
    SELECT parent_table, keys
    FROM organization_operator.captured_keys
    WHERE cluster_id = $1 AND object_uid = $2";

const DROP: &str = r"
    DELETE FROM organization_operator.captured_keys
    WHERE cluster_id = $1 AND object_uid = $2";

/// The name under which the keys of a step are kept.
fn name(capture: &Capture) -> String {
    format!("{}#{}", capture.declared, capture.step)
}

/// Stores the captured keys for the count after COMMIT.
pub(crate) async fn keep(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    erase: &ErasePlan,
    captured: &CapturedKeys,
) -> Result<(), Failure> {
    for capture in erase.captures.iter().filter(|c| c.kept) {
        actor
            .own(KEEP)
            .bind(name(capture))
            .bind(Json(captured.get(capture.step)))
            .execute(&mut *connection)
            .await
            .or_failure(During::action("storing captured keys"))?;
    }
    Ok(())
}

/// Loads the stored keys. Fails when the plan needs other keys now.
pub(crate) async fn load(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    erase: &ErasePlan,
) -> Result<CapturedKeys, Failure> {
    let during = During::action("reading captured keys");
    let rows = actor.own(LOAD).fetch_all(connection).await.or_failure(during)?;
    let mut kept: BTreeMap<String, Keys> = BTreeMap::new();
    for row in rows {
        let keys: Json<Keys> = row.try_get("keys").or_failure(during)?;
        kept.insert(row.try_get("parent_table").or_failure(during)?, keys.0);
    }
    let mut captured = CapturedKeys::default();
    for capture in erase.captures.iter().filter(|c| c.kept) {
        let kept = kept.remove(&name(capture)).filter(|kept| kept.columns == capture.columns);
        let keys = kept.ok_or_else(|| plan_changed(&capture.declared))?;
        captured.restore(capture.step, keys).map_err(unpaired).or_failure(during)?;
    }
    Ok(captured)
}

fn plan_changed(table: &str) -> Failure {
    Failure::new(
        Reason::SchemaMismatch,
        format!(
            "the plan was changed after this organization was erased, so the child rows of `{table}` cannot be counted again"
        ),
    )
    .table(table)
    .remedy("restore the earlier plan (cascade) until this deletion is completed")
}

/// Deletes the stored keys.
pub(crate) async fn drop(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    actor.own(DROP).execute(connection).await.or_failure(During::action("deleting captured keys"))?;
    Ok(())
}
