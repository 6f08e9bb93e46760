//! What the schema refuses.

use std::sync::Arc;

use organization_operator::api::Reason;

use super::case::{Case, prove};
use super::stage::Via;
use crate::database_errors::on;
use crate::support::{Test, Variant, World};

pub fn tests() -> Vec<Test> {
    on![(Via::Default, "default"), (Via::Eighteen, "postgresql_18");
        foreign_keys, constraints, triggers_that_raise, triggers_that_suppress, triggers_that_write_again,
    ]
}

/// A trigger that writes a row outside of the plan while the cascade runs, after the preflight.
macro_rules! annotating {
    ($column:literal) => {
        concat!(
            "CREATE TABLE notes (user_id uuid ",
            $column,
            ", body text DEFAULT 'canary note');
             GRANT SELECT ON notes TO organization_operator; GRANT UPDATE (id) ON users TO organization_operator;
             CREATE FUNCTION annotate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO notes SELECT id FROM users WHERE organization_id = ':key' LIMIT 1; RETURN OLD; END $$;
             CREATE TRIGGER annotate BEFORE DELETE ON task_statuses FOR EACH ROW EXECUTE FUNCTION annotate()"
        )
    };
}

const NO_NOTES: &str = "DROP TRIGGER annotate ON task_statuses; DROP FUNCTION annotate; DROP TABLE notes";

async fn foreign_keys(world: Arc<World>, via: Via) {
    let mut restrict = Case::new(
        "a reference with RESTRICT that appears while deleting",
        Reason::ForeignKeyViolation,
        annotating!("CONSTRAINT note_author REFERENCES users ON DELETE RESTRICT"),
        NO_NOTES,
    )
    .state("23503")
    .at("users", "public.notes")
    .constraint("note_author")
    .says(&["rows in `public.notes` still refer to", "note_author", "deleting from the table `public.users`"])
    .remedy(&["next attempt"]);
    restrict.sql_state_18 = Some("23001");
    let cases = vec![
        every_action(),
        restrict,
        Case::new(
            "a reference that is checked at COMMIT and appears while deleting",
            Reason::ContentChanged,
            annotating!("CONSTRAINT note_author REFERENCES users DEFERRABLE INITIALLY IMMEDIATE"),
            NO_NOTES,
        )
        .state("23503")
        .at("", "public.notes")
        .constraint("note_author")
        .says(&["rows in `public.notes` still refer to", "while committing"])
        .remedy(&["stop whatever writes to `public.notes`"]),
    ];
    prove(world, via, Variant::Ordinary, cases).await;
}

/// Five actions, deferrable or not, all found before the first delete and cleared by their own remedy.
pub fn every_action() -> Case {
    Case::new(
        "foreign keys from outside with every action",
        Reason::ForeignKeyViolation,
        "GRANT UPDATE (id) ON users TO organization_operator;
         DO $$ DECLARE action text; timing text; name text; BEGIN
             FOREACH action IN ARRAY ARRAY['NO ACTION', 'RESTRICT', 'CASCADE', 'SET NULL', 'SET DEFAULT'] LOOP
                 FOREACH timing IN ARRAY ARRAY['NOT DEFERRABLE', 'DEFERRABLE', 'DEFERRABLE INITIALLY DEFERRED'] LOOP
                     name := action || ' ' || timing;
                     EXECUTE format('CREATE TABLE %I (user_id uuid, note text,
                         CONSTRAINT %I FOREIGN KEY (user_id) REFERENCES users ON DELETE %s %s)', name, 'fk ' || name, action, timing);
                     EXECUTE format('GRANT SELECT ON %I TO organization_operator', name);
                     EXECUTE format('INSERT INTO %I SELECT id, email FROM users WHERE organization_id = %L LIMIT 2', name, ':key');
                 END LOOP;
             END LOOP;
         END $$",
        "",
    )
    .rows(30)
    .says(&[
        "15 foreign keys",
        "2 rows in `public.NO ACTION NOT DEFERRABLE` refer to `public.users` (constraint fk NO ACTION NOT DEFERRABLE)",
        "fk NO ACTION DEFERRABLE INITIALLY DEFERRED",
        "fk RESTRICT NOT DEFERRABLE",
        "fk RESTRICT DEFERRABLE INITIALLY DEFERRED",
        "ON DELETE CASCADE would change them",
        "fk CASCADE DEFERRABLE INITIALLY DEFERRED",
        "ON DELETE SET NULL would change them",
        "fk SET NULL DEFERRABLE)",
        "ON DELETE SET DEFAULT would change them",
        "fk SET DEFAULT DEFERRABLE INITIALLY DEFERRED",
    ])
}

