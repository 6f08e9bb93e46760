//! Why a plan must not be used to erase.

use std::fmt;

use crate::finding::{Finding, Kind, NAMED};

/// Every fault of a plan on a schema. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Finding>);

impl Faults {
    /// Takes the faults, of which there is at least one.
    pub(crate) fn of(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    /// Each fault with what clears it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// The faults for a status: all, but of many tables that the plan does not mention only the first ones.
    #[must_use]
    pub fn for_status(&self) -> Vec<&Finding> {
        let mut unknown = 0;
        let mut is_shown = |finding: &&Finding| {
            unknown += usize::from(finding.kind == Kind::UnknownTable);
            finding.kind != Kind::UnknownTable || unknown <= NAMED
        };
        self.0.iter().filter(|finding| is_shown(finding)).collect()
    }

    /// Whether the plan fits the schema and the operator's role only lacks access to it.
    #[must_use]
    pub fn only_access(&self) -> bool {
        self.0.iter().all(concerns_access)
    }

    /// Whether the operator's role lacks access to something, whatever else is wrong.
    #[must_use]
    pub fn any_access(&self) -> bool {
        self.0.iter().any(concerns_access)
    }
}

fn concerns_access(finding: &Finding) -> bool {
    matches!(finding.kind, Kind::MissingPrivilege | Kind::RowSecurity)
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plan cannot be used to delete: ")?;
        let shown = self.for_status();
        for (i, finding) in shown.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&finding.message)?;
        }
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => {
                let tables = if more == 1 { "table" } else { "tables" };
                write!(
                    f,
                    "; the plan does not mention {more} more {tables}; `organization-operator check` names each of them"
                )
            }
        }
    }
}
