//! The other live objects that may name the same organization.

use std::sync::Arc;

use kube::Resource as _;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::cached::Cached;
use super::context::Context;
use super::index::plain;
use crate::domain::Subject;

/// Requeues the live objects that may name the organization of an object that was released: one of them was refused as long
/// as this one owned it, or owns it now without knowing, and should not have to wait for its next try.
pub(super) fn requeue_contenders(released: &Subject, context: &Context) {
    for object in contenders(context, &released.organization_id, &released.uid) {
        context.requeue(ObjectRef::new(&object.name_any()));
    }
}

/// The other live objects in the cache whose id may be the same value, in this spelling or another.
pub(super) fn contenders(context: &Context, id: &str, uid: &str) -> Vec<Arc<Cached>> {
    let wanted = plain(id);
    let named = context.index.naming(id).into_iter();
    let mut objects: Vec<_> = named.filter_map(|name| context.store.get(&ObjectRef::new(&name))).collect();
    objects.retain(|o| {
        o.meta().deletion_timestamp.is_none()
            && o.meta().uid.as_deref() != Some(uid)
            && plain(o.organization_id()) == wanted
    });
    objects
}
