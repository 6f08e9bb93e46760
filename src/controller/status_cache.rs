//! The status that this process wrote last. The cache of the watch may not have received it yet, and a reconciliation that
//! compares with an old status would write the same one again.

use kube::api::ObjectMeta;

use crate::api::{Organization, OrganizationStatus};

/// The status of one object that this process wrote last, with the resource version of that write.
#[derive(Default)]
pub(super) struct StatusCache(Option<Box<(u64, OrganizationStatus)>>);

impl StatusCache {
    /// The newest status known: of the object, unless this process wrote a newer one. A write that the object has already is
    /// forgotten.
    pub(super) fn newest(&mut self, object: &Organization) -> Option<OrganizationStatus> {
        let seen = version_of(&object.metadata);
        self.0.take_if(|written| seen.is_some_and(|seen| seen >= written.0));
        match self.0.as_deref() {
            Some((_, status)) if seen.is_some() => Some(status.clone()),
            _ => object.status.clone(),
        }
    }

    /// Notes a write with the metadata that the API server returned.
    pub(super) fn note(&mut self, returned: &ObjectMeta, status: &OrganizationStatus) {
        if let Some(version) = version_of(returned) {
            self.0 = Some(Box::new((version, status.clone())));
        }
    }
}

/// Resource versions of one resource can be compared as numbers (API concepts, Resource versions; guaranteed since
/// Kubernetes 1.35, true of etcd before). One that is no number is compared with nothing.
fn version_of(object: &ObjectMeta) -> Option<u64> {
    object.resource_version.as_ref()?.parse().ok()
}
