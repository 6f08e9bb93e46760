//! The cascade as it would be, rolled back.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, cascade};
use super::{exclusive, scratch};
use crate::api::Reason;
use crate::api::status::DeletionStep;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::organization::{Found, find_by_id};
use crate::db::statement::{Keys, counted};
use crate::db::transaction::{check_constraints, rollback};
use crate::domain::facts::Presence;
use crate::domain::written::WrittenTable;
use crate::domain::{Effect, Failure};
use planner::CompiledPlan;

/// How a rehearsal went.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// The key in the database's own spelling.
    pub key: String,
    /// What a deletion would delete, in its order.
    pub steps: Vec<DeletionStep>,
    /// Rows of the organization's own table.
    pub organizations: i64,
    /// What triggers wrote to tables that are not steps of the plan. `None` if the server does not count.
    pub written: Option<Vec<WrittenTable>>,
    /// How long it took, from the first lock to the last check.
    pub took: Duration,
}

impl Database {
    /// Erases the organization, checks what would be checked at COMMIT, and rolls everything back. No claim and no ledger
    /// row is made, and the operator's own schema is not read. Returns `None` if the plan was compiled against a schema that
    /// has changed since.
    ///
    /// The first lock is the organization's row, as in every deletion, so each of the two waits for the other to end.
    ///
    /// # Errors
    /// Fails as the deletion would.
    pub async fn rehearse(&self, id: &str, plan: &CompiledPlan) -> Result<Option<Rehearsal>, Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let Found { key, presence } = find_by_id(&mut tx, id, plan).await?;
        if presence == Presence::Absent {
            let captured = exclusive::find(&mut tx, erase, &key).await;
            let captured = captured.or_failure(During::action("counting")).map_err(|f| f.explained_by(plan))?;
            let rows = counted(&mut tx, &erase.count, &key, &captured).await;
            let rows = rows.or_failure(During::action("counting")).map_err(|f| f.explained_by(plan))?;
            if rows.iter().all(|(_, rows)| *rows == 0) {
                return Err(Failure::new(
                    Reason::OrganizationNotFound,
                    "the database has no organization with this id and no rows that belong to it, so there is nothing to rehearse",
                )
                .table(plan.root.table.name())
                .remedy("check the id, and whether this is the right database"));
            }
        }
        let began = Instant::now();
        let keys = if erase.captures.is_empty() && erase.exclusive.is_empty() {
            Keys::none()
        } else {
            scratch::keys(&mut tx).await.or_failure(During::action("making a table for captured keys"))?
        };
        let wanted = std::future::ready(Ok(true));
        let Attempt::Done(deleted) = cascade(&mut tx, &key, plan, keys, wanted)
            .await
            .map_err(|f| f.explained_by(plan).or_effect(Effect::RolledBack))?
        else {
            return Ok(None);
        };
        check_constraints(&mut tx).await.map_err(|f| f.or_effect(Effect::RolledBack))?;
        let took = began.elapsed();
        let written = deleted.before.since(&mut tx, plan).await?;
        rollback(tx).await?;
        Ok(Some(Rehearsal { key, steps: deleted.steps, organizations: deleted.organizations, written, took }))
    }
}
