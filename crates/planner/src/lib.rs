//! `(Plan, Catalog) -> CompiledPlan`: what an administrator declares, together with the live schema of a PostgreSQL
//! database, becomes the statements that erase one tenant, or every fault that rules them out.
//!
//! Pure: no connection, no clock, no input or output, and nothing of Kubernetes. It writes SQL text and runs none.

pub mod blocker;
pub mod captured;
pub mod cascade;
pub mod catalog;
pub mod compile;
pub mod compiled;
mod entity;
pub mod fault;
pub mod finding;
mod findings;
#[cfg(test)]
mod fixtures;
pub mod identifier;
pub mod infer;
mod limits;
pub mod nobodys;
mod order;
pub mod plan;
pub mod query;
pub mod root;
mod row_set;
pub mod statement;
pub mod step;
mod yaml;

pub use cascade::{Cascade, ErasePlan};
pub use compiled::{CompiledPlan, Verdict};
pub use fault::Faults;
pub use finding::{Finding, Kind, Severity};
pub use limits::COUNT_LIMIT;
pub use plan::Plan;
pub use query::Query;
pub use root::Root;
pub use step::StepId;
pub use yaml::scalar;
