//! What is left of an organization of which the deletion of an object that is gone has erased a part.

use super::facts::{Facts, UnderWay};
use super::failure::{Effect, Failure};
use super::subject::Subject;
use super::words::quantity;
use crate::api::reason::Reason;

/// An organization of which another object's erasure has deleted rows must not be used.
pub(super) fn left_by_another(begun: &UnderWay, key: &str) -> Failure {
    Failure::new(
        Reason::ErasureInterrupted,
        "the deletion of another object has erased a part of this organization, and that object is gone",
    )
    .rows(begun.rows())
    .effect(Effect::Partial(begun.rows()))
    .remedy(finish_or_use(key))
}

/// What is to be told of an organization of which another object's erasure has deleted rows. Returns `None` if none has.
#[must_use]
pub fn left_over(subject: &Subject, facts: &Facts) -> Option<String> {
    let theirs = |begun: &&UnderWay| subject.terminating_since.is_none() || begun.uid != subject.uid;
    let begun = facts.under_way().filter(|begun| begun.rows() > 0).filter(theirs)?;
    Some(format!(
        "The deletion of another object has erased {} of this organization, and that object is gone; {}",
        quantity(begun.rows(), "row"),
        finish_or_use(&facts.key)
    ))
}

/// What a person can do with what another object's erasure left.
fn finish_or_use(key: &str) -> String {
    format!(
        "to erase the remainder: delete this object with deletionPolicy Delete; to use what is left: {}",
        keep_remainder(key)
    )
}

/// The SQL that keeps what is left of an organization for good. The ledger then says what is gone.
#[must_use]
pub fn keep_remainder(key: &str) -> String {
    format!("SELECT * FROM organization_operator.keep_remainder({});", planner::identifier::literal(key))
}
