//! What ties a table to another: foreign keys, and column names that stand for one.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{Namesakes, called_after};
use super::{Root, Survey, Surveyed};
use crate::catalog::{ColumnInfo, ForeignKey, OnDelete, TableId};

/// One way in which rows of a table may belong to rows of another.
#[derive(Clone, Debug)]
pub(super) struct Tie {
    pub(super) child: TableId,
    pub(super) parent: TableId,
    /// Columns of the child, each with the parent's.
    pub(super) pairs: Vec<(String, String)>,
    pub(super) source: Source,
    /// A column may be NULL: then some rows may belong otherwise.
    pub(super) nullable: bool,
    pub(super) indexed: bool,
    /// The column is called after the parent.
    pub(super) called_after: bool,
    /// Why it does not decide anything.
    pub(super) doubt: Option<Doubt>,
}

/// How sure a tie is, best first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A foreign key of this name.
    ForeignKey(String),
    /// A name that foreign keys of other tables agree on.
    Learned,
    /// A name alone.
    Name,
}

/// Why a tie does not decide anything.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    pub(super) why: String,
    /// Strong enough to ask a person.
    pub(super) blocks: bool,
}

impl Tie {
    pub(super) fn is_foreign_key(&self) -> bool {
        matches!(self.source, Source::ForeignKey(_))
    }
}

/// Everything that was found.
pub(super) struct Found {
    pub(super) ties: Vec<Tie>,
    /// Names of columns that mark a table as an organization's.
    pub(super) tenant_columns: Vec<String>,
}

/// The rows live on when what they refer to goes.
pub(super) fn loosens(on_delete: OnDelete) -> bool {
    matches!(on_delete, OnDelete::SetNull | OnDelete::SetDefault)
}

