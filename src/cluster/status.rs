//! Writes status by server-side apply.

use kube::ResourceExt as _;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde::Serialize;

use super::Cluster;
use crate::api::{FIELD_MANAGER, GROUP, Organization, OrganizationStatus};
use crate::domain::Failure;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    api_version: String,
    kind: &'static str,
    metadata: Metadata<'a>,
    status: &'a OrganizationStatus,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    name: &'a str,
    /// The API server refuses an apply to another uid: status never lands on an object that took this one's name.
    uid: &'a str,
}

impl Cluster {
    /// Writes the status of exactly this object. Returns the object's metadata as the API server has them now, or `None` if
    /// the object is gone or another one has its name: then it needs no status.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn write_status(
        &self,
        object: &Organization,
        status: &OrganizationStatus,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let name = object.name_any();
        let uid = object.uid().unwrap_or_default();
        let body = Body {
            api_version: format!("{GROUP}/v1alpha1"),
            kind: "Organization",
            metadata: Metadata { name: &name, uid: &uid },
            status,
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        // The whole object would have to be encoded, sent and read, and nobody needs it.
        match self.organizations.patch_metadata(&format!("{name}/status"), &params, &Patch::Apply(&body)).await {
            Ok(written) => Ok(Some(written.metadata)),
            // The only thing that an apply presupposes is the uid.
            Err(e) => {
                let live = self.too_late(e, object, "writing the status", |_| true).await?;
                Ok(live.map(|live| live.metadata))
            }
        }
    }
}
