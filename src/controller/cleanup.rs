//! A pass over a terminating object. The object is read live first: what a person lowered a second ago counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::apply::{LOOK_AGAIN, compiled, holder, see};
use super::quick_check;
use super::reconcile::Report;
use crate::api::condition::{self, stage};
use crate::api::status::{ClaimStatus, DeletionStep, ObservedState};
use crate::api::{DeletionPolicy, Organization, Reason};
use crate::cascade::erase::Erasure;
use crate::cascade::verify::Verification;
use crate::cluster::{Announcement, Severity};
use crate::db::{Actor, settle};
use crate::domain::completion::CompletionProof;
use crate::domain::decide::{self, Awaited, Circumstances, KeepBecause, Remove, keep_data};
use crate::domain::facts::{Facts, Presence, Successor};
use crate::domain::report::{self, Deletion, Pass, Seen};
use crate::domain::{Effect, Failure, Subject};
use planner::CompiledPlan;

/// An object that was read longer ago than this is read again before the first delete.
const FRESH: Duration = Duration::from_millis(500);
/// `Retain` never waits for the database: this is how long it may take to leave a record.
const RECORD_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a stage that is shown while a cascade runs.
const SHOW_LIMIT: Duration = Duration::from_secs(5);
/// A cascade that takes longer than this is shown as a stage in status.
const SHOW_AFTER: Duration = Duration::from_secs(2);

/// None: the object is gone, or another one has taken its name.
pub(super) async fn cleanup(cached: &Arc<Organization>, subject: &Subject, context: &Context) -> Option<Report> {
    let (live, namesakes) = match read_live(subject, context).await {
        Ok((Some(live), namesakes)) if live.uid() == cached.uid() => (live, namesakes),
        Ok(_) => return None,
        Err(failure) => {
            return Some(Report::blocked(cached, subject, Seen::default(), failure.or_effect(Effect::NothingThisTime)));
        }
    };
    let subject = Subject::parse(&live);
    let object = Arc::new(live);
    if !subject.has_finalizer {
        return None;
    }
    let mut seen = Seen::default();
    Some(match work(&object, &subject, namesakes, context, &mut seen).await {
        Ok(report) => report,
        Err(failure) => {
            Report::blocked(&object, &subject, seen, with_way_out(failure.or_effect(Effect::NothingThisTime), &subject))
        }
    })
}

/// The objects that the API server lists for an id, or why they cannot be listed.
struct Namesakes {
    /// When they were asked for.
    asked: Instant,
    id: String,
    objects: Result<Vec<Organization>, Failure>,
}

/// The object as it is now, and all that name its organization: one list past every cache has both.
async fn read_live(subject: &Subject, context: &Context) -> Result<(Option<Organization>, Namesakes), Failure> {
    let (asked, id) = (Instant::now(), subject.organization_id.clone());
    let objects = context.cluster.naming(&id, &context.settings.database).await;
    let listed = objects.iter().flatten().find(|o| o.metadata.name.as_ref() == Some(&subject.name));
    let live = match listed {
        Some(live) => Some(live.clone()),
        // Gone, or it names another organization now; or another object cannot be read, which `Retain` need not wait for.
        None => context.cluster.live(&subject.name).await?,
    };
    Ok((live, Namesakes { asked, id, objects }))
}

/// An id that is no value of the key's type can have no rows, but an error is never taken for an absence: a person says
/// that nothing has to be deleted.
fn with_way_out(failure: Failure, subject: &Subject) -> Failure {
    if failure.reason != Reason::InvalidOrganizationId {
        return failure;
    }
    failure.remedy(format!("{} # an id that is no key has no data to delete", keep_data(&subject.name)))
}

