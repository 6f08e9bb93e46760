//! Random rows.

use fastrand::Rng;
use planner::catalog::OnDelete;

use super::schema::{ROOT, Reference, Role, Row, Schema, Type};

impl Schema {
    /// Gives every tenant its rows, and every row something to refer to.
    pub fn fill(&mut self, rng: &mut Rng) {
        let mut next = 1;
        for t in 0..self.tables.len() {
            // Outside of the plan, whoever is deleted has mostly no rows: every row there blocks.
            let spared = self.tables[t].role == Role::Outside && rng.u8(..4) > 0;
            for home in usize::from(spared)..self.tenants.len() {
                let rows = if t == ROOT { 1 } else { rng.i64(self.tables[t].least..=4) };
                for n in 1..=rows {
                    let values = self.own_values(t, home, n, next, rng);
                    self.tables[t].rows.push(Row { home, values });
                    next += 1;
                }
            }
        }
        // In every other schema some rows refer to those of other tenants.
        let stray = if rng.bool() { 0 } else { 6 };
        for r in 0..self.references.len() {
            let reference = self.references[r].clone();
            if reference.child != ROOT
                && self.tables[reference.child].organization == Some(reference.child_columns[0])
                && reference.parent == ROOT
            {
                continue;
            }
            let stray = if self.shares(&reference) { 30 } else { stray };
            for row in 0..self.tables[reference.child].rows.len() {
                self.point(&reference, row, stray, rng);
            }
            self.give_default(&reference, rng);
        }
        for t in 0..self.tables.len() {
            let Some(base) = self.tables[t].inherits else { continue };
            for c in 0..self.tables[base].columns.len() {
                self.tables[base].columns[c].nullable |= self.tables[t].columns[c].nullable;
            }
        }
    }

    /// Key and tenant of a row; references follow.
    fn own_values(&self, t: usize, home: usize, n: i64, uid: i64, rng: &mut Rng) -> Vec<Option<i64>> {
        let table = &self.tables[t];
        let mut values = vec![None; table.columns.len()];
        values[0] = Some(uid);
        let index = i64::try_from(home).unwrap_or_default();
        match table.key.as_slice() {
            _ if t == ROOT => values[1] = Some(self.tenants[home]),
            [id] => values[*id] = Some(i64::try_from(table.rows.len()).unwrap_or_default() + 1),
            [scope, number] => {
                values[*scope] = Some(index + 1);
                // In every other table the number alone tells the rows of the tenants apart.
                values[*number] = Some(if t.is_multiple_of(2) { n } else { index * 10 + n });
            }
            _ => {}
        }
        if let Some(o) = table.organization {
            let nobodys = table.columns[o].nullable && rng.u8(..12) == 0;
            values[o] = (!nobodys).then(|| self.tenants[home]);
        }
        for (c, column) in table.columns.iter().enumerate() {
            if matches!(column.ty, Type::Bigints | Type::Uuids) {
                values[c] = Some(self.tenants[rng.usize(..self.tenants.len())]);
            }
        }
        values
    }

    /// Lets one row refer to a row of the same tenant, of another, or to none.
    fn point(&mut self, reference: &Reference, row: usize, stray: u8, rng: &mut Rng) {
        let child = &self.tables[reference.child];
        // Columns that hold the tenant's or the row's own key are not this reference's to choose.
        let fixed: Vec<bool> =
            reference.child_columns.iter().map(|c| child.organization == Some(*c) || child.key.contains(c)).collect();
        let own = &child.rows[row];
        let parents = &self.tables[reference.parent].rows;
        let fits = |p: &Row| {
            let pairs = reference.child_columns.iter().zip(&reference.parent_columns).zip(&fixed);
            pairs.filter(|(_, fixed)| **fixed).all(|((c, k), _)| own.values[*c] == p.values[*k])
        };
        let anybody = rng.u8(..100) < stray;
        let near: Vec<usize> =
            (0..parents.len()).filter(|&i| fits(&parents[i]) && (anybody || parents[i].home == own.home)).collect();
        let far: Vec<usize> = (0..parents.len()).filter(|&i| fits(&parents[i])).collect();
        let optional = reference.child_columns.iter().zip(&fixed).all(|(c, f)| *f || child.columns[*c].nullable);
        let target = if optional && (rng.u8(..10) < 3 || near.is_empty()) {
            None
        } else {
            rng.choice(if near.is_empty() { &far } else { &near }).copied()
        };
        let found = target.map(|i| parents[i].values.clone());
        let half = optional && !fixed.contains(&true) && rng.u8(..10) == 0;
        for (at, (c, k)) in reference.child_columns.iter().zip(&reference.parent_columns).enumerate() {
            if fixed[at] {
                continue;
            }
            let child = &mut self.tables[reference.child];
            let value = match &found {
                Some(values) => values[*k],
                None if half => Some(1),
                None => None,
            };
            // Half of a reference is none, as long as the other half is NULL.
            let value = value.filter(|_| found.is_some() || at == 0 && reference.child_columns.len() > 1);
            child.rows[row].values[*c] = value;
            child.columns[*c].nullable |= value.is_none();
        }
    }

    fn give_default(&mut self, reference: &Reference, rng: &mut Rng) {
        let ([column], [key]) = (reference.child_columns.as_slice(), reference.parent_columns.as_slice()) else {
            return;
        };
        if reference.constraint.as_ref().is_some_and(|c| c.on_delete == OnDelete::SetDefault) && rng.bool() {
            let value = rng.choice(&self.tables[reference.parent].rows).and_then(|row| row.values[*key]);
            self.tables[reference.child].columns[*column].default = value;
        }
    }
}
