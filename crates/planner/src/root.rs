//! The organizations' own table: its key, its activation and the statements on it.

use crate::catalog::{Catalog, ColumnInfo, ForeignKey, TableId, TableInfo};
use crate::identifier::{Column, Table};
use crate::plan::{Active, Inactive};
use crate::row_set::RowSet;
use crate::statement::{Param, Statement, Writer};

/// The organizations' own table, with one row for each organization.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its identity.
    pub id: TableId,
    /// Its name.
    pub table: Table,
    /// Its key.
    pub key: Column,
    /// The type of the key.
    pub key_type: String,
    /// How an organization is switched off. `None` if the plan does not say.
    pub activation: Option<ActivationColumn>,
    /// Returns one row: the key in its canonical spelling, whether the organization exists, and whether it is active.
    pub observe: Statement,
    /// Locks the organization and returns whether it is active. Returns no row if it does not exist.
    pub lock: Statement,
    /// Returns, for each of many organizations that exist, the key and whether it is active.
    pub observe_many: Statement,
}

/// The column that says whether an organization is active. Both statements change the row only if it is in the other
/// state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationColumn {
    column: Column,
    inactive: Inactive,
    /// Switches the organization on.
    pub activate: Statement,
    /// Switches the organization off.
    pub deactivate: Statement,
}

impl ActivationColumn {
    fn new(active: &Active, table: &Table, key: &Column, key_type: &str) -> Self {
        let (column, inactive) = (Column::new(&active.column), active.inactive);
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

/// Whether the row known as `alias` is active, as an SQL expression. NULL in a boolean column counts as not active if the
/// column means "active", and as active if it means "inactive": an application that reads the column does the same.
fn is_active(column: &Column, inactive: Inactive, alias: &str) -> String {
    match inactive {
        Inactive::False => format!("({alias}.{column} IS TRUE)"),
        Inactive::True => format!("({alias}.{column} IS NOT TRUE)"),
        Inactive::Now => format!("({alias}.{column} IS NULL)"),
    }
}

fn active_expression(activation: Option<&ActivationColumn>, alias: &str) -> String {
    activation.map_or_else(|| "NULL::boolean".to_owned(), |a| is_active(&a.column, a.inactive, alias))
}

impl Root {
    pub(crate) fn new(info: &TableInfo, key: &ColumnInfo, active: Option<&Active>) -> Self {
        let (table, key_type, key) = (info.table.clone(), key.type_name.clone(), Column::new(&key.name));
        let activation = active.map(|active| ActivationColumn::new(active, &table, &key, &key_type));
        let active = active_expression(activation.as_ref(), "t");

        let mut writer = Writer::default();
        let value = writer.value(Param::Key, &key_type);
        let observe = writer.finish(format!(
            "SELECT COALESCE(o.key, k.key) AS key, o.key IS NOT NULL AS present, o.active AS active \
             FROM (SELECT ({value})::text AS key) k \
             LEFT JOIN (SELECT t.{key}::text AS key, {active} AS active FROM {table} t WHERE t.{key} = {value}) o ON true"
        ));

        let mut writer = Writer::default();
        let value = writer.value(Param::Key, &key_type);
        let lock =
            writer.finish(format!("SELECT {active} AS active FROM {table} t WHERE t.{key} = {value} FOR UPDATE"));

        let mut writer = Writer::default();
        let values = writer.array(Param::Keys, &key_type);
        let observe_many = writer.finish(format!(
            "SELECT t.{key}::text AS key, {active} AS active, NULL::bigint AS users FROM {table} t WHERE t.{key} = ANY({values})"
        ));

        Self { id: info.id, table, key, key_type, activation, observe, lock, observe_many }
    }

    /// Returns the next `limit` organizations in the order of their keys, each with its key, the text of the column `name`, and
    /// whether it is active: the first ones, or those after the bound key. A key that is NULL identifies nobody.
    #[must_use]
    pub fn page(&self, name: &Column, after: bool, limit: u32) -> Statement {
        let Self { table, key, key_type, .. } = self;
        let active = self.active_expression("t");
        let mut writer = Writer::default();
        let range = if after {
            format!("t.{key} > {}", writer.value(Param::Key, key_type))
        } else {
            format!("t.{key} IS NOT NULL")
        };
        writer.finish(format!(
            "SELECT t.{key}::text AS key, t.{name}::text AS name, {active} AS active FROM {table} t WHERE {range} ORDER BY t.{key} LIMIT {limit}"
        ))
    }

    /// Returns the canonical spelling of each of many ids, in their order, whether or not such an organization exists.
    #[must_use]
    pub fn canonical_many(&self) -> Statement {
        let mut writer = Writer::default();
        let ids = writer.array(Param::Keys, &self.key_type);
        writer.finish(format!(
            "SELECT COALESCE(t.{key}::text, u.id::text) AS key FROM unnest({ids}) WITH ORDINALITY u(id, n) \
             LEFT JOIN {table} t ON t.{key} = u.id ORDER BY u.n",
            key = self.key,
            table = self.table
        ))
    }

    /// The organization's own row.
    pub(crate) fn rows(&self) -> RowSet {
        RowSet::Direct { column: self.key.clone(), type_name: self.key_type.clone() }
    }

    /// The foreign key by which the column refers to something other than the organizations' key. Returns `None` if there
    /// is none, or if the column also refers to that key.
    pub(crate) fn refers_elsewhere<'c>(
        &self,
        child: TableId,
        column: &str,
        catalog: &'c Catalog,
    ) -> Option<&'c ForeignKey> {
        let keys = || catalog.foreign_keys.iter().filter(|k| k.child == child && k.child_columns == [column]);
        let to_key = |k: &ForeignKey| k.parent == self.id && k.parent_columns == [self.key.name()];
        if keys().any(to_key) { None } else { keys().next() }
    }

    /// Whether the organization known as `alias` is active, as an SQL expression; NULL if the plan has no activation.
    pub(crate) fn active_expression(&self, alias: &str) -> String {
        active_expression(self.activation.as_ref(), alias)
    }
}
