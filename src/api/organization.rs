//! The `Organization` resource: what a user can write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::status::OrganizationStatus;

/// One tenant of the workflow platform, kept in PostgreSQL.
///
/// Deleting this object does to the tenant's data what `deletionPolicy` says. `Delete` erases it permanently, in order,
/// and only lets the object go when nothing is left.
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
    doc = "An Organization is one tenant of the workflow platform, kept in PostgreSQL. Deleting it does to the tenant's data what `spec.deletionPolicy` says.",
    selectable = ".spec.database",
    selectable = ".spec.organizationId",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.deletionPolicy"),
    printcolumn(name = "Users", type_ = "integer", json_path = ".status.inventory.users"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Deleting", type_ = "date", json_path = ".metadata.deletionTimestamp"),
    printcolumn(name = "Erase", type_ = "string", json_path = ".status.deletion.eraseTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
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
    /// Primary key of the organization in the database, whatever its type there (uuid, bigint, text). It must not be
    /// changed: the operator keeps acting on the id that it claimed for this object.
    #[schemars(length(min = 1, max = 255))]
    pub organization_id: String,

    /// What removal of this object does to the data: `Retain` keeps everything, `Deactivate` switches the organization
    /// off and keeps its data, `Delete` erases it permanently. It is read again at every stage, so lowering it while the
    /// object is terminating stops a deletion that has not erased anything yet. It is never raised while terminating.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Desired activation, enforced while set: `Active` or `Deactivated`. Without it the operator leaves the
    /// activation alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Activation>,

    /// With `deletionPolicy: Delete`: on deletion the organization is deactivated at once and erased after this many
    /// seconds. Until then `deletionPolicy: Retain` undoes the deletion and restores the activation.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub recovery_window_seconds: i32,

    /// When this time passes the operator deletes this object, and `deletionPolicy` decides what that means. It is acted
    /// on only if the operator saw it while it was still in the future. A time after the year 9998 never comes.
    #[serde(default, deserialize_with = "time_or_never", skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,

    /// Which operator instance serves this object (its `--database` flag), as a class name does for an ingress. It must
    /// not be changed.
    #[serde(default = "default_database")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub database: String,
}

/// The API server accepts times that are no point in time here, such as the last second of the year 9999, a usual word for
/// "never". One of them must not make the whole object unreadable: nothing could be done with it any more.
fn time_or_never<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|t| t.parse().ok()).map(Time))
}

fn default_database() -> String {
    "default".to_owned()
}

/// What removal of an Organization object does to the data. Ordered: a later one does more.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
)]
pub enum DeletionPolicy {
    /// Keep the organization and all its data as they are.
    #[default]
    Retain,
    /// Keep the data and deactivate the organization.
    Deactivate,
    /// Erase the organization and all its data permanently.
    Delete,
}

impl DeletionPolicy {
    /// The word that users write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether an organization may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Activation {
    /// In use.
    Active,
    /// Switched off, data kept.
    Deactivated,
}
