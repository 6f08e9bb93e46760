//! What a case should end in.

use std::collections::BTreeMap;

use organization_operator::api::Reason;
use organization_operator::domain::Failure;
use organization_operator::domain::completion::CompletionProof;
use planner::catalog::OnDelete;
use planner::plan::Plan;

use super::rows::{Rows, ambiguous, holds, referred_from_outside, rows_of, without_people};
use super::schema::Schema;

/// How a violation begins where the wrong rows are gone.
pub const WRONG: &str = "erased were";

/// Every row as text, by table and its number.
pub type State = BTreeMap<(usize, i64), String>;

/// What should be left, and what should be said.
pub struct Expected {
    victims: Rows,
    /// Rows that the plan gives to the tenant and to another one as well.
    shared: Vec<(usize, i64)>,
    /// A row is found by part of a key that a row which stays has as well.
    ambiguous: bool,
}

impl Expected {
    pub fn of(schema: &Schema, plan: &Plan) -> Self {
        let victims = rows_of(schema, plan, schema.tenants[0]);
        let mut shared = Vec::new();
        for (t, rows) in without_people(schema, plan, &schema.tenants[1..]).iter().enumerate() {
            shared.extend(rows.intersection(&victims[t]).map(|uid| (t, *uid)));
        }
        Self { ambiguous: ambiguous(schema, plan, &victims), victims, shared }
    }

    /// Removes the first tenant and what should be gone with it.
    pub fn remove(&self, schema: &mut Schema) {
        for (table, victims) in schema.tables.iter_mut().zip(&self.victims) {
            table.rows.retain(|row| !holds(victims, row));
        }
        schema.tenants.remove(0);
    }

    /// Exactly the tenant is gone, and every other row is as it was.
    pub fn left(&self, before: &State, after: &State) -> Result<(), String> {
        if !self.shared.is_empty() {
            return Err(format!("{WRONG} rows of another tenant: (table, uid) {:?}", self.shared));
        }
        if self.ambiguous {
            return Err(format!("{WRONG} rows by part of a key that a row which stays has as well"));
        }
        let mut wanted = before.clone();
        wanted.retain(|(t, uid), _| !self.victims[*t].contains(uid));
        if *after == wanted {
            return Ok(());
        }
        Err(format!("{WRONG} not exactly the tenant: {}", difference(&wanted, after)))
    }

    /// Only rows of the tenant are gone, triggers saw each, once, and every other row is as it was.
    pub fn partly_left(
        &self,
        schema: &Schema,
        (before, after): (&State, &State),
        written: &[(usize, i64)],
    ) -> Result<(), String> {
        let of_others = |(t, uid): &&(usize, i64)| !self.victims[*t].contains(uid) || self.shared.contains(&(*t, *uid));
        let wrong: Vec<_> = before.keys().filter(|row| !after.contains_key(row)).filter(of_others).collect();
        if !wrong.is_empty() {
            return Err(format!("{WRONG} in pages rows of others: (table, uid) {wrong:?}"));
        }
        let mut wanted = before.clone();
        wanted.retain(|row, _| after.contains_key(row));
        if *after != wanted {
            return Err(format!("{WRONG} others' values: {}", difference(&wanted, after)));
        }
        let gone = before.keys().filter(|row| !after.contains_key(row));
        let seen: Vec<_> = gone.filter(|(t, _)| schema.tables[*t].triggers.outbox).copied().collect();
        if written == seen { Ok(()) } else { Err(format!("triggers saw {written:?} go, it were {seen:?}")) }
    }

    /// Triggers saw each row that went, once.
    pub fn written(&self, schema: &Schema, written: &[(usize, i64)]) -> Result<(), String> {
        let told = |t: &usize| schema.tables[*t].triggers.outbox;
        let tables = (0..schema.tables.len()).filter(told);
        let wanted: Vec<_> = tables.flat_map(|t| self.victims[t].iter().map(move |uid| (t, *uid))).collect();
        if written == wanted { Ok(()) } else { Err(format!("triggers saw {written:?} go, it were {wanted:?}")) }
    }

    /// The counts are true, and every table of the plan is counted once.
    pub fn counts(&self, schema: &Schema, proof: &CompletionProof) -> Result<(), String> {
        let mut told = 0;
        for step in proof.steps() {
            let tables =
                step.tables.iter().filter_map(|n| (0..schema.tables.len()).find(|t| schema.table_name(*t) == *n));
            let rows: usize = tables.map(|t| self.victims[t].len()).sum();
            let rows = i64::try_from(rows).unwrap_or_default();
            if (step.found, step.deleted) != (rows, rows) {
                return Err(format!("{rows} rows went, the proof says {step:?}"));
            }
            told += rows;
        }
        let all: usize = self.victims.iter().skip(1).map(std::collections::BTreeSet::len).sum();
        if i64::try_from(all).unwrap_or_default() == told {
            return Ok(());
        }
        Err(format!("{all} rows went, the proof tells of {told}: {:?}", proof.steps()))
    }

    /// A refusal has a cause: nobody is refused for nothing.
    pub fn justifies(&self, schema: &Schema, failure: &Failure) -> Result<(), String> {
        let outsiders = referred_from_outside(schema, &self.victims);
        let justified = match failure.reason {
            Reason::ForeignKeyViolation => outsiders || self.ambiguous || !self.shared.is_empty(),
            Reason::SchemaMismatch => failure.message().contains("cycle"),
            _ => false,
        };
        // Whether a default value fits, only the database can tell.
        let defaults = schema.references.iter().filter_map(|r| r.constraint.as_ref());
        let justified = justified
            || defaults.into_iter().any(|c| c.on_delete == OnDelete::SetDefault)
                && [Reason::ConstraintViolation, Reason::ContentChanged, Reason::ForeignKeyViolation]
                    .contains(&failure.reason);
        if justified { Ok(()) } else { Err(format!("it was refused for nothing: {failure:?}")) }
    }
}

pub fn difference(wanted: &State, found: &State) -> String {
    let missing: Vec<_> = wanted.iter().filter(|(k, v)| found.get(k) != Some(v)).collect();
    let surplus: Vec<_> = found.iter().filter(|(k, v)| wanted.get(k) != Some(v)).collect();
    format!("(table, uid): row that should be there {missing:?}; row that should not {surplus:?}")
}
