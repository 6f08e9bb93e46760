//! Collects the faults of a plan, each with what clears it.

use crate::catalog::{Catalog, OwnPrivilege, TableInfo};
use crate::entity;
use crate::fault::Faults;
use crate::finding::{Finding, Kind, Severity};
use crate::findings::unknown;
use crate::identifier::{Table, quote};
use crate::plan::{Plan, UnknownTables};
use crate::yaml::scalar;

/// Collects the faults of a plan for a database role.
pub(super) struct Collector {
    role: String,
    schema: Vec<Finding>,
    permission: Vec<Finding>,
}

impl Collector {
    pub(super) fn new(role: &str) -> Self {
        Self { role: role.to_owned(), schema: Vec::new(), permission: Vec::new() }
    }

    /// The plan does not fit the schema.
    pub(super) fn schema(&mut self, message: String, table: Option<&str>, remedy: Option<String>) {
        self.push(Finding {
            table: table.map(str::to_owned),
            remedy,
            ..Finding::new(Severity::Blocks, Kind::PlanMismatch, message)
        });
    }

    /// Adds a fault that is not about a privilege.
    pub(super) fn push(&mut self, finding: Finding) {
        self.schema.push(finding);
    }

    pub(super) fn missing_table(&mut self, field: &str, table: &str) {
        let message = format!("`{field}` names the table `{table}`, which is not in the database");
        self.push(Finding {
            remedy: Some("correct the table's name in the plan (cascade), or write it as schema.table".into()),
            ..Finding::new(Severity::Blocks, Kind::MissingTable, message).on(table)
        });
    }

    pub(super) fn missing_column(&mut self, field: &str, table: &str, column: &str) {
        let message = format!("`{field}` names the column `{column}`, which the table `{table}` does not have");
        self.push(Finding {
            columns: vec![column.to_owned()],
            remedy: Some("correct the column's name in the plan (cascade)".into()),
            ..Finding::new(Severity::Blocks, Kind::MissingColumn, message).on(table)
        });
    }

    /// Tables that the plan itself lists as unclassified.
    pub(super) fn listed_as_unclassified(&mut self, plan: &Plan) {
        for open in &plan.unclassified {
            let name = &open.table;
            let why = open.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            self.schema(
                format!("the table `{name}` is unclassified: nobody has decided whether its rows are deleted with an organization{why}"),
                Some(name),
                Some(format!(
                    "decide about `{name}` in the plan (cascade): add a step if its rows belong to an organization, a keep {{table: {name}, reason: ...}} if they stay, or {name} to `cascade.global` if none of them belongs to an organization; then remove it from `cascade.unclassified`"
                )),
            );
        }
    }

    /// Tables that the plan does not mention, if it requires that it mentions all of them.
    pub(super) fn unknown_tables(&mut self, plan: &Plan, catalog: &Catalog) {
        if plan.unknown_tables == UnknownTables::Block {
            let found = unknown::tables(catalog, Severity::Blocks, &self.schema);
            self.schema.extend(found);
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
                let listed = table.as_global(plan);
                let but = match listed {
                    Some(_) => "lists it as global, so its rows would stay",
                    None => "neither deletes nor keeps it",
                };
                let message = format!("the table `{name}` has the tenant column `{column}`, but the plan {but}");
                self.push(Finding {
                    remedy: Some(format!(
                        "{}add a step {{entity: {}, table: {full}, organization: {}}} or a keep {{table: {full}, reason: ...}} to the plan (cascade)",
                        listed.map(Plan::not_global).unwrap_or_default(),
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

    /// Privileges on the operator's own schema: the operator deletes nothing without its own records.
    pub(super) fn own_privileges(&mut self, catalog: &Catalog) {
        for OwnPrivilege { privilege, schema, table } in &catalog.own_missing {
            if let Some(table) = table.as_ref().map(|table| Table::qualified(schema, table)) {
                let what = format!("the operator's own table `{}`", table.name());
                self.lacks(privilege, &what, &table.to_string(), Some(table.name()));
            } else {
                let what = format!("the operator's own schema `{schema}`");
                self.lacks(privilege, &what, &format!("SCHEMA {}", quote(schema)), None);
            }
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
        // A deletion must be able to read every row that refers to the plan from outside, or it could not see what blocks it
        // or what keeps a row.
        let referring = catalog.foreign_keys.iter().filter_map(|key| catalog.table(key.child));
        let named = plan.steps.iter().flat_map(|step| &step.unless).filter_map(|r| catalog.declared(&r.table));
        for info in referring.chain(named) {
            if !seen.contains(&info.id) && !info.declared.contains(&plan.organization.table) {
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

    /// The privilege to lock rows of these tables.
    pub(super) fn locks<'t>(&mut self, tables: impl Iterator<Item = &'t TableInfo>) {
        let mut seen = Vec::new();
        for table in tables.filter(|table| !table.privileges.lock) {
            if !seen.contains(&table.id) {
                seen.push(table.id);
                self.missing_lock(table);
            }
        }
    }

    /// The privilege to set these columns to NULL.
    pub(super) fn updates(&mut self, info: &TableInfo, columns: &[String]) {
        for column in columns {
            if info.column(column).is_some_and(|c| !c.updatable) {
                self.missing(info, &format!("UPDATE ({})", quote(column)));
            }
        }
    }

    /// PostgreSQL requires UPDATE on at least one column for row locks. The operator does not update that column.
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

    /// A deletion could miss hidden rows, or not see that they block it. Transactions run with `row_security = off`, so
    /// PostgreSQL rejects every query on the table.
    fn row_security(&mut self, info: &TableInfo) {
        if info.row_security {
            let name = info.table.name();
            let message = format!(
                "row-level security of the table `{name}` applies to the role {}, so a deletion might not see all rows",
                self.role
            );
            self.permission.push(Finding {
                remedy: Some(format!("ALTER ROLE {} BYPASSRLS;", quote(&self.role))),
                ..Finding::new(Severity::Blocks, Kind::RowSecurity, message).on(name)
            });
        }
    }

    fn missing_usage(&mut self, info: &TableInfo) {
        let schema = info.table.schema();
        let (what, object) = (format!("the schema `{schema}`"), format!("SCHEMA {}", quote(schema)));
        self.lacks("USAGE", &what, &object, Some(info.table.name()));
    }

    fn missing(&mut self, info: &TableInfo, privilege: &str) {
        let name = info.table.name();
        self.lacks(privilege, &format!("the table `{name}`"), &info.table.to_string(), Some(name));
    }

    /// The role lacks a privilege on something: `what` names it in the message, `object` in the `GRANT`.
    fn lacks(&mut self, privilege: &str, what: &str, object: &str, table: Option<String>) {
        let role = &self.role;
        let message = format!("the role {role} lacks the privilege {privilege} on {what}");
        self.permission.push(Finding {
            table,
            remedy: Some(format!("GRANT {privilege} ON {object} TO {};", quote(role))),
            ..Finding::new(Severity::Blocks, Kind::MissingPrivilege, message)
        });
    }

    /// The faults so far that are not about a privilege.
    pub(super) fn of_schema(&self) -> &[Finding] {
        &self.schema
    }

    pub(super) fn is_empty(&self) -> bool {
        self.schema.is_empty() && self.permission.is_empty()
    }

    /// All faults, those about privileges last. There is at least one.
    pub(super) fn into_faults(mut self) -> Faults {
        if self.is_empty() {
            self.schema("the plan has no statements and no fault; report this as a bug".to_owned(), None, None);
        }
        Faults::of(self.schema.into_iter().chain(self.permission).collect())
    }
}
