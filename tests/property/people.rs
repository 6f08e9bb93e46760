//! People who belonged only to the organization go with it: `referencedBy`.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::erase::Erasure;
use organization_operator::cascade::verify::Verification;

use super::case::Ground;
use super::writers::{Scenario, Statements, Writer};
use crate::support::World;
use crate::tests;

tests![
    people_who_belonged_only_here_go_with_their_children,
    every_foreign_key_and_every_named_column_keeps_a_person,
    a_person_who_stays_keeps_whom_he_refers_to,
    people_are_counted_before_anybody_deletes,
    a_row_below_a_person_that_is_another_organizations_keeps_the_person,
    people_below_people_go_too,
    a_composite_key_is_compared_as_a_whole,
    somebody_else_writes_at_every_statement,
    two_organizations_are_erased_at_the_same_time,
    nobody_who_stays_has_to_wait,
    a_reference_without_a_foreign_key_is_seen_or_comes_too_late,
    memberships_without_a_foreign_key_leave_nobody_behind,
    a_plan_that_cannot_be_meant_is_refused,
];

/// As in `global_users.sql`, with a person without any membership, who is nobody's.
const TABLES: &str = "
    CREATE TABLE organizations (id text PRIMARY KEY, is_active boolean NOT NULL DEFAULT true);
    CREATE TABLE users (id text PRIMARY KEY, email text NOT NULL UNIQUE);
    CREATE TABLE memberships (organization_id text NOT NULL REFERENCES organizations, user_id text NOT NULL REFERENCES users,
        PRIMARY KEY (organization_id, user_id));
    CREATE TABLE sessions (id text PRIMARY KEY, user_id text NOT NULL REFERENCES users);
    CREATE TABLE api_tokens (id text PRIMARY KEY, user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        organization_id text REFERENCES organizations);
    CREATE TABLE invoices (id bigserial PRIMARY KEY, user_id text REFERENCES users ON DELETE SET NULL);
    INSERT INTO organizations VALUES ('a'), ('b');
    INSERT INTO users VALUES ('u0', '0@example.com'), ('u1', '1@example.com'), ('u2', '2@example.com'), ('u3', '3@example.com');
    INSERT INTO memberships VALUES ('a', 'u1'), ('a', 'u2'), ('b', 'u2'), ('b', 'u3');
    INSERT INTO sessions SELECT 's' || id, id FROM users;
    INSERT INTO api_tokens VALUES ('t1', 'u1', 'a'), ('t2', 'u2', 'b');";

const PLAN: &str = "{organization: {table: organizations, key: id}, steps: [
    {entity: sessions, table: sessions, parent: users, column: user_id},
    {entity: apiTokens, table: api_tokens, organization: organization_id},
    {entity: memberships, table: memberships, organization: organization_id},
    {entity: users, table: users, referencedBy: memberships, column: user_id}],
    keep: [{table: invoices, reason: law}]}";

const SCENARIO: Scenario = Scenario { sql: TABLES, plan: PLAN, key: "a" };

/// The identities that are left, in order.
async fn left(ground: &Ground, table: &str) -> String {
    ground.text(&format!("SELECT COALESCE(string_agg(id::text, ' ' ORDER BY id), '') FROM {table}")).await
}

async fn people_who_belonged_only_here_go_with_their_children(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let proof = ground.erased(TABLES, PLAN, "a").await.expect("erased");
    assert_eq!(left(&ground, "users").await, "u0 u2 u3");
    assert_eq!(left(&ground, "sessions").await, "su0 su2 su3");
    assert_eq!(left(&ground, "api_tokens").await, "t2");
    let counts: Vec<_> = proof.steps().iter().map(|s| (s.entity.as_str(), s.found, s.deleted)).collect();
    assert_eq!(counts, [("sessions", 1, 1), ("apiTokens", 1, 1), ("memberships", 2, 2), ("users", 1, 1)]);
    let compiled = ground.prepare("SELECT 1", PLAN).await.expect("compiled");
    ground.cascade(&compiled, "b").await.expect("erased");
    assert_eq!(left(&ground, "users").await, "u0", "the second organization takes the shared person with it");
}

