//! What tables do or cost when rows are deleted: indexes, triggers and rules, from the catalogue.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use super::bind::own;
use crate::domain::catalog::{Relation, Rule, TableId, Timing, Traits, Trigger};

const RELATIONS: &str = "SELECT c.oid AS id, c.relkind::text AS kind, \
    ARRAY(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0 \
        AND NOT k.convalidated ORDER BY 1) AS not_valid \
    FROM pg_class c WHERE c.oid = ANY($1)";

/// Indexes that serve `=` on their first columns: valid, without a condition, of a kind that is searched by equality.
/// An expression ends what is read of an index. A partitioned table's index is valid once every partition has its part.
const INDEXES: &str = "SELECT i.indrelid AS id, \
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(n, o) \
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n \
        WHERE u.o <= i.indnkeyatts AND 0 <> ALL ((i.indkey::int2[])[0:u.o - 1])) AS columns \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
    WHERE i.indrelid = ANY($1) AND i.indisvalid AND i.indisready AND i.indpred IS NULL AND m.amname IN ('btree', 'hash') \
    ORDER BY i.indexrelid";

/// Bits of `tgtype` (`pg_trigger.h`): 1 for each row, 2 before, 8 DELETE, 64 instead.
const TRIGGERS: &str = "SELECT t.tgrelid AS id, t.tgname::text AS name, \
    quote_ident(n.nspname) || '.' || quote_ident(p.proname) AS function, \
    t.tgtype & 1 <> 0 AS per_row, t.tgtype & 2 <> 0 AS before, t.tgtype & 64 <> 0 AS instead, \
    t.tgenabled IN ('O', 'A') AS fires \
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace \
    WHERE t.tgrelid = ANY($1) AND NOT t.tgisinternal AND t.tgtype & 8 <> 0 ORDER BY t.tgname";

/// `ev_type` 4 is DELETE. An empty node list is written `<>`.
const RULES: &str = "SELECT r.ev_class AS id, r.rulename::text AS name, r.is_instead AS instead, \
    r.ev_qual::text <> '<>' OR r.ev_action::text = '<>' AS partial, r.ev_enabled IN ('O', 'A') AS fires \
    FROM pg_rewrite r WHERE r.ev_class = ANY($1) AND r.ev_type = '4' ORDER BY r.rulename";

/// Reads them for these tables.
pub(super) async fn read(
    connection: &mut PgConnection,
    ids: Vec<Oid>,
) -> Result<BTreeMap<TableId, Traits>, sqlx::Error> {
    let id = |row: &PgRow| Ok::<_, sqlx::Error>(row.try_get::<Oid, _>("id")?.0);
    let mut all: BTreeMap<TableId, Traits> = BTreeMap::new();
    for row in own(RELATIONS).bind(ids.clone()).fetch_all(&mut *connection).await? {
        let kind: String = row.try_get("kind")?;
        let traits = all.entry(id(&row)?).or_default();
        traits.not_valid = row.try_get("not_valid")?;
        traits.relation = match kind.as_str() {
            "p" => Relation::Partitioned,
            "v" => Relation::View,
            "f" => Relation::Foreign,
            _ => Relation::Table,
        };
    }
    for row in own(INDEXES).bind(ids.clone()).fetch_all(&mut *connection).await? {
        // None: it begins with an expression.
        if let Some(columns) = row.try_get("columns")? {
            all.entry(id(&row)?).or_default().indexes.push(columns);
        }
    }
    for row in own(TRIGGERS).bind(ids.clone()).fetch_all(&mut *connection).await? {
        let timing = match (row.try_get("before")?, row.try_get("instead")?) {
            (true, _) => Timing::Before,
            (_, true) => Timing::Instead,
            _ => Timing::After,
        };
        all.entry(id(&row)?).or_default().triggers.push(Trigger {
            name: row.try_get("name")?,
            function: row.try_get("function")?,
            timing,
            per_row: row.try_get("per_row")?,
            fires: row.try_get("fires")?,
        });
    }
    for row in own(RULES).bind(ids).fetch_all(connection).await? {
        all.entry(id(&row)?).or_default().rules.push(Rule {
            name: row.try_get("name")?,
            instead: row.try_get("instead")?,
            partial: row.try_get("partial")?,
            fires: row.try_get("fires")?,
        });
    }
    Ok(all)
}
