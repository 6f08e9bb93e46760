//! Writes status by server-side apply.

use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
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
    /// Writes the status of exactly this object. Returns the object as the API server has it now, or `None` if it is gone or
    /// another one has its name: then it needs no status.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn write_status(
        &self,
        object: &Organization,
        status: &OrganizationStatus,
    ) -> Result<Option<Organization>, Failure> {
        let name = object.name_any();
        let uid = object.uid().unwrap_or_default();
        let body = Body {
            api_version: format!("{GROUP}/v1alpha1"),
            kind: "Organization",
            metadata: Metadata { name: &name, uid: &uid },
            status,
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.organizations.patch_status(&name, &params, &Patch::Apply(&body)).await {
            Ok(written) => Ok(Some(written)),
            // The only thing that an apply presupposes is the uid.
            Err(e) => self.too_late(e, object, "writing the status", |_| true).await,
        }
    }
}
