//! Keys of rows that go, by which other rows are still to be found.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::query::Unpaired;
use crate::step::StepId;

/// What was captured of the rows of each step: the values of [`Param::Captured`](crate::statement::Param::Captured).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedKeys(BTreeMap<StepId, Keys>);

/// Columns of the rows of one step as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Keys {
    columns: Vec<String>,
    /// The values of each column. A value that was forgotten is `None`.
    keys: Vec<Vec<Option<String>>>,
}

impl Keys {
    /// The names of the columns, each with its values.
    ///
    /// # Errors
    /// Fails when there are not as many lists of values as columns, or the lists differ in length.
    pub fn new(columns: Vec<String>, values: Vec<Vec<Option<String>>>) -> Result<Self, Unpaired> {
        Self { columns, keys: values }.checked()
    }

    /// These columns of no row.
    #[must_use]
    pub fn none(columns: &[String]) -> Self {
        Self { columns: columns.to_vec(), keys: vec![Vec::new(); columns.len()] }
    }

    /// Themselves, if they have a list of values for each column, of the same length.
    ///
    /// # Errors
    /// Fails when they were deserialized and have not.
    pub fn checked(self) -> Result<Self, Unpaired> {
        Unpaired::check(self.columns.len(), self.keys.len())?;
        self.keys.iter().try_for_each(|column| Unpaired::check(self.len(), column.len()))?;
        Ok(self)
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows there are.
    fn len(&self) -> usize {
        self.keys.first().map_or(0, Vec::len)
    }

    fn row(&self, row: usize) -> Vec<Option<&str>> {
        self.keys.iter().map(|column| column.get(row).and_then(Option::as_deref)).collect()
    }
}

impl CapturedKeys {
    /// Adds the rows that are not held yet: a delete returns rows again that were captured before it.
    ///
    /// # Errors
    /// Fails when the step's keys have other columns.
    pub fn add(&mut self, step: StepId, mut new: Keys) -> Result<(), Unpaired> {
        let Some(held) = self.0.get_mut(&step) else {
            self.0.insert(step, new);
            return Ok(());
        };
        let same = held.columns.iter().zip(&new.columns).filter(|(held, new)| held == new).count();
        Unpaired::check(held.columns.len().max(new.columns.len()), same)?;
        let known: HashSet<_> = (0..held.len()).map(|row| held.row(row)).collect();
        let unknown: Vec<usize> = (0..new.len()).filter(|&row| !known.contains(&new.row(row))).collect();
        drop(known);
        for (all, column) in held.keys.iter_mut().zip(&mut new.keys) {
            all.extend(unknown.iter().map(|&row| column[row].take()));
        }
        Ok(())
    }

    /// What was captured of a step. Returns `None` if nothing was.
    #[must_use]
    pub fn get(&self, step: StepId) -> Option<&Keys> {
        self.0.get(&step)
    }

    /// The values of one column, none if it was not captured.
    #[must_use]
    pub fn values(&self, step: StepId, column: &str) -> &[Option<String>] {
        let keys = self.get(step);
        let values = keys.and_then(|k| k.columns.iter().zip(&k.keys).find(|(name, _)| *name == column));
        values.map_or(&[], |(_, values)| values)
    }

    /// Forgets the values of these columns in each row that is marked in `in_use`: another row has this key now.
    ///
    /// # Errors
    /// Fails when there are not as many marks as rows.
    pub fn forget_in_use(&mut self, step: StepId, columns: &[String], in_use: &[bool]) -> Result<(), Unpaired> {
        let Some(keys) = self.0.get_mut(&step) else { return Unpaired::check(0, in_use.len()) };
        Unpaired::check(keys.len(), in_use.len())?;
        for (_, values) in keys.columns.iter().zip(&mut keys.keys).filter(|(name, _)| columns.contains(name)) {
            values.iter_mut().zip(in_use).filter(|(_, in_use)| **in_use).for_each(|(value, _)| *value = None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: StepId = StepId::new(1);

    fn keys(rows: &[(&str, &str)]) -> Keys {
        let column = |of: fn(&(&str, &str)) -> String| rows.iter().map(|row| Some(of(row))).collect();
        Keys::new(vec!["tenant".into(), "n".into()], vec![column(|r| r.0.into()), column(|r| r.1.into())])
            .expect("two columns")
    }

    #[test]
    fn a_key_is_held_once() {
        let mut captured = CapturedKeys::default();
        captured.add(STEP, keys(&[("1", "1"), ("1", "2")])).expect("the first");
        captured.add(STEP, keys(&[("1", "2"), ("2", "1")])).expect("the same columns");
        assert_eq!(captured.get(STEP), Some(&keys(&[("1", "1"), ("1", "2"), ("2", "1")])));
        assert_eq!(captured.values(STEP, "unknown"), []);
        assert_eq!(captured.values(StepId::new(0), "n"), []);
    }

    #[test]
    fn other_columns_are_refused() {
        let mut captured = CapturedKeys::default();
        captured.add(STEP, keys(&[])).expect("the first");
        for columns in [&["n", "tenant"][..], &["tenant"], &["tenant", "n", "m"]] {
            let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
            let values = vec![Vec::new(); columns.len()];
            assert!(captured.add(STEP, Keys::new(columns, values).expect("a list each")).is_err());
        }
        assert!(Keys::new(vec!["n".into()], Vec::new()).is_err());
        assert!(Keys::new(vec!["n".into(), "m".into()], vec![vec![None], Vec::new()]).is_err());
    }

    #[test]
    fn a_key_in_use_is_forgotten_and_no_other() {
        let mut captured = CapturedKeys::default();
        captured.add(STEP, keys(&[("1", "1"), ("1", "2")])).expect("the first");
        assert!(captured.forget_in_use(STEP, &["n".into()], &[true]).is_err());
        captured.forget_in_use(STEP, &["n".into()], &[false, true]).expect("a mark for each row");
        assert_eq!(captured.values(STEP, "n"), [Some("1".into()), None]);
        assert_eq!(captured.values(STEP, "tenant"), [Some("1".into()), Some("1".into())]);
    }

    #[test]
    fn they_are_kept_in_the_form_of_the_first_version() {
        let text = r#"{"columns":["tenant","n"],"keys":[["1"],["2"]]}"#;
        assert_eq!(serde_json::to_string(&keys(&[("1", "2")])).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Keys>(text).expect("keys"), keys(&[("1", "2")]));
    }
}
