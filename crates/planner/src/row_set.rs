//! SQL text of row sets. A statement on a tenant's rows can only be made from a [`RowSet`], so none can be written
//! without the tenant predicate, and the predicate always stands in the outer `WHERE`, where PostgreSQL checks it again
//! on a row that changed meanwhile.

use crate::captured::is_captured;
use crate::identifier::{Column, Table};
use crate::statement::{Param, Writer};
use crate::step::StepId;

/// Where the organization's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// The bound parameter.
    Bound,
    /// An expression of an enclosing query, compared as text.
    Outer(String),
    /// Any key but the bound one.
    Others,
    /// Any key but this expression's.
    NotOuter(String),
}

/// The rows of one table that belong to an organization by one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowSet {
    /// A column of the table holds the organization's key.
    Direct {
        /// The column and its type.
        column: Column,
        type_name: String,
    },
    /// The rows that belong to rows of other row sets.
    Through(Vec<Link>),
    /// The rows to which only the organization's rows refer, by the keys that were captured of them.
    Exclusive(Exclusive),
    /// The same as far as one query can tell, for a person to read: rows to which rows of these sets refer, and no others.
    Referred { links: Vec<Link>, outside: Vec<Outside> },
}

/// The rows of a step to which only the organization's rows refer. One query cannot find them, because a row stays if one that
/// stays refers to it; so their keys are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exclusive {
    pub(super) step: StepId,
    /// The step's table.
    pub(super) table: Table,
    /// The columns that identify a row, with their types.
    pub(super) key: Vec<(Column, String)>,
    /// References that keep a row. Only deletes check them again.
    pub(super) outside: Vec<Outside>,
}

/// References from rows that are not the organization's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outside {
    /// The referring table.
    pub(super) table: Table,
    /// Its columns, each with the column that it refers to.
    pub(super) pairs: Vec<Pair>,
    /// Which of its rows.
    pub(super) rows: OutsideRows,
}

/// Which rows of a referring table are not the organization's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OutsideRows {
    /// All but the rows of these sets.
    Not(Vec<RowSet>),
    /// The rows that belong to another organization by one of these sets.
    OfOthers(Vec<RowSet>),
}

impl Outside {
    /// The condition that such a reference to the row known as `alias` exists.
    pub(super) fn exists(&self, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
        let inner = format!("{alias}r");
        let same = self.pairs.iter().map(|p| format!("{inner}.{} = {}", p.child, p.parent_value(alias)));
        let mut conditions: Vec<String> = same.collect();
        match &self.rows {
            OutsideRows::Not(sets) if sets.is_empty() => {}
            OutsideRows::Not(sets) => {
                conditions.push(none_of(&sets.iter().collect::<Vec<_>>(), &inner, key, writer));
            }
            OutsideRows::OfOthers(sets) => {
                let others = match key {
                    KeySource::Outer(expression) => KeySource::NotOuter(expression.clone()),
                    _ => KeySource::Others,
                };
                conditions.push(any_of(&sets.iter().collect::<Vec<_>>(), &inner, &others, writer));
            }
        }
        format!("EXISTS (SELECT FROM {} {inner} WHERE {})", self.table, conditions.join(" AND "))
    }
}

impl Exclusive {
    fn condition(&self, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
        // The captured keys are the bound organization's. For other organizations there are none.
        if *key != KeySource::Bound {
            return "false".to_owned();
        }
        let captured = self.captured(alias, writer);
        unless_referred(captured, &self.outside, alias, key, writer)
    }

    /// The condition for a row whose key was captured.
    fn captured(&self, alias: &str, writer: &mut Writer) -> String {
        let left = row(self.key.iter().map(|(column, _)| format!("{alias}.{column}")));
        let columns = self.key.iter().map(|(column, _)| column.name());
        let types = self.key.iter().map(|(_, type_name)| type_name.as_str());
        is_captured(&left, (&self.table, self.step), columns, types, false, writer)
    }
}

