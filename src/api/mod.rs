//! What users write and read: the `Organization` resource, its status, conditions and reasons.
//!
//! This layer holds data and documentation only. It depends on no other layer.

pub mod condition;
pub mod crd;
pub mod organization;
pub mod policy;
pub mod reason;
pub mod status;

pub use organization::{Activation, DEFAULT_DATABASE, Organization, OrganizationSpec};
pub use policy::DeletionPolicy;
pub use reason::{Reason, Retry};
pub use status::OrganizationStatus;

/// API group of the resource.
pub const GROUP: &str = "organization-operator.io";

/// The finalizer that every Organization carries until its deletion is completed. It is domain-qualified with a path,
/// as the API server requires.
pub const FINALIZER: &str = "organization-operator.io/cascade";

/// Annotation by which a person confirms a deletion that a guard rail holds back. Its value is the object's uid, so it cannot
/// confirm the deletion of an object that is created later under the same name.
pub const CONFIRM_DELETION: &str = "organization-operator.io/confirm-deletion";

/// Field manager of everything that the operator applies; also the controller name in Events.
pub const FIELD_MANAGER: &str = "organization-operator";

/// Name of the `CustomResourceDefinition`.
pub const CRD_NAME: &str = "organizations.organization-operator.io";
