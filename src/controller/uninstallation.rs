//! An uninstallation: the CRD is deleted, and with it all objects. Those that are terminating already hear nothing of it, because
//! the API server changes nothing about them. They may wait for hours or days, and an uninstallation must not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};

use super::context::Context;
use crate::api::FINALIZER;

/// How often the CRD is read while objects are terminating.
const PERIOD: Duration = Duration::from_secs(15);

/// Requeues all terminating objects when the CRD is being deleted. Never ends.
pub(super) async fn notice(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let held = context.store.state_filter(|object| {
            object.meta().deletion_timestamp.is_some() && object.finalizers().iter().any(|f| f == FINALIZER)
        });
        if held.is_empty() {
            continue;
        }
        match context.cluster.crd_terminating(Instant::now()).await {
            Ok(false) => {}
            Ok(true) => held.iter().for_each(|object| context.requeue(ObjectRef::new(&object.name_any()))),
            Err(failure) => tracing::debug!(reason = failure.reason.as_str(), "{}", failure.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PERIOD;

    #[test]
    fn the_documentation_says_how_soon_it_is_noticed() {
        let docs = include_str!("../../docs/organization.md");
        let sentence = format!("within {} seconds", PERIOD.as_secs());
        assert!(docs.contains(&sentence), "{sentence}");
    }
}
