//! Where each table belongs: by its best tie to a table that has a place already, from the organization down.

use std::collections::BTreeMap;

use super::references::{Doubt, Tie};
use super::{Root, Survey, Surveyed};
use crate::catalog::TableId;

/// A table with a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// How its rows are found; the organization itself has none.
    pub(super) tie: Option<&'a Tie>,
    depth: usize,
}

/// A table that may belong to the organization.
pub(super) struct Doubts<'a> {
    pub(super) ties: Vec<&'a Tie>,
    ambiguous: bool,
}

/// What was decided, and what was not.
pub(super) struct Placing<'a> {
    pub(super) placed: BTreeMap<TableId, Placed<'a>>,
    pub(super) unclassified: BTreeMap<TableId, Doubts<'a>>,
    ties: &'a [Tie],
}

pub(super) fn place<'a>(survey: &Survey, root: Root<'_>, ties: &'a [Tie]) -> Placing<'a> {
    let mut placing = Placing { placed: BTreeMap::new(), unclassified: BTreeMap::new(), ties };
    placing.placed.insert(root.table.id(), Placed { tie: None, depth: 0 });
    let mut names: Vec<(String, TableId)> = survey.tables.iter().map(|t| (t.written(), t.id())).collect();
    names.sort();
    // One table at a time, the surest first: a column that may be NULL decides only where nothing better is left.
    loop {
        let open = names.iter().filter(|(_, id)| !placing.is_known(*id));
        let best = open.filter_map(|(_, id)| placing.options(*id).into_iter().next()).min_by_key(|tie| {
            let (class, depth) = (class(tie), placing.depth(tie));
            (class, depth)
        });
        let Some(tie) = best else { break };
        let options = placing.options(tie.child);
        if let Some(rival) = options.iter().find(|o| rivals(root, tie, o)) {
            placing.unclassified.insert(tie.child, Doubts { ties: vec![tie, rival], ambiguous: true });
        } else {
            let depth = placing.depth(tie) + 1;
            placing.placed.insert(tie.child, Placed { tie: Some(tie), depth });
        }
    }
    // What hangs below an open question is one itself.
    loop {
        let open: Vec<TableId> = names.iter().map(|(_, id)| *id).filter(|id| !placing.is_known(*id)).collect();
        let mut changed = false;
        for id in open {
            let doubts: Vec<&Tie> = ties.iter().filter(|t| t.child == id && placing.asks(t)).collect();
            if !doubts.is_empty() {
                placing.unclassified.insert(id, Doubts { ties: doubts, ambiguous: false });
                changed = true;
            }
        }
        if !changed {
            return placing;
        }
    }
}

/// NOT NULL before nullable, foreign keys before names.
fn class(tie: &Tie) -> (bool, u8) {
    let source = match tie.source {
        super::references::Source::ForeignKey(_) => 0,
        super::references::Source::Learned => 1,
        super::references::Source::Name => 2,
    };
    (tie.nullable, source)
}

/// Whether two columns say with the same right to which organization a row belongs.
fn rivals(root: Root<'_>, tie: &Tie, other: &Tie) -> bool {
    let direct = |t: &Tie| t.parent == root.table.id();
    direct(tie)
        && direct(other)
        && tie.pairs != other.pairs
        && class(tie) == class(other)
        && tie.called_after == other.called_after
}

impl<'a> Placing<'a> {
    fn is_known(&self, id: TableId) -> bool {
        self.placed.contains_key(&id) || self.unclassified.contains_key(&id)
    }

    fn depth(&self, tie: &Tie) -> usize {
        self.placed.get(&tie.parent).map_or(usize::MAX, |p| p.depth)
    }

    /// Ties to tables that have a place, best first. The organization's own column comes before a way through others, a
    /// column that is called after its parent before one that is not, then indexed, then short.
    fn options(&self, id: TableId) -> Vec<&'a Tie> {
        let mut options: Vec<&Tie> = self
            .ties
            .iter()
            .filter(|t| t.child == id && t.doubt.is_none() && self.placed.contains_key(&t.parent))
            .collect();
        options.sort_by_key(|t| (class(t), self.depth(t) > 0, !t.called_after, !t.indexed, self.depth(t)));
        options
    }

    /// Whether this tie makes a table without a place a question for a person.
    fn asks(&self, tie: &Tie) -> bool {
        match &tie.doubt {
            Some(doubt) => doubt.blocks && self.placed.contains_key(&tie.parent),
            None => self.unclassified.contains_key(&tie.parent),
        }
    }
}

impl Doubts<'_> {
    pub(super) fn why(&self, survey: &Survey) -> String {
        let columns = |t: &Tie| t.pairs.iter().map(|(c, _)| c.as_str()).collect::<Vec<_>>().join(", ");
        if self.ambiguous {
            let all: Vec<String> = self.ties.iter().map(|t| columns(t)).collect();
            return format!("{} refer to the organization with the same right", all.join(" and "));
        }
        let reasons: Vec<String> = self
            .ties
            .iter()
            .map(|tie| {
                if let Some(Doubt { why, .. }) = &tie.doubt {
                    return why.clone();
                }
                let parent = survey.table(tie.parent).map(Surveyed::written).unwrap_or_default();
                format!("{} refers to `{parent}`, which is unclassified itself", columns(tie))
            })
            .collect();
        reasons.join("; ")
    }
}

/// What a person should know about a step.
pub(super) fn remarks(survey: &Survey, placing: &Placing<'_>, table: &Surveyed, tie: &Tie) -> Vec<String> {
    let columns = |t: &Tie| t.pairs.iter().map(|(c, _)| c.as_str()).collect::<Vec<_>>().join(", ");
    let mut remarks = Vec::new();
    match tie.source {
        super::references::Source::ForeignKey(_) => {}
        super::references::Source::Learned => remarks.push(format!(
            "no foreign key; other tables' foreign keys say what {} means. Not protected by a foreign key: a deletion waits and counts again",
            columns(tie)
        )),
        super::references::Source::Name => remarks.push(format!(
            "no foreign key; by the name of {} alone. Not protected by a foreign key: a deletion waits and counts again",
            columns(tie)
        )),
    }
    if tie.nullable {
        let also: Vec<String> = placing
            .ties
            .iter()
            .filter(|t| t.child == table.id() && t.pairs != tie.pairs && placing.placed.contains_key(&t.parent))
            .filter_map(|t| Some(format!("{} (to {})", columns(t), survey.table(t.parent)?.written())))
            .collect();
        let also = if also.is_empty() {
            String::new()
        } else {
            format!("; another step of this table could find them by {}", also.join(", "))
        };
        remarks.push(format!("{} may be NULL, and such rows are not found by it{also}", columns(tie)));
    }
    let root = placing.placed.iter().find(|(_, placed)| placed.tie.is_none()).map(|(id, _)| *id);
    if Some(tie.parent) != root {
        let direct = placing.ties.iter().filter(|t| t.child == table.id() && Some(t.parent) == root);
        remarks.extend(direct.map(|t| {
            format!(
                "{} says whose a row is, too: a row of which it says something else, or that no parent has, blocks the deletion; a second step of this table by it deletes the latter",
                columns(t)
            )
        }));
    }
    if !tie.indexed {
        remarks.push(format!("no index leads with {}: a deletion reads the whole table", columns(tie)));
    }
    remarks
}
