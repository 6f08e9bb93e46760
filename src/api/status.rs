//! What status shows. Status is a report: it may add a refusal, it never gives a permission.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::organization::DeletionPolicy;
use super::reason::Reason;

/// Observed state of an Organization.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The generation that the operator saw last. -1 until it saw any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What the database says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ObservedState>,

    /// Where this object claimed its organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimStatus>,

    /// Rows of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,

    /// The deletion that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionStatus>,

    /// What stands in the way, and what clears it. Absent when there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,

    /// `Ready` always; `Reconciling` and `Stalled` only while true (kstatus); `DeletionReady`, and while deleting
    /// `Deleting` and `DeletionBlocked`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What the database says about the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ObservedState {
    /// There and in use. Also shown where the plan names no activation column.
    Active,
    /// There and switched off.
    Deactivated,
    /// Not there.
    Absent,
}

/// Where this object claimed its organization. A different database is refused (`DatabaseMismatch`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// Identity of the database: `organization_operator.installation`.
    #[schemars(length(max = 64))]
    pub installation: String,
    /// The organization's key in the database's own canonical text.
    #[schemars(length(max = 1024))]
    pub organization_key: String,
}

/// Rows of the organization.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Users, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<i64>,
    /// Rows of every entity of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub entities: Vec<EntityRows>,
    /// Sum over all entities; a lower bound when one of them is capped.
    pub total: i64,
    /// When it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_time: Option<Time>,
}

/// Rows of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntityRows {
    /// Name of the entity in the plan.
    #[schemars(length(max = 63))]
    pub entity: String,
    /// Number of rows; with `capped` there are at least this many.
    pub rows: i64,
    /// The count stopped here: read `10000` as `10000+`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub capped: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The deletion that is under way or done.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStatus {
    /// The policy in effect. It is never higher than it was when the deletion began.
    pub policy: DeletionPolicy,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Entities in the order in which they are really deleted, with their counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub steps: Vec<DeletionStep>,
    /// When the operator first worked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the data was gone, or the deletion was otherwise settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,
    /// While waiting for a successor, for the recovery window to end, or for writers: when the data will be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_time: Option<Time>,
    /// Failed attempts so far, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When the next attempt is due, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
}

/// How a deletion ended. The word is also the reason of the Event and the outcome in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema, EnumString, IntoStaticStr)]
pub enum Outcome {
    /// The organization and all its data are gone.
    Erased,
    /// The data is kept and the organization is deactivated.
    Deactivated,
    /// Nothing was changed.
    Retained,
    /// There was no organization and no row of it.
    NotFound,
    /// Another object of this cluster took over the organization.
    Transferred,
}

impl Outcome {
    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The outcome that this word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        word.parse().ok()
    }
}

/// One entity of a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStep {
    /// Name of the entity in the plan.
    #[schemars(length(max = 63))]
    pub entity: String,
    /// Its tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 255)))]
    pub tables: Vec<String>,
    /// Rows found before the first delete.
    pub found: i64,
    /// Rows really gone.
    pub deleted: i64,
}

/// The standard error detail. It never holds a connection string, a secret or a value from a row.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// One word: also the reason of conditions and Events, and the metric label.
    pub reason: Reason,
    /// The status that the REST endpoint would have answered.
    pub code: i32,
    /// What happened, where, and what was deleted.
    #[schemars(length(max = 8192))]
    pub message: String,
    /// Entity of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub entity: Option<String>,
    /// Table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub table: Option<String>,
    /// Constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub constraint: Option<String>,
    /// SQLSTATE of PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub sql_state: Option<String>,
    /// Rows concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Every blocker, not only the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub causes: Vec<ErrorCause>,
    /// The exact command or SQL that unblocks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub remedy: Option<String>,
    /// Attempts so far, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When this reason was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_time: Option<Time>,
    /// When it was last seen, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<Time>,
}

/// One of several causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorCause {
    /// What it is, in one sentence.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// Entity of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub entity: Option<String>,
    /// Table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub table: Option<String>,
    /// Constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub constraint: Option<String>,
    /// Rows concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// The exact command or SQL that clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub remedy: Option<String>,
}
