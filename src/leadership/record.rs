//! What a Lease says, and what this process writes into it.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

use crate::config::ElectionTimes;

/// Who holds it. Returns `None` if it is free: nobody has held it yet, or its holder has released it.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// For how long its holder leads after each renewal, in seconds.
pub(super) fn seconds(lease: &Lease) -> Option<u64> {
    lease.spec.as_ref()?.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok())
}

/// The Lease with `me` as its holder. The times in it are for people: no decision compares them with a clock.
pub(super) fn taken(before: Option<&Lease>, me: &str, times: ElectionTimes, now: Timestamp) -> Lease {
    let mut lease = before.cloned().unwrap_or_default();
    let renews = holder(&lease) == Some(me);
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if !renews {
        spec.holder_identity = Some(me.to_owned());
        spec.acquire_time = Some(MicroTime(now));
        spec.lease_transitions =
            before.map(|_| spec.lease_transitions.unwrap_or_default().saturating_add(1)).or(Some(0));
    }
    spec.lease_duration_seconds = Some(i32::try_from(times.lease_seconds).unwrap_or(i32::MAX));
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The Lease without a holder, as client-go writes it.
pub(super) fn released(before: &Lease, now: Timestamp) -> Lease {
    let mut lease = before.clone();
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_renewed_and_released() {
        let times = ElectionTimes::default();
        let at = |second| Timestamp::from_second(second).expect("a time");
        let transitions = |lease: &Lease| lease.spec.as_ref().and_then(|s| s.lease_transitions);
        let acquired = |lease: &Lease| lease.spec.as_ref().and_then(|s| s.acquire_time.clone());

        let first = taken(None, "a", times, at(1));
        assert_eq!((holder(&first), seconds(&first), transitions(&first)), (Some("a"), Some(15), Some(0)));
        let renewed = taken(Some(&first), "a", times, at(2));
        assert_eq!((acquired(&renewed), transitions(&renewed)), (acquired(&first), Some(0)));
        assert_ne!(renewed, first, "the others see the renewal");
        let free = released(&renewed, at(3));
        assert_eq!(holder(&free), None);
        let second = taken(Some(&free), "b", times, at(4));
        assert_eq!((holder(&second), transitions(&second)), (Some("b"), Some(1)));
        assert_ne!(acquired(&second), acquired(&first));
    }
}
