//! The statements of a page. Each costs by the page: rows that others belong to are looked up by their keys, one by one, and
//! PostgreSQL may not turn that into a join with all of them (`OFFSET 0`).

use std::collections::BTreeSet;

use super::super::exclusive;
use super::super::sequence::TableSteps;
use super::super::shared;
use super::Paging;
use super::range::{Range, bound};
use crate::cascade::{ByTids, Guard, PageStatements, PagedTable, TableSize, Walk};
use crate::catalog::{ForeignKey, Relation, TableInfo, TableProperties};
use crate::identifier::Column;
use crate::row_set::{KeySource, Link, RowSet, any_of, any_true};
use crate::statement::Writer;

/// Those of them that were locked.
const LOCKED: &str = "(t.tableoid, t.ctid) IN (SELECT l.o::oid, l.c::tid FROM unnest($4::text[], $5::text[]) l(o, c))";

/// These columns of a table or query known as `alias`.
fn listed<'c>(alias: &str, columns: impl IntoIterator<Item = &'c String>) -> String {
    columns.into_iter().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
}

/// One way from a row to the organization: through these parents, whose last one has the organization's key.
struct Path {
    links: Vec<Link>,
    /// The set of the last parent.
    end: RowSet,
}

impl<'a> Paging<'_, 'a> {
    /// Estimates how many rows of each table a deletion deletes. Rows that go because of rows that refer to them are not counted:
    /// only rounds of queries find them, and there are hardly more of them than of those.
    pub(in super::super) fn sizes(&self) -> Vec<TableSize> {
        let table = |same: &TableSteps<'_>| {
            let own = same.steps.iter().filter(|step| !exclusive::depends(self.steps, **step));
            let sets: Vec<&RowSet> = own.map(|step| &self.live[*step]).collect();
            if sets.is_empty() {
                return None;
            }
            let mut writer = Writer::default();
            let condition = any_of(&sets, "t", &KeySource::Bound, &mut writer);
            let rows = writer.finish(format!("SELECT 1 FROM {} t WHERE {condition}", same.info.table));
            Some(TableSize { table: self.steps.plan_table(same.first), rows })
        };
        self.sequence.tables().filter_map(table).collect()
    }

    pub(super) fn paged(&self, same: &TableSteps<'a>) -> PagedTable {
        let info = same.info;
        let repeats = self.keys_to(info.id).any(|key| key.child == info.id);
        let only_path = self.only_path(same).filter(|_| !repeats && !self.needs_lock(info.id));
        let by_parents = only_path.and_then(|path| self.by_parents(same, path));
        let (walk, walked, capture) = if let Some((link, _)) = &by_parents {
            let parent = self.steps[link.parent].info;
            (Walk::Parents { table: parent.table.name() }, parent, self.capture(parent, &[&link.rows]))
        } else {
            let rows: Vec<&RowSet> = same.steps.iter().map(|step| &self.live[*step]).collect();
            (Walk::Own, info, self.capture(info, &rows).filter(|_| !repeats))
        };
        let page = |range| match &by_parents {
            Some((link, rest)) => {
                PageStatements { guard: None, delete: self.delete_by_parents(same, link, rest, range) }
            }
            None => PageStatements {
                guard: self.needs_lock(info.id).then(|| self.guard(same, range)),
                delete: self.delete(same, range),
            },
        };
        PagedTable {
            table: self.steps.plan_table(same.first),
            walk,
            blocks: self.blocks(walked),
            by_blocks: page(Range::Blocks),
            by_tids: capture.map(|capture| ByTids { capture, page: page(Range::CapturedTids) }),
            repeats,
            triggers: self.catalog.properties(info.id).is_some_and(|t| t.triggers.iter().any(|trigger| trigger.fires)),
        }
    }

    /// The way from the rows of these steps to the organization, if there is one only and it leads to other rows.
    fn only_path(&self, same: &TableSteps<'_>) -> Option<Path> {
        let mut paths = same.steps.iter().flat_map(|step| paths(&self.live[*step]));
        let path = paths.next().filter(|path| !path.links.is_empty())?;
        paths.next().is_none().then_some(path)
    }

    /// The first and the other parents of this path, if its first parents are walked instead of the table. Returns `None` if no
    /// index finds the rows of a parent.
    fn by_parents(&self, same: &TableSteps<'a>, mut path: Path) -> Option<(Link, Path)> {
        let link = path.links.remove(0);
        let properties = self.catalog.properties(same.info.id)?;
        let others = self.steps[link.parent].info.id != same.info.id;
        (others && properties.indexed(&link.child_columns())).then_some((link, path))
    }

    fn blocks(&self, info: &TableInfo) -> String {
        let (id, block) = (info.id.0, "current_setting('block_size')::bigint");
        if self.catalog.properties(info.id).is_some_and(|t| t.relation == Relation::Partitioned) {
            format!(
                "SELECT COALESCE(max(pg_relation_size(t.relid)), 0) / {block} FROM pg_partition_tree({id}) t WHERE t.isleaf"
            )
        } else {
            format!("SELECT pg_relation_size({id}) / {block}")
        }
    }

    fn guard(&self, same: &TableSteps<'a>, range: Range) -> Guard {
        let (table, range) = (&same.info.table, range.contains("t"));
        let mut writer = bound();
        let inside = self.inside(same, &mut writer);
        let lock = format!(
            "SELECT COALESCE(array_agg(s.o::text), '{{}}'), COALESCE(array_agg(s.c::text), '{{}}') FROM \
             (SELECT t.tableoid AS o, t.ctid AS c FROM {table} t WHERE {range} AND {inside} FOR UPDATE) s"
        );
        // Rows of the plan that refer to the page keep what they refer to, and the last transaction judges them.
        let outside = self.keys_to(same.info.id).filter(|key| !self.is_of_plan(key.child));
        let outside: Vec<String> = outside.filter_map(|key| self.referred(key)).collect();
        let any = if outside.is_empty() { "false".to_owned() } else { format!("({})", outside.join(" OR ")) };
        let check = format!("SELECT count(*) FROM {table} t WHERE {range} AND {LOCKED} AND {any}");
        Guard { lock, check }
    }

    fn delete(&self, same: &TableSteps<'a>, range: Range) -> String {
        let mut writer = bound();
        let mut conditions = vec![range.contains("t")];
        if self.needs_lock(same.info.id) {
            conditions.push(LOCKED.to_owned());
        }
        let inside = self.inside(same, &mut writer);
        let also = self.go_now(same, &mut writer);
        conditions.push(if also.is_empty() {
            inside
        } else {
            // In this order: the rest is not asked of the rows of others, which may be most of the page.
            format!("CASE WHEN {inside} THEN {} ELSE false END", also.join(" AND "))
        });
        let delete = format!("DELETE FROM {} t WHERE {}", same.info.table, conditions.join(" AND "));

        let paths: Vec<Path> = same.steps.iter().flat_map(|step| paths(&self.live[*step])).collect();
        if paths.iter().all(|path| path.links.is_empty()) {
            // PostgreSQL checks the column again on a row that changed meanwhile.
            return format!("WITH d AS ({delete} RETURNING 1) SELECT count(*), 0::bigint, false FROM d");
        }
        let mut returned = BTreeSet::new();
        let (mut locks, mut belongs) = (Vec::new(), Vec::new());
        for (i, path) in paths.iter().enumerate() {
            if path.links.is_empty() {
                let direct = path.end.condition("t", &KeySource::Bound, &mut writer);
                returned.insert(format!("COALESCE({direct}, false) AS \"?{i}\""));
                belongs.push(format!("d.\"?{i}\""));
            } else {
                let (lock, found) = path.locked("d", &format!("l{i}"), &mut writer);
                returned.extend(path.first_columns().map(|column| format!("t.{column}")));
                locks.push(format!(", l{i} AS MATERIALIZED ({lock})"));
                belongs.push(found);
            }
        }
        format!(
            "WITH d AS ({delete} RETURNING {}){} SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM d WHERE NOT ({})), false",
            returned.into_iter().collect::<Vec<_>>().join(", "),
            locks.concat(),
            belongs.join(" OR "),
        )
    }

    /// The same by parents in the range, which are locked before their rows are looked for.
    fn delete_by_parents(&self, same: &TableSteps<'a>, link: &Link, rest: &Path, range: Range) -> String {
        let (table, mut writer) = (&same.info.table, bound());
        let inside = only_judged(&looked_up(&link.rows, "p", &KeySource::Bound, &mut writer));
        let keys: BTreeSet<String> = link.pairs.iter().map(|pair| pair.parent.to_string()).collect();
        let on: BTreeSet<String> = rest.first_columns().collect();
        let parents = format!(
            "SELECT {} FROM {} p WHERE {} AND {inside} FOR SHARE",
            listed("p", keys.union(&on)),
            link.table,
            range.contains("p")
        );
        let (locked, theirs) = if rest.links.is_empty() {
            (String::new(), String::new())
        } else {
            let (lock, found) = rest.locked("c", "l0", &mut writer);
            (format!(", l0 AS MATERIALIZED ({lock})"), format!(" WHERE {found}"))
        };
        let joined = RowSet::Through(vec![link.clone()]).joined("t", "k").unwrap_or_default();
        let found = [vec![joined], self.go_now(same, &mut writer)].concat().join(" AND ");
        let child: Vec<String> = link.pairs.iter().map(|pair| format!("t.{}", pair.child)).collect();
        let parent: Vec<String> = link.pairs.iter().map(|pair| pair.parent_value("k")).collect();
        let belongs = found_in(&child.join(", "), &parent.join(", "), "k");
        // Asked again of a row that changed meanwhile.
        let again = [vec![belongs], self.of_no_other(same, &mut writer)].concat().join(" AND ");
        format!(
            "WITH c AS MATERIALIZED ({parents}){locked}, k AS MATERIALIZED (SELECT {} FROM c{theirs}), \
             r AS MATERIALIZED (SELECT r.o, r.c FROM k CROSS JOIN LATERAL \
             (SELECT t.tableoid AS o, t.ctid AS c FROM {table} t WHERE {found} OFFSET 0) r LIMIT $4), \
             d AS (DELETE FROM {table} t WHERE t.ctid = ANY (ARRAY(SELECT r.c FROM r)) AND {} AND {again} RETURNING 1) \
             SELECT (SELECT count(*) FROM d), 0::bigint, (SELECT count(*) FROM r) >= $4",
            listed("c", &keys),
            found_in("t.tableoid, t.ctid", "r.o, r.c", "r"),
        )
    }

    /// The conditions for rows of the table known as `t` that belong to no other organization.
    fn of_no_other(&self, same: &TableSteps<'_>, writer: &mut Writer) -> Vec<String> {
        self.of_others(same, writer).into_iter().map(|others| format!("({others}) IS NOT TRUE")).collect()
    }

    /// The conditions for rows of the table known as `t` that do not wait for the last transaction.
    fn go_now(&self, same: &TableSteps<'_>, writer: &mut Writer) -> Vec<String> {
        let mut conditions = self.of_no_other(same, writer);
        let by_plan = self.keys_to(same.info.id).filter(|key| self.is_of_plan(key.child));
        let still: BTreeSet<String> = by_plan.filter_map(|key| self.referred(key)).collect();
        conditions.extend(still.into_iter().map(|referred| format!("NOT {referred}")));
        conditions
    }

    /// The tenant predicate for the table known as `t`. It finds no rows: they are found by their place.
    fn inside(&self, same: &TableSteps<'_>, writer: &mut Writer) -> String {
        let sets = same.steps.iter().map(|step| looked_up(&self.live[*step], "t", &KeySource::Bound, writer));
        only_judged(&any_true(&sets.collect::<Vec<_>>()))
    }

    /// The conditions for rows of the table known as `t` that belong to another organization as well.
    fn of_others(&self, same: &TableSteps<'_>, writer: &mut Writer) -> Vec<String> {
        let ways: Vec<RowSet> = same.steps.iter().flat_map(|step| self.live[*step].ways()).collect();
        let mut others = if ways.len() > 1 { ways } else { Vec::new() };
        others.extend(shared::unused(self.tenant_columns, self.steps, same.info, self.catalog, self.root));
        others.iter().map(|way| looked_up(way, "t", &KeySource::Others, writer)).collect()
    }

    /// The condition that another row refers by this key to a row of the table known as `t`.
    fn referred(&self, key: &ForeignKey) -> Option<String> {
        let child = self.catalog.table(key.child)?;
        let pairs = key.child_columns.iter().zip(&key.parent_columns);
        let mut same: Vec<String> =
            pairs.map(|(child, parent)| format!("r.{} = t.{}", Column::new(child), Column::new(parent))).collect();
        if key.child == key.parent {
            // A row that refers to itself does not keep itself.
            same.push("(r.tableoid, r.ctid) <> (t.tableoid, t.ctid)".to_owned());
        }
        let indexed = |t: &TableProperties| t.indexed(&key.child_columns);
        // Without an index, one scan of the table for the whole page is the best there is.
        let row_by_row = self.catalog.properties(key.child).is_none_or(indexed);
        let once = if row_by_row { " OFFSET 0" } else { "" };
        Some(format!(
            "EXISTS (SELECT FROM {} r WHERE {}{once})",
            self.catalog.rows_with_keys(child),
            same.join(" AND ")
        ))
    }

    fn is_of_plan(&self, table: crate::catalog::TableId) -> bool {
        table == self.root.id || self.steps.of_table(table).next().is_some()
    }
}

