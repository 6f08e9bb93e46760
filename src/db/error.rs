//! What an SQLSTATE means. Messages are built from parts that hold no row value: never from `detail`, never from the
//! text of a driver error, whose wording changes between versions.

use sqlx::postgres::PgDatabaseError;

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
    /// Rows of the platform were being changed: a value that is refused is then none of ours, but a trigger's.
    pub changing: bool,
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
        Self { action, entity, table: Some(table), changing: false }
    }

    /// A change of the platform's rows in one table.
    #[must_use]
    pub fn change(action: &'a str, entity: Option<&'a str>, table: &'a str) -> Self {
        Self { changing: true, ..Self::table(action, entity, table) }
    }
}

/// The reason that an SQLSTATE stands for (PostgreSQL documentation, Appendix A).
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
        "23502" | "23514" | "23505" | "P0001" => Reason::ConstraintViolation,
        "25006" => Reason::DatabaseUnavailable,
        "42P01" | "42703" | "42883" | "42804" | "3F000" => Reason::SchemaMismatch,
        other => match other.get(..2) {
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
        sqlx::Error::Database(database) => {
            let Some(pg) = database.try_downcast_ref::<PgDatabaseError>() else {
                return Failure::new(Reason::InternalError, "the database driver reported an unknown error");
            };
            from_server(pg, during)
        }
        sqlx::Error::Io(io) => Failure::new(
            Reason::DatabaseUnavailable,
            format!("the connection to the database failed ({}) while {}", io.kind(), during.action),
        )
        .remedy("check that the database server runs and that the operator may reach it"),
        sqlx::Error::Tls(_) => Failure::new(
            Reason::DatabaseUnavailable,
            format!("the TLS connection to the database could not be made while {}", during.action),
        )
        .remedy("check sslmode and sslrootcert in the database URL, and the server's certificate"),
        sqlx::Error::PoolTimedOut => Failure::new(
            Reason::DatabaseUnavailable,
            format!("no connection to the database was free in time while {}", during.action),
        )
        .remedy("raise database.maxConnections or lower concurrency in the operator's configuration"),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => Failure::new(
            Reason::DatabaseUnavailable,
            format!("the connection to the database was closed while {}", during.action),
        ),
        _ => Failure::new(
            Reason::InternalError,
            format!("the database driver could not read the server's answer while {}", during.action),
        )
        .remedy("read the operator's log and report this"),
    };
    if failure.entity.is_none() {
        failure.entity = during.entity.map(str::to_owned);
    }
    if failure.table.is_none() {
        failure.table = during.table.map(str::to_owned);
    }
    failure
}

fn from_server(pg: &PgDatabaseError, during: During<'_>) -> Failure {
    let code = pg.code();
    let reason = match reason(code) {
        Reason::InvalidOrganizationId if during.changing => Reason::ConstraintViolation,
        reason => reason,
    };
    let place = during.table.map(|t| format!(" the table `{t}`")).unwrap_or_default();
    let doing = format!("{}{place}", during.action);
    let constraint = pg.constraint().map(|c| format!(" (constraint {c})")).unwrap_or_default();
    let table = pg.table().or(during.table).unwrap_or("a table");
    let message = match reason {
        Reason::ForeignKeyViolation => {
            format!("rows in `{table}` still refer to rows that were being deleted{constraint}, while {doing}")
        }
        Reason::InvalidOrganizationId => {
            "spec.organizationId is not a value of the key's type in the database".to_owned()
        }
        Reason::PermissionDenied => {
            format!("the operator's database role lacks a privilege for {doing}, or row-level security hides rows")
        }
        Reason::AuthenticationFailed if code == "3D000" => {
            "the database named in the operator's database URL does not exist".to_owned()
        }
        Reason::AuthenticationFailed => "the database refuses the operator's credentials".to_owned(),
        Reason::LockTimeout => format!("another session held a lock for too long while {doing}"),
        Reason::StatementTimeout => format!("a statement took longer than allowed, or was cancelled, while {doing}"),
        Reason::SerializationFailure => format!("the database asks to try the transaction again, while {doing}"),
        Reason::ConstraintViolation => {
            format!("the schema refuses a change in `{table}`{constraint} while {doing}")
        }
        Reason::DatabaseUnavailable if code == "25006" => {
            format!("the database is read-only, while {doing}")
        }
        Reason::DatabaseUnavailable => format!("the database is not available, while {doing}"),
        Reason::SchemaMismatch => format!("a table or column of the plan is not in the database, while {doing}"),
        _ => format!("the database reported an unexpected error while {doing}"),
    };
    let mut failure = Failure::new(reason, format!("{message} (SQLSTATE {code})"));
    failure.sql_state = Some(code.to_owned());
    failure.constraint = pg.constraint().map(str::to_owned);
    failure.table = pg.table().map(str::to_owned);
    failure.remedy = remedy(reason, code).map(str::to_owned);
    failure
}

fn remedy(reason: Reason, code: &str) -> Option<&'static str> {
    Some(match reason {
        Reason::InvalidOrganizationId => {
            "create another object with the organization's primary key as spec.organizationId, and delete this one with deletionPolicy Retain"
        }
        Reason::PermissionDenied => "grant the privileges listed in docs/install.md to the operator's database role",
        Reason::AuthenticationFailed if code == "3D000" => "correct the database name in the operator's database URL",
        Reason::AuthenticationFailed => {
            "put a valid user and password into the operator's database URL; the file is read again by itself"
        }
        Reason::LockTimeout => {
            "find the session: SELECT pid, application_name, state, xact_start FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start"
        }
        Reason::StatementTimeout => {
            "raise database.statementTimeoutSeconds in the operator's configuration, or add the missing index"
        }
        Reason::ConstraintViolation => "change the constraint or the trigger, or the rows that it protects",
        Reason::SchemaMismatch => "correct the plan (cascade) in the operator's configuration",
        Reason::DatabaseUnavailable => "check the database server; the operator goes on by itself",
        _ => return None,
    })
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
            ("P0001", Reason::ConstraintViolation),
            ("XX000", Reason::InternalError),
        ] {
            assert_eq!(reason(state), expected, "{state}");
        }
    }
}
