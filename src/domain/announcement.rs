//! What an Event says.

/// The severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As expected.
    Normal,
    /// A person should check this.
    Warning,
}

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The severity.
    pub severity: Severity,
    /// One word: the same as in conditions and metrics.
    pub reason: &'static str,
    /// What the operator was doing, in one word.
    pub action: &'static str,
    /// The sentence.
    pub note: String,
    /// Tells Events of the same object and reason apart. An Event that exists is not written again, so what is repeated
    /// after a crash is announced once.
    pub occurrence: String,
}

impl Announcement {
    /// An Event that an object has once.
    #[must_use]
    pub fn once(severity: Severity, reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self { severity, reason, action, note: note.into(), occurrence: String::new() }
    }

    /// The same Event, once for each generation of the object.
    #[must_use]
    pub fn per_generation(self, generation: i64) -> Self {
        Self { occurrence: format!(".{generation}"), ..self }
    }
}
