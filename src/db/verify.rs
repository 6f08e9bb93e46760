//! The second count, after COMMIT, of what no foreign key protects, and the keys by which it finds the rows.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};

use super::bind::{Captured, numbers, own, query};
use super::connect::Database;
use super::erase::{
    blockers, capture, content_changed, defer_constraints, delete, detach, parents_gone, schema_unchanged, unblocked,
};
use super::error::{During, OrFailure as _};
use super::organization::lock as lock_organization;
use super::transaction::commit;
use crate::api::Reason;
use crate::domain::completion::{CompletionProof, NothingLeft};
use crate::domain::facts::Presence;
use crate::domain::{Failure, Subject};
use crate::store::{Actor, ledger};
use planner::{CompiledPlan, ErasePlan};

/// What a second count found.
#[derive(Clone, Debug, PartialEq)]
pub enum Verification {
    /// Nothing is left.
    Completed(CompletionProof),
    /// Something had appeared and was deleted, so it has to be counted once more after another while.
    Swept,
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    PlanOutdated,
}

impl Database {
    /// Counts again, after writers had time to settle, what no foreign key protects, and deletes what has appeared.
    ///
    /// # Errors
    /// Fails when the database refuses, or when the organization is there again.
    pub async fn verify(
        &self,
        cluster: &str,
        subject: &Subject,
        key: &str,
        plan: &CompiledPlan,
    ) -> Result<Verification, Failure> {
        let actor = Actor { cluster, subject, key };
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let Some(entry) = ledger::entry_of(&mut tx, cluster, &subject.uid).await? else {
            return Err(Failure::new(Reason::InternalError, "the ledger entry of this erasure is gone"));
        };
        if let Some(done) = CompletionProof::recorded(&entry) {
            return Ok(Verification::Completed(done));
        }
        if !schema_unchanged(&mut tx, plan).await? {
            return Ok(Verification::PlanOutdated);
        }
        refuse_created_again(&mut tx, actor, plan).await?;
        defer_constraints(&mut tx, erase).await?;
        // What has appeared since may be parents, too, and others may refer to it.
        let mut captured = load_residue(&mut tx, actor, erase).await?;
        forget_keys_in_use(&mut tx, key, erase, &mut captured).await?;
        captured = capture(&mut tx, key, erase, captured).await?;
        unblocked(&blockers(&mut tx, key, erase.sweep_preflight.as_ref(), None, &captured).await?)?;
        detach(&mut tx, key, erase, &captured).await?;
        let swept = delete(&mut tx, key, erase, &erase.sweeps, None, &mut captured).await?;
        parents_gone(&mut tx, key, erase, &captured).await?;
        let mut steps = entry.steps.clone();
        for (entity, rows) in erase.by_entity(&swept) {
            if let Some(step) = steps.iter_mut().find(|s| s.entity == entity) {
                step.found += rows;
                step.deleted += rows;
            }
        }
        if swept.iter().any(|rows| *rows > 0) {
            ledger::amend(&mut tx, actor, &steps, false).await?;
            keep_residue(&mut tx, actor, erase, &captured).await?;
            // What was swept may be rows of one that was created meanwhile.
            refuse_created_again(&mut tx, actor, plan).await?;
            commit(tx).await?;
            return Ok(Verification::Swept);
        }
        let left =
            numbers(&mut tx, &erase.recount, key, &captured).await.or_failure(During::action("counting again"))?;
        let Some(proof) = NothingLeft::prove(&left) else {
            return Err(content_changed(erase, &left));
        };
        ledger::amend(&mut tx, actor, &steps, true).await?;
        drop_residue(&mut tx, actor).await?;
        commit(tx).await?;
        Ok(Verification::Completed(CompletionProof::erased(proof, steps)))
    }
}

