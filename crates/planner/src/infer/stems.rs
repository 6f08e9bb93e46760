//! Which tables a column may be named after if it has only a part of the table's name, or a role in front of it.

use std::collections::BTreeMap;

use super::candidate::{Fit, Part};
use super::names::{is_telling, named_after_end, plain, singulars, words};
use super::survey::{Survey, Surveyed};
use crate::catalog::{ColumnInfo, TableId};

/// Every key column of every table, by the names of columns that may refer to it.
pub(super) struct Stems<'a>(BTreeMap<String, Vec<Stem<'a>>>);

/// A part of a table's name, together with a column of its key.
struct Stem<'a> {
    table: &'a Surveyed,
    key: &'a str,
    /// Whether the column is only a part of the key.
    composite: bool,
    text: String,
    cut: Cut,
    /// Whether the name of the key column is left out: `project` instead of `project_id`.
    bare: bool,
}

/// What is left out of the table's name.
#[derive(Clone)]
enum Cut {
    Nothing,
    Prefix(Vec<String>),
    Suffix,
}

/// A column that may be named after a table.
pub(super) struct Named<'a> {
    pub(super) parent: &'a Surveyed,
    /// The column of the parent's key.
    pub(super) key: &'a str,
    /// Whether that is only a part of the key.
    pub(super) composite: bool,
    /// The column's name without that of the key column: the same for all columns that refer to one row.
    pub(super) stem: String,
    pub(super) fit: Fit,
}

impl<'a> Stems<'a> {
    pub(super) fn new(survey: &'a Survey) -> Self {
        let mut stems = Self(BTreeMap::new());
        for table in &survey.tables {
            let keys = &table.info.unique_keys;
            let alone: Vec<&str> = keys.iter().filter(|k| k.len() == 1).map(|k| k[0].as_str()).collect();
            for key in &alone {
                stems.add(table, key, false);
            }
            if let (true, Some(first)) = (alone.is_empty(), keys.first()) {
                for key in first {
                    stems.add(table, key, true);
                }
            }
        }
        stems
    }

    fn add(&mut self, table: &'a Surveyed, key: &'a str, composite: bool) {
        let all = words(table.info.table.bare());
        let mut cuts = vec![(all.concat(), Cut::Nothing)];
        for at in 1..all.len() {
            let (start, end) = all.split_at(at);
            if is_telling(end) {
                cuts.push((end.concat(), Cut::Prefix(start.to_vec())));
            }
            if is_telling(start) {
                cuts.push((start.concat(), Cut::Suffix));
            }
        }
        let column = plain(key);
        for (name, cut) in cuts {
            for text in singulars(&name).into_iter().filter(|t| !t.is_empty()) {
                let stem = |bare| Stem { table, key, composite, text: text.clone(), cut: cut.clone(), bare };
                self.0.entry(format!("{text}{column}")).or_default().push(stem(false));
                if !matches!(cut, Cut::Nothing) {
                    continue;
                }
                if column.starts_with(&text) && column != text {
                    self.0.entry(column.clone()).or_default().push(stem(false));
                }
                if !composite && table.key() == Some(key) {
                    self.0.entry(text.clone()).or_default().push(stem(true));
                }
            }
        }
    }

    /// The tables that a column of `child` may be named after.
    pub(super) fn named(&self, child: &Surveyed, column: &ColumnInfo) -> Vec<Named<'a>> {
        let name = child.info.table.bare();
        let is_key = child.info.unique_keys.iter().any(|k| k.contains(&column.name));
        if is_key && named_after_end(&column.name, name, &column.name) {
            return Vec::new();
        }
        let own = words(name);
        let all = words(&column.name);
        let mut found: Vec<Named<'a>> = Vec::new();
        for at in 0..all.len() {
            for stem in self.0.get(&all[at..].concat()).into_iter().flatten() {
                let same_type = stem.table.info.column(stem.key).is_some_and(|k| k.type_name == column.type_name);
                if stem.table.id() == child.id() || (stem.bare && !same_type) {
                    continue;
                }
                let part = match &stem.cut {
                    Cut::Nothing => Part::Full,
                    Cut::Prefix(prefix) if own.starts_with(prefix) => Part::Sibling,
                    Cut::Prefix(_) => Part::End,
                    Cut::Suffix => Part::Start,
                };
                let fit = Fit { role: at > 0, part };
                let same = |n: &&mut Named<'_>| n.parent.id() == stem.table.id() && n.key == stem.key;
                // Singular and plural, or with and without a role, are the same reference.
                if let Some(known) = found.iter_mut().find(same) {
                    known.fit = known.fit.min(fit);
                    continue;
                }
                let (parent, key, composite) = (stem.table, stem.key, stem.composite);
                let stem = format!("{} {}", all[..at].concat(), stem.text);
                found.push(Named { parent, key, composite, stem, fit });
            }
        }
        found
    }

    /// A table other than `parent` whose name has the same prefix as that of `child`, and that the column may be named after
    /// as well.
    pub(super) fn sibling(&self, child: &Surveyed, column: &ColumnInfo, parent: TableId) -> Option<&'a Surveyed> {
        let is_sibling = |n: &Named<'_>| n.parent.id() != parent && n.fit == Fit { role: false, part: Part::Sibling };
        let same_type = |n: &Named<'_>| n.parent.info.column(n.key).is_some_and(|k| k.type_name == column.type_name);
        let mut named = self.named(child, column).into_iter().filter(|n| is_sibling(n) && same_type(n));
        named.next().map(|n| n.parent)
    }
}
