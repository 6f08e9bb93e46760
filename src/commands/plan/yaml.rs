//! A draft as a configuration file, which a person then edits.

use planner::infer::Draft;
use planner::plan::{Active, Inactive, Step};
use planner::scalar;

const HEADER: &str = "\
# Drafted from the live schema by `organization-operator plan init`. Read it before you use it:
# - A step deletes rows permanently. Move to `keep` what must stay, for example by law.
# - Decide about every table under `unclassified`.
# - `organization-operator plan show --config FILE` shows what the plan does, and what is still to be decided.
# An omitted field has its default: docs/configuration.md. docs/plan.md explains how to read a plan.

# In a cluster, a mounted file contains the database URL (deploy/README.md). By hand, set DATABASE_URL instead:
# database: {urlFile: /etc/organization-operator/database/url}
";

pub(super) fn render(draft: &Draft) -> String {
    let plan = &draft.plan;
    let mut text = format!("{HEADER}\ncascade:\n  organization:\n");
    text.extend([format!(
        "    table: {}\n    key: {}\n",
        scalar(&plan.organization.table),
        scalar(&plan.organization.key)
    )]);
    text += &activation(plan.organization.active.as_ref(), &draft.activation);
    let columns: Vec<String> = plan.tenant_columns.iter().map(|c| scalar(c)).collect();
    text += "  # A table that has such a column and is neither a step nor kept blocks every deletion.\n";
    text.extend([format!("  tenantColumns: [{}]\n", columns.join(", "))]);
    text += &steps(draft);
    text += "  # Tables from which the operator never deletes, each with a reason: - {table: invoices, reason: statutory retention}\n";
    text += "  keep: []\n";
    text += &unclassified(draft);
    text + &unrelated(draft)
}

fn activation(active: Option<&Active>, candidates: &[Active]) -> String {
    if let Some(active) = active {
        return format!("    active: {}\n", active_map(active));
    }
    if candidates.is_empty() {
        return "    # No column says whether an organization is in use, so the operator cannot deactivate it: there is no recovery\n    \
                # window. To lock the row, the operator needs UPDATE on one column all the same.\n    \
                # active: {column: is_active, inactive: false}\n"
            .to_owned();
    }
    let mut text = "    # Several columns could deactivate an organization. Choose one:\n".to_owned();
    for candidate in candidates {
        text.extend([format!("    # active: {}\n", active_map(candidate))]);
    }
    text
}

fn active_map(active: &Active) -> String {
    let inactive = match active.inactive {
        Inactive::False => "false",
        Inactive::True => "true",
        Inactive::Now => "now",
    };
    format!("{{column: {}, inactive: {inactive}}}", scalar(&active.column))
}

fn steps(draft: &Draft) -> String {
    let steps = &draft.plan.steps;
    if steps.is_empty() {
        return "  steps: []\n".to_owned();
    }
    let mut text =
        "  # In the order of deletion. Where foreign keys require another order, the operator uses that.\n".to_owned();
    if !steps.iter().any(|s| s.entity == "users") {
        text += "  # The operator counts the entity `users` exactly and shows it in a column of its own: give that name to the entity that means users.\n";
    }
    text += "  steps:\n";
    for (line, remarks) in aligned(steps).into_iter().zip(&draft.remarks) {
        for remark in remarks {
            text.extend([format!("    # {}: {}\n", comment(&line.table), comment(remark))]);
        }
        text.extend([format!("    - {}\n", line.text)]);
    }
    text
}

fn unclassified(draft: &Draft) -> String {
    if draft.plan.unclassified.is_empty() {
        return String::new();
    }
    let mut text = "  # The operator deletes nothing while this list has an entry. For each table: make it a step, or keep it, or just remove it\n  \
                    # from the list if none of its rows belongs to an organization.\n  unclassified:\n"
        .to_owned();
    for (open, suggestions) in draft.plan.unclassified.iter().zip(&draft.suggestions) {
        let why = open.why.as_ref().map(|why| format!(", why: {}", scalar(why))).unwrap_or_default();
        text.extend([format!("    - {{table: {}{why}}}\n", scalar(&open.table))]);
        for line in aligned(suggestions) {
            text.extend([format!("    #   as a step: - {}\n", comment(&line.text))]);
        }
    }
    text
}

