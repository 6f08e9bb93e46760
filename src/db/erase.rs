//! The cascade: everything in one transaction, under the locks of claim and organization, counted again before COMMIT.

use std::collections::HashSet;

use sqlx::{PgConnection, Postgres, Row as _, Transaction};

use super::bind::{Captured, columns, numbers, own, query};
use super::connect::Database;
use super::error::{During, OrFailure as _, failure};
use super::organization::lock as lock_organization;
use super::transaction::{commit, refused_at_commit, server};
use super::verify::keep_residue;
use crate::api::status::{DeletionStep, Outcome};
use crate::api::{DeletionPolicy, Reason};
use crate::catalog;
use crate::domain::completion::{CompletionProof, NothingLeft};
use crate::domain::facts::Presence;
use crate::domain::{Effect, Failure};
use crate::store::Actor;
use crate::store::claim::{drop_claim, lock_claim};
use crate::store::ledger::{self, Record};
use planner::blocker;
use planner::cascade::{Check, Delete, PlanTable, SharedRows};
use planner::statement::Statement;
use planner::{CompiledPlan, ErasePlan, Finding};

/// What a cascade achieved.
#[derive(Clone, Debug, PartialEq)]
pub enum Erasure {
    /// Nothing is left.
    Completed(CompletionProof),
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
        let mut tx = self.begin().await.map_err(|f| f.or_effect(Effect::RolledBack))?;
        let server = server(&mut tx).await.map_err(|f| f.or_effect(Effect::RolledBack))?;
        if server.standby {
            return Err(crate::domain::decide::on_a_standby().or_effect(Effect::RolledBack));
        }
        let work = Box::pin(erase_and_record(tx, actor, plan, wanted));
        self.naming_blockers(server.pid, work).await.map_err(|f| f.or_effect(Effect::RolledBack))
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
    lock_claim(&mut tx, actor, None).await?;
    if let Some(done) = ledger::completion_of(&mut tx, actor).await? {
        return Ok(Erasure::Completed(done));
    }
    let Gone { proof, steps, organizations, captured } = match cascade(&mut tx, actor.key, plan, wanted).await? {
        Cascade::Done(gone) => gone,
        Cascade::Outdated => return Ok(Erasure::PlanOutdated),
        Cascade::Unwanted => return Ok(Erasure::Unwanted),
    };
    let verified = !erase.has_unprotected();
    if !verified && erase.defer_constraints {
        // Checks that would run at COMMIT must not count as time for writers to settle, which begins with the record.
        own("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *tx).await.map_err(|e| refused_at_commit(&e))?;
    }
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
    drop_claim(&mut tx, actor).await?;
    if !verified {
        keep_residue(&mut tx, actor, erase, &captured).await?;
    }
    commit(tx).await?;
    Ok(if verified { Erasure::Completed(CompletionProof::erased(proof, steps)) } else { Erasure::Unverified { steps } })
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
    if !schema_unchanged(connection, plan).await? {
        return Ok(Cascade::Outdated);
    }
    let present = lock_organization(connection, key, plan).await? != Presence::Absent;
    defer_constraints(connection, erase).await?;
    let mut captured = capture(connection, key, erase, Captured::new()).await?;
    unblocked(&blockers(connection, key, erase.preflight.as_ref(), erase.shared.as_ref(), &captured).await?)?;
    let found =
        numbers(connection, &erase.count, key, &Captured::new()).await.or_failure(During::action("counting"))?;
    if !wanted.await? {
        return Ok(Cascade::Unwanted);
    }
    detach(connection, key, erase, &captured).await?;
    let deleted = delete(connection, key, erase, &erase.deletes, Some(&found), &mut captured).await?;
    let organizations = delete_organization(connection, key, plan, present).await.map_err(|f| classify(f, erase))?;
    let left =
        numbers(connection, &erase.recount, key, &captured).await.or_failure(During::action("counting again"))?;
    let Some(proof) = NothingLeft::prove(&left) else {
        return Err(content_changed(erase, &left));
    };
    parents_gone(connection, key, erase, &captured).await?;
    Ok(Cascade::Done(Gone { proof, steps: steps(erase, &found, &deleted), organizations, captured }))
}

/// Keeps the schema of the plan's tables from changing until the transaction ends, and says whether it is still the one that
/// the plan was compiled against.
pub(super) async fn schema_unchanged(connection: &mut PgConnection, plan: &CompiledPlan) -> Result<bool, Failure> {
    query(&plan.erase()?.lock_tables, "", &Captured::new())
        .execute(&mut *connection)
        .await
        .or_failure(During::action("locking the plan's tables against changes of the schema"))?;
    let fingerprint = catalog::fingerprint(connection, &plan.fingerprint_tables, &plan.tenant_columns)
        .await
        .or_failure(During::action("reading the catalogue"))?;
    Ok(fingerprint == plan.fingerprint)
}

pub(super) async fn defer_constraints(connection: &mut PgConnection, erase: &ErasePlan) -> Result<(), Failure> {
    if erase.defer_constraints {
        own("SET CONSTRAINTS ALL DEFERRED")
            .execute(connection)
            .await
            .or_failure(During::action("deferring constraints"))?;
    }
    Ok(())
}

/// Adds to what was captured before.
pub(super) async fn capture(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    mut captured: Captured,
) -> Result<Captured, Failure> {
    for capture in &erase.captures {
        let table = erase.deletes.iter().find(|d| d.step == capture.step).map(|d| &erase.tables[d.table]);
        let during = match table {
            Some(table) => During::table("locking rows of", Some(&table.entity), &table.name),
            None => During::table("locking rows of", None, &capture.table),
        };
        let row = query(&capture.statement, key, &captured).fetch_one(&mut *connection).await.or_failure(during)?;
        if !capture.columns.is_empty() {
            let keys = columns(&row, 0, capture.columns.len()).or_failure(during)?;
            add(&mut captured, capture.step, keys);
        }
    }
    Ok(captured)
}

fn key_of(columns: &[Vec<Option<String>>], row: usize) -> Vec<Option<&str>> {
    columns.iter().map(|column| column.get(row).and_then(Option::as_deref)).collect()
}

/// Adds the keys that are not held yet: a delete returns those again that were captured before.
fn add(captured: &mut Captured, step: usize, mut keys: Vec<Vec<Option<String>>>) {
    let Some(held) = captured.get_mut(&step) else {
        captured.insert(step, keys);
        return;
    };
    let rows = keys.first().map_or(0, Vec::len);
    let known: HashSet<_> = (0..held.first().map_or(0, Vec::len)).map(|row| key_of(held, row)).collect();
    let new: Vec<usize> = (0..rows).filter(|&row| !known.contains(&key_of(&keys, row))).collect();
    drop(known);
    for (all, column) in held.iter_mut().zip(&mut keys) {
        all.extend(new.iter().map(|&row| column[row].take()));
    }
}

/// Rows that stand in the way: outside rows that refer to rows inside, and rows that are another organization's as well.
pub(super) async fn blockers(
    connection: &mut PgConnection,
    key: &str,
    references: Option<&(Statement, Vec<Check>)>,
    shared: Option<&(Statement, Vec<SharedRows>)>,
    captured: &Captured,
) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    if let Some((statement, checks)) = references {
        let during = During::action("looking for references from outside");
        let rows = numbers(connection, statement, key, captured).await.or_failure(during)?;
        found.extend(blocker::references(checks, &rows, key));
    }
    if let Some((statement, tables)) = shared {
        let during = During::action("looking for rows of several organizations");
        let rows = numbers(connection, statement, key, &Captured::new()).await.or_failure(during)?;
        found.extend(blocker::shared_rows(tables, &rows, key));
    }
    Ok(found)
}

