//! An erasure in pages stops after rows are gone: what is gone and what is left is recorded.

use crate::api::Reason;
use crate::api::status::{Inventory, Outcome};
use crate::db::Database;
use crate::domain::completion::CompletionProof;
use crate::domain::facts::{Facts, Presence, UnderWay};
use crate::domain::{Effect, Failure};
use crate::store::ledger::{self, Record};
use crate::store::{Actor, erasures};
use planner::CompiledPlan;

impl Database {
    /// Records that the policy was lowered after rows had been deleted: once, until the erasure goes on. Returns what is
    /// left, in words. Where the facts have that record already, nothing is asked: an interrupted erasure may wait for weeks, and
    /// counting it each time would cost others.
    ///
    /// # Errors
    /// Fails when the object has no erasure under way, or the database refuses.
    pub async fn interrupt(&self, actor: Actor<'_>, plan: &CompiledPlan, facts: &Facts) -> Result<String, Failure> {
        if let Some(left) = facts.interrupted() {
            return Ok(left.to_owned());
        }
        let left = self.left(actor, plan, facts.organization != Presence::Absent).await?;
        let mut tx = self.begin().await?;
        let locked = erasures::lock(&mut tx, actor).await?.ok_or_else(ended_meanwhile)?;
        let recorded = ledger::entry_of(&mut tx, actor.cluster, &actor.subject.uid).await?;
        if let Some(entry) = recorded.filter(|entry| entry.may_go_on() && locked.under_way.interrupted.is_some()) {
            return Ok(entry.detail.unwrap_or(left));
        }
        let record = Record {
            steps: &locked.under_way.deleted,
            started: Some(locked.under_way.started),
            plan_digest: &locked.plan_digest,
            written: locked.written.as_deref(),
            verified: false,
            ..Record::kept(Outcome::Interrupted, actor.subject.asked, &left)
        };
        ledger::write(&mut tx, actor, &record).await?;
        erasures::interrupt(&mut tx, actor).await?;
        self.commit(tx).await?;
        Ok(left)
    }

    /// Records that what an interrupted erasure left is kept for good. The organization stays as it is.
    ///
    /// # Errors
    /// Fails when the object has no erasure under way, or the database refuses.
    pub async fn keep_remainder(
        &self,
        actor: Actor<'_>,
        plan: &CompiledPlan,
        present: bool,
    ) -> Result<CompletionProof, Failure> {
        let left = self.left(actor, plan, present).await?;
        let mut tx = self.begin().await?;
        if let Some(done) = ledger::completion_of(&mut tx, actor).await? {
            return Ok(done);
        }
        let locked = erasures::lock(&mut tx, actor).await?.ok_or_else(ended_meanwhile)?;
        let record = Record {
            steps: &locked.under_way.deleted,
            started: Some(locked.under_way.started),
            plan_digest: &locked.plan_digest,
            written: locked.written.as_deref(),
            ..Record::kept(Outcome::Interrupted, actor.subject.asked, &left)
        };
        ledger::write(&mut tx, actor, &record).await?;
        erasures::end_with_claim(&mut tx, actor).await?;
        self.commit(tx).await?;
        Ok(CompletionProof::interrupted(locked.under_way.deleted, left))
    }

    /// The erasure of an organization that is under way, as it is now.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn erasure_under_way(&self, key: &str) -> Result<Option<UnderWay>, Failure> {
        let mut tx = self.begin().await?;
        erasures::of_organization(&mut tx, key).await
    }

    /// What is left of an organization, in words. That an erasure stopped must be told also where nobody can count.
    async fn left(&self, actor: Actor<'_>, plan: &CompiledPlan, present: bool) -> Result<String, Failure> {
        match self.inventory(actor.key, plan).await {
            Ok(Some(inventory)) => Ok(counted(&inventory, present)),
            Ok(None) => Ok("rows that the operator cannot count with this plan".to_owned()),
            Err(failure) if failure.reason == Reason::DatabaseUnavailable => Err(failure),
            Err(failure) => Ok(format!("rows that the operator could not count ({})", failure.reason)),
        }
    }
}

/// Rows by entity; `10000+` where counting stopped.
fn counted(inventory: &Inventory, present: bool) -> String {
    let organization = present.then(|| "the organization itself".to_owned());
    let some = inventory.entities.iter().filter(|entity| entity.rows > 0);
    let rows = some.map(|entity| format!("{}{} {}", entity.rows, if entity.capped { "+" } else { "" }, entity.entity));
    let list: Vec<String> = organization.into_iter().chain(rows).collect();
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}

fn ended_meanwhile() -> Failure {
    Failure::new(Reason::SerializationFailure, "another process ended the erasure of this organization meanwhile")
        .effect(Effect::NothingThisTime)
        .remedy("nothing: the operator tries again by itself")
}
