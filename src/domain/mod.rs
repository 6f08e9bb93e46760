//! The pure core: what is to be done, and what it means. No client, no clock, no input or output.

pub mod blocker;
pub mod catalog;
pub mod compile;
pub mod decide;
mod entity;
pub mod facts;
pub mod failure;
pub mod findings;
pub mod identifier;
pub mod infer;
mod order;
pub mod plan;
pub mod replacement;
pub mod report;
pub mod settlement;
pub mod statement;
pub mod subject;

pub use compile::CompiledPlan;
pub use failure::Failure;
pub use plan::Plan;
pub use subject::Subject;
