//! What a person should know about a schema or about the rows of an organization, with what clears it.

use serde::Serialize;

use crate::catalog::TableInfo;

/// Something that a person should know about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// The one word.
    pub kind: Kind,
    /// What it is and what it means.
    pub message: String,
    /// The entity of the plan whose rows are concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// Its columns.
    pub columns: Vec<String>,
    /// The constraint.
    pub constraint: Option<String>,
    /// Rows concerned.
    pub rows: Option<i64>,
    /// The SQL, or the change of the plan, that cures it.
    pub remedy: Option<String>,
}

/// Whether a finding stands in the way.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Severity {
    /// No deletion works before it is cured.
    Blocks,
    /// Deletions work; they may be slow, wait, or be blocked by rows that do not exist yet.
    Warning,
}

/// What was found. Each has a line in `docs/check.md`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Kind {
    /// A table of the plan is not there.
    MissingTable,
    /// A column of the plan is not there.
    MissingColumn,
    /// Plan and schema do not fit in another way: a key that is not unique, a cycle.
    PlanMismatch,
    /// A table with a tenant column that the plan neither deletes nor keeps.
    Unclassified,
    /// A rule rewrites deletes.
    DeleteRule,
    /// The operator's role lacks a privilege.
    MissingPrivilege,
    /// Row-level security hides rows from the operator's role.
    RowSecurity,
    /// The operator's own schema is missing or old.
    OwnSchema,
    /// The database has no such organization.
    OrganizationNotFound,
    /// The id is no value of the key's type.
    InvalidOrganizationId,
    /// Rows outside refer to rows of this organization.
    ReferenceFromOutside,
    /// Rows belong to this organization and to another one.
    SharedRows,
    /// A table that the plan does not name refers to one of its tables.
    UndeclaredReference,
    /// A table that the plan keeps refers to one that it deletes from.
    KeptReference,
    /// No index begins with columns by which rows are looked for.
    Unindexed,
    /// A trigger can keep rows from being deleted.
    SuppressingTrigger,
    /// A trigger can write rows while others are deleted.
    WritingTrigger,
    /// No chain of foreign keys ties a table to the organization.
    Unprotected,
    /// A foreign key that was never checked for older rows.
    NotValid,
}

impl Kind {
    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Severity {
    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Finding {
    /// A finding with nothing but its word and message.
    #[must_use]
    pub fn new(severity: Severity, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            message: message.into(),
            entity: None,
            table: None,
            columns: Vec::new(),
            constraint: None,
            rows: None,
            remedy: None,
        }
    }

    /// Adds the table.
    #[must_use]
    pub fn on(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    pub(crate) fn warning(kind: Kind, table: &TableInfo, message: String) -> Self {
        Self::new(Severity::Warning, kind, message).on(table.table.name())
    }

    /// Whether rows that may come to exist could stand in the way of a deletion.
    #[must_use]
    pub fn may_block(&self) -> bool {
        matches!(self.kind, Kind::UndeclaredReference | Kind::KeptReference)
    }
}

/// The remedies of these findings, each once, one a line. `None` if there are none.
#[must_use]
pub fn remedies<'a>(remedies: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let mut lines: Vec<&str> = Vec::new();
    for remedy in remedies.flatten() {
        if !lines.contains(&remedy) {
            lines.push(remedy);
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// How many tables `DeletionReady` names; `organization-operator check` names all.
pub(crate) const NAMED: usize = 8;

/// One sentence about tables whose rows would block the deletion of the organization that they belong to. `None` if
/// there are no such tables.
#[must_use]
pub fn caveat(warnings: &[Finding]) -> Option<String> {
    let all: Vec<String> = warnings
        .iter()
        .filter(|f| f.may_block())
        .map(|f| {
            let table = f.table.as_deref().unwrap_or_default();
            f.constraint.as_ref().map_or_else(|| format!("`{table}`"), |c| format!("`{table}` (constraint {c})"))
        })
        .collect();
    let more = match all.len().checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(", and {more} more"),
    };
    (!all.is_empty()).then(|| {
        format!(
            "Rows of an organization in tables that the plan does not delete from would: {}{more}. `organization-operator check` says what cures it.",
            all[..all.len().min(NAMED)].join(", ")
        )
    })
}

/// `(a, b)`, for messages.
pub(crate) fn listed(columns: &[String]) -> String {
    format!("({})", columns.join(", "))
}