/// Fails if anything stands in the way.
pub(super) fn unblocked(found: &[Finding]) -> Result<(), Failure> {
    Failure::blocked_by(found).map_or(Ok(()), Err)
}

/// Takes back the references for which there is no order of deletion.
pub(super) async fn detach(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &Captured,
) -> Result<(), Failure> {
    for detach in &erase.detaches {
        let during = During::change("taking back references in", None, &detach.table);
        query(&detach.statement, key, captured)
            .execute(&mut *connection)
            .await
            .map_err(|e| classify(failure(&e, during), erase))?;
    }
    Ok(())
}

/// Runs deletes in order. Returns the rows really gone, one number a table of the plan. Where fewer went than were found
/// they are looked for again while their parents are still there: a trigger may swallow deletes.
pub(super) async fn delete(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    deletes: &[Delete],
    found: Option<&[i64]>,
    captured: &mut Captured,
) -> Result<Vec<i64>, Failure> {
    let mut deleted = vec![0; erase.tables.len()];
    for step in deletes {
        let table = &erase.tables[step.table];
        let during = During::change("deleting from", Some(&table.entity), &table.name);
        // Triggers on other tables may have deleted some already.
        let before = if step.may_suppress && found.is_some() {
            let rows = numbers(connection, &step.left, key, captured).await.or_failure(during)?;
            rows.iter().sum()
        } else {
            0
        };
        let row = query(&step.statement, key, captured)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| classify(failure(&e, during), erase))?;
        deleted[step.table] = row.try_get(0).or_failure(during)?;
        if let Some(found) = found
            && deleted[step.table] < found[step.table]
        {
            let left = numbers(connection, &step.left, key, captured).await.or_failure(during)?;
            if left.iter().any(|rows| *rows > 0) {
                let mut all = vec![0; erase.tables.len()];
                all[step.table] = left.iter().sum();
                return Err(content_changed(erase, &all));
            }
            if before > deleted[step.table] {
                return Err(swallowed(table, before - deleted[step.table]));
            }
        }
        // Rows that appeared after the capture are parents too.
        let mut first = 1;
        for &(step, count) in &step.returns {
            add(captured, step, columns(&row, first, count).or_failure(during)?);
            first += count;
        }
    }
    Ok(deleted)
}

