use super::*;

const SET_NULL: OnDelete = OnDelete::SetNull;

/// The suggestions for a table, each in one line.
fn suggested(draft: &Draft, table: &str) -> Vec<String> {
    let at = open(draft).iter().position(|t| *t == table).unwrap_or_else(|| panic!("{table} is not unclassified"));
    let line = |s: &Step| {
        let Step { organization, parent, referenced_by, column, columns, .. } = s;
        let to = organization.as_ref().map(|c| format!("organization: {c}"));
        let to = to.or_else(|| parent.as_ref().map(|p| format!("parent: {p}")));
        let to = to.or_else(|| referenced_by.as_ref().map(|p| format!("referencedBy: {p}"))).unwrap_or_default();
        let pairs = columns.iter().map(|(c, p)| format!(" {c}={p}"));
        to + &column.iter().map(|c| format!(" {c}")).chain(pairs).collect::<String>()
    };
    draft.suggestions[at].steps.iter().map(line).collect()
}

fn why(draft: &Draft, table: &str) -> String {
    let found = draft.plan.unclassified.iter().find(|u| u.table == table);
    found.and_then(|u| u.why.clone()).unwrap_or_else(|| panic!("{table} is not unclassified"))
}

const TENANTS: (&str, &[&str]) = ("tenants", &["id"]);

fn drafted(tables: &[(&str, &[&str])], keys: &[(&str, &str, &str, OnDelete)]) -> Draft {
    infer(&survey(tables, keys), "tenants", None).expect("a draft")
}

#[test]
fn a_column_named_after_a_part_of_a_tables_name_is_a_sign_and_the_right_type_comes_first() {
    let draft = drafted(
        &[
            TENANTS,
            ("event", &["id", "tenant_id"]),
            ("v1_event", &["id:bigint", "tenant_id"]),
            ("v1_event_runs", &["event_id:bigint", "run!"]),
            ("dag_archive", &["id:bigint", "tenant_id"]),
            ("dag_notes", &["note:text", "parent_dag_id:bigint?"]),
            ("countries", &["code:text", "name:text"]),
            ("releases", &["v1_id:bigint", "eventful:text"]),
        ],
        &[("event", "tenant_id", "tenants", NO)],
    );
    assert_eq!(steps(&draft), ["dag_archive < tenant_id", "event < tenant_id", "v1_event < tenant_id"]);
    assert_eq!(open(&draft), ["v1_event_runs", "dag_notes"]);
    assert_eq!(suggested(&draft, "v1_event_runs"), ["parent: v1Event event_id"]);
    assert_eq!(why(&draft, "v1_event_runs"), "event_id may refer to `v1_event`, but only its name suggests it");
    // A role in front, and a suffix of the table's name left out; it may be NULL, and is a question all the same.
    assert_eq!(suggested(&draft, "dag_notes"), ["parent: dagArchive parent_dag_id"]);
    assert_eq!(draft.plan.global, ["countries", "releases"]);
}

#[test]
fn a_column_that_refers_to_several_tables_is_a_sign() {
    let draft = drafted(
        &[
            TENANTS,
            ("flows", &["id", "tenant_id"]),
            ("attachments", &["id", "attachable_type:text", "attachable_id"]),
            ("labels", &["id", "flow_id?", "labelType:text", "labelId"]),
            ("currencies", &["id", "type:text"]),
        ],
        &[("flows", "tenant_id", "tenants", NO), ("labels", "flow_id", "flows", NO)],
    );
    assert_eq!(open(&draft), ["attachments"]);
    assert_eq!(why(&draft, "attachments"), "attachable_type says to which table attachable_id refers");
    assert!(draft.suggestions[0].polymorphic && draft.suggestions[0].steps.is_empty());
    assert_eq!(draft.plan.global, ["currencies"]);
}

#[test]
fn a_uuid_that_two_tables_may_be_meant_by_places_nothing() {
    let draft = drafted(
        &[
            TENANTS,
            ("event", &["id", "tenant_id"]),
            ("v1_event", &["id", "tenant_id"]),
            ("v1_event_runs", &["id:bigint", "event_id"]),
            ("event_runs", &["id:bigint", "event_id"]),
        ],
        &[("event", "tenant_id", "tenants", NO)],
    );
    assert_eq!(steps(&draft), ["event_runs < event_id", "event < tenant_id", "v1_event < tenant_id"]);
    assert_eq!(suggested(&draft, "v1_event_runs"), ["parent: v1Event event_id", "parent: event event_id"]);
}

