//! Reads all that a decision needs: the object past every cache, the CRD, the database, the owner of the claim, and the
//! objects that name the same organization.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::namesakes::{Freshness, successor};
use super::size::size;
use crate::api::{DeletionPolicy, Organization};
use crate::controller::context::Context;
use crate::domain::Failure;
use crate::domain::decide::{Circumstances, KeepBecause, Size, keep_without_asking};
use crate::domain::facts::{ClaimOwner, Facts, Presence};
use crate::domain::reconciliation::Observed;
use crate::domain::subject::{Phase, Subject};
use planner::CompiledPlan;

/// All that was read of one object.
pub(super) struct Observation {
    /// The object to act on.
    pub(super) object: Arc<Organization>,
    pub(super) subject: Subject,
    /// When the object was read.
    pub(super) read: Instant,
    /// What the status shows of it.
    pub(super) observed: Observed,
    pub(super) found: Found,
}

/// What a decision is made from.
pub(super) enum Found {
    /// The object is live.
    Live(Tenant),
    /// The object is terminating.
    Terminating(Tenant, Circumstances),
    /// The object is terminating and suspended. What the database says is only shown, so it may be missing.
    Suspended(Option<Facts>),
    /// The object is terminating, and its data is kept whatever the database says, so the database was not asked.
    Keep(KeepBecause),
    /// Something could not be read.
    Failed(Failure),
}

/// The organization in the database.
pub(super) struct Tenant {
    pub(super) plan: Arc<CompiledPlan>,
    pub(super) facts: Facts,
    pub(super) owner: ClaimOwner,
}

/// Observes an object. Returns `None` if it changed meanwhile, is gone, or another one has its name.
pub(super) async fn observe(object: Arc<Organization>, context: &Context) -> Option<Observation> {
    let subject = Subject::parse(&object);
    match subject.phase() {
        Phase::Live => live(object, subject, context).await,
        Phase::Terminating => terminating(object, subject, context).await,
        Phase::Released => None,
    }
}

/// The finalizer comes before everything that can fail: without it the object is deleted without the operator.
async fn live(object: Arc<Organization>, subject: Subject, context: &Context) -> Option<Observation> {
    let read = Instant::now();
    let object = if subject.has_finalizer {
        object
    } else {
        match context.cluster.add_finalizer(&object).await {
            Ok(updated) => Arc::new(updated?),
            Err(failure) => {
                let found = Found::Failed(without_finalizer(failure));
                return Some(Observation { object, subject, read, observed: Observed::default(), found });
            }
        }
    };
    let (observed, tenant) = tenant(&subject, context).await;
    let found = tenant.map_or_else(Found::Failed, Found::Live);
    Some(Observation { object, subject, read, observed, found })
}

/// The object is read live first: a policy that a person lowered a second ago counts.
async fn terminating(cached: Arc<Organization>, subject: Subject, context: &Context) -> Option<Observation> {
    // From now on this process measures how long the object has been terminating.
    context.memory.terminating_for(&subject.uid);
    let read = Instant::now();
    let object = match context.cluster.live(&subject.name).await {
        Ok(Some(live)) if live.uid() == cached.uid() => Arc::new(live),
        Ok(_) => return None,
        Err(failure) => {
            let (observed, found) = (Observed::default(), Found::Failed(failure));
            return Some(Observation { object: cached, subject, read, observed, found });
        }
    };
    context.index.read(&object.metadata, read);
    let subject = Subject::parse(&object);
    if subject.phase() != Phase::Terminating {
        return None;
    }
    let (observed, found) = deletion(&subject, context).await;
    Some(Observation { object, subject, read, observed, found: found.unwrap_or_else(Found::Failed) })
}

