//! The cascade: everything in one transaction, under the locks of claim and organization, counted again before COMMIT.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Postgres, Row as _, Transaction};

use super::bind::{Captured, columns, numbers, own, query};
use super::connect::Database;
use super::error::{During, failure};
use super::ledger::Record;
use super::settle::{commit, lock_organization, settled};
use super::{Actor, catalog, claim, ledger, observe};
use crate::api::status::{DeletionStep, Outcome};
use crate::api::{DeletionPolicy, Reason};
use crate::domain::blocker::blockers;
use crate::domain::compile::{CompiledPlan, Delete, ErasePlan};
use crate::domain::settlement::{NothingLeft, Settlement};
use crate::domain::{Failure, Subject};

/// What a cascade achieved.
#[derive(Clone, Debug, PartialEq)]
pub enum Erasure {
    /// Nothing is left.
    Settled(Settlement),
    /// Everything was deleted, and tables that no foreign key protects have to be counted again after a while.
    Unverified {
        /// What was found and deleted.
        steps: Vec<DeletionStep>,
    },
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    PlanOutdated,
    /// It is no longer wanted; nothing was touched.
    Unwanted,
}

impl Database {
    /// Erases the organization. All or nothing. Right before the first delete `wanted` is asked whether it is still to be.
    ///
    /// # Errors
    /// Fails with every blocker when something stands in the way, and with `ContentChanged` when the recount finds rows.
    /// Nothing was deleted then.
    pub async fn erase(
        &self,
        actor: Actor<'_>,
        plan: &CompiledPlan,
        wanted: impl Future<Output = Result<bool, Failure>>,
    ) -> Result<Erasure, Failure> {
        plan.erase()?;
        let mut tx = self.begin().await.map_err(Failure::deleted_nothing)?;
        let (standby, pid) = observe::server(&mut tx).await.map_err(Failure::deleted_nothing)?;
        if standby {
            return Err(crate::domain::decide::on_a_standby().deleted_nothing());
        }
        let work = Box::pin(erase_and_record(tx, actor, plan, wanted));
        self.naming_blockers(pid, work).await.map_err(Failure::deleted_nothing)
    }

    /// Counts again, after writers had time to settle, what no foreign key protects, and deletes what has appeared. None:
    /// something had appeared, so it has to be counted once more after another while.
    ///
    /// # Errors
    /// Fails when the database refuses, or when the organization is there again.
    pub async fn verify(
        &self,
        cluster: &str,
        subject: &Subject,
        key: &str,
        plan: &CompiledPlan,
    ) -> Result<Option<Settlement>, Failure> {
        let actor = Actor { cluster, subject, key };
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let Some(entry) = ledger::find(&mut tx, actor).await? else {
            return Err(Failure::new(Reason::InternalError, "the ledger entry of this erasure is gone"));
        };
        if let Some(done) = Settlement::recorded(&entry) {
            return Ok(Some(done));
        }
        refuse_created_again(&mut tx, actor, plan).await?;
        let mut captured = load_residue(&mut tx, actor, erase).await?;
        let swept = delete(&mut tx, key, erase, &erase.sweeps, &[], &mut captured).await?;
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
            return Ok(None);
        }
        let left = numbers(&mut tx, &erase.recount, key, &captured)
            .await
            .map_err(|e| failure(&e, During::action("counting again")))?;
        let Some(proof) = NothingLeft::prove(&left) else {
            return Err(content_changed(erase, &left));
        };
        ledger::amend(&mut tx, actor, &steps, true).await?;
        drop_residue(&mut tx, actor).await?;
        commit(tx).await?;
        Ok(Some(Settlement::erased(proof, steps)))
    }
}

