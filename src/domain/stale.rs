//! Old requests: a deletion that was requested long before the operator first saw it may not be wanted any more. It may come
//! from a restored backup of etcd, or the operator was away.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::commands::confirm_or_keep;
use super::failure::Failure;
use super::subject::Subject;
use crate::api::Reason;

/// A deletion that is older than this when the operator first sees it is stale.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The deletion, if it is stale. `seen` is when the operator first saw it.
#[must_use]
pub fn stale_deletion(subject: &Subject, seen: Timestamp) -> Option<Failure> {
    let requested = subject.terminating_since?;
    let age = seen.duration_since(requested);
    (age > STALE_AFTER).then(|| {
        Failure::new(
            Reason::StaleDeletion,
            format!(
                "this deletion was requested at {requested:.0}, {} days before the operator first saw it, so it may not be \
                 wanted any more: a backup may have been restored, or the operator was away",
                age.as_hours() / 24
            ),
        )
        .remedy(confirm_or_keep(&subject.name, &subject.uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::subject::example;

    #[test]
    fn only_what_was_seen_late_is_stale() {
        let requested = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1000);
        let week = 7 * 24 * 3600;
        for (name, terminating_since, seen, days) in [
            ("at once", Some(requested), 0, None),
            ("a clock that is behind", Some(requested), -week * 9, None),
            ("after exactly seven days", Some(requested), week, None),
            ("a second later", Some(requested), week + 1, Some(7)),
            ("after a month", Some(requested), 30 * 24 * 3600 + 5, Some(30)),
            ("it is not being deleted", None, week * 9, None),
        ] {
            let subject = Subject { terminating_since, ..example() };
            let failure = stale_deletion(&subject, requested + SignedDuration::from_secs(seen));
            assert_eq!(failure.is_some(), days.is_some(), "{name}");
            if let Some((failure, days)) = failure.zip(days) {
                let what = failure.what();
                assert!(what.contains(&format!("1970-02-11T16:00:00Z, {days} days before")), "{name}: {what}");
                assert!(failure.remedy.is_some_and(|r| r.contains("confirm-deletion=u")), "{name}");
            }
        }
    }
}