async fn work(
    object: &Arc<Organization>,
    subject: &Subject,
    namesakes: Namesakes,
    context: &Context,
    seen: &mut Seen,
) -> Result<Report, Failure> {
    let read = namesakes.asked;
    let terminating_for = context.terminating.since(&subject.uid);
    let crd_terminating = match subject.policy {
        DeletionPolicy::Retain => false,
        _ => context.cluster.crd_terminating().await?,
    };
    if let Some(because) = decide::keep_without_asking(subject, crd_terminating) {
        let settlement = retain_without_waiting(subject, context, &because).await;
        return Ok(Report::settled(object, subject, std::mem::take(seen), settlement));
    }
    compiled(context, seen).await?;
    // A person may have cleared what blocked the attempt before.
    let plan = context.plan.mended().await?;
    let observed = context.database.observe(&context.settings.cluster_id, subject, &plan).await;
    let facts = observed.map_err(|f| f.explained_by(&plan))?;
    see(seen, &facts, &plan);
    let holder = holder(&facts, subject, context).await?;
    let successor = successor(&facts, subject, namesakes, context, &plan).await?;
    let rows_left = facts.ledger.is_none()
        && facts.organization == Presence::Absent
        && context.database.rows(&facts.key, &plan).await? > 0;
    let with = Circumstances {
        holder: &holder,
        successor: successor.as_ref(),
        rows_left,
        activation_supported: plan.root.activation.is_some(),
        drain_seconds: drain_seconds(context, &plan),
        handover: signed(context.settings.handover),
        terminating_for: signed(terminating_for),
    };
    let decision = decide::remove(subject, &facts, &with);
    let act = Act { read, object, subject, context, plan: &plan, facts: &facts };
    act.out(decision, seen).await
}

/// What a decision is carried out with.
struct Act<'a> {
    /// When the object was read.
    read: Instant,
    object: &'a Arc<Organization>,
    subject: &'a Subject,
    context: &'a Context,
    plan: &'a CompiledPlan,
    facts: &'a Facts,
}

