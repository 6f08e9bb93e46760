//! What a deletion shows that the database refused.

use std::sync::Arc;

use organization_operator::api::Reason;
use sqlx::{AssertSqlSafe, Connection as _};

use super::situation::answered;
use super::stage::{Stage, plan};
use crate::support::{Need, World};

crate::tests![needs Need::Psql;
    what_the_schema_refuses_is_shown_or_changed,
    who_holds_a_lock_is_shown,
];

/// What the schema refuses.
struct Refusal {
    name: &'static str,
    sql: &'static str,
    reason: Reason,
    /// What `psql` answers to the remedy.
    answers: &'static [&'static str],
    /// What a person decides; nothing if the remedy clears it.
    then: &'static str,
}

/// A trigger on the runs.
macro_rules! on_runs {
    ($more:literal, $body:literal) => {
        concat!(
            $more,
            "; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN ",
            $body,
            " END $$; CREATE TRIGGER \"It's on\" BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION f()"
        )
    };
}

const TRIGGERS: &[&str] = &["It's on|CREATE TRIGGER \"It's on\" BEFORE DELETE ON public.runs.."];
const NO_TRIGGER: &str = "DROP TRIGGER \"It's on\" ON runs";

const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "a trigger raises an error",
        sql: on_runs!("SELECT 1", "RAISE 'no';"),
        reason: Reason::ConstraintViolation,
        answers: TRIGGERS,
        then: NO_TRIGGER,
    },
    Refusal {
        name: "a trigger keeps every row",
        sql: on_runs!("SELECT 1", "RETURN NULL;"),
        reason: Reason::ContentChanged,
        answers: TRIGGERS,
        then: NO_TRIGGER,
    },
    Refusal {
        name: "a trigger hides the rows instead",
        sql: on_runs!(
            "INSERT INTO flows VALUES (9, 'o2', NULL)",
            "UPDATE runs SET flow_id = 9 WHERE id = OLD.id; RETURN NULL;"
        ),
        reason: Reason::ContentChanged,
        answers: TRIGGERS,
        then: NO_TRIGGER,
    },
    Refusal {
        name: "a trigger keeps the organization",
        sql: "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
              CREATE TRIGGER stay BEFORE DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION f()",
        reason: Reason::ContentChanged,
        answers: &["stay|CREATE TRIGGER stay BEFORE DELETE ON public.organizations.."],
        then: "DROP TRIGGER stay ON organizations",
    },
    Refusal {
        name: "SET NULL meets NOT NULL",
        sql: on_runs!(
            "CREATE TABLE \"No\"\"tes\" (\"the Author\" bigint NOT NULL REFERENCES users ON DELETE SET NULL)",
            "INSERT INTO \"No\"\"tes\" VALUES (1); RETURN OLD;"
        ),
        reason: Reason::ConstraintViolation,
        answers: &["ALTER TABLE"],
        then: "",
    },
    Refusal {
        name: "SET NULL meets a CHECK",
        sql: on_runs!(
            "CREATE TABLE \"No\"\"tes\" (author bigint CONSTRAINT \"it's there\" CHECK (author > 0 AND author IS NOT NULL) \
                REFERENCES users ON DELETE SET NULL)",
            "INSERT INTO \"No\"\"tes\" VALUES (1); RETURN OLD;"
        ),
        reason: Reason::ConstraintViolation,
        answers: &["CHECK (((author > 0) AND (author IS NOT NULL)))"],
        then: "ALTER TABLE \"No\"\"tes\" DROP CONSTRAINT \"it's there\"",
    },
    Refusal {
        name: "a trigger changes rows of the same statement",
        sql: "ALTER TABLE organizations ADD founder bigint; UPDATE organizations SET founder = CASE id WHEN 'o2' THEN 3 ELSE 1 END;
              ALTER TABLE organizations ALTER founder SET NOT NULL, ADD FOREIGN KEY (founder) REFERENCES users;
              CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                UPDATE users SET email = NULL WHERE organization_id = OLD.organization_id; RETURN OLD; END $$;
              CREATE TRIGGER tidy BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION f()",
        reason: Reason::ConstraintViolation,
        answers: &["users|tidy|CREATE TRIGGER tidy BEFORE DELETE ON public.users.."],
        then: "DROP TRIGGER tidy ON users",
    },
    Refusal {
        name: "an archive has the row already",
        sql: on_runs!(
            "CREATE TABLE archive (id bigint CONSTRAINT once PRIMARY KEY); INSERT INTO archive VALUES (1)",
            "INSERT INTO archive VALUES (OLD.id); RETURN OLD;"
        ),
        reason: Reason::ConstraintViolation,
        answers: &["PRIMARY KEY (id)"],
        then: "DELETE FROM archive",
    },
];

async fn what_the_schema_refuses_is_shown_or_changed(world: Arc<World>) {
    for Refusal { name, sql, reason, answers, then } in REFUSALS {
        let stage = Stage::new(&world, sql).await;
        let plan = plan(&[], "");
        let failure = stage.erase(&plan).await.expect_err(name);
        assert_eq!(failure.reason, *reason, "{name}: {failure}");
        let remedy = failure.remedy.as_deref().unwrap_or_default();
        let answer = stage.paste(remedy).await;
        assert!(answered(&answer, answers), "{name}: {answer:#?} for\n{remedy}");
        stage.execute(then).await;
        stage.erase(&plan).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        stage.close().await;
    }
}

async fn who_holds_a_lock_is_shown(world: Arc<World>) {
    let stage = Stage::new(&world, "").await;
    let plan = plan(&[], "");
    let mut holder = stage.connect().await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut holder).await.expect("a number");
    for sql in ["SET application_name = 'billing'", "BEGIN", "LOCK TABLE users IN SHARE MODE"] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut holder).await.expect(sql);
    }
    let failure = stage.erase(&plan).await.expect_err("it is locked");
    assert_eq!(failure.reason, Reason::LockTimeout, "{failure}");
    let remedy = failure.remedy.expect("a remedy");
    let answer = stage.paste(&remedy).await;
    assert!(answered(&answer, &[&format!("{pid}|billing|idle in transaction|..")]), "{answer:?} for\n{remedy}");
    let (_, end) = remedy.split_once("or end it: ").expect("how to end it");
    assert_eq!(stage.paste(end).await, ["t"], "{end}");
    stage.erase(&plan).await.expect("erased");
    drop(holder.close().await);
    stage.close().await;
}
