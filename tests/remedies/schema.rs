//! Findings about a schema, which are the same for every organization.

use std::sync::Arc;

use planner::Kind;

use super::situation::{Situation, Then, prove};
use super::stage::{Stage, plan};
use crate::support::{Need, World};

crate::tests![needs Need::Psql;
    missing_indexes_are_created,
    missing_protection_is_added,
    what_a_schema_forbids_is_changed,
    what_fires_on_a_delete_is_shown,
    rows_that_refer_to_nothing_are_shown_by_the_same_remedy,
];

async fn missing_indexes_are_created(world: Arc<World>) {
    let index = |name, sql, place| Situation::new(name, sql, Kind::Unindexed, place);
    let situations = [
        Situation {
            answers: &["CREATE INDEX"],
            ..index("a step without an index", "DROP INDEX runs_flow_id_idx", "public.runs (flow_id)")
        },
        Situation {
            steps: &["{entity: notes, table: 'Other One.No\"tes', columns: {Flow A: id, o: organization_id}, parent: flows}"],
            answers: &["CREATE INDEX"],
            ..index(
                "two columns with odd names",
                "CREATE SCHEMA \"Other One\"; GRANT USAGE ON SCHEMA \"Other One\" TO :role; ALTER TABLE flows ADD UNIQUE (id, organization_id);
                 CREATE TABLE \"Other One\".\"No\"\"tes\" (\"Flow A\" bigint, o text,
                    FOREIGN KEY (\"Flow A\", o) REFERENCES flows (id, organization_id))",
                "Other One.No\"tes (Flow A, o)",
            )
        },
        Situation {
            steps: &["{entity: notes, table: notes, organization: organization_id}"],
            answers: &["CREATE INDEX"],
            ..index(
                "a partitioned table",
                "CREATE TABLE notes (organization_id text REFERENCES organizations, n int) PARTITION BY LIST (n);
                 CREATE TABLE notes_1 PARTITION OF notes FOR VALUES IN (1); CREATE TABLE notes_2 PARTITION OF notes DEFAULT",
                "public.notes (organization_id)",
            )
        },
        Situation {
            rest: "keep: [{table: archive, reason: law}]",
            answers: &["CREATE INDEX"],
            ..index(
                "a kept table that is searched for references",
                "CREATE TABLE archive (author bigint REFERENCES users)",
                "public.archive (author)",
            )
        },
        Situation {
            answers: &["CREATE INDEX"],
            ..index(
                "an index that is not valid, and one with a condition",
                "DROP INDEX runs_flow_id_idx; CREATE INDEX runs_flow_id_idx ON runs (flow_id) WHERE id > 7;
                 CREATE INDEX broken ON runs (flow_id); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
                "public.runs (flow_id)",
            )
        },
        Situation {
            steps: &[
                "{entity: events, table: events, organization: organization_id}",
                "{entity: lines, table: lines, parent: events, columns: {event: id, n: n}}",
            ],
            says: "to prove that no other organization's row has the same part of the key",
            answers: &["CREATE INDEX"],
            ..index(
                "a parent of which part of the key is used",
                "CREATE TABLE events (organization_id text REFERENCES organizations, n int, id bigint, PRIMARY KEY (organization_id, n, id))
                    PARTITION BY LIST (n);
                 CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1); CREATE TABLE events_2 PARTITION OF events DEFAULT;
                 CREATE TABLE lines (event bigint, n int); CREATE INDEX ON lines (event, n)",
                "public.events (id, n)",
            )
        },
        Situation {
            steps: &[
                "{entity: members, table: members, organization: organization_id}",
                "{entity: people, table: people, referencedBy: members, column: person, unless: [{table: tokens, column: person}]}",
            ],
            answers: &["CREATE INDEX"],
            ..index(
                "a column that keeps people",
                "CREATE TABLE people (id text PRIMARY KEY);
                 CREATE TABLE members (organization_id text REFERENCES organizations, person text REFERENCES people);
                 CREATE INDEX ON members (organization_id); CREATE INDEX ON members (person); CREATE TABLE tokens (person text)",
                "public.tokens (person)",
            )
        },
        Situation {
            answers: &["CREATE INDEX"],
            ..index(
                "a tenant column that no step uses",
                "ALTER TABLE runs ADD organization_id text REFERENCES organizations; UPDATE runs SET organization_id = \
                    (SELECT organization_id FROM flows f WHERE f.id = flow_id)",
                "public.runs (organization_id)",
            )
        },
    ];
    prove(&world, &situations, false).await;
}

