//! The status that this process wrote last. The cache of the watch may not have received it yet, and a reconciliation that
//! compares with an old status would write the same one again.

use kube::api::ObjectMeta;

use crate::api::{Organization, OrganizationStatus};

/// The status of one object that this process wrote last, with the resource version of that write.
#[derive(Default)]
pub(super) struct StatusCache(Option<Box<(u64, OrganizationStatus)>>);

impl StatusCache {
    /// The newest status known: of the object, unless this process wrote a newer one.
    pub(super) fn newest(&self, object: &Organization) -> Option<OrganizationStatus> {
        match self.0.as_deref() {
            Some((version, status)) if version_of(&object.metadata).is_some_and(|seen| seen < *version) => {
                Some(status.clone())
            }
            _ => object.status.clone(),
        }
    }

    /// Notes a write with the metadata that the API server returned.
    pub(super) fn note(&mut self, returned: &ObjectMeta, status: &OrganizationStatus) {
        if let Some(version) = version_of(returned) {
            self.0 = Some(Box::new((version, status.clone())));
        }
    }

    /// Forgets the write once the watch has sent it, or a later one.
    pub(super) fn sent(&mut self, version: &str) {
        let sent = |sent: u64| self.0.as_deref().is_some_and(|(version, _)| *version <= sent);
        if version.parse().is_ok_and(sent) {
            self.0 = None;
        }
    }
}

/// Resource versions of one resource can be compared as numbers (API concepts, Resource versions; guaranteed since
/// Kubernetes 1.35, true of etcd before). One that is no number is compared with nothing.
fn version_of(object: &ObjectMeta) -> Option<u64> {
    object.resource_version.as_ref()?.parse().ok()
}
