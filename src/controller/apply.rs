//! A pass over a live object: finalizer first, then claim, activation and inventory.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::quick_check;
use super::reconcile::Report;
use crate::api::condition;
use crate::api::status::{ClaimStatus, ObservedState, Outcome};
use crate::api::{Activation, Organization, Reason};
use crate::cluster::{Announcement, Severity};
use crate::db::tenants::TenantState;
use crate::domain::decide::{self, Apply, Enforce};
use crate::domain::facts::{Facts, Holder, Presence};
use crate::domain::report::{Pass, Seen};
use crate::domain::{Blame, Effect, Failure, Subject};
use crate::store::Actor;
use planner::CompiledPlan;
use planner::finding;

/// When to look again at an object that had changed meanwhile.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often a healthy object is looked at although nothing changed: capped counts are refreshed then.
pub(super) const RESYNC: Duration = Duration::from_mins(10);

/// None: the object changed meanwhile.
pub(super) async fn apply(object: &Arc<Organization>, subject: &Subject, context: &Context) -> Option<Report> {
    let mut object = object.clone();
    if !subject.has_finalizer {
        match context.cluster.add_finalizer(&object).await {
            Ok(Some(updated)) => object = Arc::new(updated),
            Ok(None) => return None,
            Err(failure) => return Some(Report::failed(&object, subject, Seen::default(), unguarded(failure))),
        }
    }
    let mut seen = Seen::default();
    Some(match work(&object, subject, context, &mut seen).await {
        Ok(report) => report,
        Err(failure) => {
            // What is wrong with the plan is cured for all objects at once, and then the census asks for this pass again.
            let again = (failure.blame == Blame::Plan).then(resync);
            Report { again, ..Report::failed(&object, subject, seen, failure) }
        }
    })
}

async fn work(
    object: &Arc<Organization>,
    subject: &Subject,
    context: &Context,
    seen: &mut Seen,
) -> Result<Report, Failure> {
    let plan = compiled(context, seen).await?;
    let observed = context.database.observe(&context.settings.cluster_id, subject, &plan).await;
    let facts = observed.map_err(|f| f.explained_by(&plan))?;
    see(seen, &facts, &plan);
    if !matches!(facts.organization, Presence::Present { .. }) {
        context.census.note(object, &facts.key, None);
    }
    let holder = holder(&facts, subject, context).await?;
    if let Holder::Other { name, terminating: true } = &holder {
        // It may wait for this very object: it hands over now and not when its wait ends.
        context.census.poke(ObjectRef::new(name));
    }
    let supported = plan.root.activation.is_some();
    match decide::apply(subject, &facts, &holder, supported) {
        Apply::Wait => Err(not_there()),
        Apply::Refuse(failure) => Err(failure),
        Apply::Expire => {
            let deleted = expire(subject, context).await?;
            let mut report = Report::new(object, subject, Pass::Settled, std::mem::take(seen));
            if deleted {
                report.announce = Some(announcement(
                    "Expired",
                    "spec.expirationTime has passed; the object was deleted and its deletionPolicy decides what that means.",
                    subject,
                ));
            } else {
                report.again = Some(LOOK_AGAIN);
            }
            Ok(report)
        }
        Apply::Enforce(enforce) => settled(object, subject, context, seen, &plan, &facts, &enforce).await,
    }
}

/// Deletes the object, if it still is as the cache has it: an expiration that was moved must not be acted on because the
/// watch has not heard of it. False: it has changed.
async fn expire(subject: &Subject, context: &Context) -> Result<bool, Failure> {
    match context.cluster.live(&subject.name).await? {
        Some(live) if Subject::parse(&live) == *subject => context.cluster.delete_expired(&live).await,
        _ => Ok(false),
    }
}

async fn settled(
    object: &Arc<Organization>,
    subject: &Subject,
    context: &Context,
    seen: &mut Seen,
    plan: &CompiledPlan,
    facts: &Facts,
    enforce: &Enforce,
) -> Result<Report, Failure> {
    let actor = Actor { cluster: &context.settings.cluster_id, subject, key: &facts.key };
    if enforce.changes_database() {
        context.database.enforce(actor, enforce, plan).await.map_err(|f| f.explained_by(plan))?;
    }
    seen.claim = Some(ClaimStatus { installation: facts.installation.clone(), organization_key: facts.key.clone() });
    let active = match (enforce.activation, facts.organization) {
        (Some(target), _) => Some(target == Activation::Active),
        (None, Presence::Present { active }) => active,
        (None, Presence::Absent) => None,
    };
    seen.state = Some(state(active));
    seen.inventory = context.database.inventory(&facts.key, plan).await.map_err(|f| f.explained_by(plan))?;
    if let Some(inventory) = &mut seen.inventory {
        inventory.observed_time = Some(Time(facts.now));
    }
    if matches!(seen.deletion_ready, Some(Ok(())))
        && let Some(blocked) = quick_check::look(object, &facts.key, plan, context).await
    {
        seen.deletion_ready = Some(Err(blocked));
    }
    let users = seen.inventory.as_ref().and_then(|i| i.users);
    context.census.note(object, &facts.key, Some(TenantState { active, users }));
    if enforce.expired_unseen {
        return Err(expired());
    }
    let mut report = Report::new(object, subject, Pass::Settled, std::mem::take(seen));
    report.again = Some(next_look(subject, facts));
    report.announce = enforce.activation.map(|target| match target {
        Activation::Active => announcement("Activated", "The organization was activated.", subject),
        Activation::Deactivated => {
            announcement(condition::DEACTIVATED, "The organization was deactivated; its data is kept.", subject)
        }
    });
    Ok(report)
}

