//! A draft as the configuration file that a person goes on to edit.

use planner::infer::Draft;
use planner::plan::{Active, Inactive, Step};
use planner::scalar;

const HEADER: &str = "\
# Drafted from the live schema by `organization-operator plan init`. Read it before you use it:
# - a step deletes rows for good: move to `keep` what must stay, for example by law;
# - decide about everything under `unclassified`;
# - `organization-operator plan show --config FILE` shows what the plan means, and what is left to do.
# What is left out has its default: docs/configuration.md. How to read a plan: docs/plan.md.

# In a cluster the database URL is in a mounted file (deploy/README.md); by hand, in DATABASE_URL:
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
    text += "  # A table with such a column that is neither a step nor kept blocks every deletion.\n";
    text.extend([format!("  tenantColumns: [{}]\n", columns.join(", "))]);
    text += &steps(draft);
    text += "  # Tables that are never deleted from, each with its reason: - {table: invoices, reason: statutory retention}\n";
    text += "  keep: []\n";
    text += &unclassified(draft);
    text + &unrelated(draft)
}

fn activation(active: Option<&Active>, candidates: &[Active]) -> String {
    if let Some(active) = active {
        return format!("    active: {}\n", active_map(active));
    }
    if candidates.is_empty() {
        return "    # No column says whether an organization is in use, so it cannot be deactivated: no recovery window, and the\n    \
                # operator needs UPDATE on one column all the same, to lock the row.\n    \
                # active: {column: is_active, inactive: false}\n"
            .to_owned();
    }
    let mut text = "    # Several columns could switch an organization off. Choose one:\n".to_owned();
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
        "  # In the order of deletion. The real order follows the foreign keys where they insist.\n".to_owned();
    if !steps.iter().any(|s| s.entity == "users") {
        text += "  # Rows of the entity `users` are counted exactly and have a column of their own: rename the entity that means users.\n";
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
    let mut text = "  # Nothing is deleted while a table stands here. For each: make it a step, keep it, or, if no row of it belongs to an\n  \
                    # organization, only take it off the list.\n  unclassified:\n"
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
    let mut text = "\n# Tables that neither a foreign key nor the name of a column ties to an organization. They are left alone:\n".to_owned();
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

/// A step on one line.
struct Line {
    table: String,
    text: String,
}

/// Steps on a line each, their fields under each other.
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
    use planner::plan::{OrganizationTable, Plan, Unclassified};

    #[test]
    fn hostile_names_survive_the_file() {
        let names = ["no", "a: b", "x, y}", "#", "it's \"quoted\"", "line\nbreak", "Äpfel", "1", "a.b"];
        let steps: Vec<Step> = names
            .iter()
            .map(|name| Step {
                entity: (*name).to_owned(),
                table: (*name).to_owned(),
                organization: None,
                parent: Some("a.b".to_owned()),
                column: None,
                columns: [((*name).to_owned(), "null".to_owned())].into(),
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
