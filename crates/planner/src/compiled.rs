//! The verdict about a plan: ready to erase with, or blocked by faults.

use crate::cascade::{Cascade, ErasePlan};
use crate::catalog::TableId;
use crate::fault::Faults;
use crate::finding::Finding;
use crate::root::Root;

/// A plan that was compiled against the live catalogue.
#[derive(Clone, Debug)]
pub struct CompiledPlan {
    /// The organizations' table.
    pub root: Root,
    /// Whether it may be used to erase.
    pub verdict: Verdict,
    /// What a person should know about the schema although it blocks nothing.
    pub warnings: Vec<Finding>,
    /// Changes when the plan or the part of the schema that matters to it changes.
    pub digest: String,
    /// Fingerprint of the part of the schema that it was compiled against, see
    /// [`Catalog::fingerprint`](crate::catalog::Catalog::fingerprint).
    pub fingerprint: String,
    /// The tables that the fingerprint is about.
    pub fingerprint_tables: Vec<TableId>,
    /// The columns that mark a table as a tenant's.
    pub tenant_columns: Vec<String>,
    /// The schemas whose tables the plan does not have to mention. `None` if an unknown table blocks nothing.
    pub free_schemas: Option<Vec<String>>,
}

/// Whether a plan may be used to erase.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It may.
    Ready(Box<ErasePlan>),
    /// It must not.
    Blocked {
        /// Why not.
        faults: Faults,
        /// What it would run, for counting and for a person to read. `None` if names could not be resolved.
        cascade: Option<Box<Cascade>>,
    },
}

impl CompiledPlan {
    /// The statements to run.
    ///
    /// # Errors
    /// Returns the faults of a plan that must not be used to erase.
    pub fn erase(&self) -> Result<&ErasePlan, &Faults> {
        match &self.verdict {
            Verdict::Ready(erase) => Ok(erase),
            Verdict::Blocked { faults, .. } => Err(faults),
        }
    }

    /// The statements, to count with and to show, whether or not they may be run. Returns `None` if there are none.
    #[must_use]
    pub fn cascade(&self) -> Option<&Cascade> {
        match &self.verdict {
            Verdict::Ready(erase) => Some(erase),
            Verdict::Blocked { cascade, .. } => cascade.as_deref(),
        }
    }

    /// Why the plan must not be used to erase. Returns `None` if it may.
    #[must_use]
    pub fn faults(&self) -> Option<&Faults> {
        self.erase().err()
    }

    /// The faults, then the warnings.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.faults().into_iter().flat_map(Faults::findings).chain(&self.warnings)
    }

    /// Tables of the plan that no chain of foreign keys protects against new rows.
    #[must_use]
    pub fn unprotected_tables(&self) -> Vec<&str> {
        self.cascade().map(Cascade::unprotected_tables).unwrap_or_default()
    }
}