/// The condition, for rows to which none of these references exists.
fn unless_referred(
    condition: String,
    outside: &[Outside],
    alias: &str,
    key: &KeySource,
    writer: &mut Writer,
) -> String {
    if outside.is_empty() {
        return condition;
    }
    let none = outside.iter().map(|reference| format!(" AND NOT {}", reference.exists(alias, key, writer)));
    format!("({condition}{})", none.collect::<String>())
}

/// One way from a table to a parent row set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The parent's step.
    pub(super) parent: StepId,
    /// The parent's table.
    pub(super) table: Table,
    /// Its row set.
    pub(super) rows: RowSet,
    /// Columns of the child with their type, each with the parent's column.
    pub(super) pairs: Vec<Pair>,
    /// The parent's rows are found by the keys that were captured of them.
    pub(super) captured: bool,
    /// And only by those that this transaction captured.
    pub(super) new: bool,
}

/// A column of the child and the parent's column that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) child: Column,
    pub(super) child_type: String,
    pub(super) parent: Column,
    pub(super) parent_type: String,
}

impl Pair {
    /// The parent's column as the child's type, for a parent known as `alias`.
    pub(super) fn parent_value(&self, alias: &str) -> String {
        if self.child_type == self.parent_type {
            format!("{alias}.{}", self.parent)
        } else {
            format!("{alias}.{}::text::{}", self.parent, self.child_type)
        }
    }
}

impl RowSet {
    /// The condition that holds for exactly the rows of this set, for a table known as `alias`.
    pub(super) fn condition(&self, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
        match self {
            Self::Direct { column, type_name } => match key {
                KeySource::Bound => format!("{alias}.{column} = {}", writer.value(Param::Key, type_name)),
                KeySource::Outer(expression) => format!("{alias}.{column} = {expression}::text::{type_name}"),
                KeySource::Others => format!("{alias}.{column} <> {}", writer.value(Param::Key, type_name)),
                KeySource::NotOuter(expression) => format!("{alias}.{column} <> {expression}::text::{type_name}"),
            },
            Self::Through(links) => any_link(links, alias, key, writer),
            Self::Exclusive(rows) => rows.condition(alias, key, writer),
            Self::Referred { .. } if matches!(key, KeySource::Others | KeySource::NotOuter(_)) => "false".to_owned(),
            Self::Referred { links, outside } => {
                let referred = any_link(links, alias, key, writer);
                unless_referred(referred, outside, alias, key, writer)
            }
        }
    }

    /// The column that holds the organization's key, if one does.
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::Direct { column, .. } => Some(column.name()),
            Self::Through(_) | Self::Exclusive(_) | Self::Referred { .. } => None,
        }
    }

    /// The same, by parents that are there, whether or not their keys were captured.
    pub(super) fn of_present_parents(&self) -> Self {
        let mut set = self.clone();
        if let Self::Through(links) = &mut set {
            for link in links {
                link.captured = false;
            }
        }
        set
    }

    /// The condition that a row of this set refers to a row of the parent's table, if it is a set of a single way.
    pub(super) fn joined(&self, child: &str, parent: &str) -> Option<String> {
        let Self::Through(links) = self else { return None };
        let [link] = links.as_slice() else { return None };
        Some(link.joined(child, parent))
    }

    /// Whether it has only rows to which nothing outside refers.
    pub(super) fn is_exclusive(&self) -> bool {
        matches!(self, Self::Exclusive(_) | Self::Referred { .. })
    }

    /// Each way in which a row may belong to this set, alone.
    pub(super) fn ways(&self) -> Vec<Self> {
        match self {
            Self::Direct { .. } | Self::Exclusive(_) | Self::Referred { .. } => vec![self.clone()],
            Self::Through(links) => links.iter().map(|link| Self::Through(vec![link.clone()])).collect(),
        }
    }

    /// Whether both lead from the same columns to the same table. Then the check of that table finds rows about which they
    /// disagree.
    pub(super) fn is_same_way(&self, other: &Self) -> bool {
        let ends = |set: &Self| match set {
            Self::Direct { .. } | Self::Exclusive(_) | Self::Referred { .. } => Vec::new(),
            Self::Through(links) => links.iter().map(|l| (l.table.clone(), l.pairs.clone())).collect(),
        };
        !ends(self).is_empty() && ends(self) == ends(other)
    }

    /// The condition that holds for exactly the other rows, those without a way among them. Written so that PostgreSQL can join:
    /// `NOT IN` scans the whole set once for each row if the set is large.
    pub(super) fn outside(&self, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
        match self {
            Self::Direct { .. } | Self::Exclusive(_) | Self::Referred { .. } => {
                format!("({}) IS NOT TRUE", self.condition(alias, key, writer))
            }
            Self::Through(links) => {
                let none: Vec<String> = links.iter().map(|link| link.absent(alias, key, writer)).collect();
                none.join(" AND ")
            }
        }
    }
}

