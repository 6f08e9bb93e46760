//! The failure behind an error of the driver. Messages are built from parts that hold no row value: never from `detail`,
//! never from the text of a driver error, whose wording changes between versions.

use sqlx::postgres::PgDatabaseError;

pub(crate) use super::during::{During, Values};
use super::sqlstate::reason;
pub(crate) use super::wording::triggers;
use super::wording::{self, Refusal};
use crate::api::Reason;
use crate::domain::Failure;

/// Something that this version of the operator cannot read, in words that hold no value. A later version wrote it, or a
/// person changed it by hand.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be read")]
pub(crate) struct Unreadable(pub(crate) &'static str);

impl From<Unreadable> for sqlx::Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::Decode(Box::new(unreadable))
    }
}

/// The failure behind a driver error.
pub(crate) fn failure(error: &sqlx::Error, during: During<'_>) -> Failure {
    let mut failure = match error {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(pg) => from_server(pg, during),
            None => Failure::new(Reason::InternalError, "the database driver reported an unknown error")
                .remedy(wording::REPORT),
        },
        sqlx::Error::Io(io) => from_socket(io, during),
        sqlx::Error::Tls(_) => untrusted("the server offers no TLS, or a certificate in the database URL is damaged"),
        sqlx::Error::PoolTimedOut => Failure::new(
            Reason::DatabaseUnavailable,
            format!("no connection to the database was free in time while {}", during.action),
        )
        .remedy("raise database.maxConnections or lower concurrency in the operator's configuration"),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => Failure::new(
            Reason::DatabaseUnavailable,
            format!("the connection to the database was closed while {}", during.action),
        )
        .remedy(wording::CHECK_THE_SERVER),
        sqlx::Error::Decode(cause) if cause.is::<Unreadable>() => unreadable(cause.as_ref(), during),
        _ => Failure::new(
            Reason::InternalError,
            format!("the database driver could not read the server's answer while {}", during.action),
        )
        .remedy(wording::REPORT),
    };
    if failure.entity.is_none() {
        failure.entity = during.entity.map(str::to_owned);
    }
    if failure.table.is_none() {
        failure.table = during.table.map(str::to_owned);
    }
    failure
}

/// A record that this version of the operator does not understand is never taken for one that does not exist.
fn unreadable(cause: &dyn std::error::Error, during: During<'_>) -> Failure {
    Failure::new(Reason::InternalError, format!("{cause} while {}: a later version of the operator wrote it, or a person changed it by hand", during.action))
        .remedy("run the newest version of the operator; if a person changed a row of the schema organization_operator by hand, correct that row")
}

/// Turns the driver's error into a failure that says what was being done.
pub(crate) trait OrFailure<T> {
    /// The value, or the failure behind the driver's error.
    ///
    /// # Errors
    /// Fails when the driver did.
    fn or_failure(self, during: During<'_>) -> Result<T, Failure>;
}

impl<T> OrFailure<T> for Result<T, sqlx::Error> {
    fn or_failure(self, during: During<'_>) -> Result<T, Failure> {
        self.map_err(|e| failure(&e, during))
    }
}

/// TLS fails as a broken socket. The words of the TLS library hold names of its errors, and nothing of a row.
fn from_socket(io: &std::io::Error, during: During<'_>) -> Failure {
    let words = if io.kind() == std::io::ErrorKind::InvalidData { io.to_string() } else { String::new() };
    if words.starts_with("invalid peer certificate") {
        return untrusted(if words.contains("UnknownIssuer") {
            "its issuer is not known"
        } else if words.contains("not valid for name") || words.contains("NotValidForName") {
            "it is for a host name other than the one in the database URL"
        } else if words.to_lowercase().contains("expired") {
            "it has expired"
        } else {
            "it cannot be verified"
        });
    }
    // The words of the system or the resolver: "Connection refused", "Name or service not known".
    let words = wording::printable(&io.to_string(), 200);
    // A missing file is one of the URL's files, or the socket of a server that does not run.
    let file = matches!(io.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied);
    Failure::new(
        Reason::DatabaseUnavailable,
        format!("the connection to the database failed while {}: {words}", during.action),
    )
    .remedy(if file { wording::CHECK_THE_FILES } else { wording::CHECK_THE_SERVER })
}

/// The server could not prove its identity. As with a refused password, only a person can clear this.
fn untrusted(why: &str) -> Failure {
    Failure::new(
        Reason::AuthenticationFailed,
        format!("the database server's TLS certificate is not trusted: {why}; nothing was sent to it"),
    )
    .remedy(wording::TRUST)
}

fn from_server(pg: &PgDatabaseError, during: During<'_>) -> Failure {
    let code = pg.code();
    let reason = match (reason(code), during.values) {
        // Anywhere else the error says nothing about the id, and must not tell a person that there is no data.
        (Reason::InvalidOrganizationId, Values::Columns) => Reason::SchemaMismatch,
        (Reason::InvalidOrganizationId, Values::Trigger) => Reason::ConstraintViolation,
        (reason, _) => reason,
    };
    let table = pg.table().map(|table| match pg.schema() {
        Some(schema) => format!("{schema}.{table}"),
        None => table.to_owned(),
    });
    let refusal = Refusal {
        reason,
        code,
        table: table.as_deref().or(during.table),
        column: pg.column(),
        constraint: pg.constraint(),
        function: pg.r#where().and_then(wording::function),
        missing: wording::missing(pg.message(), pg.routine(), pg.r#where()),
    };
    let mut failure = Failure::new(reason, format!("{} (SQLSTATE {code})", wording::message(&refusal, during)));
    failure.remedy = Some(wording::remedy(&refusal, during));
    failure.sql_state = Some(code.to_owned());
    failure.constraint = pg.constraint().map(str::to_owned);
    failure.table = table;
    failure
}
