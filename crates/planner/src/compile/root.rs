//! The organization's own table: its key, its activation and the statements on it.

use super::faults::Collector;
use crate::catalog::{Catalog, ForeignKey, TableId};
use crate::identifier::{Column, Table};
use crate::plan::{Inactive, Plan};
use crate::statement::{Param, RowSet, Statement, Writer};

/// The organization's own table.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its identity.
    pub id: TableId,
    /// Its name.
    pub table: Table,
    /// Its key.
    pub key: Column,
    /// Type of the key.
    pub key_type: String,
    /// How an organization is switched off; `None` if the plan does not say.
    pub activation: Option<Activation>,
    /// Returns canonical key, whether it is there, and whether it is active.
    pub observe: Statement,
    /// Locks the organization; returns whether it is active. No row: it is not there.
    pub lock: Statement,
    /// Existence and activation of many organizations.
    pub observe_many: Statement,
}

/// How an organization is switched off and on again. Both statements touch the row only if that changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    column: Column,
    inactive: Inactive,
    /// Switches it on.
    pub activate: Statement,
    /// Switches it off.
    pub deactivate: Statement,
}

impl Activation {
    fn new(column: Column, inactive: Inactive, table: &Table, key: &Column, key_type: &str) -> Self {
        let (on, off) = match inactive {
            Inactive::False => ("true", "false"),
            Inactive::True => ("false", "true"),
            Inactive::Now => ("NULL", "now()"),
        };
        let active = is_active(&column, inactive, "t");
        let switch = |value: &str, differs: &str| {
            let mut writer = Writer::default();
            let bound = writer.value(Param::Key, key_type);
            writer.finish(format!("UPDATE {table} t SET {column} = {value} WHERE t.{key} = {bound} AND {differs}"))
        };
        let (activate, deactivate) = (switch(on, &format!("NOT {active}")), switch(off, &active));
        Self { column, inactive, activate, deactivate }
    }
}

/// Whether a row is active, as an expression on `alias`. NULL in a boolean column counts as not active where the column
/// says "active", and as active where it says "inactive": exactly as an application that reads it.
fn is_active(column: &Column, inactive: Inactive, alias: &str) -> String {
    match inactive {
        Inactive::False => format!("({alias}.{column} IS TRUE)"),
        Inactive::True => format!("({alias}.{column} IS NOT TRUE)"),
        Inactive::Now => format!("({alias}.{column} IS NULL)"),
    }
}

impl Root {
    pub(super) fn rows(&self) -> RowSet {
        RowSet::Direct { column: self.key.clone(), type_name: self.key_type.clone() }
    }

    /// The foreign key which says that the column refers to something else than the organizations' key.
    pub(super) fn refers_elsewhere<'c>(
        &self,
        child: TableId,
        column: &str,
        catalog: &'c Catalog,
    ) -> Option<&'c ForeignKey> {
        let keys = || catalog.foreign_keys.iter().filter(|k| k.child == child && k.child_columns == [column]);
        let to_key = |k: &ForeignKey| k.parent == self.id && k.parent_columns == [self.key.name()];
        if keys().any(to_key) { None } else { keys().next() }
    }

    pub(super) fn active_expression(&self, alias: &str) -> String {
        active_expression(self.activation.as_ref(), alias)
    }
}

fn active_expression(activation: Option<&Activation>, alias: &str) -> String {
    activation.map_or_else(|| "NULL::boolean".to_owned(), |a| is_active(&a.column, a.inactive, alias))
}

/// Finds the organization's table and key.
pub(super) fn resolve(plan: &Plan, catalog: &Catalog, faults: &mut Collector) -> Option<Root> {
    let declared = &plan.organization;
    let Some(info) = catalog.declared(&declared.table) else {
        faults.missing_table("cascade.organization.table", &declared.table);
        return None;
    };
    let Some(key) = info.column(&declared.key) else {
        faults.missing_column("cascade.organization.key", &declared.table, &declared.key);
        return None;
    };
    if !info.unique_on(&[key.name.as_str()]) {
        faults.schema(
            format!(
                "`cascade.organization.key`: the column `{}` of the table `{}` does not identify one row; a primary key or a unique constraint on it alone is needed",
                declared.key, declared.table
            ),
            Some(&declared.table),
            Some(format!("ALTER TABLE {} ADD UNIQUE ({});", info.table, Column::new(&declared.key))),
        );
        return None;
    }
    let table = info.table.clone();
    let key_column = Column::new(&key.name);
    let key_type = key.type_name.clone();
    let activation = declared.active.as_ref().and_then(|active| {
        if info.column(&active.column).is_none() {
            faults.missing_column("cascade.organization.active.column", &declared.table, &active.column);
            return None;
        }
        Some(Activation::new(Column::new(&active.column), active.inactive, &table, &key_column, &key_type))
    });
    let active = active_expression(activation.as_ref(), "t");

    let mut writer = Writer::default();
    let value = writer.value(Param::Key, &key_type);
    let observe = format!(
        "SELECT COALESCE(o.key, k.key) AS key, o.key IS NOT NULL AS present, o.active AS active \
         FROM (SELECT ({value})::text AS key) k \
         LEFT JOIN (SELECT t.{key_column}::text AS key, {active} AS active FROM {table} t WHERE t.{key_column} = {value}) o ON true"
    );
    let observe = writer.finish(observe);

    let mut writer = Writer::default();
    let value = writer.value(Param::Key, &key_type);
    let lock =
        writer.finish(format!("SELECT {active} AS active FROM {table} t WHERE t.{key_column} = {value} FOR UPDATE"));

    let mut writer = Writer::default();
    let values = writer.array(Param::Keys, &key_type);
    let observe_many = writer.finish(format!(
        "SELECT t.{key_column}::text AS key, {active} AS active, NULL::bigint AS users FROM {table} t WHERE t.{key_column} = ANY({values})"
    ));

    Some(Root { id: info.id, table, key: key_column, key_type, activation, observe, lock, observe_many })
}
