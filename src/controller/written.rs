//! The statuses that this process wrote. The cache of the watch may not have heard of them yet, and a pass that compares
//! with an old status would write the same one again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt as _;

use crate::api::{Organization, OrganizationStatus};

#[derive(Default)]
pub(super) struct Written(Mutex<HashMap<String, (u64, OrganizationStatus)>>);

impl Written {
    /// The newest status known: of the object, unless this process wrote a newer one.
    pub(super) fn newest(&self, object: &Organization) -> Option<OrganizationStatus> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match written.get(&object.uid().unwrap_or_default()) {
            Some((version, status)) if version_of(object).is_some_and(|seen| seen < *version) => Some(status.clone()),
            _ => object.status.clone(),
        }
    }

    /// Notes a write by the object that the API server returned.
    pub(super) fn note(&self, returned: &Organization, status: &OrganizationStatus) {
        let Some(version) = version_of(returned) else { return };
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(returned.uid().unwrap_or_default(), (version, status.clone()));
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| exists(uid));
    }
}

/// Resource versions of one resource can be compared as numbers (API concepts, Resource versions; guaranteed since
/// Kubernetes 1.35, true of etcd before). One that is no number is compared with nothing.
fn version_of(object: &Organization) -> Option<u64> {
    object.resource_version()?.parse().ok()
}
