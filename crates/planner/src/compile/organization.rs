//! Finds the organizations' own table and its key in the live schema.

use super::faults::Collector;
use crate::catalog::Catalog;
use crate::identifier::Column;
use crate::plan::Plan;
use crate::root::Root;

/// Returns `None` if the table or its key cannot be used; the faults say why.
pub(super) fn resolve_root(plan: &Plan, catalog: &Catalog, faults: &mut Collector) -> Option<Root> {
    let declared = &plan.organization;
    let Some(info) = catalog.declared(&declared.table) else {
        faults.missing_table("cascade.organization.table", &declared.table);
        return None;
    };
    let Some(key) = info.column(&declared.key) else {
        faults.missing_column("cascade.organization.key", &declared.table, &declared.key);
        return None;
    };
    if !info.unique_on(&[key.name.as_str()]) {
        faults.schema(
            format!(
                "`cascade.organization.key`: the column `{}` of the table `{}` does not identify one row; it needs a primary key or a unique constraint on this column alone",
                declared.key, declared.table
            ),
            Some(&declared.table),
            Some(format!("ALTER TABLE {} ADD UNIQUE ({});", info.table, Column::new(&declared.key))),
        );
        return None;
    }
    let mut active = declared.active.as_ref();
    if let Some(missing) = active.filter(|active| info.column(&active.column).is_none()) {
        faults.missing_column("cascade.organization.active.column", &declared.table, &missing.column);
        active = None;
    }
    Some(Root::new(info, key, active))
}
