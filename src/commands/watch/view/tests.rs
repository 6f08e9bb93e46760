//! What a person sees, row by row.

use serde_json::{Value, json};

use super::*;

fn object(deleted: Option<i64>, status: &Value) -> Organization {
    let mut object = json!({
        "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
        "metadata": {"name": "acme", "uid": "u"},
        "spec": {"organizationId": "1", "deletionPolicy": "Delete", "database": "default"},
        "status": status,
    });
    if let Some(second) = deleted {
        object["metadata"]["deletionTimestamp"] = json!(at(second).to_string());
    }
    serde_json::from_value(object).expect("an object")
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    let time = at(0).to_string();
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": time})
}

fn deleting(stage: &str, message: &str, deletion: &Value) -> Value {
    let mut deletion = deletion.clone();
    deletion["policy"] = json!("Delete");
    json!({"deletion": deletion, "conditions": [condition("Deleting", "True", stage, message)]})
}

#[test]
fn every_state_has_its_line() {
    let pages = |waiting: Option<&str>| {
        let mut progress = json!({"rowsDeleted": 630_000, "rowsEstimated": 1_000_000, "percent": 63,
            "rowsPerSecond": 5000, "estimatedEndTime": at(200).to_string()});
        if let Some(waiting) = waiting {
            progress["waitingFor"] = json!(waiting);
        }
        deleting("Shrinking", "Rows go in pages.", &json!({"summary": "63%", "progress": progress}))
    };
    let sealed = deleting(
        "Erasing",
        "The cascade runs.",
        &json!({"summary": "Erasing", "progress": {"rowsDeleted": 9, "rowsEstimated": 9, "percent": 99}}),
    );
    let window = deleting("RecoveryWindow", "It is deactivated.", &json!({"eraseTime": at(7300).to_string()}));
    let blocked = |stalled: bool| {
        let mut status = deleting("Pending", "The deletion is blocked.", &json!({"summary": "Blocked"}));
        status["error"] = json!({"reason": "ForeignKeyViolation", "code": 409, "message": "3 rows refer to it", "remedy": "one;\ntwo;"});
        let kind = if stalled { "Stalled" } else { "Reconciling" };
        status["conditions"].as_array_mut().expect("conditions").push(condition(kind, "True", "X", "x"));
        status
    };
    let ready = json!({"conditions": [condition("DeletionReady", "False", "SchemaMismatch", "No table.")]});
    let live = "Live: The object is not being deleted. Its deletionPolicy is Delete; to delete it: kubectl delete organization acme.";
    for (deleted, status, now, line, moving, person) in [
        (None, json!({}), 0, live.to_owned(), live.trim_start_matches("Live: ").to_owned(), false),
        (
            None,
            ready,
            0,
            format!("{live} A deletion would be blocked today (SchemaMismatch): No table."),
            format!("{} A deletion would be blocked today (SchemaMismatch): No table.", live.trim_start_matches("Live: ")),
            false,
        ),
        (
            Some(0),
            json!({}),
            29,
            "Requested: The deletion was requested; no operator has taken it up yet.".to_owned(),
            "The deletion was requested; no operator has taken it up yet.".to_owned(),
            false,
        ),
        (
            Some(0),
            json!({}),
            30,
            "Requested: The deletion was requested, and no operator has taken it up: check that the one for spec.database `default` runs.".to_owned(),
            "The deletion was requested, and no operator has taken it up: check that the one for spec.database `default` runs.".to_owned(),
            false,
        ),
        (
            Some(0),
            window,
            100,
            "RecoveryWindow: It is deactivated.".to_owned(),
            "in 2 h 0 min. It is deactivated.".to_owned(),
            false,
        ),
        (
            Some(0),
            pages(None),
            137,
            "Shrinking 63%: 630,000 of about 1,000,000 rows, 5,000 rows a second, ends at about 1970-01-01T00:03:20Z".to_owned(),
            "5,000 rows/s, 1 min 3 s left".to_owned(),
            false,
        ),
        (
            Some(0),
            pages(Some("The standby `a` is late.")),
            137,
            "Shrinking 63%: 630,000 of about 1,000,000 rows, 5,000 rows a second, ends at about 1970-01-01T00:03:20Z. The standby `a` is late.".to_owned(),
            "5,000 rows/s, 1 min 3 s left. The standby `a` is late.".to_owned(),
            false,
        ),
        (Some(0), sealed, 9, "Erasing: The cascade runs.".to_owned(), "The cascade runs.".to_owned(), false),
        (
            Some(0),
            blocked(false),
            9,
            "ForeignKeyViolation: 3 rows refer to it\n  To clear it: one;\n  two;".to_owned(),
            "3 rows refer to it".to_owned(),
            false,
        ),
        (
            Some(0),
            blocked(true),
            9,
            "ForeignKeyViolation: 3 rows refer to it\n  To clear it: one;\n  two;".to_owned(),
            "3 rows refer to it".to_owned(),
            true,
        ),
    ] {
        let view = View::of(&object(deleted, &status), at(now));
        assert_eq!(view.line(), line);
        assert_eq!(view.moving(at(now)), moving, "{line}");
        assert_eq!(view.needs_a_person(), person, "{line}");
    }
}

#[test]
fn a_line_is_news_if_the_percentage_or_the_wait_changes() {
    let pages = |rows: i64, percent: i32, waits: Option<&str>| {
        let progress = json!({"rowsDeleted": rows, "rowsEstimated": 1000, "percent": percent, "waitingFor": waits});
        View::of(&object(Some(0), &deleting("Shrinking", "m", &json!({"summary": "1%", "progress": progress}))), at(1))
            .news()
    };
    assert_eq!(pages(1, 1, None), pages(2, 1, None));
    assert_ne!(pages(1, 1, None), pages(20, 2, None));
    assert_ne!(pages(1, 1, None), pages(1, 1, Some("a standby")));
}

#[test]
fn the_last_state_says_how_it_ended() {
    let done = deleting("Completed", "Gone: 7 rows.", &json!({"outcome": "Erased", "summary": "Completed"}));
    let ending = ending(&object(Some(0), &done)).expect("an outcome");
    assert_eq!((ending.outcome.as_str(), ending.note.as_str()), ("Erased", "Gone: 7 rows."));
    assert_eq!(super::ending(&object(Some(0), &deleting("Erasing", "m", &json!({})))), None);
    assert_eq!(super::ending(&object(None, &json!({}))), None);
}
