//! The steps: row sets, real order, captures and the statements of the cascade.

use std::collections::BTreeMap;

use super::checks;
use super::faults::Faults;
use super::root::Root;
use super::{COUNT_LIMIT, Capture, Delete, Entity, ErasePlan, PlanTable};
use crate::domain::catalog::{Catalog, ForeignKey, OnDelete, TableInfo};
use crate::domain::identifier::Column;
use crate::domain::order::{self, Edge};
use crate::domain::plan::{Plan, Step};
use crate::domain::statement::{KeySource, Link, Pair, Param, RowSet, Statement, Writer, any_of};

/// The entity whose rows are the organization's users: counted exactly and shown in a column.
pub(super) const USERS: &str = "users";

/// A step with its names resolved.
pub(super) struct Resolved<'a> {
    pub(super) step: &'a Step,
    pub(super) info: &'a TableInfo,
    /// Links to parents by index; empty for a step with a tenant column.
    pub(super) links: Vec<(usize, Vec<(String, String)>)>,
    /// The tenant column.
    pub(super) organization: Option<String>,
}

/// Compiles the steps. None when names could not be resolved or no order exists; the faults say why.
pub(super) fn compile(plan: &Plan, catalog: &Catalog, root: &Root, faults: &mut Faults) -> Option<ErasePlan> {
    let steps = resolve(plan, catalog, faults)?;
    let real_order = find_order(&steps, catalog, root, faults)?;
    let fenced = fences(&steps, catalog, root);
    let needs = checks::find(&steps, catalog, root, plan);
    faults.locks(&steps, &checks::to_lock(&needs));
    let captured = captured_columns(&steps, &real_order, &fenced);

    // Row sets as they are before the first delete, and as they are when captured parents may be gone.
    let live: Vec<RowSet> = (0..steps.len()).map(|i| row_set(&steps, i, None)).collect();
    let held: Vec<RowSet> = (0..steps.len()).map(|i| row_set(&steps, i, Some(&captured))).collect();

    let tables = plan_tables(&steps, &real_order);
    let sets_of = |sets: &[RowSet], table: &PlanTable| -> Vec<RowSet> {
        (0..steps.len()).filter(|&i| steps[i].info.id == table.id).map(|i| sets[i].clone()).collect()
    };
    let counts = |sets: &[RowSet], limit: Option<i64>| {
        count_statement(&tables.iter().map(|t| (t, sets_of(sets, t))).collect::<Vec<_>>(), &steps, limit)
    };

    let deletes: Vec<Delete> = real_order
        .iter()
        .filter_map(|&i| {
            Some(Delete {
                step: i,
                table: tables.iter().position(|t| t.id == steps[i].info.id)?,
                columns: captured[i].len(),
                statement: delete_statement(steps[i].info, &held[i], &captured[i]),
                fenced: fenced[i],
            })
        })
        .collect();
    let sweeps = deletes.iter().filter(|d| !d.fenced).cloned().collect();
    let captures = capture_statements(&steps, &captured, &held, &fenced, &checks::to_lock(&needs));

    let mut writer = Writer::default();
    let condition = root.rows().condition("t", &KeySource::Bound, &mut writer);
    let delete_organization = writer.finish(format!("DELETE FROM {} t WHERE {condition}", root.table));

    Some(ErasePlan {
        entities: entities(&steps, &real_order, &tables),
        count: counts(&live, None),
        inventory: counts(&live, Some(COUNT_LIMIT)),
        captures,
        deletes,
        recount: counts(&held, None),
        sweeps,
        preflight: checks::statement(&needs, &steps, &live, root),
        delete_organization,
        census: census_statement(root, &steps, &live),
        defer_constraints: catalog.foreign_keys.iter().any(|k| k.deferrable),
        tables,
    })
}

