//! Text in YAML that the planner proposes.

/// A string as a YAML scalar: as it is if YAML can only read it as that string, else quoted as in JSON, which YAML reads
/// too.
#[must_use]
pub fn scalar(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_ascii_lowercase().as_str());
    if plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}
