//! Captured keys: values of rows by which other rows are found after these are gone. They stay on the server, in a table of the
//! operator's own: each row of it holds up to [`CHUNK`] keys of one set of one erasure.
//!
//! Measured with 100,000 keys of uuid: arrays of 1,000 take 65 ms and 4 MB of WAL to write and 1 ms to delete; a row for each
//! key 75 ms and 10 MB, and 25 ms and 5 MB. And an index on the few rows costs nothing.

use crate::catalog::{TableId, TableInfo};
use crate::identifier::{Column, Table, literal};
use crate::statement::Writer;
use crate::step::StepId;

/// Most keys in one row of the table.
const CHUNK: u32 = 1000;

/// The values of some columns in the rows of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// The step whose rows have them.
    pub step: StepId,
    /// The name under which they are stored.
    pub name: String,
    /// The columns.
    pub columns: Vec<String>,
    /// The table that has these columns.
    pub(crate) table: TableId,
    /// They identify a row.
    pub(crate) whole: bool,
}

/// What is known of a set before keys are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is empty.
    Nothing,
    /// It may hold some of them.
    Some,
}

impl KeySet {
    pub(crate) fn new(step: StepId, info: &TableInfo, columns: &[String]) -> Self {
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        Self {
            step,
            name: name(&info.table, step, names.iter().copied()),
            columns: columns.to_vec(),
            table: info.id,
            whole: info.unique_on(&names),
        }
    }

    /// The set of those of its keys that other rows have as well, known as long as the transaction that found them.
    fn shared(&self) -> String {
        format!("{} shared", self.name)
    }

    /// The key of a row known as `alias`, as it is stored.
    pub(crate) fn key_of(&self, alias: &str) -> String {
        let texts: Vec<String> = self.columns.iter().map(|c| format!("{alias}.{}::text", Column::new(c))).collect();
        match texts.as_slice() {
            [only] => only.clone(),
            several => format!("ARRAY[{}]::text", several.join(", ")),
        }
    }

    /// The condition that a row known as `alias` has a whole key: a part that is NULL refers to nothing.
    pub(crate) fn is_key(&self, alias: &str) -> String {
        let set: Vec<String> = self.columns.iter().map(|c| format!("{alias}.{} IS NOT NULL", Column::new(c))).collect();
        set.join(" AND ")
    }

    /// The condition that a row known as `alias` has the key `k`, by the types of its columns.
    pub(crate) fn is_same(&self, alias: &str, info: &TableInfo) -> String {
        let types = self.columns.iter().map(|c| info.column(c).map_or("text", |c| c.type_name.as_str()));
        let values = values(types);
        let same: Vec<String> = self
            .columns
            .iter()
            .zip(values)
            .map(|(column, value)| format!("{alias}.{} = {value}", Column::new(column)))
            .collect();
        same.join(" AND ")
    }

    /// Where the keys come from, each known as `k.key`.
    pub(crate) fn from(&self, writer: &mut Writer) -> String {
        from(&self.name, writer)
    }

    /// Adds the keys of `rows`, a query with one column `key`.
    pub(crate) fn add(&self, rows: &str, known: Known, writer: &mut Writer) -> String {
        let mut others = Vec::new();
        if known == Known::Some {
            others.push(self.name.clone());
        }
        if !self.whole {
            others.push(self.shared());
        }
        let others: Vec<String> = others.iter().map(|name| format!("SELECT k.key {}", from(name, writer))).collect();
        let new = if others.is_empty() { rows.to_owned() } else { except(rows, &others.join(" UNION ALL ")) };
        let (table, erasure) = writer.captured_keys();
        format!(
            "INSERT INTO {table} (erasure, key_set, keys) SELECT {erasure}, {}, array_agg(s.key) FROM (SELECT n.key, row_number() OVER () / {CHUNK} AS chunk FROM ({new}) n) s GROUP BY s.chunk",
            literal(&self.name)
        )
    }

    /// The query for the keys of rows, to be added: `rows` is what stands behind `FROM`, and names them `alias`.
    pub(crate) fn keys_in(&self, alias: &str, rows: &str) -> String {
        let distinct = if self.whole { "" } else { "DISTINCT " };
        format!("SELECT {distinct}{} AS key FROM {rows}", self.key_of(alias))
    }

