//! A random schema with the rows of several tenants, as plain values: nothing here knows how the operator deletes.

use fastrand::Rng;
use planner::catalog::OnDelete;

/// Type of a column. Every value is a number underneath, so that the same number occurs in many tables and a reference
/// that is followed wrongly finds a row of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bigint,
    Integer,
    Uuid,
    Text,
    Char,
}

impl Type {
    fn any(rng: &mut Rng) -> Self {
        [Self::Bigint, Self::Bigint, Self::Integer, Self::Uuid, Self::Text, Self::Char][rng.usize(..6)]
    }

    /// A type whose values can be compared with this one's.
    fn like(self, rng: &mut Rng) -> Self {
        match self {
            Self::Bigint | Self::Integer if rng.u8(..5) == 0 => Self::Integer,
            other => other,
        }
    }

    pub const fn sql(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Integer => "integer",
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Char => "char(12)",
        }
    }

    /// The value as it is written into a manifest.
    pub fn text(self, value: i64) -> String {
        match self {
            Self::Bigint | Self::Integer => value.to_string(),
            Self::Uuid => format!("00000000-0000-4000-8000-{value:012x}"),
            Self::Text | Self::Char => format!("k{value}"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub ty: Type,
    pub nullable: bool,
    pub default: Option<i64>,
}

/// A row, with the tenant to whom it was meant to belong.
#[derive(Clone, Debug)]
pub struct Row {
    pub home: usize,
    pub values: Vec<Option<i64>>,
}

/// A table. Column 0 is a number that no other row of the schema has.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Columns of the primary key; empty if there is no key.
    pub key: Vec<usize>,
    /// The column with the tenant's key.
    pub organization: Option<usize>,
    pub rows: Vec<Row>,
}

/// How a table refers to another.
#[derive(Clone, Debug)]
pub struct Reference {
    pub child: usize,
    pub child_columns: Vec<usize>,
    pub parent: usize,
    pub parent_columns: Vec<usize>,
    /// The foreign key; `None` if the database does not know it.
    pub constraint: Option<Constraint>,
}

#[derive(Clone, Debug)]
pub struct Constraint {
    pub name: String,
    pub on_delete: OnDelete,
    pub deferrable: bool,
    pub initially_deferred: bool,
}

/// The table of the organizations.
pub const ROOT: usize = 0;

/// A schema with its rows.
#[derive(Clone, Debug)]
pub struct Schema {
    pub name: String,
    pub tables: Vec<Table>,
    pub references: Vec<Reference>,
    /// Keys of the tenants. The first is deleted.
    pub tenants: Vec<i64>,
}

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
            organization: None,
            rows: Vec::new(),
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
        schema.fill(rng);
        schema
    }

    fn add_reference(&mut self, child: usize, parent: usize, rng: &mut Rng) {
        let mut parent_columns = self.tables[parent].key.clone();
        if parent_columns.is_empty() {
            return;
        }
        rng.shuffle(&mut parent_columns);
        let nullable = rng.u8(..10) < 6;
        let shares = rng.bool();
        let mut child_columns = Vec::new();
        for &p in &parent_columns {
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
        self.refer(child, child_columns, parent, parent_columns, rng);
    }

    fn refer(
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

    fn fill(&mut self, rng: &mut Rng) {
        let mut next = 1;
        for t in 0..self.tables.len() {
            for home in 0..self.tenants.len() {
                let rows = if t == ROOT { 1 } else { rng.i64(0..=4) };
                for n in 1..=rows {
                    let values = self.own_values(t, home, n, next, rng);
                    self.tables[t].rows.push(Row { home, values });
                    next += 1;
                }
            }
        }
        // In every other schema some rows refer to those of other tenants.
        let stray = if rng.bool() { 0 } else { 6 };
        for r in 0..self.references.len() {
            let reference = self.references[r].clone();
            if reference.child != ROOT
                && self.tables[reference.child].organization == Some(reference.child_columns[0])
                && reference.parent == ROOT
            {
                continue;
            }
            for row in 0..self.tables[reference.child].rows.len() {
                self.point(&reference, row, stray, rng);
            }
            self.give_default(&reference, rng);
        }
    }

    /// Key and tenant of a row; references follow.
    fn own_values(&self, t: usize, home: usize, n: i64, uid: i64, rng: &mut Rng) -> Vec<Option<i64>> {
        let table = &self.tables[t];
        let mut values = vec![None; table.columns.len()];
        values[0] = Some(uid);
        let index = i64::try_from(home).unwrap_or_default();
        match table.key.as_slice() {
            _ if t == ROOT => values[1] = Some(self.tenants[home]),
            [id] => values[*id] = Some(i64::try_from(table.rows.len()).unwrap_or_default() + 1),
            [scope, number] => {
                values[*scope] = Some(index + 1);
                values[*number] = Some(n);
            }
            _ => {}
        }
        if let Some(o) = table.organization {
            let nobodys = table.columns[o].nullable && rng.u8(..12) == 0;
            values[o] = (!nobodys).then(|| self.tenants[home]);
        }
        values
    }

    /// Lets one row refer to a row of the same tenant, of another, or to none.
    fn point(&mut self, reference: &Reference, row: usize, stray: u8, rng: &mut Rng) {
        let child = &self.tables[reference.child];
        // Columns that hold the tenant's or the row's own key are not this reference's to choose.
        let fixed: Vec<bool> =
            reference.child_columns.iter().map(|c| child.organization == Some(*c) || child.key.contains(c)).collect();
        let own = &child.rows[row];
        let parents = &self.tables[reference.parent].rows;
        let fits = |p: &Row| {
            let pairs = reference.child_columns.iter().zip(&reference.parent_columns).zip(&fixed);
            pairs.filter(|(_, fixed)| **fixed).all(|((c, k), _)| own.values[*c] == p.values[*k])
        };
        let anybody = rng.u8(..100) < stray;
        let near: Vec<usize> =
            (0..parents.len()).filter(|&i| fits(&parents[i]) && (anybody || parents[i].home == own.home)).collect();
        let far: Vec<usize> = (0..parents.len()).filter(|&i| fits(&parents[i])).collect();
        let optional = reference.child_columns.iter().zip(&fixed).all(|(c, f)| *f || child.columns[*c].nullable);
        let target = if optional && (rng.u8(..10) < 3 || near.is_empty()) {
            None
        } else {
            rng.choice(if near.is_empty() { &far } else { &near }).copied()
        };
        let found = target.map(|i| parents[i].values.clone());
        let half = optional && !fixed.contains(&true) && rng.u8(..10) == 0;
        for (at, (c, k)) in reference.child_columns.iter().zip(&reference.parent_columns).enumerate() {
            if fixed[at] {
                continue;
            }
            let child = &mut self.tables[reference.child];
            let value = match &found {
                Some(values) => values[*k],
                None if half => Some(1),
                None => None,
            };
            // Half of a reference is none, as long as the other half is NULL.
            let value = value.filter(|_| found.is_some() || at == 0 && reference.child_columns.len() > 1);
            child.rows[row].values[*c] = value;
            child.columns[*c].nullable |= value.is_none();
        }
    }

    fn give_default(&mut self, reference: &Reference, rng: &mut Rng) {
        let ([column], [key]) = (reference.child_columns.as_slice(), reference.parent_columns.as_slice()) else {
            return;
        };
        if reference.constraint.as_ref().is_some_and(|c| c.on_delete == OnDelete::SetDefault) && rng.bool() {
            let value = rng.choice(&self.tables[reference.parent].rows).and_then(|row| row.values[*key]);
            self.tables[reference.child].columns[*column].default = value;
        }
    }
}

fn uid() -> Column {
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
    Table { name: format!("t{i}"), columns, key, organization, rows: Vec::new() }
}
