//! PostgreSQL: connections, transactions, the organization's own row, and the words for what the server refuses.
//!
//! `db <- catalog, store <- cascade`: only these name sqlx. Every transaction sets its own `row_security`, timeouts and
//! locks, so a transaction pooler in between is fine, and statements are never left prepared on the server.

pub mod connect;
mod during;
pub(crate) mod error;
mod lock_holder;
pub(crate) mod organization;
mod pool;
mod servers;
mod sqlstate;
pub(crate) mod statement;
pub mod tenants;
pub(crate) mod transaction;
mod url;
pub mod url_source;
mod wording;

pub use connect::{Database, Settings};
pub use url_source::UrlSource;