async fn missing_protection_is_added(world: Arc<World>) {
    let key = |name, sql, place| Situation::new(name, sql, Kind::Unprotected, place);
    let situations = [
        Situation {
            answers: &["ALTER TABLE"],
            ..key(
                "no foreign key",
                "ALTER TABLE runs DROP CONSTRAINT runs_flow_id_fkey",
                "public.runs (flow_id)",
            )
        },
        Situation {
            steps: &["{entity: notes, table: notes, parent: flows, columns: {a flow: id, o: organization_id}}"],
            answers: &["ALTER TABLE"],
            ..key(
                "two columns, against the order of the key",
                "ALTER TABLE flows ADD UNIQUE (organization_id, id);
                 CREATE TABLE notes (\"a flow\" bigint, o text); CREATE INDEX ON notes (o, \"a flow\")",
                "public.notes (a flow, o)",
            )
        },
        Situation {
            steps: &["{entity: notes, table: notes, organization: organization_id}"],
            answers: &["ALTER TABLE"],
            ..key(
                "a partitioned table",
                "CREATE TABLE notes (organization_id text, n int) PARTITION BY LIST (n); CREATE INDEX ON notes (organization_id);
                 CREATE TABLE notes_1 PARTITION OF notes FOR VALUES IN (1); CREATE TABLE notes_2 PARTITION OF notes DEFAULT;
                 INSERT INTO notes VALUES ('o''1', 1), ('o2', 2)",
                "public.notes (organization_id)",
            )
        },
        Situation {
            steps: &["{entity: notes, table: notes, parent: flows, column: flow_id}"],
            answers: &["ALTER TABLE"],
            ..key(
                "a key of one partition only",
                "CREATE TABLE notes (flow_id bigint, n int) PARTITION BY LIST (n); CREATE INDEX ON notes (flow_id);
                 CREATE TABLE notes_1 PARTITION OF notes FOR VALUES IN (1); CREATE TABLE notes_2 PARTITION OF notes DEFAULT;
                 ALTER TABLE notes_1 ADD FOREIGN KEY (flow_id) REFERENCES flows",
                "public.notes (flow_id)",
            )
        },
        Situation {
            steps: &["{entity: runs, table: runs, organization: o}"],
            answers: &["ALTER TABLE"],
            ..key(
                "the second way to a table",
                "ALTER TABLE runs ADD o text; CREATE INDEX ON runs (o)",
                "public.runs (o)",
            )
        },
        Situation {
            steps: &[
                "{entity: members, table: members, organization: organization_id}",
                "{entity: people, table: people, referencedBy: members, column: person}",
            ],
            answers: &["ALTER TABLE"],
            ..key(
                "memberships without a foreign key",
                "CREATE TABLE people (id text PRIMARY KEY); CREATE TABLE members (organization_id text, person text REFERENCES people);
                 CREATE INDEX ON members (organization_id); CREATE INDEX ON members (person)",
                "public.members (organization_id)",
            )
        },
        Situation {
            says: "the triggers of the constraint runs_flow_id_fkey are disabled",
            answers: &["ALTER TABLE", "ALTER TABLE"],
            ..key("triggers that are disabled", "ALTER TABLE flows DISABLE TRIGGER ALL", "public.runs (flow_id)")
        },
        Situation {
            answers: &["ALTER TABLE"],
            ..Situation::new(
                "a constraint that was never checked",
                "ALTER TABLE flows DROP CONSTRAINT flows_author_fkey;
                 ALTER TABLE flows ADD CONSTRAINT \"by whom\" FOREIGN KEY (author) REFERENCES users NOT VALID",
                Kind::NotValid,
                "public.flows (author)",
            )
        },
    ];
    prove(&world, &situations, false).await;
}

async fn what_a_schema_forbids_is_changed(world: Arc<World>) {
    let situations = [
        Situation {
            answers: &["DROP RULE"],
            ..Situation::new(
                "a rule that replaces deletes",
                "CREATE RULE \"Keep it\" AS ON DELETE TO flows DO INSTEAD NOTHING",
                Kind::DeleteRule,
                "public.flows",
            )
        },
        Situation {
            answers: &["ALTER TABLE"],
            steps: &["{entity: notes, table: notes, organization: o}"],
            ..Situation::new(
                "a column of another type",
                "CREATE TYPE key_of AS ENUM ('o''1', 'o2'); CREATE TABLE notes (o key_of); INSERT INTO notes VALUES ('o2');
                 CREATE INDEX ON notes (o)",
                Kind::PlanMismatch,
                "public.notes",
            )
        },
        Situation {
            answers: &["ALTER TABLE"],
            steps: &["{entity: notes, table: notes, organization: o}"],
            ..Situation::new(
                "a column with another collation",
                "CREATE COLLATION \"no case\" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                 CREATE TABLE notes (o text COLLATE \"no case\"); CREATE INDEX ON notes (o)",
                Kind::PlanMismatch,
                "public.notes",
            )
        },
        Situation {
            answers: &["ALTER TABLE"],
            ..Situation::new(
                "organizations whose key is not unique",
                "ALTER TABLE organizations DROP CONSTRAINT organizations_pkey CASCADE",
                Kind::PlanMismatch,
                "organizations",
            )
        },
        Situation {
            rest: "keep: [{table: archive, reason: law}]",
            answers: &["ALTER TABLE"],
            ..Situation::new(
                "a kept table that refers",
                "CREATE TABLE archive (author bigint CONSTRAINT \"Author\" REFERENCES users); CREATE INDEX ON archive (author)",
                Kind::KeptReference,
                "public.archive (author)",
            )
        },
        Situation {
            rest: "keep: [{table: archive, reason: law}]",
            answers: &["ALTER TABLE"],
            ..Situation::new(
                "a kept table of which one partition refers",
                "CREATE TABLE archive (author bigint, n int) PARTITION BY LIST (n); CREATE INDEX ON archive (author);
                 CREATE TABLE archive_1 PARTITION OF archive FOR VALUES IN (1);
                 ALTER TABLE archive_1 ADD CONSTRAINT of_one FOREIGN KEY (author) REFERENCES users",
                Kind::KeptReference,
                "public.archive (author)",
            )
        },
    ];
    prove(&world, &situations, false).await;
}

/// A function with a name that must be quoted, and a trigger on users.
macro_rules! trigger {
    ($when:literal) => {
        concat!(
            "CREATE SCHEMA \"Fun\"; CREATE FUNCTION \"Fun\".\"It's\"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
             CREATE TRIGGER \"On it\" ",
            $when,
            " EXECUTE FUNCTION \"Fun\".\"It's\"()"
        )
    };
}

async fn what_fires_on_a_delete_is_shown(world: Arc<World>) {
    const SHOWN: &[&str] =
        &["CREATE OR REPLACE FUNCTION \"Fun\".\"It's\"()", "..", "..", "AS $function$BEGIN RETURN OLD; END..", ""];
    let shown = |name, sql, kind| Situation {
        answers: SHOWN,
        then: Then::Stays,
        ..Situation::new(name, sql, kind, "public.users")
    };
    let situations = [
        shown(
            "a trigger that can suppress deletes",
            trigger!("BEFORE DELETE ON users FOR EACH ROW"),
            Kind::SuppressingTrigger,
        ),
        shown("a trigger that can write", trigger!("AFTER DELETE ON users FOR EACH STATEMENT"), Kind::WritingTrigger),
        Situation {
            answers: &["CREATE RULE \"It's kept\" AS", "..", "  VALUES (old.id);"],
            then: Then::Stays,
            ..Situation::new(
                "a rule that adds to the delete of the organization",
                "CREATE TABLE log (id text); GRANT INSERT ON log TO :role;
                 CREATE RULE \"It's kept\" AS ON DELETE TO organizations DO ALSO INSERT INTO log VALUES (OLD.id)",
                Kind::DeleteRule,
                "public.organizations",
            )
        },
    ];
    prove(&world, &situations, false).await;
}

/// The constraint cannot be added, or checked, before they are gone. The comment of its remedy shows them.
async fn rows_that_refer_to_nothing_are_shown_by_the_same_remedy(world: Arc<World>) {
    for (kind, sql) in [
        (
            Kind::Unprotected,
            "ALTER TABLE runs DROP CONSTRAINT runs_flow_id_fkey; INSERT INTO runs VALUES (8, 88), (9, 99)",
        ),
        (
            Kind::NotValid,
            "ALTER TABLE runs DROP CONSTRAINT runs_flow_id_fkey; INSERT INTO runs VALUES (8, 88), (9, 99);
             ALTER TABLE runs ADD FOREIGN KEY (flow_id) REFERENCES flows NOT VALID",
        ),
    ] {
        let stage = Stage::new(&world, sql).await;
        let plan = plan(&[], "");
        let found = stage.check(&plan, false).await;
        let [finding] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((finding.kind.as_str(), finding.blocks), (kind.as_str(), false), "{finding:#?}");
        let (alter, comment) = finding.remedy.split_once("-- ").expect("a comment");
        let (_, select) = comment.split_once("that refer to nothing: ").expect("what shows them");
        assert_eq!(stage.paste(select).await, ["8|88", "9|99"], "{select}");
        let (what, condition) = select.trim().trim_end_matches(';').split_once(" WHERE ").expect("a condition");
        let table = what.strip_prefix("SELECT c.* FROM ").expect("a table");
        assert_eq!(stage.paste(&format!("DELETE FROM {table} WHERE {condition};")).await, ["DELETE 2"]);
        assert_eq!(stage.paste(alter).await, ["ALTER TABLE"]);
        assert_eq!(stage.check(&plan, false).await, []);
        stage.erase(&plan).await.expect("erased");
        stage.close().await;
    }
}
