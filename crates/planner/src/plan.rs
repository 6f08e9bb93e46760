//! What an administrator may declare: the plan of the cascade.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The `cascade` part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The table with one row per organization.
    pub organization: OrganizationTable,
    /// Columns that mark a table as belonging to a tenant. A table with such a column that is neither a step nor kept
    /// makes the plan incomplete.
    #[serde(default)]
    pub tenant_columns: Vec<String>,
    /// What is deleted, in the declared order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What is kept on purpose.
    #[serde(default)]
    pub keep: Vec<Keep>,
    /// Tables about which nobody has decided yet. While there is one, nothing is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclassified: Vec<Unclassified>,
}

/// The table with one row per organization.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrganizationTable {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Its key column.
    pub key: String,
    /// How an organization is switched off. Without it, deactivation is not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
}

/// How an organization is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Active {
    /// The column.
    pub column: String,
    /// Its value in an organization that is switched off: `false`, `true`, or `now` for a nullable timestamp.
    pub inactive: Inactive,
}

/// The value that means "switched off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactive {
    /// A boolean that is true while active.
    False,
    /// A boolean that is true while switched off.
    True,
    /// A timestamp that is NULL while active.
    Now,
}

impl Serialize for Inactive {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::False => serializer.serialize_bool(false),
            Self::True => serializer.serialize_bool(true),
            Self::Now => serializer.serialize_str("now"),
        }
    }
}

impl<'de> Deserialize<'de> for Inactive {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Bool(bool),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Bool(false) => Ok(Self::False),
            Raw::Bool(true) => Ok(Self::True),
            Raw::Text(text) if text == "now" => Ok(Self::Now),
            Raw::Text(text) => Err(serde::de::Error::custom(format!("must be false, true or now, not `{text}`"))),
        }
    }
}

/// One table to delete from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Name under which its rows are counted. Several steps may share one.
    pub entity: String,
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// The column that holds the organization's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The entity whose rows this table's rows belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// With `parent`: the column that holds the parent's single-column key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// With `parent`: columns of this table, each with the parent's column that it refers to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
}

impl Step {
    /// The columns by which its rows are found.
    #[must_use]
    pub fn path_columns(&self) -> Vec<String> {
        self.organization.iter().chain(&self.column).chain(self.columns.keys()).cloned().collect()
    }
}

/// A table that is kept on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keep {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Why it is kept.
    pub reason: String,
}

/// A table about which nobody has decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unclassified {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Why it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Longest name of an entity: it is a metric label and a field of status.
pub(crate) const ENTITY_LIMIT: usize = 63;

impl Plan {
    /// Checks what can be checked without a database. Every problem names its field.
    ///
    /// # Errors
    /// Returns all problems found.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut need = |field: String, value: &str| {
            if value.trim().is_empty() {
                problems.push(format!("`{field}` must not be empty"));
            }
        };
        need("cascade.organization.table".into(), &self.organization.table);
        need("cascade.organization.key".into(), &self.organization.key);
        if let Some(active) = &self.organization.active {
            need("cascade.organization.active.column".into(), &active.column);
        }
        for (i, step) in self.steps.iter().enumerate() {
            need(format!("cascade.steps[{i}].entity"), &step.entity);
            need(format!("cascade.steps[{i}].table"), &step.table);
        }
        for (i, keep) in self.keep.iter().enumerate() {
            need(format!("cascade.keep[{i}].table"), &keep.table);
            need(format!("cascade.keep[{i}].reason"), &keep.reason);
        }
        for (i, table) in self.unclassified.iter().enumerate() {
            need(format!("cascade.unclassified[{i}].table"), &table.table);
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
                        problems.push(format!("`{at}.column` and `{at}.columns` go with `parent`"));
                    }
                }
                (None, Some(parent)) => {
                    if !entities.contains(parent.as_str()) {
                        problems.push(format!("`{at}.parent` names the entity `{parent}`, which no step has"));
                    }
                    if step.column.is_some() != step.columns.is_empty() {
                        problems.push(format!("`{at}` must have either `column` or `columns` beside `parent`"));
                    }
                }
            }
            if self.parents_loop(i) {
                problems.push(format!("`{at}.parent` leads back to itself"));
            }
        }
        for keep in &self.keep {
            if self.steps.iter().any(|s| s.table == keep.table) {
                problems.push(format!("table `{}` must not be both a step and kept", keep.table));
            }
        }
        for open in &self.unclassified {
            if self.steps.iter().any(|s| s.table == open.table) || self.keep.iter().any(|k| k.table == open.table) {
                problems.push(format!(
                    "table `{}` is a step or kept, so it must be taken off `cascade.unclassified`",
                    open.table
                ));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether following `parent` from this step never reaches a step with an `organization` column.
    fn parents_loop(&self, start: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(i) = open.pop() {
            let Some(parent) = &self.steps[i].parent else { continue };
            for (j, step) in self.steps.iter().enumerate() {
                if step.entity == *parent {
                    if j == start {
                        return true;
                    }
                    if seen.insert(j) {
                        open.push(j);
                    }
                }
            }
        }
        false
    }
}

impl Default for Plan {
    /// The platform's own schema, in the order of the REST endpoint that this operator replaces.
    fn default() -> Self {
        let direct = |entity: &str, table: &str| Step {
            entity: entity.into(),
            table: table.into(),
            organization: Some("organization_id".into()),
            parent: None,
            column: None,
            columns: BTreeMap::new(),
        };
        let child = |entity: &str, table: &str, parent: &str, column: &str| Step {
            entity: entity.into(),
            table: table.into(),
            organization: None,
            parent: Some(parent.into()),
            column: Some(column.into()),
            columns: BTreeMap::new(),
        };
        Self {
            organization: OrganizationTable {
                table: "organizations".into(),
                key: "id".into(),
                active: Some(Active { column: "is_active".into(), inactive: Inactive::False }),
            },
            tenant_columns: vec!["organization_id".into()],
            steps: vec![
                direct("users", "users"),
                direct("flows", "flows"),
                child("flowExecutions", "flow_executions", "flows", "flow_id"),
                child("taskOutputs", "task_outputs", "flowExecutions", "flow_execution_id"),
                child("taskStatuses", "task_statuses", "flowExecutions", "flow_execution_id"),
            ],
            keep: Vec::new(),
            unclassified: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_plan_is_valid_and_survives_yaml() {
        let plan = Plan::default();
        assert_eq!(plan.validate(), Ok(()));
        let text = serde_yaml::to_string(&plan).expect("serializes");
        assert_eq!(serde_yaml::from_str::<Plan>(&text).expect("parses"), plan);
    }

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

    #[test]
    fn inactive_is_false_true_or_now() {
        for (text, expected) in [("false", Inactive::False), ("true", Inactive::True), ("now", Inactive::Now)] {
            assert_eq!(serde_yaml::from_str::<Inactive>(text).expect("parses"), expected);
        }
        let error = serde_yaml::from_str::<Inactive>("never").expect_err("refused").to_string();
        assert!(error.contains("false, true or now"), "{error}");
    }
}