async fn every_foreign_key_and_every_named_column_keeps_a_person(world: Arc<World>) {
    // A reference of a table outside the plan, of one that the plan keeps, of the organizations' own, of a step's row of nobody, and
    // of a column that the plan names.
    for (reference, plan) in [
        ("CREATE TABLE audit (user_id text REFERENCES users); INSERT INTO audit VALUES ('u1')", PLAN.to_owned()),
        ("INSERT INTO invoices (user_id) VALUES ('u1')", PLAN.to_owned()),
        (
            "ALTER TABLE organizations ADD owner text REFERENCES users; UPDATE organizations SET owner = 'u1' WHERE id = 'b'",
            PLAN.to_owned(),
        ),
        ("INSERT INTO api_tokens VALUES ('t3', 'u1', NULL)", PLAN.to_owned()),
        ("INSERT INTO api_tokens VALUES ('t3', 'u1', 'b')", PLAN.to_owned()),
        (
            "CREATE TABLE notes (author text); INSERT INTO notes VALUES ('u1')",
            PLAN.replace("column: user_id}],", "column: user_id, unless: [{table: notes, column: author}]}],"),
        ),
    ] {
        let ground = Ground::new(&world).await;
        ground.erased(&format!("{TABLES}; {reference}"), &plan, "a").await.expect("erased");
        assert_eq!(left(&ground, "users").await, "u0 u1 u2 u3", "{reference}");
        assert_eq!(left(&ground, "sessions").await, "su0 su1 su2 su3", "{reference}");
        assert_eq!(
            ground.number("SELECT count(*) FROM memberships WHERE organization_id = 'a'").await,
            0,
            "{reference}"
        );
    }
    // The organization's own row may refer to the person: it goes as well.
    let ground = Ground::new(&world).await;
    let owner = "ALTER TABLE organizations ADD owner text REFERENCES users; UPDATE organizations SET owner = 'u1' WHERE id = 'a'";
    ground.erased(&format!("{TABLES}; {owner}"), PLAN, "a").await.expect("erased");
    assert_eq!(left(&ground, "users").await, "u0 u2 u3");
}

/// A chain of invitations: whom only those invited who go, goes too; whom one invited who stays, stays, and so on.
async fn a_person_who_stays_keeps_whom_he_refers_to(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let chain = "ALTER TABLE users ADD invited_by text REFERENCES users;
        INSERT INTO users SELECT 'p' || n, n || '@p' FROM generate_series(1, 5) n;
        INSERT INTO users SELECT 'q' || n, n || '@q' FROM generate_series(1, 5) n;
        INSERT INTO memberships SELECT 'a', id FROM users WHERE id ~ '^[pq]';
        UPDATE users u SET invited_by = left(u.id, 1) || (substr(u.id, 2)::int + 1) WHERE id ~ '^[pq][1-4]';
        INSERT INTO memberships VALUES ('b', 'q2')";
    ground.erased(&format!("{TABLES}; {chain}"), PLAN, "a").await.expect("erased");
    assert_eq!(left(&ground, "users").await, "q2 q3 q4 q5 u0 u2 u3");
}

async fn people_are_counted_before_anybody_deletes(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = ground.prepare(TABLES, PLAN).await.expect("compiled");
    let database = ground.database();
    let inventory = database.inventory("a", &compiled).await.expect("counted").expect("a cascade");
    assert_eq!((inventory.users, inventory.total), (Some(1), 5));
    assert_eq!(database.rows("a", &compiled).await, Ok(5));
    let preview = database.preview("a", &compiled).await.expect("counted").rows.expect("rows");
    assert_eq!(preview.iter().map(|(_, n)| n).sum::<i64>(), 5);
    let rehearsed = database.rehearse("a", &compiled).await.expect("rehearsed").expect("the schema is the same");
    assert_eq!(rehearsed.steps.iter().map(|s| s.deleted).sum::<i64>(), 5);
    assert_eq!(database.quick_check("a", &compiled).await, Ok(None));
    assert_eq!(database.examine("a", &compiled).await.expect("examined").blockers, []);
    // The drift poller compares how many rows refer to the users, which changes with every person who comes or goes.
    let polled = || async { database.tenants(&["a".into()], &compiled).await.expect("polled")["a"].users };
    assert_eq!(polled().await, Some(2));
    ground.execute("INSERT INTO memberships VALUES ('a', 'u3')").await;
    assert_eq!(polled().await, Some(3));
}

