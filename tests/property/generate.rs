//! Random schemas: tables and how they refer to each other.

use fastrand::Rng;
use planner::catalog::OnDelete;

use super::schema::{Column, Constraint, Partitioning, ROOT, Reference, Schema, Table, Triggers, Type};

impl Schema {
    /// A random schema. `number` tells the tenants of cases that run at the same time apart.
    pub fn random(name: String, number: i64, rng: &mut Rng) -> Self {
        let tenants: Vec<i64> = (0..rng.i64(2..=4)).map(|t| number * 8 + t + 1).collect();
        let mut schema = Self { name, tables: Vec::new(), references: Vec::new(), tenants };
        let key_type = Type::any(rng);
        schema.tables.push(Table {
            name: "organizations".into(),
            columns: vec![uid(), Column { name: "id".into(), ty: key_type, nullable: false, default: None }],
            key: vec![1],
            ..Table::default()
        });
        for i in 1..=rng.usize(1..=7) {
            schema.tables.push(table(i, key_type, rng));
        }
        for child in 1..schema.tables.len() {
            if let Some(column) = schema.tables[child].organization {
                schema.refer(child, vec![column], ROOT, vec![1], rng);
            }
            let orphan = schema.tables[child].organization.is_none();
            for _ in 0..rng.usize(usize::from(orphan)..=2) {
                // Mostly to a table before it; else a cycle may come out.
                let parent = if rng.u8(..10) < 7 { rng.usize(1..=child) } else { rng.usize(1..schema.tables.len()) };
                schema.add_reference(child, parent, rng);
            }
        }
        for _ in 0..usize::from(rng.u8(..4) == 0) + usize::from(rng.u8(..10) == 0) {
            let parent = if rng.u8(..5) == 0 { ROOT } else { rng.usize(1..schema.tables.len()) };
            schema.add_reference(ROOT, parent, rng);
        }
        if rng.u8(..6) == 0 {
            schema.close_circle(rng);
        }
        if rng.u8(..4) == 0 {
            schema.add_people(key_type, rng);
        }
        if rng.u8(..6) == 0 {
            schema.add_part(key_type, rng);
        }
        if rng.u8(..10) == 0 {
            schema.add_inheritance(rng);
        }
        schema.decorate(rng);
        schema.fill(rng);
        schema
    }

    /// A reference to the key of a table, or to part of it. Returns its columns, if the table has a key.
    pub fn add_reference(&mut self, child: usize, parent: usize, rng: &mut Rng) -> Vec<usize> {
        let nullable = rng.u8(..10) < 6;
        let mut parent_columns = self.tables[parent].key.clone();
        if parent_columns.is_empty() {
            return Vec::new();
        }
        rng.shuffle(&mut parent_columns);
        let part = parent_columns.len() > 1 && rng.u8(..4) == 0;
        if part {
            parent_columns.pop();
        }
        let child_columns = self.referring(child, parent, &parent_columns, nullable, rng);
        if part {
            // No foreign key can refer to it.
            self.references.push(Reference {
                child,
                child_columns: child_columns.clone(),
                parent,
                parent_columns,
                constraint: None,
            });
        } else {
            self.refer(child, child_columns.clone(), parent, parent_columns, rng);
        }
        child_columns
    }

    /// New columns for a reference; the tenant's column of both tables may be one of them.
    pub fn referring(
        &mut self,
        child: usize,
        parent: usize,
        parent_columns: &[usize],
        nullable: bool,
        rng: &mut Rng,
    ) -> Vec<usize> {
        let shares = rng.bool();
        let mut child_columns = Vec::new();
        for &p in parent_columns {
            let shared = self.tables[child].organization.filter(|&o| {
                shares
                    && parent_columns.len() > 1
                    && self.tables[parent].organization == Some(p)
                    && self.tables[child].columns[o].ty == self.tables[parent].columns[p].ty
            });
            child_columns.push(shared.unwrap_or_else(|| {
                let ty = self.tables[parent].columns[p].ty.like(rng);
                let columns = &mut self.tables[child].columns;
                columns.push(Column { name: format!("r{}", columns.len()), ty, nullable, default: None });
                columns.len() - 1
            }));
        }
        child_columns
    }

