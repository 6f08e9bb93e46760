//! Runs an erase plan against the database: to erase, to count again, to rehearse, and to see what would block.

mod attempt;
mod capture;
mod changed;
mod count;
mod delete;
pub mod erase;
pub mod examine;
mod exclusive;
pub mod interrupt;
pub mod nobodys_rows;
mod not_found;
mod partition;
mod preflight;
pub mod preview;
pub mod quick_check;
mod recount;
pub mod rehearse;
mod run;
mod schema;
mod scratch;
pub mod shrink;
pub mod step;
pub mod verify;
mod written;
