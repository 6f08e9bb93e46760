//! What a candidate has seen of the Lease. It measures the time since it saw the last change by its own monotonic clock, and
//! compares no clock of one machine with that of another.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::record;

/// The last change that was seen.
#[derive(Debug, Default)]
pub(super) struct Observed(Option<Change>);

#[derive(Debug)]
struct Change {
    version: Option<String>,
    at: Instant,
    /// For how long the holder leads after it.
    valid: Duration,
}

impl Observed {
    /// Whether `me` may take the Lease as it was read at `now`. `valid` applies where the Lease does not say for how long its
    /// holder leads.
    pub(super) fn is_free(&mut self, lease: Option<&Lease>, me: &str, valid: Duration, now: Instant) -> bool {
        let Some(lease) = lease else {
            // Somebody deleted it. Its holder does not know yet.
            return self.0.as_ref().is_none_or(|last| now.duration_since(last.at) >= last.valid);
        };
        let version = lease.resource_version();
        let last = match &mut self.0 {
            Some(last) if last.version == version => last,
            last => {
                let valid = record::seconds(lease).map_or(valid, Duration::from_secs);
                last.insert(Change { version, at: now, valid })
            }
        };
        match record::holder(lease) {
            None => true,
            // An attempt whose answer was lost.
            Some(holder) if holder == me => true,
            Some(_) => now.duration_since(last.at) >= last.valid,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use kube::api::ObjectMeta;

    use super::*;

    fn lease(version: &str, holder: &str) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_held_lease_is_free_when_it_has_not_changed_for_as_long_as_it_says() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut observed = Observed::default();
        let mut free =
            |lease: Option<&Lease>, seconds| observed.is_free(lease, "me", Duration::from_mins(1), at(seconds));
        // However old it is: nobody knows that yet.
        assert!(!free(Some(&lease("1", "other")), 0));
        assert!(!free(Some(&lease("1", "other")), 14));
        assert!(!free(Some(&lease("2", "other")), 16), "it was renewed");
        assert!(!free(Some(&lease("2", "other")), 30));
        assert!(free(Some(&lease("2", "other")), 31));
        assert!(free(Some(&lease("3", "me")), 32), "an attempt whose answer was lost");
        assert!(!free(Some(&lease("4", "third")), 33), "somebody else was faster");
        assert!(free(Some(&lease("5", "")), 34), "it was released");
    }

    #[test]
    fn a_lease_that_was_deleted_is_free_when_its_holder_must_have_noticed() {
        let start = Instant::now();
        let mut observed = Observed::default();
        let valid = Duration::from_mins(1);
        assert!(observed.is_free(None, "me", valid, start), "the first of all");
        assert!(!observed.is_free(Some(&lease("1", "other")), "me", valid, start));
        assert!(!observed.is_free(None, "me", valid, start + Duration::from_secs(14)));
        assert!(observed.is_free(None, "me", valid, start + Duration::from_secs(15)));
    }
}
