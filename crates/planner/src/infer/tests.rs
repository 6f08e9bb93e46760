//! `signs` are tests of tables without a place.

mod signs;

use super::*;
use crate::catalog::{ForeignKey, OnDelete, TableId, TableInfo};
use crate::fixtures::{column, foreign_key, table};
use crate::plan::Step;

/// A schema: the first column of a table is its key, together with all that end with `!`; `column?` may be NULL, and all are
/// uuid unless `column:type`.
fn survey(tables: &[(&str, &[&str])], keys: &[(&str, &str, &str, OnDelete)]) -> Survey {
    let surveyed = |(i, (name, columns)): (usize, &(&str, &[&str]))| {
        let is_key = |(i, text): (usize, &&str)| (i == 0 || text.ends_with('!')).then_some(i);
        let keys: Vec<usize> = columns.iter().enumerate().filter_map(is_key).collect();
        let columns: Vec<_> =
            columns.iter().map(|t| column(t.trim_end_matches(['?', '!']), t.ends_with('?'))).collect();
        let unique_keys = vec![keys.into_iter().map(|i| columns[i].name.clone()).collect()];
        let id = TableId(u32::try_from(i).expect("small"));
        Surveyed {
            info: TableInfo { columns, unique_keys, ..table(id, "public", name, &[]) },
            visible: true,
            indexes: Vec::new(),
            generated: Vec::new(),
        }
    };
    let tables: Vec<Surveyed> = tables.iter().enumerate().map(surveyed).collect();
    let id = |name: &str| tables.iter().find(|t| t.written() == name).expect(name).id();
    let foreign_keys = keys
        .iter()
        .map(|(child, column, parent, on_delete)| {
            let name = format!("{child}_{column}_fkey");
            ForeignKey { on_delete: *on_delete, ..foreign_key(&name, id(child), column, id(parent)) }
        })
        .collect();
    Survey { tables, foreign_keys, values: Values::default() }
}

fn draft(tables: &[(&str, &[&str])], keys: &[(&str, &str, &str, OnDelete)]) -> Draft {
    infer(&survey(tables, keys), "organizations", None).expect("a draft")
}

/// Each step as `table < column`.
fn steps(draft: &Draft) -> Vec<String> {
    let by = |s: &Step| s.organization.clone().or_else(|| s.column.clone()).unwrap_or_default();
    draft.plan.steps.iter().map(|s| format!("{} < {}", s.table, by(s))).collect()
}

fn open(draft: &Draft) -> Vec<&str> {
    draft.plan.unclassified.iter().map(|u| u.table.as_str()).collect()
}

const NO: OnDelete = OnDelete::NoAction;
const ORGANIZATIONS: (&str, &[&str]) = ("organizations", &["id"]);

#[test]
fn not_null_comes_before_nullable_and_the_own_column_before_a_way_through_others() {
    let draft = draft(
        &[
            ORGANIZATIONS,
            ("users", &["id", "organization_id"]),
            ("flows", &["id", "organization_id", "created_by"]),
            ("runs", &["id", "organization_id?", "flow_id"]),
        ],
        &[
            ("users", "organization_id", "organizations", NO),
            ("flows", "organization_id", "organizations", NO),
            ("flows", "created_by", "users", NO),
            ("runs", "organization_id", "organizations", NO),
            ("runs", "flow_id", "flows", NO),
        ],
    );
    assert_eq!(steps(&draft), ["runs < flow_id", "flows < organization_id", "users < organization_id"]);
    assert_eq!(draft.plan.tenant_columns, ["organization_id"]);
    assert!(draft.plan.unclassified.is_empty() && draft.plan.global.is_empty());
}

#[test]
fn a_name_is_learned_from_two_foreign_keys_that_agree() {
    let tables: [(&str, &[&str]); 6] = [
        ORGANIZATIONS,
        ("projects", &["id:bigint", "org"]),
        ("a", &["id", "proj:bigint"]),
        ("b", &["id", "proj:bigint"]),
        ("logs", &["id", "proj:bigint"]),
        ("other", &["id", "proj:text"]),
    ];
    let mut keys =
        vec![("projects", "org", "organizations", NO), ("a", "proj", "projects", NO), ("b", "proj", "projects", NO)];
    let learned = draft(&tables, &keys);
    assert_eq!(steps(&learned), ["a < proj", "b < proj", "logs < proj", "projects < org"]);
    // Another type means something else, perhaps: a person decides.
    assert_eq!(open(&learned), ["other"]);

    keys.pop();
    let once = draft(&tables, &keys);
    assert_eq!(steps(&once), ["a < proj", "projects < org"]);
    assert_eq!(open(&once), ["b", "logs", "other"]);

    keys.push(("b", "proj", "organizations", NO));
    let disagreed = draft(&tables, &keys);
    assert_eq!(steps(&disagreed), ["a < proj", "b < proj", "projects < org"]);
    assert_eq!(open(&disagreed), ["logs", "other"]);
}

