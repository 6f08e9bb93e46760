//! What can be checked about a plan without a database.

use std::collections::BTreeSet;

use super::{Partitions, Plan, Step};
use crate::limits::ENTITY_LIMIT;

impl Plan {
    /// Checks the plan as far as that needs no database.
    ///
    /// # Errors
    /// Returns every problem, each with the name of its field.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = self.empty_fields();
        if self.steps.is_empty() && self.unclassified.is_empty() {
            problems.push("`cascade.steps` must name at least one table to delete from".into());
        }
        for i in 0..self.steps.len() {
            self.check_step(i, &mut problems);
        }
        self.check_lists(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Names that are empty.
    fn empty_fields(&self) -> Vec<String> {
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
        for (i, table) in self.global.iter().enumerate() {
            require(format!("cascade.global[{i}]"), table);
        }
        for (i, table) in self.unclassified.iter().enumerate() {
            require(format!("cascade.unclassified[{i}].table"), &table.table);
        }
        problems
    }

    /// Whether a step says in exactly one complete way which rows of its table it deletes.
    fn check_step(&self, i: usize, problems: &mut Vec<String>) {
        let step = &self.steps[i];
        let at = format!("cascade.steps[{i}]");
        if step.entity.len() > ENTITY_LIMIT {
            problems.push(format!("`{at}.entity` must have at most {ENTITY_LIMIT} characters"));
        }
        let ways = [&step.organization, &step.parent, &step.referenced_by];
        match ways.into_iter().flatten().count() {
            0 => problems.push(format!(
                "`{at}` must say how its rows belong to the organization: `organization: COLUMN`, or `parent: ENTITY` or `referencedBy: ENTITY` with `column` or `columns`"
            )),
            1 => {}
            _ => {
                problems.push(format!("`{at}` must have only one of `organization`, `parent` and `referencedBy`"));
            }
        }
        if step.organization.is_some() && (step.column.is_some() || !step.columns.is_empty()) {
            problems.push(format!("`{at}.column` and `{at}.columns` are only allowed with `parent` or `referencedBy`"));
        }
        for (field, entity) in [("parent", &step.parent), ("referencedBy", &step.referenced_by)] {
            let Some(entity) = entity else { continue };
            if !self.steps.iter().any(|other| other.entity == *entity) {
                problems.push(format!("`{at}.{field}` names the entity `{entity}`, which no step has"));
            }
            if step.column.is_some() != step.columns.is_empty() {
                problems.push(format!("`{at}` has `{field}`, so it must have either `column` or `columns`"));
            }
        }
        if step.referenced_by.is_none() && !step.unless.is_empty() {
            problems.push(format!("`{at}.unless` is only allowed with `referencedBy`"));
        }
        if step.organization.is_none() && step.partitions == Partitions::Drop {
            problems.push(format!("`{at}.partitions: drop` is only allowed with `organization`"));
        }
        if self.parents_loop(i) {
            problems.push(format!("`{at}`: `parent` or `referencedBy` leads back to this step"));
        }
    }

    /// Tables that the plan names in two lists which exclude each other.
    fn check_lists(&self, problems: &mut Vec<String>) {
        for keep in &self.keep {
            if self.steps.iter().any(|s| s.table == keep.table) {
                problems.push(format!("the table `{}` must not be both a step and kept", keep.table));
            }
        }
        let decided = |table: &String| {
            self.organization.table == *table
                || self.steps.iter().any(|s| s.table == *table)
                || self.keep.iter().any(|k| k.table == *table)
        };
        for table in self.global.iter().filter(|t| decided(t)) {
            problems.push(format!(
                "the table `{table}` is the organizations' own, a step, or kept, so `cascade.global` must not list it"
            ));
        }
        for open in self.unclassified.iter().filter(|u| decided(&u.table) || self.global.contains(&u.table)) {
            problems.push(format!(
                "the table `{}` is a step, kept, or global, so `cascade.unclassified` must not list it",
                open.table
            ));
        }
    }

    /// Whether `parent` or `referenced_by` leads from this step back to itself.
    fn parents_loop(&self, start: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![start];
        while let Some(i) = pending.pop() {
            let Step { parent, referenced_by, .. } = &self.steps[i];
            for (j, step) in self.steps.iter().enumerate() {
                if [parent, referenced_by].into_iter().flatten().any(|entity| step.entity == *entity) {
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
             - {entity: f, table: f, parent: a, referencedBy: b, column: x}\n\
             - {entity: g, table: g, referencedBy: nobody2}\n\
             - {entity: h, table: h, organization: o, unless: [{table: t, column: c}]}\n\
             - {entity: i, table: i, parent: j, column: x}\n\
             - {entity: j, table: j, referencedBy: i, column: x}\n\
             - {entity: k, table: k, parent: a, column: x, partitions: drop}\n\
             keep: [{table: a, reason: law}]\n\
             global: [b, c2, orgs]\n\
             unclassified: [{table: e}, {table: c2}, {table: open, why: unknown}]\n",
        )
        .expect("parses");
        let problems = plan.validate().expect_err("has problems").join("\n");
        for part in [
            "cascade.organization.key",
            "cascade.steps[0]` must say how",
            "cascade.steps[1].column",
            "`nobody`",
            "cascade.steps[3]`: `parent` or `referencedBy` leads back",
            "cascade.steps[4]`: `parent` or `referencedBy` leads back",
            "cascade.steps[5]` must have only one",
            "cascade.steps[6].referencedBy` names the entity `nobody2`",
            "cascade.steps[6]` has `referencedBy`, so",
            "cascade.steps[7].unless",
            "cascade.steps[8]`: `parent` or `referencedBy` leads back",
            "cascade.steps[9]`: `parent` or `referencedBy` leads back",
            "cascade.steps[10].partitions: drop` is only allowed",
            "`a` must not be both",
            "`b` is the organizations' own, a step, or kept",
            "`orgs` is the organizations' own, a step, or kept",
            "`e` is a step, kept, or global",
            "`c2` is a step, kept, or global",
        ] {
            assert!(problems.contains(part), "{part} is missing in:\n{problems}");
        }
    }
}
