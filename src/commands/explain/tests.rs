//! What a person reads, status by status.

use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;

/// The second at which the command runs.
const NOW: i64 = 100_000;

fn at_second(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn time(second: i64) -> String {
    at_second(second).to_string()
}

/// A live object with `Delete` that the operator has claimed and seen.
fn acme() -> Value {
    json!({
        "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
        "metadata": {"name": "acme", "uid": "u", "generation": 2, "creationTimestamp": time(1000)},
        "spec": {"organizationId": "4711", "deletionPolicy": "Delete", "database": "default"},
        "status": {
            "observedGeneration": 2, "state": "Active",
            "claim": {"installation": "i", "organizationKey": "4711"},
            "inventory": {"users": 5, "total": 332, "observedTime": time(NOW - 120)},
            "conditions": [condition_of("DeletionReady", "True", "PlanComplete", "Nothing is known to block a deletion.")],
        },
    })
}

fn condition_of(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": time(0)})
}

/// The same, being deleted for an hour, at a stage.
fn deleting(stage: &str, message: &str, deletion: &Value) -> Value {
    let mut object = acme();
    object["metadata"]["deletionTimestamp"] = json!(time(NOW - 3600));
    object["status"]["deletion"] = json!({"policy": "Delete"});
    for (field, value) in deletion.as_object().into_iter().flatten() {
        object["status"]["deletion"][field] = value.clone();
    }
    push(&mut object, condition_of("Deleting", "True", stage, message));
    object
}

/// The same, with what blocks it.
fn blocked(reason: &str, stalled: bool, deletion: &Value) -> Value {
    let mut object = deleting("Pending", "The deletion is blocked.", deletion);
    object["status"]["error"] = json!({"reason": reason, "code": 409, "message": "3 rows refer to it. Nothing was deleted", "remedy": "DELETE 1;"});
    push(&mut object, condition_of("DeletionBlocked", "True", reason, "It is blocked."));
    push(&mut object, condition_of(if stalled { "Stalled" } else { "Reconciling" }, "True", reason, "x"));
    object
}

fn push(object: &mut Value, condition: Value) {
    object["status"]["conditions"].as_array_mut().expect("conditions").push(condition);
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("the parent")[field] = value;
    object
}

fn read(object: &Value) -> Organization {
    serde_json::from_value(object.clone()).expect("an object")
}

fn explained(object: &Value) -> Explanation {
    explain(&read(object), &[], &[], at_second(NOW))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of all states")]
fn every_state_is_explained() {
    let pages = json!({"progress": {"rowsDeleted": 630_000, "rowsEstimated": 1_000_000, "percent": 63,
        "rowsPerSecond": 5000, "estimatedEndTime": time(NOW + 74)}});
    let waiting =
        json!({"progress": {"rowsDeleted": 0, "rowsEstimated": 1_000_000, "percent": 0, "waitingFor": "It waits."}});
    let confirmed = json!({"organization-operator.io/confirm-deletion": "u"});
    let of_another = json!({"organization-operator.io/confirm-deletion": "another"});
    let held = || blocked("BreakerTripped", true, &json!({}));
    let in_ten = json!({"eraseTime": time(NOW + 10)});
    let expiring = with(acme(), "/spec/expirationTime", json!(time(NOW + 86_400 * 3)));
    let not_ready = {
        let mut object = acme();
        object["status"]["conditions"] = json!([condition_of("DeletionReady", "False", "SchemaMismatch", "No table")]);
        object
    };
    // What it is, the object, whether a person has to act, what has to be said, and what must not be said.
    for (name, object, person, said, unsaid) in [
        (
            "as its spec says",
            acme(),
            false,
            &[
                "acme is as its spec says.",
                "`4711` in the database `default`; its deletionPolicy is Delete.",
                "The organization is active and has 332 rows, 5 of them users, counted 2 min 0 s ago.",
                "erases the organization and all its data permanently",
                "What happens next\n  Nothing: the operator",
            ][..],
            &["blocked", "claimed", "stands in the way"][..],
        ),
        (
            "deactivated",
            with(acme(), "/status/state", json!("Deactivated")),
            false,
            &["acme is as its spec says, and the organization is deactivated."],
            &[],
        ),
        (
            "Retain",
            with(acme(), "/spec/deletionPolicy", json!("Retain")),
            false,
            &["are kept as they are (Retain)"],
            &["permanently"],
        ),
        (
            "Deactivate",
            with(acme(), "/spec/deletionPolicy", json!("Deactivate")),
            false,
            &["deactivates the organization and keeps its data"],
            &["permanently"],
        ),
        (
            "a window",
            with(acme(), "/spec/recoveryWindowSeconds", json!(86_400)),
            false,
            &["deactivates the organization at once, and erases it and all its data permanently 1 d 0 h later"],
            &[],
        ),
        (
            "a deletion would be blocked",
            not_ready.clone(),
            false,
            &["But today it would be blocked (SchemaMismatch): No table."],
            &["stands in the way"],
        ),
        (
            "and not with Retain",
            with(not_ready, "/spec/deletionPolicy", json!("Retain")),
            false,
            &["With deletionPolicy Delete, it would be blocked today"],
            &["But today"],
        ),
        (
            "it expires",
            expiring.clone(),
            false,
            &["The operator deletes the object at 1970-01-05T03:46:40Z (in 3 d 0 h) (spec.expirationTime)."],
            &["Nothing: the operator"],
        ),
        (
            "it expires while it is suspended",
            with(expiring, "/spec/suspend", json!(true)),
            false,
            &["is suspended", "unless the object is still suspended then"],
            &[],
        ),
        (
            "new",
            with(
                with(acme(), "/status", json!({"observedGeneration": -1})),
                "/metadata/creationTimestamp",
                json!(time(NOW - 5)),
            ),
            false,
            &["No operator has seen acme yet.", "within seconds"],
            &["stands in the way"],
        ),
        (
            "nobody serves it",
            with(acme(), "/status", json!({"observedGeneration": -1})),
            true,
            &[
                "No operator has seen acme yet.",
                "No operator serves objects with spec.database `default`",
                "--database default",
                "kubectl get pods",
            ],
            &[],
        ),
        ("without any status", with(acme(), "/status", json!(null)), true, &["No operator has seen acme yet."], &[]),
        (
            "a change that nobody has seen",
            with(acme(), "/metadata/generation", json!(3)),
            false,
            &["has not seen the last change"],
            &[],
        ),
        (
            "nobody serves it",
            with(
                acme(),
                "/status/error",
                json!({"reason": "DatabaseNotServed", "code": 404, "message": "no operator has taken up this object", "remedy": "add it"}),
            ),
            true,
            &["No operator has taken up acme", "add it", "Nothing, until an operator serves the database default"],
            &["tries again", "permanently"],
        ),
        (
            "no claim",
            with(acme(), "/status/claim", json!(null)),
            false,
            &["has not claimed this organization, so deleting the object would change nothing"],
            &[],
        ),
        (
            "the id was changed",
            with(acme(), "/spec/organizationId", json!("4712")),
            false,
            &["It stands for the organization `4711`"],
            &["4712"],
        ),
        (
            "not there",
            with(
                with(
                    acme(),
                    "/status/error",
                    json!({"reason": "OrganizationNotFound", "code": 404, "message": "there is none"}),
                ),
                "/status/state",
                json!("Absent"),
            ),
            false,
            &[
                "acme is not as its spec says: OrganizationNotFound.",
                "The database has no such organization.",
                "there is none.",
                "The operator waits for the organization",
            ],
            &[],
        ),
        (
            "owned by another",
            with(
                acme(),
                "/status/error",
                json!({"reason": "OrganizationClaimed", "code": 409, "message": "b owns it", "remedy": "kubectl get b"}),
            ),
            true,
            &[
                "OrganizationClaimed",
                "What clears it\n    kubectl get b",
                "kubectl annotate organization acme organization-operator.io/retry=",
            ],
            &[],
        ),
        (
            "expired",
            with(acme(), "/status/error", json!({"reason": "Expired", "code": 422, "message": "it had passed"})),
            true,
            &["Expired", "tries again when the object changes"],
            &["retry="],
        ),
        (
            "suspended",
            with(acme(), "/spec/suspend", json!(true)),
            false,
            &[
                "acme is suspended (spec.suspend).",
                "until somebody lifts the suspension",
                "{\"spec\":{\"suspend\":false}}",
            ],
            &["Nothing: the operator"],
        ),
        (
            "requested",
            with(with(acme(), "/metadata/deletionTimestamp", json!(time(NOW - 5))), "/status/deletion", json!(null)),
            false,
            &["The deletion of acme was requested at 1970-01-02T03:46:35Z (5 s ago).", "within seconds"],
            &[],
        ),
        (
            "requested, and nobody serves it",
            with(acme(), "/metadata/deletionTimestamp", json!(time(NOW - 500))),
            true,
            &["No operator serves objects", "--database default"],
            &[],
        ),
        (
            "requested, and suspended",
            with(with(acme(), "/metadata/deletionTimestamp", json!(time(NOW - 500))), "/spec/suspend", json!(true)),
            false,
            &["lifts the suspension"],
            &["No operator"],
        ),
        (
            "a successor",
            deleting("AwaitingSuccessor", "Nothing has been changed yet.", &in_ten),
            false,
            &[
                "acme is being deleted: the operator waits for another object",
                "erases the data at 1970-01-02T03:46:50Z (in 10 s).",
                "Nothing has been changed yet.",
                "requested at 1970-01-02T02:46:40Z (1 h 0 min ago)",
            ],
            &["stands in the way"],
        ),
        (
            "a window runs",
            deleting("RecoveryWindow", "To undo: kubectl patch.", &in_ten),
            false,
            &["its recovery window runs", "To undo: kubectl patch."],
            &[],
        ),
        ("draining", deleting("Draining", "x", &in_ten), false, &["open transactions to drain"], &[]),
        (
            "pages",
            deleting("Shrinking", "Rows go in pages.", &pages),
            false,
            &[
                "63% of its rows are gone",
                "630,000 of about 1,000,000 rows are gone.",
                "At 5,000 rows a second the last one goes at 1970-01-02T03:47:54Z (in 1 min 14 s).",
            ],
            &[],
        ),
        (
            "before the first page",
            deleting("Shrinking", "It waits for hours.", &waiting),
            false,
            &["it waits before its first row is deleted", "It waits for hours."],
            &[],
        ),
        ("the cascade", deleting("Erasing", "x", &json!({})), false, &["the cascade runs"], &["eraseTime"]),
        ("the second count", deleting("Verifying", "x", &json!({})), false, &["the operator counts again"], &[]),
        (
            "over",
            deleting("Completed", "Erased: 332 rows.", &json!({"outcome": "Erased"})),
            false,
            &["the deletion is completed (Erased)", "about to release the object"],
            &[],
        ),
        ("undecided", deleting("Pending", "x", &json!({})), false, &["decides what to do"], &[]),
        (
            "another policy in effect",
            with(deleting("Pending", "x", &json!({})), "/status/deletion/policy", json!("Retain")),
            false,
            &["The deletion goes by Retain"],
            &[],
        ),
        (
            "blocked",
            blocked("ForeignKeyViolation", true, &json!({"attempts": 4, "nextAttemptTime": time(NOW + 90)})),
            true,
            &[
                "The deletion of acme is blocked: ForeignKeyViolation.",
                "What stands in the way\n  3 rows refer to it. Nothing was deleted.",
                "What clears it\n    DELETE 1;",
                "It has tried at least 4 times. The operator tries again at 1970-01-02T03:48:10Z (in 1 min 30 s). To try at once:",
                "retry=",
            ],
            &["guard rail"],
        ),
        (
            "blocked, the next attempt was not written",
            blocked("ForeignKeyViolation", true, &json!({"attempts": 1, "nextAttemptTime": time(NOW - 90)})),
            true,
            &["It has tried once. The operator tries again within minutes."],
            &["ago). To try"],
        ),
        (
            "it clears by itself",
            blocked("LockTimeout", false, &json!({})),
            false,
            &["LockTimeout", "tries again soon"],
            &[],
        ),
        (
            "interrupted",
            blocked("ErasureInterrupted", true, &json!({})),
            true,
            &["ErasureInterrupted", "when the object changes"],
            &["retry="],
        ),
        (
            "held",
            held(),
            true,
            &[
                "A guard rail holds the deletion of acme back until somebody confirms it: BreakerTripped.",
                "To confirm it:",
                "kubectl organization confirm acme",
            ],
            &["tries again"],
        ),
        (
            "stale",
            blocked("StaleDeletion", true, &json!({})),
            true,
            &["StaleDeletion", "kubectl organization confirm acme"],
            &[],
        ),
        (
            "held and confirmed",
            with(held(), "/metadata/annotations", confirmed),
            false,
            &["back, and somebody has confirmed it: BreakerTripped.", "goes on soon"],
            &["organization confirm"],
        ),
        (
            "the confirmation was another's",
            with(held(), "/metadata/annotations", of_another),
            true,
            &["until somebody confirms it"],
            &[],
        ),
        (
            "held and suspended",
            with(held(), "/spec/suspend", json!(true)),
            true,
            &["BreakerTripped", "kubectl organization confirm acme", "lifts the suspension"],
            &[],
        ),
        (
            "a suspended deletion",
            with(deleting("Suspended", "x", &json!({})), "/spec/suspend", json!(true)),
            false,
            &["The deletion of acme is suspended (spec.suspend).", "goes on where it was", "\"suspend\":false"],
            &["tries again"],
        ),
    ] {
        let explanation = explained(&object);
        let text = explanation.text();
        assert_eq!(explanation.needs_a_person, person, "{name}: {text}");
        for part in said {
            assert!(text.contains(part), "{name}: {part} is missing: {text}");
        }
        for part in unsaid {
            assert!(!text.contains(part), "{name}: {part} is too much: {text}");
        }
        for sentence in explanation.sections.iter().flat_map(|section| &section.sentences) {
            assert!(sentence.ends_with(['.', ':', ';']), "{name}: no sentence: {sentence}");
        }
        assert!(!text.contains("  \n") && text.ends_with('\n'), "{name}: {text}");
    }
}

#[test]
fn every_reason_and_every_stage_is_explained() {
    use crate::api::Reason;
    for reason in Reason::ALL {
        for object in [
            blocked(reason.as_str(), reason.needs_a_person(), &json!({})),
            with(acme(), "/status/error", json!({"reason": reason, "code": 500, "message": "m", "remedy": "r"})),
        ] {
            let explanation = explained(&object);
            assert!(explanation.summary.contains(reason.as_str()), "{}", explanation.summary);
            assert_eq!(explanation.needs_a_person, reason.needs_a_person(), "{reason}");
            assert!(explanation.text().contains("\nWhat happens next\n"), "{reason}");
        }
    }
}

#[test]
fn all_causes_are_told() {
    let causes = json!([{"message": "one", "remedy": "DELETE 1;"}, {"message": "two", "remedy": "DELETE 2;"}]);
    let object = with(blocked("ForeignKeyViolation", true, &json!({})), "/status/error/causes", causes);
    let object = with(object, "/status/error/remedy", json!(null));
    let text = explained(&object).text();
    assert!(text.contains("  - one.\n  - two.\n\nWhat clears it\n    DELETE 1;\n    DELETE 2;\n"), "{text}");
}

#[test]
fn other_objects_and_events_are_told() {
    let other = |name: &str, claims: bool, deleted: bool| {
        let mut object = with(acme(), "/metadata/name", json!(name));
        object["metadata"]["uid"] = json!(name);
        if !claims {
            object["status"]["claim"] = json!(null);
        }
        if deleted {
            object["metadata"]["deletionTimestamp"] = json!(time(5));
        }
        read(&object)
    };
    let event = |second: i64, reason: &str| Noted {
        time: at_second(second),
        reason: reason.to_owned(),
        action: "Delete".to_owned(),
        note: format!("note {second}"),
    };
    let events: Vec<Noted> = (1..=9).map(|second| event(second, "RecoveryWindow")).collect();
    let unclaimed = read(&with(acme(), "/status/claim", json!(null)));
    let text = explain(&unclaimed, &[other("b", true, false), other("c", false, true)], &events, at_second(NOW)).text();
    assert!(
        text.contains("b owns the organization.\n  c names the same organization and is being deleted.\n"),
        "{text}"
    );
    assert!(
        text.contains("RecoveryWindow: note 9.") && text.contains("note 5.") && !text.contains("note 4."),
        "{text}"
    );
    let blocked = read(&blocked("LockTimeout", false, &json!({})));
    let told = explain(&blocked, &[other("b", false, false)], &[event(1, "LockTimeout")], at_second(NOW)).text();
    assert!(told.contains("b names the same organization and takes it over, unless rows are gone already."), "{told}");
    assert!(!told.contains("What happened"), "the current error stands above: {told}");
}

#[test]
fn an_object_that_is_gone_is_told_by_its_event() {
    let event = |reason: &str, action: &str| Noted {
        time: at_second(NOW - 60),
        reason: reason.to_owned(),
        action: action.to_owned(),
        note: "332 rows".to_owned(),
    };
    let events = [event("Erased", "Delete"), event("Deactivated", "Apply")];
    let text = gone("acme", &events, at_second(NOW)).expect("an Event says so").text();
    assert!(
        text.starts_with(
            "acme is gone: its deletion was completed at 1970-01-02T03:45:40Z (1 min 0 s ago) (Erased).\n"
        ),
        "{text}"
    );
    assert!(text.contains("332 rows.") && text.contains("kubectl organization history acme"), "{text}");
    let nothing = gone("acme", &events[1..], at_second(NOW)).expect_err("no Event says so").0;
    assert!(nothing.contains("there is no Organization `acme`") && nothing.contains("history acme"), "{nothing}");
}
