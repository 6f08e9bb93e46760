//! How a check is printed.

use std::fmt::Write as _;

use serde::Serialize;

use crate::commands::CommandError;
use crate::domain::facts::Presence;
use planner::finding::{Finding, Severity};

/// What was checked.
pub(super) struct Checked {
    /// The organization that was asked for.
    pub(super) organization: Option<Organization>,
    /// What was found: what blocks comes first.
    pub(super) findings: Vec<Finding>,
    /// Entities in the real order of deletion; empty while there is none.
    pub(super) order: Vec<String>,
}

/// The organization that was asked for.
pub(super) struct Organization {
    pub(super) name: Option<String>,
    pub(super) key: String,
    /// None: it was not looked at.
    pub(super) presence: Option<Presence>,
    /// References from outside were looked for.
    pub(super) looked: bool,
}

impl Organization {
    /// One that could not be looked at, because of what was found.
    pub(super) fn unseen(name: Option<String>, id: String) -> Self {
        Self { name, key: id, presence: None, looked: false }
    }

    fn state(&self) -> &'static str {
        match self.presence {
            None => "Unknown",
            Some(Presence::Absent) => "Absent",
            Some(Presence::Present { active: Some(false) }) => "Deactivated",
            Some(Presence::Present { .. }) => "Active",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    ready: bool,
    blocks: usize,
    warnings: usize,
    order: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<JsonOrganization<'a>>,
    findings: &'a [Finding],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonOrganization<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    id: &'a str,
    state: &'static str,
    references_checked: bool,
}

impl Checked {
    /// Whether nothing blocks.
    pub(super) fn ready(&self) -> bool {
        self.count(Severity::Blocks) == 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }

    pub(super) fn print(&self, json: bool) -> Result<String, CommandError> {
        if json {
            let value = Json {
                ready: self.ready(),
                blocks: self.count(Severity::Blocks),
                warnings: self.count(Severity::Warning),
                order: &self.order,
                organization: self.organization.as_ref().map(|o| JsonOrganization {
                    name: o.name.as_deref(),
                    id: &o.key,
                    state: o.state(),
                    references_checked: o.looked,
                }),
                findings: &self.findings,
            };
            return serde_json::to_string_pretty(&value)
                .map(|text| text + "\n")
                .map_err(|e| CommandError(e.to_string()));
        }
        let mut text = String::new();
        self.table(&mut text).map_err(|e| CommandError(e.to_string()))?;
        Ok(text)
    }

    /// A block for each finding: one line to scan, what it means, and on a line of its own what cures it, to be copied.
    fn table(&self, text: &mut String) -> std::fmt::Result {
        if let Some(organization) = &self.organization {
            let name = organization.name.as_ref().map(|n| format!("{n}, ")).unwrap_or_default();
            writeln!(text, "Organization  {name}id {}: {}", organization.key, organization.state())?;
        }
        if !self.order.is_empty() {
            writeln!(text, "Order         {}, the organization", self.order.join(", "))?;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        for finding in &self.findings {
            let table = finding.table.as_deref().unwrap_or_default();
            let columns =
                if finding.columns.is_empty() { String::new() } else { format!(" ({})", finding.columns.join(", ")) };
            let head = format!("{:<8} {:<22} {table}{columns}", finding.severity.as_str().to_uppercase(), finding.kind);
            writeln!(text, "{}", head.trim_end())?;
            writeln!(text, "  {}.", capitalized(&finding.message))?;
            for line in finding.remedy.iter().flat_map(|r| r.lines()) {
                writeln!(text, "      {line}")?;
            }
            text.push('\n');
        }
        let (blocks, warnings) = (self.count(Severity::Blocks), self.count(Severity::Warning));
        let warned = match warnings {
            0 => "no warnings".to_owned(),
            1 => "1 warning".to_owned(),
            n => format!("{n} warnings"),
        };
        let what = if self.organization.is_some() { "this organization" } else { "an organization" };
        match blocks {
            0 => {
                writeln!(text, "Nothing blocks the deletion of {what}; {warned}.")?;
                if self.organization.is_none() {
                    writeln!(
                        text,
                        "Rows that refer to an organization from outside are looked for with NAME or --id."
                    )?;
                }
            }
            1 => writeln!(text, "1 finding blocks the deletion of {what}; {warned}.")?,
            n => writeln!(text, "{n} findings block the deletion of {what}; {warned}.")?,
        }
        Ok(())
    }
}

/// A message as a sentence of its own; one that begins with a name stays as it is.
fn capitalized(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