async fn a_row_below_a_person_that_is_another_organizations_keeps_the_person(world: Arc<World>) {
    let plan = PLAN.replace(
        "{entity: apiTokens, table: api_tokens, organization: organization_id},",
        "{entity: apiTokens, table: api_tokens, organization: organization_id},
         {entity: apiTokens, table: api_tokens, parent: users, column: user_id},",
    );
    for (token, users, tokens) in [
        ("INSERT INTO api_tokens VALUES ('t3', 'u1', 'b')", "u0 u1 u2 u3", "t2 t3"),
        ("INSERT INTO api_tokens VALUES ('t3', 'u1', NULL)", "u0 u2 u3", "t2"),
    ] {
        let ground = Ground::new(&world).await;
        ground.erased(&format!("{TABLES}; {token}"), &plan, "a").await.expect("erased");
        assert_eq!(
            (left(&ground, "users").await.as_str(), left(&ground, "api_tokens").await.as_str()),
            (users, tokens)
        );
    }
    // The same where the plan does not find the rows by that column, but knows that it means the organization.
    let plan = PLAN.replace("key: id},", "key: id}, tenantColumns: [organization_id],").replace(
        "{entity: apiTokens, table: api_tokens, organization: organization_id}",
        "{entity: apiTokens, table: api_tokens, parent: users, column: user_id}",
    );
    let ground = Ground::new(&world).await;
    let token = "UPDATE api_tokens SET organization_id = 'b' WHERE id = 't1'";
    ground.erased(&format!("{TABLES}; {token}"), &plan, "a").await.expect("erased");
    assert_eq!(left(&ground, "users").await, "u0 u1 u2 u3");
}

async fn people_below_people_go_too(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let addresses = "CREATE TABLE addresses (id text PRIMARY KEY);
        INSERT INTO addresses SELECT 'h' || n FROM generate_series(0, 3) n;
        ALTER TABLE users ADD address text REFERENCES addresses;
        UPDATE users SET address = CASE WHEN id = 'u3' THEN 'h2' ELSE 'h' || substr(id, 2) END";
    let plan = PLAN.replace(
        "column: user_id}],",
        "column: user_id}, {entity: addresses, table: addresses, referencedBy: users, column: address}],",
    );
    ground.erased(&format!("{TABLES}; {addresses}"), &plan, "a").await.expect("erased");
    assert_eq!(left(&ground, "addresses").await, "h0 h2 h3", "h3 was never referred to, so it is nobody's");
    ground.execute("DELETE FROM sessions WHERE user_id = 'u3'").await;
    let compiled = ground.prepare("SELECT 1", &plan).await.expect("compiled");
    ground.cascade(&compiled, "b").await.expect("erased");
    assert_eq!(left(&ground, "addresses").await, "h0 h3");
}

async fn a_composite_key_is_compared_as_a_whole(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    ground
        .erased(
            "CREATE TABLE organizations (id bigint PRIMARY KEY); INSERT INTO organizations VALUES (1), (2);
             CREATE TABLE people (realm int, n int, PRIMARY KEY (realm, n));
             CREATE TABLE memberships (organization_id bigint REFERENCES organizations, r int, p int, FOREIGN KEY (r, p) REFERENCES people);
             INSERT INTO people VALUES (1, 1), (1, 2), (2, 1), (2, 2);
             INSERT INTO memberships VALUES (1, 1, 1), (1, 2, 2), (2, 1, 2), (2, 2, 2)",
            "{organization: {table: organizations, key: id}, steps: [
                {entity: memberships, table: memberships, organization: organization_id},
                {entity: users, table: people, referencedBy: memberships, columns: {r: realm, p: n}}]}",
            "1",
        )
        .await
        .expect("erased");
    let left = ground.text("SELECT string_agg(concat_ws('/', realm, n), ' ' ORDER BY realm, n) FROM people").await;
    assert_eq!(left, "1/2 2/1 2/2");
}

