//! What a plan means: computed here from the rows, in another way than the operator's SQL.

use std::collections::BTreeSet;

use planner::plan::{Plan, Step};

use super::schema::{ROOT, Role, Row, Schema, joins};

/// Rows by table.
pub type Rows = Vec<BTreeSet<i64>>;

/// The rows of one tenant, as the plan says, its own among them. People are first all to whom the tenant's rows refer; then whoever is
/// referred to from outside stays, and with him what only he led to, until nobody is left to whom that applies.
pub fn rows_of(schema: &Schema, plan: &Plan, tenant: i64) -> Rows {
    let others: Vec<i64> = schema.tenants.iter().copied().filter(|other| *other != tenant).collect();
    let theirs = without_people(schema, plan, &others);
    let mut stay: Rows = vec![BTreeSet::new(); schema.tables.len()];
    loop {
        let meant = Meant { schema, plan, tenant, stay: Some(&stay) };
        let rows = meant.rows();
        let referred = meant.people_referred_from_outside(&rows, &theirs);
        if referred.is_empty() {
            return rows;
        }
        for (t, uid) in referred {
            stay[t].insert(uid);
        }
    }
}

/// The rows of these tenants that are theirs whatever becomes of people.
pub fn without_people(schema: &Schema, plan: &Plan, tenants: &[i64]) -> Rows {
    let mut all: Rows = vec![BTreeSet::new(); schema.tables.len()];
    for &tenant in tenants {
        let rows = Meant { schema, plan, tenant, stay: None }.rows();
        all.iter_mut().zip(rows).for_each(|(all, rows)| all.extend(rows));
    }
    all
}

/// Columns of a child, each with the parent's.
type Pairs = Vec<(usize, usize)>;

/// What a plan means while some people stay, or all.
struct Meant<'s> {
    schema: &'s Schema,
    plan: &'s Plan,
    tenant: i64,
    stay: Option<&'s Rows>,
}

impl Meant<'_> {
    fn rows(&self) -> Rows {
        let mut rows = vec![BTreeSet::new(); self.schema.tables.len()];
        for (i, step) in self.plan.steps.iter().enumerate() {
            rows[table_of(self.schema, step)].extend(self.of_step(i));
        }
        let organizations = self.schema.tables[ROOT].rows.iter().filter(|r| r.values[1] == Some(self.tenant));
        rows[ROOT].extend(organizations.filter_map(|r| r.values[0]));
        rows
    }

    fn of_step(&self, i: usize) -> BTreeSet<i64> {
        let Self { schema, plan, .. } = self;
        let step = &plan.steps[i];
        let t = table_of(schema, step);
        let table = &schema.tables[t];
        let uids = |rows: &mut dyn Iterator<Item = &Row>| rows.filter_map(|r| r.values[0]).collect::<BTreeSet<i64>>();
        if let Some(organization) = &step.organization {
            let column = column_of(schema, t, organization);
            return uids(&mut table.rows.iter().filter(|r| r.values[column] == Some(self.tenant)));
        }
        let mut found = BTreeSet::new();
        for (j, other) in plan.steps.iter().enumerate() {
            let p = table_of(schema, other);
            let inside = || {
                let inside = self.of_step(j);
                schema.tables[p].rows.iter().filter(move |r| holds(&inside, r))
            };
            if step.parent.as_ref() == Some(&other.entity) {
                let pairs = pairs(schema, step, t, p);
                for parent in inside() {
                    found.extend(uids(&mut table.rows.iter().filter(|r| joins(pairs.iter().copied(), r, parent))));
                }
            }
            if step.referenced_by.as_ref() == Some(&other.entity) {
                let pairs = pairs(schema, step, p, t);
                for child in inside() {
                    found.extend(uids(&mut table.rows.iter().filter(|r| joins(pairs.iter().copied(), child, r))));
                }
            }
        }
        if step.referenced_by.is_some() {
            found.retain(|uid| self.stay.is_some_and(|stay| !stay[t].contains(uid)));
        }
        found
    }

    /// People among these rows to whom a row refers that is not among them, or that is one of `theirs` as well: by a foreign
    /// key, by the columns of the step itself, or by a column that the plan names.
    fn people_referred_from_outside(&self, rows: &Rows, theirs: &Rows) -> Vec<(usize, i64)> {
        let Self { schema, plan, .. } = self;
        let mut ways: Vec<(usize, Pairs, usize)> = Vec::new();
        for step in plan.steps.iter().filter(|s| s.referenced_by.is_some()) {
            let t = table_of(schema, step);
            for key in schema.references.iter().filter(|r| r.parent == t && r.constraint.is_some()) {
                // Rows of a table that inherits are rows of the other as well.
                let heirs = (0..schema.tables.len()).filter(|c| schema.tables[*c].inherits == Some(key.child));
                ways.extend(heirs.chain([key.child]).map(|child| (child, key.pairs().collect(), t)));
            }
            for other in plan.steps.iter().filter(|o| step.referenced_by.as_ref() == Some(&o.entity)) {
                let child = table_of(schema, other);
                ways.push((child, pairs(schema, step, child, t), t));
            }
            for loose in &step.unless {
                let child = named(schema, &loose.table);
                ways.push((child, vec![(column_of(schema, child, &loose.column), schema.tables[t].key[0])], t));
            }
        }
        let mut referred = Vec::new();
        for (child, pairs, t) in ways {
            let inside = |r: &&Row| holds(&rows[child], r) && !holds(&theirs[child], r);
            let outside = || schema.tables[child].rows.iter().filter(|r| !inside(r));
            let people = schema.tables[t].rows.iter().filter(|r| holds(&rows[t], r));
            referred.extend(
                people
                    .filter(|person| outside().any(|r| joins(pairs.iter().copied(), r, person)))
                    .filter_map(|person| Some((t, person.values[0]?)))
                    .filter(|_| schema.tables[t].role == Role::People),
            );
        }
        referred
    }
}

