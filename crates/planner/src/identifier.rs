//! SQL identifiers. They can only be written into a statement quoted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A column name as PostgreSQL stores it. `Display` quotes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Column(String);

impl Column {
    /// Takes a name as it stands in the catalogue.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name without quotes, for messages and for comparing with the catalogue.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote(&self.0))
    }
}

/// A table, with its schema unless it is found on the search path. `Display` quotes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    schema: Option<String>,
    name: String,
}

impl Table {
    /// A table in a named schema.
    #[must_use]
    pub fn qualified(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: Some(schema.into()), name: name.into() }
    }

    /// Reads `table` or `schema.table` as it is written in the configuration. Names are case-sensitive and taken
    /// literally; a dot separates schema and table.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('.') {
            Some((schema, name)) => Self::qualified(schema, name),
            None => Self { schema: None, name: text.to_owned() },
        }
    }

    /// The name without schema and quotes, for messages.
    #[must_use]
    pub fn bare(&self) -> &str {
        &self.name
    }

    /// The schema without quotes; None: as the search path says.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Whether the configuration may mean this table by `text`, which it wrote with or without the schema.
    #[must_use]
    pub fn is_written(&self, text: &str) -> bool {
        text == self.name || text == self.name()
    }

    /// The name without quotes, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quote(schema))?;
        }
        f.write_str(&quote(&self.name))
    }
}

/// Quotes an identifier as PostgreSQL documents it (SQL Syntax, Identifiers and Key Words): double quotes around it,
/// a double quote inside doubled.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant for a command that is shown to a person. Never used for statements that the operator runs.
#[must_use]
pub fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        assert_eq!(Column::new(r#"a" ; DROP TABLE b --"#).to_string(), r#""a"" ; DROP TABLE b --""#);
        assert_eq!(Table::parse("Tenant").to_string(), r#""Tenant""#);
        assert_eq!(Table::parse("app.Tenant").to_string(), r#""app"."Tenant""#);
        assert_eq!(literal(r"o'\hara"), r"E'o''\\hara'");
    }
}
