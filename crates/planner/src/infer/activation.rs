//! The column that switches an organization off.

use super::Surveyed;
use crate::catalog::ColumnInfo;
use crate::plan::{Active, Inactive};

/// Names without underscores, in lower case, and what they mean in a boolean column.
const ON: [&str; 4] = ["active", "isactive", "enabled", "isenabled"];
const OFF: [&str; 8] =
    ["disabled", "isdisabled", "deactivated", "isdeactivated", "suspended", "issuspended", "inactive", "isinactive"];
/// Timestamps that say since when.
const SINCE: [&str; 4] = ["deactivatedat", "disabledat", "suspendedat", "inactivesince"];
/// What stands for it where there is nothing else.
const GONE: [&str; 3] = ["deletedat", "archivedat", "isarchived"];

/// The column, if exactly one can be meant; else every candidate.
pub(super) fn choose(organization: &Surveyed) -> (Option<Active>, Vec<Active>) {
    let candidates = |last_resort: bool| -> Vec<Active> {
        let settable = organization.info.columns.iter().filter(|c| !organization.generated.contains(&c.name));
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
