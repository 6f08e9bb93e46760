//! The pure core: it decides what to do, and what to report. No client, no clock, no input or output.

pub mod announcement;
pub mod attempts;
pub mod breaker;
pub mod commands;
pub mod completion;
pub mod decide;
pub mod facts;
pub mod failure;
pub mod left_over;
pub mod publish;
pub mod reconciliation;
pub mod replacement;
pub mod report;
pub mod stale;
pub mod subject;
pub mod suspension;
pub mod unserved;
pub mod words;
pub mod written;

pub use failure::{Blame, Effect, Failure, PlanError};
pub use subject::Subject;
