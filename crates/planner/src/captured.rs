//! Keys of deleted rows, by which their child rows are found afterwards.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::query::Unpaired;
use crate::step::StepId;

/// What was captured of the rows of each step: the values of [`Param::Captured`](crate::statement::Param::Captured).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedKeys(BTreeMap<StepId, Keys>);

/// Columns of the rows of one step as text. This is also the form in which they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Keys {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The values of each column. A value that was forgotten is `None`.
    pub keys: Vec<Vec<Option<String>>>,
    /// Keys that are in use again. Each is forgotten alone: another key of the same row may have the same columns, and more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_use: Vec<InUse>,
    /// Parts of a key that another organization's row has as well, and by which therefore no child row is found. Known as long
    /// as the transaction that found them.
    #[serde(skip)]
    shared: Vec<SharedPart>,
}

/// Values of some columns, whichever row has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SharedPart {
    columns: Vec<String>,
    values: BTreeSet<Vec<Option<String>>>,
}

/// Values of some columns that other rows have now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct InUse {
    /// The columns, which are a key or the part of one.
    pub columns: Vec<String>,
    /// The places of the captured rows.
    pub rows: BTreeSet<usize>,
}

impl Keys {
    /// The number of rows.
    fn len(&self) -> usize {
        self.keys.first().map_or(0, Vec::len)
    }

    fn is_in_use(&self, row: usize) -> bool {
        self.in_use.iter().any(|key| key.rows.contains(&row))
    }

    /// The values of these columns in a row; of a column that was not captured there is none.
    fn part(&self, columns: &[String], row: usize) -> Vec<Option<String>> {
        let of =
            |name: &String| self.columns.iter().position(|c| c == name).and_then(|at| self.keys[at].get(row)?.clone());
        columns.iter().map(of).collect()
    }

    fn row(&self, row: usize) -> Vec<Option<&str>> {
        self.keys.iter().map(|column| column.get(row).and_then(Option::as_deref)).collect()
    }
}

impl CapturedKeys {
    /// Restores what was kept of a step.
    ///
    /// # Errors
    /// Fails when there is not a list of values for each column, or the lists differ in length.
    pub fn restore(&mut self, step: StepId, kept: Keys) -> Result<(), Unpaired> {
        let Keys { columns, keys, in_use, .. } = kept;
        self.add(step, &columns, keys)?;
        if let Some(held) = self.0.get_mut(&step) {
            held.in_use = in_use;
        }
        Ok(())
    }

    /// Adds the rows that are not held yet, by the values of each column: a delete returns rows again that were captured
    /// before it. A row of which a key is in use is added again: it is another row.
    ///
    /// # Errors
    /// Fails when there is not a list of values for each column, the lists differ in length, or other columns were captured
    /// of the step before.
    pub fn add(&mut self, step: StepId, columns: &[String], values: Vec<Vec<Option<String>>>) -> Result<(), Unpaired> {
        let mut new = Keys { columns: columns.to_vec(), keys: values, ..Keys::default() };
        Unpaired::check(new.columns.len(), new.keys.len())?;
        new.keys.iter().try_for_each(|column| Unpaired::check(new.len(), column.len()))?;
        let Some(held) = self.0.get_mut(&step) else {
            self.0.insert(step, new);
            return Ok(());
        };
        let same = held.columns.iter().zip(columns).filter(|(held, new)| held == new).count();
        Unpaired::check(held.columns.len().max(columns.len()), same)?;
        let known: HashSet<_> = (0..held.len()).filter(|row| !held.is_in_use(*row)).map(|row| held.row(row)).collect();
        let unknown: Vec<usize> = (0..new.len()).filter(|&row| !known.contains(&new.row(row))).collect();
        drop(known);
        for (all, column) in held.keys.iter_mut().zip(&mut new.keys) {
            all.extend(unknown.iter().map(|&row| column[row].take()));
        }
        Ok(())
    }