async fn constraints(world: Arc<World>, via: Via) {
    let cases = vec![
        Case::new(
            "SET NULL on a column that must not be NULL",
            Reason::ConstraintViolation,
            annotating!("NOT NULL REFERENCES users ON DELETE SET NULL"),
            "",
        )
        .state("23502")
        .at("users", "public.notes")
        .says(&["the column `user_id` must not be NULL", "deleting from the table `public.users`"])
        .remedy(&["ALTER TABLE \"public\".\"notes\" ALTER COLUMN \"user_id\" DROP NOT NULL;"]),
        Case::new(
            "SET NULL against a CHECK",
            Reason::ConstraintViolation,
            concat!(
                "DROP TRIGGER annotate ON task_statuses; DROP FUNCTION annotate; DROP TABLE notes; ",
                annotating!("CONSTRAINT has_author CHECK (user_id IS NOT NULL) REFERENCES users ON DELETE SET NULL")
            ),
            NO_NOTES,
        )
        .state("23514")
        .at("users", "public.notes")
        .constraint("has_author")
        .says(&["the check constraint has_author would be violated"])
        .remedy(&["pg_get_constraintdef", "conname = 'has_author'", "'\"public\".\"notes\"'::regclass"]),
        Case {
            window: 1,
            ..Case::new(
                "a CHECK against the deactivation",
                Reason::ConstraintViolation,
                "ALTER TABLE organizations ADD CONSTRAINT always_active CHECK (is_active)",
                "ALTER TABLE organizations DROP CONSTRAINT always_active",
            )
        }
        .state("23514")
        .at("", "public.organizations")
        .constraint("always_active")
        .says(&["changing the activation of the organization in the table `public.organizations`"]),
        Case::new(
            "a UNIQUE of an archive that a trigger fills",
            Reason::ConstraintViolation,
            "CREATE TABLE archive (email text CONSTRAINT once UNIQUE); INSERT INTO archive SELECT email FROM users;
             CREATE FUNCTION archive() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO archive VALUES (OLD.email); RETURN OLD; END $$;
             CREATE TRIGGER archive BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION archive()",
            "DROP TRIGGER archive ON users",
        )
        .state("23505")
        .at("users", "public.archive")
        .constraint("once")
        .says(&["the unique constraint once would be violated", "in the function `archive()`"]),
    ];
    prove(world, via, Variant::Ordinary, cases).await;
}

/// A trigger that raises an error. The messages that it sends before must not be shown either.
macro_rules! ending {
    ($body:literal) => {
        concat!(
            "CREATE FUNCTION ending() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE NOTICE 'bye %', OLD.email; RAISE WARNING 'bye %', OLD.email; ",
            $body,
            " RETURN OLD; END $$;
             CREATE TRIGGER ending BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION ending()"
        )
    };
}

const NO_ENDING: &str = "DROP TRIGGER ending ON users; DROP FUNCTION ending";

pub fn raising() -> Case {
    Case::new(
        "a trigger that raises an error",
        Reason::ConstraintViolation,
        ending!("RAISE 'no, %', OLD.email USING DETAIL = OLD.email, HINT = OLD.email;"),
        NO_ENDING,
    )
    .state("P0001")
    .at("users", "public.users")
    .says(&["a trigger raised an error", "in the function `ending()`"])
    .remedy(&["pg_get_triggerdef", "tgrelid = '\"public\".\"users\"'::regclass"])
}

