//! Findings about the rows of one organization.

use std::sync::Arc;

use planner::Kind;

use super::situation::{Situation, Then, prove};
use super::stage::{KEY, Stage, plan};
use crate::support::{Need, World};

crate::tests![needs Need::Psql;
    rows_that_refer_from_outside_are_cleared,
    rows_of_two_organizations_are_shown,
    rows_that_hang_on_part_of_a_key_are_shown,
    rows_that_refer_to_what_hangs_on_people_are_cleared,
    rows_of_nobody_are_shown,
    several_remedies_are_pasted_at_once,
];

async fn rows_that_refer_from_outside_are_cleared(world: Arc<World>) {
    let from_outside = |name, sql, place| Situation::new(name, sql, Kind::ReferenceFromOutside, place);
    let situations = [
        Situation {
            says: "2 rows in `public.notes` refer",
            answers: &["DELETE 2"],
            ..from_outside(
                "a table that the plan does not name",
                "CREATE TABLE notes (run bigint REFERENCES runs); CREATE INDEX ON notes (run); INSERT INTO notes VALUES (1), (2), (3)",
                "public.notes",
            )
        },
        Situation {
            says: "2 rows in `Other One.No\"tes` refer",
            answers: &["DELETE 2"],
            ..from_outside(
                "two columns and odd names, to the organization itself",
                "CREATE SCHEMA \"Other One\"; GRANT USAGE ON SCHEMA \"Other One\" TO :role; ALTER TABLE organizations ADD \"A b\" int DEFAULT 7;
                 ALTER TABLE organizations ADD UNIQUE (id, \"A b\");
                 CREATE TABLE \"Other One\".\"No\"\"tes\" (o text, \"A b\" int,
                    CONSTRAINT \"it's\" FOREIGN KEY (o, \"A b\") REFERENCES organizations (id, \"A b\") ON DELETE CASCADE);
                 CREATE INDEX ON \"Other One\".\"No\"\"tes\" (o, \"A b\");
                 INSERT INTO \"Other One\".\"No\"\"tes\" VALUES ('o''1', 7), ('o''1', 7), ('o2', 7), (NULL, 7)",
                "Other One.No\"tes",
            )
        },
        Situation {
            rest: "keep: [{table: archive, reason: law}]",
            says: "2 rows in `public.archive`, which the plan keeps, refer",
            answers: &["UPDATE 2"],
            ..from_outside(
                "a kept table",
                "CREATE TABLE archive (id int, author bigint REFERENCES users); CREATE INDEX ON archive (author);
                 INSERT INTO archive VALUES (1, 1), (2, 2), (3, 3)",
                "public.archive",
            )
        },
        Situation {
            rest: "keep: [{table: archive, reason: law}]",
            says: "1 row in `public.archive`, which the plan keeps, refers",
            answers: &["UPDATE 1"],
            ..from_outside(
                "a kept table of which one partition refers",
                "CREATE TABLE archive (author bigint, n int) PARTITION BY LIST (n); CREATE INDEX ON archive (author);
                 CREATE TABLE archive_1 PARTITION OF archive FOR VALUES IN (1); CREATE TABLE archive_2 PARTITION OF archive DEFAULT;
                 ALTER TABLE archive_1 ADD FOREIGN KEY (author) REFERENCES users; INSERT INTO archive VALUES (1, 1), (99, 2)",
                "public.archive",
            )
        },
        Situation {
            rest: "keep: [{table: archive, reason: law}]",
            says: "2 rows in `public.archive`, which the plan keeps, refer",
            answers: &["1|1", "2|2"],
            then: Then::Decide("ALTER TABLE archive ALTER author DROP NOT NULL; UPDATE archive SET author = NULL WHERE author < 3"),
            ..from_outside(
                "a kept table whose column must not be NULL",
                "CREATE TABLE archive (id int, author bigint NOT NULL REFERENCES users); CREATE INDEX ON archive (author);
                 INSERT INTO archive VALUES (1, 1), (2, 2), (3, 3)",
                "public.archive",
            )
        },
        Situation {
            says: "1 row in `public.flows` of other organizations refers to `public.users`",
            answers: &["3|o2|1"],
            then: Then::Decide("UPDATE flows SET author = 3 WHERE id = 3"),
            ..from_outside("a row of another organization", "UPDATE flows SET author = 1 WHERE id = 3", "public.flows")
        },
        Situation {
            steps: &["{entity: notes, table: notes, organization: o}"],
            says: "1 row in `public.notes` of other organizations refers",
            answers: &["2|o2|1"],
            then: Then::Decide("UPDATE notes SET reply_to = NULL WHERE id = 2"),
            ..from_outside(
                "a key whose type begins as the placeholder",
                "CREATE TYPE keys AS ENUM ('o''1', 'o2');
                 ALTER TABLE flows DROP CONSTRAINT flows_organization_id_fkey; ALTER TABLE users DROP CONSTRAINT users_organization_id_fkey;
                 ALTER TABLE organizations ALTER id TYPE keys USING id::keys;
                 ALTER TABLE users ALTER organization_id TYPE keys USING organization_id::keys, ADD FOREIGN KEY (organization_id) REFERENCES organizations;
                 ALTER TABLE flows ALTER organization_id TYPE keys USING organization_id::keys, ADD FOREIGN KEY (organization_id) REFERENCES organizations;
                 CREATE TABLE notes (id bigint PRIMARY KEY, o keys REFERENCES organizations, reply_to bigint REFERENCES notes);
                 CREATE INDEX ON notes (o); CREATE INDEX ON notes (reply_to);
                 INSERT INTO notes VALUES (1, 'o''1', NULL), (2, 'o2', 1)",
                "public.notes",
            )
        },
    ];
    prove(&world, &situations, true).await;
}

async fn rows_of_two_organizations_are_shown(world: Arc<World>) {
    let situations = [
        Situation {
            steps: &["{entity: runs, table: runs, organization: o}"],
            says: "1 row of `public.runs` belongs to this organization by one column",
            answers: &["2|2|o2"],
            then: Then::Decide("UPDATE runs SET o = 'o''1' WHERE id = 2"),
            ..Situation::new(
                "two steps that disagree",
                "ALTER TABLE runs ADD o text REFERENCES organizations; CREATE INDEX ON runs (o);
                 UPDATE runs SET o = 'o2' WHERE id IN (2, 3)",
                Kind::SharedRows,
                "public.runs",
            )
        },
        Situation {
            says: "2 rows of `public.runs` belong to this organization by one column",
            answers: &["1|1|o2", "3|3|o'1"],
            then: Then::Decide("UPDATE runs SET organization_id = CASE id WHEN 3 THEN 'o2' ELSE 'o''1' END"),
            ..Situation::new(
                "a tenant column that no step uses",
                "ALTER TABLE runs ADD organization_id text REFERENCES organizations; CREATE INDEX ON runs (organization_id);
                 UPDATE runs SET organization_id = CASE id WHEN 1 THEN 'o2' WHEN 2 THEN NULL ELSE 'o''1' END",
                Kind::SharedRows,
                "public.runs",
            )
        },
    ];
    prove(&world, &situations, true).await;
}

async fn rows_that_hang_on_part_of_a_key_are_shown(world: Arc<World>) {
    const EVENTS: &str = "CREATE TABLE events (organization_id text REFERENCES organizations, n int, id bigint, PRIMARY KEY (organization_id, n, id))
            PARTITION BY LIST (n);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1); CREATE TABLE events_2 PARTITION OF events DEFAULT;
        CREATE INDEX ON events (n, id); CREATE TABLE lines (id int, event bigint, n int); CREATE INDEX ON lines (event, n);
        INSERT INTO events VALUES ('o''1', 1, 1), ('o''1', 1, 2), ('o''1', 2, 3), ('o2', 1, 1), ('o2', 2, 3);
        INSERT INTO lines VALUES (1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 4, 2)";
    let situations = [Situation {
        steps: &[
            "{entity: events, table: events, organization: organization_id}",
            "{entity: lines, table: lines, parent: events, columns: {event: id, n: n}}",
        ],
        says: "2 rows of `public.lines` refer by (event, n)",
        answers: &["1|1|1", "3|3|2"],
        then: Then::Decide("DELETE FROM events WHERE organization_id = 'o2'"),
        ..Situation::new("an event of two organizations", EVENTS, Kind::AmbiguousRows, "public.lines (event, n)")
    }];
    prove(&world, &situations, true).await;
}

