//! The cascade: everything in one transaction, under the locks of claim and organization, counted again before COMMIT.

use sqlx::{PgConnection, Row as _};

use super::bind::{Captured, columns, numbers, own, query};
use super::connect::Database;
use super::error::{During, failure};
use super::ledger::Record;
use super::settle::{commit, lock_organization, settled};
use super::verify::keep_residue;
use super::{Actor, catalog, claim, ledger, observe};
use crate::api::status::{DeletionStep, Outcome};
use crate::api::{DeletionPolicy, Reason};
use crate::domain::Failure;
use crate::domain::blocker::blockers;
use crate::domain::compile::{Check, CompiledPlan, Delete, ErasePlan, shared_rows};
use crate::domain::settlement::{NothingLeft, Settlement};
use crate::domain::statement::Statement;

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
}

impl Database {
    /// Erases the organization. All or nothing.
    ///
    /// # Errors
    /// Fails with every blocker when something stands in the way, and with `ContentChanged` when the recount finds rows.
    /// Nothing was deleted then.
    pub async fn erase(&self, actor: Actor<'_>, plan: &CompiledPlan) -> Result<Erasure, Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        claim::hold(&mut tx, actor, None).await?;
        if let Some(entry) = ledger::find(&mut tx, actor).await? {
            return settled(&entry).map(Erasure::Settled);
        }
        if observe::standby(&mut tx).await? {
            return Err(Failure::new(Reason::DatabaseMismatch, "the database server is a standby"));
        }
        let fingerprint = catalog::fingerprint(&mut tx, &plan.fingerprint_tables, &plan.tenant_columns)
            .await
            .map_err(|e| failure(&e, During::action("reading the catalogue")))?;
        if fingerprint != plan.fingerprint {
            return Ok(Erasure::PlanOutdated);
        }
        let present = lock_organization(&mut tx, actor, plan).await?.is_some();
        defer_constraints(&mut tx, erase).await?;
        let mut captured = capture(&mut tx, actor, erase, Captured::new()).await?;
        preflight(&mut tx, actor, erase.preflight.as_ref(), &captured).await?;
        nothing_shared(&mut tx, actor, erase).await?;
        let found = numbers(&mut tx, &erase.count, actor.key, &Captured::new())
            .await
            .map_err(|e| failure(&e, During::action("counting")))?;
        detach(&mut tx, actor, erase, &captured).await?;
        let deleted = delete(&mut tx, actor, erase, &erase.deletes, Some(&found), &mut captured).await?;
        let organizations = delete_organization(&mut tx, actor, plan, erase, present).await?;
        let left = numbers(&mut tx, &erase.recount, actor.key, &captured)
            .await
            .map_err(|e| failure(&e, During::action("counting again")))?;
        let Some(proof) = NothingLeft::prove(&left) else {
            return Err(content_changed(erase, &left));
        };
        let steps = steps(erase, &found, &deleted);
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
}

pub(super) async fn defer_constraints(connection: &mut PgConnection, erase: &ErasePlan) -> Result<(), Failure> {
    if erase.defer_constraints {
        own("SET CONSTRAINTS ALL DEFERRED")
            .execute(connection)
            .await
            .map_err(|e| failure(&e, During::action("deferring constraints")))?;
    }
    Ok(())
}

/// Adds to what was captured before.
pub(super) async fn capture(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    erase: &ErasePlan,
    mut captured: Captured,
) -> Result<Captured, Failure> {
    for capture in &erase.captures {
        let during = During::table("locking rows of", None, &capture.table);
        let row = query(&capture.statement, actor.key, &captured)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| failure(&e, during))?;
        if !capture.columns.is_empty() {
            let keys = columns(&row, 0, capture.columns.len()).map_err(|e| failure(&e, during))?;
            add(&mut captured, capture.step, keys);
        }
    }
    Ok(captured)
}

fn add(captured: &mut Captured, step: usize, keys: Vec<Vec<Option<String>>>) {
    let held = captured.entry(step).or_insert_with(|| vec![Vec::new(); keys.len()]);
    for (all, new) in held.iter_mut().zip(keys) {
        all.extend(new);
    }
}

