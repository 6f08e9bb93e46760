//! The reasons of failures. The same word is the reason of conditions and Events, and the label of metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// Why something failed. `docs/errors.md` has one entry for each.
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
    /// Rows outside the plan's row sets refer to rows inside, or a CASCADE or SET NULL would change such rows.
    ForeignKeyViolation,
    /// Rows appeared during the deletion: the second count found some, or a foreign key failed at COMMIT.
    ContentChanged,
    /// Another object or another cluster owns this organization.
    OrganizationClaimed,
    /// The database is not the one in which this object claimed its organization, or it is a standby or an empty copy.
    DatabaseMismatch,
    /// No operator serves the database that `spec.database` names.
    DatabaseNotServed,
    /// The plan names no activation column.
    DeactivationUnsupported,
    /// A table or column is missing, a key is not unique, or the plan is incomplete.
    SchemaMismatch,
    /// A privilege is missing or row-level security hides rows (SQLSTATE 42501).
    PermissionDenied,
    /// An admission policy or a webhook of the cluster refuses what the operator does to the object.
    AdmissionDenied,
    /// The database refuses the credentials or does not exist (SQLSTATE class 28, 3D000).
    AuthenticationFailed,
    /// Another session holds a lock (SQLSTATE 55P03).
    LockTimeout,
    /// A statement took longer than allowed (SQLSTATE 57014).
    StatementTimeout,
    /// The database asks the client to try the transaction again (SQLSTATE 40001, 40P01).
    SerializationFailure,
    /// The connection or TLS was lost, or the server is starting, stopping, full or read-only.
    DatabaseUnavailable,
    /// An annotation tells a GitOps engine to delete the object and create it again (`Force=true`), so this deletion may be
    /// half of a replacement. The operator erases nothing.
    ReplacementSuspected,
    /// More deletions began at once than the configuration allows. The operator erases nothing until the deletion is confirmed.
    BreakerTripped,
    /// The deletion was requested more than seven days before the operator first saw it. The operator erases nothing until the
    /// deletion is confirmed.
    StaleDeletion,
    /// The policy was lowered while rows were being deleted in pages: some rows are gone, and the rest is kept.
    ErasureInterrupted,
    /// A check constraint, a NOT NULL or a trigger of the schema refuses (SQLSTATE 23502, 23514, P0001).
    ConstraintViolation,
    /// `spec.expirationTime` had passed before the operator saw it. The operator does not act on it.
    Expired,
    /// Anything else.
    InternalError,
}

/// When the operator tries a failed object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Soon, with a doubling delay (1 s to 60 s by default): the cause is expected to clear by itself.
    Backoff,
    /// Seldom, with a doubling delay (1 min to 15 min by default): a person has to act.
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

    /// The HTTP status that the REST endpoint would have answered, which this operator replaces.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::OrganizationNotFound | Self::DatabaseNotServed => 404,
            Self::InvalidOrganizationId | Self::Expired => 422,
            Self::ForeignKeyViolation
            | Self::ContentChanged
            | Self::OrganizationClaimed
            | Self::DatabaseMismatch
            | Self::ReplacementSuspected
            | Self::StaleDeletion
            | Self::ErasureInterrupted
            | Self::ConstraintViolation => 409,
            Self::BreakerTripped => 429,
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
            | Self::DatabaseNotServed
            | Self::DeactivationUnsupported
            | Self::ReplacementSuspected
            | Self::BreakerTripped
            | Self::StaleDeletion
            | Self::ErasureInterrupted
            | Self::Expired => Retry::Change,
        }
    }

    /// Whether a person has to act: the object is then `Stalled` in the sense of kstatus.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        match self.retry() {
            Retry::Backoff => false,
            // The operator waits for an organization that does not exist yet; nobody has to act.
            Retry::Slow | Retry::Change => !matches!(self, Self::OrganizationNotFound),
        }
    }
}
