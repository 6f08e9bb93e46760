//! The steps together: order, row sets, captures and the statements of the cascade.

use super::checks;
use super::faults::Faults;
use super::resolve::{Resolved, resolve};
use super::root::Root;
use super::sequence::find_order;
use super::statements::{
    capture_statements, census_statement, count_statement, delete_statement, lock_statement, parents_left, row_set,
};
use super::ties::{captured_columns, fences, parent_keys, parents_to_lock};
use super::{COUNT_LIMIT, Delete, Entity, ErasePlan, PlanTable};
use crate::domain::catalog::Catalog;
use crate::domain::plan::Plan;
use crate::domain::statement::{KeySource, RowSet, Writer};

/// The entity whose rows are the organization's users: counted exactly and shown in a column.
pub(super) const USERS: &str = "users";

/// Compiles the steps. None when names could not be resolved or no order exists; the faults say why.
pub(super) fn compile(plan: &Plan, catalog: &Catalog, root: &Root, faults: &mut Faults) -> Option<ErasePlan> {
    let steps = resolve(plan, catalog, faults)?;
    let real_order = find_order(&steps, catalog, root, faults)?;
    let fenced = fences(&steps, catalog, root);
    let needs = checks::find(&steps, catalog, root, plan);
    let mut to_lock = checks::to_lock(&needs);
    to_lock.extend(parents_to_lock(&steps, catalog, &fenced));
    faults.locks(&steps, &to_lock);
    let captured = captured_columns(&steps, &real_order, &fenced);
    let keys = parent_keys(&steps, &captured);

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
                columns: keys[i].len(),
                statement: delete_statement(steps[i].info, &held[i], &keys[i]),
                fenced: fenced[i],
            })
        })
        .collect();
    let sweeps = deletes.iter().filter(|d| !d.fenced).cloned().collect();
    let captures = capture_statements(&steps, &keys, &held, &fenced, &to_lock);

    let mut writer = Writer::default();
    let condition = root.rows().condition("t", &KeySource::Bound, &mut writer);
    let delete_organization = writer.finish(format!("DELETE FROM {} t WHERE {condition}", root.table));

    Some(ErasePlan {
        entities: entities(&steps, &real_order, &tables),
        count: counts(&live, None),
        inventory: counts(&live, Some(COUNT_LIMIT)),
        lock_tables: lock_statement(root, &steps),
        captures,
        parents_left: parents_left(&steps, &keys),
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

fn plan_tables(steps: &[Resolved<'_>], real_order: &[usize]) -> Vec<PlanTable> {
    let mut tables: Vec<PlanTable> = Vec::new();
    for &i in real_order {
        let step = &steps[i];
        if !tables.iter().any(|t| t.id == step.info.id) {
            tables.push(PlanTable { id: step.info.id, name: step.info.table.name(), entity: step.step.entity.clone() });
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