/// Keys of parents that are there again belong to another organization now, and so does what is found by them.
async fn forget_keys_in_use(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &mut Captured,
) -> Result<(), Failure> {
    let during = During::action("looking for keys that are in use again");
    for back in &erase.parents_back {
        let row = query(&back.statement, key, captured).fetch_one(&mut *connection).await;
        let in_use: Vec<bool> = row.and_then(|row| row.try_get(0)).or_failure(during)?;
        let Some(columns) = captured.get_mut(&back.step) else { continue };
        for position in &back.positions {
            let values = columns.get_mut(*position).into_iter().flatten();
            values.zip(&in_use).filter(|(_, in_use)| **in_use).for_each(|(value, _)| *value = None);
        }
    }
    Ok(())
}

/// An organization that has the id of an erased one makes the rows of the two indistinguishable.
async fn refuse_created_again(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    if lock_organization(connection, actor.key, plan).await? == Presence::Absent {
        return Ok(());
    }
    Err(Failure::new(
        Reason::ContentChanged,
        "an organization with this id was created again before the old one's tables without a foreign key were counted again; its rows cannot be told apart",
    )
    .remedy(format!(
        "delete the new organization's row, or keep its data: kubectl patch organization {} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Retain\"}}}}'",
        actor.subject.name
    )))
}

/// Keys of parents that are gone, as they are kept.
#[derive(serde::Serialize, serde::Deserialize)]
struct Residue {
    columns: Vec<String>,
    keys: Vec<Vec<Option<String>>>,
}

pub(super) async fn keep_residue(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    erase: &ErasePlan,
    captured: &Captured,
) -> Result<(), Failure> {
    for capture in erase.captures.iter().filter(|c| c.residue) {
        let residue = Residue {
            columns: capture.columns.clone(),
            keys: captured.get(&capture.step).cloned().unwrap_or_default(),
        };
        own("INSERT INTO organization_operator.captured_keys (cluster_id, object_uid, parent_table, keys) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (cluster_id, object_uid, parent_table) DO UPDATE SET keys = EXCLUDED.keys")
            .bind(actor.cluster)
            .bind(&actor.subject.uid)
            .bind(format!("{}#{}", capture.table, capture.step))
            .bind(sqlx::types::Json(residue))
            .execute(&mut *connection)
            .await
            .or_failure(During::action("keeping keys to count again"))?;
    }
    Ok(())
}

async fn load_residue(connection: &mut PgConnection, actor: Actor<'_>, erase: &ErasePlan) -> Result<Captured, Failure> {
    let during = During::action("reading keys to count again");
    let rows = own(
        "SELECT parent_table, keys FROM organization_operator.captured_keys WHERE cluster_id = $1 AND object_uid = $2",
    )
    .bind(actor.cluster)
    .bind(&actor.subject.uid)
    .fetch_all(connection)
    .await
    .or_failure(during)?;
    let mut kept: BTreeMap<String, Residue> = BTreeMap::new();
    for row in rows {
        let residue: sqlx::types::Json<Residue> = row.try_get("keys").or_failure(during)?;
        kept.insert(row.try_get("parent_table").or_failure(during)?, residue.0);
    }
    let mut captured = Captured::new();
    for capture in erase.captures.iter().filter(|c| c.residue) {
        match kept.remove(&format!("{}#{}", capture.table, capture.step)) {
            Some(residue) if residue.columns == capture.columns => {
                captured.insert(capture.step, residue.keys);
            }
            _ => {
                return Err(Failure::new(
                    Reason::SchemaMismatch,
                    format!("the plan was changed after this organization was erased, so the rows below `{}` cannot be counted again", capture.table),
                )
                .table(&capture.table)
                .remedy("put the plan (cascade) back as it was until this deletion is done"));
            }
        }
    }
    Ok(captured)
}

async fn drop_residue(connection: &mut PgConnection, actor: Actor<'_>) -> Result<(), Failure> {
    own("DELETE FROM organization_operator.captured_keys WHERE cluster_id = $1 AND object_uid = $2")
        .bind(actor.cluster)
        .bind(&actor.subject.uid)
        .execute(connection)
        .await
        .or_failure(During::action("dropping keys that were counted again"))?;
    Ok(())
}
