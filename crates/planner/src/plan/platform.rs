//! The plan of the platform's own schema: the default.

use super::{Active, Inactive, OrganizationTable, Plan, Step, UnknownTables};

impl Default for Plan {
    /// The platform's own schema, in the order of the REST endpoint that this operator replaces.
    fn default() -> Self {
        let direct = |entity: &str, table: &str| Step {
            entity: entity.into(),
            table: table.into(),
            organization: Some("organization_id".into()),
            ..Step::default()
        };
        let child = |entity: &str, table: &str, parent: &str, column: &str| Step {
            entity: entity.into(),
            table: table.into(),
            parent: Some(parent.into()),
            column: Some(column.into()),
            ..Step::default()
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
            global: Vec::new(),
            unknown_tables: UnknownTables::Warn,
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
}
