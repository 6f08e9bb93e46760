//! An object whose `spec.database` nobody serves.

use super::explanation::Explanation;
use super::live::obstacle;
use super::sentences::{DELETION, NEXT};
use crate::api::Organization;
use crate::api::status::ErrorDetail;
use crate::domain::Subject;

pub(super) fn explain(name: &str, object: &Organization, error: &ErrorDetail) -> Explanation {
    let database = &object.spec.database;
    let mut explanation = Explanation::new(name, format!("No operator has taken up {name}: {}.", error.reason));
    explanation.needs_a_person = true;
    obstacle(&mut explanation, error);
    let subject = Subject::parse(object);
    let deletion = match (subject.has_finalizer, subject.terminating_since) {
        (false, _) => {
            "The object has no finalizer of the operator, so deleting it keeps all data, whatever its policy is."
        }
        (true, None) => "A deletion of the object waits until an operator serves its database, whatever its policy is.",
        (true, Some(_)) => "The object is being deleted, and waits for that operator, whatever its policy is.",
    };
    explanation.add(DELETION, vec![deletion.to_owned()], Vec::new());
    let next = format!("Nothing, until an operator serves the database {database}: it then continues from here.");
    explanation.add(NEXT, vec![next], Vec::new());
    explanation
}
