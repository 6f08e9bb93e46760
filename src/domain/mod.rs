//! The pure core: what is to be done, and what it means. No client, no clock, no input or output.

pub mod completion;
pub mod decide;
pub mod facts;
pub mod failure;
pub mod replacement;
pub mod report;
pub mod subject;

pub use failure::{Blame, Effect, Failure, PlanError};
pub use subject::Subject;