/// The whole erasure, from the locks to the commit.
async fn erase_and_record(
    mut tx: Transaction<'static, Postgres>,
    actor: Actor<'_>,
    plan: &CompiledPlan,
    wanted: impl Future<Output = Result<bool, Failure>>,
) -> Result<Erasure, Failure> {
    let erase = plan.erase()?;
    claim::hold(&mut tx, actor, None).await?;
    if let Some(entry) = ledger::find(&mut tx, actor).await? {
        return settled(&entry).map(Erasure::Settled);
    }
    let Gone { proof, steps, organizations, captured } = match cascade(&mut tx, actor.key, plan, wanted).await? {
        Cascade::Done(gone) => gone,
        Cascade::Outdated => return Ok(Erasure::PlanOutdated),
        Cascade::Unwanted => return Ok(Erasure::Unwanted),
    };
    let verified = !erase.has_unfenced();
    let record = Record {
        outcome: Outcome::Erased,
        policy: DeletionPolicy::Delete,
        steps: &steps,
        organizations,
        detail: "",
        plan_digest: &plan.digest,
        verified,
    };
    ledger::write(&mut tx, actor, &record).await?;
    claim::drop_claim(&mut tx, actor).await?;
    if !verified {
        keep_residue(&mut tx, actor, erase, &captured).await?;
    }
    commit(tx).await?;
    Ok(if verified { Erasure::Settled(Settlement::erased(proof, steps)) } else { Erasure::Unverified { steps } })
}

/// How a cascade ended, in a transaction that is still open.
pub(super) enum Cascade {
    /// Everything is gone.
    Done(Gone),
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    Outdated,
    /// It is no longer wanted; nothing was touched.
    Unwanted,
}

/// What a cascade did.
pub(super) struct Gone {
    pub(super) proof: NothingLeft,
    pub(super) steps: Vec<DeletionStep>,
    pub(super) organizations: i64,
    pub(super) captured: Captured,
}

/// Deletes everything under the lock of the organization, and counts again. Right before the first delete `wanted` is asked.
/// The caller ends the transaction.
pub(super) async fn cascade(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    wanted: impl Future<Output = Result<bool, Failure>>,
) -> Result<Cascade, Failure> {
    let erase = plan.erase()?;
    query(&erase.lock_tables, key, &Captured::new())
        .execute(&mut *connection)
        .await
        .map_err(|e| failure(&e, During::action("locking the plan's tables against changes of the schema")))?;
    let fingerprint = catalog::fingerprint(connection, &plan.fingerprint_tables, &plan.tenant_columns)
        .await
        .map_err(|e| failure(&e, During::action("reading the catalogue")))?;
    if fingerprint != plan.fingerprint {
        return Ok(Cascade::Outdated);
    }
    let present = lock_organization(connection, key, plan).await?.is_some();
    if erase.defer_constraints {
        own("SET CONSTRAINTS ALL DEFERRED")
            .execute(&mut *connection)
            .await
            .map_err(|e| failure(&e, During::action("deferring constraints")))?;
    }
    let mut captured = capture(connection, key, erase).await?;
    preflight(connection, key, erase).await?;
    let found = numbers(connection, &erase.count, key, &Captured::new())
        .await
        .map_err(|e| failure(&e, During::action("counting")))?;
    if !wanted.await? {
        return Ok(Cascade::Unwanted);
    }
    let deleted = delete(connection, key, erase, &erase.deletes, &found, &mut captured).await?;
    let organizations =
        delete_organization(connection, key, plan, present).await.map_err(|f| classify(f, erase, &found, &deleted))?;
    let left = numbers(connection, &erase.recount, key, &captured)
        .await
        .map_err(|e| failure(&e, During::action("counting again")))?;
    let Some(proof) = NothingLeft::prove(&left) else {
        return Err(content_changed(erase, &left));
    };
    parents_gone(connection, key, erase, &captured).await?;
    Ok(Cascade::Done(Gone { proof, steps: steps(erase, &found, &deleted), organizations, captured }))
}

