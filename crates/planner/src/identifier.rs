//! SQL identifiers. They can only be written into a statement quoted.

use std::fmt;

/// A column name as PostgreSQL stores it. `Display` quotes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// A table with its schema. `Display` quotes both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    schema: String,
    name: String,
}

impl Table {
    /// Takes names as they stand in the catalogue.
    #[must_use]
    pub fn qualified(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// The name without schema and quotes, for messages.
    #[must_use]
    pub fn bare(&self) -> &str {
        &self.name
    }

    /// The schema without quotes.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether the configuration may mean this table by `text`, which is a name with or without the schema.
    #[must_use]
    pub fn is_written(&self, text: &str) -> bool {
        text == self.name || text == self.name()
    }

    /// `schema.table` without quotes, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// Quotes an identifier as PostgreSQL documents it (SQL Syntax, Identifiers and Key Words): in double quotes, with each
/// double quote inside doubled.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a list of columns, separated by commas.
pub(crate) fn quote_all(columns: &[String]) -> String {
    columns.iter().map(|c| quote(c)).collect::<Vec<_>>().join(", ")
}

/// Quotes a string for a command that is shown to a person, or the name of a set of captured keys. The operator never runs a
/// statement with a value as such a constant: it binds values.
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
        assert_eq!(Table::qualified("app", "Tenant").to_string(), r#""app"."Tenant""#);
        assert_eq!(Table::qualified(r#"a"b"#, "c.d").to_string(), r#""a""b"."c.d""#);
        assert_eq!(literal(r"o'\hara"), r"E'o''\\hara'");
    }
}
