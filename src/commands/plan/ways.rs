//! How the rows of a table belong to the organization, for a person.

use planner::plan::{Plan, Step};

/// The columns that lead from a row of a table to the organization, by any of the table's steps.
pub(super) fn of_table(plan: &Plan, table: &str) -> String {
    let mut ways: Vec<String> = Vec::new();
    for step in plan.steps.iter().filter(|step| step.table == table) {
        let way = belongs_by(plan, step);
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways.join(" or ")
}

/// The columns that lead from a row of a step to the organization: `flow_id -> flows.organization_id`.
fn belongs_by(plan: &Plan, step: &Step) -> String {
    if let Some(column) = &step.organization {
        return column.clone();
    }
    let referring = match &step.column {
        Some(column) => column.clone(),
        None => format!("({})", step.columns.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    if let Some(entity) = &step.referenced_by {
        let referrers = plan.steps.iter().filter(|r| r.entity == *entity);
        let ways: Vec<String> =
            referrers.map(|r| format!("{}.{referring} ({})", r.table, belongs_by(plan, r))).collect();
        return format!("referred to only by {}", ways.join(" or "));
    }
    let parents = plan.steps.iter().filter(|p| step.parent.as_ref() == Some(&p.entity));
    let way = |parent: &Step| {
        let between = if parent.referenced_by.is_some() { ", " } else { "." };
        format!("{referring} -> {}{between}{}", parent.table, belongs_by(plan, parent))
    };
    parents.map(way).collect::<Vec<String>>().join(" or ")
}
