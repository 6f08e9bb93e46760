//! How a reconciliation becomes status: one file for each part of it, and one for the sentences.

mod conditions;
pub mod deletion;
pub mod error;
pub mod progress;
pub mod sentences;
pub mod status;

pub use error::error_detail;
pub use sentences::Waits;

#[cfg(test)]
mod tests;
