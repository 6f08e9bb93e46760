//! The words for what the server refused, and for what clears it. They hold names of the schema alone: never `detail`, and
//! never the server's own message, which may hold values of a row. The one exception is [`missing`].

use super::during::During;
use crate::api::Reason;
use planner::identifier::{literal, quote};

pub(super) const CHECK_THE_SERVER: &str =
    "check that the database server runs and that the operator can reach it; the operator then continues by itself";
pub(super) const CHECK_THE_FILES: &str = "check that the operator can read the files in sslrootcert, sslcert and sslkey of the database URL, or that the server of the socket in the URL runs; the operator then continues by itself";
pub(super) const REPORT: &str = "read the operator's log and the database server's log, and report this";
pub(super) const TRUST: &str = "put the right host, sslmode and sslrootcert into the database URL, or give the server a certificate for that host; the operator reads the file with the URL again by itself";

/// What the server refused.
pub(super) struct Refusal<'a> {
    pub(super) reason: Reason,
    pub(super) code: &'a str,
    /// Table, as `schema.name` if the server named it.
    pub(super) table: Option<&'a str>,
    pub(super) column: Option<&'a str>,
    pub(super) constraint: Option<&'a str>,
    /// The trigger's function in which it happened.
    pub(super) function: Option<String>,
    /// What does not exist, in the server's words.
    pub(super) missing: Option<String>,
}

/// Where PostgreSQL's parser says that a name does not exist (PostgreSQL 15 to 18): a table (42P01), a column (42703), a
/// function or an operator (42883), a type or a setting (42704).
const PARSER: [&str; 16] = [
    "parserOpenTable",
    "errorMissingRTE",
    "errorMissingColumn",
    "checkInsertTargets",
    "transformUpdateTargetList",
    "transformAssignedExpr",
    "ParseFuncOrColumn",
    "LookupFuncNameInternal",
    "LookupFuncWithArgs",
    "op_error",
    "unknown_attribute",
    "typenameType",
    "plpgsql_exec_get_datum_type_info",
    "typenameTypeId",
    "find_option",
    "LookupExplicitNamespace",
];

/// What the server says of a name that it does not find. It is the only message of the server that is repeated, and only
/// where its own parser read the name in a statement that somebody wrote: then it holds names, and no value of a row. A
/// trigger can raise the same code with any text, and `EXECUTE` can make names of values.
pub(super) fn missing(message: &str, routine: Option<&str>, context: Option<&str>) -> Option<String> {
    let context = context.unwrap_or_default();
    let made_of_values = ["EXECUTE", " at OPEN", " at RETURN QUERY"].iter().any(|part| context.contains(part));
    let another_language = context.matches("PL/").count() != context.matches("PL/pgSQL ").count();
    if !PARSER.contains(&routine?) || made_of_values || another_language {
        return None;
    }
    Some(printable(message.lines().next().unwrap_or_default(), 256))
}

/// A text from another program, made safe to show: printable, and at most so many characters.
pub(super) fn printable(text: &str, limit: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(limit).collect()
}

/// The innermost function of the server's context, `name(types)`. Only the name is taken: the rest may quote statements.
pub(super) fn function(context: &str) -> Option<String> {
    let (name, _) = context.lines().find_map(|line| line.strip_prefix("PL/pgSQL function ")?.split_once(" line "))?;
    Some(printable(name, 128))
}

