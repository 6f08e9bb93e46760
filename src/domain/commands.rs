//! The commands with which a person goes on, as messages and remedies name them.

use crate::api::{CONFIRM_DELETION, DeletionPolicy};

/// The command that ends a deletion and keeps the data.
#[must_use]
pub fn keep_data(name: &str) -> String {
    set_policy(name, DeletionPolicy::Retain)
}

/// The command that sets a policy.
pub(super) fn set_policy(name: &str, policy: DeletionPolicy) -> String {
    let policy = policy.as_str();
    format!("kubectl patch organization {name} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"{policy}\"}}}}'")
}

/// The command that lifts a suspension.
#[must_use]
pub fn resume(name: &str) -> String {
    format!("kubectl patch organization {name} --type merge -p '{{\"spec\":{{\"suspend\":false}}}}'")
}

/// The commands of which one ends the wait for a confirmation.
pub(super) fn confirm_or_keep(name: &str, uid: &str) -> String {
    format!(
        "to erase the organization: kubectl annotate organization {name} --overwrite {CONFIRM_DELETION}={uid}; to keep it: {}",
        keep_data(name)
    )
}