async fn deletion(subject: &Subject, context: &Context) -> (Observed, Result<Found, Failure>) {
    if subject.suspended {
        let (observed, tenant) = tenant(subject, context).await;
        return (observed, Ok(Found::Suspended(tenant.ok().map(|tenant| tenant.facts))));
    }
    let terminating_for = signed(context.memory.terminating_for(&subject.uid));
    let crd_terminating = match subject.policy {
        DeletionPolicy::Retain if !subject.rows_may_be_gone => Ok(false),
        _ => context.cluster.crd_terminating(context.memory.terminating_since(&subject.uid)).await,
    };
    match crd_terminating.map(|terminating| keep_without_asking(subject, terminating)) {
        Err(failure) => return (Observed::default(), Err(failure)),
        Ok(Some(because)) => return (Observed::default(), Ok(Found::Keep(because))),
        Ok(None) => {}
    }
    let (observed, tenant) = tenant(subject, context).await;
    let found = async {
        let tenant = tenant?;
        let Tenant { plan, facts, .. } = &tenant;
        let successor = successor(facts, subject, Freshness::ForDecision, context, plan).await?;
        let rows_left = facts.ledger.is_none()
            && facts.organization == Presence::Absent
            && context.database.rows(&facts.key, plan).await? > 0;
        let size = size(subject, facts, successor.is_some(), plan, context).await?;
        let circumstances = Circumstances {
            successor,
            rows_left,
            activation_supported: plan.root.activation.is_some(),
            drain_seconds: drain_seconds(context, plan, &size),
            size,
            handover: signed(context.settings.handover),
            terminating_for,
            clock: Timestamp::now(),
            breaker: context.settings.breaker,
        };
        Ok(Found::Terminating(tenant, circumstances))
    };
    (observed, found.await)
}

/// The organization of an object, and what the status shows of it also if something could not be read.
async fn tenant(subject: &Subject, context: &Context) -> (Observed, Result<Tenant, Failure>) {
    let plan = match compiled(subject, context).await {
        Ok(plan) => plan,
        Err(failed) => return (failed.0, Err(failed.1)),
    };
    let facts = match context.database.observe(&context.settings.cluster_id, subject, &plan).await {
        Ok(facts) => facts,
        Err(failure) => return (Observed::default(), Err(failure.explained_by(&plan))),
    };
    let observed = Observed::of(subject, &facts, &plan);
    if facts.organization == Presence::Absent && subject.terminating_since.is_none() {
        context.memory.saw_tenant(subject, &facts.key, None);
    }
    let owner = claim_owner(&facts, subject, context).await;
    (observed, owner.map(|owner| Tenant { plan, facts, owner }))
}

async fn compiled(subject: &Subject, context: &Context) -> Result<Arc<CompiledPlan>, (Observed, Failure)> {
    let plan = context.plan.get().await.map_err(|f| (Observed::without_plan(&f), f))?;
    if subject.terminating_since.is_none() {
        return Ok(plan);
    }
    // A person may have cleared what blocked the attempt before.
    context.plan.refreshed_if_blocked().await.map_err(|f| (Observed::default(), f))
}

/// Who owns the claim. Whether an owner of this cluster still exists is asked live: a cache that has not received it yet, or
/// an API server that does not answer, must not be taken for an owner that is gone.
async fn claim_owner(facts: &Facts, subject: &Subject, context: &Context) -> Result<ClaimOwner, Failure> {
    let Some(claim) = &facts.claim else { return Ok(ClaimOwner::Nobody) };
    if claim.cluster != context.settings.cluster_id {
        let adoptable = context.settings.adopt_from.contains(&claim.cluster).then(|| claim.uid.clone());
        return Ok(ClaimOwner::OtherCluster { cluster: claim.cluster.clone(), adoptable });
    }
    if claim.uid == subject.uid {
        return Ok(ClaimOwner::ThisObject);
    }
    let owner = context.cluster.live(&claim.name).await?;
    Ok(match owner.filter(|o| o.uid().as_ref() == Some(&claim.uid)) {
        Some(owner) => {
            ClaimOwner::OtherObject { name: owner.name_any(), terminating: owner.metadata.deletion_timestamp.is_some() }
        }
        None => ClaimOwner::Gone { uid: claim.uid.clone() },
    })
}

/// A large organization is switched off before its first page, so its writers drain, too.
fn drain_seconds(context: &Context, plan: &CompiledPlan, size: &Size) -> i64 {
    match plan.cascade() {
        Some(cascade) if cascade.has_unprotected() || matches!(size, Size::Large { .. }) => {
            i64::try_from(context.settings.drain.as_secs()).unwrap_or(i64::MAX)
        }
        _ => 0,
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Without the finalizer the operator does nothing to the organization, and receives a deletion when it is too late to act.
fn without_finalizer(failure: Failure) -> Failure {
    failure.sentence(
        "Without the finalizer the operator leaves the organization alone: deleting the object now keeps its data",
    )
}