/// The condition of a set for a table known as `alias`, with a search by key for each row.
fn looked_up(set: &RowSet, alias: &str, key: &KeySource, writer: &mut Writer) -> String {
    let RowSet::Through(_) = set else { return set.condition(alias, key, writer) };
    let inner = format!("{alias}p");
    let mut each = Vec::new();
    for way in set.ways() {
        let RowSet::Through(links) = &way else { continue };
        for link in links {
            let joined = way.joined(alias, &inner).unwrap_or_else(|| "false".to_owned());
            let rows = looked_up(&link.rows, &inner, key, writer);
            each.push(format!("EXISTS (SELECT FROM {} {inner} WHERE {joined} AND {rows} OFFSET 0)", link.table));
        }
    }
    any_true(&each)
}

/// The same condition, which PostgreSQL cannot use to find rows: by an index it would pass all rows of the organization that
/// earlier pages deleted, in each page again.
fn only_judged(condition: &str) -> String {
    format!("({condition}) IS TRUE")
}

/// Every way from a row of this set to the organization.
fn paths(set: &RowSet) -> Vec<Path> {
    let RowSet::Through(links) = set else { return vec![Path { links: Vec::new(), end: set.clone() }] };
    let mut all = Vec::new();
    for link in links {
        for mut path in paths(&link.rows) {
            path.links.insert(0, link.clone());
            all.push(path);
        }
    }
    all
}

