//! Collects faults of the plan as a whole, each with what clears it.

use crate::catalog::{Catalog, OwnPrivilege, TableInfo};
use crate::entity;
use crate::fault::Faults;
use crate::finding::{Finding, Kind, Severity};
use crate::identifier::{Table, quote};
use crate::plan::Plan;
use crate::yaml::scalar;

/// Collects faults.
pub(super) struct Collector {
    role: String,
    schema: Vec<Finding>,
    permission: Vec<Finding>,
}

impl Collector {
    pub(super) fn new(role: &str) -> Self {
        Self { role: role.to_owned(), schema: Vec::new(), permission: Vec::new() }
    }

    /// The schema and the plan do not fit together.
    pub(super) fn schema(&mut self, message: String, table: Option<&str>, remedy: Option<String>) {
        self.found(Finding {
            table: table.map(str::to_owned),
            remedy,
            ..Finding::new(Severity::Blocks, Kind::PlanMismatch, message)
        });
    }

    /// Something of the schema that blocks.
    pub(super) fn found(&mut self, finding: Finding) {
        self.schema.push(finding);
    }

    pub(super) fn missing_table(&mut self, field: &str, table: &str) {
        let message = format!("`{field}` names the table `{table}`, which is not in the database");
        self.found(Finding {
            remedy: Some("correct the table's name in the plan (cascade), or write it as schema.table".into()),
            ..Finding::new(Severity::Blocks, Kind::MissingTable, message).on(table)
        });
    }

    pub(super) fn missing_column(&mut self, field: &str, table: &str, column: &str) {
        let message = format!("`{field}` names the column `{column}`, which the table `{table}` does not have");
        self.found(Finding {
            columns: vec![column.to_owned()],
            remedy: Some("correct the column's name in the plan (cascade)".into()),
            ..Finding::new(Severity::Blocks, Kind::MissingColumn, message).on(table)
        });
    }

    /// Tables that the plan itself lists as not decided yet.
    pub(super) fn undecided(&mut self, plan: &Plan) {
        for open in &plan.unclassified {
            let name = &open.table;
            let why = open.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            self.schema(
                format!("the table `{name}` is unclassified: nobody has decided whether its rows go with an organization{why}"),
                Some(name),
                Some(format!(
                    "decide about `{name}` in the plan (cascade): add a step if its rows belong to an organization, or a keep {{table: {name}, reason: ...}} if they stay; then take it off `cascade.unclassified`"
                )),
            );
        }
    }

    /// Tables with a tenant column that the plan neither deletes nor keeps.
    pub(super) fn unclassified(&mut self, plan: &Plan, catalog: &Catalog) {
        let entities = entity::proposed(plan, catalog);
        for table in &catalog.tables {
            let known = |name: &str| table.declared.iter().any(|d| d == name);
            if known(&plan.organization.table)
                || plan.steps.iter().any(|s| known(&s.table))
                || plan.keep.iter().any(|k| known(&k.table))
                || plan.unclassified.iter().any(|u| table.table.is_written(&u.table))
            {
                continue;
            }
            if let Some(column) = plan.tenant_columns.iter().find(|c| table.column(c).is_some()) {
                let name = table.table.name();
                let message = format!(
                    "the table `{name}` has the tenant column `{column}`, and the plan neither deletes nor keeps it"
                );
                self.found(Finding {
                    remedy: Some(format!(
                        "add a step {{entity: {}, table: {full}, organization: {}}} or a keep {{table: {full}, reason: ...}} to the plan (cascade)",
                        scalar(entities.get(&table.id).map_or_else(|| table.table.bare(), String::as_str)),
                        scalar(column),
                        full = scalar(&name)
                    )),
                    columns: vec![column.clone()],
                    ..Finding::new(Severity::Blocks, Kind::Unclassified, message).on(name)
                });
            }
        }
    }

    /// Privileges on the operator's own schema: without its records it deletes nothing.
    pub(super) fn own_privileges(&mut self, catalog: &Catalog) {
        let role = quote(&self.role);
        for OwnPrivilege { privilege, schema, table } in &catalog.own_missing {
            let finding = |message: String, object: String| Finding {
                remedy: Some(format!("GRANT {privilege} ON {object} TO {role};")),
                ..Finding::new(Severity::Blocks, Kind::MissingPrivilege, message)
            };
            self.permission.push(match table.as_ref().map(|table| Table::qualified(schema, table)) {
                Some(table) => finding(
                    format!(
                        "the role {} lacks the privilege {privilege} on the operator's own table `{}`",
                        self.role,
                        table.name()
                    ),
                    table.to_string(),
                )
                .on(table.name()),
                None => finding(
                    format!(
                        "the role {} lacks the privilege {privilege} on the operator's own schema `{schema}`",
                        self.role
                    ),
                    format!("SCHEMA {}", quote(schema)),
                ),
            });
        }
    }