/// What happened, and where.
pub(super) fn message(refusal: &Refusal<'_>, during: During<'_>) -> String {
    let place = place(during);
    let doing = format!("{}{place}", during.action);
    let constraint = refusal.constraint.map(|c| format!(" (constraint {c})")).unwrap_or_default();
    let function = refusal.function.as_ref().map(|f| format!(", in the function `{f}`")).unwrap_or_default();
    let table = refusal.table.map_or_else(|| "a table".to_owned(), |table| format!("`{table}`"));
    match (refusal.reason, refusal.code) {
        (Reason::ForeignKeyViolation, _) => {
            format!("rows in {table} still refer to rows that were being deleted{constraint}, while {doing}{function}")
        }
        (Reason::InvalidOrganizationId, _) => {
            "spec.organizationId is not a value of the key's type in the database".to_owned()
        }
        (Reason::PermissionDenied, _) => format!(
            "the operator's database role lacks a privilege for {doing}, or row-level security hides rows{function}"
        ),
        (Reason::AuthenticationFailed, "3D000") => {
            "the database named in the operator's database URL does not exist".to_owned()
        }
        (Reason::AuthenticationFailed, _) => "the database refuses the operator's user or password".to_owned(),
        (Reason::LockTimeout, _) => format!("another session held a lock for too long while {doing}"),
        (Reason::StatementTimeout, _) => {
            format!("a statement took longer than allowed, or was cancelled, while {doing}{function}")
        }
        (Reason::SerializationFailure, "40P01") => {
            format!(
                "two transactions waited for each other (a deadlock) and the database ended this one, while {doing}"
            )
        }
        (Reason::SerializationFailure, _) => {
            format!("the database asks the operator to try the transaction again, while {doing}{function}")
        }
        (Reason::ConstraintViolation, "27000") => {
            format!(
                "a BEFORE trigger changed or deleted rows that the same statement was about to change, while {doing}{function}"
            )
        }
        (Reason::ConstraintViolation, code) => {
            format!("the schema refuses a change in {table}{}, while {doing}{function}", refused(code, refusal))
        }
        (Reason::DatabaseUnavailable, "25006") => format!("the database is read-only, while {doing}"),
        (Reason::DatabaseUnavailable, "53100") => {
            format!("the database server's disk is full, while {doing}{function}")
        }
        (Reason::DatabaseUnavailable, "53300") => {
            format!("the database server, this database or the operator's role has no connection left, while {doing}")
        }
        (Reason::DatabaseUnavailable, "57P01" | "57P02") => {
            format!("an administrator or the server's shutdown ended the connection, while {doing}")
        }
        (Reason::DatabaseUnavailable, _) => format!("the database is not available, while {doing}"),
        (Reason::SchemaMismatch, code) if code.starts_with("22") => {
            format!(
                "the database could not convert a value, in the expression of a view or to compare columns of different types, while {doing}{function}"
            )
        }
        (Reason::SchemaMismatch, _) => {
            let missing = refusal.missing.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
            format!(
                "a table, column or function that the plan or a trigger needs is not in the database{missing}, while {doing}{function}"
            )
        }
        _ => format!("the database reported an unexpected error while {doing}{function}"),
    }
}

/// Where it happened: the table, or the tables of one statement.
fn place(during: During<'_>) -> String {
    match (during.table, during.tables) {
        (Some(table), _) => format!(" the table `{table}`"),
        (None, []) => String::new(),
        (None, tables) => format!(" the tables `{}`", tables.join("`, `")),
    }
}

fn refused(code: &str, refusal: &Refusal<'_>) -> String {
    let constraint = refusal.constraint.map(|c| format!(" {c}")).unwrap_or_default();
    match code {
        "23502" => match refusal.column {
            Some(column) => format!(": the column `{column}` must not be NULL"),
            None => ": a column must not be NULL".to_owned(),
        },
        "23514" => format!(": the check constraint{constraint} would be violated"),
        "23505" => format!(": the unique constraint{constraint} would be violated"),
        other if other.starts_with("23") => format!(": the constraint{constraint} would be violated"),
        other if other.starts_with("22") => ": a trigger cannot convert a value".to_owned(),
        _ => ": a trigger raised an error".to_owned(),
    }
}

