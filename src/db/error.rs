//! What an SQLSTATE means. Messages are built from parts that hold no row value: never from `detail`, never from the
//! text of a driver error, whose wording changes between versions.

use sqlx::postgres::PgDatabaseError;

use super::bind::Unreadable;
use super::wording::{self, Refusal};
use crate::api::Reason;
use crate::domain::Failure;

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct During<'a> {
    /// In words: `deleting`, `counting`.
    pub action: &'a str,
    /// Entity of the plan.
    pub entity: Option<&'a str>,
    /// Table.
    pub table: Option<&'a str>,
    /// What a value that cannot be converted comes from.
    pub values: Values,
}

/// What a value comes from that the server cannot convert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    /// Columns are compared whose types differ.
    #[default]
    Columns,
    /// A person wrote it as the organization's id.
    Id,
    /// A trigger's, while rows of the platform are being changed.
    Trigger,
}

impl<'a> During<'a> {
    /// Something that concerns no table.
    #[must_use]
    pub fn action(action: &'a str) -> Self {
        Self { action, ..Self::default() }
    }

    /// Something that concerns one table of the plan.
    #[must_use]
    pub fn table(action: &'a str, entity: Option<&'a str>, table: &'a str) -> Self {
        Self { action, entity, table: Some(table), values: Values::Columns }
    }

    /// A change of the platform's rows in one table.
    #[must_use]
    pub fn change(action: &'a str, entity: Option<&'a str>, table: &'a str) -> Self {
        Self { values: Values::Trigger, ..Self::table(action, entity, table) }
    }

    /// The organization is looked up by an id as a person wrote it: only then it may be no value of the key's type.
    #[must_use]
    pub fn id(self) -> Self {
        Self { values: Values::Id, ..self }
    }
}

/// The reason that an SQLSTATE stands for (PostgreSQL documentation, Appendix A), when an organization is looked up by its id.
#[must_use]
pub fn reason(sql_state: &str) -> Reason {
    match sql_state {
        "23503" | "23001" => Reason::ForeignKeyViolation,
        "22P02" | "22003" | "22007" | "22008" => Reason::InvalidOrganizationId,
        "42501" => Reason::PermissionDenied,
        "3D000" => Reason::AuthenticationFailed,
        "55P03" => Reason::LockTimeout,
        "57014" | "25P03" | "25P04" => Reason::StatementTimeout,
        "40001" | "40P01" => Reason::SerializationFailure,
        "25006" => Reason::DatabaseUnavailable,
        "42P01" | "42703" | "42883" | "42704" | "42804" | "3F000" => Reason::SchemaMismatch,
        other => match other.get(..2) {
            // Constraints of every kind, and what PL/pgSQL raises.
            Some("23" | "P0" | "44") => Reason::ConstraintViolation,
            Some("28") => Reason::AuthenticationFailed,
            Some("08" | "53" | "57") => Reason::DatabaseUnavailable,
            _ => Reason::InternalError,
        },
    }
}

/// The failure behind a driver error.
#[must_use]
pub fn failure(error: &sqlx::Error, during: During<'_>) -> Failure {
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
        .remedy(wording::LOOK_AFTER_THE_SERVER),
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

/// A record that this version of the operator does not understand is never taken for one that is not there.
fn unreadable(cause: &dyn std::error::Error, during: During<'_>) -> Failure {
    Failure::new(Reason::InternalError, format!("{cause} while {}: a later version wrote it, or somebody by hand", during.action))
        .remedy("run the newest version of the operator; if somebody changed a row of the schema organization_operator by hand, correct it")
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
            "it is for another host name than the one in the database URL"
        } else if words.to_lowercase().contains("expired") {
            "it has expired"
        } else {
            "it cannot be verified"
        });
    }
    // The words of the system or the resolver: "Connection refused", "Name or service not known".
    let words = wording::printable(&io.to_string(), 200);
    // A file that is missing is one of the URL's, or the socket of a server that does not run.
    let file = matches!(io.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied);
    Failure::new(
        Reason::DatabaseUnavailable,
        format!("the connection to the database failed while {}: {words}", during.action),
    )
    .remedy(if file { wording::LOOK_AFTER_THE_FILES } else { wording::LOOK_AFTER_THE_SERVER })
}

/// The server could not prove who it is: like a password that is refused, only a person can clear it.
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
        // Anywhere else it says nothing about the id, and a person must not be told that there is no data.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_contract() {
        for (state, expected) in [
            ("22P02", Reason::InvalidOrganizationId),
            ("23503", Reason::ForeignKeyViolation),
            ("23001", Reason::ForeignKeyViolation),
            ("42P01", Reason::SchemaMismatch),
            ("42703", Reason::SchemaMismatch),
            ("42883", Reason::SchemaMismatch),
            ("42704", Reason::SchemaMismatch),
            ("42501", Reason::PermissionDenied),
            ("28P01", Reason::AuthenticationFailed),
            ("28000", Reason::AuthenticationFailed),
            ("3D000", Reason::AuthenticationFailed),
            ("55P03", Reason::LockTimeout),
            ("57014", Reason::StatementTimeout),
            ("40001", Reason::SerializationFailure),
            ("40P01", Reason::SerializationFailure),
            ("08006", Reason::DatabaseUnavailable),
            ("57P01", Reason::DatabaseUnavailable),
            ("53300", Reason::DatabaseUnavailable),
            ("25006", Reason::DatabaseUnavailable),
            ("23502", Reason::ConstraintViolation),
            ("23514", Reason::ConstraintViolation),
            ("23505", Reason::ConstraintViolation),
            ("23P01", Reason::ConstraintViolation),
            ("P0001", Reason::ConstraintViolation),
            ("53100", Reason::DatabaseUnavailable),
            ("XX000", Reason::InternalError),
        ] {
            assert_eq!(reason(state), expected, "{state}");
        }
    }
}
