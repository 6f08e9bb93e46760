//! What status shows. Status is a report: it can make the operator refuse something, and never permits anything.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::policy::DeletionPolicy;
use super::reason::Reason;

/// Observed state of an Organization.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The generation that the operator saw last; -1 until it has seen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Whether the organization exists in the database and is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ObservedState>,

    /// The database in which this object claimed its organization, and the key there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimStatus>,

    /// How many rows the organization has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,

    /// The deletion, while the object is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionStatus>,

    /// What blocks, and what clears it. Absent if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,

    /// `Ready` and `DeletionReady` are always present, `Reconciling` and `Stalled` only while true (kstatus), `Deleting` and
    /// `DeletionBlocked` only while the object is being deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What the database says about the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ObservedState {
    /// It exists and is active. Also shown if the plan names no activation column.
    Active,
    /// It exists and is deactivated.
    Deactivated,
    /// It does not exist.
    Absent,
}

/// Where this object claimed its organization. The operator refuses to act on it in another database (`DatabaseMismatch`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// Identity of the database, from `organization_operator.installation`.
    #[schemars(length(max = 64))]
    pub installation: String,
    /// The organization's key in the database's own spelling.
    #[schemars(length(max = 1024))]
    pub organization_key: String,
}

/// Rows of the organization.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Exact number of users (rows of the entity `users`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<i64>,
    /// The rows of each entity of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub entities: Vec<EntityRows>,
    /// Sum over all entities; a lower bound if one of them is capped.
    pub total: i64,
    /// When the operator counted the rows.
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
    /// Number of rows. With `capped` there are at least this many.
    pub rows: i64,
    /// The operator stopped counting here: read `10000` as `10000+`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub capped: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The deletion that is in progress or complete.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionStatus {
    /// The policy in effect; never higher than when the deletion began.
    pub policy: DeletionPolicy,
    /// How it ended; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The entities in the real order of deletion, with their counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub steps: Vec<DeletionStep>,
    /// Where the deletion stands, in a word: `63%` while rows are deleted in pages, `Blocked`, or the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub summary: Option<String>,
    /// The progress of a deletion in pages. Absent if everything goes in one transaction, and once the deletion is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<DeletionProgress>,
    /// When the operator first worked on the deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the deletion was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_time: Option<Time>,
    /// When the operator will erase the data. Set while it awaits a successor, during a recovery window, and while open
    /// transactions drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_time: Option<Time>,
    /// Number of failed attempts, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When the next attempt is due, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
}

/// The progress of a deletion in pages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionProgress {
    /// Rows deleted so far.
    pub rows_deleted: i64,
    /// Number of rows of the organization before the first page, estimated from a count and the server's statistics.
    pub rows_estimated: i64,
    /// Rows deleted as a percentage of the estimate, at most 99.
    pub percent: i32,
    /// The recent rate in rows per second, pauses included. Absent while no rows are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<i64>,
    /// When the last row will be gone at this rate. Absent while no rows are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_end_time: Option<Time>,
    /// What the deletion waits for, or what slows it down, in words. Absent if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting_for: Option<String>,
    /// When the operator measured this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_time: Option<Time>,
}

impl DeletionProgress {
    /// Rows may be gone. As long as none is and something is waited for, no page has begun: before the first page the operator
    /// shows that nothing is waited for any more.
    #[must_use]
    pub fn rows_may_be_gone(&self) -> bool {
        self.rows_deleted > 0 || self.waiting_for.is_none()
    }
}

/// How a deletion ended. The same word is the reason of the Event and the outcome in the ledger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Outcome {
    /// The organization and all its data are gone.
    Erased,
    /// The data is kept and the organization is deactivated.
    Deactivated,
    /// The operator changed nothing.
    Retained,
    /// The database had no such organization and no row of it.
    NotFound,
    /// Another object of this cluster took over the organization.
    Transferred,
    /// Some rows were deleted in pages, the rest is kept, and the organization is deactivated.
    Interrupted,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

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
    /// Rows that the operator found before the first delete.
    pub found: i64,
    /// Rows that were really deleted.
    pub deleted: i64,
}

/// What blocks, and what clears it. It never contains a connection string, a secret or a value from a row.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// One word, the same as in conditions, Events and metrics.
    pub reason: Reason,
    /// The HTTP status that the REST endpoint would have answered.
    pub code: i32,
    /// What happened, where, and what was deleted.
    #[schemars(length(max = 8192))]
    pub message: String,
    /// The entity of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub entity: Option<String>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub table: Option<String>,
    /// The constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub constraint: Option<String>,
    /// SQLSTATE of PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub sql_state: Option<String>,
    /// Number of rows that block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Every blocker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub causes: Vec<ErrorCause>,
    /// The command or the SQL that clears the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub remedy: Option<String>,
    /// Number of attempts, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When this reason first occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_time: Option<Time>,
    /// When this reason last occurred, as of the last status write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<Time>,
}

/// One blocker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorCause {
    /// What blocks, in one sentence.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// The entity of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub entity: Option<String>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub table: Option<String>,
    /// The constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub constraint: Option<String>,
    /// Number of rows that block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// The command or the SQL that clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub remedy: Option<String>,
}