/// An organization that has the id of an erased one makes the rows of the two indistinguishable.
async fn refuse_created_again(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    if lock_organization(connection, actor.key, plan).await?.is_none() {
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

async fn capture(connection: &mut PgConnection, key: &str, erase: &ErasePlan) -> Result<Captured, Failure> {
    let mut captured = Captured::new();
    for capture in &erase.captures {
        let table = erase.deletes.iter().find(|d| d.step == capture.step).map(|d| &erase.tables[d.table]);
        let during = match table {
            Some(table) => During::table("locking rows of", Some(&table.entity), &table.name),
            None => During::table("locking rows of", None, &capture.table),
        };
        let row = query(&capture.statement, key, &captured)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| failure(&e, during))?;
        if !capture.columns.is_empty() {
            let keys = columns(&row, 0, capture.columns.len()).map_err(|e| failure(&e, during))?;
            captured.insert(capture.step, keys);
        }
    }
    Ok(captured)
}

async fn preflight(connection: &mut PgConnection, key: &str, erase: &ErasePlan) -> Result<(), Failure> {
    let Some((statement, checks)) = &erase.preflight else { return Ok(()) };
    let rows = numbers(connection, statement, key, &Captured::new())
        .await
        .map_err(|e| failure(&e, During::action("looking for references from outside")))?;
    blockers(checks, &rows, key).map_or(Ok(()), Err)
}

/// Runs deletes in order. Returns the rows really gone, one number a table of the plan.
async fn delete(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    deletes: &[Delete],
    found: &[i64],
    captured: &mut Captured,
) -> Result<Vec<i64>, Failure> {
    let mut deleted = vec![0; erase.tables.len()];
    for step in deletes {
        let table = &erase.tables[step.table];
        let during = During::change("deleting from", Some(&table.entity), &table.name);
        let row = query(&step.statement, key, captured)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| classify(failure(&e, during), erase, found, &deleted))?;
        let rows: i64 = row.try_get(0).map_err(|e| failure(&e, during))?;
        deleted[step.table] += rows;
        // Rows that appeared after the capture are parents too.
        let keys = columns(&row, 1, step.columns).map_err(|e| failure(&e, during))?;
        let held = captured.entry(step.step).or_insert_with(|| vec![Vec::new(); keys.len()]);
        for (all, new) in held.iter_mut().zip(keys) {
            all.extend(new);
        }
    }
    Ok(deleted)
}

/// The preflight found nothing, so a foreign key from a table of the plan means that rows of it are there that should be
/// gone: they appeared since, or something swallowed their delete.
fn classify(mut failure: Failure, erase: &ErasePlan, found: &[i64], deleted: &[i64]) -> Failure {
    let Some(at) = erase.tables.iter().position(|t| Some(&t.name) == failure.table.as_ref()) else { return failure };
    if failure.reason != Reason::ForeignKeyViolation {
        return failure;
    }
    let table = &erase.tables[at];
    failure.reason = Reason::ContentChanged;
    failure.entity = Some(table.entity.clone());
    failure.remedy = Some(stop_writers(&table.name));
    if let (Some(found), Some(deleted)) = (found.get(at), deleted.get(at))
        && found > deleted
    {
        failure.rows = Some(found - deleted);
        failure.message = format!(
            "{}; {} of the {found} rows found in `{}` were not deleted by the statement that should have",
            failure.message,
            found - deleted,
            table.name
        );
    }
    failure
}

/// What clears `ContentChanged`.
fn stop_writers(table: &str) -> String {
    format!(
        "stop what writes to the organization; a trigger may, or may swallow deletes: {}",
        super::wording::triggers(table)
    )
}

async fn delete_organization(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
    present: bool,
) -> Result<i64, Failure> {
    let table = plan.root.table.name();
    let during = During::change("deleting the organization from", None, &table);
    let rows = query(&plan.erase()?.delete_organization, key, &Captured::new())
        .execute(connection)
        .await
        .map_err(|e| failure(&e, during))?
        .rows_affected();
    if rows == u64::from(present) {
        return Ok(i64::from(present));
    }
    Err(Failure::new(
        Reason::ContentChanged,
        format!("deleting the organization from `{table}` removed {rows} rows instead of one; a trigger or a view stands in between. Nothing was deleted"),
    )
    .remedy(stop_writers(&table))
    .table(table))
}

