//! The API server. This is the only place that writes to it.

mod confirm;
mod create;
mod event;
mod failure;
mod fence;
mod finalizer;
pub mod follow;
mod lease;
pub mod list;
mod status;

pub(crate) use failure::chain;
pub use fence::Fence;
pub use lease::Leases;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::Mutex;

use crate::api::{CRD_NAME, Organization, Reason};
use crate::domain::Failure;
use failure::failure;

/// How long a read of the `CustomResourceDefinition` answers for other deletions, too.
const CRD_FRESH: Duration = Duration::from_millis(500);

/// A client for Organizations and what belongs to them.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    organizations: Api<Organization>,
    /// Name of this process in Events.
    instance: String,
    /// When the last read of the `CustomResourceDefinition` began, and whether it was being deleted.
    crd: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Cluster {
    /// Wraps a client. `instance` names this process in Events.
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        Self { organizations: Api::all(client.clone()), client, instance, crd: Arc::default() }
    }

    /// The uid of the namespace `kube-system`, which identifies a cluster.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked.
    pub async fn id(&self) -> Result<String, Failure> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces
            .get_metadata("kube-system")
            .await
            .map_err(|e| failure(&e, "reading the namespace kube-system"))?;
        found.metadata.uid.ok_or_else(|| Failure::new(Reason::InternalError, "kube-system has no uid"))
    }

    /// The object as it is now, read past every cache.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked. A failure is never taken for an absence.
    pub async fn live(&self, name: &str) -> Result<Option<Organization>, Failure> {
        self.organizations.get_opt(name).await.map_err(|e| failure(&e, "reading the object"))
    }

    /// Objects that name this id, in this spelling, for this database; read past every cache.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked. A failure is never taken for an absence.
    pub async fn objects_naming(&self, id: &str, database: &str) -> Result<Vec<Organization>, Failure> {
        let selector =
            format!("spec.organizationId={},spec.database={}", escape_selector(id), escape_selector(database));
        let guarded: Api<DeserializeGuard<Organization>> = Api::all(self.client.clone());
        let list = guarded
            .list(&ListParams::default().fields(&selector))
            .await
            .map_err(|e| failure(&e, "listing objects for the same organization"))?;
        list.items.into_iter().map(|object| object.0.map_err(|e| unreadable(&e))).collect()
    }

    /// Whether the `CustomResourceDefinition` is being deleted, or gone: then nobody asked to erase tenants. Many deletions
    /// at once share a read that began at most [`CRD_FRESH`] before they asked, and after the object was seen terminating:
    /// whoever deletes the definition deletes the objects after it.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked.
    pub async fn crd_terminating(&self, object_terminating_since: Instant) -> Result<bool, Failure> {
        let asked = Instant::now();
        let mut last = self.crd.lock().await;
        if let Some((began, terminating)) = *last
            && began >= object_terminating_since
            && asked.saturating_duration_since(began) <= CRD_FRESH
        {
            return Ok(terminating);
        }
        let began = Instant::now();
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let crd =
            crds.get_metadata_opt(CRD_NAME).await.map_err(|e| failure(&e, "reading the CustomResourceDefinition"))?;
        let terminating = crd.is_none_or(|c| c.metadata.deletion_timestamp.is_some());
        *last = Some((began, terminating));
        Ok(terminating)
    }

    /// Whether the API server serves Organizations; not before the `CustomResourceDefinition` is there.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked, or forbids it.
    pub async fn serves_organizations(&self) -> Result<bool, Failure> {
        match self.organizations.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(s)) if s.is_not_found() => Ok(false),
            Err(e) => Err(failure(&e, "listing Organizations")),
        }
    }

    /// Deletes the object whose expiration has passed. Only this very object, as it was read: uid and version are
    /// preconditions. Returns `false` if it has changed since: then nobody knows yet whether it should still be deleted.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn delete_expired(&self, object: &Organization) -> Result<bool, Failure> {
        let as_read = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
        let params = DeleteParams { preconditions: Some(as_read), ..DeleteParams::background() };
        match self.organizations.delete(&object.name_any(), &params).await {
            Ok(_) => Ok(true),
            Err(e) => {
                let as_read = |live: &Organization| live.resource_version() == object.resource_version();
                self.too_late(e, object, "deleting the expired object", as_read).await.map(|_| false)
            }
        }
    }

    /// Distinguishes a write that came too late from one that was refused. Both can have the same status: a policy chooses
    /// its own. So the object is read again, and if `stands` finds in it all that the write presupposed, the API server
    /// refused for another reason. Otherwise the object is returned as it is now, or `None` if it is gone or another one has
    /// its name.
    async fn too_late(
        &self,
        error: kube::Error,
        object: &Organization,
        doing: &str,
        stands: impl Fn(&Organization) -> bool,
    ) -> Result<Option<Organization>, Failure> {
        match &error {
            kube::Error::Api(s) if matches!(s.code, 404 | 409 | 422) => {}
            _ => return Err(failure(&error, doing)),
        }
        // The second failure hides the first one, so the first one is logged.
        let live = self.live(&object.name_any()).await.inspect_err(|_| failure::log(&error, doing))?;
        match live.filter(|live| live.uid() == object.uid()) {
            Some(live) if stands(&live) => Err(failure(&error, doing)),
            changed => Ok(changed),
        }
    }
}

/// An object that this version of the operator cannot read may name any organization.
fn unreadable(object: &InvalidObject) -> Failure {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    Failure::new(
        Reason::InternalError,
        format!("the object {name} names the same organization, and this version of the operator cannot read it"),
    )
    .remedy(format!("read it with kubectl get organization {name} -o yaml, then correct it or remove it"))
}

/// Field selectors escape backslash, comma and equals sign with a backslash (apimachinery, `fields.EscapeValue`).
fn escape_selector(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

#[cfg(test)]
mod tests {
    use super::escape_selector;

    #[test]
    fn selectors_are_escaped() {
        assert_eq!(escape_selector(r"a,b=c\d"), r"a\,b\=c\\d");
    }
}
