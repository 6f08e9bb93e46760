//! A random schema as SQL.

use super::schema::{Column, Row, Schema, Table};

impl Schema {
    /// The table as it stands in a plan.
    pub fn table_name(&self, t: usize) -> String {
        format!("{}.{}", self.name, self.tables[t].name)
    }

    /// Everything, rows included, as SQL.
    pub fn sql(&self) -> String {
        let mut sql = vec![format!("CREATE SCHEMA {}", self.name)];
        for (t, table) in self.tables.iter().enumerate() {
            let name = self.table_name(t);
            let mut parts: Vec<String> = table.columns.iter().map(column).collect();
            if !table.key.is_empty() {
                parts.push(format!("PRIMARY KEY ({})", names(table, &table.key)));
            }
            sql.push(format!("CREATE TABLE {name} ({})", parts.join(", ")));
            let rows: Vec<String> = table.rows.iter().map(|row| values(table, row)).collect();
            if !rows.is_empty() {
                sql.push(format!("INSERT INTO {name} VALUES {}", rows.join(", ")));
            }
        }
        for reference in &self.references {
            let Some(constraint) = &reference.constraint else { continue };
            let (child, parent) = (&self.tables[reference.child], &self.tables[reference.parent]);
            let deferrable = match (constraint.deferrable, constraint.initially_deferred) {
                (false, _) => "",
                (true, false) => " DEFERRABLE",
                (true, true) => " DEFERRABLE INITIALLY DEFERRED",
            };
            sql.push(format!(
                "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {}{deferrable}",
                self.table_name(reference.child),
                constraint.name,
                names(child, &reference.child_columns),
                self.table_name(reference.parent),
                names(parent, &reference.parent_columns),
                constraint.on_delete,
            ));
        }
        sql.join(";\n")
    }
}

fn column(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    let default = column.default.map(|v| format!(" DEFAULT '{}'", column.ty.text(v))).unwrap_or_default();
    format!("{} {}{null}{default}", column.name, column.ty.sql())
}

fn names(table: &Table, columns: &[usize]) -> String {
    columns.iter().map(|c| table.columns[*c].name.as_str()).collect::<Vec<_>>().join(", ")
}

fn values(table: &Table, row: &Row) -> String {
    let values: Vec<String> = table
        .columns
        .iter()
        .zip(&row.values)
        .map(|(column, value)| value.map_or_else(|| "NULL".to_owned(), |v| format!("'{}'", column.ty.text(v))))
        .collect();
    format!("({})", values.join(", "))
}
