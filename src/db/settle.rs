//! Ends of a deletion that delete nothing, and the step before one that does. Each is one transaction that looks into
//! the ledger first and writes it last, so that a repetition after a crash changes nothing.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::activate::switch;
use super::bind::{counted, query};
use super::connect::Database;
use super::error::{During, OrFailure as _, Values, failure};
use super::ledger::Record;
use super::{Actor, claim, ledger, observe};
use crate::api::condition::stage;
use crate::api::status::Outcome;
use crate::api::{Activation, DeletionPolicy, Reason};
use crate::domain::completion::{CompletionProof, NothingLeft};
use crate::domain::decide::KeepBecause;
use crate::domain::facts::{Claim, LedgerEntry, Successor};
use crate::domain::{Effect, Failure, Subject};
use planner::{CapturedKeys, CompiledPlan};

impl Database {
    /// Records that the data is kept, and restores the activation that a recovery window changed. An object that owns
    /// nothing restores nothing.
    ///
    /// # Errors
    /// Fails when the database refuses; the caller then decides whether to wait.
    pub async fn retain(
        &self,
        cluster: &str,
        subject: &Subject,
        because: &KeepBecause,
        plan: Option<&CompiledPlan>,
    ) -> Result<CompletionProof, Failure> {
        let mut tx = self.begin().await?;
        let mine = claim::of_object(&mut tx, cluster, &subject.uid).await?;
        let key = mine.as_ref().map_or(subject.organization_id.as_str(), |(key, _)| key.as_str());
        let actor = Actor { cluster, subject, key };
        if let Some(entry) = ledger::find(&mut tx, actor).await? {
            return Ok(CompletionProof::recorded(&entry).unwrap_or_else(|| CompletionProof::unverified(&entry)));
        }
        let mut detail = kept(because);
        if let Some((_, claim)) = &mine
            && claim.window.is_some_and(|w| w.was_active)
        {
            // The data is kept whether or not the organization can be switched on again.
            let mut savepoint = tx.begin().await.or_failure(During::action("restoring the activation"))?;
            let refused = match plan {
                Some(plan) => restore(&mut savepoint, actor, claim, plan).await.err().map(|f| f.reason),
                None => Some(Reason::SchemaMismatch),
            };
            let ended = if refused.is_some() { savepoint.rollback().await } else { savepoint.commit().await };
            ended.or_failure(During::action("restoring the activation"))?;
            if let Some(reason) = refused {
                let _ = write!(
                    detail,
                    "; it is still deactivated, because switching it on again failed ({reason}): activate it in the platform"
                );
            }
        }
        claim::drop_claim(&mut tx, actor).await?;
        let record = Record::kept(Outcome::Retained, subject.policy, &detail);
        ledger::write(&mut tx, actor, &record).await?;
        commit(tx).await?;
        Ok(CompletionProof::retained(detail))
    }

    /// Hands the claim to another live object of this cluster, and restores the activation.
    ///
    /// # Errors
    /// Fails when the database refuses.
    pub async fn transfer(
        &self,
        actor: Actor<'_>,
        successor: &Successor,
        plan: &CompiledPlan,
    ) -> Result<CompletionProof, Failure> {
        let mut tx = self.begin().await?;
        if let Some(done) = recorded(&mut tx, actor).await? {
            return Ok(done);
        }
        if let Some((_, claim)) = claim::of_object(&mut tx, actor.cluster, &actor.subject.uid).await? {
            restore(&mut tx, actor, &claim, plan).await?;
            claim::hand_over(&mut tx, actor, successor).await?;
            claim::drop_claim(&mut tx, actor).await?;
        }
        let settlement = CompletionProof::transferred(&successor.name);
        let detail = settlement.sentence();
        let record = Record::kept(Outcome::Transferred, actor.subject.policy, &detail);
        ledger::write(&mut tx, actor, &record).await?;
        commit(tx).await?;
        Ok(settlement)
    }