    /// What was captured after `earlier`, which holds the first of these keys.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let new = |(step, keys): (&StepId, &Keys)| {
            let known = earlier.get(*step).map_or(0, Keys::len);
            let later = keys.keys.iter().map(|column| column.get(known..).unwrap_or_default().to_vec()).collect();
            (
                *step,
                Keys { columns: keys.columns.clone(), keys: later, in_use: Vec::new(), shared: keys.shared.clone() },
            )
        };
        Self(self.0.iter().map(new).collect())
    }

    /// What was captured of a step. Returns `None` if nothing was.
    #[must_use]
    pub fn get(&self, step: StepId) -> Option<&Keys> {
        self.0.get(&step)
    }

    /// The values of one column, none if it was not captured. Rows that are searched by `key`, to which the column belongs, are
    /// left out where this key is in use.
    #[must_use]
    pub fn values(&self, step: StepId, column: &str, key: &[String]) -> Cow<'_, [Option<String>]> {
        let Some(keys) = self.get(step) else { return Cow::Borrowed(&[]) };
        let Some((_, values)) = keys.columns.iter().zip(&keys.keys).find(|(name, _)| *name == column) else {
            return Cow::Borrowed(&[]);
        };
        let in_use = keys.in_use.iter().find(|in_use| in_use.columns == key);
        let shared = keys.shared.iter().find(|shared| shared.columns == key);
        if in_use.is_none() && shared.is_none() {
            return Cow::Borrowed(values);
        }
        let forgotten = |row: &usize| {
            in_use.is_some_and(|in_use| in_use.rows.contains(row))
                || shared.is_some_and(|shared| shared.values.contains(&keys.part(key, *row)))
        };
        let left = values.iter().enumerate().map(|(row, value)| value.clone().filter(|_| !forgotten(&row)));
        Cow::Owned(left.collect())
    }

    /// Forgets the values of these columns, part of a key, of each row for which `shared` is true: for this row, and for any
    /// that is added with the same values.
    ///
    /// # Errors
    /// Fails when `shared` does not have one value for each row.
    pub fn forget_shared_part(&mut self, step: StepId, columns: &[String], shared: &[bool]) -> Result<(), Unpaired> {
        let Some(keys) = self.0.get_mut(&step) else { return Unpaired::check(0, shared.len()) };
        Unpaired::check(keys.len(), shared.len())?;
        let rows = shared.iter().enumerate().filter(|(_, shared)| **shared).map(|(row, _)| keys.part(columns, row));
        let values = rows.collect();
        keys.shared.push(SharedPart { columns: columns.to_vec(), values });
        Ok(())
    }

    /// Forgets the values of these columns in each row for which `in_use` is true, and with them every key to which one of the
    /// columns belongs.
    ///
    /// # Errors
    /// Fails when `in_use` does not have one value for each row.
    pub fn forget_in_use(&mut self, step: StepId, columns: &[String], in_use: &[bool]) -> Result<(), Unpaired> {
        let Some(keys) = self.0.get_mut(&step) else { return Unpaired::check(0, in_use.len()) };
        Unpaired::check(keys.len(), in_use.len())?;
        for (_, values) in keys.columns.iter().zip(&mut keys.keys).filter(|(name, _)| columns.contains(name)) {
            values.iter_mut().zip(in_use).filter(|(_, in_use)| **in_use).for_each(|(value, _)| *value = None);
        }
        Ok(())
    }

    /// Forgets this key in each row for which `in_use` is true: another row has it now. Other keys of the row stay.
    ///
    /// # Errors
    /// Fails when `in_use` does not have one value for each row.
    pub fn forget_key_in_use(&mut self, step: StepId, key: &[String], in_use: &[bool]) -> Result<(), Unpaired> {
        let Some(keys) = self.0.get_mut(&step) else { return Unpaired::check(0, in_use.len()) };
        Unpaired::check(keys.len(), in_use.len())?;
        let rows = in_use.iter().enumerate().filter(|(_, in_use)| **in_use).map(|(row, _)| row);
        let rows: BTreeSet<usize> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        match keys.in_use.iter_mut().find(|in_use| in_use.columns == key) {
            Some(in_use) => in_use.rows.extend(rows),
            None => keys.in_use.push(InUse { columns: key.to_vec(), rows }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: StepId = StepId::new(1);

    fn columns() -> [String; 2] {
        ["tenant".to_owned(), "n".to_owned()]
    }

    fn values(rows: &[(&str, &str)]) -> Vec<Vec<Option<String>>> {
        let column = |of: fn(&(&str, &str)) -> String| rows.iter().map(|row| Some(of(row))).collect();
        vec![column(|r| r.0.into()), column(|r| r.1.into())]
    }

    fn captured(rows: &[(&str, &str)]) -> CapturedKeys {
        let mut captured = CapturedKeys::default();
        captured.add(STEP, &columns(), values(rows)).expect("the first");
        captured
    }

    #[test]
    fn what_was_captured_later_is_told_apart() {
        let earlier = captured(&[("1", "1"), ("1", "2")]);
        let mut held = earlier.clone();
        held.add(STEP, &columns(), values(&[("1", "2"), ("2", "1")])).expect("the same columns");
        assert_eq!(held.since(&earlier), captured(&[("2", "1")]));
        assert_eq!(held.since(&CapturedKeys::default()), held);
    }

    #[test]
    fn a_key_is_held_once() {
        let mut held = captured(&[("1", "1"), ("1", "2")]);
        held.add(STEP, &columns(), values(&[("1", "2"), ("2", "1")])).expect("the same columns");
        assert_eq!(held, captured(&[("1", "1"), ("1", "2"), ("2", "1")]));
        assert!(held.values(STEP, "unknown", &columns()).is_empty());
        assert!(held.values(StepId::new(0), "n", &columns()).is_empty());
    }

    #[test]
    fn other_columns_are_refused() {
        let mut held = captured(&[]);
        for other in [&["n", "tenant"][..], &["tenant"], &["tenant", "n", "m"]] {
            let other: Vec<String> = other.iter().map(|c| (*c).to_owned()).collect();
            assert!(held.add(STEP, &other, vec![Vec::new(); other.len()]).is_err(), "{other:?}");
        }
        assert!(held.add(StepId::new(0), &columns(), vec![Vec::new()]).is_err(), "a column without values");
        assert!(held.add(StepId::new(0), &columns(), vec![vec![None], Vec::new()]).is_err(), "half of a key");
    }

    #[test]
    fn a_key_in_use_is_forgotten_and_no_other() {
        let (part, whole) = (["n".to_owned()], columns());
        let mut held = captured(&[("1", "1"), ("1", "2")]);
        assert!(held.forget_key_in_use(STEP, &part, &[true]).is_err());
        held.forget_key_in_use(STEP, &part, &[false, true]).expect("a mark for each row");
        assert_eq!(*held.values(STEP, "n", &part), [Some("1".to_owned()), None]);
        for column in ["tenant", "n"] {
            assert!(held.values(STEP, column, &whole).iter().all(Option::is_some), "the whole key finds its rows");
        }
        // It stays forgotten when others follow, and after it was kept and restored.
        held.forget_key_in_use(STEP, &part, &[true, false]).expect("a mark for each row");
        let kept = serde_json::to_string(held.get(STEP).expect("captured")).expect("JSON");
        let mut restored = CapturedKeys::default();
        restored.restore(STEP, serde_json::from_str(&kept).expect("keys")).expect("as it was kept");
        assert_eq!(restored, held);
        assert_eq!(*restored.values(STEP, "n", &part), [None, None]);
        // A row of the organization that appears with the same key is another row.
        restored.add(STEP, &columns(), values(&[("1", "2")])).expect("the same columns");
        assert_eq!(*restored.values(STEP, "n", &part), [None, None, Some("2".to_owned())]);
    }

    #[test]
    fn a_forgotten_row_is_found_by_no_key() {
        let mut held = captured(&[("1", "1"), ("1", "2")]);
        assert!(held.forget_in_use(STEP, &["n".into()], &[true]).is_err());
        held.forget_in_use(STEP, &["n".into()], &[false, true]).expect("a mark for each row");
        for key in [&["n".to_owned()][..], &columns()] {
            assert_eq!(*held.values(STEP, "n", key), [Some("1".to_owned()), None]);
        }
    }

    #[test]
    fn they_are_kept_in_the_form_of_the_first_version() {
        let text = r#"{"columns":["tenant","n"],"keys":[["1"],["2"]]}"#;
        assert_eq!(serde_json::to_string(&captured(&[("1", "2")]).get(STEP)).expect("JSON"), text);
    }
}
