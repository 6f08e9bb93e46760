//! The deactivation that precedes an erasure.

use k8s_openapi::jiff::Timestamp;
use sqlx::PgConnection;

use super::Actor;
use super::claim::{self, Locked, lock_claim, lock_claim_of_object};
use crate::api::{Activation, Reason};
use crate::db::Database;
use crate::db::organization::{lock, switch};
use crate::db::transaction::server;
use crate::domain::facts::Presence;
use crate::domain::{Effect, Failure};
use planner::CompiledPlan;

impl Database {
    /// Switches the organization off and records when, and whether it was active before. Returns when, by the database's
    /// clock.
    ///
    /// # Errors
    /// Fails when the claim cannot be obtained, or the database refuses.
    pub async fn start_window(
        &self,
        actor: Actor<'_>,
        take_from: Option<&str>,
        plan: &CompiledPlan,
    ) -> Result<Timestamp, Failure> {
        let mut tx = self.begin().await?;
        let pid = server(&mut tx).await?.pid;
        let work = async move {
            let claim = lock_claim(&mut tx, actor, take_from).await?;
            if let (Some(window), None) = (claim.window, take_from) {
                return Ok(window.started);
            }
            let Presence::Present { active } = lock(&mut tx, actor.key, plan).await? else {
                return Err(Failure::new(
                    Reason::SerializationFailure,
                    "the organization's row was deleted while the operator was about to deactivate it",
                )
                .effect(Effect::Untouched)
                .remedy("nothing: the operator tries again by itself"));
            };
            switch(&mut tx, actor.key, Activation::Deactivated, plan).await?;
            // A window that is taken over from an owner that is gone keeps the activation of that time.
            let was_active = claim.window.map_or(active != Some(false), |w| w.was_active);
            let started = claim::start_window(&mut tx, actor, was_active).await?;
            self.commit(tx).await?;
            Ok(started)
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }

    /// Undoes the deactivation that preceded an erasure which failed; the claim stays. Returns `false` if it changed nothing,
    /// because rows of the organization are gone.
    ///
    /// # Errors
    /// Fails when the database refuses.
    pub async fn end_window(&self, actor: Actor<'_>, plan: &CompiledPlan) -> Result<bool, Failure> {
        let mut tx = self.begin().await?;
        let pid = server(&mut tx).await?.pid;
        let work = async move {
            if let Some(locked) = lock_claim_of_object(&mut tx, actor.cluster, &actor.subject.uid).await? {
                if locked.rows_gone() > 0 {
                    return Ok(false);
                }
                restore(&mut tx, &locked, plan).await?;
                claim::end_window(&mut tx, actor).await?;
            }
            self.commit(tx).await.map(|()| true)
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }
}

/// Switches an organization on again that was active before its recovery window, unless rows of it are gone.
pub(super) async fn restore(
    connection: &mut PgConnection,
    locked: &Locked,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    match locked.claim.window {
        Some(window) if window.was_active && locked.rows_gone() == 0 => {
            switch(connection, &locked.key, Activation::Active, plan).await
        }
        _ => Ok(()),
    }
}
