//! Runs the cascade of a compiled plan.

mod count;
mod not_found;