/// Whatever happened: nobody is left whom something once referred to and nothing refers to now, nobody is gone who is still
/// wanted, and no row of the other organization is gone.
async fn nobody_is_wronged(ground: &Ground, at: &str) {
    let forsaken = "SELECT count(*) FROM users u WHERE id <> 'u0'
        AND NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id)
        AND NOT EXISTS (SELECT FROM api_tokens t WHERE t.user_id = u.id)
        AND NOT EXISTS (SELECT FROM invoices i WHERE i.user_id = u.id)";
    assert_eq!(ground.number(forsaken).await, 0, "{at}: a person was left behind");
    let wanted = "SELECT count(*) FROM users WHERE id IN ('u0', 'u2', 'u3')";
    assert_eq!(ground.number(wanted).await, 3, "{at}: somebody else's person is gone");
    let sessions = "SELECT count(*) FROM users u WHERE id LIKE 'u_' AND NOT EXISTS (SELECT FROM sessions s WHERE s.user_id = u.id)";
    assert_eq!(ground.number(sessions).await, 0, "{at}: a person who stays lost a session");
    let theirs = "SELECT count(*) FROM memberships WHERE organization_id = 'b' AND user_id IN ('u2', 'u3')";
    assert_eq!(ground.number(theirs).await, 2, "{at}: another organization's membership is gone");
    assert_eq!(ground.number("SELECT count(*) FROM api_tokens WHERE id = 't2'").await, 1, "{at}: a token is gone");
}

async fn somebody_else_writes_at_every_statement(world: Arc<World>) {
    let statements = Statements::of(&world, SCENARIO).await;
    // What the writer wrote stays, if it succeeded and belongs to nobody who is erased.
    for (sql, trace) in [
        (
            "INSERT INTO memberships VALUES ('b', 'u1')",
            "FROM memberships WHERE organization_id = 'b' AND user_id = 'u1'",
        ),
        ("INSERT INTO invoices (user_id) VALUES ('u1')", "FROM invoices WHERE user_id = 'u1'"),
        (
            "UPDATE memberships SET organization_id = 'b' WHERE user_id = 'u1'",
            "FROM memberships WHERE organization_id = 'b' AND user_id = 'u1'",
        ),
        ("UPDATE api_tokens SET organization_id = 'b' WHERE id = 't1'", "FROM api_tokens WHERE id = 't1'"),
        ("INSERT INTO users VALUES ('n1', 'n1@example.com'); INSERT INTO memberships VALUES ('a', 'n1')", ""),
        // If it comes first, u1 is nobody's, and n1 goes.
        (
            "WITH moved AS (UPDATE memberships SET user_id = 'n1' WHERE organization_id = 'a' AND user_id = 'u1' RETURNING 1) \
             INSERT INTO users SELECT 'n1', 'n1@example.com' FROM moved; \
             INSERT INTO invoices (user_id) SELECT 'u1' FROM users WHERE id = 'u1'",
            "",
        ),
    ] {
        let mut came_through = 0;
        for ordinal in 1..=statements.count {
            let run = statements.run(ordinal, Writer::Sql(sql)).await;
            let told = format!("{sql}: {}: {:?}, the writer {:?}", run.place, run.ended, run.writer);
            let ground = &statements.ground;
            if let Err(failure) = &run.ended {
                let passing = [Reason::ContentChanged, Reason::SerializationFailure, Reason::ForeignKeyViolation];
                assert!(passing.contains(&failure.reason), "{told}");
                assert_eq!(ground.number("SELECT count(*) FROM organizations WHERE id = 'a'").await, 1, "{told}");
                again(ground, "a", ordinal, &told).await;
            }
            assert_eq!(
                ground.number("SELECT count(*) FROM memberships WHERE organization_id = 'a'").await,
                0,
                "{told}"
            );
            nobody_is_wronged(ground, &told).await;
            if run.writer.is_ok() {
                came_through += 1;
                // An update that waited until the row was gone has found nothing.
                let stays = !trace.is_empty() && !sql.starts_with("UPDATE");
                let written = if stays { ground.number(&format!("SELECT count(*) {trace}")).await } else { 1 };
                assert_eq!(written, 1, "{told}: what it wrote is gone");
            }
        }
        assert!(came_through > 0, "{sql}: the writer never came through, so nothing was tried");
    }
}

