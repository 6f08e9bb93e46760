//! Signs that a table belongs to the organization which decide nothing by themselves: names that fit a table in part, other
//! spellings of the organization's column, columns that refer to several tables, and values that are keys of organizations.

use std::collections::BTreeMap;

use super::candidate::{Candidate, Fit, Part, Source};
use super::names::{plain, words};
use super::sample::Form;
use super::stems::{Named, Stems};
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use super::values;
use crate::catalog::{ColumnInfo, TableId};

/// All signs of the schema, in the order of tables and columns.
pub(super) fn signs(
    survey: &Survey,
    tenants: TenantTable<'_>,
    stems: &Stems<'_>,
    tenant_columns: &[String],
) -> Vec<Candidate> {
    let names = values::names(tenants, tenant_columns);
    let mut signs = Vec::new();
    for table in survey.tables.iter().filter(|t| !tenants.is(t.id())) {
        // A foreign key says what its columns mean.
        let decided = |c: &&ColumnInfo| {
            !survey.foreign_keys.iter().any(|k| k.child == table.id() && k.child_columns.contains(&c.name))
        };
        let columns: Vec<&ColumnInfo> = table.info.columns.iter().filter(decided).collect();
        signs.extend(by_name(survey, table, &columns, stems));
        signs.extend(polymorphic(tenants, table, &columns));
        for column in columns {
            signs.extend(by_spelling(tenants, table, column, tenant_columns));
            signs.extend(by_value(survey, tenants, table, column, &names));
            if values::is_named(tenants, column, &names) {
                let reason = format!("{} ({}) is named after the organization", column.name, column.type_name);
                let fit = Fit { role: false, part: Part::Full };
                signs.push(to_organization(tenants, table, column, (Source::Name, fit), reason));
            }
        }
    }
    signs
}