#[test]
fn a_name_alone_places_a_uuid_and_asks_about_a_number() {
    let draft = |flows: &[&str], runs: &[&str]| {
        draft(&[ORGANIZATIONS, ("flows", flows), ("runs", runs)], &[("flows", "organization_id", "organizations", NO)])
    };
    let uuid = draft(&["id", "organization_id"], &["id", "flow_id"]);
    assert_eq!(steps(&uuid), ["runs < flow_id", "flows < organization_id"]);
    let number = draft(&["id:bigint", "organization_id"], &["id", "flow_id:bigint"]);
    assert_eq!(steps(&number), ["flows < organization_id"]);
    assert_eq!(open(&number), ["runs"]);
    assert_eq!(number.suggestions[0].steps.len(), 1, "the step is ready to be taken over");
}

#[test]
fn rows_that_outlive_their_parent_are_a_question_and_so_are_their_child_rows() {
    let draft = draft(
        &[
            ORGANIZATIONS,
            ("flows", &["id", "organization_id"]),
            ("templates", &["id", "flow_id?"]),
            ("lines", &["id", "template"]),
            ("prices", &["id", "approved_by?"]),
            ("countries", &["id"]),
        ],
        &[
            ("flows", "organization_id", "organizations", NO),
            ("templates", "flow_id", "flows", OnDelete::SetNull),
            ("lines", "template", "templates", NO),
            ("prices", "approved_by", "flows", NO),
        ],
    );
    assert_eq!(steps(&draft), ["flows < organization_id"]);
    assert_eq!(open(&draft), ["templates", "lines", "prices"]);
    assert_eq!(draft.plan.global, ["countries"]);
}

#[test]
fn two_columns_with_the_same_right_are_a_question() {
    let draft = draft(
        &[ORGANIZATIONS, ("transfers", &["id", "source", "target"]), ("owned", &["id", "organization_id", "seller"])],
        &[
            ("transfers", "source", "organizations", NO),
            ("transfers", "target", "organizations", NO),
            ("owned", "organization_id", "organizations", NO),
            ("owned", "seller", "organizations", NO),
        ],
    );
    assert_eq!(steps(&draft), ["owned < organization_id"]);
    assert_eq!(open(&draft), ["transfers"]);
    assert_eq!(draft.suggestions[0].steps.len(), 2);
}

#[test]
fn a_reference_to_another_column_of_the_organization_is_a_question_without_a_step() {
    let mut survey = survey(
        &[("organizations", &["id", "slug"]), ("pages", &["id", "site"]), ("flows", &["id", "organization_id"])],
        &[("pages", "site", "organizations", NO), ("flows", "organization_id", "organizations", NO)],
    );
    survey.foreign_keys[0].parent_columns = vec!["slug".into()];
    let draft = infer(&survey, "organizations", None).expect("a draft");
    assert_eq!(steps(&draft), ["flows < organization_id"]);
    assert_eq!(open(&draft), ["pages"]);
    assert!(draft.suggestions[0].steps.is_empty(), "{:?}", draft.suggestions);
}

#[test]
fn tables_that_share_their_key_do_not_teach_that_every_id_is_a_parent() {
    let draft = draft(
        &[
            ORGANIZATIONS,
            ("users", &["id", "organization_id"]),
            ("profiles", &["id"]),
            ("settings", &["id"]),
            ("countries", &["id"]),
        ],
        &[
            ("users", "organization_id", "organizations", NO),
            ("profiles", "id", "users", NO),
            ("settings", "id", "users", NO),
        ],
    );
    assert_eq!(steps(&draft), ["profiles < id", "settings < id", "users < organization_id"]);
    assert_eq!(draft.plan.global, ["countries"]);
    assert!(draft.plan.unclassified.is_empty());
}

#[test]
fn switching_off_needs_exactly_one_column_that_can_be_meant() {
    let active = |columns: &[&str]| {
        let mut columns = columns.to_vec();
        columns.insert(0, "id");
        let mut survey = survey(&[("organizations", &columns)], &[]);
        survey.tables[0].generated = vec!["enabled".into()];
        let draft = infer(&survey, "organizations", None).expect("a draft");
        (draft.plan.organization.active.map(|a| a.column), draft.activation.len())
    };
    assert_eq!(active(&["is_active:boolean", "deleted_at:timestamp with time zone?"]), (Some("is_active".into()), 0));
    assert_eq!(active(&["deleted_at:timestamp with time zone?"]), (Some("deleted_at".into()), 0));
    assert_eq!(active(&["is_active:boolean", "suspended:boolean"]), (None, 2));
    assert_eq!(active(&["is_active:text", "enabled:boolean"]), (None, 0));
}

#[test]
fn a_missing_table_is_named_with_what_may_be_meant() {
    let survey = survey(&[("app_organizations", &["id"])], &[]);
    let failure = infer(&survey, "Organizations", None).expect_err("no such table");
    assert_eq!(failure.remedy(), "did you mean: app_organizations");
    let failure = infer(&survey, "app_organizations", Some("slug")).expect_err("no such key");
    assert!(failure.remedy().contains("--key"));
}
