//! The other live objects that may name the same organization.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::api::Organization;
use crate::domain::Subject;

/// Requeues the live objects that may name the organization of an object that was released: one of them was refused as long
/// as this one owned it, or owns it now without knowing, and should not have to wait for its next try.
pub(super) fn requeue_contenders(released: &Subject, context: &Context) {
    for object in contenders(context, &released.organization_id, &released.uid) {
        context.requeue(ObjectRef::from_obj(object.as_ref()));
    }
}

/// The other live objects in the cache whose id may be the same value in another spelling.
pub(super) fn contenders(context: &Context, id: &str, uid: &str) -> Vec<Arc<Organization>> {
    let wanted = plain(id);
    let mut objects = context.store.state();
    objects.retain(|o| {
        o.metadata.deletion_timestamp.is_none()
            && o.metadata.uid.as_deref() != Some(uid)
            && (o.spec.organization_id == id || plain(&o.spec.organization_id) == wanted)
    });
    objects
}

/// What two spellings of one id have in common: only letters and digits count, in any case, and leading zeros do not.
fn plain(id: &str) -> String {
    let kept: String = id.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    kept.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn spellings_of_one_id_are_alike() {
        assert_eq!(plain("AC3E0000-0000-4000-8000-000000000001"), plain("{ac3e0000000040008000000000000001}"));
        assert_eq!(plain("0042"), plain("42"));
        assert_ne!(plain("acme"), plain("globex"));
    }
}