fn unrelated(draft: &Draft) -> String {
    if draft.unrelated.is_empty() {
        return String::new();
    }
    let mut text = "\n# Tables without any relation to an organization, neither by a foreign key nor by a column name. The operator leaves them alone:\n".to_owned();
    let (hinted, plain): (Vec<_>, Vec<_>) = draft.unrelated.iter().partition(|u| u.remark.is_some());
    let mut line = String::new();
    for table in plain {
        let name = comment(&table.table);
        if !line.is_empty() && line.len() + name.len() > 110 {
            text.extend([format!("#   {line}\n")]);
            line.clear();
        }
        line += if line.is_empty() { "" } else { ", " };
        line += &name;
    }
    if !line.is_empty() {
        text.extend([format!("#   {line}\n")]);
    }
    for table in hinted {
        let remark = table.remark.as_deref().unwrap_or_default();
        text.extend([format!("#   {}   ({})\n", comment(&table.table), comment(remark))]);
    }
    text
}

/// A step as one line.
struct Line {
    table: String,
    text: String,
}

/// The steps, one line each, with aligned fields.
fn aligned(steps: &[Step]) -> Vec<Line> {
    let fields: Vec<[String; 4]> = steps
        .iter()
        .map(|step| {
            let (belongs, by) = match (&step.organization, &step.parent) {
                (Some(column), _) => (format!("organization: {}", scalar(column)), String::new()),
                (None, parent) => {
                    let by = if let Some(column) = &step.column {
                        format!("column: {}", scalar(column))
                    } else {
                        let pairs: Vec<String> =
                            step.columns.iter().map(|(c, p)| format!("{}: {}", scalar(c), scalar(p))).collect();
                        format!("columns: {{{}}}", pairs.join(", "))
                    };
                    (format!("parent: {}", scalar(parent.as_deref().unwrap_or_default())), by)
                }
            };
            [format!("entity: {}", scalar(&step.entity)), format!("table: {}", scalar(&step.table)), belongs, by]
        })
        .collect();
    let width = |i: usize| fields.iter().map(|f| f[i].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..4).map(width).collect();
    fields
        .iter()
        .zip(steps)
        .map(|(all, step)| {
            let shown: Vec<&String> = all.iter().filter(|f| !f.is_empty()).collect();
            let last = shown.len().saturating_sub(1);
            let cell = |(i, field): (usize, &&String)| {
                if i == last {
                    (*field).clone()
                } else {
                    format!("{:width$} ", format!("{field},"), width = widths[i] + 1)
                }
            };
            let text: String = shown.iter().enumerate().map(cell).collect();
            Line { table: step.table.clone(), text: format!("{{{text}}}") }
        })
        .collect()
}

/// Text that cannot end a comment.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use planner::infer::Unrelated;
    use planner::plan::{OrganizationTable, Plan, Unclassified, UnknownTables};

    #[test]
    fn hostile_names_survive_the_file() {
        let names = ["no", "a: b", "x, y}", "#", "it's \"quoted\"", "line\nbreak", "Äpfel", "1", "a.b"];
        let steps: Vec<Step> = names
            .iter()
            .map(|name| Step {
                entity: (*name).to_owned(),
                table: (*name).to_owned(),
                parent: Some("a.b".to_owned()),
                columns: [((*name).to_owned(), "null".to_owned())].into(),
                ..Step::default()
            })
            .collect();
        let plan = Plan {
            organization: OrganizationTable {
                table: "true".into(),
                key: "on".into(),
                active: Some(Active { column: "off".into(), inactive: Inactive::Now }),
            },
            tenant_columns: vec!["y".into(), "t}".into()],
            steps,
            keep: Vec::new(),
            global: Vec::new(),
            unknown_tables: UnknownTables::Warn,
            unclassified: vec![Unclassified { table: "a\nsteps: []".into(), why: Some("b: c # d".into()) }],
        };
        let draft = Draft {
            remarks: names.iter().map(|n| vec![format!("{n}\nkeep: 1")]).collect(),
            suggestions: vec![plan.steps.clone()],
            unrelated: names
                .iter()
                .map(|n| Unrelated { table: (*n).to_owned(), remark: Some("x\ny: 1".into()) })
                .collect(),
            activation: Vec::new(),
            plan,
        };
        let text = render(&draft);
        let read: Config = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(read.cascade, draft.plan, "{text}");
    }
}
