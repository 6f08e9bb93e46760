//! A live object: claim, activation, inventory, and a quick check of what would block its deletion.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use kube::runtime::reflector::ObjectRef;

use super::blockers::would_block;
use super::removal::claim_status;
use crate::api::condition;
use crate::api::{Activation, Reason};
use crate::controller::backoff::{AFTER_A_CHANGE, resync};
use crate::controller::cached::without_managers;
use crate::controller::context::Context;
use crate::controller::known_size::KnownSize;
use crate::controller::reconcile::observe::{Observation, Tenant};
use crate::db::tenants::TenantState;
use crate::domain::announcement::{Announcement, Severity};
use crate::domain::decide::{Apply, Enforce};
use crate::domain::facts::{ClaimOwner, Facts, Presence};
use crate::domain::reconciliation::{Ended, Observed, Reconciliation, state};
use crate::domain::{Effect, Failure, Subject, suspension};
use crate::store::Actor;
use planner::CompiledPlan;

pub(super) async fn apply(
    observation: &Observation,
    tenant: &Tenant,
    decision: Apply,
    context: &Context,
) -> Reconciliation {
    let Observation { subject, observed, .. } = observation;
    if let ClaimOwner::OtherObject { name, terminating: true } = &tenant.owner {
        // It may wait for this very object: it hands over now and not when its wait ends.
        context.requeue(ObjectRef::new(name));
    }
    let failure = match decision {
        Apply::Suspend { note } => return suspended(observation, tenant, note, context).await,
        Apply::Enforce(enforce) => return enforced(observation, tenant, &enforce, context).await,
        Apply::Expire => match expire(subject, context).await {
            Ok(reconciliation) => return Reconciliation { observed: observed.clone(), ..reconciliation },
            Err(failure) => failure,
        },
        Apply::Wait => not_there(),
        Apply::Refuse(failure) => failure,
    };
    Reconciliation::failed(subject, observed.clone(), failure)
}

/// Deletes the object if it is still as the cache has it: an expiration that was changed must not take effect because the
/// watch has not received the change yet.
async fn expire(subject: &Subject, context: &Context) -> Result<Reconciliation, Failure> {
    let deleted = match context.cluster.live(&subject.name).await? {
        Some(live) => {
            let live = without_managers(live);
            Subject::parse(&live) == *subject && context.cluster.delete_expired(&live).await?
        }
        None => false,
    };
    let expired = || {
        let note = "spec.expirationTime has passed, so the operator deleted the object; spec.deletionPolicy decides what \
                    happens to the data.";
        announcement("Expired", note, subject)
    };
    Ok(Reconciliation {
        announcement: deleted.then(expired),
        again: (!deleted).then_some(AFTER_A_CHANGE),
        ..Reconciliation::new(Ended::InSync, Observed::default())
    })
}

/// A suspended object: the claim may be noted in, and the rest is only observed.
async fn suspended(observation: &Observation, tenant: &Tenant, note: bool, context: &Context) -> Reconciliation {
    let Observation { object, subject, .. } = observation;
    let noted = Enforce { note, ..Enforce::default() };
    let reconciliation = enforced(observation, tenant, &noted, context).await;
    match &reconciliation.ended {
        Ended::InSync => Reconciliation {
            announcement: suspension::begins(object, subject, &suspension::observed_only(subject)),
            ..reconciliation
        },
        _ => reconciliation,
    }
}

