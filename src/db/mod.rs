//! The database. This is the only place that names sqlx.
//!
//! Every transaction sets its own `row_security`, timeouts and locks, so a transaction pooler in between is fine, and
//! statements are never left prepared on the server.

pub mod activate;
pub(crate) mod bind;
mod blocking;
pub mod catalog;
pub mod claim;
pub mod connect;
pub mod error;
pub mod ledger;
pub mod migrate;
pub mod observe;
mod properties;
pub mod settle;
pub mod survey;
mod url;
pub(crate) mod wording;

pub use connect::{Database, Settings, UrlSource};

/// Who acts, for claims and the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Id of this cluster.
    pub cluster: &'a str,
    /// The object.
    pub subject: &'a crate::domain::Subject,
    /// The organization's key in canonical text.
    pub key: &'a str,
}
