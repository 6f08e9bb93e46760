//! A random sensible plan over a random schema, and what it means: computed here from the rows, in another way than the
//! operator's SQL.

use std::collections::BTreeSet;

use fastrand::Rng;
use planner::plan::{Keep, OrganizationTable, Plan, Step, UnknownTables};

use super::schema::{ROOT, Reference, Schema};

/// A plan such as a person would write for the schema.
pub fn random(schema: &Schema, rng: &mut Rng) -> Plan {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    let mut keep = Vec::new();
    let mut open: Vec<usize> = (1..schema.tables.len()).collect();
    rng.shuffle(&mut open);
    let forgotten: Vec<usize> = open.iter().copied().filter(|_| rng.u8(..12) == 0).collect();
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
        if rng.u8(..3) == 0 {
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
    let name = |c: usize| table.columns[c].name.clone();
    let mut ways = Vec::new();
    if let Some(organization) = table.organization {
        ways.push(Step { organization: Some(name(organization)), ..step() });
    }
    let parents = |r: &&Reference| r.child == t && r.parent != t && steps.iter().any(|(p, _)| *p == r.parent);
    for reference in schema.references.iter().filter(parents) {
        let parent = &schema.tables[reference.parent];
        let mut step = Step { parent: Some(parent.name.clone()), ..step() };
        if reference.child_columns.len() == 1 {
            step.column = Some(name(reference.child_columns[0]));
        } else {
            let pairs = reference.child_columns.iter().zip(&reference.parent_columns);
            step.columns = pairs.map(|(c, p)| (name(*c), parent.columns[*p].name.clone())).collect();
        }
        ways.push(step);
    }
    ways
}

/// The rows of one tenant, by table.
pub type Rows = Vec<BTreeSet<i64>>;

/// The rows of one tenant, as the plan says.
pub fn rows_of(schema: &Schema, plan: &Plan, tenant: i64) -> Rows {
    let mut rows = vec![BTreeSet::new(); schema.tables.len()];
    for i in 0..plan.steps.len() {
        rows[table_of(schema, &plan.steps[i])].extend(of_step(schema, plan, i, tenant));
    }
    rows
}

fn table_of(schema: &Schema, step: &Step) -> usize {
    (0..schema.tables.len()).find(|t| schema.table_name(*t) == step.table).unwrap_or_default()
}

fn of_step(schema: &Schema, plan: &Plan, i: usize, tenant: i64) -> BTreeSet<i64> {
    let step = &plan.steps[i];
    let table = &schema.tables[table_of(schema, step)];
    let index = |t: usize, name: &str| schema.tables[t].columns.iter().position(|c| c.name == name).unwrap_or_default();
    let t = table_of(schema, step);
    if let Some(organization) = &step.organization {
        let column = index(t, organization);
        return table.rows.iter().filter(|r| r.values[column] == Some(tenant)).filter_map(|r| r.values[0]).collect();
    }
    let mut found = BTreeSet::new();
    for (j, other) in plan.steps.iter().enumerate().filter(|(_, o)| Some(&o.entity) == step.parent.as_ref()) {
        let p = table_of(schema, other);
        let pairs: Vec<(usize, usize)> = match &step.column {
            Some(column) => vec![(index(t, column), schema.tables[p].key[0])],
            None => step.columns.iter().map(|(c, k)| (index(t, c), index(p, k))).collect(),
        };
        let inside = of_step(schema, plan, j, tenant);
        let parents = schema.tables[p].rows.iter().filter(|r| r.values[0].is_some_and(|uid| inside.contains(&uid)));
        for parent in parents {
            let belongs = |r: &&super::schema::Row| {
                pairs.iter().all(|(c, k)| r.values[*c].is_some() && r.values[*c] == parent.values[*k])
            };
            found.extend(table.rows.iter().filter(belongs).filter_map(|r| r.values[0]));
        }
    }
    found
}

/// Whether a row that stays refers, by a foreign key, to one that goes.
pub fn referred_from_outside(schema: &Schema, victims: &Rows) -> bool {
    let keys = schema.references.iter().filter(|r| r.constraint.is_some());
    let gone = |t: usize, uid: Option<i64>| uid.is_some_and(|uid| victims[t].contains(&uid));
    keys.into_iter().any(|r| {
        let children = schema.tables[r.child].rows.iter().filter(|row| !gone(r.child, row.values[0]));
        children.into_iter().any(|child| {
            schema.tables[r.parent].rows.iter().filter(|row| gone(r.parent, row.values[0])).any(|parent| {
                let mut pairs = r.child_columns.iter().zip(&r.parent_columns);
                pairs.all(|(c, k)| child.values[*c].is_some() && child.values[*c] == parent.values[*k])
            })
        })
    })
}