#[test]
fn composite_keys_are_suggested_as_far_as_they_are_there() {
    let when = "timestamp with time zone";
    let (at, seen) = (format!("inserted_at:{when}!"), format!("dag_inserted_at:{when}!"));
    let event = format!("seen_at:{when}!");
    let half = format!("event_seen_at:{when}!");
    let draft = drafted(
        &[
            TENANTS,
            ("v1_dag", &["id:bigint", &at, "tenant_id"]),
            ("v1_dag_data", &["dag_id:bigint", &seen, "input:text"]),
            ("events", &["tenant_id!", &event, "id:bigint!"]),
            ("event_runs", &["event_id:bigint", &half, "run"]),
        ],
        &[("v1_dag", "tenant_id", "tenants", NO), ("events", "tenant_id", "tenants", NO)],
    );
    assert_eq!(open(&draft), ["v1_dag_data", "event_runs"]);
    assert_eq!(suggested(&draft, "v1_dag_data"), ["parent: v1Dag dag_id=id dag_inserted_at=inserted_at"]);
    assert_eq!(suggested(&draft, "event_runs"), ["parent: events event_id=id event_seen_at=seen_at"]);
    let why = why(&draft, "event_runs");
    assert!(why.contains("are only part of its key (tenant_id, seen_at, id)"), "{why}");
}

#[test]
fn another_spelling_of_the_tenant_column_is_a_sign() {
    let draft = drafted(
        &[
            TENANTS,
            ("flows", &["id", "tenant_id"]),
            ("a", &["id:int", "tenantId:text"]),
            ("b", &["id:int", "TENANTID:text"]),
            ("c", &["id:int", "source_tenant_id:text?"]),
            ("d", &["id:int", "tenant_ids:bigint[]"]),
            ("e", &["id:int", "tenants:jsonb"]),
            ("f", &["id:int", "tenancy:text", "ids:bigint[]", "data:jsonb"]),
        ],
        &[("flows", "tenant_id", "tenants", NO)],
    );
    assert_eq!(open(&draft), ["a", "b", "c", "d", "e"]);
    assert_eq!(draft.plan.global, ["f"]);
    for (table, column) in [("a", "tenantId"), ("b", "TENANTID"), ("c", "source_tenant_id")] {
        assert_eq!(suggested(&draft, table), [format!("organization: {column}")], "{}", why(&draft, table));
    }
    // No step finds rows by what is inside an array.
    assert!(suggested(&draft, "d").is_empty() && draft.suggestions[3].inside && draft.suggestions[4].inside);
    assert_eq!(why(&draft, "d"), "tenant_ids (bigint[]) is named after the organization");
}

#[test]
fn values_are_asked_of_tables_without_a_place_and_answers_are_signs() {
    let mut survey = survey(
        &[
            TENANTS,
            ("flows", &["id", "tenant_id", "note:text"]),
            ("stores", &["id:bigint", "owners:uuid[]"]),
            ("outbox", &["id:bigint", "payload:jsonb", "about:text"]),
            ("lookup", &["code:text", "sort:integer"]),
        ],
        &[("flows", "tenant_id", "tenants", NO)],
    );
    let asked = questions(&survey, "tenants", None).expect("questions");
    let columns: Vec<Vec<&str>> =
        asked.tables.iter().map(|t| t.2.iter().map(|q| q.column.as_str()).collect()).collect();
    assert_eq!(columns, [vec!["owners"], vec!["payload", "about"], vec!["code"]], "flows has a place");
    assert_eq!(asked.names, ["tenant", "tenantid", "tenantids", "tenants", "tenantsid", "tenantsids", "tenantss"]);

    let id = |name: &str, survey: &Survey| survey.named(name).expect(name).id();
    let (stores, outbox, lookup) = (id("stores", &survey), id("outbox", &survey), id("lookup", &survey));
    survey.values.held =
        [(stores, ["owners".into()].into()), (outbox, ["payload".into(), "about".into()].into())].into();
    survey.values.unread = [(lookup, ["code".into()].into())].into();
    let draft = infer(&survey, "tenants", None).expect("a draft");
    assert_eq!(open(&draft), ["stores", "outbox"]);
    assert_eq!(why(&draft, "stores"), "elements of owners (uuid[]) are keys of `tenants`");
    assert!(why(&draft, "outbox").contains("values inside payload (jsonb) are keys of `tenants`"));
    assert_eq!(suggested(&draft, "outbox"), ["organization: about"]);
    assert_eq!(draft.unread, [Unread { table: "lookup".into(), columns: vec!["code".into()] }]);
}

