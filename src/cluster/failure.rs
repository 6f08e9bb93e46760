//! What a failed call to the API server means: its words go into the failure, its whole chain of causes into the log.

use std::error::Error;
use std::fmt::Write as _;

use kube::core::Status;

use crate::api::Reason;
use crate::api::condition::truncate;
use crate::domain::Failure;

/// Longest part of a failure that another program wrote, in bytes.
const WORDS_LIMIT: usize = 1024;

/// A failed call as a person needs to read it. `doing` is what the operator was doing: "reading the object".
///
/// It says nothing about the data: the caller knows what was done before.
pub(super) fn failure(error: &kube::Error, doing: &str) -> Failure {
    log(error, doing);
    match error {
        kube::Error::Api(status) => refused(status, doing),
        _ => Failure::new(
            Reason::InternalError,
            format!("the API server gave no usable answer while {doing}: {}", innermost(error)),
        )
        .remedy(
            "check that the API server runs and that the operator can reach it; the operator's log shows every cause",
        ),
    }
}

/// A failed call of a command that a person runs, with the person's own rights.
pub(super) fn failure_of_person(error: &kube::Error, doing: &str) -> Failure {
    match error {
        kube::Error::Api(status) if refusal(status) == Refusal::Rights => Failure::new(
            Reason::PermissionDenied,
            format!("the API server does not allow {doing}: {}", words(&status.message)),
        )
        .remedy("ask for one of the roles of deploy/base/roles-for-people.yaml: organization-viewer reads, organization-editor also creates and changes objects, organization-eraser also sets deletionPolicy Delete"),
        kube::Error::Api(status) if refusal(status) == Refusal::Admission => Failure::new(
            Reason::AdmissionDenied,
            format!("an admission policy or webhook of the cluster refused {doing}: {}", words(&status.message)),
        ),
        _ => failure(error, doing),
    }
}

/// One line with every cause of a failed call.
pub(super) fn log(error: &kube::Error, doing: &str) {
    tracing::warn!(error = chain(error), "a call to the API server failed while {doing}");
}

fn refused(status: &Status, doing: &str) -> Failure {
    let words = words(&status.message);
    match refusal(status) {
        Refusal::Rights => Failure::new(
            Reason::PermissionDenied,
            format!("the API server does not allow the operator's request while {doing}: {words}"),
        )
        .remedy("apply deploy/base, which holds the operator's ClusterRole"),
        Refusal::Admission => Failure::new(
            Reason::AdmissionDenied,
            format!("an admission policy or webhook of the cluster refused {doing}: {words}"),
        )
        .remedy(
            "change the policy or webhook that the message names so that it lets the operator's ServiceAccount do this",
        ),
        Refusal::Other => Failure::new(
            Reason::InternalError,
            format!("the API server answered {} {} while {doing}: {words}", status.code, status.reason),
        ),
    }
}

/// Why the API server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The authorizer: a right is missing.
    Rights,
    /// Admission: a policy, a webhook or a built-in plugin.
    Admission,
    /// Anything else.
    Other,
}

/// Authorizer and admission answer with the same status, and policies choose theirs, so only the text tells them apart:
/// `User "u" cannot patch resource` (apiserver, `responsewriters.Forbidden`), `denied the request` (webhooks,
/// `ToStatusErr`), `denied request` (`ValidatingAdmissionPolicy`). Whatever else is 403 comes from an admission plugin.
fn refusal(status: &Status) -> Refusal {
    let says = |text| status.message.contains(text);
    if says("denied the request") || says("denied request") {
        Refusal::Admission
    } else if status.code != 403 {
        Refusal::Other
    } else if says("User \"") && says(" cannot ") {
        Refusal::Rights
    } else {
        Refusal::Admission
    }
}

/// The words of the API server on one line, never too many.
fn words(message: &str) -> String {
    let text: Vec<&str> = message.split_whitespace().collect();
    if text.is_empty() { "without a message".to_owned() } else { truncate(text.join(" "), WORDS_LIMIT) }
}

/// The last cause: what the system or the TLS library said.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    words(&last.to_string())
}

/// An error with all its causes. Many repeat their cause in their own text; it is not repeated here.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Status {
        Status { code, ..Status::failure(message, "Forbidden") }
    }

    #[test]
    fn a_missing_right_is_not_a_refusal_by_a_policy() {
        let rights = "organizations.organization-operator.io \"acme\" is forbidden: User \"system:serviceaccount:a:b\" cannot patch resource \"organizations\" in API group \"organization-operator.io\" at the cluster scope";
        assert_eq!(refusal(&status(403, rights)), Refusal::Rights);
        let webhook =
            "admission webhook \"validate.kyverno.svc\" denied the request: User \"u\" cannot do this on a Friday";
        assert_eq!(refusal(&status(403, webhook)), Refusal::Admission);
        assert_eq!(refusal(&status(400, webhook)), Refusal::Admission);
        let policy = "organizations.organization-operator.io \"acme\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'freeze' denied request: not on a Friday";
        assert_eq!(refusal(&status(422, policy)), Refusal::Admission);
        assert_eq!(refusal(&status(403, "organizations \"acme\" is forbidden: exceeded quota")), Refusal::Admission);
        assert_eq!(refusal(&status(422, "Organization \"acme\" is invalid: status.state")), Refusal::Other);
    }

    #[test]
    fn the_words_of_the_server_are_kept_and_bounded() {
        let failure =
            refused(&status(422, &format!("policy denied request: {}", "x".repeat(5000))), "writing the status");
        assert!(failure.message().contains("policy denied request: xxx"), "{failure}");
        assert!(failure.message().len() < 1200, "{}", failure.message().len());
        assert_eq!(words(" two\n lines "), "two lines");
    }

    #[test]
    fn the_chain_has_every_cause_once_and_the_failure_the_last_one() {
        let io = std::io::Error::other("Connection refused (os error 111)");
        let error = kube::Error::Service(Box::new(Outer(io)));
        assert_eq!(chain(&error), "ServiceError: tcp connect error: Connection refused (os error 111)");
        let failure = failure(&error, "reading the object");
        assert!(
            failure.message().ends_with("while reading the object: Connection refused (os error 111)"),
            "{failure}"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("tcp connect error")]
    struct Outer(#[source] std::io::Error);
}