    /// Forgets each key that a row `t` of the table has for which a further condition holds, and returns how many. With `shared`
    /// it also remembers them, so that none of them is added again.
    pub(crate) fn forget(
        &self,
        info: &TableInfo,
        shared: bool,
        condition: impl FnOnce(&mut Writer) -> String,
        writer: &mut Writer,
    ) -> String {
        let from = self.from(writer);
        let same = self.is_same("t", info);
        let condition = condition(writer);
        let (table, erasure) = writer.captured_keys();
        let (name, remember) = (literal(&self.name), literal(&self.shared()));
        let chunks = format!("row_number() OVER () / {CHUNK} AS chunk");
        let remembered = if shared {
            format!(
                ", m AS (INSERT INTO {table} (erasure, key_set, keys) SELECT {erasure}, {remember}, array_agg(s.key) FROM (SELECT f.key, {chunks} FROM f) s GROUP BY s.chunk)"
            )
        } else {
            String::new()
        };
        // A join: without an index on part of a key, a subquery for each key would scan the table for each of them.
        format!(
            "WITH a AS MATERIALIZED (SELECT k.key, c.earlier {from}), f AS MATERIALIZED (SELECT DISTINCT k.key FROM a k JOIN {} t ON {same}{condition}), d AS (DELETE FROM {table} c WHERE c.erasure = {erasure} AND c.key_set = {name} AND EXISTS (SELECT FROM f)), l AS (SELECT u.key, bool_or(u.earlier) AS earlier FROM (SELECT a.key, a.earlier, true AS stays FROM a UNION ALL SELECT f.key, NULL, false FROM f) u WHERE EXISTS (SELECT FROM f) GROUP BY u.key HAVING bool_and(u.stays)), i AS (INSERT INTO {table} (erasure, key_set, earlier, keys) SELECT {erasure}, {name}, s.earlier, array_agg(s.key) FROM (SELECT l.key, l.earlier, {chunks} FROM l) s GROUP BY s.earlier, s.chunk){remembered} SELECT count(*) FROM f",
            info.table
        )
    }

    /// How many of the keys are of no row among `rows`, a query with one column `key`.
    pub(crate) fn missing(&self, rows: &str, writer: &mut Writer) -> String {
        let missing = except(&format!("SELECT k.key {}", self.from(writer)), rows);
        format!("SELECT count(*) FROM ({missing}) m")
    }
}

/// The keys of one query without those of another, each once. One aggregate, which may write to disk: nobody knows how many
/// captured keys there are, and a join that takes them for a few would compare each with each, or hash the others again and again.
/// Byte by byte: a sort by the rules of a language takes four times as long.
fn except(keys: &str, others: &str) -> String {
    format!(
        "SELECT u.key FROM (SELECT x.key COLLATE \"C\" AS key, true AS is_new FROM ({keys}) x UNION ALL SELECT y.key COLLATE \"C\", false FROM ({others}) y) u GROUP BY u.key HAVING bool_and(u.is_new)"
    )
}

/// The condition that these columns, as one row, are a key of a set; `types` are those of the columns. With `new`, a key that
/// this transaction has captured.
pub(crate) fn is_captured<'a>(
    left: &str,
    (table, step): (&Table, StepId),
    columns: impl Iterator<Item = &'a str>,
    types: impl Iterator<Item = &'a str>,
    new: bool,
    writer: &mut Writer,
) -> String {
    let values: Vec<String> = values(types).collect();
    let new = if new { " AND NOT c.earlier" } else { "" };
    format!("{left} IN (SELECT {} {}{new})", values.join(", "), from(&name(table, step, columns), writer))
}

fn name<'a>(table: &Table, step: StepId, columns: impl Iterator<Item = &'a str>) -> String {
    format!("{}#{step}({})", table.name(), columns.collect::<Vec<_>>().join(", "))
}

fn from(name: &str, writer: &mut Writer) -> String {
    let (table, erasure) = writer.captured_keys();
    format!(
        "FROM {table} c CROSS JOIN LATERAL unnest(c.keys) k(key) WHERE c.erasure = {erasure} AND c.key_set = {}",
        literal(name)
    )
}

/// The values of a key `k.key` as these types.
fn values<'a>(types: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let types: Vec<&str> = types.collect();
    let only = types.len() == 1;
    let value = move |(i, type_name): (usize, &str)| {
        if only { format!("k.key::{type_name}") } else { format!("(k.key::text[])[{}]::{type_name}", i + 1) }
    };
    let values: Vec<String> = types.into_iter().enumerate().map(value).collect();
    values.into_iter()
}