#[test]
fn numbers_are_keys_only_where_a_name_says_so() {
    let survey = survey(
        &[
            ("organizations", &["id:bigint"]),
            ("flows", &["id:bigint", "organization_id:bigint"]),
            ("a", &["id:bigint", "flags:bigint[]", "note:text", "organization_ids:bigint[]", "data:jsonb"]),
        ],
        &[("flows", "organization_id", "organizations", NO)],
    );
    let asked = questions(&survey, "organizations", None).expect("questions");
    let columns: Vec<(&str, bool)> = asked.tables[0].2.iter().map(|q| (q.column.as_str(), q.named)).collect();
    assert_eq!(columns, [("organization_ids", true), ("data", false)]);
}

/// Users are global, and a membership ties them to organizations.
#[test]
fn people_are_a_question_with_the_reason_and_so_is_what_hangs_on_them() {
    let mut survey = survey(
        &[
            ("organizations", &["id:text"]),
            ("users", &["id:text", "email:text"]),
            ("memberships", &["organization_id:text", "user_id:text!"]),
            ("sessions", &["id:text", "user_id:text"]),
            ("api_tokens", &["id:text", "user_id:text", "organization_id:text?"]),
            ("features", &["id:text"]),
            ("flows", &["id:text", "organization_id:text", "feature:text"]),
        ],
        &[
            ("memberships", "organization_id", "organizations", NO),
            ("memberships", "user_id", "users", NO),
            ("sessions", "user_id", "users", NO),
            ("api_tokens", "user_id", "users", NO),
            ("api_tokens", "organization_id", "organizations", NO),
            ("flows", "organization_id", "organizations", NO),
            ("flows", "feature", "features", NO),
        ],
    );
    let draft = infer(&survey, "organizations", None).expect("a draft");
    assert_eq!(
        steps(&draft),
        ["api_tokens < organization_id", "flows < organization_id", "memberships < organization_id"]
    );
    assert_eq!(open(&draft), ["users", "sessions"]);
    assert_eq!(
        why(&draft, "users"),
        "rows of `memberships` refer to it by user_id; rows that belonged only to a deleted organization would stay"
    );
    assert_eq!(suggested(&draft, "users"), ["referencedBy: memberships user_id"]);
    assert_eq!(suggested(&draft, "sessions"), ["parent: users user_id"]);
    assert_eq!(draft.plan.global, ["features"]);

    // The organization that somebody used last is not the only one that they are in.
    let users = survey.tables[1].id();
    survey.tables[1].info.columns.push(column("last_organization_id:text", true));
    let key = foreign_key("last", users, "last_organization_id", survey.tables[0].id());
    survey.foreign_keys.push(key);
    let draft = infer(&survey, "organizations", None).expect("a draft");
    assert_eq!(open(&draft), ["users", "sessions"]);
    assert_eq!(suggested(&draft, "users"), ["referencedBy: memberships user_id", "organization: last_organization_id"]);

    // Without a membership the name says it.
    survey.tables[2].info.unique_keys = vec![vec!["organization_id".into()]];
    survey.tables[1].info.columns.pop();
    survey.foreign_keys.pop();
    let draft = infer(&survey, "organizations", None).expect("a draft");
    assert_eq!(suggested(&draft, "users"), ["referencedBy: apiTokens user_id"]);
}

#[test]
fn several_nullable_ways_are_several_steps() {
    let tables: [(&str, &[&str]); 5] = [
        TENANTS,
        ("projects", &["id", "tenant_id"]),
        ("keys", &["id", "tenant_id?", "project_id?"]),
        ("flows", &["id", "tenant_id?", "current_version_id?"]),
        ("flow_versions", &["id", "flow_id"]),
    ];
    let mut keys = vec![
        ("projects", "tenant_id", "tenants", NO),
        ("keys", "tenant_id", "tenants", NO),
        ("keys", "project_id", "projects", NO),
        ("flows", "tenant_id", "tenants", NO),
        ("flow_versions", "flow_id", "flows", NO),
        ("flows", "current_version_id", "flow_versions", NO),
    ];
    let draft = drafted(&tables, &keys);
    // A version says nothing about the flow that it belongs to.
    assert_eq!(
        steps(&draft),
        [
            "flows < tenant_id",
            "flow_versions < flow_id",
            "keys < tenant_id",
            "keys < project_id",
            "projects < tenant_id"
        ]
    );
    let entities: Vec<&str> = draft.plan.steps.iter().map(|s| s.entity.as_str()).collect();
    assert_eq!(entities[2], entities[3], "one table is counted once");
    draft.plan.validate().expect("a plan");
    let remarks = draft.remarks[2].join("; ");
    assert!(remarks.contains("rows where all are NULL belong to no organization"), "{remarks}");

    // A way in doubt is no step.
    keys[2] = ("keys", "project_id", "projects", SET_NULL);
    assert_eq!(steps(&drafted(&tables, &keys)).iter().filter(|s| s.starts_with("keys")).count(), 1);
}

