//! A schema with the rows of several tenants, as plain values: nothing here knows how the operator deletes.

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
    /// An array of one value.
    Bigints,
    /// An array of one value.
    Uuids,
}

impl Type {
    /// A type of which a key may be.
    pub fn any(rng: &mut Rng) -> Self {
        [Self::Bigint, Self::Bigint, Self::Integer, Self::Uuid, Self::Text, Self::Char][rng.usize(..6)]
    }

    /// A type whose values can be compared with this one's.
    pub fn like(self, rng: &mut Rng) -> Self {
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
            Self::Bigints => "bigint[]",
            Self::Uuids => "uuid[]",
        }
    }

    /// The value as it is written into a manifest.
    pub fn text(self, value: i64) -> String {
        match self {
            Self::Bigint | Self::Integer => value.to_string(),
            Self::Uuid => format!("00000000-0000-4000-8000-{value:012x}"),
            Self::Text | Self::Char => format!("k{value}"),
            Self::Bigints => format!("{{{}}}", Self::Bigint.text(value)),
            Self::Uuids => format!("{{{}}}", Self::Uuid.text(value)),
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
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Columns of the primary key; empty if there is no key.
    pub key: Vec<usize>,
    /// The column with the tenant's key.
    pub organization: Option<usize>,
    pub rows: Vec<Row>,
    /// Each tenant has at least so many rows.
    pub least: i64,
    /// How it is partitioned.
    pub partitioned: Option<Partitioning>,
    /// The table from which it inherits.
    pub inherits: Option<usize>,
    /// Its triggers on DELETE.
    pub triggers: Triggers,
    /// What the plan does with it.
    pub role: Role,
}

/// How a table is partitioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// By the hash of this column.
    Hash(usize),
    /// By the tenant: the first tenant's rows have a partition of their own.
    OwnPartition(usize),
    /// By the tenant: the rows of the first two have one partition.
    SharedPartition(usize),
}

/// Triggers on DELETE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Triggers {
    /// Writes each deleted row into the outbox, which no plan names.
    pub outbox: bool,
    /// Fires before each row is deleted, and lets it happen.
    pub before: bool,
}

/// What a plan does with a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Whatever its columns allow.
    #[default]
    Any,
    /// It is outside of every plan: nothing is deleted from it.
    Outside,
    /// Its rows are people: they go when nothing refers to them any more.
    People,
}

/// How a table refers to another.
#[derive(Clone, Debug)]
pub struct Reference {
    pub child: usize,
    pub child_columns: Vec<usize>,
    pub parent: usize,
    /// The key of the parent, or part of it.
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

impl Reference {
    /// Each column with the one that it refers to.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        self.child_columns.iter().copied().zip(self.parent_columns.iter().copied())
    }

    /// Whether this row refers to that one.
    pub fn joins(&self, child: &Row, parent: &Row) -> bool {
        joins(self.pairs(), child, parent)
    }

    /// Whether it refers by part of the key alone.
    pub fn by_part(&self, schema: &Schema) -> bool {
        self.parent_columns.len() < schema.tables[self.parent].key.len()
    }
}

/// Whether these columns of a row have the values of those of another, and no NULL.
pub fn joins(pairs: impl Iterator<Item = (usize, usize)>, child: &Row, parent: &Row) -> bool {
    let mut pairs = pairs;
    pairs.all(|(c, p)| child.values[c].is_some() && child.values[c] == parent.values[p])
}
