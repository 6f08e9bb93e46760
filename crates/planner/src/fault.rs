//! Why a plan must not be used to erase.

use std::fmt;

use crate::finding::{Finding, Kind};

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
        for (i, finding) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&finding.message)?;
        }
        Ok(())
    }
}
