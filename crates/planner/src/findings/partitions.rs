//! Partitions that a deletion cannot remove although the plan says so: it deletes their rows one by one.

use crate::cascade::{Cascade, OwnPartition, Removal};
use crate::catalog::Catalog;
use crate::finding::{Finding, Kind};
use crate::plan::{Partitions, Plan};

pub(super) fn warnings_of_partitions(plan: &Plan, catalog: &Catalog, cascade: Option<&Cascade>) -> Vec<Finding> {
    let Some(cascade) = cascade else { return Vec::new() };
    let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.partitions == Partitions::Drop);
    steps
        .filter_map(|(place, step)| {
            let table = catalog.declared(&step.table)?;
            let by = catalog.properties(table.id)?.by_list.as_ref()?;
            let partition = cascade.partitions.iter().find(|partition| partition.step.place() == place);
            let (why, remedy) = match partition {
                None => ("rows that go later, or at the same time, refer to its rows", None),
                Some(OwnPartition { removal: Removal::Truncate, .. }) if !by.truncatable => (
                    "the operator's role may not truncate every partition",
                    Some(format!("grant TRUNCATE on the partitions of {} to the operator's role", table.table)),
                ),
                Some(OwnPartition { removal: Removal::Drop, .. }) if !by.owned => (
                    "a foreign key refers to the table, and the operator's role does not own the table and its partitions",
                    Some(format!("make the operator's role a member of the role that owns {}", table.table)),
                ),
                Some(_) => return None,
            };
            let name = table.table.name();
            let or = remedy.map(|remedy| format!("{remedy}, or ")).unwrap_or_default();
            let message = format!(
                "the step of `{name}` says `partitions: drop`, but {why}. A deletion deletes the rows of such a partition one by one"
            );
            Some(Finding {
                remedy: Some(format!("{or}remove `partitions: drop` from the step")),
                entity: Some(step.entity.clone()),
                ..Finding::warning(Kind::PartitionKept, table, message)
            })
        })
        .collect()
}
