//! Which organizations get an object, and why the others get none.

use std::collections::{BTreeMap, HashSet};

use super::existing::{Existing, Place};
use super::manifest::Manifest;
use super::name::Naming;
use crate::api::DeletionPolicy;
use crate::catalog::organizations::Listed;

/// The longest `spec.organizationId`, in characters.
const LONGEST_ID: usize = 255;
/// So many names of objects are shown.
const SHOWN: usize = 5;

/// Why an organization gets no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    InCluster,
    InDirectory,
    Deactivated,
    KeyEmpty,
    KeyTooLong,
    NameTaken,
}

/// What objects are to be like.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) naming: Naming,
    pub(super) policy: DeletionPolicy,
    pub(super) database: String,
    pub(super) active_only: bool,
}

/// One run over all organizations.
pub(super) struct Chooser<'a> {
    wanted: &'a Wanted,
    existing: &'a Existing,
    /// Names that this run has given.
    given: HashSet<String>,
    pub(super) left_out: LeftOut,
}

/// How many organizations get no object, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    numbers: BTreeMap<Why, u64>,
    /// Some of the names that other objects have.
    names: Vec<String>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(wanted: &'a Wanted, existing: &'a Existing) -> Self {
        Self { wanted, existing, given: HashSet::new(), left_out: LeftOut::default() }
    }

    /// The manifest of an organization that gets an object.
    pub(super) fn choose(&mut self, listed: &Listed) -> Option<Manifest> {
        if let Some(why) = self.unwanted(listed) {
            self.left_out.count(why);
            return None;
        }
        let name = self.wanted.naming.name(listed.name.as_deref().unwrap_or_default(), &listed.key);
        if self.existing.names.contains(&name) || !self.given.insert(name.clone()) {
            self.left_out.name_taken(name);
            return None;
        }
        let Wanted { policy, database, .. } = self.wanted;
        Some(Manifest { name, id: listed.key.clone(), policy: *policy, database: database.clone() })
    }

    fn unwanted(&self, listed: &Listed) -> Option<Why> {
        match self.existing.keys.get(&listed.key) {
            Some(Place::Cluster) => return Some(Why::InCluster),
            Some(Place::Directory) => return Some(Why::InDirectory),
            None => {}
        }
        if listed.key.is_empty() {
            Some(Why::KeyEmpty)
        } else if listed.key.chars().count() > LONGEST_ID {
            Some(Why::KeyTooLong)
        } else if self.wanted.active_only && listed.active == Some(false) {
            Some(Why::Deactivated)
        } else {
            None
        }
    }
}

impl LeftOut {
    fn count(&mut self, why: Why) {
        *self.numbers.entry(why).or_default() += 1;
    }

    /// Counts an organization whose object's name another object has.
    pub(super) fn name_taken(&mut self, name: String) {
        self.count(Why::NameTaken);
        if self.names.len() < SHOWN {
            self.names.push(name);
        }
    }

    /// How many in all.
    pub(super) fn total(&self) -> u64 {
        self.numbers.values().sum()
    }

    /// Whether a person has to decide about some of them.
    pub(super) fn needs_a_person(&self) -> bool {
        self.numbers.keys().any(|why| matches!(why, Why::KeyEmpty | Why::KeyTooLong | Why::NameTaken))
    }

    /// A line for each reason.
    pub(super) fn lines(&self, directory: &str) -> Vec<String> {
        let line = |(why, number): (&Why, &u64)| {
            let (one, many) = match why {
                Why::InCluster => {
                    ("has an object in the cluster".to_owned(), "have an object in the cluster".to_owned())
                }
                Why::InDirectory => {
                    (format!("has a manifest in {directory}"), format!("have a manifest in {directory}"))
                }
                Why::Deactivated => ("is deactivated".to_owned(), "are deactivated".to_owned()),
                Why::KeyEmpty => {
                    let unusable = "an empty key, which cannot be a spec.organizationId";
                    (format!("has {unusable}"), format!("have {unusable}"))
                }
                Why::KeyTooLong => {
                    let unusable = "a key of more than 255 characters, which cannot be a spec.organizationId";
                    (format!("has {unusable}"), format!("have {unusable}"))
                }
                Why::NameTaken => {
                    let more = if *number > self.names.len() as u64 { ", .." } else { "" };
                    let taken = format!(
                        "would get a name that another object has ({}{more}): use --name-prefix, or another --name-column",
                        self.names.join(", ")
                    );
                    (taken.clone(), taken)
                }
            };
            format!("{number} {}", if *number == 1 { one } else { many })
        };
        self.numbers.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(active_only: bool) -> Wanted {
        let naming = Naming { prefix: String::new(), unique: true };
        Wanted { naming, policy: DeletionPolicy::Retain, database: "eu".to_owned(), active_only }
    }

    fn row(key: &str, name: &str, active: Option<bool>) -> Listed {
        Listed { key: key.to_owned(), name: Some(name.to_owned()), active }
    }

    #[test]
    fn whoever_has_no_object_gets_one_and_all_others_are_counted() {
        let keys = [("1".to_owned(), Place::Cluster), ("2".to_owned(), Place::Directory)].into();
        let existing = Existing { keys, names: HashSet::from(["taken".to_owned()]) };
        for active_only in [false, true] {
            let wanted = wanted(active_only);
            let mut chooser = Chooser::new(&wanted, &existing);
            let rows = [
                row("1", "a", None),
                row("2", "b", None),
                row("3", "taken", None),
                row("", "c", None),
                row(&"ä".repeat(255), "d", None),
                row(&"x".repeat(256), "e", None),
                row("4", "f", Some(false)),
                row("5", "g", Some(true)),
                row("6", "h", None),
                // Not with a unique column, but a column can change between two pages.
                row("7", "h", None),
            ];
            let chosen: Vec<Manifest> = rows.iter().filter_map(|row| chooser.choose(row)).collect();
            let names: Vec<&str> = chosen.iter().map(|m| m.name.as_str()).collect();
            assert_eq!(names, if active_only { vec!["d", "g", "h"] } else { vec!["d", "f", "g", "h"] });
            assert!(chosen.iter().all(|m| m.database == "eu" && m.policy == DeletionPolicy::Retain));
            let left_out = chooser.left_out;
            assert_eq!(left_out.total() + chosen.len() as u64, rows.len() as u64);
            assert!(left_out.needs_a_person());
            let mut lines = vec!["1 has an object in the cluster", "1 has a manifest in tenants"];
            lines.extend(active_only.then_some("1 is deactivated"));
            lines.extend([
                "1 has an empty key, which cannot be a spec.organizationId",
                "1 has a key of more than 255 characters, which cannot be a spec.organizationId",
                "2 would get a name that another object has (taken, h): use --name-prefix, or another --name-column",
            ]);
            assert_eq!(left_out.lines("tenants"), lines);
        }
    }

    #[test]
    fn an_object_that_is_there_needs_nobody() {
        let existing = Existing { keys: [("1".to_owned(), Place::Cluster)].into(), ..Existing::default() };
        let wanted = wanted(false);
        let mut chooser = Chooser::new(&wanted, &existing);
        assert_eq!(chooser.choose(&row("1", "a", None)), None);
        assert!(!chooser.left_out.needs_a_person());
    }
}
