//! What an SQLSTATE means.

use crate::api::Reason;

/// The reason that an SQLSTATE stands for (PostgreSQL documentation, Appendix A) when the operator finds an organization by
/// its id.
pub(super) fn reason(sql_state: &str) -> Reason {
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
            // Constraints of every kind, a trigger that changes rows that are being deleted, and what PL/pgSQL raises.
            Some("23" | "27" | "P0" | "44") => Reason::ConstraintViolation,
            Some("28") => Reason::AuthenticationFailed,
            Some("08" | "53" | "57") => Reason::DatabaseUnavailable,
            _ => Reason::InternalError,
        },
    }
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
            ("27000", Reason::ConstraintViolation),
            ("53100", Reason::DatabaseUnavailable),
            ("XX000", Reason::InternalError),
        ] {
            assert_eq!(reason(state), expected, "{state}");
        }
    }
}
