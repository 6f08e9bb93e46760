//! What a live schema means for deletions, told to a person: each finding with what cures it.
//!
//! A finding that blocks is a fault of the compiled plan, and the other way round: there is one judgement, made in
//! `compile`. Warnings never block.

mod fences;
mod indexes;
mod references;
mod triggers;

use std::fmt;

use serde::Serialize;

use super::CompiledPlan;
use super::catalog::{Catalog, TableInfo};
use super::failure::Failure;
use super::plan::{Plan, Step};
use crate::api::status::ErrorCause;

/// Something that a person should know about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// The one word.
    pub kind: Kind,
    /// What it is and what it means.
    pub message: String,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Severity {
    /// No deletion works before it is cured.
    Blocks,
    /// Deletions work; they may be slow, wait, or be blocked by rows that do not exist yet.
    Warning,
}

/// What was found. Each has a line in `docs/check.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
    SwallowingTrigger,
    /// A trigger can write rows while others are deleted.
    WritingTrigger,
    /// No chain of foreign keys ties a table to the organization.
    Unfenced,
    /// A foreign key that was never checked for older rows.
    NotValid,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::MissingTable,
        Self::MissingColumn,
        Self::PlanMismatch,
        Self::Unclassified,
        Self::DeleteRule,
        Self::MissingPrivilege,
        Self::RowSecurity,
        Self::OwnSchema,
        Self::OrganizationNotFound,
        Self::InvalidOrganizationId,
        Self::ReferenceFromOutside,
        Self::SharedRows,
        Self::UndeclaredReference,
        Self::KeptReference,
        Self::Unindexed,
        Self::SwallowingTrigger,
        Self::WritingTrigger,
        Self::Unfenced,
        Self::NotValid,
    ];

    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingTable => "MissingTable",
            Self::MissingColumn => "MissingColumn",
            Self::PlanMismatch => "PlanMismatch",
            Self::Unclassified => "Unclassified",
            Self::DeleteRule => "DeleteRule",
            Self::MissingPrivilege => "MissingPrivilege",
            Self::RowSecurity => "RowSecurity",
            Self::OwnSchema => "OwnSchema",
            Self::OrganizationNotFound => "OrganizationNotFound",
            Self::InvalidOrganizationId => "InvalidOrganizationId",
            Self::ReferenceFromOutside => "ReferenceFromOutside",
            Self::SharedRows => "SharedRows",
            Self::UndeclaredReference => "UndeclaredReference",
            Self::KeptReference => "KeptReference",
            Self::Unindexed => "Unindexed",
            Self::SwallowingTrigger => "SwallowingTrigger",
            Self::WritingTrigger => "WritingTrigger",
            Self::Unfenced => "Unfenced",
            Self::NotValid => "NotValid",
        }
    }
}

impl Severity {
    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocks => "Blocks",
            Self::Warning => "Warning",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
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

    fn warning(kind: Kind, table: &TableInfo, message: String) -> Self {
        Self::new(Severity::Warning, kind, message).on(table.table.name())
    }

    /// The same as the cause of a failure.
    #[must_use]
    pub fn cause(&self) -> ErrorCause {
        ErrorCause {
            message: self.message.clone(),
            entity: None,
            table: self.table.clone(),
            constraint: self.constraint.clone(),
            rows: self.rows,
            remedy: self.remedy.clone(),
        }
    }

    /// Whether rows that may come to exist could stand in the way of a deletion.
    #[must_use]
    pub fn may_block(&self) -> bool {
        matches!(self.kind, Kind::UndeclaredReference | Kind::KeptReference)
    }
}

/// Everything that the schema and the plan have to say: what blocks first, then warnings by kind.
#[must_use]
pub fn find(plan: &Plan, catalog: &Catalog, compiled: &CompiledPlan) -> Vec<Finding> {
    let mut findings = compiled.fault.as_ref().map(|f| f.findings.clone()).unwrap_or_default();
    let mut warnings = references::find(plan, catalog, compiled, &findings);
    warnings.extend(indexes::find(plan, catalog));
    warnings.extend(triggers::find(plan, catalog));
    warnings.extend(fences::find(plan, catalog, compiled));
    warnings.sort_by_key(|f| f.kind);
    findings.extend(warnings);
    findings
}

/// What a preflight found, one finding for each foreign key.
#[must_use]
pub fn of_blockers(failure: &Failure) -> Vec<Finding> {
    failure
        .causes
        .iter()
        .map(|cause| Finding {
            table: cause.table.clone(),
            constraint: cause.constraint.clone(),
            rows: cause.rows,
            remedy: cause.remedy.clone(),
            ..Finding::new(Severity::Blocks, Kind::ReferenceFromOutside, &cause.message)
        })
        .collect()
}

/// Rows that the plan gives to two organizations, one finding for each table.
#[must_use]
pub fn of_shared_rows(failure: &Failure) -> Vec<Finding> {
    let whose = "rows belong to this organization and, by another column, to another one as well";
    failure
        .causes
        .iter()
        .map(|cause| Finding {
            table: cause.table.clone(),
            rows: cause.rows,
            remedy: cause.remedy.clone(),
            ..Finding::new(Severity::Blocks, Kind::SharedRows, format!("{whose}: {}", cause.message))
        })
        .collect()
}

/// How many tables `DeletionReady` names; `organization-operator check` names all.
const NAMED: usize = 8;

/// One sentence about tables whose rows would block the deletion of the organization that they belong to. None: there
/// are no such tables.
#[must_use]
pub fn caveat(findings: &[Finding]) -> Option<String> {
    let all: Vec<String> = findings
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

/// The columns by which a step finds its rows.
fn path_columns(step: &Step) -> Vec<String> {
    step.organization.iter().chain(&step.column).chain(step.columns.keys()).cloned().collect()
}

/// `(a, b)`, for messages.
fn listed(columns: &[String]) -> String {
    format!("({})", columns.join(", "))
}

/// A name in YAML: as it is where that is surely a string, else quoted as in JSON, which YAML reads the same.
pub(super) fn scalar(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_ascii_lowercase().as_str());
    if plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

#[cfg(test)]
mod tests;
