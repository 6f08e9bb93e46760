//! Partitions that a deletion cannot remove although the plan says so.

use crate::cascade::{Cascade, OwnPartition, Removal};
use crate::catalog::Catalog;
use crate::finding::{Finding, Kind, Severity};

/// A warning for each table whose partitions the operator's role may not remove: their rows are then deleted one by one.
pub(super) fn warnings_of_partitions(catalog: &Catalog, cascade: Option<&Cascade>) -> Vec<Finding> {
    let partitions = cascade.map(|cascade| cascade.partitions.as_slice()).unwrap_or_default();
    partitions.iter().filter_map(|partition| warning(partition, catalog)).collect()
}

fn warning(partition: &OwnPartition, catalog: &Catalog) -> Option<Finding> {
    let by = catalog.properties(partition.id())?.by_list.as_ref()?;
    let name = &partition.table.name;
    let (may, lacks, remedy) = match partition.removal {
        Removal::Truncate => (
            by.truncatable,
            "may not truncate every partition",
            format!("grant TRUNCATE on the partitions of `{name}` to the operator's role"),
        ),
        Removal::Drop => (
            by.owned,
            "does not own the table and its partitions, and a foreign key refers to the table",
            format!("make the operator's role a member of the role that owns `{name}`"),
        ),
    };
    if may {
        return None;
    }
    let message = format!(
        "the step of `{name}` says `partitions: drop`, but the operator's role {lacks}, so a deletion deletes such rows one by one"
    );
    Some(Finding {
        remedy: Some(format!("{remedy}, or remove `partitions: drop` from the step")),
        entity: Some(partition.table.entity.clone()),
        ..Finding::new(Severity::Warning, Kind::MissingPrivilege, message).on(name)
    })
}
