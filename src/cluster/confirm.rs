//! Confirms a deletion that a guard rail holds back.

use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Cluster;
use super::failure::{failure, failure_of_person};
use crate::api::{CONFIRM_DELETION, Organization};
use crate::domain::Failure;

/// How often the confirmation is tried while the operator writes status at the same time.
const TRIES: usize = 8;

impl Cluster {
    /// Writes the confirmation, as this field manager, to exactly the object that a person has seen: the same uid and the same
    /// spec. Returns `false` if the spec has changed since, if the object is gone, or if another one has its name.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn confirm(&self, seen: &Organization, manager: &str) -> Result<bool, Failure> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let doing = "confirming the deletion";
        let uid = seen.uid().unwrap_or_default();
        let mut current = seen.clone();
        for tried in 1.. {
            let annotations = json!({CONFIRM_DELETION: uid});
            // Both are preconditions.
            let version = current.resource_version();
            let body = json!({"metadata": {"uid": uid, "resourceVersion": version, "annotations": annotations}});
            let patch = Patch::Merge(&body);
            let Err(error) = self.organizations.patch_metadata(&seen.name_any(), &params, &patch).await else {
                return Ok(true);
            };
            match &error {
                kube::Error::Api(s) if matches!(s.code, 404 | 409 | 422) && tried < TRIES => {}
                _ => return Err(failure_of_person(&error, doing)),
            }
            match self.live(&seen.name_any()).await?.filter(|live| live.uid() == seen.uid()) {
                Some(live) if live.resource_version() == version => return Err(failure(&error, doing)),
                // Only the status or the metadata have changed.
                Some(live) if live.metadata.generation == seen.metadata.generation => current = live,
                _ => return Ok(false),
            }
        }
        Ok(false)
    }
}