/// What clears it: SQL where SQL does.
pub(super) fn remedy(refusal: &Refusal<'_>, during: During<'_>) -> String {
    let text = match (refusal.reason, refusal.code) {
        (Reason::ForeignKeyViolation, _) => {
            "wait for the next attempt, which counts the rows that refer from outside and shows the SQL that clears them; if it does not, a trigger writes such rows while the organization is being deleted"
        }
        (Reason::InvalidOrganizationId, _) => {
            "create another object with the organization's primary key as spec.organizationId, and delete this one with deletionPolicy Retain"
        }
        (Reason::PermissionDenied, _) => {
            "grant the privileges listed in docs/install.md to the operator's database role, and BYPASSRLS if row-level security applies to it"
        }
        (Reason::AuthenticationFailed, "3D000") => {
            "correct the database name in the operator's database URL; the operator reads the file with the URL again by itself"
        }
        (Reason::AuthenticationFailed, _) => {
            "put a valid user and password into the operator's database URL; write the characters @ / : ? # % in them as %40 %2F %3A %3F %23 %25; the operator reads the file with the URL again by itself"
        }
        (Reason::LockTimeout, _) => {
            "SELECT pid, application_name, state, xact_start FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start; -- then end the oldest session that should not run"
        }
        (Reason::StatementTimeout, _) => {
            "check for a missing index on the referring column of a large table, or raise database.statementTimeoutSeconds in the operator's configuration"
        }
        (Reason::SerializationFailure, _) => {
            "wait, because this usually clears by itself; if it does not, stop whatever writes to the organization: SELECT pid, application_name, state, xact_start FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start;"
        }
        (Reason::ConstraintViolation, "23502") => return nullable(refusal),
        (Reason::ConstraintViolation, "27000") => {
            let tables = during.table.map_or_else(|| during.tables.to_vec(), |table| vec![table]);
            return triggers_of(&tables, "make the trigger that causes this an AFTER trigger, or disable it");
        }
        (Reason::ConstraintViolation, _) => return refusing(refusal, during),
        (Reason::SchemaMismatch, code) if code.starts_with("22") => {
            "give the columns by which the plan (cascade) finds rows the type of the columns that they refer to, or change the rows with values that are not of that type"
        }
        (Reason::SchemaMismatch, _) => {
            "correct the plan (cascade) in the operator's configuration, or the trigger that needs what is missing"
        }
        (Reason::DatabaseUnavailable, "25006") => {
            "SHOW default_transaction_read_only; -- then switch it off, or put the primary server into the database URL; the operator then continues by itself"
        }
        (Reason::DatabaseUnavailable, "53100") => {
            "free space on the database server's disk; the operator then continues by itself"
        }
        (Reason::DatabaseUnavailable, "53300") => {
            "SELECT datname, usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC; -- then close connections, or raise max_connections or the CONNECTION LIMIT of the database or the role"
        }
        (Reason::DatabaseUnavailable, _) => CHECK_THE_SERVER,
        _ => REPORT,
    };
    text.to_owned()
}

fn nullable(refusal: &Refusal<'_>) -> String {
    match (refusal.table, refusal.column) {
        (Some(table), Some(column)) => format!(
            "ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL; -- or delete the rows that refer to the organization's, or change the foreign key's ON DELETE SET NULL",
            quoted(table),
            quote(column)
        ),
        _ => "drop NOT NULL from the column that the schema sets to NULL".to_owned(),
    }
}

fn refusing(refusal: &Refusal<'_>, during: During<'_>) -> String {
    match (refusal.constraint, refusal.table, during.table) {
        (Some(constraint), Some(table), _) => format!(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = {} AND conrelid = {}::regclass; -- then change the constraint, or the rows that it protects",
            literal(constraint),
            literal(&quoted(table))
        ),
        (_, Some(table), _) | (_, None, Some(table)) => triggers(table),
        _ if !during.tables.is_empty() => triggers_of(during.tables, DISABLE_IT),
        _ => "change the constraint or the trigger, or the rows that it protects".to_owned(),
    }
}

const DISABLE_IT: &str = "change or disable the trigger that causes this";

/// SQL that shows the triggers of a table.
pub(crate) fn triggers(table: &str) -> String {
    format!(
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = {}::regclass AND NOT tgisinternal; -- then {DISABLE_IT}",
        literal(&quoted(table))
    )
}