/// Columns that are named after a part of a table's name, or after a part of its key.
fn by_name(survey: &Survey, table: &Surveyed, columns: &[&ColumnInfo], stems: &Stems<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut parts: BTreeMap<(TableId, String), Vec<(&ColumnInfo, Named<'_>)>> = BTreeMap::new();
    for column in columns {
        for named in stems.named(table, column) {
            if named.composite {
                parts.entry((named.parent.id(), named.stem.clone())).or_default().push((column, named));
            } else {
                found.push(candidate(table, &[(column, named)]));
            }
        }
    }
    found.extend(parts.values().map(|pairs| candidate(table, pairs)));
    // In the order of the columns, whether they name a whole key or part of one.
    let place = |c: &Candidate| survey.table(c.parent).map(Surveyed::written);
    found.sort_by_key(|c| (c.columns(), place(c)));
    found
}

fn candidate(table: &Surveyed, pairs: &[(&ColumnInfo, Named<'_>)]) -> Candidate {
    let parent = pairs[0].1.parent;
    let type_of = |n: &Named<'_>| parent.info.column(n.key).map(|k| k.type_name.as_str());
    let names: Vec<String> = pairs.iter().map(|(c, _)| c.name.clone()).collect();
    let same_type = pairs.iter().all(|(c, n)| type_of(n) == Some(c.type_name.as_str()));
    let (columns, name) = (names.join(", "), parent.written());
    let key: &[String] = parent.info.unique_keys.first().map_or(&[], Vec::as_slice);
    let suggests = if pairs.len() == 1 { "its name suggests" } else { "their names suggest" };
    let reason = match pairs {
        [(column, named)] if !same_type => format!(
            "{columns} ({}) may refer to `{name}`, whose column {} has another type ({})",
            column.type_name,
            named.key,
            type_of(named).unwrap_or_default()
        ),
        _ if !same_type => format!("{columns} may refer to `{name}`, whose columns have other types"),
        _ if pairs[0].1.composite && pairs.len() < key.len() => format!(
            "{columns} may refer to `{name}`, but {} only part of its key ({}), and only {suggests} it",
            if pairs.len() == 1 { "is" } else { "are" },
            key.join(", ")
        ),
        _ => format!("{columns} may refer to `{name}`, but only {suggests} it"),
    };
    Candidate {
        child: table.id(),
        parent: parent.id(),
        pairs: pairs.iter().map(|(c, n)| (c.name.clone(), n.key.to_owned())).collect(),
        source: Source::Name,
        nullable: pairs.iter().any(|(c, _)| c.nullable),
        indexed: table.indexed(&names),
        doubt: Some(reason),
        same_type,
        fit: pairs.iter().map(|(_, n)| n.fit).min().unwrap_or(Fit { role: true, part: Part::Other }),
    }
}

/// Columns whose parent's table is the value of the column beside them.
fn polymorphic(tenants: TenantTable<'_>, table: &Surveyed, columns: &[&ColumnInfo]) -> Vec<Candidate> {
    let stem = |column: &ColumnInfo, last: &str| {
        let mut words = words(&column.name);
        (words.len() > 1 && words.pop().as_deref() == Some(last)).then_some(words)
    };
    let kind_of = |id: &ColumnInfo| {
        let stem_of_id = stem(id, "id")?;
        columns.iter().find(|kind| stem(kind, "type").is_some_and(|stem_of_kind| stem_of_kind == stem_of_id))
    };
    let sign = |(id, kind): (&ColumnInfo, &ColumnInfo)| {
        let reason = format!("{} says to which table {} refers", kind.name, id.name);
        let fit = Fit { role: false, part: Part::Other };
        to_organization(tenants, table, id, (Source::Polymorphic, fit), reason)
    };
    columns.iter().filter_map(|id| Some(sign((id, kind_of(id)?)))).collect()
}

/// A column that is spelled like one of the organization's columns in another way, or with a role in front.
fn by_spelling(
    tenants: TenantTable<'_>,
    table: &Surveyed,
    column: &ColumnInfo,
    tenant_columns: &[String],
) -> Option<Candidate> {
    let all = words(&column.name);
    let same_as = |name: &&String| (0..all.len()).any(|at| all[at..].concat() == plain(name));
    let name = tenant_columns.iter().filter(|c| **c != column.name).find(same_as)?;
    let role = plain(&column.name) != plain(name);
    let like = if role { "ends like" } else { "is another spelling of" };
    let reason = format!("{} {like} {name}, which holds the organization's key in other tables", column.name);
    let fit = Fit { role, part: Part::Full };
    Some(to_organization(tenants, table, column, (Source::Name, fit), reason))
}

/// A column whose values are keys of organizations, or an array or JSON that is named after the organization.
fn by_value(
    survey: &Survey,
    tenants: TenantTable<'_>,
    table: &Surveyed,
    column: &ColumnInfo,
    names: &[String],
) -> Option<Candidate> {
    let question = values::question(tenants, column, names)?;
    let held = survey.values.holds(table.id(), &column.name);
    let shown = format!("{} ({})", column.name, column.type_name);
    let name = tenants.table.written();
    let fit = Fit { role: false, part: Part::Full };
    let source = if question.form == Form::Value { Source::Value } else { Source::Inside };
    let reason = match question.form {
        Form::Value if held => format!("values of {shown} are keys of `{name}`"),
        Form::Array if held => format!("elements of {shown} are keys of `{name}`"),
        Form::Json if held => format!("values inside {shown} are keys of `{name}`"),
        Form::Array | Form::Json if question.named => format!("{shown} is named after the organization"),
        _ => return None,
    };
    Some(to_organization(tenants, table, column, (source, fit), reason))
}

fn to_organization(
    tenants: TenantTable<'_>,
    table: &Surveyed,
    column: &ColumnInfo,
    (source, fit): (Source, Fit),
    reason: String,
) -> Candidate {
    let key_type = tenants.table.info.column(tenants.key).map(|k| k.type_name.as_str());
    Candidate {
        child: table.id(),
        parent: tenants.table.id(),
        pairs: vec![(column.name.clone(), tenants.key.to_owned())],
        source,
        nullable: column.nullable,
        indexed: table.indexed(std::slice::from_ref(&column.name)),
        doubt: Some(reason),
        same_type: key_type == Some(column.type_name.as_str()),
        fit,
    }
}
