//! A table of the plan.

use crate::catalog::TableId;

/// A table of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanTable {
    /// Its identity.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// The entity under which its rows are counted.
    pub entity: String,
}