    /// A reference that the database mostly knows as a foreign key.
    pub fn refer(
        &mut self,
        child: usize,
        child_columns: Vec<usize>,
        parent: usize,
        parent_columns: Vec<usize>,
        rng: &mut Rng,
    ) {
        let on_delete = match rng.u8(..20) {
            0..=6 => OnDelete::NoAction,
            7..=9 => OnDelete::Restrict,
            10..=14 => OnDelete::Cascade,
            15..=17 => OnDelete::SetNull,
            _ => OnDelete::SetDefault,
        };
        let deferrable = rng.u8(..10) < 3;
        let name = format!("fk{}", self.references.len());
        let constraint = (rng.u8(..10) < 8).then(|| Constraint {
            name,
            on_delete,
            deferrable,
            initially_deferred: deferrable && rng.bool(),
        });
        self.references.push(Reference { child, child_columns, parent, parent_columns, constraint });
    }

    /// A foreign key that is checked at the end of each statement, with columns that must not be NULL.
    pub fn refer_at_once(&mut self, child: usize, parent: usize, rng: &mut Rng) {
        let parent_columns = self.tables[parent].key.clone();
        let child_columns = self.referring(child, parent, &parent_columns, false, rng);
        let on_delete = [OnDelete::NoAction, OnDelete::Restrict][rng.usize(..2)];
        let name = format!("fk{}", self.references.len());
        let constraint = Some(Constraint { name, on_delete, deferrable: false, initially_deferred: false });
        self.references.push(Reference { child, child_columns, parent, parent_columns, constraint });
    }

    /// Tables of which none can be deleted from first: each refers to the next, and all at once.
    fn close_circle(&mut self, rng: &mut Rng) {
        // The organizations have a founder among their own users, every other time.
        let mut circle: Vec<usize> = (1..self.tables.len())
            .filter(|&t| !self.tables[t].key.is_empty() && self.tables[t].organization.is_some())
            .collect();
        rng.shuffle(&mut circle);
        circle.truncate(rng.usize(1..=3));
        let founded = circle.len() == 1 || rng.bool();
        if founded {
            circle.push(ROOT);
        }
        if circle.len() < 2 {
            return;
        }
        for (at, &child) in circle.iter().enumerate() {
            let parent = circle[(at + 1) % circle.len()];
            if let Some(organization) = self.tables[child].organization {
                self.tables[child].columns[organization].nullable = false;
            }
            self.tables[child].least = 1;
            // The way to the organization is a foreign key already, or becomes one.
            if parent == ROOT {
                self.found(child);
            } else {
                self.refer_at_once(child, parent, rng);
            }
        }
    }

    /// The tenant's column of this table refers to the organizations at once.
    fn found(&mut self, child: usize) {
        let organization = self.tables[child].organization;
        let of = |r: &&mut Reference| {
            r.child == child && r.parent == ROOT && Some(&r.child_columns) == organization.map(|o| vec![o]).as_ref()
        };
        let name = format!("founded{child}");
        for reference in self.references.iter_mut().filter(of) {
            reference.constraint = Some(Constraint {
                name: name.clone(),
                on_delete: OnDelete::NoAction,
                deferrable: false,
                initially_deferred: false,
            });
        }
    }

    /// A table whose rows are only found by part of a parent's key.
    fn add_part(&mut self, key_type: Type, rng: &mut Rng) {
        let parent = self.tables.len();
        let column = |name: &str, ty| Column { name: name.into(), ty, nullable: false, default: None };
        let columns = vec![uid(), column("org", key_type), column("n", Type::Integer)];
        let table = Table { columns, key: vec![1, 2], organization: Some(1), least: 1, ..Table::default() };
        self.tables.push(Table { name: format!("t{parent}"), ..table });
        self.refer(parent, vec![1], ROOT, vec![1], rng);
        let child = parent + 1;
        let table =
            Table { columns: vec![uid(), column("id", Type::any(rng))], key: vec![1], least: 1, ..Table::default() };
        self.tables.push(Table { name: format!("t{child}"), ..table });
        let child_columns = self.referring(child, parent, &[2], false, rng);
        self.references.push(Reference { child, child_columns, parent, parent_columns: vec![2], constraint: None });
    }