/// What the single-column foreign keys say that a column name stands for: table and column, and from how many tables.
type Votes<'a> = BTreeMap<&'a str, BTreeMap<(TableId, &'a str), BTreeSet<TableId>>>;

/// A table and the column that is referred to.
type Target<'a> = (&'a Surveyed, &'a str);

pub(super) fn find(survey: &Survey, root: Root<'_>) -> Found {
    let mut votes: Votes<'_> = BTreeMap::new();
    let mut ties = Vec::new();
    for key in survey.foreign_keys.iter().filter(|k| k.child != k.parent) {
        let (Some(child), Some(parent)) = (survey.table(key.child), survey.table(key.parent)) else { continue };
        if let ([column], [target]) = (key.child_columns.as_slice(), key.parent_columns.as_slice()) {
            let voters = votes.entry(column).or_default().entry((key.parent, target)).or_default();
            voters.insert(key.child);
        }
        ties.push(foreign_key(key, child, parent, root));
    }
    let namesakes = Namesakes::of(survey);
    let mut tenant_columns = BTreeSet::new();
    for table in survey.tables.iter().filter(|t| t.id() != root.table.id()) {
        for column in &table.info.columns {
            let named = namesakes.find(table, &column.name);
            if marks_tenant(root, column, named, &votes) {
                tenant_columns.insert(column.name.clone());
            }
            let by_key = |k: &ForeignKey| k.child == table.id() && k.child_columns == [column.name.clone()];
            if !survey.foreign_keys.iter().any(by_key) {
                ties.extend(by_name(survey, root, table, column, named, &votes));
            }
        }
    }
    Found { ties, tenant_columns: tenant_columns.into_iter().collect() }
}

/// Whether a column of this name means the organization wherever it stands.
fn marks_tenant(root: Root<'_>, column: &ColumnInfo, named: Option<Target<'_>>, votes: &Votes<'_>) -> bool {
    let named = named.is_some_and(|(table, key)| table.id() == root.table.id() && key == root.key);
    match votes.get(column.name.as_str()) {
        None => named,
        Some(said) => {
            said.len() == 1 && said.get(&(root.table.id(), root.key)).is_some_and(|voters| voters.len() > 1 || named)
        }
    }
}

fn foreign_key(key: &ForeignKey, child: &Surveyed, parent: &Surveyed, root: Root<'_>) -> Tie {
    let columns: Vec<&str> = key.child_columns.iter().map(String::as_str).collect();
    let nullable = columns.iter().any(|c| child.info.column(c).is_none_or(|c| c.nullable));
    let of_root = parent.id() == root.table.id();
    let called_after = match (columns.as_slice(), key.parent_columns.as_slice()) {
        ([column], [target]) => called_after(column, parent.info.table.bare(), target),
        _ => true,
    };
    let (what, name) = (columns.join(", "), parent.written());
    let why = if of_root && !key.parent_columns.iter().any(|c| c == root.key) {
        Some(format!("{what} refers to `{name}`, but not by its key {}", root.key))
    } else if loosens(key.on_delete) {
        Some(format!("{what} refers to `{name}` with ON DELETE {}: its rows outlive those", key.on_delete.as_str()))
    } else if nullable && !of_root && !called_after {
        Some(format!("{what} may be NULL, and refers to `{name}` without being called after it"))
    } else {
        None
    };
    Tie {
        child: child.id(),
        parent: parent.id(),
        pairs: key.child_columns.iter().cloned().zip(key.parent_columns.iter().cloned()).collect(),
        source: Source::ForeignKey(key.name.clone()),
        nullable,
        indexed: child.indexed(&columns),
        called_after,
        doubt: why.map(|why| Doubt { why, blocks: true }),
    }
}

/// What a column without a foreign key of its own may refer to, by its name.
fn by_name(
    survey: &Survey,
    root: Root<'_>,
    table: &Surveyed,
    column: &ColumnInfo,
    named: Option<Target<'_>>,
    votes: &Votes<'_>,
) -> Vec<Tie> {
    let none = BTreeMap::new();
    let said = votes.get(column.name.as_str()).unwrap_or(&none);
    let is_named = |id: TableId| named.is_some_and(|(t, _)| t.id() == id);
    let mut targets: Vec<(TableId, &str, Source, Option<String>)> = Vec::new();
    for ((id, target), voters) in said {
        let doubt = if said.len() > 1 {
            Some(format!("foreign keys use the name {} for several tables", column.name))
        } else if voters.len() < 2 && !is_named(*id) {
            Some(format!("only one foreign key uses the name {} so", column.name))
        } else {
            None
        };
        targets.push((*id, target, Source::Learned, doubt));
    }
    if let (Some((parent, key)), true) = (named, said.is_empty()) {
        // A uuid cannot mean another thing by chance; a number can.
        let doubt =
            (column.type_name != "uuid").then(|| format!("nothing but its name says what {} means", column.name));
        targets.push((parent.id(), key, Source::Name, doubt));
    }
    targets
        .into_iter()
        .filter(|(id, ..)| *id != table.id())
        .filter(|(id, target, ..)| !is_own_key(survey, table, column, *id, target))
        .filter_map(|(id, target, source, doubt)| {
            let parent = survey.table(id)?;
            let (what, name) = (&column.name, parent.written());
            let target_type = &parent.info.column(target)?.type_name;
            let of_root = id == root.table.id();
            let of_key = !of_root || target == root.key;
            let after = called_after(what, parent.info.table.bare(), target);
            let why = if column.type_name != *target_type {
                Some(format!(
                    "{what} ({}) may mean `{name}`, whose {target} is of another type ({target_type})",
                    column.type_name
                ))
            } else if !of_key {
                Some(format!("{what} may mean `{name}`, but not by its key {}", root.key))
            } else if let Some(doubt) = doubt {
                Some(format!("{what} may mean `{name}`: {doubt}"))
            } else if column.nullable && !of_root && !after {
                Some(format!("{what} may be NULL, and seems to refer to `{name}` without being called after it"))
            } else {
                None
            };
            Some(Tie {
                child: table.id(),
                parent: id,
                pairs: vec![(column.name.clone(), target.to_owned())],
                source,
                nullable: column.nullable,
                indexed: table.indexed(&[what.as_str()]),
                called_after: after,
                doubt: why.map(|why| Doubt { why, blocks: of_root || !column.nullable }),
            })
        })
        .collect()
}

/// Whether the column is the table's own identity, and no reference: tables that share their key with a parent teach that
/// `id` means the parent.
fn is_own_key(survey: &Survey, table: &Surveyed, column: &ColumnInfo, parent: TableId, target: &str) -> bool {
    let after = survey.table(parent).is_some_and(|p| called_after(&column.name, p.info.table.bare(), target));
    !after && (column.name.eq_ignore_ascii_case("id") || table.info.unique_on(&[column.name.as_str()]))
}
