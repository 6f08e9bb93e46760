//! The object for which a test runs the engine without a cluster.

use organization_operator::api::DeletionPolicy;
use organization_operator::domain::Subject;

/// An object with the policy `Delete`, which names the organization with this key. Its name is its uid.
pub fn subject(name: &str, key: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        uid: name.to_owned(),
        generation: 1,
        organization_id: key.to_owned(),
        policy: DeletionPolicy::Delete,
        asked: DeletionPolicy::Delete,
        rows_may_be_gone: false,
        keeps_remainder: false,
        suspended: false,
        confirmed: false,
        raise_suspected: false,
        policy_manager: None,
        state: None,
        recovery_window_seconds: 0,
        expiration: None,
        terminating_since: None,
        has_finalizer: true,
        stage: None,
        force_setting: None,
        claimed: None,
    }
}
