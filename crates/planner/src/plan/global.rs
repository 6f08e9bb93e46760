//! Tables that the plan lists as global.

use super::Plan;
use crate::catalog::TableInfo;

impl TableInfo {
    /// How the plan lists the table as global. Returns `None` if it does not, or if it names the table otherwise as well: what
    /// names one table takes precedence over `schema.*`.
    pub(crate) fn as_global<'p>(&self, plan: &'p Plan) -> Option<&'p str> {
        let named = plan.global.iter().find(|name| self.declared.contains(name));
        let whole = || plan.global.iter().find(|name| name.strip_suffix(".*") == Some(self.table.schema()));
        named.or_else(|| if self.declared.is_empty() { whole() } else { None }).map(String::as_str)
    }
}

impl Plan {
    /// The first part of a remedy: the plan must no longer list the table as global. An entry `schema.*` may stay.
    pub(crate) fn not_global(listed: &str) -> String {
        if listed.ends_with(".*") { String::new() } else { format!("remove `{listed}` from `cascade.global`, and ") }
    }
}