/// SQL that shows the triggers of several tables.
fn triggers_of(tables: &[&str], then: &str) -> String {
    let tables: Vec<String> = tables.iter().map(|table| format!("{}::regclass", literal(&quoted(table)))).collect();
    format!(
        "SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid IN ({}) AND NOT tgisinternal; -- then {then}",
        tables.join(", ")
    )
}

/// `schema.name` with both parts quoted.
fn quoted(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quote(schema), quote(name)),
        None => quote(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_function_is_taken_from_the_context() {
        let context = "SQL statement \"SELECT 'secret'\"\nPL/pgSQL function app.refuse(text) line 3 at RAISE";
        assert_eq!(function(context).as_deref(), Some("app.refuse(text)"));
        assert_eq!(function("SQL function \"f\" statement 1"), None);
    }

    #[test]
    fn names_are_repeated_where_the_parser_read_them_in_a_statement_that_somebody_wrote() {
        let said = |routine, context| missing("relation \"a@b\" does not exist", Some(routine), Some(context));
        let written = "PL/pgSQL function ending() line 3 at SQL statement";
        assert_eq!(said("parserOpenTable", written).as_deref(), Some("relation \"a@b\" does not exist"));
        for (routine, context) in [
            ("parserOpenTable", "PL/pgSQL function ending() line 3 at EXECUTE"),
            ("parserOpenTable", "PL/Python function \"ending\""),
            ("exec_stmt_raise", "PL/pgSQL function ending() line 3 at RAISE"),
            ("get_role_oid", written),
        ] {
            assert_eq!(said(routine, context), None, "{routine}: {context}");
        }
        assert!(missing("relation \"t\" does not exist", Some("parserOpenTable"), None).is_some());
    }

    /// The part of a text that a person would search for: up to where names or further advice begin.
    fn stem<'a>(text: &'a str, ends: &[&str]) -> &'a str {
        let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
        text[..end].trim()
    }

    #[test]
    fn the_documentation_has_an_entry_for_each_reason_with_the_same_words() {
        let docs = include_str!("../../docs/errors.md");
        for reason in Reason::ALL {
            let row = format!("| [`{reason}`](#{}) | {} |", reason.as_str().to_lowercase(), reason.code());
            assert!(docs.contains(&row), "{row}");
            assert_eq!(docs.matches(&format!("\n## {reason}\n")).count(), 1, "{reason}");
        }
        for code in [
            "23503", "23001", "22P02", "42501", "28P01", "3D000", "55P03", "57014", "40001", "40P01", "23502", "23514",
            "23505", "P0001", "27000", "42P01", "42703", "25006", "53100", "53300", "57P01", "57P02", "57P03", "08006",
            "XX000",
        ] {
            let reason = super::super::sqlstate::reason(code);
            let named = matches!(code, "23503" | "23001" | "23502" | "23514" | "23505");
            let refusal = Refusal {
                reason,
                code,
                table: Some("T"),
                column: named.then_some("C"),
                constraint: named.then_some("K"),
                function: None,
                missing: None,
            };
            let during = During::change("deleting from", None, "T");
            let after = docs.split(&format!("\n## {reason}\n")).nth(1).expect("an entry");
            let entry = after.split("\n## ").next().expect("an entry");
            let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
            let (message, remedy) = (message(&refusal, during), remedy(&refusal, during));
            for part in stem(&message, &[", while", " while"]).split(": ") {
                assert!(entry.contains(part), "{code}: the entry of {reason} lacks the message `{part}`");
            }
            let clears = stem(&remedy, &["; --", ";"]);
            assert!(entry.contains(clears), "{code}: the entry of {reason} lacks the remedy `{clears}`");
        }
    }

    #[test]
    fn tables_are_quoted_in_sql() {
        assert!(triggers("public.Api \"Tokens\"").contains("'\"public\".\"Api \"\"Tokens\"\"\"'::regclass"));
    }
}
