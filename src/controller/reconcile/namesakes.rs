//! The objects that name one organization, read past every cache.

use kube::ResourceExt as _;

use crate::api::Organization;
use crate::controller::contenders::contenders;
use crate::controller::context::Context;
use crate::domain::facts::{Facts, Successor};
use crate::domain::{Failure, Subject};
use planner::CompiledPlan;

/// The objects that the API server lists for an id, or why they cannot be listed.
pub(super) struct Namesakes {
    id: String,
    objects: Result<Vec<Organization>, Failure>,
}

/// The object as it is now, and all that name its organization: one list past every cache has both.
pub(super) async fn read_live(
    subject: &Subject,
    context: &Context,
) -> Result<(Option<Organization>, Namesakes), Failure> {
    let id = subject.organization_id.clone();
    let objects = context.cluster.objects_naming(&id, &context.settings.database).await;
    let listed = objects.iter().flatten().find(|o| o.metadata.name.as_ref() == Some(&subject.name));
    let live = match listed {
        Some(live) => Some(live.clone()),
        // Gone, or it names another organization now; or another object cannot be read, which `Retain` need not wait for.
        None => context.cluster.live(&subject.name).await?,
    };
    Ok((live, Namesakes { id, objects }))
}

/// Another live object of this cluster that names the same organization; the oldest, if there are several.
///
/// A list from the API server has an object that was created a moment ago. If the list cannot be read, this fails: a failed
/// read is not permission to erase. The list has the spellings of this object's claim and spec; another spelling of the
/// same id is found in the cache, and read live before it counts.
pub(super) async fn successor(
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
    let Namesakes { id: listed, objects } = namesakes;
    let mut candidates = if asked.contains(&&listed) { objects? } else { Vec::new() };
    for id in asked.iter().filter(|id| ***id != listed) {
        candidates.extend(context.cluster.objects_naming(id, &context.settings.database).await?);
    }
    for object in contenders(context, &facts.key, &subject.uid) {
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
