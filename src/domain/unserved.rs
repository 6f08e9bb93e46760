//! An object whose `spec.database` nobody serves: what its status says, and since when it says so.

use k8s_openapi::jiff::Timestamp;

use super::announcement::Announcement;
use super::attempts::Attempts;
use super::failure::Failure;
use super::publish::publication;
use super::reconciliation::{Observed, Reconciliation};
use super::report::sentences::Waits;
use super::report::status::worth_writing;
use super::subject::Subject;
use crate::api::status::OrganizationStatus;
use crate::api::{Organization, Reason};

/// Whether no operator has observed the object as it is now. Whoever serves it does so within seconds, and then this operator
/// says nothing: another instance may serve databases that this one does not know.
#[must_use]
pub fn is_unobserved(object: &Organization) -> bool {
    let Some(status) = &object.status else { return true };
    let own = status.error.as_ref().is_some_and(|error| error.reason == Reason::DatabaseNotServed);
    own || status.observed_generation < object.metadata.generation
}

/// What to publish about such an object: Events, and the status if it says anything new. All that an operator which served the
/// object has said about the organization and its deletion stays: whoever serves it next goes by that.
#[must_use]
pub fn unserved(
    object: &Organization,
    served: &[String],
    waits: &Waits,
    now: Timestamp,
) -> (Vec<Announcement>, Option<OrganizationStatus>) {
    let (subject, previous) = (Subject::parse(object), object.status.as_ref());
    let failure = not_served(&object.spec.database, served);
    let reconciliation = Reconciliation::failed(&subject, Observed::default(), failure);
    let published = publication(&subject, previous, &reconciliation, Attempts::default(), waits, now);
    let status = published.status.map(|status| OrganizationStatus {
        deletion: previous.and_then(|before| before.deletion.clone()).or(status.deletion),
        ..status
    });
    (published.events, status.filter(|status| worth_writing(previous, status)))
}

fn not_served(database: &str, served: &[String]) -> Failure {
    Failure::new(
        Reason::DatabaseNotServed,
        format!(
            "no operator has taken up this object: its spec.database is `{database}`, and this operator serves {}",
            served.join(", ")
        ),
    )
    .remedy(format!(
        "add `{database}` to databases in the operator's configuration, or run an instance with --database {database}; if the name \
         is a mistake, create the object again with the right spec.database"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::api::condition;

    const WAITS: Waits = Waits { backoff: Duration::from_mins(1), slow: Duration::from_mins(15) };

    fn object(generation: i64, status: &Value) -> Organization {
        serde_json::from_value(json!({
            "apiVersion": "organization-operator.io/v1alpha1",
            "kind": "Organization",
            "metadata": {"name": "acme", "uid": "u", "generation": generation},
            "spec": {"organizationId": "4711", "database": "asia"},
            "status": status,
        }))
        .expect("an object")
    }

    fn served(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_somebody_has_observed_is_served() {
        for (name, generation, status, unobserved) in [
            ("created", 1, json!({"observedGeneration": -1}), true),
            ("without a status", 1, Value::Null, true),
            ("observed", 3, json!({"observedGeneration": 3}), false),
            ("changed since", 4, json!({"observedGeneration": 3}), true),
            (
                "reported before",
                3,
                json!({"observedGeneration": 3, "error": {"reason": "DatabaseNotServed", "code": 404, "message": "m"}}),
                true,
            ),
        ] {
            assert_eq!(is_unobserved(&object(generation, &status)), unobserved, "{name}");
        }
    }

    #[test]
    fn the_status_names_the_database_and_who_does_not_serve_it() {
        let created = object(1, &json!({"observedGeneration": -1}));
        let (events, status) = unserved(&created, &served(&["eu", "us"]), &WAITS, Timestamp::UNIX_EPOCH);
        let status = status.expect("news");
        let ready = status.conditions.iter().find(|c| c.type_ == condition::READY).expect("Ready");
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "DatabaseNotServed"));
        for part in ["`asia`", "serves eu, us", "--database asia"] {
            assert!(ready.message.contains(part), "{part}: {}", ready.message);
        }
        assert!(status.conditions.iter().any(|c| c.type_ == condition::STALLED), "a person has to act");
        assert_eq!(status.observed_generation, Some(1));
        assert_eq!(events.len(), 1);

        let reported = Organization { status: Some(status), ..created };
        let again = unserved(&reported, &served(&["eu", "us"]), &WAITS, Timestamp::UNIX_EPOCH);
        assert_eq!(again, (Vec::new(), None), "nothing new");
        let (_, status) = unserved(&reported, &served(&["eu"]), &WAITS, Timestamp::UNIX_EPOCH);
        assert!(status.expect("the list is another one").error.expect("error").message.contains("serves eu"));
    }

    #[test]
    fn what_was_said_before_about_the_organization_stays() {
        let before = json!({
            "observedGeneration": 1,
            "state": "Deactivated",
            "claim": {"organizationKey": "4711", "installation": "i"},
            "deletion": {"policy": "Delete", "progress": {"rowsDeleted": 7, "rowsEstimated": 9, "percent": 77}},
        });
        let mut deleted = object(2, &before);
        deleted.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        deleted.metadata.finalizers = Some(vec![crate::api::FINALIZER.to_owned()]);
        let was = deleted.status.clone().expect("a status");
        assert!(was.deletion.as_ref().is_some_and(|d| d.progress.is_some()));
        let (_, status) = unserved(&deleted, &served(&["eu"]), &WAITS, Timestamp::UNIX_EPOCH);
        let status = status.expect("news");
        assert_eq!((status.state, status.claim, status.deletion), (was.state, was.claim, was.deletion));
    }
}