/// Whether the row is one of these.
pub fn holds(rows: &BTreeSet<i64>, row: &Row) -> bool {
    row.values[0].is_some_and(|uid| rows.contains(&uid))
}

fn named(schema: &Schema, name: &str) -> usize {
    (0..schema.tables.len()).find(|t| schema.table_name(*t) == name).unwrap_or_default()
}

/// The table of a step.
pub fn table_of(schema: &Schema, step: &Step) -> usize {
    named(schema, &step.table)
}

fn column_of(schema: &Schema, t: usize, name: &str) -> usize {
    schema.tables[t].columns.iter().position(|c| c.name == name).unwrap_or_default()
}

/// The columns by which rows of `child` refer to rows of `parent`, as the step says.
fn pairs(schema: &Schema, step: &Step, child: usize, parent: usize) -> Vec<(usize, usize)> {
    match &step.column {
        Some(column) => vec![(column_of(schema, child, column), schema.tables[parent].key[0])],
        None => step.columns.iter().map(|(c, p)| (column_of(schema, child, c), column_of(schema, parent, p))).collect(),
    }
}

/// Whether a row that goes is found by part of a key which a parent row that stays has as well.
pub fn ambiguous(schema: &Schema, plan: &Plan, victims: &Rows) -> bool {
    plan.steps.iter().filter(|step| step.parent.is_some() && !step.columns.is_empty()).any(|step| {
        let t = table_of(schema, step);
        plan.steps.iter().filter(|o| step.parent.as_ref() == Some(&o.entity)).any(|parent| {
            let p = table_of(schema, parent);
            let pairs = pairs(schema, step, t, p);
            if pairs.len() == schema.tables[p].key.len() {
                return false;
            }
            let parents = |goes: bool| schema.tables[p].rows.iter().filter(move |r| holds(&victims[p], r) == goes);
            let joined = |child: &Row, goes: bool| parents(goes).any(|r| joins(pairs.iter().copied(), child, r));
            schema.tables[t].rows.iter().any(|child| joined(child, true) && joined(child, false))
        })
    })
}

/// Whether a row that stays refers, by a foreign key, to one that goes.
pub fn referred_from_outside(schema: &Schema, victims: &Rows) -> bool {
    schema.references.iter().filter(|r| r.constraint.is_some()).any(|r| {
        let children = schema.tables[r.child].rows.iter().filter(|row| !holds(&victims[r.child], row));
        children.into_iter().any(|child| {
            let mut parents = schema.tables[r.parent].rows.iter().filter(|row| holds(&victims[r.parent], row));
            parents.any(|parent| r.joins(child, parent))
        })
    })
}