async fn rows_that_refer_to_what_hangs_on_people_are_cleared(world: Arc<World>) {
    const PEOPLE: &str = "CREATE TABLE people (id text PRIMARY KEY);
        CREATE TABLE members (organization_id text REFERENCES organizations, person text REFERENCES people);
        CREATE INDEX ON members (organization_id); CREATE INDEX ON members (person);
        CREATE TABLE sessions (id int PRIMARY KEY, person text REFERENCES people); CREATE INDEX ON sessions (person);
        CREATE TABLE notes (session int REFERENCES sessions); CREATE INDEX ON notes (session);
        INSERT INTO people VALUES ('alone'), ('shared'), ('theirs');
        INSERT INTO members VALUES ('o''1', 'alone'), ('o''1', 'shared'), ('o2', 'shared'), ('o2', 'theirs');
        INSERT INTO sessions VALUES (1, 'alone'), (2, 'shared'), (3, 'theirs'); INSERT INTO notes VALUES (1), (1), (2), (3)";
    let situations = [Situation {
        steps: &[
            "{entity: members, table: members, organization: organization_id}",
            "{entity: people, table: people, referencedBy: members, column: person}",
            "{entity: sessions, table: sessions, parent: people, column: person}",
        ],
        says: "2 rows in `public.notes` refer to `public.sessions`",
        answers: &["DELETE 2"],
        ..Situation::new("notes of a session", PEOPLE, Kind::ReferenceFromOutside, "public.notes")
    }];
    prove(&world, &situations, true).await;
}

