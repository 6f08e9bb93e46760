//! Tables that the plan lists as global.

use super::Plan;
use crate::catalog::TableInfo;

impl TableInfo {
    /// How the plan lists the table as global. Returns `None` if it does not, or if the table is unclassified: what names
    /// one table takes precedence over `schema.*`. Steps and kept tables are not asked about.
    pub(crate) fn as_global<'p>(&self, plan: &'p Plan) -> Option<&'p str> {
        let named = plan.global.iter().find(|name| self.declared.contains(name));
        let whole = || plan.global.iter().find(|name| name.strip_suffix(".*") == Some(self.table.schema()));
        let open = plan.unclassified.iter().any(|open| self.table.is_written(&open.table));
        named.or_else(|| if open { None } else { whole() }).map(String::as_str)
    }
}

impl Plan {
    /// The first part of a remedy: the plan must no longer list the table as global. An entry `schema.*` may stay.
    pub(crate) fn not_global(listed: &str) -> String {
        if listed.ends_with(".*") { String::new() } else { format!("remove `{listed}` from `cascade.global`, and ") }
    }
}