/// Every parent whose children were deleted must be gone itself. One that is there has moved to another organization after
/// its children were found, and they were that organization's.
async fn parents_gone(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &Captured,
) -> Result<(), Failure> {
    let (statement, tables) = &erase.parents_left;
    let left = numbers(connection, statement, key, captured)
        .await
        .map_err(|e| failure(&e, During::action("looking for parents that were moved")))?;
    let Some((table, rows)) = tables.iter().zip(&left).find(|(_, rows)| **rows > 0) else { return Ok(()) };
    Err(Failure::new(
        Reason::ContentChanged,
        format!(
            "{rows} rows of `{table}` belonged to the organization when its deletion began and belong to another one now. Everything was rolled back, nothing was deleted"
        ),
    )
    .table(table)
    .rows(*rows)
    .remedy("nothing: the next attempt leaves the moved rows and what is below them alone"))
}

fn content_changed(erase: &ErasePlan, left: &[i64]) -> Failure {
    let remaining: Vec<(&str, &str, i64)> = erase
        .tables
        .iter()
        .zip(left)
        .filter(|(_, rows)| **rows > 0)
        .map(|(table, rows)| (table.name.as_str(), table.entity.as_str(), *rows))
        .collect();
    let list = remaining.iter().map(|(t, _, n)| format!("{n} in `{t}`")).collect::<Vec<_>>().join(", ");
    let mut failure = Failure::new(
        Reason::ContentChanged,
        format!("rows were left after the last delete: {list}. Everything was rolled back, nothing was deleted"),
    )
    .rows(remaining.iter().map(|r| r.2).sum());
    if let Some((table, entity, _)) = remaining.first() {
        failure = failure.table(*table).entity(*entity).remedy(stop_writers(table));
    }
    failure
}

fn steps(erase: &ErasePlan, found: &[i64], deleted: &[i64]) -> Vec<DeletionStep> {
    erase
        .by_entity(found)
        .into_iter()
        .zip(erase.by_entity(deleted))
        .zip(&erase.entities)
        .map(|(((entity, found), (_, deleted)), described)| DeletionStep {
            entity,
            tables: described.tables.clone(),
            // Rows that appeared between counting and deleting were found, too.
            found: found.max(deleted),
            deleted,
        })
        .collect()
}

/// Keys of parents that are gone, as they are kept.
#[derive(serde::Serialize, serde::Deserialize)]
struct Residue {
    columns: Vec<String>,
    keys: Vec<Vec<Option<String>>>,
}

async fn keep_residue(
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
        own("INSERT INTO organization_operator.residue (cluster_id, object_uid, parent_table, keys) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (cluster_id, object_uid, parent_table) DO UPDATE SET keys = EXCLUDED.keys")
            .bind(actor.cluster)
            .bind(&actor.subject.uid)
            .bind(format!("{}#{}", capture.table, capture.step))
            .bind(sqlx::types::Json(residue))
            .execute(&mut *connection)
            .await
            .map_err(|e| failure(&e, During::action("keeping keys to count again")))?;
    }
    Ok(())
}

async fn load_residue(connection: &mut PgConnection, actor: Actor<'_>, erase: &ErasePlan) -> Result<Captured, Failure> {
    let during = During::action("reading keys to count again");
    let rows =
        own("SELECT parent_table, keys FROM organization_operator.residue WHERE cluster_id = $1 AND object_uid = $2")
            .bind(actor.cluster)
            .bind(&actor.subject.uid)
            .fetch_all(connection)
            .await
            .map_err(|e| failure(&e, during))?;
    let mut kept: BTreeMap<String, Residue> = BTreeMap::new();
    for row in rows {
        let residue: sqlx::types::Json<Residue> = row.try_get("keys").map_err(|e| failure(&e, during))?;
        kept.insert(row.try_get("parent_table").map_err(|e| failure(&e, during))?, residue.0);
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
    own("DELETE FROM organization_operator.residue WHERE cluster_id = $1 AND object_uid = $2")
        .bind(actor.cluster)
        .bind(&actor.subject.uid)
        .execute(connection)
        .await
        .map_err(|e| failure(&e, During::action("dropping keys that were counted again")))?;
    Ok(())
}