    /// Switches the organization off for good and keeps its data.
    ///
    /// # Errors
    /// Fails when the claim cannot be had, or the database refuses.
    pub async fn deactivate(
        &self,
        actor: Actor<'_>,
        take_from: Option<&str>,
        plan: &CompiledPlan,
    ) -> Result<CompletionProof, Failure> {
        let mut tx = self.begin().await?;
        let (_, pid) = observe::server(&mut tx).await?;
        let work = async move {
            claim::hold(&mut tx, actor, take_from).await?;
            if let Some(done) = recorded(&mut tx, actor).await? {
                return Ok(done);
            }
            switch(&mut tx, actor, Activation::Deactivated, plan).await?;
            claim::drop_claim(&mut tx, actor).await?;
            let record = Record::kept(Outcome::Deactivated, DeletionPolicy::Deactivate, "");
            ledger::write(&mut tx, actor, &record).await?;
            commit(tx).await?;
            Ok(CompletionProof::deactivated())
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }

    /// Switches the organization off and notes when, and what it was before. Returns when, by the database's clock.
    ///
    /// # Errors
    /// Fails when the claim cannot be had, or the database refuses.
    pub async fn start_window(
        &self,
        actor: Actor<'_>,
        take_from: Option<&str>,
        plan: &CompiledPlan,
    ) -> Result<Timestamp, Failure> {
        let mut tx = self.begin().await?;
        let (_, pid) = observe::server(&mut tx).await?;
        let work = async move {
            let claim = claim::hold(&mut tx, actor, take_from).await?;
            if let (Some(window), None) = (claim.window, take_from) {
                return Ok(window.started);
            }
            let Some(active) = lock_organization(&mut tx, actor.key, plan).await? else {
                return Err(Failure::new(
                    Reason::SerializationFailure,
                    "the organization's row went away between two looks",
                )
                .effect(Effect::Untouched)
                .remedy("nothing: it is looked at again by itself"));
            };
            switch(&mut tx, actor, Activation::Deactivated, plan).await?;
            // A window taken over from an owner that is gone remembers the activation of that time.
            let was_active = claim.window.map_or(active != Some(false), |w| w.was_active);
            let started = claim::start_window(&mut tx, actor, was_active).await?;
            commit(tx).await?;
            Ok(started)
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }

    /// Undoes the deactivation that preceded an erasure which failed; the claim stays.
    ///
    /// # Errors
    /// Fails when the database refuses.
    pub async fn end_window(&self, actor: Actor<'_>, plan: &CompiledPlan) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        let (_, pid) = observe::server(&mut tx).await?;
        let work = async move {
            if let Some((_, claim)) = claim::of_object(&mut tx, actor.cluster, &actor.subject.uid).await? {
                restore(&mut tx, actor, &claim, plan).await?;
                claim::end_window(&mut tx, actor).await?;
            }
            commit(tx).await
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }

    /// Records that there is nothing to delete: on a primary, with row-level security off, after counting every table of
    /// the plan again. None: there is something after all.
    ///
    /// # Errors
    /// Fails when the plan must not be used, the claim cannot be had, or the database refuses.
    pub async fn not_found(&self, actor: Actor<'_>, plan: &CompiledPlan) -> Result<Option<CompletionProof>, Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        if let Some(done) = recorded(&mut tx, actor).await? {
            return Ok(Some(done));
        }
        if observe::server(&mut tx).await?.0 || lock_organization(&mut tx, actor.key, plan).await?.is_some() {
            return Ok(None);
        }
        let rows = counted(&mut tx, &erase.count, actor.key, &CapturedKeys::default())
            .await
            .or_failure(During::action("counting"))?;
        let Some(proof) = NothingLeft::prove(rows.iter().map(|(_, rows)| rows)) else { return Ok(None) };
        claim::drop_claim(&mut tx, actor).await?;
        let record = Record::kept(Outcome::NotFound, actor.subject.policy, "");
        ledger::write(&mut tx, actor, &record).await?;
        commit(tx).await?;
        Ok(Some(CompletionProof::not_found(proof)))
    }
}

fn kept(because: &KeepBecause) -> String {
    match because {
        KeepBecause::Policy => "the deletion policy says so".to_owned(),
        KeepBecause::Uninstall => {
            "the CustomResourceDefinition is being deleted, which is no request to erase anybody".to_owned()
        }
        KeepBecause::RaiseRefused => {
            "the deletion policy was raised after the deletion began, which the operator refuses".to_owned()
        }
        KeepBecause::NotOwner { owner } => format!("the object {owner} owns the organization, this one does not"),
    }
}

/// The sentence for a settlement without a record: the database did not answer in time, or it could not write one.
#[must_use]
pub fn kept_without_record(because: &KeepBecause, subject: &Subject, failed: Option<Reason>) -> CompletionProof {
    let why = match failed {
        Some(Reason::DatabaseUnavailable) => "the database could not be reached".to_owned(),
        Some(reason) => format!("the database could not be written ({reason})"),
        None => "the database did not answer in time".to_owned(),
    };
    let before = match subject.stage.as_deref() {
        Some(stage::ERASING | stage::VERIFYING) => {
            "; an erasure was under way before and may have been committed: look into the ledger"
        }
        Some(stage::RECOVERY_WINDOW | stage::DRAINING) => "; it is still deactivated: activate it in the platform",
        _ => "",
    };
    CompletionProof::retained(format!("{}; {why}, so the ledger has no record{before}", kept(because)))
}

/// What the ledger says. An erasure that still has to be verified is not dealt with.
async fn recorded(connection: &mut PgConnection, actor: Actor<'_>) -> Result<Option<CompletionProof>, Failure> {
    let Some(entry) = ledger::find(connection, actor).await? else { return Ok(None) };
    settled(&entry).map(Some)
}

pub(crate) fn settled(entry: &LedgerEntry) -> Result<CompletionProof, Failure> {
    CompletionProof::recorded(entry)
        .ok_or_else(|| Failure::new(Reason::ContentChanged, "the deletion is not completed").effect(Effect::Erased))
}

/// Undoes the deactivation that precedes an erasure.
async fn restore(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    claim: &Claim,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    match claim.window {
        Some(window) if window.was_active => switch(connection, actor, Activation::Active, plan).await,
        _ => Ok(()),
    }
}

/// Locks the organization's row against everything, new references included. None: it is not there; else whether it is
/// active, where the plan can tell.
pub(crate) async fn lock_organization(
    connection: &mut PgConnection,
    key: &str,
    plan: &CompiledPlan,
) -> Result<Option<Option<bool>>, Failure> {
    use sqlx::Row as _;
    let table = plan.root.table.name();
    let during = During::table("locking the organization in", None, &table);
    query(&plan.root.lock, key, &CapturedKeys::default())
        .fetch_optional(connection)
        .await
        .or_failure(during)?
        .map(|row| row.try_get("active"))
        .transpose()
        .or_failure(during)
}

pub(crate) async fn commit(tx: Transaction<'static, Postgres>) -> Result<(), Failure> {
    tx.commit().await.map_err(|e| {
        let failure = refused_at_commit(&e);
        // The server may have got the COMMIT before the connection was lost.
        match failure.reason {
            Reason::DatabaseUnavailable => failure.effect(Effect::Open),
            _ => failure,
        }
    })
}

/// What the checks at COMMIT found.
pub(crate) fn refused_at_commit(error: &sqlx::Error) -> Failure {
    // What runs at COMMIT are checks and triggers of the schema.
    let mut failure = failure(error, During { values: Values::Trigger, ..During::action("committing") });
    // A deferred foreign key: rows that refer to deleted ones appeared after they were counted.
    if failure.reason == Reason::ForeignKeyViolation {
        failure.reason = Reason::ContentChanged;
        let table = failure.table.as_deref().unwrap_or("the organization's tables");
        failure.remedy = Some(format!("stop what writes to `{table}`; a trigger may"));
    }
    failure
}
