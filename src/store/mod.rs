//! The operator's own tables, in the schema `organization_operator`: who owns which organization, how deletions ended, and
//! the ends of a deletion that delete nothing. Each end is one transaction that reads the ledger first and writes it last,
//! so that a repetition after a crash changes nothing.

pub(crate) mod captured_keys;
pub(crate) mod claim;
mod deactivate;
pub mod deletions;
mod enforce;
pub(crate) mod erasures;
pub mod history;
pub mod installation;
pub(crate) mod ledger;
pub mod migrations;
mod observe;
pub mod partly_erased;
mod recovery_window;
pub mod retain;
pub mod standbys;
mod transfer;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::db::statement::own;
use crate::domain::Subject;

/// Who acts, for claims and the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Id of this cluster.
    pub cluster: &'a str,
    /// The object.
    pub subject: &'a Subject,
    /// The organization's key in canonical text.
    pub key: &'a str,
}

impl<'a> Actor<'a> {
    /// A statement about the object: its first two values are the cluster and the object's uid.
    fn own(self, sql: &'static str) -> Query<'a, Postgres, PgArguments> {
        own(sql).bind(self.cluster).bind(&self.subject.uid)
    }
}
