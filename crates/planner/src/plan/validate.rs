//! What can be checked about a plan without a database.

use std::collections::BTreeSet;

use super::Plan;
use crate::limits::ENTITY_LIMIT;

impl Plan {
    /// Checks the plan as far as that needs no database.
    ///
    /// # Errors
    /// Returns every problem, each with the name of its field.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut require = |field: String, value: &str| {
            if value.trim().is_empty() {
                problems.push(format!("`{field}` must not be empty"));
            }
        };
        require("cascade.organization.table".into(), &self.organization.table);
        require("cascade.organization.key".into(), &self.organization.key);
        if let Some(active) = &self.organization.active {
            require("cascade.organization.active.column".into(), &active.column);
        }
        for (i, step) in self.steps.iter().enumerate() {
            require(format!("cascade.steps[{i}].entity"), &step.entity);
            require(format!("cascade.steps[{i}].table"), &step.table);
        }
        for (i, keep) in self.keep.iter().enumerate() {
            require(format!("cascade.keep[{i}].table"), &keep.table);
            require(format!("cascade.keep[{i}].reason"), &keep.reason);
        }
        for (i, table) in self.unclassified.iter().enumerate() {
            require(format!("cascade.unclassified[{i}].table"), &table.table);
        }
        if self.steps.is_empty() && self.unclassified.is_empty() {
            problems.push("`cascade.steps` must name at least one table to delete from".into());
        }
        let entities: BTreeSet<&str> = self.steps.iter().map(|s| s.entity.as_str()).collect();
        for (i, step) in self.steps.iter().enumerate() {
            let at = format!("cascade.steps[{i}]");
            if step.entity.len() > ENTITY_LIMIT {
                problems.push(format!("`{at}.entity` must have at most {ENTITY_LIMIT} characters"));
            }
            match (&step.organization, &step.parent) {
                (Some(_), Some(_)) => {
                    problems.push(format!("`{at}` must have `organization` or `parent`, not both"));
                }
                (None, None) => problems.push(format!(
                    "`{at}` must say how its rows belong to the organization: `organization: COLUMN`, or `parent: ENTITY` with `column` or `columns`"
                )),
                (Some(_), None) => {
                    if step.column.is_some() || !step.columns.is_empty() {
                        problems.push(format!("`{at}.column` and `{at}.columns` are only allowed with `parent`"));
                    }
                }
                (None, Some(parent)) => {
                    if !entities.contains(parent.as_str()) {
                        problems.push(format!("`{at}.parent` names the entity `{parent}`, which no step has"));
                    }
                    if step.column.is_some() != step.columns.is_empty() {
                        problems.push(format!("`{at}` has `parent`, so it must have either `column` or `columns`"));
                    }
                }
            }
            if self.parents_loop(i) {
                problems.push(format!("`{at}.parent` leads back to itself"));
            }
        }
        for keep in &self.keep {
            if self.steps.iter().any(|s| s.table == keep.table) {
                problems.push(format!("the table `{}` must not be both a step and kept", keep.table));
            }
        }
        for open in &self.unclassified {
            if self.steps.iter().any(|s| s.table == open.table) || self.keep.iter().any(|k| k.table == open.table) {
                problems.push(format!(
                    "the table `{}` is a step or kept, so `cascade.unclassified` must not list it",
                    open.table
                ));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether `parent` leads from this step back to itself.
    fn parents_loop(&self, start: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![start];
        while let Some(i) = pending.pop() {
            let Some(parent) = &self.steps[i].parent else { continue };
            for (j, step) in self.steps.iter().enumerate() {
                if step.entity == *parent {
                    if j == start {
                        return true;
                    }
                    if seen.insert(j) {
                        pending.push(j);
                    }
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_names_its_field() {
        let plan: Plan = serde_yaml::from_str(
            "organization: {table: orgs, key: ''}\n\
             steps:\n\
             - {entity: a, table: a}\n\
             - {entity: b, table: b, organization: o, column: c}\n\
             - {entity: c, table: c, parent: nobody, column: x}\n\
             - {entity: d, table: d, parent: e, column: x}\n\
             - {entity: e, table: e, parent: d, column: x}\n\
             keep: [{table: a, reason: law}]\n\
             unclassified: [{table: e}, {table: open, why: unknown}]\n",
        )
        .expect("parses");
        let problems = plan.validate().expect_err("has problems").join("\n");
        for part in [
            "cascade.organization.key",
            "cascade.steps[0]` must say how",
            "cascade.steps[1].column",
            "`nobody`",
            "cascade.steps[3].parent` leads back",
            "cascade.steps[4].parent` leads back",
            "`a` must not be both",
            "`e` is a step or kept",
        ] {
            assert!(problems.contains(part), "{part} is missing in:\n{problems}");
        }
    }
}
