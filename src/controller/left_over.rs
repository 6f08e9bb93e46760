//! What deletions left behind whose object is gone. Deletions that have erased a part of an organization, and whose object is gone: somebody removed its finalizer by force. No
//! object shows that, so the log and a metric do.

use std::collections::HashSet;

use super::context::Context;
use crate::domain::left_over::keep_remainder;
use crate::domain::words::quantity;

/// Those that were logged.
#[derive(Debug, Default)]
pub(super) struct LeftOver {
    told: HashSet<String>,
}

impl LeftOver {
    /// Counts them, and logs each once. `uids` are those of all objects in the cache.
    pub(super) async fn check(&mut self, context: &Context, uids: &HashSet<&str>) {
        // Before the first list has ended, each object seems to be gone.
        if context.index.complete_as_of().is_none() {
            return;
        }
        // Whoever polls the database reports that it cannot be read.
        let Ok(mut left) = context.database.partly_erased().await else { return };
        left.retain(|of| of.cluster == context.settings.cluster_id && !uids.contains(of.uid.as_str()));
        forget_deletions(context, uids).await;
        context.metrics.partly_erased(left.len());
        self.told.retain(|uid| left.iter().any(|of| of.uid == *uid));
        for of in left {
            if self.told.insert(of.uid.clone()) {
                tracing::warn!(
                    organization = of.key,
                    uid = of.uid,
                    "the deletion of an object has erased {} of this organization, and that object is gone; to erase the remainder: create \
                     an object for the organization and delete it with deletionPolicy Delete; to keep the remainder: {}",
                    quantity(of.rows, "row"),
                    keep_remainder(&of.key)
                );
            }
        }
    }
}

/// Forgets when deletions were first seen of which nothing is left, because somebody removed the finalizer by force: if a backup
/// of the cluster brings such an object back, its deletion is a new one. `uids` are those of all objects in the cache; another
/// instance of the operator may serve an object that is not among them.
async fn forget_deletions(context: &Context, uids: &HashSet<&str>) {
    let cluster = &context.settings.cluster_id;
    let Ok(mut noted) = context.database.noted_deletions(cluster).await else { return };
    noted.retain(|deletion| !uids.contains(deletion.uid.as_str()));
    for deletion in noted {
        let gone = context.cluster.live(&deletion.name).await.map(|live| live.and_then(|object| object.metadata.uid));
        if gone.is_ok_and(|uid| uid.as_ref() != Some(&deletion.uid))
            && let Err(failure) = context.database.forget_deletion(cluster, &deletion.uid).await
        {
            tracing::debug!(object = deletion.name, reason = failure.reason.as_str(), "{}", failure.message());
        }
    }
}