    /// Privileges that the cascade needs.
    pub(super) fn privileges(&mut self, plan: &Plan, catalog: &Catalog) {
        if let Some(info) = catalog.declared(&plan.organization.table) {
            self.table_privileges(info, true);
            if let Some(active) = &plan.organization.active
                && info.column(&active.column).is_some_and(|c| !c.updatable)
            {
                self.missing(info, &format!("UPDATE ({})", quote(&active.column)));
            }
        }
        let mut seen = Vec::new();
        for step in &plan.steps {
            if let Some(info) = catalog.declared(&step.table)
                && !seen.contains(&info.id)
            {
                seen.push(info.id);
                self.table_privileges(info, false);
            }
        }
        // Every row of tables outside that refer to the plan must be readable, or what blocks a deletion could not be seen.
        for key in &catalog.foreign_keys {
            if let Some(info) = catalog.table(key.child)
                && !seen.contains(&info.id)
                && !info.declared.contains(&plan.organization.table)
            {
                seen.push(info.id);
                if !info.privileges.usage {
                    self.missing_usage(info);
                    continue;
                }
                if !info.privileges.select {
                    self.missing(info, "SELECT");
                }
                self.row_security(info);
            }
        }
    }

    /// Locking rows asks for UPDATE on at least one column.
    pub(super) fn locks<'t>(&mut self, tables: impl Iterator<Item = &'t TableInfo>) {
        let mut seen = Vec::new();
        for table in tables.filter(|table| !table.privileges.lock) {
            if !seen.contains(&table.id) {
                seen.push(table.id);
                self.missing_lock(table);
            }
        }
    }

    /// Setting references to NULL.
    pub(super) fn updates(&mut self, info: &TableInfo, columns: &[String]) {
        for column in columns {
            if info.column(column).is_some_and(|c| !c.updatable) {
                self.missing(info, &format!("UPDATE ({})", quote(column)));
            }
        }
    }

    /// Row locks ask for UPDATE on at least one column. The operator never updates it.
    fn missing_lock(&mut self, info: &TableInfo) {
        match info.unique_keys.first().and_then(|k| k.first()) {
            Some(key) => self.missing(info, &format!("UPDATE ({})", quote(key))),
            None => self.missing(info, "UPDATE"),
        }
    }

    fn table_privileges(&mut self, info: &TableInfo, lock: bool) {
        if !info.privileges.usage {
            self.missing_usage(info);
            return;
        }
        if !info.privileges.select {
            self.missing(info, "SELECT");
        }
        if !info.privileges.delete {
            self.missing(info, "DELETE");
        }
        if lock && !info.privileges.lock {
            self.missing_lock(info);
        }
        self.row_security(info);
    }

    /// Rows that it hides would be deleted, or would block, unseen. Transactions run with `row_security = off`, so the server
    /// refuses to read the table at all.
    fn row_security(&mut self, info: &TableInfo) {
        if info.row_security {
            let name = info.table.name();
            let message = format!(
                "row-level security of the table `{name}` applies to the role {}, so rows could be hidden from a deletion",
                self.role
            );
            self.permission.push(Finding {
                remedy: Some(format!("ALTER ROLE {} BYPASSRLS;", quote(&self.role))),
                ..Finding::new(Severity::Blocks, Kind::RowSecurity, message).on(name)
            });
        }
    }

    fn missing_usage(&mut self, info: &TableInfo) {
        let name = info.table.name();
        let schema = name.split('.').next().unwrap_or_default().to_owned();
        let message = format!("the role {} may not use the schema `{schema}`", self.role);
        self.permission.push(Finding {
            remedy: Some(format!("GRANT USAGE ON SCHEMA {} TO {};", quote(&schema), quote(&self.role))),
            ..Finding::new(Severity::Blocks, Kind::MissingPrivilege, message).on(name)
        });
    }

    fn missing(&mut self, info: &TableInfo, privilege: &str) {
        let name = info.table.name();
        let message = format!("the role {} lacks the privilege {privilege} on the table `{name}`", self.role);
        self.permission.push(Finding {
            remedy: Some(format!("GRANT {privilege} ON {} TO {};", info.table, quote(&self.role))),
            ..Finding::new(Severity::Blocks, Kind::MissingPrivilege, message).on(name)
        });
    }

    /// What is known so far.
    pub(super) fn known(&self) -> &[Finding] {
        &self.schema
    }

    /// The faults that rule out every statement.
    pub(super) fn certain(mut self) -> Faults {
        if self.schema.is_empty() {
            self.schema("the plan has no statements and no fault; report this as a bug".to_owned(), None, None);
        }
        Faults::of(self.findings())
    }

    /// `None` if there is no fault.
    pub(super) fn finish(self) -> Option<Faults> {
        let findings = self.findings();
        (!findings.is_empty()).then(|| Faults::of(findings))
    }

    /// Those of the schema come first.
    fn findings(self) -> Vec<Finding> {
        self.schema.into_iter().chain(self.permission).collect()
    }
}
