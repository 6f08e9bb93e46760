//! The digest of a compiled plan.

use sha2::{Digest as _, Sha256};

use crate::catalog::{Catalog, TableId};
use crate::plan::Plan;

/// Changes when the plan, or a column or key of its tables changes: 32 hexadecimal digits. It depends on names and not on
/// identities or on the order in which tables were created, so the same plan has the same digest on the same schema in
/// another database.
pub(super) fn digest(plan: &Plan, catalog: &Catalog) -> String {
    let name = |id: TableId| catalog.table(id).map(|t| t.table.name());
    let mut lines = Vec::new();
    for table in &catalog.tables {
        let columns: Vec<_> = table.columns.iter().map(|c| (&c.name, &c.type_name, &c.collation, c.nullable)).collect();
        let mut keys = table.unique_keys.clone();
        keys.sort();
        lines.push(format!("{:?} {columns:?} {keys:?}", table.table.name()));
    }
    for key in &catalog.foreign_keys {
        lines.push(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {}",
            name(key.child),
            key.name,
            key.child_columns,
            name(key.parent),
            key.parent_columns,
            key.on_delete,
            key.deferrable,
            key.enforcement,
            key.partition.is_some()
        ));
    }
    lines.sort();
    let hash = Sha256::digest(format!("{plan:?}{lines:?}").as_bytes());
    hash.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
