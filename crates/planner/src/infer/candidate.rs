//! One way in which rows of a table may belong to rows of another.

use crate::catalog::TableId;

/// One way in which rows of a table may belong to rows of another.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) child: TableId,
    pub(super) parent: TableId,
    /// Columns of the child, each with the parent's.
    pub(super) pairs: Vec<(String, String)>,
    pub(super) source: Source,
    /// Whether a column may be NULL: then some rows may belong to the organization by another column.
    pub(super) nullable: bool,
    pub(super) indexed: bool,
    /// Why it does not decide where the child belongs, so that a person has to. `None` if it may decide.
    pub(super) doubt: Option<String>,
    /// Whether each column has the type of the parent's.
    pub(super) same_type: bool,
    /// How well the columns' names fit the parent's.
    pub(super) fit: Fit,
}

/// How well the name of a column fits the table that it may refer to, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    /// Whether it has a role in front: `parent_flow_id`.
    pub(super) role: bool,
    pub(super) part: Part,
}

impl Fit {
    /// The fit of a column that is named after its parent, or not.
    pub(super) fn of_whole(named_after_parent: bool) -> Self {
        Self { role: false, part: if named_after_parent { Part::Full } else { Part::Other } }
    }

    /// One number for all that is equally good.
    pub(super) fn rank(self) -> u8 {
        let part = match self.part {
            Part::Sibling | Part::Full => 0,
            Part::End => 1,
            Part::Start => 2,
            Part::Other => 3,
        };
        if self.role { part + 4 } else { part }
    }
}

/// Which part of a table's name a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All but a prefix that the column's own table has, too: `event_id` of `v1_event_runs` for `v1_event`.
    Sibling,
    /// All of it.
    Full,
    /// All but a prefix: `dag_id` for `v1_dag`.
    End,
    /// All but a suffix: `dag_id` for `dag_archive`.
    Start,
    /// None of it.
    Other,
}

/// Where a candidate comes from, the surest source first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    ForeignKey,
    /// A column name that foreign keys of other tables use.
    Learned,
    /// A column name alone.
    Name,
    /// Values in a sample of the rows.
    Value,
    /// Values inside an array or JSON, or the name of such a column.
    Inside,
    /// A column whose parent's table is the value of another column: `owner_type` and `owner_id`.
    Polymorphic,
}

impl Candidate {
    /// Whether the column is named after the parent.
    pub(super) fn named_after_parent(&self) -> bool {
        self.fit == Fit::of_whole(true)
    }

    /// Whether a step can find rows by it.
    pub(super) fn is_step(&self) -> bool {
        !matches!(self.source, Source::Inside | Source::Polymorphic)
    }

    /// The child's columns, for messages.
    pub(super) fn columns(&self) -> String {
        self.pairs.iter().map(|(c, _)| c.as_str()).collect::<Vec<_>>().join(", ")
    }
}