#[test]
fn an_update_adds_what_the_plan_does_not_name_and_keeps_what_a_person_decided() {
    let tables: [(&str, &[&str]); 10] = [
        ("organizations", &["id"]),
        ("users", &["id", "organization_id"]),
        ("accounts", &["id"]),
        ("account_settings", &["id:int", "account_id"]),
        ("invoices", &["id", "organization_id"]),
        ("invoice_lines", &["id:int", "invoice_id"]),
        ("notes", &["id", "user_id"]),
        ("note_marks", &["id", "note_id"]),
        ("countries", &["code:text"]),
        ("doubted", &["id", "organization_id"]),
    ];
    let survey = survey(
        &tables,
        &[
            ("users", "organization_id", "organizations", NO),
            ("account_settings", "account_id", "accounts", NO),
            ("invoices", "organization_id", "organizations", NO),
            ("invoice_lines", "invoice_id", "invoices", NO),
            ("notes", "user_id", "users", NO),
            ("note_marks", "note_id", "notes", NO),
            ("doubted", "organization_id", "organizations", NO),
        ],
    );
    let plan: Plan = serde_yaml::from_str(
        "organization: {table: organizations, key: id}\n\
         steps: [{entity: people, table: users, organization: organization_id}, \
         {entity: notes, table: gone, organization: organization_id}]\n\
         keep: [{table: invoices, reason: law}]\n\
         global: [accounts, gone_too]\n\
         unclassified: [{table: doubted}]\n",
    )
    .expect("a plan");
    let update = update(&survey, &plan).expect("an update");
    let lines: Vec<String> = update
        .unclassified
        .iter()
        .zip(&update.suggestions)
        .map(|(u, s)| {
            let steps: Vec<String> = s
                .steps
                .iter()
                .map(|s| format!("{} < {}", s.entity, s.parent.clone().or(s.organization.clone()).unwrap_or_default()))
                .collect();
            format!("{}: {} [{}]", u.table, u.why.clone().unwrap_or_default(), steps.join(", "))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "invoice_lines: invoice_id refers to `invoices`, which the plan keeps []",
            // The entity `notes` is another table's in this plan.
            "notes: a new table: user_id refers to `users` [publicNotes < people]",
            "note_marks: a new table: note_id refers to `notes` [noteMarks < publicNotes]",
        ]
    );
    assert_eq!(update.global, ["account_settings", "countries"], "what belongs to global people is global");
    assert_eq!(update.unknown, ["gone", "gone_too"]);

    let whole: Plan = serde_yaml::from_str(
        "organization: {table: organizations, key: id}\n\
         steps: [{entity: users, table: users, organization: organization_id}]\n\
         global: ['public.*']\n",
    )
    .expect("a plan");
    let nothing = super::update(&survey, &whole).expect("an update");
    assert!(nothing.unclassified.is_empty() && nothing.global.is_empty(), "{nothing:?}");
}

#[test]
fn the_own_column_that_is_never_null_is_suggested_before_a_parent_that_may_be_missing() {
    let when = "timestamp with time zone";
    let (at, dag) = (format!("inserted_at:{when}!"), format!("dag_inserted_at:{when}?"));
    let mut survey = survey(
        &[
            ("organizations", &["id"]),
            ("flows", &["id", "organization_id"]),
            ("v1_dag", &["id:bigint", &at, "tenant_id"]),
            ("v1_task", &["id:bigint", "dag_id:bigint?", &dag, "tenant_id"]),
        ],
        &[("flows", "organization_id", "organizations", NO)],
    );
    let id = |name: &str| survey.named(name).expect(name).id();
    survey.values.held =
        [(id("v1_dag"), ["tenant_id".into()].into()), (id("v1_task"), ["tenant_id".into()].into())].into();
    let draft = infer(&survey, "organizations", None).expect("a draft");
    // A task without a dag would belong to nobody.
    assert_eq!(
        suggested(&draft, "v1_task"),
        ["organization: tenant_id", "parent: v1Dag dag_id=id dag_inserted_at=inserted_at"]
    );
}

