//! The `Organization` resource: what a user can write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::DeletionPolicy;
use super::status::OrganizationStatus;

/// One tenant of the workflow platform, kept in PostgreSQL.
///
/// `deletionPolicy` decides what the deletion of this object does to the tenant's data. With `Delete` the operator erases
/// the data permanently and in order, and releases the object only when nothing is left.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "organization-operator.io",
    version = "v1alpha1",
    kind = "Organization",
    plural = "organizations",
    singular = "organization",
    shortname = "org",
    status = "OrganizationStatus",
    derive = "PartialEq",
    doc = "An Organization is one tenant of the workflow platform, kept in PostgreSQL. `spec.deletionPolicy` decides what the deletion of this object does to the tenant's data.",
    selectable = ".spec.database",
    selectable = ".spec.organizationId",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.deletionPolicy"),
    printcolumn(name = "Users", type_ = "integer", json_path = ".status.inventory.users"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Deleting", type_ = "string", json_path = ".status.deletion.summary"),
    printcolumn(name = "Erase", type_ = "string", json_path = ".status.deletion.eraseTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "DeletingFor", type_ = "date", json_path = ".metadata.deletionTimestamp", priority = 1),
    printcolumn(name = "Id", type_ = "string", json_path = ".spec.organizationId", priority = 1),
    printcolumn(name = "Rows", type_ = "integer", json_path = ".status.inventory.total", priority = 1),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.database", priority = 1),
    printcolumn(
        name = "DeletionReady",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="DeletionReady")].status"#,
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationSpec {
    /// Primary key of the organization in the database, of any type that the database uses (uuid, bigint, text). It must
    /// not change: the operator continues to act on the id that it claimed for this object.
    #[schemars(length(min = 1, max = 255))]
    pub organization_id: String,

    /// What the removal of this object does to the data: `Retain` keeps everything, `Deactivate` deactivates the
    /// organization and keeps its data, `Delete` erases it permanently. The operator reads the policy again at every stage,
    /// so you can lower it while the object is terminating: that stops a deletion that has not erased anything yet. While
    /// the object is terminating, you cannot raise the policy, except back to `Delete` after `ErasureInterrupted`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Desired activation: `Active` or `Deactivated`. While it is set, the operator enforces it. If it is omitted, the
    /// operator leaves the activation alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Activation>,

    /// With `deletionPolicy: Delete`: when the object is deleted, the operator deactivates the organization at once and
    /// erases it after this many seconds. Until then `deletionPolicy: Retain` undoes the deletion and restores the
    /// activation.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub recovery_window_seconds: i32,

    /// While this is true, the operator observes the organization and changes nothing: it neither activates nor deactivates
    /// it, it does not act on an expiration, and it carries out no step of a deletion, whatever the policy. When it is false
    /// again, the operator goes on where it was.
    #[serde(default)]
    pub suspend: bool,

    /// When this time passes, the operator deletes this object, and `deletionPolicy` decides what happens to the data. The
    /// operator acts only on a time that it saw while the time was still in the future. A time after the year 9998 never
    /// comes.
    #[serde(default, deserialize_with = "time_or_never", skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,

    /// The database in which the organization is, by the name that the operator's configuration gives it. The operator that serves
    /// it serves this object, as a class does for an ingress. It must not change.
    #[serde(default = "default_database")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub database: String,
}

impl OrganizationSpec {
    /// A spec with the defaults of all other fields, and the policy `Retain`.
    #[must_use]
    pub fn new(organization_id: &str, database: &str) -> Self {
        Self {
            organization_id: organization_id.to_owned(),
            deletion_policy: DeletionPolicy::Retain,
            state: None,
            recovery_window_seconds: 0,
            expiration_time: None,
            suspend: false,
            database: database.to_owned(),
        }
    }
}

/// The API server accepts times that this program cannot represent, such as the last second of the year 9999, which many
/// people write for "never". Such a time must not make the whole object unreadable: nobody could delete it any more.
fn time_or_never<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|t| t.parse().ok()).map(Time))
}

/// The `spec.database` of objects that name none.
pub const DEFAULT_DATABASE: &str = "default";

fn default_database() -> String {
    DEFAULT_DATABASE.to_owned()
}

/// Whether an organization may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Activation {
    /// In use.
    Active,
    /// Switched off, data kept.
    Deactivated,
}
