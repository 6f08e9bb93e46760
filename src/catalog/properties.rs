//! What tables do or cost when rows are deleted: indexes, triggers and rules, from the catalogue.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row as _};

use super::foreign_keys::on_delete;
use super::tables::table_id;
use crate::db::statement::own;
use planner::catalog::{ByList, KeyBelow, Relation, Rule, TableId, TableProperties, Timing, Trigger};

const RELATIONS: &str = "SELECT c.oid AS id, c.relkind::text AS kind,
    ARRAY(SELECT k.conname::text FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0 AND NOT k.convalidated
        ORDER BY 1) AS not_valid,
    -- Of pg_class: the functions that ask for the size itself wait for locks.
    (WITH RECURSIVE part AS (
        SELECT c.oid
        UNION ALL
        SELECT i.inhrelid FROM part JOIN pg_inherits i ON i.inhparent = part.oid WHERE c.relkind = 'p'
    ) SELECT sum(GREATEST(r.relpages, 0))::bigint * current_setting('block_size')::bigint
        FROM part JOIN pg_class r ON r.oid = part.oid) AS size,
    CASE WHEN c.relispartition THEN (SELECT concat_ws('.', n.nspname, r.relname)
        FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE r.oid = pg_partition_root(c.oid)) END AS partition_of,
    (SELECT a.attname::text FROM pg_partitioned_table p
        JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
        WHERE p.partrelid = c.oid AND p.partstrat = 'l' AND p.partnatts = 1) AS list_column,
    pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid
        WHERE i.inhparent = c.oid AND NOT pg_has_role(h.relowner, 'USAGE')) AS owned,
    NOT EXISTS (SELECT FROM pg_inherits i
        WHERE i.inhparent = c.oid AND NOT has_table_privilege(i.inhrelid, 'TRUNCATE')) AS truncatable,
    ARRAY(SELECT concat_ws('.', n.nspname, h.relname)
        FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid JOIN pg_namespace n ON n.oid = h.relnamespace
        WHERE i.inhparent = c.oid AND NOT h.relispartition
        ORDER BY 1) AS inheritance_children
FROM pg_class c
WHERE c.oid = ANY($1)";

/// Relations with themselves and everything that they consist of: tables of views, and partitions.
const COMPONENTS: &str = "WITH RECURSIVE b AS (
    SELECT c.oid AS named, c.oid AS relation FROM pg_class c WHERE c.oid = ANY($1)
    UNION
    SELECT b.named, x.oid
    FROM b CROSS JOIN LATERAL (
        SELECT d.refobjid AS oid
        FROM pg_class v
            JOIN pg_rewrite r ON r.ev_class = v.oid
            JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_class'::regclass
        WHERE v.oid = b.relation AND v.relkind = 'v'
        UNION ALL
        SELECT i.inhrelid
        FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid AND p.relispartition
        WHERE i.inhparent = b.relation
    ) x
)
SELECT named, relation FROM b";

/// Tables of the plan that views read; `$1` and `$2` are the pairs of [`COMPONENTS`].
const READS: &str = "SELECT b.named AS id, concat_ws('.', n.nspname, c.relname) AS name
FROM unnest($1::oid[], $2::oid[]) b(named, relation)
    JOIN pg_class v ON v.oid = b.named AND v.relkind = 'v'
    JOIN pg_class c ON c.oid = b.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE b.relation <> b.named AND b.relation = ANY($3)
ORDER BY 1, 2";

/// Foreign tables among the components.
const FOREIGN: &str = "SELECT b.named AS id, concat_ws('.', n.nspname, c.relname) AS name
FROM unnest($1::oid[], $2::oid[]) b(named, relation)
    JOIN pg_class c ON c.oid = b.relation AND c.relkind = 'f'
    JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1, 2";

/// Foreign keys with an action that refer to the tables of views.
const KEYS_BELOW: &str = "SELECT b.named AS id, k.conname::text AS name, k.confdeltype::text AS on_delete,
    concat_ws('.', cn.nspname, c.relname) AS child, concat_ws('.', pn.nspname, p.relname) AS parent
FROM unnest($1::oid[], $2::oid[]) b(named, relation)
    JOIN pg_class v ON v.oid = b.named AND v.relkind = 'v'
    JOIN pg_constraint k ON k.confrelid = b.relation AND k.contype = 'f' AND k.conparentid = 0
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_class p ON p.oid = k.confrelid
    JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.confdeltype IN ('c', 'n', 'd')
ORDER BY 1, 2, 4";