#[test]
fn a_column_that_is_called_like_the_organization_is_a_sign_whatever_its_type() {
    let draft = drafted(
        &[
            TENANTS,
            ("flows", &["id", "tenant_id"]),
            ("a", &["id:int", "tenant:text?"]),
            ("b", &["id:int", "tenant:bigint"]),
            ("c", &["id:int", "owner_tenant:text"]),
            ("limits", &["id:int", "max_tenant:integer", "tenants:integer", "tenant:boolean"]),
        ],
        &[("flows", "tenant_id", "tenants", NO)],
    );
    assert_eq!(open(&draft), ["a", "b", "c"]);
    assert_eq!(draft.plan.global, ["limits"]);
    assert_eq!(why(&draft, "a"), "tenant (text) is named after the organization");
    assert_eq!(suggested(&draft, "c"), ["organization: owner_tenant"]);
}

/// Without a foreign key nobody keeps a user to whom a row of another organization refers.
#[test]
fn people_stay_while_a_column_without_a_foreign_key_refers_to_them() {
    let draft = drafted(
        &[
            TENANTS,
            ("users", &["id"]),
            ("memberships", &["tenant_id", "user_id!"]),
            ("teams", &["tenant_id", "user_id!"]),
            ("tasks", &["id", "tenant_id", "user_id?"]),
            ("devices", &["id", "user_id"]),
        ],
        &[
            ("memberships", "tenant_id", "tenants", NO),
            ("memberships", "user_id", "users", NO),
            ("teams", "tenant_id", "tenants", NO),
            ("teams", "user_id", "users", NO),
            ("tasks", "tenant_id", "tenants", NO),
        ],
    );
    assert_eq!(open(&draft), ["users", "devices"]);
    let step = &draft.suggestions[0].steps[0];
    let unless: Vec<String> = step.unless.iter().map(|r| format!("{}.{}", r.table, r.column)).collect();
    // Devices hang on the user, and go with them.
    assert_eq!(unless, ["tasks.user_id"]);
}

/// Deleting an organization must not delete the platform's coupons that it sponsored, unless a person says so.
#[test]
fn a_nullable_column_that_is_not_named_after_the_organization_is_a_question() {
    let draft = drafted(
        &[
            TENANTS,
            ("flows", &["id", "tenant_id?"]),
            ("coupons", &["id:int", "sponsor?"]),
            ("deals", &["id:int", "sold_by?", "bought_by?"]),
            ("stores", &["id:int", "owner"]),
            ("a", &["id", "org?"]),
            ("b", &["id", "org?"]),
        ],
        &[
            ("flows", "tenant_id", "tenants", NO),
            ("coupons", "sponsor", "tenants", NO),
            ("deals", "sold_by", "tenants", NO),
            ("deals", "bought_by", "tenants", NO),
            ("stores", "owner", "tenants", NO),
            ("a", "org", "tenants", NO),
            ("b", "org", "tenants", NO),
        ],
    );
    // Two tables agree about what `org` means.
    assert_eq!(steps(&draft), ["a < org", "b < org", "flows < tenant_id", "stores < owner"]);
    assert_eq!(open(&draft), ["coupons", "deals"]);
    assert_eq!(why(&draft, "coupons"), "sponsor is nullable and refers to `tenants`, but is not named after it");
    assert_eq!(suggested(&draft, "deals"), ["organization: sold_by", "organization: bought_by"]);
}

/// A table to which only rows of organizations refer may be a lookup table, or hold one row for each of them.
#[test]
fn global_tables_to_which_rows_of_an_organization_refer_are_said() {
    let draft = drafted(
        &[
            ("tenants", &["id", "address_id"]),
            ("addresses", &["id"]),
            ("secrets", &["id"]),
            ("flows", &["id", "tenant_id", "secret_id"]),
            ("countries", &["code:text"]),
        ],
        &[
            ("tenants", "address_id", "addresses", NO),
            ("flows", "tenant_id", "tenants", NO),
            ("flows", "secret_id", "secrets", NO),
        ],
    );
    assert_eq!(draft.plan.global, ["addresses", "countries", "secrets"]);
    let said: Vec<String> = draft.referred.iter().map(|r| format!("{} < {}", r.table, r.by.join(", "))).collect();
    assert_eq!(said, ["addresses < tenants", "secrets < flows"]);
}