pub(super) async fn preflight(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    preflight: Option<&(Statement, Vec<Check>)>,
    captured: &Captured,
) -> Result<(), Failure> {
    let Some((statement, checks)) = preflight else { return Ok(()) };
    let rows = numbers(connection, statement, actor.key, captured)
        .await
        .map_err(|e| failure(&e, During::action("looking for references from outside")))?;
    blockers(checks, &rows, actor.key).map_or(Ok(()), Err)
}

/// No row belongs to another organization as well.
async fn nothing_shared(connection: &mut PgConnection, actor: Actor<'_>, erase: &ErasePlan) -> Result<(), Failure> {
    let Some((statement, tables)) = &erase.shared else { return Ok(()) };
    let rows = numbers(connection, statement, actor.key, &Captured::new())
        .await
        .map_err(|e| failure(&e, During::action("looking for rows of several organizations")))?;
    shared_rows(tables, &rows, actor.key).map_or(Ok(()), Err)
}

/// Takes back the references for which there is no order of deletion.
pub(super) async fn detach(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    erase: &ErasePlan,
    captured: &Captured,
) -> Result<(), Failure> {
    for detach in &erase.detaches {
        let during = During::change("taking back references in", None, &detach.table);
        query(&detach.statement, actor.key, captured)
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
    actor: Actor<'_>,
    erase: &ErasePlan,
    deletes: &[Delete],
    found: Option<&[i64]>,
    captured: &mut Captured,
) -> Result<Vec<i64>, Failure> {
    let mut deleted = vec![0; erase.tables.len()];
    for step in deletes {
        let table = &erase.tables[step.table];
        let during = During::change("deleting from", Some(&table.entity), &table.name);
        let refused = |e: sqlx::Error| classify(failure(&e, during), erase);
        let row = query(&step.statement, actor.key, captured).fetch_one(&mut *connection).await.map_err(refused)?;
        deleted[step.table] = row.try_get(0).map_err(refused)?;
        if found.is_some_and(|found| deleted[step.table] < found[step.table]) {
            let left = numbers(connection, &step.left, actor.key, captured).await.map_err(refused)?;
            if left.iter().any(|rows| *rows > 0) {
                let mut all = vec![0; erase.tables.len()];
                all[step.table] = left.iter().sum();
                return Err(content_changed(erase, &all));
            }
        }
        // Rows that appeared after the capture are parents too.
        let mut first = 1;
        for &(step, count) in &step.returns {
            add(captured, step, columns(&row, first, count).map_err(refused)?);
            first += count;
        }
    }
    Ok(deleted)
}

/// The preflight found nothing, so a foreign key from a table of the plan means that rows appeared since.
fn classify(mut failure: Failure, erase: &ErasePlan) -> Failure {
    if failure.reason == Reason::ForeignKeyViolation
        && failure
            .table
            .as_ref()
            .is_some_and(|t| erase.tables.iter().any(|p| p.name == *t || p.name.ends_with(&format!(".{t}"))))
    {
        failure.reason = Reason::ContentChanged;
    }
    failure.message.push_str("; nothing was deleted");
    failure
}

async fn delete_organization(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    plan: &CompiledPlan,
    erase: &ErasePlan,
    present: bool,
) -> Result<i64, Failure> {
    let table = plan.root.table.name();
    let during = During::change("deleting the organization from", None, &table);
    let rows = query(&erase.delete_organization, actor.key, &Captured::new())
        .execute(connection)
        .await
        .map_err(|e| classify(failure(&e, during), erase))?
        .rows_affected();
    if rows == u64::from(present) {
        return Ok(i64::from(present));
    }
    Err(Failure::new(
        Reason::ContentChanged,
        format!("deleting the organization from `{table}` removed {rows} rows instead of one; a trigger or a view stands in between. Nothing was deleted"),
    )
    .table(table)
    .remedy("look for triggers and rules on the table that swallow or multiply deletes"))
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
    let mut failure = Failure::new(
        Reason::ContentChanged,
        format!("rows were left after the last delete: {list}. Everything was rolled back, nothing was deleted"),
    )
    .rows(remaining.iter().map(|r| r.2).sum())
    .remedy("stop what writes to the organization (spec.state: Deactivated), and look for triggers that swallow deletes or write rows again");
    if let Some((table, entity, _)) = remaining.first() {
        failure = failure.table(*table).entity(*entity);
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