impl Link {
    /// The columns of the child that refer to the parent, unquoted.
    pub(super) fn child_columns(&self) -> Vec<String> {
        self.pairs.iter().map(|pair| pair.child.name().to_owned()).collect()
    }

    fn absent(&self, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
        if self.captured {
            return format!("({}) IS NOT TRUE", self.condition(alias, key, writer));
        }
        let inner = format!("{alias}p");
        format!(
            "NOT EXISTS (SELECT FROM {} {inner} WHERE {} AND {})",
            self.table,
            self.joined(alias, &inner),
            self.rows.condition(&inner, key, writer)
        )
    }

    /// The condition that a row of the child refers to one of the parent's table.
    fn joined(&self, child: &str, parent: &str) -> String {
        let same: Vec<String> =
            self.pairs.iter().map(|p| format!("{} = {child}.{}", p.parent_value(parent), p.child)).collect();
        same.join(" AND ")
    }

    fn condition(&self, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
        let left = row(self.pairs.iter().map(|p| format!("{alias}.{}", p.child)));
        if self.captured && matches!(key, KeySource::Others | KeySource::NotOuter(_)) {
            // The captured keys are the bound organization's alone.
            return "false".to_owned();
        }
        if self.captured {
            let columns = self.pairs.iter().map(|pair| pair.parent.name());
            let types = self.pairs.iter().map(|pair| pair.child_type.as_str());
            return is_captured(&left, (&self.table, self.parent), columns, types, self.new, writer);
        }
        let inner = format!("{alias}p");
        let selected: Vec<String> = self.pairs.iter().map(|p| p.parent_value(&inner)).collect();
        format!(
            "{left} IN (SELECT {} FROM {} {inner} WHERE {})",
            selected.join(", "),
            self.table,
            self.rows.condition(&inner, key, writer)
        )
    }
}

fn any_link(links: &[Link], alias: &str, key: &KeySource, writer: &mut Writer) -> String {
    let any: Vec<String> = links.iter().map(|link| link.condition(alias, key, writer)).collect();
    any_true(&any)
}

fn row(columns: impl Iterator<Item = String>) -> String {
    let columns: Vec<String> = columns.collect();
    if columns.len() == 1 { columns.concat() } else { format!("({})", columns.join(", ")) }
}

/// The condition for a row that belongs to any of these sets.
pub(super) fn any_of(sets: &[&RowSet], alias: &str, key: &KeySource, writer: &mut Writer) -> String {
    let parts: Vec<String> = sets.iter().map(|s| s.condition(alias, key, writer)).collect();
    any_true(&parts)
}

/// The condition that any of these is true.
pub(super) fn any_true(conditions: &[String]) -> String {
    if let [one] = conditions { one.clone() } else { format!("({})", conditions.join(" OR ")) }
}

/// The condition for a row that belongs to none of these sets.
pub(super) fn none_of(sets: &[&RowSet], alias: &str, key: &KeySource, writer: &mut Writer) -> String {
    let parts: Vec<String> = sets.iter().map(|s| s.outside(alias, key, writer)).collect();
    parts.join(" AND ")
}
