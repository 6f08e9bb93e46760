//! The reasons of failure. One word is condition reason, event reason and metric label.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// Why something did not work. Each has one entry in `docs/errors.md`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Deserialize,
    Serialize,
    JsonSchema,
    Display,
    IntoStaticStr,
    VariantArray,
)]
pub enum Reason {
    /// The database has no such organization.
    OrganizationNotFound,
    /// `spec.organizationId` is not a value of the key's type (SQLSTATE 22P02), or was changed after the claim.
    InvalidOrganizationId,
    /// Rows outside the plan's row sets refer to rows inside, or a CASCADE or SET NULL would touch such rows.
    ForeignKeyViolation,
    /// Rows appeared while deleting: the recount found some, or a foreign key failed at COMMIT.
    ContentChanged,
    /// Another object or another cluster owns this organization.
    OrganizationClaimed,
    /// Not the database in which this object was claimed, a standby, or an empty copy.
    DatabaseMismatch,
    /// The plan names no activation column.
    DeactivationUnsupported,
    /// A table or column is missing, a key is not unique, or the plan is incomplete.
    SchemaMismatch,
    /// A privilege is missing or row-level security hides rows (SQLSTATE 42501).
    PermissionDenied,
    /// An admission policy or webhook of the cluster refuses what the operator does to its object.
    AdmissionDenied,
    /// The database refuses the credentials or does not exist (SQLSTATE class 28, 3D000).
    AuthenticationFailed,
    /// Another session holds a lock (SQLSTATE 55P03).
    LockTimeout,
    /// A statement took longer than allowed (SQLSTATE 57014).
    StatementTimeout,
    /// The database asks for the transaction to be tried again (SQLSTATE 40001, 40P01).
    SerializationFailure,
    /// The connection or TLS was lost, or the server is starting, stopping, full or read-only.
    DatabaseUnavailable,
    /// An annotation tells a GitOps engine to delete the object and create it again (`Force=true`), so this deletion may be
    /// half of a replacement; nothing is erased.
    ReplacementSuspected,
    /// A check, a not-null or a trigger of the schema refuses (SQLSTATE 23502, 23514, P0001).
    ConstraintViolation,
    /// `spec.expirationTime` had passed before the operator saw it; it is not acted on.
    Expired,
    /// Anything else.
    InternalError,
}

/// When a failed object is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Soon, doubling (1 s to 60 s by default): the cause is expected to pass.
    Backoff,
    /// Rarely, doubling (1 min to 15 min by default): a person has to act.
    Slow,
    /// When the object or the database changes.
    Change,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The status that the REST endpoint which this operator replaces would have answered.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::OrganizationNotFound => 404,
            Self::InvalidOrganizationId | Self::Expired => 422,
            Self::ForeignKeyViolation
            | Self::ContentChanged
            | Self::OrganizationClaimed
            | Self::DatabaseMismatch
            | Self::ReplacementSuspected
            | Self::ConstraintViolation => 409,
            Self::DeactivationUnsupported => 501,
            Self::SchemaMismatch | Self::InternalError => 500,
            Self::PermissionDenied | Self::AdmissionDenied => 403,
            Self::AuthenticationFailed => 401,
            Self::LockTimeout => 423,
            Self::StatementTimeout => 504,
            Self::SerializationFailure | Self::DatabaseUnavailable => 503,
        }
    }

    /// When to try again.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::ContentChanged
            | Self::LockTimeout
            | Self::StatementTimeout
            | Self::SerializationFailure
            | Self::DatabaseUnavailable
            | Self::InternalError => Retry::Backoff,
            Self::ForeignKeyViolation
            | Self::OrganizationClaimed
            | Self::DatabaseMismatch
            | Self::SchemaMismatch
            | Self::PermissionDenied
            | Self::AdmissionDenied
            | Self::AuthenticationFailed
            | Self::ConstraintViolation => Retry::Slow,
            Self::OrganizationNotFound
            | Self::InvalidOrganizationId
            | Self::DeactivationUnsupported
            | Self::ReplacementSuspected
            | Self::Expired => Retry::Change,
        }
    }

    /// Whether a person must act before this can pass: the object is then `Stalled` in the sense of kstatus.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        match self.retry() {
            Retry::Backoff => false,
            // An organization that is not there yet is waited for; nobody has to act.
            Retry::Slow | Retry::Change => !matches!(self, Self::OrganizationNotFound),
        }
    }
}