fn resolve<'a>(plan: &'a Plan, catalog: &'a Catalog, faults: &mut Faults) -> Option<Vec<Resolved<'a>>> {
    let mut infos = Vec::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let info = catalog.declared(&step.table);
        if info.is_none() {
            faults.missing_table(&format!("cascade.steps[{i}].table"), &step.table);
        }
        infos.push(info);
    }
    let infos: Vec<&TableInfo> = infos.into_iter().collect::<Option<_>>()?;
    let mut steps = Vec::new();
    let mut complete = true;
    for (i, step) in plan.steps.iter().enumerate() {
        let at = format!("cascade.steps[{i}]");
        let mut has = |info: &TableInfo, field: &str, column: &str| {
            let found = info.column(column).is_some();
            if !found {
                faults.missing_column(&format!("{at}.{field}"), &info.table.name(), column);
                complete = false;
            }
            found
        };
        if let Some(column) = &step.organization {
            has(infos[i], "organization", column);
        }
        if let Some(column) = &step.column {
            has(infos[i], "column", column);
        }
        for (child, parent) in &step.columns {
            has(infos[i], "columns", child);
            for (j, other) in plan.steps.iter().enumerate() {
                if step.parent.as_ref() == Some(&other.entity) {
                    has(infos[j], "columns", parent);
                }
            }
        }
        if !complete {
            continue;
        }
        let mut links = Vec::new();
        if let Some(parent) = &step.parent {
            for (j, other) in plan.steps.iter().enumerate().filter(|(_, o)| o.entity == *parent) {
                if let Some(pairs) = pairs(step, infos[i], infos[j], catalog) {
                    links.push((j, pairs));
                } else {
                    let which = if step.column.is_some() {
                        format!("`{at}.column`: no single column identifies")
                    } else {
                        format!("`{at}.columns`: these columns do not identify")
                    };
                    faults.schema(
                        format!(
                            "{which} a row of the parent table `{}`, so half of its key could match rows of another organization",
                            other.table
                        ),
                        Some(&step.table),
                        Some(format!(
                            "write `columns: {{COLUMN: PARENT_COLUMN, ...}}` with the whole key of `{}` in {at}",
                            other.table
                        )),
                    );
                    complete = false;
                }
            }
        }
        steps.push(Resolved { step, info: infos[i], links, organization: step.organization.clone() });
    }
    complete.then_some(steps)
}

/// Columns of the child, each with the parent's column. For `column` alone the parent's column is the one that a
/// foreign key names, else the parent's single-column key. The parent's columns must identify a row: half of a key could
/// match rows of another organization.
fn pairs(step: &Step, child: &TableInfo, parent: &TableInfo, catalog: &Catalog) -> Option<Vec<(String, String)>> {
    let Some(column) = &step.column else {
        let key: Vec<&str> = step.columns.values().map(String::as_str).collect();
        return parent.unique_on(&key).then(|| step.columns.iter().map(|(c, p)| (c.clone(), p.clone())).collect());
    };
    let referred = catalog
        .foreign_keys
        .iter()
        .find(|k| k.child == child.id && k.parent == parent.id && k.child_columns == [column.clone()])
        .map(|k| k.parent_columns[0].clone());
    let key = referred.or_else(|| parent.unique_keys.iter().find(|k| k.len() == 1).map(|k| k[0].clone()))?;
    parent.unique_on(&[key.as_str()]).then(|| vec![(column.clone(), key)])
}