async fn triggers_that_raise(world: Arc<World>, via: Via) {
    let cases = vec![
        raising(),
        Case::new(
            "a trigger that cannot convert a value",
            Reason::ConstraintViolation,
            ending!("PERFORM OLD.email::int;"),
            NO_ENDING,
        )
        .state("22P02")
        .at("users", "public.users")
        .says(&["a trigger cannot convert a value"]),
        Case::new(
            "a trigger that needs a table that is not there",
            Reason::SchemaMismatch,
            ending!("INSERT INTO audit VALUES (OLD.email);"),
            NO_ENDING,
        )
        .state("42P01")
        .at("users", "public.users")
        .says(&[
            "the plan or a trigger needs",
            "relation \"audit\" does not exist",
            "in the function `ending()`",
        ]),
        Case::new(
            "a trigger that makes the name of a table of a value",
            Reason::SchemaMismatch,
            ending!("EXECUTE format('INSERT INTO %I VALUES (1)', OLD.email);"),
            NO_ENDING,
        )
        .state("42P01")
        .at("users", "public.users")
        .says(&["not in the database, while", "in the function `ending()`"]),
        Case::new(
            "a trigger that says with a value that something is missing",
            Reason::SchemaMismatch,
            ending!("RAISE 'no account for %', OLD.email USING ERRCODE = '42704';"),
            NO_ENDING,
        )
        .state("42704")
        .at("users", "public.users")
        .says(&["not in the database, while", "in the function `ending()`"]),
        Case::new(
            "a trigger that needs a column that is not there",
            Reason::SchemaMismatch,
            ending!("UPDATE flows SET archived_by = OLD.email WHERE false;"),
            NO_ENDING,
        )
        .state("42703")
        .at("users", "public.users")
        .says(&["column \"archived_by\" of relation \"flows\" does not exist", "in the function `ending()`"]),
        Case::new(
            "a trigger that needs a function that is not there",
            Reason::SchemaMismatch,
            ending!("PERFORM publish_event(OLD.email);"),
            NO_ENDING,
        )
        .state("42883")
        .at("users", "public.users")
        .says(&["function publish_event(", "does not exist", "in the function `ending()`"]),
        Case::new(
            "a trigger that needs a setting that is not there",
            Reason::SchemaMismatch,
            ending!("PERFORM current_setting('app.tenant');"),
            NO_ENDING,
        )
        .state("42704")
        .at("users", "public.users")
        .says(&["unrecognized configuration parameter \"app.tenant\"", "in the function `ending()`"]),
        Case::new(
            "a code that nobody knows",
            Reason::InternalError,
            ending!("RAISE '%', OLD.email USING ERRCODE = 'XX001';"),
            NO_ENDING,
        )
        .state("XX001")
        .at("users", "public.users")
        .remedy(&["log"]),
    ];
    prove(world, via, Variant::Ordinary, cases).await;
}

async fn triggers_that_suppress(world: Arc<World>, via: Via) {
    let cases = vec![
        Case::new(
            "a trigger that suppresses the delete of users",
            Reason::ContentChanged,
            "CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER suppress BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION suppress()",
            "DROP TRIGGER suppress ON users",
        )
        .at("users", "public.users")
        .rows(3)
        .says(&["rows were left after the last delete: 3 in `public.users`"])
        .remedy(&["pg_get_triggerdef"]),
        Case::new(
            "a trigger that suppresses the delete of the organization",
            Reason::ContentChanged,
            "CREATE TRIGGER suppress BEFORE DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION suppress()",
            "DROP TRIGGER suppress ON organizations",
        )
        .at("", "public.organizations")
        .says(&["removed 0 rows instead of one"])
        .remedy(&["pg_get_triggerdef"]),
        Case::new(
            "rows that are hidden from the delete alone",
            Reason::PermissionDenied,
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY;
             CREATE POLICY see ON users FOR SELECT USING (true); CREATE POLICY keep ON users FOR DELETE USING (false)",
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        )
        .at("", "public.users")
        .says(&["row-level security of the table `public.users`"])
        .remedy(&["BYPASSRLS"]),
    ];
    prove(world, via, Variant::Ordinary, cases).await;
}

async fn triggers_that_write_again(world: Arc<World>, via: Via) {
    // Foreign keys that are checked at COMMIT, so that nothing but the count finds the rows.
    let cases = vec![
        Case::new(
            "a trigger that writes users again",
            Reason::ContentChanged,
            "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO users (organization_id, email) VALUES (OLD.organization_id, OLD.email); RETURN NULL; END $$;
             CREATE TRIGGER again AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION again()",
            "DROP TRIGGER again ON users",
        )
        .at("users", "public.users")
        .rows(3)
        .says(&["rows were left after the last delete: 3 in `public.users`"])
        .remedy(&["pg_get_triggerdef"]),
    ];
    prove(world, via, Variant::Platform, cases).await;
}
