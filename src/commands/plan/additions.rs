//! What an update adds to a plan, as YAML.

use planner::infer::Update;
use planner::scalar;

use super::entries::{referred, suggestions, unclassified, unread, wrapped};

/// What to add to a plan, as YAML.
pub(super) struct Additions {
    pub(super) global: Vec<String>,
    /// Comments about global tables.
    remarks: Vec<String>,
    /// Each entry with the comments below it.
    pub(super) unclassified: Vec<(String, Vec<String>)>,
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
        let mut text = String::new();
        if !self.global.is_empty() {
            text += &self.block("global", 2, false);
        }
        if !self.unclassified.is_empty() {
            text += &self.block("unclassified", 2, false);
        }
        text
    }

    /// A whole list with its name, or only its elements.
    pub(super) fn block(&self, list: &str, indent: usize, only_elements: bool) -> String {
        let outer = " ".repeat(indent);
        let inner = if only_elements { outer.clone() } else { " ".repeat(indent + 2) };
        let mut text = if only_elements { String::new() } else { format!("{outer}{list}:\n") };
        if list == "global" {
            text.extend(self.remarks.iter().map(|line| format!("{inner}{line}\n")));
            text.extend(self.global.iter().map(|name| format!("{inner}- {name}\n")));
        } else {
            for (entry, comments) in &self.unclassified {
                text.extend([format!("{inner}- {entry}\n")]);
                text.extend(comments.iter().map(|line| format!("{inner}{line}\n")));
            }
        }
        text
    }

    /// The elements for a list in brackets.
    pub(super) fn elements(&self, list: &str, indent: usize) -> String {
        let inner = format!("\n{}", " ".repeat(indent + 2));
        if list == "global" {
            let lines = wrapped(&self.global).join(&inner);
            if self.remarks.is_empty() {
                return lines;
            }
            return format!("{inner}{}{inner}{lines}", self.remarks.join(&inner));
        }
        let mut text = String::new();
        for (entry, comments) in &self.unclassified {
            text.extend([inner.as_str(), entry, ","]);
            text.extend(comments.iter().flat_map(|line| [inner.as_str(), line]));
        }
        text + &inner
    }

    pub(super) fn is_empty(&self, list: &str) -> bool {
        if list == "global" { self.global.is_empty() } else { self.unclassified.is_empty() }
    }
}