fn find_order(steps: &[Resolved<'_>], catalog: &Catalog, root: &Root, faults: &mut Faults) -> Option<Vec<usize>> {
    let mut edges = Vec::new();
    for key in catalog.foreign_keys.iter().filter(|k| k.enforced) {
        // A check at COMMIT asks for no order.
        if key.on_delete == OnDelete::NoAction && key.deferrable {
            continue;
        }
        if key.child == root.id && key.parent != root.id {
            if !matches!(key.on_delete, OnDelete::SetNull | OnDelete::SetDefault) {
                refers_to_a_step(steps, key, faults);
                return None;
            }
            continue;
        }
        for (c, child) in steps.iter().enumerate().filter(|(_, s)| s.info.id == key.child) {
            for (p, _) in steps.iter().enumerate().filter(|(_, s)| s.info.id == key.parent) {
                edges.push(Edge {
                    first: c,
                    then: p,
                    hard: !matches!(key.on_delete, OnDelete::SetNull | OnDelete::SetDefault) || is_path(child, key),
                    constraint: key.name.clone(),
                });
            }
        }
    }
    match order::order(steps.len(), &edges) {
        Ok(order) => Some(order),
        Err(cycle) => {
            let way: Vec<String> = cycle
                .iter()
                .map(|e| {
                    format!(
                        "`{}` ({}) refers to `{}`",
                        steps[e.first].step.table, e.constraint, steps[e.then].step.table
                    )
                })
                .collect();
            let first = cycle.first();
            faults.schema(
                format!("foreign keys form a cycle, so no order of deletion exists: {}", way.join(", ")),
                first.map(|e| steps[e.first].step.table.as_str()),
                first.map(|e| {
                    format!(
                        "ALTER TABLE {} ALTER CONSTRAINT {} DEFERRABLE;",
                        steps[e.first].info.table,
                        Column::new(&e.constraint)
                    )
                }),
            );
            None
        }
    }
}

fn refers_to_a_step(steps: &[Resolved<'_>], key: &ForeignKey, faults: &mut Faults) {
    let Some(parent) = steps.iter().find(|s| s.info.id == key.parent) else { return };
    faults.schema(
        format!(
            "the organization's own row refers to `{}` (constraint {}, ON DELETE {}), so neither can go first",
            parent.step.table,
            key.name,
            key.on_delete.as_str()
        ),
        Some(&parent.step.table),
        Some(format!(
            "make the constraint {} DEFERRABLE with ON DELETE NO ACTION, or ON DELETE SET NULL",
            Column::new(&key.name)
        )),
    );
}

/// Whether this foreign key is how the step's rows are found: setting it to NULL would lose them.
fn is_path(child: &Resolved<'_>, key: &ForeignKey) -> bool {
    child.organization.iter().any(|c| key.child_columns.contains(c))
        || child.links.iter().any(|(_, pairs)| pairs.iter().any(|(c, _)| key.child_columns.contains(c)))
}

/// For each step, whether a chain of enforced foreign keys ties its rows to the organization's row.
fn fences(steps: &[Resolved<'_>], catalog: &Catalog, root: &Root) -> Vec<bool> {
    let tied = |child: &TableInfo, parent: u32, pairs: &[(&str, &str)]| {
        catalog.foreign_keys.iter().any(|k| {
            k.enforced
                && k.child == child.id
                && k.parent == parent
                && k.child_columns.len() == pairs.len()
                && k.child_columns.iter().zip(&k.parent_columns).all(|(c, p)| pairs.contains(&(c.as_str(), p.as_str())))
        })
    };
    let mut fenced = vec![false; steps.len()];
    // Parents may be declared after their children: repeat until nothing changes.
    loop {
        let mut changed = false;
        for (i, step) in steps.iter().enumerate() {
            if fenced[i] {
                continue;
            }
            let now = match &step.organization {
                Some(column) => tied(step.info, root.id, &[(column, root.key.name())]),
                None => step.links.iter().all(|(p, pairs)| {
                    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(c, k)| (c.as_str(), k.as_str())).collect();
                    fenced[*p] && tied(step.info, steps[*p].info.id, &pairs)
                }),
            };
            if now {
                fenced[i] = true;
                changed = true;
            }
        }
        if !changed {
            return fenced;
        }
    }
}

/// For each step the columns that must be captured before the first delete: those by which a child is found that is
/// deleted later, or that nothing fences, so that it can be counted again when its parents are gone.
fn captured_columns(steps: &[Resolved<'_>], real_order: &[usize], fenced: &[bool]) -> Vec<Vec<String>> {
    let place = |i: usize| real_order.iter().position(|&s| s == i);
    let mut captured = vec![Vec::new(); steps.len()];
    for (c, child) in steps.iter().enumerate() {
        for (p, pairs) in &child.links {
            if place(c) > place(*p) || !fenced[c] {
                for (_, column) in pairs {
                    if !captured[*p].contains(column) {
                        captured[*p].push(column.clone());
                    }
                }
            }
        }
    }
    captured
}

fn row_set(steps: &[Resolved<'_>], i: usize, captured: Option<&[Vec<String>]>) -> RowSet {
    let step = &steps[i];
    let type_of =
        |info: &TableInfo, column: &str| info.column(column).map_or_else(|| "text".to_owned(), |c| c.type_name.clone());
    if let Some(column) = &step.organization {
        return RowSet::Direct { column: Column::new(column), type_name: type_of(step.info, column) };
    }
    RowSet::Through(
        step.links
            .iter()
            .map(|(p, pairs)| {
                let parent = &steps[*p];
                let positions = captured.and_then(|all| {
                    pairs.iter().map(|(_, column)| all[*p].iter().position(|c| c == column)).collect::<Option<Vec<_>>>()
                });
                Link {
                    parent: *p,
                    table: parent.info.table.clone(),
                    rows: row_set(steps, *p, captured),
                    pairs: pairs
                        .iter()
                        .map(|(child, column)| Pair {
                            child: Column::new(child),
                            child_type: type_of(step.info, child),
                            parent: Column::new(column),
                            parent_type: type_of(parent.info, column),
                        })
                        .collect(),
                    captured: positions,
                }
            })
            .collect(),
    )
}

fn plan_tables(steps: &[Resolved<'_>], real_order: &[usize]) -> Vec<PlanTable> {
    let mut tables: Vec<PlanTable> = Vec::new();
    for &i in real_order {
        let step = &steps[i];
        if !tables.iter().any(|t| t.id == step.info.id) {
            tables.push(PlanTable {
                id: step.info.id,
                name: step.step.table.clone(),
                entity: step.step.entity.clone(),
            });
        }
    }
    tables
}

fn entities(steps: &[Resolved<'_>], real_order: &[usize], tables: &[PlanTable]) -> Vec<Entity> {
    let mut entities: Vec<Entity> = Vec::new();
    for &i in real_order {
        let name = &steps[i].step.entity;
        if !entities.iter().any(|e| e.name == *name) {
            entities.push(Entity {
                name: name.clone(),
                tables: tables.iter().filter(|t| t.entity == *name).map(|t| t.name.clone()).collect(),
            });
        }
    }
    entities
}

fn count_statement(tables: &[(&PlanTable, Vec<RowSet>)], steps: &[Resolved<'_>], limit: Option<i64>) -> Statement {
    let mut writer = Writer::default();
    let columns: Vec<String> = tables
        .iter()
        .filter_map(|(table, sets)| {
            let info = steps.iter().find(|s| s.info.id == table.id)?.info;
            let sets: Vec<&RowSet> = sets.iter().collect();
            let condition = any_of(&sets, "t", &KeySource::Bound, &mut writer);
            Some(match limit.filter(|_| table.entity != USERS) {
                None => format!("(SELECT count(*) FROM {} t WHERE {condition})", info.table),
                Some(limit) => format!(
                    "(SELECT count(*) FROM (SELECT 1 FROM {} t WHERE {condition} LIMIT {}) s)",
                    info.table,
                    limit + 1
                ),
            })
        })
        .collect();
    let sql = format!("SELECT ARRAY[{}]::bigint[] AS rows", columns.join(", "));
    writer.finish(sql)
}

fn delete_statement(info: &TableInfo, rows: &RowSet, captured: &[String]) -> Statement {
    let mut writer = Writer::default();
    let condition = rows.condition("t", &KeySource::Bound, &mut writer);
    let returned = if captured.is_empty() {
        "1".to_owned()
    } else {
        captured.iter().map(|c| format!("t.{}", Column::new(c))).collect::<Vec<_>>().join(", ")
    };
    let arrays: Vec<String> =
        captured.iter().map(|c| format!(", COALESCE(array_agg({}::text), '{{}}')", Column::new(c))).collect();
    let arrays = arrays.concat();
    let sql = format!(
        "WITH d AS (DELETE FROM {} t WHERE {condition} RETURNING {returned}) SELECT count(*){arrays} FROM d",
        info.table
    );
    writer.finish(sql)
}

fn capture_statements(
    steps: &[Resolved<'_>],
    captured: &[Vec<String>],
    held: &[RowSet],
    fenced: &[bool],
    lock: &[u32],
) -> Vec<Capture> {
    // Parents first, so that a child's rows can be found by the parents captured before.
    let mut depth: BTreeMap<usize, usize> = BTreeMap::new();
    for i in 0..steps.len() {
        depth.insert(i, depth_of(steps, i));
    }
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|i| (depth[i], *i));
    order
        .into_iter()
        .filter(|&i| !captured[i].is_empty() || lock.contains(&steps[i].info.id))
        .map(|i| {
            let mut writer = Writer::default();
            let condition = held[i].condition("t", &KeySource::Bound, &mut writer);
            let table = &steps[i].info.table;
            let lock = if lock.contains(&steps[i].info.id) { " FOR UPDATE" } else { "" };
            let sql = if captured[i].is_empty() {
                format!("SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE {condition}{lock}) s")
            } else {
                let columns: Vec<Column> = captured[i].iter().map(Column::new).collect();
                format!(
                    "SELECT {} FROM (SELECT {} FROM {table} t WHERE {condition}{lock}) s",
                    columns
                        .iter()
                        .map(|c| format!("COALESCE(array_agg(s.{c}::text), '{{}}')"))
                        .collect::<Vec<_>>()
                        .join(", "),
                    columns.iter().map(|c| format!("t.{c}")).collect::<Vec<_>>().join(", "),
                )
            };
            Capture {
                step: i,
                table: steps[i].step.table.clone(),
                columns: captured[i].clone(),
                statement: writer.finish(sql),
                residue: steps.iter().enumerate().any(|(c, s)| !fenced[c] && s.links.iter().any(|(p, _)| *p == i)),
            }
        })
        .collect()
}

fn depth_of(steps: &[Resolved<'_>], i: usize) -> usize {
    steps[i].links.iter().map(|(p, _)| depth_of(steps, *p) + 1).max().unwrap_or(0)
}

/// Existence, activation and users of many organizations in one query.
fn census_statement(root: &Root, steps: &[Resolved<'_>], live: &[RowSet]) -> Statement {
    let users: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].step.entity == USERS).collect();
    let mut writer = Writer::default();
    let keys = writer.array(Param::Keys, &root.key_type);
    let (count, join) = match users.as_slice() {
        [] => ("NULL::bigint".to_owned(), String::new()),
        [only] if let RowSet::Direct { column, type_name } = &live[*only] => {
            // Grouped: one pass over the users of all organizations.
            let tenants = writer.array(Param::Keys, type_name);
            (
                "COALESCE(u.n, 0)".to_owned(),
                format!(
                    " LEFT JOIN (SELECT t.{column} AS tenant, count(*) AS n FROM {} t WHERE t.{column} = ANY({tenants}) GROUP BY t.{column}) u ON u.tenant::text = o.{}::text",
                    steps[*only].info.table, root.key
                ),
            )
        }
        several => {
            let outer = KeySource::Outer(format!("o.{}", root.key));
            let mut tables: Vec<&TableInfo> = Vec::new();
            for &i in several {
                if !tables.iter().any(|t| t.id == steps[i].info.id) {
                    tables.push(steps[i].info);
                }
            }
            let counts: Vec<String> = tables
                .iter()
                .map(|info| {
                    let sets: Vec<&RowSet> =
                        several.iter().filter(|&&i| steps[i].info.id == info.id).map(|&i| &live[i]).collect();
                    let condition = any_of(&sets, "t", &outer, &mut writer);
                    format!("(SELECT count(*) FROM {} t WHERE {condition})", info.table)
                })
                .collect();
            (counts.join(" + "), String::new())
        }
    };
    let sql = format!(
        "SELECT o.{key}::text AS key, {active} AS active, {count} AS users FROM {table} o{join} WHERE o.{key} = ANY({keys})",
        key = root.key,
        active = root.active_expression("o"),
        table = root.table,
    );
    writer.finish(sql)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::domain::catalog::{Catalog, ColumnInfo, Privileges, TableInfo};
    use crate::domain::identifier::Table;
    use crate::domain::plan::{OrganizationTable, Plan, Step};
    use crate::domain::{CompiledPlan, Failure};

    fn table(id: u32, name: &str, columns: &[&str], key: &[&str]) -> TableInfo {
        TableInfo {
            id,
            table: Table::qualified("public", name),
            declared: vec![name.to_owned()],
            columns: columns
                .iter()
                .map(|column| ColumnInfo {
                    name: (*column).to_owned(),
                    type_name: "bigint".to_owned(),
                    nullable: false,
                    updatable: true,
                })
                .collect(),
            unique_keys: vec![key.iter().map(|k| (*k).to_owned()).collect()],
            privileges: Privileges { usage: true, select: true, delete: true, lock: true },
            row_security: false,
        }
    }

    fn step(table: &str) -> Step {
        Step {
            entity: table.to_owned(),
            table: table.to_owned(),
            organization: None,
            parent: None,
            column: None,
            columns: BTreeMap::new(),
        }
    }

    /// Projects are numbered within an organization, and tasks refer to them by both.
    fn fault(columns: &[(&str, &str)]) -> Option<Failure> {
        let catalog = Catalog {
            tables: vec![
                table(1, "organizations", &["id"], &["id"]),
                table(2, "projects", &["org", "number"], &["org", "number"]),
                table(3, "tasks", &["id", "org", "project"], &["id"]),
            ],
            foreign_keys: Vec::new(),
            plan_tables: vec![1, 2, 3],
            ..Catalog::default()
        };
        let columns = columns.iter().map(|(c, p)| ((*c).to_owned(), (*p).to_owned())).collect();
        let plan = Plan {
            organization: OrganizationTable { table: "organizations".into(), key: "id".into(), active: None },
            tenant_columns: Vec::new(),
            steps: vec![
                Step { organization: Some("org".into()), ..step("projects") },
                Step { parent: Some("projects".into()), columns, ..step("tasks") },
            ],
            keep: Vec::new(),
        };
        CompiledPlan::new(&plan, &catalog, "role").expect("the organization's table is there").fault
    }

    #[test]
    fn half_of_a_composite_key_is_refused() {
        assert_eq!(fault(&[("org", "org"), ("project", "number")]), None);
        let message = fault(&[("project", "number")]).expect("a fault").message;
        assert!(message.contains("`cascade.steps[1].columns`"), "{message}");
    }
}
