//! Rows that belong to no organization.

use crate::blocker::counted;
use crate::cascade::NobodysRows;
use crate::finding::{Finding, Kind, Severity};
use crate::limits::COUNT_LIMIT;

/// A warning about such rows, by their number. Returns `None` if there are none.
#[must_use]
pub fn nobodys_rows(table: &NobodysRows, rows: i64) -> Option<Finding> {
    let belong = if rows == 1 { "belongs" } else { "belong" };
    let them = if rows == 1 { "it" } else { "them" };
    (rows > 0).then(|| Finding {
        rows: Some(rows.min(COUNT_LIMIT)),
        ..finding(
            table,
            format!(
                "{} of `{}` {belong} to no organization: {}. No deletion finds {them}",
                counted(rows),
                table.table,
                null(&table.ways)
            ),
            "then give these rows an organization, or delete them",
        )
    })
}

/// A warning that such rows could not be counted, and `why`.
#[must_use]
pub fn uncounted_rows(table: &NobodysRows, why: &str) -> Finding {
    finding(
        table,
        format!(
            "rows of `{}` belong to no organization if {}, but the check could not count such rows: {why}",
            table.table,
            null(&table.ways)
        ),
        "run this query when the load on the database is low",
    )
}

fn finding(table: &NobodysRows, message: String, hint: &str) -> Finding {
    Finding {
        entity: Some(table.entity.clone()),
        columns: table.ways.concat(),
        remedy: Some(format!("{} -- {hint}", table.query)),
        ..Finding::new(Severity::Warning, Kind::NobodysRows, message).on(&table.table)
    }
}

/// `flow_id and user_id are NULL`; with composite keys `flow_id is NULL, and a or b is NULL`.
fn null(ways: &[Vec<String>]) -> String {
    if ways.iter().all(|way| way.len() == 1) {
        let columns = ways.concat();
        return match columns.as_slice() {
            [only] => format!("{only} is NULL"),
            [first @ .., last] => format!("{} and {last} are NULL", first.join(", ")),
            [] => String::new(),
        };
    }
    let each: Vec<String> = ways.iter().map(|way| format!("{} is NULL", way.join(" or "))).collect();
    each.join(", and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ways: &[&[&str]]) -> NobodysRows {
        NobodysRows {
            table: "public.notes".into(),
            entity: "notes".into(),
            ways: ways.iter().map(|way| way.iter().map(|c| (*c).to_owned()).collect()).collect(),
            query: "SELECT ..;".into(),
        }
    }

    #[test]
    fn the_message_says_how_many_and_by_which_columns() {
        for (ways, rows, expected) in [
            (
                &[&["a"][..]][..],
                1,
                "1 row of `public.notes` belongs to no organization: a is NULL. No deletion finds it",
            ),
            (
                &[&["a"], &["b"]],
                12,
                "12 rows of `public.notes` belong to no organization: a and b are NULL. No deletion finds them",
            ),
            (
                &[&["a"], &["b"], &["c"]],
                COUNT_LIMIT + 1,
                "10000+ rows of `public.notes` belong to no organization: a, b and c are NULL. No deletion finds them",
            ),
            (
                &[&["a"], &["b", "c"]],
                2,
                "2 rows of `public.notes` belong to no organization: a is NULL, and b or c is NULL. No deletion finds them",
            ),
        ] {
            let finding = nobodys_rows(&table(ways), rows).expect("a finding");
            assert_eq!(finding.message, expected);
            assert_eq!((finding.severity, finding.rows), (Severity::Warning, Some(rows.min(COUNT_LIMIT))));
            assert!(!finding.may_block());
        }
        assert_eq!(nobodys_rows(&table(&[&["a"]]), 0), None);
        let unknown = uncounted_rows(&table(&[&["a"]]), "it takes too long");
        assert_eq!((unknown.rows, unknown.severity), (None, Severity::Warning));
        assert!(unknown.message.contains("if a is NULL") && unknown.message.ends_with("it takes too long"));
    }
}