/// The next attempt ends it.
async fn again(ground: &Ground, key: &str, ordinal: u64, told: &str) {
    let compiled = ground.prepare("SELECT 1", PLAN).await.expect("compiled");
    let ended = ground.erase_by(ground.database(), &format!("again {key} {ordinal}"), key, &compiled).await;
    assert!(matches!(ended, Ok(Erasure::Completed(_))), "{told}: {ended:?}");
}

async fn two_organizations_are_erased_at_the_same_time(world: Arc<World>) {
    let statements = Statements::of(&world, SCENARIO).await;
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Erases("b")).await;
        let told = format!("{}: {:?}, {:?}", run.place, run.ended, run.writer);
        let ground = &statements.ground;
        assert_eq!(left(ground, "users").await, "u0", "{told}");
        assert_eq!(left(ground, "sessions").await, "su0", "{told}");
        assert_eq!(left(ground, "organizations").await, "", "{told}");
        assert!(run.ended.is_ok() && run.writer.is_ok(), "nobody has to try again: {told}");
    }
}

/// A person who is in another organization as well signs in there, and joins a third one.
async fn nobody_who_stays_has_to_wait(world: Arc<World>) {
    let statements = Statements::of(&world, SCENARIO).await;
    let joins = "INSERT INTO sessions VALUES ('late', 'u2'); \
        INSERT INTO organizations VALUES ('c'); INSERT INTO memberships VALUES ('c', 'u2')";
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Sql(joins)).await;
        let told = format!("{}: {:?}, the writer {:?}", run.place, run.ended, run.writer);
        assert!(!run.waited && run.writer.is_ok() && run.ended.is_ok(), "{told}");
        assert_eq!(left(&statements.ground, "users").await, "u0 u2 u3", "{told}");
    }
}

/// Nothing protects such a reference; but a person never loses only half of what is theirs.
async fn a_reference_without_a_foreign_key_is_seen_or_comes_too_late(world: Arc<World>) {
    let statements = Statements::of(
        &world,
        Scenario {
            sql: concat!(
                "CREATE TABLE organizations (id text PRIMARY KEY); CREATE TABLE users (id text PRIMARY KEY); \
                 CREATE TABLE memberships (organization_id text REFERENCES organizations, user_id text REFERENCES users); \
                 CREATE TABLE sessions (id text PRIMARY KEY, user_id text REFERENCES users); CREATE TABLE notes (author text);",
                "INSERT INTO organizations VALUES ('a'); INSERT INTO users VALUES ('u1'); \
                 INSERT INTO memberships VALUES ('a', 'u1'); INSERT INTO sessions VALUES ('s1', 'u1')",
            ),
            plan: "{organization: {table: organizations, key: id}, steps: [
                {entity: sessions, table: sessions, parent: users, column: user_id},
                {entity: memberships, table: memberships, organization: organization_id},
                {entity: users, table: users, referencedBy: memberships, column: user_id,
                    unless: [{table: notes, column: author}]}]}",
            key: "a",
        },
    )
    .await;
    let (mut kept, mut refused, mut late) = (0, 0, 0);
    for ordinal in 1..=statements.count {
        let run = statements.run(ordinal, Writer::Sql("INSERT INTO notes VALUES ('u1')")).await;
        let told = format!("{}: {:?}, the writer {:?}", run.place, run.ended, run.writer);
        let (users, sessions) = (left(&statements.ground, "users").await, left(&statements.ground, "sessions").await);
        match (&run.ended, users.as_str(), sessions.as_str()) {
            (Ok(_), "u1", "s1") => kept += 1,
            (Ok(_), "", "") => late += 1,
            (Err(failure), "u1", "s1") if failure.reason == Reason::ContentChanged => refused += 1,
            other => panic!("{told}: {other:?}"),
        }
    }
    assert!(kept > 0 && refused > 0 && late > 0, "{kept} {refused} {late}");
}

