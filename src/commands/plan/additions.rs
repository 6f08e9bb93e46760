//! What an update adds to a plan, as YAML.

use planner::infer::Update;
use planner::scalar;

use super::entries::{referred, suggestions, unclassified, unread, wrapped};

/// A list of a plan to which an update adds tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Global,
    Unclassified,
}

impl List {
    pub(super) const ALL: [Self; 2] = [Self::Global, Self::Unclassified];

    /// Its name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Unclassified => "unclassified",
        }
    }
}

/// What to add to a plan, as YAML.
pub(super) struct Additions {
    global: Vec<String>,
    /// Comments about global tables.
    remarks: Vec<String>,
    /// Each entry with the comments below it.
    unclassified: Vec<(String, Vec<String>)>,
}

impl Additions {
    pub(super) fn of(update: &Update) -> Self {
        let open = update.unclassified.iter().zip(&update.suggestions);
        Self {
            global: update.global.iter().map(|t| scalar(t)).collect(),
            remarks: unread(&update.unread).into_iter().chain(referred(&update.referred)).collect(),
            unclassified: open.map(|(open, suggested)| (unclassified(open), suggestions(suggested))).collect(),
        }
    }

    /// The lines for a person who has to paste them below `cascade`.
    pub(super) fn lines(&self) -> String {
        List::ALL.into_iter().filter(|list| !self.is_empty(*list)).map(|list| self.block(list, 2, false)).collect()
    }

    /// A whole list with its name, or only its elements.
    pub(super) fn block(&self, list: List, indent: usize, only_elements: bool) -> String {
        let outer = " ".repeat(indent);
        let inner = if only_elements { outer.clone() } else { " ".repeat(indent + 2) };
        let mut text = if only_elements { String::new() } else { format!("{outer}{}:\n", list.name()) };
        match list {
            List::Global => {
                text.extend(self.remarks.iter().map(|line| format!("{inner}{line}\n")));
                text.extend(self.global.iter().map(|name| format!("{inner}- {name}\n")));
            }
            List::Unclassified => {
                for (entry, comments) in &self.unclassified {
                    text.extend([format!("{inner}- {entry}\n")]);
                    text.extend(comments.iter().map(|line| format!("{inner}{line}\n")));
                }
            }
        }
        text
    }

    /// The elements for a list in brackets.
    pub(super) fn elements(&self, list: List, indent: usize) -> String {
        let inner = format!("\n{}", " ".repeat(indent + 2));
        match list {
            List::Global => {
                let lines = wrapped(&self.global).join(&inner);
                if self.remarks.is_empty() {
                    lines
                } else {
                    format!("{inner}{}{inner}{lines}", self.remarks.join(&inner))
                }
            }
            List::Unclassified => {
                let mut text = String::new();
                for (entry, comments) in &self.unclassified {
                    text.extend([inner.as_str(), entry, ","]);
                    text.extend(comments.iter().flat_map(|line| [inner.as_str(), line]));
                }
                text + &inner
            }
        }
    }

    /// Each new element of the list.
    pub(super) fn entries(&self, list: List) -> Vec<&str> {
        match list {
            List::Global => self.global.iter().map(String::as_str).collect(),
            List::Unclassified => self.unclassified.iter().map(|(entry, _)| entry.as_str()).collect(),
        }
    }

    pub(super) fn is_empty(&self, list: List) -> bool {
        self.entries(list).is_empty()
    }
}
