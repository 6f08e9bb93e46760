//! A sample of the rows of tables without a place: which columns hold keys of organizations? The server answers yes or no for
//! each column, so no value of a row leaves it.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::domain::Failure;
use planner::identifier::{Table, quote};
use planner::infer::{Form, KeyType, Question, Questions, Values};

/// Rows that are read of each table.
const ROWS: u32 = 1000;
/// The longest query about one table, in milliseconds. Drafting a plan must not slow down the platform.
const TIMEOUT: &str = "SET LOCAL statement_timeout = 2000";
/// The length from which a text counts: a shorter one may equal a key by chance.
const LONG: u32 = 8;
/// Values of JSON at any depth that can be a key.
const SCALARS: &str = r#"'strict $.** ? (@.type() == "string" || @.type() == "number")'"#;
/// Names of members of JSON at any depth: settings of many organizations often have the keys there.
const MEMBERS: &str = r#"'strict $.** ? (@.type() == "object").keyvalue().key'"#;

impl Database {
    /// Reads a sample of the rows. Returns which columns hold keys of organizations, and which could not be read.
    ///
    /// # Errors
    /// Fails when the connection is lost. A table that cannot be read is no error.
    pub async fn sample(&self, questions: &Questions) -> Result<Values, Failure> {
        let mut values = Values::default();
        if questions.tables.is_empty() {
            return Ok(values);
        }
        let during = During::action("reading a sample of the rows");
        let mut tx = self.begin().await?;
        own("SET TRANSACTION READ ONLY").execute(&mut *tx).await.or_failure(during)?;
        own(TIMEOUT).execute(&mut *tx).await.or_failure(during)?;
        for (id, table, columns) in &questions.tables {
            let answers = answers(&mut tx, questions, table, columns).await.or_failure(during)?;
            let with = |wanted: Option<bool>| -> BTreeSet<String> {
                let all = columns.iter().zip(&answers);
                all.filter(|(_, answer)| **answer == wanted).map(|(c, _)| c.column.clone()).collect()
            };
            for (found, columns) in [(&mut values.held, with(Some(true))), (&mut values.unread, with(None))] {
                if !columns.is_empty() {
                    found.insert(*id, columns);
                }
            }
        }
        tx.rollback().await.or_failure(during)?;
        Ok(values)
    }
}

/// Whether each column holds keys; `None` for a column that cannot be read.
async fn answers(
    connection: &mut PgConnection,
    questions: &Questions,
    table: &Table,
    columns: &[Question],
) -> Result<Vec<Option<bool>>, sqlx::Error> {
    if let Some(answers) = ask(connection, questions, table, columns).await? {
        return Ok(answers.into_iter().map(Some).collect());
    }
    // One unreadable column makes the whole query fail.
    let mut answers = Vec::new();
    for column in columns {
        let one = ask(connection, questions, table, std::slice::from_ref(column)).await?;
        answers.push(one.and_then(|answers| answers.first().copied()));
    }
    Ok(answers)
}

/// Whether each column holds keys. Returns `None` if the server refuses the query or cannot answer in time.
async fn ask(
    connection: &mut PgConnection,
    questions: &Questions,
    table: &Table,
    columns: &[Question],
) -> Result<Option<Vec<bool>>, sqlx::Error> {
    // A savepoint: a statement that fails must not end the transaction.
    let mut savepoint = connection.begin().await?;
    let query = sqlx::query(AssertSqlSafe(sql(questions, table, columns))).persistent(false).bind(&questions.names);
    let row = match query.fetch_one(&mut *savepoint).await {
        Ok(row) => row,
        Err(sqlx::Error::Database(_)) => {
            savepoint.rollback().await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    savepoint.rollback().await?;
    row.try_get(0).map(Some)
}

/// One boolean for each column.
fn sql(questions: &Questions, table: &Table, columns: &[Question]) -> String {
    let names: Vec<String> = columns.iter().map(|c| quote(&c.column)).collect();
    let answers: Vec<String> =
        columns.iter().map(|c| format!("coalesce(bool_or({}), false)", holds(questions, c))).collect();
    format!(
        "WITH names AS MATERIALIZED (SELECT unnest($1::text[]) AS name) SELECT ARRAY[{}] FROM (SELECT {} FROM {table} LIMIT {ROWS}) s",
        answers.join(", "),
        names.join(", ")
    )
}

/// Whether a row's value of the column holds the key of an organization.
fn holds(questions: &Questions, question: &Question) -> String {
    let column = format!("s.{}", quote(&question.column));
    let of_rows = |rows: &str, condition: &str, named: bool| {
        format!("EXISTS (SELECT 1 FROM {rows} WHERE {condition}{})", is_key(questions, "e.v", named))
    };
    match question.form {
        Form::Value => {
            let rows = format!("(SELECT {column}::text) e(v)");
            of_rows(&rows, "", question.named)
        }
        Form::Array => {
            let rows = format!("(SELECT x::text FROM unnest({column}) x) e(v)");
            of_rows(&rows, "", question.named)
        }
        Form::Json => {
            let scalars = |of: &str| {
                let all = |path: &str| format!("SELECT x #>> '{{}}' FROM jsonb_path_query({of}, {path}) x");
                format!("LATERAL ({} UNION ALL {}) e(v)", all(SCALARS), all(MEMBERS))
            };
            let anywhere = of_rows(&scalars(&format!("{column}::jsonb")), "", question.named);
            let members = format!(
                "jsonb_path_query({column}::jsonb, 'strict $.** ? (@.type() == \"object\")') o(v), jsonb_each(o.v) m(name, value), {}",
                scalars("m.value")
            );
            let named = "EXISTS (SELECT 1 FROM names n WHERE lower(regexp_replace(m.name, '[^[:alnum:]]', '', 'g')) LIKE '%' || n.name) AND ";
            let below_a_name = of_rows(&members, named, true);
            match questions.key_type {
                _ if question.named => anywhere,
                KeyType::Uuid => anywhere,
                KeyType::Integer => below_a_name,
                KeyType::Text | KeyType::Other => format!("({anywhere} OR {below_a_name})"),
            }
        }
    }
}

/// Whether the text is the key of an organization. It is compared so that the key's index can be used, one value at a time.
fn is_key(questions: &Questions, text: &str, named: bool) -> String {
    let key = format!("k.{}", quote(&questions.key));
    let (long, condition) = match questions.key_type {
        KeyType::Uuid => {
            let uuid = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'";
            (false, format!("{key} = CASE WHEN {text} ~* {uuid} THEN {text}::uuid END"))
        }
        KeyType::Integer => (false, format!("{key} = CASE WHEN {text} ~ '^-?[0-9]{{1,18}}$' THEN {text}::bigint END")),
        // Two columns may have different collations.
        KeyType::Text => (!named, format!("{key} = {text} COLLATE \"default\"")),
        KeyType::Other => (!named, format!("{key}::text = {text} COLLATE \"default\"")),
    };
    let long = if long { format!("length({text}) >= {LONG} AND ") } else { String::new() };
    format!("{long}(SELECT true FROM {} k WHERE {condition} LIMIT 1)", questions.organization)
}