    /// A table outside of every plan, from which another one inherits: for that one, no foreign key holds.
    fn add_inheritance(&mut self, rng: &mut Rng) {
        let base = self.tables.len();
        self.tables.push(Table {
            name: format!("t{base}"),
            columns: vec![uid()],
            role: super::schema::Role::Outside,
            ..Table::default()
        });
        let parent = rng.usize(..base);
        let columns = self.add_reference(base, parent, rng);
        let Some(reference) = self.references.last().filter(|r| !columns.is_empty() && r.child == base).cloned() else {
            self.tables.pop();
            return;
        };
        let columns = self.tables[base].columns.clone();
        let heir = Table {
            name: format!("t{}", base + 1),
            columns,
            inherits: Some(base),
            role: super::schema::Role::Outside,
            ..Table::default()
        };
        self.tables.push(heir);
        self.references.push(Reference { child: base + 1, constraint: None, ..reference });
    }

    /// What changes nothing about whose a row is: arrays, partitions, triggers.
    fn decorate(&mut self, rng: &mut Rng) {
        let fires = rng.u8(..3) == 0;
        for table in &mut self.tables {
            if fires && rng.u8(..3) == 0 && table.inherits.is_none() {
                table.triggers = [
                    Triggers { outbox: true, before: false },
                    Triggers { outbox: false, before: true },
                    Triggers { outbox: true, before: true },
                ][rng.usize(..3)];
            }
        }
        let inherited: Vec<usize> = self.tables.iter().filter_map(|t| t.inherits).collect();
        for (t, table) in self.tables.iter_mut().enumerate().skip(1) {
            if table.inherits.is_some() || inherited.contains(&t) {
                continue;
            }
            if rng.u8(..8) == 0 {
                let ty = [Type::Bigints, Type::Uuids][rng.usize(..2)];
                table.columns.push(Column { name: "tenants".into(), ty, nullable: true, default: None });
            }
            if rng.u8(..6) == 0 {
                table.partitioned = Some(Partitioning::Hash(table.key.last().copied().unwrap_or(0)));
            } else if let Some(by) = table.organization.filter(|by| table.key.is_empty() || table.key.contains(by))
                && rng.u8(..3) == 0
            {
                // A primary key has to contain the column.
                let own = rng.u8(..3) > 0;
                let how = if own { Partitioning::OwnPartition } else { Partitioning::SharedPartition };
                table.partitioned = Some(how(by));
            }
        }
    }
}

pub fn uid() -> Column {
    Column { name: "uid".into(), ty: Type::Bigint, nullable: false, default: None }
}

fn table(i: usize, key_type: Type, rng: &mut Rng) -> Table {
    let mut columns = vec![uid()];
    let mut add = |name: &str, ty: Type, nullable: bool| {
        columns.push(Column { name: name.into(), ty, nullable, default: None });
        columns.len() - 1
    };
    let kind = rng.u8(..10);
    let scoped = kind >= 7 && rng.u8(..10) < 6;
    let organization = (scoped || rng.u8(..10) < 5)
        .then(|| add("org", if scoped { key_type } else { key_type.like(rng) }, !scoped && rng.u8(..10) < 4));
    let key = match (kind, organization) {
        (0, _) => Vec::new(),
        (1..=6, _) => vec![add("id", Type::any(rng), false)],
        (_, Some(organization)) if scoped => vec![organization, add("n", Type::Integer, false)],
        _ => vec![add("k", Type::any(rng), false), add("n", Type::Bigint, false)],
    };
    Table { name: format!("t{i}"), columns, key, organization, ..Table::default() }
}
