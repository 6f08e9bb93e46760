//! What a quick check may cost: it searches rows by an index or in a small table.

use crate::catalog::{Catalog, Relation, TableId, TableInfo};

/// Largest size of a small table, in bytes: PostgreSQL scans it about as fast as it searches an index.
pub(super) const SMALL: u32 = 1 << 20;

/// How much a search for rows may cost.
#[derive(Clone, Copy)]
pub(super) enum Effort<'a> {
    /// Any amount: a deletion must not miss a row.
    Whole,
    /// No scan of a large table: nobody deletes yet, and the check is repeated for every organization.
    QuickCheck(&'a Catalog),
}

impl Effort<'_> {
    /// `count`, or 0 if no index serves one of these searches and the table is not small.
    pub(super) fn bounded<'c>(
        self,
        count: String,
        table: &TableInfo,
        searches: impl Iterator<Item = &'c [String]>,
    ) -> String {
        self.or_else(count, "0", table, searches)
    }

    /// `value`, or `otherwise` if no index serves one of these searches and the table is not small. The statement itself asks
    /// for the size: the estimate in the catalogue is 0 for a table that was never analyzed.
    pub(super) fn or_else<'c>(
        self,
        value: String,
        otherwise: &str,
        table: &TableInfo,
        mut searches: impl Iterator<Item = &'c [String]>,
    ) -> String {
        let Self::QuickCheck(catalog) = self else { return value };
        let properties = catalog.properties(table.id);
        if properties.is_some_and(|table| searches.all(|columns| table.indexed(columns))) {
            return value;
        }
        let TableId(id) = table.id;
        let size = if properties.is_some_and(|t| t.relation == Relation::Partitioned) {
            format!("(SELECT sum(pg_relation_size(t.relid)) FROM pg_partition_tree({id}) t)")
        } else {
            format!("pg_relation_size({id})")
        };
        // PostgreSQL runs a scalar subquery only if it needs the value.
        format!("CASE WHEN {size} <= {SMALL} THEN {value} ELSE {otherwise} END")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableProperties;
    use crate::fixtures;

    fn bounded(properties: Option<TableProperties>) -> String {
        let table = fixtures::table(TableId(7), "app", "notes", &[]);
        let catalog =
            Catalog { properties: properties.map(|t| (TableId(7), t)).into_iter().collect(), ..Catalog::default() };
        let searches = [["user_id".to_owned()]];
        Effort::QuickCheck(&catalog).bounded("(n)".into(), &table, searches.iter().map(<[String; 1]>::as_slice))
    }

    #[test]
    fn without_an_index_only_a_small_table_is_scanned() {
        let properties = |columns: &[&str], relation| TableProperties {
            indexes: vec![columns.iter().map(|c| (*c).to_owned()).collect()],
            relation,
            ..TableProperties::default()
        };
        assert_eq!(bounded(Some(properties(&["user_id", "id"], Relation::Table))), "(n)");
        let guarded = "CASE WHEN pg_relation_size(7) <= 1048576 THEN (n) ELSE 0 END";
        assert_eq!(bounded(Some(properties(&["id", "user_id"], Relation::Table))), guarded);
        assert_eq!(bounded(None), guarded, "the properties were not read");
        // A partitioned table has no rows of its own.
        assert!(bounded(Some(properties(&["id"], Relation::Partitioned))).contains("pg_partition_tree(7)"));
    }

    #[test]
    fn the_documentation_says_what_is_small() {
        let small = format!("in tables of up to {} MiB", SMALL >> 20);
        assert!(include_str!("../../../../docs/organization.md").contains(&small), "{small}");
    }
}
