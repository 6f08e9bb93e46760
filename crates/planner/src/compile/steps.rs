//! The steps together: order, row sets, captures and the statements of the cascade.

use super::effort::Effort;
use super::faults::Collector;
use super::ownership::{captured_columns, parent_keys, parents_to_lock, protected_steps};
use super::resolve::{Resolved, resolve};
use super::sequence::{self, Sequence};
use super::statements::{
    capture_statements, census_statement, count_statement, delete_statement, lock_statement, parents_back,
    parents_left, row_set,
};
use super::{checks, shared};
use crate::cascade::{Cascade, Delete, Entity, PlanTable};
use crate::catalog::{Catalog, TableId, TableProperties};
use crate::limits::COUNT_LIMIT;
use crate::plan::Plan;
use crate::root::Root;
use crate::statement::{KeySource, RowSet, Writer};

/// The entity whose rows are the organization's users: counted exactly and shown in a column.
pub(super) const USERS: &str = "users";

/// Compiles the steps. Returns `None` if names could not be resolved or no order exists; the faults say why.
pub(super) fn compile(plan: &Plan, catalog: &Catalog, root: &Root, faults: &mut Collector) -> Option<Cascade> {
    let steps = resolve(plan, catalog, root, faults)?;
    let sequence = sequence::find(&steps, catalog, root, faults)?;
    let protected = protected_steps(&steps, catalog, root);
    let needs = checks::find(&steps, catalog, root, plan);
    let mut to_lock = checks::to_lock(&needs);
    to_lock.extend(parents_to_lock(&steps, catalog, &protected));
    faults.locks(steps.iter().map(|s| s.info).filter(|info| to_lock.contains(&info.id)));
    let captured = captured_columns(&steps, &sequence, &protected);
    let keys = parent_keys(&steps, &captured);

    // Row sets as they are before the first delete, and as they are when captured parents may be gone.
    let live: Vec<RowSet> = (0..steps.len()).map(|i| row_set(&steps, root, i, None)).collect();
    let held: Vec<RowSet> = (0..steps.len()).map(|i| row_set(&steps, root, i, Some(&captured))).collect();
    // The last count asks for rows of parents that are gone in any case.
    let gone: Vec<RowSet> = (0..steps.len()).map(|i| row_set(&steps, root, i, Some(&keys))).collect();

    let tables = plan_tables(&steps, &sequence);
    let sets_of = |sets: &[RowSet], table: &PlanTable| -> Vec<RowSet> {
        (0..steps.len()).filter(|&i| steps[i].info.id == table.id).map(|i| sets[i].clone()).collect()
    };
    let counts = |sets: &[RowSet], limit: Option<i64>| {
        count_statement(&tables.iter().map(|t| (t, sets_of(sets, t))).collect::<Vec<_>>(), &steps, limit)
    };

    let deletes: Vec<Delete> = sequence
        .tables
        .iter()
        .filter_map(|same| {
            let info = steps[*same.first()?].info;
            let table = tables.iter().position(|t| t.id == info.id)?;
            let returns = same.iter().map(|&i| (i, keys[i].len())).filter(|(_, columns)| *columns > 0);
            Some(Delete {
                step: same[0],
                table,
                returns: returns.collect(),
                statement: delete_statement(info, same, &held, &keys),
                left: count_statement(&[(&tables[table], sets_of(&held, &tables[table]))], &steps, None),
                protected: same.iter().all(|&i| protected[i]),
                may_suppress: catalog.properties(info.id).is_some_and(TableProperties::may_suppress),
            })
        })
        .collect();
    let sweeps: Vec<Delete> = deletes.iter().filter(|d| !d.protected).cloned().collect();
    let swept: Vec<TableId> = sweeps.iter().map(|d| tables[d.table].id).collect();
    let all: Vec<&checks::Need<'_>> = needs.iter().collect();
    let captures = capture_statements(&steps, &keys, &held, &protected, &to_lock);

    let mut writer = Writer::default();
    let condition = root.rows().condition("t", &KeySource::Bound, &mut writer);
    let delete_organization = writer.finish(format!("DELETE FROM {} t WHERE {condition}", root.table));

    Some(Cascade {
        entities: entities(&steps, &sequence, &tables),
        count: counts(&live, None),
        inventory: counts(&live, Some(COUNT_LIMIT)),
        lock_tables: lock_statement(root, &steps),
        captures,
        parents_left: parents_left(&steps, &keys),
        parents_back: parents_back(&steps, &keys, &protected),
        detaches: sequence::detaches(&sequence, &steps, catalog, root, &held, faults),
        deletes,
        recount: counts(&gone, None),
        sweeps,
        preflight: checks::statement(&all, &steps, &live, root, Effort::Whole),
        sweep_preflight: checks::statement(&checks::into(&needs, &swept), &steps, &held, root, Effort::Whole),
        shared: shared::statement(&plan.tenant_columns, &steps, &live, catalog, root, Effort::Whole),
        quick_check: checks::statement(&all, &steps, &live, root, Effort::QuickCheck(catalog)),
        quick_shared: shared::statement(
            &plan.tenant_columns,
            &steps,
            &live,
            catalog,
            root,
            Effort::QuickCheck(catalog),
        ),
        delete_organization,
        census: census_statement(root, &steps, &live),
        defer_constraints: catalog.foreign_keys.iter().any(|k| k.deferrable),
        tables,
    })
}

fn plan_tables(steps: &[Resolved<'_>], sequence: &Sequence<'_>) -> Vec<PlanTable> {
    let mut tables: Vec<PlanTable> = Vec::new();
    for &i in sequence.tables.iter().flatten() {
        let step = &steps[i];
        if !tables.iter().any(|t| t.id == step.info.id) {
            tables.push(PlanTable { id: step.info.id, name: step.info.table.name(), entity: step.step.entity.clone() });
        }
    }
    tables
}

fn entities(steps: &[Resolved<'_>], sequence: &Sequence<'_>, tables: &[PlanTable]) -> Vec<Entity> {
    let mut entities: Vec<Entity> = Vec::new();
    for &i in sequence.tables.iter().flatten() {
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
