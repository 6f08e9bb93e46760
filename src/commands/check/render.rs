//! What a check prints.

use serde::Serialize;

use crate::domain::facts::Presence;
use planner::finding::{Finding, Severity};

/// The result of a check.
pub(super) struct Checked {
    /// The organization, if the command was about one.
    pub(super) organization: Option<Organization>,
    /// The findings; those that block come first.
    pub(super) findings: Vec<Finding>,
    /// The entities in the real order of deletion; empty if the plan has none.
    pub(super) order: Vec<String>,
}

/// The organization that the command was about.
pub(super) struct Organization {
    pub(super) name: Option<String>,
    pub(super) key: String,
    /// `None` if it could not be read.
    pub(super) presence: Option<Presence>,
    /// Whether the check searched for references from outside.
    pub(super) references_checked: bool,
}

impl Organization {
    /// One that could not be read, because of one of the findings.
    pub(super) fn unknown(name: Option<String>, id: String) -> Self {
        Self { name, key: id, presence: None, references_checked: false }
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
pub(super) struct Json<'a> {
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

    pub(super) fn json(&self) -> Json<'_> {
        Json {
            ready: self.ready(),
            blocks: self.count(Severity::Blocks),
            warnings: self.count(Severity::Warning),
            order: &self.order,
            organization: self.organization.as_ref().map(|o| JsonOrganization {
                name: o.name.as_deref(),
                id: &o.key,
                state: o.state(),
                references_checked: o.references_checked,
            }),
            findings: &self.findings,
        }
    }

    /// A block for each finding: a heading, what it means, and its remedy on lines of its own, ready to be copied.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(organization) = &self.organization {
            let name = organization.name.as_ref().map(|n| format!("{n}, ")).unwrap_or_default();
            text.extend([format!("Organization  {name}id {}: {}\n", organization.key, organization.state())]);
        }
        if !self.order.is_empty() {
            text.extend([format!("Order         {}, the organization\n", self.order.join(", "))]);
        }
        if !text.is_empty() {
            text.push('\n');
        }
        for finding in &self.findings {
            let table = finding.table.as_deref().unwrap_or_default();
            let columns =
                if finding.columns.is_empty() { String::new() } else { format!(" ({})", finding.columns.join(", ")) };
            let head = format!("{:<8} {:<22} {table}{columns}", finding.severity.as_str().to_uppercase(), finding.kind);
            text.extend([format!("{}\n", head.trim_end())]);
            text.extend([format!("  {}.\n", capitalized(&finding.message))]);
            for line in finding.remedy.iter().flat_map(|r| r.lines()) {
                text.extend([format!("      {line}\n")]);
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
        let blocks = match blocks {
            0 => "Nothing blocks".to_owned(),
            1 => "1 finding blocks".to_owned(),
            n => format!("{n} findings block"),
        };
        text.extend([format!("{blocks} the deletion of {what}; {warned}.\n")]);
        if self.ready() && self.organization.is_none() {
            text += "To find rows that refer to one organization from outside, add NAME or --id ID.\n";
        }
        text
    }
}

/// The message with a capital first letter. A message that begins with a quoted name stays as it is.
fn capitalized(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
