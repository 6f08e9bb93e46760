//! What is said to a person, before it is printed.

use serde::Serialize;

/// What an object is, does and waits for, in plain sentences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    /// Name of the object.
    pub(super) name: String,
    /// The state in one sentence.
    pub(super) summary: String,
    /// Nothing goes on before a person has acted.
    pub(super) needs_a_person: bool,
    /// The rest, by what it is about.
    pub(super) sections: Vec<Section>,
}

/// What is said about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Section {
    /// What it is about.
    pub(super) about: &'static str,
    /// Whole sentences.
    pub(super) sentences: Vec<String>,
    /// Commands and SQL, as they stand in the status or can be typed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<String>,
}

impl Explanation {
    pub(super) fn new(name: &str, summary: String) -> Self {
        Self { name: name.to_owned(), summary, needs_a_person: false, sections: Vec::new() }
    }

    /// Adds a section, unless it says nothing.
    pub(super) fn add(&mut self, about: &'static str, sentences: Vec<String>, commands: Vec<String>) {
        if !sentences.is_empty() || !commands.is_empty() {
            self.sections.push(Section { about, sentences, commands });
        }
    }

    /// As a person reads it.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.summary);
        for section in &self.sections {
            text.extend(["\n", section.about, "\n"]);
            for line in section.sentences.iter().flat_map(|sentence| sentence.lines()) {
                text.extend(["  ", line, "\n"]);
            }
            for line in section.commands.iter().flat_map(|command| command.lines()) {
                text.extend(["    ", line, "\n"]);
            }
        }
        text
    }
}
