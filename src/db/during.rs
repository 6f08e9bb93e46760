//! What the operator was doing when the database refused.

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct During<'a> {
    /// In words: `deleting`, `counting`.
    pub(crate) action: &'a str,
    /// Entity of the plan.
    pub(crate) entity: Option<&'a str>,
    /// Table.
    pub(crate) table: Option<&'a str>,
    /// Instead of one table, those that one statement changes.
    pub(crate) tables: &'a [&'a str],
    /// Where a value that cannot be converted comes from.
    pub(crate) values: Values,
}

/// Where a value that the server cannot convert comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Values {
    /// From columns that are compared and differ in type.
    #[default]
    Columns,
    /// From a person, who wrote it as the organization's id.
    Id,
    /// From a trigger, while rows of the platform are being changed.
    Trigger,
}

impl<'a> During<'a> {
    /// Something that concerns no table.
    pub(crate) fn action(action: &'a str) -> Self {
        Self { action, ..Self::default() }
    }

    /// Something that concerns one table of the plan.
    pub(crate) fn table(action: &'a str, entity: Option<&'a str>, table: &'a str) -> Self {
        Self { action, entity, table: Some(table), ..Self::default() }
    }

    /// A change of the platform's rows in several tables at once.
    pub(crate) fn changes(action: &'a str, tables: &'a [&'a str]) -> Self {
        Self { action, tables, values: Values::Trigger, ..Self::default() }
    }

    /// A change of the platform's rows in one table.
    pub(crate) fn change(action: &'a str, entity: Option<&'a str>, table: &'a str) -> Self {
        Self { values: Values::Trigger, ..Self::table(action, entity, table) }
    }

    /// The same, with an id as a person wrote it. Only such an id may be no value of the key's type.
    pub(crate) fn id(self) -> Self {
        Self { values: Values::Id, ..self }
    }
}
