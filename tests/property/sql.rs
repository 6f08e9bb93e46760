//! A random schema as SQL.

use super::schema::{Column, Partitioning, Row, Schema, Table};

impl Schema {
    /// The table as it stands in a plan.
    pub fn table_name(&self, t: usize) -> String {
        format!("{}.{}", self.name, self.tables[t].name)
    }

    /// Everything, rows included, as SQL.
    pub fn sql(&self) -> String {
        let mut sql = vec![format!("CREATE SCHEMA {}", self.name)];
        for (t, table) in self.tables.iter().enumerate() {
            sql.extend(self.table(t));
            let rows: Vec<String> = table.rows.iter().map(|row| values(table, row)).collect();
            if !rows.is_empty() {
                sql.push(format!("INSERT INTO {} VALUES {}", self.table_name(t), rows.join(", ")));
            }
        }
        sql.extend(self.references.iter().filter_map(|reference| {
            let constraint = reference.constraint.as_ref()?;
            let (child, parent) = (&self.tables[reference.child], &self.tables[reference.parent]);
            let deferrable = match (constraint.deferrable, constraint.initially_deferred) {
                (false, _) => "",
                (true, false) => " DEFERRABLE",
                (true, true) => " DEFERRABLE INITIALLY DEFERRED",
            };
            Some(format!(
                "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {}{deferrable}",
                self.table_name(reference.child),
                constraint.name,
                names(child, &reference.child_columns),
                self.table_name(reference.parent),
                names(parent, &reference.parent_columns),
                constraint.on_delete,
            ))
        }));
        // An index finds the rows of a parent, by some of the references.
        sql.extend(self.references.iter().step_by(2).map(|reference| {
            let child = names(&self.tables[reference.child], &reference.child_columns);
            format!("CREATE INDEX ON {} ({child})", self.table_name(reference.child))
        }));
        sql.extend(self.triggers());
        sql.join(";\n")
    }

    fn table(&self, t: usize) -> Vec<String> {
        let (name, table) = (self.table_name(t), &self.tables[t]);
        if let Some(base) = table.inherits {
            return vec![format!("CREATE TABLE {name} () INHERITS ({})", self.table_name(base))];
        }
        let mut parts: Vec<String> = table.columns.iter().map(column).collect();
        if !table.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", names(table, &table.key)));
        }
        let create = format!("CREATE TABLE {name} ({})", parts.join(", "));
        let (strategy, by, bounds) = match table.partitioned {
            None => return vec![create],
            Some(Partitioning::Hash(by)) => {
                let bound = |part| format!("FOR VALUES WITH (MODULUS 2, REMAINDER {part})");
                ("HASH", by, [bound(0), bound(1)])
            }
            Some(Partitioning::OwnPartition(by)) => ("LIST", by, [self.list(table, by, 1), "DEFAULT".to_owned()]),
            Some(Partitioning::SharedPartition(by)) => ("LIST", by, [self.list(table, by, 2), "DEFAULT".to_owned()]),
        };
        let mut sql = vec![format!("{create} PARTITION BY {strategy} ({})", table.columns[by].name)];
        let partition = |(part, bound)| format!("CREATE TABLE {name}_{part} PARTITION OF {name} {bound}");
        sql.extend(bounds.iter().enumerate().map(partition));
        sql
    }

    /// The bound of a partition for the first tenants.
    fn list(&self, table: &Table, by: usize, tenants: usize) -> String {
        let values = self.tenants.iter().take(tenants).map(|key| format!("'{}'", table.columns[by].ty.text(*key)));
        format!("FOR VALUES IN ({})", values.collect::<Vec<_>>().join(", "))
    }

    fn triggers(&self) -> Vec<String> {
        let schema = &self.name;
        let mut sql = Vec::new();
        for (t, table) in self.tables.iter().enumerate() {
            let (name, on) = (self.table_name(t), table.triggers);
            let fire = |when: &str, function: &str| {
                format!(
                    "CREATE TRIGGER {function} {when} DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION {schema}.{function}({t})"
                )
            };
            sql.extend(on.outbox.then(|| fire("AFTER", "outbox")));
            sql.extend(on.before.then(|| fire("BEFORE", "before")));
        }
        if sql.is_empty() {
            return sql;
        }
        let function = |name: &str, body: &str| {
            format!(
                "CREATE FUNCTION {schema}.{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN OLD; END $$"
            )
        };
        let insert = format!("INSERT INTO {schema}.outbox VALUES (TG_ARGV[0]::int, OLD.uid, to_jsonb(OLD));");
        let mut functions = vec![
            format!("CREATE TABLE {schema}.outbox (source int, uid bigint, payload jsonb)"),
            function("outbox", &insert),
            function("before", ""),
        ];
        functions.append(&mut sql);
        functions
    }

    /// Counts what triggers wrote: the table and the number of each row that they saw deleted.
    pub fn written(&self) -> Option<String> {
        let any = self.tables.iter().any(|t| t.triggers.outbox);
        any.then(|| format!("SELECT source, uid FROM {}.outbox", self.name))
    }

    /// Every row, by table and number: rows of a table that inherits are not those of the table itself.
    pub fn state(&self) -> String {
        let parts: Vec<String> = (0..self.tables.len())
            .map(|t| {
                let name = self.table_name(t);
                let only = if self.tables[t].partitioned.is_some() { "" } else { "ONLY " };
                format!("SELECT {t}, t.uid, t::text FROM {only}{name} t")
            })
            .collect();
        parts.join(" UNION ALL ")
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