impl Act<'_> {
    fn actor(&self) -> Actor<'_> {
        Actor { cluster: &self.context.settings.cluster_id, subject: self.subject, key: &self.facts.key }
    }

    fn mine(&self) -> bool {
        let claim = self.facts.claim.as_ref();
        claim.is_some_and(|c| c.cluster == self.context.settings.cluster_id && c.uid == self.subject.uid)
    }

    async fn out(&self, decision: Remove, seen: &mut Seen) -> Result<Report, Failure> {
        let database = &self.context.database;
        let settlement = match decision {
            Remove::Refuse(failure) => return Err(failure),
            Remove::Release(_) => {
                let entry = self.facts.ledger.as_ref();
                entry.and_then(CompletionProof::recorded).ok_or_else(ledger_changed)?
            }
            Remove::Retain(because) => {
                database.retain(&self.context.settings.cluster_id, self.subject, &because, Some(self.plan)).await?
            }
            Remove::Transfer(successor) => database.transfer(self.actor(), &successor, self.plan).await?,
            Remove::Deactivate { take_from } => {
                database.deactivate(self.actor(), take_from.as_deref(), self.plan).await?
            }
            Remove::NotFound => match database.not_found(self.actor(), self.plan).await? {
                Some(settlement) => settlement,
                None => return Err(changed_between_looks()),
            },
            Remove::StartWindow { take_from } => {
                // A recovery window deactivates whatever will stand in the way at its end, and says what that is.
                let obstacle = match self.would_block().await {
                    Err(failure) if self.subject.recovery_window_seconds == 0 => return Err(failure),
                    examined => examined.err(),
                };
                let started = database.start_window(self.actor(), take_from.as_deref(), self.plan).await?;
                return Ok(self.window_started(started, obstacle, seen));
            }
            Remove::Wait { until, awaited } => {
                let obstacle = match awaited {
                    // What is wrong with the plan is known already: nobody has to wait to hear of it.
                    Awaited::Successor => {
                        self.plan.erase()?;
                        self.known_to_block().await
                    }
                    Awaited::RecoveryWindow => self.would_block().await.err(),
                    Awaited::Writers => None,
                };
                return Ok(self.waiting(until, awaited, obstacle, seen));
            }
            Remove::Erase { take_from } => match self.erase_or_give_back(take_from).await? {
                Erasure::Completed(settlement) => settlement,
                Erasure::Unverified { steps } => return Ok(self.verifying(steps, seen)),
                Erasure::PlanOutdated => return Err(outdated()),
                Erasure::Unwanted => return Ok(self.changed(seen)),
            },
            Remove::Verify => return self.verify(seen).await,
        };
        Ok(Report::settled(self.object, self.subject, std::mem::take(seen), settlement))
    }

    /// What is known to stand in the way, found before anything is changed. An attempt that failed before for a reason that
    /// only the deletes themselves show, such as a trigger, is rehearsed, so that the organization is not deactivated in
    /// vain again and again.
    async fn would_block(&self) -> Result<(), Failure> {
        // The schema of now: a table that came since the last poll may be what blocks.
        let plan = self.context.plan.refresh().await?;
        plan.erase()?;
        let (database, key) = (&self.context.database, self.facts.key.as_str());
        let error = self.object.status.as_ref().and_then(|s| s.error.as_ref());
        if !error.is_some_and(|e| lasts(e.reason)) {
            let examined = database.examine(key, &plan).await?;
            return Failure::blocked_by(&examined.blockers).map_or(Ok(()), Err);
        }
        database.rehearse(key, &plan).await?.map(|_| ()).ok_or_else(outdated)
    }

    /// What stood in the way while nobody had asked for the deletion, if it still does.
    async fn known_to_block(&self) -> Option<Failure> {
        self.context.quick_checks.blocked(&self.subject.uid)?;
        quick_check::look(self.object, &self.facts.key, self.plan, self.context).await
    }

    /// Erases. An organization that was deactivated only to erase it gets its activation back if that failed for a reason
    /// that does not pass by itself: it stays in use until the deletion can succeed.
    async fn erase_or_give_back(&self, take_from: Option<String>) -> Result<Erasure, Failure> {
        let mut failure = match self.erase(take_from).await {
            Err(failure) => failure,
            done => return done,
        };
        let window = self.facts.claim.as_ref().filter(|_| self.mine()).and_then(|c| c.window);
        let only_drained = self.subject.recovery_window_seconds == 0 && window.is_some_and(|w| w.was_active);
        if only_drained && lasts(failure.reason) {
            failure = match self.context.database.end_window(self.actor(), self.plan).await {
                Ok(()) => failure.detail("the organization is active again"),
                Err(refused) => {
                    tracing::warn!(
                        object = self.subject.name,
                        reason = refused.reason.as_str(),
                        "{}",
                        refused.message()
                    );
                    failure.detail(&format!(
                        "the organization is still deactivated, because activating it again failed ({})",
                        refused.reason
                    ))
                }
            };
        }
        Err(failure)
    }

    /// Runs the cascade; once more with a plan of now, if the schema has changed since it was compiled.
    async fn erase(&self, take_from: Option<String>) -> Result<Erasure, Failure> {
        match self.cascade(take_from.clone()).await {
            Err(failure) => Err(self.explained(failure).await),
            Ok(Erasure::PlanOutdated) => {
                let plan = self.context.plan.refresh().await?;
                Act { plan: &plan, ..*self }.cascade(take_from).await
            }
            done => done,
        }
    }

    /// What the server refused, in the words of a plan of now: it names each table, column and privilege that is missing.
    async fn explained(&self, failure: Failure) -> Failure {
        if failure.sql_state.is_none() || !matches!(failure.reason, Reason::PermissionDenied | Reason::SchemaMismatch) {
            return failure;
        }
        match self.context.plan.refresh().await {
            Ok(plan) => failure.explained_by(&plan),
            Err(_) => failure,
        }
    }

    /// Runs the cascade. One that takes long is shown while it runs. The claim is made first and for itself, so that it
    /// remembers the policy of now, also when the cascade is blocked.
    async fn cascade(&self, take_from: Option<String>) -> Result<Erasure, Failure> {
        if !self.mine() {
            self.context.database.claim(self.actor(), take_from.as_deref()).await?;
        }
        let mut erasing = Box::pin(self.context.database.erase(self.actor(), self.plan, self.still_wanted()));
        tokio::select! {
            done = &mut erasing => return done,
            () = tokio::time::sleep(SHOW_AFTER) => {}
        }
        let deletion = report::deleting(
            self.subject.policy,
            stage::ERASING,
            "The organization and its data are being erased in one transaction.",
        );
        let pass = Pass::Deleting(deletion);
        let before = self.object.status.as_ref();
        let waits = self.context.settings.retry.longest();
        let (seen, attempts) = (Seen::default(), report::Attempts::default());
        let status = report::status(self.subject, before, &pass, seen, attempts, &waits, Timestamp::now());
        if report::worth_writing(before, &status) {
            // The stage is a courtesy: the cascade goes on whether or not it can be shown. But it must not be shown after the
            // end, so the end waits for it, for a while.
            let showing = tokio::time::timeout(SHOW_LIMIT, self.context.cluster.write_status(self.object, &status));
            let (shown, done) = tokio::join!(showing, &mut erasing);
            match shown {
                Ok(Ok(Some(written))) => self.context.written.note(&written, &status),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(failure)) => tracing::warn!(object = self.subject.name, "{}", failure.message()),
            }
            return done;
        }
        erasing.await
    }

    /// Whether the object still asks for the erasure, and no other has come that takes the organization over. What changed
    /// while locks were waited for, or rows were counted, counts until the first row is gone.
    async fn still_wanted(&self) -> Result<bool, Failure> {
        if self.read.elapsed() < FRESH {
            return Ok(true);
        }
        let (live, namesakes) = read_live(self.subject, self.context).await?;
        let Some(live) = live else { return Ok(false) };
        let now = Subject::parse(&live);
        let windows = (now.recovery_window_seconds, self.subject.recovery_window_seconds);
        if now.uid != self.subject.uid
            || now.policy != self.subject.policy
            || now.force_setting.is_some()
            || windows.0 > windows.1
        {
            return Ok(false);
        }
        Ok(successor(self.facts, &now, namesakes, self.context, self.plan).await?.is_none())
    }

    async fn verify(&self, seen: &mut Seen) -> Result<Report, Failure> {
        let entry = self.facts.ledger.as_ref().ok_or_else(ledger_changed)?;
        let settled_at = entry.finished + self.context.settings.drain;
        if self.facts.now < settled_at {
            let mut report = self.verifying(entry.steps.clone(), seen);
            report.again = Some(wait(self.facts.now, settled_at));
            return Ok(report);
        }
        let cluster = &self.context.settings.cluster_id;
        let key = self.facts.key.as_str();
        let mut verified = self.context.database.verify(cluster, self.subject, key, self.plan).await?;
        if verified == Verification::PlanOutdated {
            let plan = self.context.plan.refresh().await?;
            verified = self.context.database.verify(cluster, self.subject, key, &plan).await?;
        }
        match verified {
            Verification::Completed(settlement) => {
                Ok(Report::settled(self.object, self.subject, std::mem::take(seen), settlement))
            }
            Verification::Swept => Ok(self.verifying(entry.steps.clone(), seen)),
            Verification::PlanOutdated => Err(outdated()),
        }
    }

    fn changed(&self, seen: &mut Seen) -> Report {
        let message =
            "The object was changed before the first row was gone; nothing was deleted, and it is looked at anew.";
        let deletion = report::deleting(self.subject.policy, stage::PENDING, message);
        self.stage(deletion, seen, LOOK_AGAIN)
    }

    fn verifying(&self, steps: Vec<DeletionStep>, seen: &mut Seen) -> Report {
        let mut deletion = report::deleting(
            self.subject.policy,
            stage::VERIFYING,
            "Everything was erased; tables without a foreign key are counted again after their writers had time to settle.",
        );
        deletion.steps = steps;
        self.stage(deletion, seen, self.context.settings.drain)
    }

    fn window_started(&self, started: Timestamp, obstacle: Option<Failure>, seen: &mut Seen) -> Report {
        let recovery = self.subject.recovery_window_seconds;
        let settle = drain_seconds(self.context, self.plan);
        let deactivated = started + SignedDuration::from_secs(recovery.max(settle));
        let (handover, known) = (self.context.settings.handover, self.context.terminating.since(&self.subject.uid));
        let handover_ends = started + signed(handover.saturating_sub(known));
        let (until, awaited) = decide::due(deactivated, handover_ends, recovery < settle);
        seen.state = Some(ObservedState::Deactivated);
        self.waiting(until, awaited, obstacle, seen)
    }

    /// `obstacle`: what will block the erasure unless somebody clears it before.
    fn waiting(&self, until: Timestamp, awaited: Awaited, obstacle: Option<Failure>, seen: &mut Seen) -> Report {
        let until = match awaited {
            // The end by this process's clock moves with each look by a moment: what is shown does not.
            Awaited::Successor => self.shown_end(up_to_a_second(until)),
            Awaited::RecoveryWindow | Awaited::Writers => up_to_a_second(until),
        };
        let stage = match awaited {
            Awaited::Successor => stage::AWAITING_SUCCESSOR,
            Awaited::RecoveryWindow => stage::RECOVERY_WINDOW,
            Awaited::Writers => stage::DRAINING,
        };
        let deactivated = seen.state == Some(ObservedState::Deactivated);
        let begins = awaited == Awaited::RecoveryWindow && !self.shows(stage);
        // What passes by itself, such as a lock, says nothing about a time that is hours away.
        let obstacle = obstacle.filter(|o| o.reason.needs_a_person());
        let message = report::until_erasure(self.subject, awaited, until, deactivated, obstacle.as_ref());
        if obstacle.is_some() {
            seen.deletion_ready = obstacle.map(Err);
        }
        let mut deletion = report::deleting(self.subject.policy, stage, message.clone());
        deletion.erase_time = Some(until);
        let mut report = self.stage(deletion, seen, wait(self.facts.now, until));
        report.announce = begins.then(|| Announcement {
            severity: Severity::Warning,
            reason: stage,
            action: "Delete",
            note: message,
            occurrence: String::new(),
        });
        report
    }

    /// The end of the wait that the status shows already, where it is this one to within two seconds.
    fn shown_end(&self, until: Timestamp) -> Timestamp {
        let newest = self.context.written.newest(self.object);
        let shown = newest.and_then(|s| s.deletion).and_then(|d| d.erase_time).map(|t| t.0);
        let near = |t: &Timestamp| until.duration_since(*t).abs() <= SignedDuration::from_secs(2);
        shown.filter(near).unwrap_or(until)
    }

    /// Whether the object's status shows this stage already.
    fn shows(&self, stage: &str) -> bool {
        let conditions = self.object.status.iter().flat_map(|s| &s.conditions);
        conditions.into_iter().any(|c| c.type_ == condition::DELETING && c.reason == stage)
    }

    fn stage(&self, deletion: Deletion, seen: &mut Seen, again: Duration) -> Report {
        let mut report = Report::new(self.object, self.subject, Pass::Deleting(deletion), std::mem::take(seen));
        report.again = Some(again);
        report.seen.claim = Some(ClaimStatus {
            installation: self.facts.installation.clone(),
            organization_key: self.facts.key.clone(),
        });
        report
    }
}

