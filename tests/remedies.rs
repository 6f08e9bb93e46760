//! "Remedies can be pasted": each situation is made for real, the remedy is taken as the operator prints it, `psql` runs it
//! word for word, and what it was for is gone. A `SELECT` prints the rows that were said, and what a person then decides
//! clears it.

mod failures;
mod plan;
mod privileges;
mod rows;
mod schema;
mod situation;
mod stage;

use crate::support::Test;

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    [schema::tests(), rows::tests(), privileges::tests(), plan::tests(), failures::tests()].concat()
}
