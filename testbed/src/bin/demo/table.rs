//! Rows as psql shows them.

use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};

/// A table as psql prints it.
pub(crate) fn render(rows: &[PgRow]) -> String {
    let Some(first) = rows.first() else { return "(0 rows)".to_owned() };
    let names: Vec<String> = first.columns().iter().map(|c| c.name().to_owned()).collect();
    let right: Vec<bool> =
        first.columns().iter().map(|c| matches!(c.type_info().name(), "INT2" | "INT4" | "INT8" | "NUMERIC")).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| (0..names.len()).map(|i| cell(row, i)).collect()).collect();
    lay_out(&names, &right, &cells)
}

/// The text of one value: the simple query protocol sends every value as text.
pub(crate) fn cell(row: &PgRow, i: usize) -> String {
    match row.try_get_raw(i) {
        Ok(value) if value.is_null() => String::new(),
        Ok(value) => value.as_str().unwrap_or("?").to_owned(),
        Err(_) => "?".to_owned(),
    }
}

fn lay_out(names: &[String], right: &[bool], cells: &[Vec<String>]) -> String {
    let width: Vec<usize> = (0..names.len())
        .map(|i| cells.iter().map(|row| row[i].chars().count()).chain([names[i].chars().count()]).max().unwrap_or(0))
        .collect();
    let line = |row: &[String], align: &dyn Fn(usize, &str) -> String| {
        let parts: Vec<String> = row.iter().enumerate().map(|(i, text)| align(i, text)).collect();
        format!(" {}", parts.join(" | ")).trim_end().to_owned()
    };
    let mut lines = vec![
        line(names, &|i, text| format!("{text:^w$}", w = width[i])),
        width.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("+"),
    ];
    lines.extend(cells.iter().map(|row| {
        line(row, &|i, text| {
            if right[i] { format!("{text:>w$}", w = width[i]) } else { format!("{text:w$}", w = width[i]) }
        })
    }));
    lines.push(if cells.len() == 1 { "(1 row)".to_owned() } else { format!("({} rows)", cells.len()) });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::lay_out;

    #[test]
    fn a_table_looks_as_in_psql() {
        let text = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let table =
            lay_out(&text(&["name", "users"]), &[false, true], &[text(&["Acme", "5"]), text(&["Globex", "12"])]);
        assert_eq!(table, "  name  | users\n--------+-------\n Acme   |     5\n Globex |    12\n(2 rows)");
    }
}
