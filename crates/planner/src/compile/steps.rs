//! The steps together: order, row sets, captures and the statements of the cascade.

use super::effort::Effort;
use super::exclusive::Scope;
use super::faults::Collector;
use super::kept::Kept;
use super::ownership::{captured_columns, parent_keys, parents_to_lock, protected_steps};
use super::resolve::{Steps, resolve};
use super::rows::{self, row_sets};
use super::sequence::{self, Sequence, Set, TableSteps};
use super::statements::{self, Deleting, Keeping};
use super::{ambiguous, captures, checks, detach, exclusive, nobodys, pages, partitions, proof, shared};
use crate::cascade::{Cascade, Delete, DeletedTable, Entity, PlanTable, Preflight, USERS};
use crate::catalog::{Catalog, TableId, TableProperties};
use crate::limits::COUNT_LIMIT;
use crate::plan::Plan;
use crate::query::Query;
use crate::root::Root;
use crate::row_set::RowSet;
use crate::step::PerStep;

/// Compiles the steps. Returns `None` if names could not be resolved; the faults say why.
pub(super) fn compile(plan: &Plan, catalog: &Catalog, root: &Root, faults: &mut Collector) -> Option<Cascade> {
    let steps = resolve(plan, catalog, root, faults)?;
    let sequence = sequence::find(&steps, catalog, root);
    let protected = protected_steps(&steps, catalog, root);
    let needs = checks::find(&steps, catalog, root, plan);
    let mut to_lock = checks::to_lock(&needs);
    to_lock.extend(parents_to_lock(&steps, catalog, &protected));
    let locked: Vec<TableId> = exclusive::locked(&steps).chain(to_lock.iter().copied()).collect();
    faults.locks(steps.values().map(|s| s.info).filter(|info| locked.contains(&info.id)));
    let captured = captured_columns(&steps, &sequence, &protected);
    let keys = parent_keys(&steps, &captured, &protected);
    let scope = Scope { plan, catalog, root, steps: &steps };

    // Row sets as they are before the first delete, and as they are when captured parents may be gone.
    let live = rows::live_row_sets(&steps, root);
    let held = row_sets(&steps, root, &captured);
    let deleting = Deleting { rows: scope.deleting(&held), held: held.clone() };
    // At the last count, all parents are gone.
    let gone = row_sets(&steps, root, &keys);
    let shown = scope.shown();
    let sets = captures::key_sets(&steps, &protected);
    let may_interfere = proof::may_interfere(&steps, catalog, root);
    let proven = proof::proven(&steps, catalog, root);
    let Kept { add, account, accounted } = Kept::of(&steps, &sequence, &sets, &protected, (&proven, may_interfere));

    let deleted = |set: &Set<'_>, same: &TableSteps<'_>| {
        // Afterwards, parents that the same statement deletes are gone.
        let left = if set.is_single() { &held } else { &gone };
        DeletedTable {
            step: same.first,
            table: steps.plan_table(same.first),
            left: statements::count([same], &steps, left, None),
            protected: same.steps.iter().all(|&step| protected[step]),
            may_suppress: catalog.properties(same.info.id).is_some_and(TableProperties::may_suppress),
        }
    };
    let delete = |set: &Set<'_>, keeping: &Keeping<'_>| {
        let (statement, by_command) = statements::delete(set, root, &deleting, keeping);
        Delete {
            tables: set.tables.iter().map(|same| deleted(set, same)).collect(),
            organization: set.organization,
            statement,
            by_command,
        }
    };
    let keeping = Keeping { add: &add, account: &account };
    let deletes: Vec<Delete> = sequence.sets.iter().map(|set| delete(set, &keeping)).collect();
    let unprotected = |same: &TableSteps<'_>| same.steps.iter().any(|&step| !protected[step]);
    let late_sets = || sequence.sets.iter().filter_map(|set| set.only(unprotected));
    let late = Keeping { add: &sets, account: &sets.map(|_, _| Vec::new()) };
    let late_deletes: Vec<Delete> = late_sets().map(|set| delete(&set, &late)).collect();
    let late: Vec<TableId> = late_sets().flat_map(|set| set.tables).map(|same| same.info.id).collect();
    let all: Vec<&checks::Need<'_>> = needs.iter().collect();
    let preflight = |effort| Preflight {
        references: checks::query(&all, &steps, (&live, &shown), root, effort),
        shared: shared::query(&plan.tenant_columns, &steps, (&live, &shown), catalog, root, effort),
        ambiguous: ambiguous::query(&steps, (&live, &shown), |_| true, effort),
    };

    let partitions = partitions::partitions(&steps, &sequence, catalog, root, &held, faults);
    let paging = pages::Paging {
        tenant_columns: &plan.tenant_columns,
        catalog,
        root,
        steps: &steps,
        sequence: &sequence,
        protected: &protected,
        partitions: &partitions,
        live: &live,
    };
    let (pages, not_paged) = paging.tables();

    Some(Cascade {
        pages,
        not_paged,
        sizes: paging.sizes(),
        entities: entities(&steps, &sequence),
        count: statements::count(sequence.tables(), &steps, &live, None),
        inventory: statements::count(sequence.tables(), &steps, &live, Some(COUNT_LIMIT)),
        lock_tables: statements::lock_tables(root, &steps),
        exclusive: scope.statements(&live),
        late_exclusive: scope.statements(&rows::late_row_sets(&steps, root, &captured)),
        captures: captures::captures(&steps, &sets, &held, &protected, &to_lock),
        parents_left: captures::parents_left(&steps),
        parents_back: captures::parents_back(&steps, &protected),
        parents_shared: captures::parents_shared(&steps, &live),
        lock_partitioned: partitions::lock(&partitions),
        partitions,
        accounted,
        left_behind: scope.left_behind(&held, &protected),
        detaches: detach::detaches(&sequence.broken, &steps, catalog, root, &held, faults),
        deletes,
        late_deletes,
        recount: statements::count(sequence.tables(), &steps, &gone, None),
        recount_unproven: recount_unproven(&steps, &sequence, &proven, &gone),
        may_interfere,
        preflight: preflight(Effort::Whole),
        late_preflight: Preflight {
            references: checks::query(&checks::into(&needs, &late), &steps, (&held, &shown), root, Effort::Whole),
            shared: None,
            ambiguous: ambiguous::query(&steps, (&held, &shown), |table| late.contains(&table), Effort::Whole),
        },
        quick_check: preflight(Effort::QuickCheck(catalog)),
        nobodys_rows: nobodys::queries(&plan.tenant_columns, &steps, catalog, root),
        observe_many: statements::observe_many(root, &steps, &live),
        observes_referrers: steps.iter().any(|(id, s)| s.step.entity == USERS && exclusive::depends(&steps, id)),
        defer_constraints: catalog.foreign_keys.iter().any(|k| k.deferrable),
    })
}

/// Counts the tables of which foreign keys do not prove that nothing is left.
fn recount_unproven(
    steps: &Steps<'_>,
    sequence: &Sequence<'_>,
    proven: &PerStep<bool>,
    gone: &PerStep<RowSet>,
) -> Option<Query<PlanTable>> {
    let unproven = sequence.tables().filter(|same| !proof::whole_table(steps, proven, same.first));
    statements::count(unproven, steps, gone, None).if_any()
}

fn entities(steps: &Steps<'_>, sequence: &Sequence<'_>) -> Vec<Entity> {
    let tables: Vec<PlanTable> = sequence.tables().map(|same| steps.plan_table(same.first)).collect();
    let mut entities: Vec<Entity> = Vec::new();
    for &step in sequence.tables().flat_map(|same| &same.steps) {
        let name = &steps[step].step.entity;
        if !entities.iter().any(|e| e.name == *name) {
            let of_entity = tables.iter().filter(|t| t.entity == *name).map(|t| t.name.clone());
            entities.push(Entity { name: name.clone(), tables: of_entity.collect() });
        }
    }
    entities
}
