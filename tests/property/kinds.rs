//! What a case has that not every case has: of each kind there must be enough, or the property says less than it seems.

use std::collections::BTreeSet;

use planner::CompiledPlan;
use planner::plan::{Partitions, Plan};

use super::rows::{ambiguous, rows_of};
use super::schema::{Partitioning, Role, Schema, Triggers, Type};

/// What a case has that not every case has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Several tables go by one statement.
    Circle,
    /// The organization itself is one of them.
    Founder,
    /// Rows are found by part of a key, and no other row has the same part.
    PartOfAKey,
    /// Rows are found by part of a key that a row which stays has as well.
    Ambiguous,
    /// People go with the organization.
    People,
    /// People stay to whom the organization's rows refer, because something else does.
    SharedPeople,
    Arrays,
    Partitions,
    /// Rows may go with a partition that only they can be in.
    OwnPartitions,
    Inheritance,
    Triggers,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Circle,
        Self::Founder,
        Self::PartOfAKey,
        Self::Ambiguous,
        Self::People,
        Self::SharedPeople,
        Self::Arrays,
        Self::Partitions,
        Self::OwnPartitions,
        Self::Inheritance,
        Self::Triggers,
    ];
}

/// What this case has.
pub fn kinds(schema: &Schema, plan: &Plan, compiled: Option<&CompiledPlan>) -> BTreeSet<Kind> {
    let deletes = compiled.and_then(CompiledPlan::cascade).map(|c| c.deletes.as_slice()).unwrap_or_default();
    let victims = rows_of(schema, plan, schema.tenants[0]);
    let ambiguous = ambiguous(schema, plan, &victims);
    let part = schema.references.iter().any(|r| {
        let child = schema.table_name(r.child);
        let columns = r.child_columns.iter().map(|c| &schema.tables[r.child].columns[*c].name);
        let by = |columns: Vec<&String>| {
            plan.steps.iter().any(|s| s.table == child && s.parent.is_some() && s.columns.keys().eq(columns.clone()))
        };
        r.by_part(schema) && by(columns.collect()) && !victims[r.child].is_empty()
    });
    let people = |going: bool| {
        schema.tables.iter().enumerate().filter(|(_, t)| t.role == Role::People).any(|(t, table)| {
            let members = schema.references.iter().filter(|r| r.parent == t && r.child != t);
            let mut candidates = members.flat_map(|r| {
                let inside =
                    schema.tables[r.child].rows.iter().filter(|row| super::rows::holds(&victims[r.child], row));
                let inside: Vec<_> = inside.collect();
                table.rows.iter().filter(move |person| inside.iter().any(|row| r.joins(row, person)))
            });
            candidates.any(|person| super::rows::holds(&victims[t], person) == going)
        })
    };
    let any = |of: &dyn Fn(usize) -> bool| (0..schema.tables.len()).any(of);
    let has = |kind: Kind| match kind {
        Kind::Circle => deletes.iter().any(|d| d.tables.len() + usize::from(d.organization) > 1),
        Kind::Founder => deletes.iter().any(|d| d.organization && !d.tables.is_empty()),
        Kind::PartOfAKey => part && !ambiguous,
        Kind::Ambiguous => ambiguous,
        Kind::People => people(true),
        Kind::SharedPeople => people(false),
        Kind::Arrays => any(&|t| schema.tables[t].columns.iter().any(|c| matches!(c.ty, Type::Bigints | Type::Uuids))),
        Kind::Partitions => any(&|t| schema.tables[t].partitioned.is_some() && !victims[t].is_empty()),
        Kind::OwnPartitions => any(&|t| {
            matches!(schema.tables[t].partitioned, Some(Partitioning::OwnPartition(_)))
                && !victims[t].is_empty()
                && plan.steps.iter().any(|s| s.table == schema.table_name(t) && s.partitions == Partitions::Drop)
        }),
        Kind::Inheritance => any(&|t| schema.tables[t].inherits.is_some()),
        Kind::Triggers => any(&|t| schema.tables[t].triggers != Triggers::default() && !victims[t].is_empty()),
    };
    Kind::ALL.into_iter().filter(|kind| has(*kind)).collect()
}