/// Nothing keeps a membership from appearing while the organization is deleted: a trigger stands for the other session.
async fn memberships_without_a_foreign_key_leave_nobody_behind(world: Arc<World>) {
    let tables = TABLES.replace(
        "organization_id text NOT NULL REFERENCES organizations, user_id",
        "organization_id text NOT NULL, user_id",
    );
    let ground = Ground::new(&world).await;
    let compiled = ground.unverified(&tables, PLAN, "a").await;
    assert_eq!(compiled.unprotected_tables(), ["public.sessions", "public.memberships", "public.users"]);
    assert_eq!(left(&ground, "users").await, "u0 u2 u3");
    // A late membership, of a new person and of one who is the other organization's as well.
    ground
        .execute(
            "INSERT INTO users VALUES ('n1', 'n1@example.com'); INSERT INTO sessions VALUES ('sn1', 'n1');
             INSERT INTO memberships VALUES ('a', 'n1'), ('a', 'u3')",
        )
        .await;
    assert_eq!(ground.verify(&compiled, "a").await, Ok(Verification::Swept));
    assert_eq!(left(&ground, "users").await, "u0 u2 u3");
    let verified = ground.verify(&compiled, "a").await;
    assert!(matches!(verified, Ok(Verification::Completed(_))), "{verified:?}");

    // One that comes in between finding the people and deleting the memberships.
    let ground = Ground::new(&world).await;
    let late = "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO users VALUES ('n1', 'n1@example.com'); INSERT INTO memberships VALUES ('a', 'n1'); RETURN NULL; END $$;
        CREATE TRIGGER late AFTER DELETE ON sessions FOR EACH ROW WHEN (OLD.user_id = 'u1') EXECUTE FUNCTION late()";
    let failure =
        ground.erased(&format!("{tables}; {late}"), PLAN, "a").await.expect_err("a person would be left behind");
    assert_eq!((failure.reason, failure.table.as_deref()), (Reason::ContentChanged, Some("public.users")), "{failure}");
    assert_eq!(left(&ground, "users").await, "u0 u1 u2 u3", "rolled back");
}

async fn a_plan_that_cannot_be_meant_is_refused(world: Arc<World>) {
    let step = "{entity: users, table: users, referencedBy: memberships, column: user_id}";
    for (instead, told) in [
        (
            "{entity: users, table: users, referencedBy: memberships, column: person}",
            "`person`, which the table `public.memberships`",
        ),
        (
            "{entity: users, table: users, referencedBy: memberships, column: organization_id}",
            "refers to a table other than `public.users`",
        ),
        (
            "{entity: users, table: users, referencedBy: memberships, columns: {user_id: name}}",
            "`name`, which the table `public.users`",
        ),
        (
            "{entity: users, table: users, referencedBy: memberships, column: user_id, unless: [{table: nowhere, column: x}]}",
            "`nowhere`, which is not in the database",
        ),
        (
            "{entity: users, table: users, referencedBy: memberships, column: user_id, unless: [{table: invoices, column: x}]}",
            "`x`, which the table `public.invoices`",
        ),
        (
            "{entity: users, table: users, referencedBy: memberships, column: user_id, unless: [{table: invoices, column: id}]}",
            "do not agree about which values are equal",
        ),
    ] {
        let ground = Ground::new(&world).await;
        let compiled = ground.prepare(TABLES, &PLAN.replace(step, instead)).await.expect("the organization is there");
        let faults = compiled.faults().map(ToString::to_string).unwrap_or_default();
        assert!(faults.contains(told), "{instead}: {faults}");
    }
}
