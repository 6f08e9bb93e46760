//! A draft as a configuration file, which a person then edits.

use planner::infer::Draft;
use planner::plan::{Active, Inactive};
use planner::scalar;

use super::entries::{self, aligned, comment, referred, suggestions, unread, wrapped};

const HEADER: &str = "\
# Drafted from the live schema by `organization-operator plan init`. Read it before you use it:
# - A step deletes rows permanently. Move to `keep` what must stay, for example by law.
# - Decide about every table under `unclassified`.
# - `organization-operator plan show --config FILE` shows what the plan does, and what you still have to decide.
# An omitted field has its default: docs/configuration.md. docs/plan.md explains how to read a plan.

# In a cluster, a mounted file contains the database URL (deploy/README.md). By hand, set DATABASE_URL instead:
# database: {urlFile: /etc/organization-operator/database/url}
";

/// The comment above the list of the tables about which a person must decide.
pub(super) const UNCLASSIFIED: &str = "# The operator deletes nothing while this list has an entry. For each table: make it a step, keep it, or move it to `global` if\n  \
    # none of its rows belongs to an organization.";

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
    text += &global(draft);
    text + &unclassified(draft)
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

fn global(draft: &Draft) -> String {
    let mut text = "  # Tables without any sign of an organization. If one of them has rows of an organization after all, make it a step, or\n  \
                    # keep it.\n"
        .to_owned();
    for line in unread(&draft.unread).into_iter().chain(referred(&draft.referred)) {
        text.extend([format!("  {line}\n")]);
    }
    let names: Vec<String> = draft.plan.global.iter().map(|t| scalar(t)).collect();
    text.extend([format!("  global: [{}]\n", wrapped(&names).join("\n    "))]);
    text
}

fn unclassified(draft: &Draft) -> String {
    if draft.plan.unclassified.is_empty() {
        return String::new();
    }
    let mut text = format!("  {UNCLASSIFIED}\n  unclassified:\n");
    for (open, suggested) in draft.plan.unclassified.iter().zip(&draft.suggestions) {
        text.extend([format!("    - {}\n", entries::unclassified(open))]);
        for line in suggestions(suggested) {
            text.extend([format!("    {line}\n")]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use planner::infer::{Referred, Suggestions, Unread};
    use planner::plan::{OrganizationTable, Plan, Step, Unclassified, UnknownTables};

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
            global: ["g]", "#h", "i, j"].map(String::from).to_vec(),
            unknown_tables: UnknownTables::Warn,
            unclassified: vec![Unclassified { table: "a\nsteps: []".into(), why: Some("b: c # d".into()) }],
        };
        let draft = Draft {
            remarks: names.iter().map(|n| vec![format!("{n}\nkeep: 1")]).collect(),
            suggestions: vec![Suggestions { steps: plan.steps.clone(), inside: true, polymorphic: true }],
            unread: names.iter().map(|n| Unread { table: (*n).to_owned(), columns: vec!["x\ny: 1".into()] }).collect(),
            referred: vec![Referred { table: "a\nb: 1".into(), by: vec!["c\nd: 1".into()] }],
            activation: Vec::new(),
            plan,
        };
        let text = render(&draft);
        let read: Config = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(read.cascade.plan, draft.plan, "{text}");
    }
}