/// Indexes that serve `=` on their first columns: valid, without a condition, of a kind that is searched by equality. The
/// columns end at the first expression. A partitioned table's index is valid once every partition has its part.
const INDEXES: &str = "SELECT i.indrelid AS id,
    (SELECT array_agg(a.attname::text ORDER BY u.o) FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.n
        WHERE u.o <= i.indnkeyatts AND 0 <> ALL ((i.indkey::int2[])[0:u.o - 1])) AS columns
FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = ANY($1) AND i.indisvalid AND i.indisready AND i.indpred IS NULL AND m.amname IN ('btree', 'hash')
ORDER BY i.indexrelid";

/// Bits of `tgtype` (`pg_trigger.h`): 1 for each row, 2 before, 8 DELETE, 64 instead. Clones on partitions are left out.
const TRIGGERS: &str = "SELECT b.named AS id, t.tgname::text AS name,
    quote_ident(n.nspname) || '.' || quote_ident(p.proname) AS function,
    t.tgtype & 1 <> 0 AS per_row, t.tgtype & 2 <> 0 AS before, t.tgtype & 64 <> 0 AS instead,
    t.tgenabled IN ('O', 'A') AS fires
FROM unnest($1::oid[], $2::oid[]) b(named, relation)
    JOIN pg_trigger t ON t.tgrelid = b.relation
    JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgtype & 8 <> 0
ORDER BY t.tgname, b.relation";

/// `ev_type` 4 is DELETE. An empty node list is written `<>`.
const RULES: &str = "SELECT r.ev_class AS id, r.rulename::text AS name, r.is_instead AS instead,
    r.ev_qual::text <> '<>' OR r.ev_action::text = '<>' AS partial, r.ev_enabled IN ('O', 'A') AS fires
FROM pg_rewrite r
WHERE r.ev_class = ANY($1) AND r.ev_type = '4'
ORDER BY r.rulename";

/// The properties of these tables; `plan_tables` are those of the plan.
pub(super) async fn properties(
    connection: &mut PgConnection,
    ids: Vec<Oid>,
    plan_tables: Vec<Oid>,
) -> Result<BTreeMap<TableId, TableProperties>, sqlx::Error> {
    let id = |row: &PgRow| table_id(row, "id");
    let mut all: BTreeMap<TableId, TableProperties> = BTreeMap::new();
    for row in own(RELATIONS).bind(ids.clone()).fetch_all(&mut *connection).await? {
        let kind: String = row.try_get("kind")?;
        let properties = all.entry(id(&row)?).or_default();
        properties.size = row.try_get("size")?;
        properties.not_valid = row.try_get("not_valid")?;
        properties.partition_of = row.try_get("partition_of")?;
        if let Some(column) = row.try_get("list_column")? {
            let (owned, truncatable) = (row.try_get("owned")?, row.try_get("truncatable")?);
            properties.by_list = Some(ByList { column, owned, truncatable });
        }
        properties.inheritance_children = row.try_get("inheritance_children")?;
        properties.relation = match kind.as_str() {
            "p" => Relation::Partitioned,
            "v" => Relation::View,
            "f" => Relation::Foreign,
            _ => Relation::Table,
        };
    }
    for row in own(INDEXES).bind(ids.clone()).fetch_all(&mut *connection).await? {
        // NULL if the index begins with an expression.
        if let Some(columns) = row.try_get("columns")? {
            all.entry(id(&row)?).or_default().indexes.push(columns);
        }
    }
    let (mut named, mut relations): (Vec<Oid>, Vec<Oid>) = (Vec::new(), Vec::new());
    for row in own(COMPONENTS).bind(ids.clone()).fetch_all(&mut *connection).await? {
        named.push(row.try_get("named")?);
        relations.push(row.try_get("relation")?);
    }
    let of_components = |sql: &'static str| own(sql).bind(named.clone()).bind(relations.clone());
    for row in of_components(TRIGGERS).fetch_all(&mut *connection).await? {
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
    for row in of_components(READS).bind(plan_tables).fetch_all(&mut *connection).await? {
        all.entry(id(&row)?).or_default().reads.push(row.try_get("name")?);
    }
    for row in of_components(FOREIGN).fetch_all(&mut *connection).await? {
        all.entry(id(&row)?).or_default().foreign.push(row.try_get("name")?);
    }
    for row in of_components(KEYS_BELOW).fetch_all(&mut *connection).await? {
        all.entry(id(&row)?).or_default().below.push(KeyBelow {
            name: row.try_get("name")?,
            child: row.try_get("child")?,
            parent: row.try_get("parent")?,
            on_delete: on_delete(row.try_get("on_delete")?)?,
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
