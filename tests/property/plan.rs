//! A random sensible plan over a random schema.

use fastrand::Rng;
use planner::plan::{Keep, OrganizationTable, Partitions, Plan, Reference as Loose, Step, UnknownTables};

use super::schema::{Partitioning, ROOT, Reference, Role, Schema, Triggers};

/// A plan such as a person would write for the schema.
pub fn random(schema: &Schema, rng: &mut Rng) -> Plan {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    let mut keep = Vec::new();
    let mut open: Vec<usize> = (1..schema.tables.len()).collect();
    rng.shuffle(&mut open);
    let outside = |t: usize, rng: &mut Rng| schema.tables[t].role == Role::Outside || rng.u8(..12) == 0;
    let forgotten: Vec<usize> = open.iter().copied().filter(|t| outside(*t, rng)).collect();
    loop {
        let mut progress = false;
        for t in open.clone() {
            let mut ways = ways(schema, t, &steps);
            if forgotten.contains(&t) || ways.is_empty() {
                continue;
            }
            // The tenant column is what most people would take.
            if ways.len() > 1 && (ways[0].organization.is_none() || rng.u8(..4) == 0) {
                rng.shuffle(&mut ways);
            }
            let several = rng.u8(..6) == 0;
            steps.extend(ways.into_iter().take(1 + usize::from(several)).map(|step| (t, step)));
            open.retain(|o| *o != t);
            progress = true;
        }
        if !progress {
            break;
        }
    }
    for t in open {
        // A table that inherits is reached through the one from which it does.
        if rng.u8(..3) == 0 && schema.tables[t].inherits.is_none() {
            keep.push(Keep { table: schema.table_name(t), reason: "law".into() });
        }
    }
    let mut steps: Vec<Step> = steps.into_iter().map(|(_, step)| step).collect();
    rng.shuffle(&mut steps);
    Plan {
        global: Vec::new(),
        unknown_tables: UnknownTables::Warn,
        unclassified: Vec::new(),
        organization: OrganizationTable { table: schema.table_name(ROOT), key: "id".into(), active: None },
        tenant_columns: Vec::new(),
        steps,
        keep,
    }
}

/// The ways in which a table's rows can be found, given the steps that are there.
fn ways(schema: &Schema, t: usize, steps: &[(usize, Step)]) -> Vec<Step> {
    let table = &schema.tables[t];
    let step = || Step { entity: table.name.clone(), table: schema.table_name(t), ..Step::default() };
    let name = |t: usize, c: usize| schema.tables[t].columns[c].name.clone();
    let placed = |t: usize| steps.iter().any(|(p, _)| *p == t);
    if table.role == Role::People {
        let members = schema.references.iter().filter(|r| r.parent == t && r.child != t && placed(r.child));
        return members
            .map(|reference| Step {
                referenced_by: Some(schema.tables[reference.child].name.clone()),
                unless: loose(schema, reference),
                ..mapped(reference, schema, step())
            })
            .collect();
    }
    let mut ways = Vec::new();
    if let Some(organization) = table.organization {
        // A trigger would not fire for rows that go with their partition, which is a fault.
        let by_tenant =
            matches!(table.partitioned, Some(Partitioning::OwnPartition(_) | Partitioning::SharedPartition(_)));
        let drop = by_tenant && table.triggers == Triggers::default();
        let partitions = if drop { Partitions::Drop } else { Partitions::Delete };
        ways.push(Step { organization: Some(name(t, organization)), partitions, ..step() });
    }
    let parents = schema.references.iter().filter(|r| r.child == t && r.parent != t && placed(r.parent));
    for reference in parents {
        let parent = Some(schema.tables[reference.parent].name.clone());
        ways.push(Step { parent, ..mapped(reference, schema, step()) });
    }
    ways
}

/// The step with the columns of a reference: one column where that is the whole key.
fn mapped(reference: &Reference, schema: &Schema, mut step: Step) -> Step {
    let name = |t: usize, c: usize| schema.tables[t].columns[c].name.clone();
    if reference.child_columns.len() == 1 && !reference.by_part(schema) {
        step.column = Some(name(reference.child, reference.child_columns[0]));
    } else {
        step.columns = reference.pairs().map(|(c, p)| (name(reference.child, c), name(reference.parent, p))).collect();
    }
    step
}

/// The columns that refer to the same people without a foreign key.
fn loose(schema: &Schema, reference: &Reference) -> Vec<Loose> {
    let others = schema.references.iter().filter(|r| {
        r.parent == reference.parent && r.constraint.is_none() && schema.tables[r.child].role == Role::Outside
    });
    others
        .filter(|r| r.child_columns.len() == 1 && !r.by_part(schema))
        .map(|r| Loose {
            table: schema.table_name(r.child),
            column: schema.tables[r.child].columns[r.child_columns[0]].name.clone(),
        })
        .collect()
}