async fn rows_of_nobody_are_shown(world: Arc<World>) {
    let situations = [Situation {
        steps: &[
            "{entity: notes, table: notes, organization: organization_id}",
            "{entity: notes, table: notes, parent: flows, column: flow}",
        ],
        says: "2 rows of `public.notes` belong to no organization",
        answers: &["3||", "4||"],
        then: Then::Decide("DELETE FROM notes WHERE id IN (3, 4)"),
        ..Situation::new(
            "rows with NULL in every way",
            "CREATE TABLE notes (id int, organization_id text REFERENCES organizations, flow bigint REFERENCES flows);
             CREATE INDEX ON notes (organization_id); CREATE INDEX ON notes (flow);
             INSERT INTO notes VALUES (1, 'o''1', NULL), (2, NULL, 3), (3, NULL, NULL), (4, NULL, NULL)",
            Kind::NobodysRows,
            "public.notes (organization_id, flow)",
        )
    }];
    prove(&world, &situations, false).await;
}

/// All that a failed deletion shows, in one go, comments included.
async fn several_remedies_are_pasted_at_once(world: Arc<World>) {
    let stage = Stage::new(
        &world,
        "CREATE TABLE notes (run bigint REFERENCES runs, author bigint REFERENCES users); INSERT INTO notes VALUES (1, 3), (3, 2), (3, 3);
         CREATE TABLE archive (author bigint REFERENCES users); INSERT INTO archive VALUES (1), (3)",
    )
    .await;
    let plan = plan(&[], "keep: [{table: archive, reason: law}]");
    let failure = stage.erase(&plan).await.expect_err("it is blocked");
    assert!(failure.message().contains("3 foreign keys"), "{KEY}: {failure}");
    let remedy = failure.remedy.expect("a remedy");
    let mut answers = stage.paste(&remedy).await;
    answers.sort_unstable();
    assert_eq!(answers, ["DELETE 1", "DELETE 1", "UPDATE 1"], "{remedy}");
    stage.erase(&plan).await.expect("erased");
    assert_eq!(stage.number("SELECT count(*) + (SELECT count(*) FROM archive) FROM notes").await, 1 + 2);
    stage.close().await;
}
