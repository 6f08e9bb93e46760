//! The column that switches an organization off.

use super::survey::Surveyed;
use crate::catalog::ColumnInfo;
use crate::plan::{Active, Inactive};

/// Names of a boolean column that is true while the organization is active, without underscores and in lower case.
const ON: [&str; 4] = ["active", "isactive", "enabled", "isenabled"];
/// Names of a boolean column that is true while the organization is switched off.
const OFF: [&str; 8] =
    ["disabled", "isdisabled", "deactivated", "isdeactivated", "suspended", "issuspended", "inactive", "isinactive"];
/// Names of a timestamp that says since when the organization is switched off.
const SINCE: [&str; 4] = ["deactivatedat", "disabledat", "suspendedat", "inactivesince"];
/// Names that mean the same if there is no other column.
const GONE: [&str; 3] = ["deletedat", "archivedat", "isarchived"];

/// The column, if there is exactly one candidate; else all candidates.
pub(super) fn choose(organizations: &Surveyed) -> (Option<Active>, Vec<Active>) {
    let candidates = |last_resort: bool| -> Vec<Active> {
        let settable = organizations.info.columns.iter().filter(|c| !organizations.generated.contains(&c.name));
        settable.filter_map(|c| meaning(c, last_resort)).collect()
    };
    let mut found = candidates(false);
    if found.is_empty() {
        found = candidates(true);
    }
    match found.as_slice() {
        [one] => (Some(one.clone()), Vec::new()),
        _ => (None, found),
    }
}

fn meaning(column: &ColumnInfo, last_resort: bool) -> Option<Active> {
    let name: String = column.name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect();
    let name = name.as_str();
    let inactive = match column.type_name.as_str() {
        "boolean" if !last_resort && ON.contains(&name) => Inactive::False,
        "boolean" if !last_resort && OFF.contains(&name) => Inactive::True,
        "boolean" if last_resort && GONE.contains(&name) => Inactive::True,
        timestamp if timestamp.starts_with("timestamp") && column.nullable => {
            let names: &[&str] = if last_resort { &GONE } else { &SINCE };
            names.contains(&name).then_some(Inactive::Now)?
        }
        _ => return None,
    };
    Some(Active { column: column.name.clone(), inactive })
}
