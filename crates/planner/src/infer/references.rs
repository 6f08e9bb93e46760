//! Candidate references: foreign keys, and column names that stand for one.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, Fit, Source};
use super::names::{TablesByColumn, named_after, named_after_end};
use super::stems::Stems;
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use crate::catalog::{ColumnInfo, ForeignKey, TableId};

/// What the schema says about references.
pub(super) struct References {
    pub(super) candidates: Vec<Candidate>,
    /// Names of columns that mark a table as a tenant's.
    pub(super) tenant_columns: Vec<String>,
}

/// By the name of a column: to which tables and columns single-column foreign keys with this name refer, and from which
/// tables.
type NameUses<'a> = BTreeMap<&'a str, BTreeMap<(TableId, &'a str), BTreeSet<TableId>>>;

/// A table and the column referred to.
type Target<'a> = (&'a Surveyed, &'a str);

pub(super) fn candidate_references(survey: &Survey, tenants: TenantTable<'_>, stems: &Stems<'_>) -> References {
    let mut uses: NameUses<'_> = BTreeMap::new();
    let mut candidates = Vec::new();
    for key in survey.foreign_keys.iter().filter(|k| k.child != k.parent) {
        let (Some(child), Some(parent)) = (survey.table(key.child), survey.table(key.parent)) else { continue };
        if let ([column], [target]) = (key.child_columns.as_slice(), key.parent_columns.as_slice()) {
            uses.entry(column).or_default().entry((key.parent, target)).or_default().insert(key.child);
        }
        candidates.push(by_foreign_key(key, child, parent, tenants));
    }
    let by_column = TablesByColumn::new(survey);
    let mut tenant_columns = BTreeSet::new();
    for table in survey.tables.iter().filter(|t| !tenants.is(t.id())) {
        for column in &table.info.columns {
            let named = by_column.get(table, &column.name);
            if marks_tenant(tenants, column, named, &uses) {
                tenant_columns.insert(column.name.clone());
            }
            let by_key = |k: &ForeignKey| k.child == table.id() && k.child_columns == [column.name.clone()];
            if !survey.foreign_keys.iter().any(by_key) {
                candidates.extend(by_name(survey, tenants, table, column, named, &uses, stems));
            }
        }
    }
    for candidate in candidates.iter_mut().filter(|c| tenants.is(c.parent) && c.doubt.is_none()) {
        if let ([(column, _)], true, false) =
            (candidate.pairs.as_slice(), candidate.nullable, candidate.named_after_parent())
            && !tenant_columns.contains(column)
        {
            candidate.doubt = Some(not_named_after(column, candidate.source, tenants.table));
        }
    }
    References { candidates, tenant_columns: tenant_columns.into_iter().collect() }
}

/// Why a column that may be NULL decides nothing: `sponsor` of coupons.
fn not_named_after(columns: &str, source: Source, parent: &Surveyed) -> String {
    let refers = if source == Source::ForeignKey { "refers" } else { "may refer" };
    format!("{columns} is nullable and {refers} to `{}`, but is not named after it", parent.written())
}

/// Whether a column of this name means the organization in every table.
fn marks_tenant(tenants: TenantTable<'_>, column: &ColumnInfo, named: Option<Target<'_>>, uses: &NameUses<'_>) -> bool {
    let named = named.is_some_and(|(table, key)| tenants.is(table.id()) && key == tenants.key);
    uses.get(column.name.as_str()).map_or(named, |targets| {
        let users = targets.get(&(tenants.table.id(), tenants.key));
        targets.len() == 1 && users.is_some_and(|users| users.len() > 1 || named)
    })
}

fn by_foreign_key(key: &ForeignKey, child: &Surveyed, parent: &Surveyed, tenants: TenantTable<'_>) -> Candidate {
    let nullable = key.child_columns.iter().any(|c| child.info.column(c).is_none_or(|c| c.nullable));
    let to_tenants = tenants.is(parent.id());
    let named_after_parent = match (key.child_columns.as_slice(), key.parent_columns.as_slice()) {
        ([column], [target]) => named_after_end(column, parent.info.table.bare(), target),
        _ => true,
    };
    let (columns, name) = (key.child_columns.join(", "), parent.written());
    let reason = if to_tenants && !key.parent_columns.iter().any(|c| c == tenants.key) {
        Some(format!("{columns} refers to `{name}`, but not to its key {}", tenants.key))
    } else if key.on_delete.detaches_rows() {
        Some(format!(
            "{columns} refers to `{name}` with ON DELETE {}, so its rows outlive the rows of `{name}`",
            key.on_delete
        ))
    } else if nullable && !to_tenants && !named_after_parent {
        Some(not_named_after(&columns, Source::ForeignKey, parent))
    } else {
        None
    };
    Candidate {
        child: child.id(),
        parent: parent.id(),
        pairs: key.child_columns.iter().cloned().zip(key.parent_columns.iter().cloned()).collect(),
        source: Source::ForeignKey,
        nullable,
        indexed: child.indexed(&key.child_columns),
        doubt: reason,
        same_type: true,
        fit: Fit::of_whole(named_after_parent),
    }
}

/// The references that a column without a foreign key may stand for, by its name. `named` is the table that it is named
/// after.
fn by_name(
    survey: &Survey,
    tenants: TenantTable<'_>,
    table: &Surveyed,
    column: &ColumnInfo,
    named: Option<Target<'_>>,
    uses: &NameUses<'_>,
    stems: &Stems<'_>,
) -> Vec<Candidate> {
    let mut targets: Vec<(TableId, &str, Source, Option<&str>)> = Vec::new();
    if let Some(used) = uses.get(column.name.as_str()) {
        for ((id, target), users) in used {
            let named = named.is_some_and(|(t, _)| t.id() == *id);
            let doubt = if used.len() > 1 {
                Some("foreign keys use this name for several tables")
            } else {
                (users.len() < 2 && !named).then_some("only one foreign key uses this name")
            };
            targets.push((*id, target, Source::Learned, doubt));
        }
    } else if let Some((parent, key)) = named {
        // A uuid cannot refer to another table by chance, but a number can.
        let doubt = (column.type_name != "uuid").then_some("only its name suggests it");
        targets.push((parent.id(), key, Source::Name, doubt));
    }
    targets
        .into_iter()
        .filter(|(id, ..)| *id != table.id())
        .filter_map(|(id, target, source, doubt)| {
            let parent = survey.table(id)?;
            let (columns, name) = (&column.name, parent.written());
            let named_after_parent = named_after(columns, parent.info.table.bare(), target);
            if !named_after_parent && is_own_key(table, column) {
                return None;
            }
            let target_type = &parent.info.column(target)?.type_name;
            let to_tenants = tenants.is(id);
            let reason = if column.type_name != *target_type {
                Some(format!(
                    "{columns} ({}) may refer to `{name}`, whose column {target} has another type ({target_type})",
                    column.type_name
                ))
            } else if to_tenants && target != tenants.key {
                Some(format!("{columns} may refer to `{name}`, but not to its key {}", tenants.key))
            } else if let Some(doubt) = doubt {
                Some(format!("{columns} may refer to `{name}`, but {doubt}"))
            } else if let (Source::Name, Some(sibling)) = (source, stems.sibling(table, column, id)) {
                Some(format!("{columns} may refer to `{name}` or to `{}`", sibling.written()))
            } else if column.nullable && !to_tenants && !named_after_parent {
                Some(not_named_after(columns, source, parent))
            } else {
                None
            };
            Some(Candidate {
                child: table.id(),
                parent: id,
                pairs: vec![(column.name.clone(), target.to_owned())],
                source,
                nullable: column.nullable,
                indexed: table.indexed(std::slice::from_ref(columns)),
                doubt: reason,
                same_type: column.type_name == *target_type,
                fit: Fit::of_whole(named_after_parent),
            })
        })
        .collect()
}

/// Whether the column identifies the table's own rows, so that it is no reference unless its name says so: where tables
/// share their key with a parent, foreign keys use the name `id` for the parent.
fn is_own_key(table: &Surveyed, column: &ColumnInfo) -> bool {
    column.name.eq_ignore_ascii_case("id") || table.info.unique_on(&[column.name.as_str()])
}