/// A little longer than the rest, so that the time has surely passed by the database's clock.
fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(until)).unwrap_or_default() + Duration::from_millis(50)
}

/// In whole seconds, never earlier, so that two looks at the same wait show the same time.
fn up_to_a_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second() + i64::from(time.subsec_nanosecond() > 0)).unwrap_or(time)
}

/// Whether a failure may be there for a while: a person has to act, or somebody holds a lock or makes everything slow.
const fn lasts(reason: Reason) -> bool {
    reason.needs_a_person() || matches!(reason, Reason::LockTimeout | Reason::StatementTimeout)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn drain_seconds(context: &Context, plan: &CompiledPlan) -> i64 {
    match plan.cascade() {
        Some(cascade) if cascade.has_unprotected() => {
            i64::try_from(context.settings.drain.as_secs()).unwrap_or(i64::MAX)
        }
        _ => 0,
    }
}

/// Keeps the data and leaves a record if that is possible within seconds.
async fn retain_without_waiting(subject: &Subject, context: &Context, because: &KeepBecause) -> CompletionProof {
    let record = async {
        let plan = context.plan.get().await.ok();
        context.database.retain(&context.settings.cluster_id, subject, because, plan.as_deref()).await
    };
    match tokio::time::timeout(RECORD_LIMIT, record).await {
        Ok(Ok(settlement)) => settlement,
        Ok(Err(failure)) => {
            tracing::warn!(object = subject.name, reason = failure.reason.as_str(), "{}", failure.message());
            settle::kept_without_record(because, subject, Some(failure.reason))
        }
        Err(_) => settle::kept_without_record(because, subject, None),
    }
}

/// Another live object of this cluster that names the same organization; the oldest, if there are several.
///
/// The API server is asked for a list, which sees an object created a moment ago, and which fails when it cannot be read: a
/// failed read is no permission to erase. It finds the spellings of this object's claim and spec; another spelling of the
/// same id is found in the cache, and read live before it counts.
async fn successor(
    facts: &Facts,
    subject: &Subject,
    namesakes: Namesakes,
    context: &Context,
    plan: &CompiledPlan,
) -> Result<Option<Successor>, Failure> {
    let asked: &[&String] = if facts.id_changed || subject.organization_id == facts.key {
        &[&facts.key]
    } else {
        &[&facts.key, &subject.organization_id]
    };
    let Namesakes { id: listed, objects, .. } = namesakes;
    let mut candidates = if asked.contains(&&listed) { objects? } else { Vec::new() };
    for id in asked.iter().filter(|id| ***id != listed) {
        candidates.extend(context.cluster.naming(id, &context.settings.database).await?);
    }
    for object in others_alike(context, &facts.key, &subject.uid) {
        let id = &object.spec.organization_id;
        if !asked.contains(&id) && context.database.canonical(id, plan).await?.as_ref() == Some(&facts.key) {
            candidates.extend(context.cluster.live(&object.name_any()).await?);
        }
    }
    candidates.retain(|o| o.uid().as_deref() != Some(subject.uid.as_str()) && o.metadata.deletion_timestamp.is_none());
    candidates.sort_by_key(|o| o.metadata.creation_timestamp.as_ref().map(|t| t.0));
    Ok(candidates.into_iter().next().map(|o| Successor {
        name: o.name_any(),
        uid: o.uid().unwrap_or_default(),
        policy: o.spec.deletion_policy,
    }))
}

/// Passes over the live objects that may name the organization of an object that was let go: one of them was refused as long
/// as this one owned it, or owns it now without knowing, and should not have to wait for its next try.
pub(super) fn wake_heirs(gone: &Subject, context: &Context) {
    for object in others_alike(context, &gone.organization_id, &gone.uid) {
        context.census.poke(ObjectRef::from_obj(object.as_ref()));
    }
}

/// The other live objects in the cache whose id may be the same value in another spelling.
fn others_alike(context: &Context, id: &str, uid: &str) -> Vec<Arc<Organization>> {
    let wanted = plain(id);
    let mut objects = context.store.state();
    objects.retain(|o| {
        o.metadata.deletion_timestamp.is_none()
            && o.metadata.uid.as_deref() != Some(uid)
            && (o.spec.organization_id == id || plain(&o.spec.organization_id) == wanted)
    });
    objects
}

/// What two spellings of one id have in common: only letters and digits count, in any case, and leading zeros do not.
fn plain(id: &str) -> String {
    let kept: String = id.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    kept.trim_start_matches('0').to_owned()
}

fn outdated() -> Failure {
    Failure::new(Reason::SerializationFailure, "the database's schema changed twice since the plan was compiled")
        .effect(Effect::RolledBack)
        .remedy("nothing, if it passes by itself; if not, stop what changes the schema")
}

fn ledger_changed() -> Failure {
    Failure::new(Reason::SerializationFailure, "the ledger changed between two looks")
        .effect(Effect::Untouched)
        .remedy("nothing: it is looked at again by itself")
}

fn changed_between_looks() -> Failure {
    Failure::new(Reason::ContentChanged, "the organization, or rows of it, appeared between two looks")
        .effect(Effect::RolledBack)
        .remedy("nothing, if it passes by itself; if not, stop what writes to the organization")
}

#[cfg(test)]
mod tests {
    use super::{RECORD_LIMIT, SHOW_AFTER, plain};

    #[test]
    fn the_documentation_says_how_long_is_waited() {
        let docs = include_str!("../../docs/organization.md");
        let record = format!("`Retain` waits at most {} seconds for its row", RECORD_LIMIT.as_secs());
        let shown = format!("Shown when it takes longer than {} seconds", SHOW_AFTER.as_secs());
        for sentence in [record, shown] {
            assert!(docs.contains(&sentence), "{sentence}");
        }
    }

    #[test]
    fn spellings_of_one_id_are_alike() {
        assert_eq!(plain("AC3E0000-0000-4000-8000-000000000001"), plain("{ac3e0000000040008000000000000001}"));
        assert_eq!(plain("0042"), plain("42"));
        assert_ne!(plain("acme"), plain("globex"));
    }
}
