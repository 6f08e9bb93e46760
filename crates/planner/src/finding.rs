//! What a person should know about a schema or about the rows of an organization, and what clears it.

use serde::Serialize;
use strum::{Display, IntoStaticStr, VariantArray};

use crate::catalog::TableInfo;

/// Something that a person should know about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it blocks deletions.
    pub severity: Severity,
    /// What kind of finding it is.
    pub kind: Kind,
    /// What was found and what it means, as a sentence without a capital letter and a full stop.
    pub message: String,
    /// The entity of the plan whose rows it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// Its columns.
    pub columns: Vec<String>,
    /// The constraint.
    pub constraint: Option<String>,
    /// How many rows it is about, at most [`COUNT_LIMIT`](crate::COUNT_LIMIT).
    pub rows: Option<i64>,
    /// The SQL, or the change of the plan, that clears it.
    pub remedy: Option<String>,
}

/// Whether a finding blocks deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Display, IntoStaticStr, VariantArray)]
pub enum Severity {
    /// No deletion succeeds before it is cleared.
    Blocks,
    /// Deletions succeed, but they may be slow or wait, or rows that do not exist yet may block them.
    Warning,
}

/// What was found. Each kind has a line in `docs/check.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Display, IntoStaticStr, VariantArray)]
pub enum Kind {
    /// The database does not have a table of the plan.
    MissingTable,
    /// The database does not have a column of the plan.
    MissingColumn,
    /// The plan does not fit the schema in another way: a key that is not unique, a foreign table.
    PlanMismatch,
    /// A table with a tenant column that the plan neither deletes nor keeps.
    Unclassified,
    /// A rewrite rule changes deletes.
    DeleteRule,
    /// The operator's role lacks a privilege.
    MissingPrivilege,
    /// Row-level security hides rows from the operator's role.
    RowSecurity,
    /// The operator's own schema is missing or out of date.
    OwnSchema,
    /// The configuration names a standby that the database server has never had.
    UnknownStandby,
    /// A deletion has erased a part of an organization, and has not ended.
    PartlyErased,
    /// The server is a standby, where rows of steps with `referencedBy` cannot be found.
    Standby,
    /// The database has no such organization.
    OrganizationNotFound,
    /// The id is not a value of the key's type.
    InvalidOrganizationId,
    /// Rows that the deletion does not delete refer to rows of this organization.
    ReferenceFromOutside,
    /// Rows belong to this organization and to another one as well.
    SharedRows,
    /// Rows hold part of a key that rows of this organization and of another one have.
    AmbiguousRows,
    /// A table that the plan does not name refers to one of its tables.
    UndeclaredReference,
    /// A table that the plan keeps refers to one that it deletes from.
    KeptReference,
    /// A table that the plan does not mention at all.
    UnknownTable,
    /// No index begins with columns by which rows are searched.
    Unindexed,
    /// A trigger can suppress deletes.
    SuppressingTrigger,
    /// A trigger can write rows while others are deleted.
    WritingTrigger,
    /// No chain of foreign keys leads from a table to the organization.
    Unprotected,
    /// Rows are deleted one by one although the plan says that they go with their partition.
    PartitionKept,
    /// Rows are not deleted in pages, because the operator's role may not lock the rows to which they belong.
    NotPaged,
    /// A foreign key that PostgreSQL never checked for older rows.
    NotValid,
    /// Rows that belong to no organization, because every column that would say to which is NULL.
    NobodysRows,
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
    /// A finding with only a severity, a kind and a message.
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

    /// Whether rows that do not exist yet could block a deletion.
    #[must_use]
    pub fn may_block(&self) -> bool {
        matches!(self.kind, Kind::UndeclaredReference | Kind::KeptReference)
    }
}

/// The remedies, each once and on a line of its own. Returns `None` if there are none.
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

/// How many tables a sentence names, for example in the condition `DeletionReady`. `organization-operator check` names all of them.
pub const NAMED: usize = 8;

/// A sentence about the tables whose rows would block the deletion of their organization. Returns `None` if there are no
/// such tables.
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
    (!all.is_empty()).then(|| {
        format!(
            "Rows of the organization in these tables would block its deletion: {}. `organization-operator check` shows what clears this.",
            some_of(&all)
        )
    })
}

/// A sentence about the tables that the plan does not mention. Returns `None` if there are no such tables.
#[must_use]
pub fn unknown<'a>(findings: impl Iterator<Item = &'a Finding>) -> Option<String> {
    let unknown = findings.filter(|f| f.kind == Kind::UnknownTable);
    let all: Vec<String> = unknown.map(|f| format!("`{}`", f.table.as_deref().unwrap_or_default())).collect();
    (!all.is_empty()).then(|| {
        format!(
            "The plan does not mention these tables, so a deletion leaves their rows in place: {}. `organization-operator check` shows what to add.",
            some_of(&all)
        )
    })
}

/// The names, separated by commas; of many names only the first ones, and how many more there are.
#[must_use]
pub fn some_of(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = match names.len().checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(", and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

/// `(a, b)`, for messages.
pub(crate) fn listed(columns: &[String]) -> String {
    format!("({})", columns.join(", "))
}