impl Path {
    /// The columns of a row that lead to the first parent, quoted.
    fn first_columns(&self) -> impl Iterator<Item = String> {
        self.links.iter().take(1).flat_map(|link| link.pairs.iter().map(|pair| pair.child.to_string()))
    }

    /// A query that locks the parents of the rows of `source` and their parents, up to the organization, as far as they are
    /// the organization's now: PostgreSQL checks that again on a parent that changed meanwhile. And the condition that a row
    /// of `source` belongs to one of them. `FOR SHARE` keeps a parent from moving to another organization before COMMIT.
    fn locked(&self, source: &str, name: &str, writer: &mut Writer) -> (String, String) {
        let columns: Vec<String> = self.first_columns().collect();
        let mut from = format!("(SELECT DISTINCT {} FROM {source}) p0", listed(source, &columns));
        for (i, link) in self.links.iter().enumerate() {
            let joined = RowSet::Through(vec![link.clone()]).joined(&format!("p{i}"), "p").unwrap_or_default();
            let (selected, last) = if let Some(next) = self.links.get(i + 1) {
                let next: BTreeSet<String> = next.pairs.iter().map(|pair| format!("p.{}", pair.child)).collect();
                (next.into_iter().collect::<Vec<_>>().join(", "), String::new())
            } else {
                let end = self.end.condition("p", &KeySource::Bound, writer);
                (String::new(), format!(" AND {end}"))
            };
            from.extend([format!(
                " CROSS JOIN LATERAL (SELECT {selected} FROM {} p WHERE {joined}{last} FOR SHARE) p{}",
                link.table,
                i + 1
            )]);
        }
        let found = found_in(&listed(source, &columns), &listed(name, &columns), name);
        (format!("SELECT {} FROM {from}", listed("p0", &columns)), found)
    }
}

/// The condition that these values are a row of a query with a name, to be looked up in a hash table: PostgreSQL cannot know how
/// many rows it has, and may not turn that into a loop over all of them.
fn found_in(values: &str, columns: &str, query: &str) -> String {
    format!("COALESCE(({values}) IN (SELECT {columns} FROM {query}), false)")
}