/// The preflight found nothing, so a foreign key from a table of the plan means that rows of it are there that should be
/// gone: they appeared since, or something swallowed their delete.
fn classify(mut failure: Failure, erase: &ErasePlan) -> Failure {
    let Some(table) = erase.tables.iter().find(|t| Some(&t.name) == failure.table.as_ref()) else { return failure };
    if failure.reason == Reason::ForeignKeyViolation {
        failure.reason = Reason::ContentChanged;
        failure.entity = Some(table.entity.clone());
        failure.remedy = Some(stop_writers(&table.name));
    }
    failure
}

/// Rows that were found are neither deleted nor the organization's any more, on a table with a trigger that can do that. They
/// may also have moved away by themselves; then the next attempt finds fewer.
fn swallowed(table: &PlanTable, rows: i64) -> Failure {
    Failure::new(
        Reason::ContentChanged,
        format!(
            "{rows} rows of `{}` were found and not deleted, and they are not the organization's any more; a trigger on the table can do that",
            table.name
        ),
    )
    .effect(Effect::RolledBack)
    .table(&table.name)
    .entity(&table.entity)
    .rows(rows)
    .remedy(stop_writers(&table.name))
}

/// What clears `ContentChanged`.
fn stop_writers(table: &str) -> String {
    format!(
        "stop what writes to the organization; a trigger may, or may swallow deletes: {}",
        super::error::triggers(table)
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
        .or_failure(during)?
        .rows_affected();
    if rows == u64::from(present) {
        return Ok(i64::from(present));
    }
    Err(Failure::new(
        Reason::ContentChanged,
        format!("deleting the organization from `{table}` removed {rows} rows instead of one; a trigger or a view stands in between"),
    )
    .effect(Effect::RolledBack)
    .remedy(stop_writers(&table))
    .table(table))
}

/// Every parent whose children were deleted must be gone itself. One that is there has moved to another organization after
/// its children were found, and they were that organization's.
pub(super) async fn parents_gone(
    connection: &mut PgConnection,
    key: &str,
    erase: &ErasePlan,
    captured: &Captured,
) -> Result<(), Failure> {
    let (statement, tables) = &erase.parents_left;
    let left = numbers(connection, statement, key, captured)
        .await
        .or_failure(During::action("looking for parents that were moved"))?;
    let Some((table, rows)) = tables.iter().zip(&left).find(|(_, rows)| **rows > 0) else { return Ok(()) };
    Err(Failure::new(
        Reason::ContentChanged,
        format!(
            "{rows} rows of `{table}` belonged to the organization when its deletion began, or have the key of one that did, and belong to another one now"
        ),
    )
    .table(table)
    .rows(*rows)
    .remedy("nothing: the next attempt leaves the moved rows and what is below them alone"))
}

pub(super) fn content_changed(erase: &ErasePlan, left: &[i64]) -> Failure {
    let remaining: Vec<(&str, &str, i64)> = erase
        .tables
        .iter()
        .zip(left)
        .filter(|(_, rows)| **rows > 0)
        .map(|(table, rows)| (table.name.as_str(), table.entity.as_str(), *rows))
        .collect();
    let list = remaining.iter().map(|(t, _, n)| format!("{n} in `{t}`")).collect::<Vec<_>>().join(", ");
    let mut failure = Failure::new(Reason::ContentChanged, format!("rows were left after the last delete: {list}"))
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