fn next_look(subject: &Subject, facts: &Facts) -> Duration {
    let until =
        subject.expiration.map(|t| facts.now.duration_until(t)).filter(k8s_openapi::jiff::SignedDuration::is_positive);
    // A second more, so that the expiration has surely passed by the database's clock.
    let until = until.and_then(|d| Duration::try_from(d).ok()).map(|d| d + Duration::from_secs(1));
    let resync = resync();
    until.map_or(resync, |u| u.min(resync))
}

fn resync() -> Duration {
    RESYNC.mul_f64(1.0 - 0.2 * fastrand::f64())
}

/// The compiled plan. Without one that a person has to see to, no deletion would work.
pub(super) async fn compiled(context: &Context, seen: &mut Seen) -> Result<Arc<CompiledPlan>, Failure> {
    context.plan.get().await.inspect_err(|failure| {
        if failure.reason.needs_a_person() {
            seen.deletion_ready = Some(Err(failure.clone()));
        }
    })
}

/// What the facts tell, whatever is decided.
pub(super) fn see(seen: &mut Seen, facts: &Facts, plan: &CompiledPlan) {
    seen.state = Some(match facts.organization {
        Presence::Absent => ObservedState::Absent,
        Presence::Present { active } => state(active),
    });
    seen.deletion_ready = Some(plan.erase().map(|_| ()).map_err(Failure::from));
    seen.erased = facts.ledger.as_ref().is_some_and(|entry| entry.outcome == Outcome::Erased);
    seen.caveat = finding::caveat(&plan.warnings);
}

fn state(active: Option<bool>) -> ObservedState {
    if active == Some(false) { ObservedState::Deactivated } else { ObservedState::Active }
}

/// Who holds the claim. Whether an owner of this cluster still exists is asked live: a cache that has not heard of it yet,
/// or an API server that does not answer, must not look like an owner that is gone.
pub(super) async fn holder(facts: &Facts, subject: &Subject, context: &Context) -> Result<Holder, Failure> {
    let Some(claim) = &facts.claim else { return Ok(Holder::Free) };
    if claim.cluster != context.settings.cluster_id {
        let adoptable = context.settings.adopt_from.contains(&claim.cluster).then(|| claim.uid.clone());
        return Ok(Holder::Foreign { cluster: claim.cluster.clone(), adoptable });
    }
    if claim.uid == subject.uid {
        return Ok(Holder::Mine);
    }
    let owner = context.cluster.live(&claim.name).await?;
    Ok(match owner.filter(|o| o.uid().as_ref() == Some(&claim.uid)) {
        Some(owner) => {
            Holder::Other { name: owner.name_any(), terminating: owner.metadata.deletion_timestamp.is_some() }
        }
        None => Holder::Gone { uid: claim.uid.clone() },
    })
}

fn announcement(reason: &'static str, note: &str, subject: &Subject) -> Announcement {
    Announcement {
        severity: Severity::Normal,
        reason,
        action: "Reconcile",
        note: note.to_owned(),
        occurrence: format!(".{}", subject.generation),
    }
}

/// Without the finalizer the operator does nothing to the organization, and hears of a deletion when it is too late to act.
fn unguarded(failure: Failure) -> Failure {
    failure.sentence(
        "Without the finalizer the operator leaves the organization alone: deleting the object now keeps its data",
    )
}

fn not_there() -> Failure {
    Failure::new(Reason::OrganizationNotFound, "the database has no organization with this id (yet)")
        .remedy("create the organization in the platform, or correct the id by creating the object again")
}

fn expired() -> Failure {
    Failure::new(Reason::Expired, "spec.expirationTime had passed before the operator saw it, so it is not acted on")
        .effect(Effect::Untouched)
        .remedy("set spec.expirationTime to a time in the future, remove it, or delete the object")
}
