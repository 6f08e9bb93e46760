//! Claims and switches a live organization, in one transaction.

use sqlx::PgConnection;

use super::bind::query;
use super::connect::Database;
use super::error::{During, OrFailure as _};
use super::{Actor, claim, observe};
use crate::api::Activation;
use crate::domain::Failure;
use crate::domain::decide::{Enforce, deactivation_unsupported};
use planner::{CapturedKeys, CompiledPlan};

impl Database {
    /// Claims the organization for a terminating object that never did.
    ///
    /// # Errors
    /// Fails when the claim cannot be had, or the database refuses.
    pub async fn claim(&self, actor: Actor<'_>, take_from: Option<&str>) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        claim::hold(&mut tx, actor, take_from).await?;
        tx.commit().await.or_failure(During::action("committing"))
    }

    /// Brings claim and activation in line with the spec.
    ///
    /// # Errors
    /// Fails when the claim cannot be had, or the database refuses.
    pub async fn enforce(&self, actor: Actor<'_>, enforce: &Enforce, plan: &CompiledPlan) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        let (_, pid) = observe::server(&mut tx).await?;
        let work = async move {
            claim::hold(&mut tx, actor, enforce.take_from.as_deref()).await?;
            if let Some(target) = enforce.activation {
                switch(&mut tx, actor, target, plan).await?;
            }
            claim::note(&mut tx, actor).await?;
            tx.commit().await.or_failure(During::action("committing"))
        };
        self.naming_blockers(pid, Box::pin(work)).await
    }
}

/// Switches the organization. Its own triggers and constraints may refuse.
pub(super) async fn switch(
    connection: &mut PgConnection,
    actor: Actor<'_>,
    target: Activation,
    plan: &CompiledPlan,
) -> Result<(), Failure> {
    let unsupported = || plan.faults().map_or_else(deactivation_unsupported, Failure::from);
    let activation = plan.root.activation.as_ref().ok_or_else(unsupported)?;
    let statement = match target {
        Activation::Active => &activation.activate,
        Activation::Deactivated => &activation.deactivate,
    };
    let table = plan.root.table.name();
    query(statement, actor.key, &CapturedKeys::default()).execute(connection).await.or_failure(During::change(
        "switching the organization in",
        None,
        &table,
    ))?;
    Ok(())
}
