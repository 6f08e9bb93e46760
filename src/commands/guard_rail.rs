//! Which deletions a guard rail holds back, as their status says.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition;
use crate::api::{CONFIRM_DELETION, Organization, Reason};

/// A deletion that a guard rail holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The guard rail.
    pub(super) reason: Reason,
    /// A person has confirmed the deletion of this very object, and the operator has not gone on yet.
    pub(super) confirmed: bool,
}

/// Which guard rail holds the deletion of this object back. `None` if none does.
pub(super) fn held(object: &Organization) -> Option<Held> {
    object.metadata.deletion_timestamp.as_ref()?;
    let status = object.status.as_ref()?;
    let blocked = |c: &&Condition| c.type_ == condition::DELETION_BLOCKED && c.status == "True";
    let condition = status.conditions.iter().find(blocked)?;
    let rails = [Reason::BreakerTripped, Reason::StaleDeletion];
    let reason = rails.into_iter().find(|reason| reason.as_str() == condition.reason)?;
    let confirmation = object.metadata.annotations.as_ref().and_then(|all| all.get(CONFIRM_DELETION));
    Some(Held { reason, confirmed: confirmation.is_some() && confirmation == object.metadata.uid.as_ref() })
}
