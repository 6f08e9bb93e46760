//! The servers of a database URL, and which of them is used.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::error::{During, failure};
use super::statement::own;
use super::url::{self, Target};
use crate::api::Reason;
use crate::domain::Failure;

/// The servers of a URL.
pub(super) struct Servers {
    /// The URL.
    pub(super) text: String,
    /// What the URL says.
    pub(super) target: Target,
    /// The server that is used. `None` if it still has to be found among several.
    pub(super) chosen: Option<usize>,
}

impl Servers {
    pub(super) fn new(text: String) -> Result<Self, Failure> {
        let target = url::parse(&text)?;
        let chosen = (target.endpoints.len() == 1).then_some(0);
        Ok(Self { text, target, chosen })
    }

    /// The server that is used, if one was found.
    pub(super) fn endpoint(&self) -> Option<&Arc<PgConnectOptions>> {
        self.chosen.and_then(|index| self.target.endpoints.get(index))
    }

    /// Whether the URL names more than one.
    pub(super) const fn several(&self) -> bool {
        self.target.endpoints.len() > 1
    }
}

/// Opens a connection.
pub(super) async fn open(endpoint: &PgConnectOptions) -> Result<PgConnection, Failure> {
    PgConnection::connect_with(endpoint).await.map_err(|e| while_connecting(endpoint, &e))
}

/// A failure to connect, which says to which server.
pub(super) fn while_connecting(endpoint: &PgConnectOptions, error: &sqlx::Error) -> Failure {
    failure(error, During::action(&format!("connecting to {}", url::name(endpoint))))
}

/// Fails unless the server of the session accepts writes.
pub(super) async fn accepts_writes(connection: &mut PgConnection, endpoint: &PgConnectOptions) -> Result<(), Failure> {
    let answer = own("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean")
        .fetch_one(connection)
        .await
        .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let (why, remedy) = match answer.map_err(|e| while_connecting(endpoint, &e))? {
        (true, _) => (
            "it is a standby",
            "put the primary into the database URL, or promote one of its servers: SELECT pg_promote();",
        ),
        (false, true) => (
            "it is read-only",
            "SHOW default_transaction_read_only; -- then switch it off; the operator continues by itself",
        ),
        (false, false) => return Ok(()),
    };
    let message = format!("the database server {} does not accept writes: {why}", url::name(endpoint));
    Err(Failure::new(Reason::DatabaseUnavailable, message).remedy(remedy))
}

/// What all servers of a URL answered. The reason is that of the first one that needs a person.
pub(super) fn none_usable(refusals: Vec<Failure>) -> Failure {
    let answers: Vec<String> = refusals.iter().map(Failure::message).collect();
    let message = format!("the operator can use no server of the database URL: {}", answers.join("; "));
    let worst = refusals.into_iter().reduce(|worst, next| if worst.reason.needs_a_person() { worst } else { next });
    match worst {
        Some(failure) => failure.retold(message),
        None => Failure::new(Reason::DatabaseUnavailable, message),
    }
}