async fn enforced(
    observation: &Observation,
    Tenant { plan, facts, owner }: &Tenant,
    enforce: &Enforce,
    context: &Context,
) -> Reconciliation {
    let Observation { object, subject, .. } = observation;
    let mut observed = observation.observed.clone();
    let failed = |observed, failure: Failure| Reconciliation::failed(subject, observed, failure);
    let actor = Actor { cluster: &context.settings.cluster_id, subject, key: &facts.key };
    if enforce.changes_database()
        && let Err(failure) = context.database.enforce(actor, enforce, plan).await
    {
        return failed(observed, failure.explained_by(plan));
    }
    // A suspended object may have none.
    observed.claim = (!subject.suspended || *owner == ClaimOwner::ThisObject).then(|| claim_status(facts));
    let active = match (enforce.activation, facts.organization) {
        (Some(target), _) => Some(target == Activation::Active),
        (None, Presence::Present { active }) => active,
        (None, Presence::Absent) => None,
    };
    observed.state = Some(match facts.organization {
        Presence::Present { .. } => state(Presence::Present { active }),
        Presence::Absent => state(Presence::Absent),
    });
    observed.inventory = match context.database.inventory(&facts.key, plan).await {
        Ok(inventory) => inventory,
        Err(failure) => return failed(observed, failure.explained_by(plan)),
    };
    if let Some(inventory) = &mut observed.inventory {
        inventory.observed_time = Some(Time(facts.now));
        let size = KnownSize::of(inventory, context.settings.batch.rows);
        context.memory.with(&subject.uid, |object| object.size = size);
    }
    if matches!(observed.deletion_ready, Some(Ok(_)))
        && let Some(blocked) = would_block(object, &facts.key, plan, context).await
    {
        observed.deletion_ready = Some(Err(blocked));
    }
    let users = observed.inventory.as_ref().and_then(|i| i.users);
    let users = match comparable_users(users, &facts.key, plan, context).await {
        Ok(users) => users,
        Err(failure) => return failed(observed, failure.explained_by(plan)),
    };
    let there = facts.organization != Presence::Absent;
    context.memory.saw_tenant(subject, &facts.key, there.then_some(TenantState { active, users }));
    if enforce.expired_unseen {
        return failed(observed, expired());
    }
    Reconciliation {
        again: Some(next(subject, facts)),
        announcement: enforce.activation.map(|target| match target {
            Activation::Active => announcement("Activated", "The organization was activated.", subject),
            Activation::Deactivated => {
                announcement(condition::DEACTIVATED, "The organization was deactivated; its data is kept.", subject)
            }
        }),
        ..Reconciliation::new(Ended::InSync, observed)
    }
}

/// The number with which the drift poller compares its own: that of the users, or of what refers to them.
async fn comparable_users(
    counted: Option<i64>,
    key: &str,
    plan: &CompiledPlan,
    context: &Context,
) -> Result<Option<i64>, Failure> {
    if !plan.cascade().is_some_and(|cascade| cascade.observes_referrers) {
        return Ok(counted);
    }
    let found = context.database.tenants(&[key.to_owned()], plan).await?;
    Ok(found.get(key).and_then(|tenant| tenant.users))
}

/// When to reconcile again: regularly, and when the object expires.
fn next(subject: &Subject, facts: &Facts) -> Duration {
    let until = subject.expiration.map(|t| facts.now.duration_until(t)).filter(SignedDuration::is_positive);
    // A second more, so that the expiration has surely passed by the database's clock.
    let until = until.and_then(|d| Duration::try_from(d).ok()).map(|d| d + Duration::from_secs(1));
    let resync = resync();
    until.map_or(resync, |u| u.min(resync))
}

fn announcement(reason: &'static str, note: &str, subject: &Subject) -> Announcement {
    Announcement::once(Severity::Normal, reason, "Reconcile", note).per_generation(subject.generation)
}

fn not_there() -> Failure {
    Failure::new(Reason::OrganizationNotFound, "the database has no organization with this id (yet)").remedy(
        "create the organization in the platform; if the id is wrong, create the object again with the right one",
    )
}

fn expired() -> Failure {
    Failure::new(
        Reason::Expired,
        "spec.expirationTime had passed before the operator saw it, so the operator ignores it",
    )
    .effect(Effect::Untouched)
    .remedy("set spec.expirationTime to a time in the future, remove it, or delete the object")
}
