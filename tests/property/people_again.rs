//! People who belonged only to the organization, after its deletion: what appears later, who is there again, and how the plan
//! may name them.

use std::sync::Arc;

use organization_operator::api::Reason;
use organization_operator::cascade::verify::Verification;

use super::case::Ground;
use crate::support::World;
use crate::tests;

tests![
    a_late_row_below_a_parent_that_is_gone_takes_its_people_with_it,
    nobody_is_left_behind_by_a_second_count,
    who_stayed_at_first_is_not_judged_again,
    who_has_the_key_of_one_who_is_gone_stays,
    users_below_people_are_polled,
    what_keeps_a_person_of_one_step_keeps_him_from_another,
    memberships_that_are_a_view_are_refused,
];

const ORGANIZATIONS: &str =
    "CREATE TABLE organizations (id text PRIMARY KEY); INSERT INTO organizations VALUES ('a'), ('b');";

/// The identities that are left, in order.
async fn left(ground: &Ground, table: &str) -> String {
    ground.text(&format!("SELECT COALESCE(string_agg(id::text, ' ' ORDER BY id), '') FROM {table}")).await
}

/// Counts again until nothing is found; so often is something found.
async fn swept(ground: &Ground, compiled: &planner::CompiledPlan) -> usize {
    for sweeps in 0..3 {
        match ground.verify(compiled, "a").await {
            Ok(Verification::Completed(_)) => return sweeps,
            Ok(Verification::Swept) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("no end")
}

/// Three levels of parents without foreign keys between them: each finds its late rows by captured keys, or by a late parent.
async fn a_late_row_below_a_parent_that_is_gone_takes_its_people_with_it(world: Arc<World>) {
    let schema = "CREATE TABLE divisions (id text PRIMARY KEY, organization_id text REFERENCES organizations);
        CREATE TABLE teams (id text PRIMARY KEY, division text);
        CREATE TABLE users (id text PRIMARY KEY);
        CREATE TABLE members (team text, user_id text REFERENCES users);
        INSERT INTO divisions VALUES ('da', 'a'), ('db', 'b'); INSERT INTO teams VALUES ('ta', 'da'), ('tb', 'db');
        INSERT INTO users VALUES ('u1'), ('u2'); INSERT INTO members VALUES ('ta', 'u1'), ('tb', 'u2')";
    let plan = "{organization: {table: organizations, key: id}, steps: [
        {entity: divisions, table: divisions, organization: organization_id},
        {entity: teams, table: teams, parent: divisions, column: division},
        {entity: memberships, table: members, parent: teams, column: team},
        {entity: users, table: users, referencedBy: memberships, column: user_id}]}";
    for late in [
        "INSERT INTO members VALUES ('ta', 'n1'), ('ta', 'u2')",
        "INSERT INTO teams VALUES ('late', 'da'); INSERT INTO members VALUES ('late', 'n1'), ('ta', 'n1'), ('late', 'u2')",
    ] {
        let ground = Ground::new(&world).await;
        let compiled = ground.unverified(&format!("{ORGANIZATIONS}{schema}"), plan, "a").await;
        ground.execute(&format!("INSERT INTO users VALUES ('n1'); {late}")).await;
        assert_eq!(swept(&ground, &compiled).await, 1, "{late}");
        assert_eq!(left(&ground, "users").await, "u2", "{late}");
        assert_eq!(ground.text("SELECT string_agg(team || user_id, ' ') FROM members").await, "tbu2", "{late}");
    }
}

const MEMBERSHIPS: &str = "CREATE TABLE users (id text PRIMARY KEY, email text UNIQUE);
    CREATE TABLE memberships (organization_id text NOT NULL, user_id text NOT NULL REFERENCES users);
    CREATE TABLE sessions (id text PRIMARY KEY, user_id text, email text);
    INSERT INTO users VALUES ('u1', '1@'), ('u2', '2@');
    INSERT INTO memberships VALUES ('a', 'u1'), ('b', 'u2'); INSERT INTO sessions VALUES ('s1', 'u1', '1@');";

const PLAN: &str = "{organization: {table: organizations, key: id}, steps: [
    {entity: sessions, table: sessions, parent: users, column: user_id},
    {entity: memberships, table: memberships, organization: organization_id},
    {entity: users, table: users, referencedBy: memberships, column: user_id}]}";

/// A membership comes in between finding the people and deleting the memberships: a trigger stands for the other session.
async fn nobody_is_left_behind_by_a_second_count(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let late = "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO users VALUES ('n2'); INSERT INTO memberships VALUES ('a', 'n2'); RETURN NULL; END $$;
        CREATE TRIGGER late AFTER DELETE ON sessions FOR EACH ROW WHEN (OLD.user_id = 'n1') EXECUTE FUNCTION late()";
    let compiled = ground.unverified(&format!("{ORGANIZATIONS}{MEMBERSHIPS}{late}"), PLAN, "a").await;
    ground
        .execute("INSERT INTO users VALUES ('n1'); INSERT INTO memberships VALUES ('a', 'n1'); INSERT INTO sessions VALUES ('s2', 'n1')")
        .await;
    let failure = ground.verify(&compiled, "a").await.expect_err("a person would be left behind");
    assert_eq!((failure.reason, failure.table.as_deref()), (Reason::ContentChanged, Some("public.users")), "{failure}");
    assert_eq!(left(&ground, "users").await, "n1 u2", "rolled back");
    let quiet = "CREATE OR REPLACE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    ground.execute(quiet).await;
    assert_eq!(swept(&ground, &compiled).await, 1);
    assert_eq!(left(&ground, "users").await, "u2");
}

/// A person who stayed because of another organization leaves that one before the second count, which sweeps something else.
async fn who_stayed_at_first_is_not_judged_again(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let more = "ALTER TABLE memberships ADD id text; UPDATE memberships SET id = organization_id || user_id;
        ALTER TABLE memberships ADD PRIMARY KEY (id); CREATE TABLE roles (membership text);
        INSERT INTO memberships VALUES ('a', 'u2', 'au2'); INSERT INTO roles VALUES ('au2')";
    let plan =
        PLAN.replace("steps: [", "steps: [{entity: roles, table: roles, parent: memberships, column: membership},");
    let compiled = ground.unverified(&format!("{ORGANIZATIONS}{MEMBERSHIPS}{more}"), &plan, "a").await;
    ground.execute("DELETE FROM memberships; INSERT INTO roles VALUES ('au2')").await;
    assert_eq!(swept(&ground, &compiled).await, 1, "the late role went");
    assert_eq!(left(&ground, "users").await, "u2", "nobody's");
}

/// A child is found by the email of a person who is gone; somebody else has his id now.
async fn who_has_the_key_of_one_who_is_gone_stays(world: Arc<World>) {
    let plan = PLAN.replace("parent: users, column: user_id", "parent: users, columns: {email: email}");
    for protected in ["", "ALTER TABLE memberships ADD FOREIGN KEY (organization_id) REFERENCES organizations"] {
        let ground = Ground::new(&world).await;
        let compiled = ground.unverified(&format!("{ORGANIZATIONS}{MEMBERSHIPS}{protected}"), &plan, "a").await;
        ground.execute("INSERT INTO users VALUES ('u1', 'new@')").await;
        assert_eq!(swept(&ground, &compiled).await, 0, "{protected}");
        assert_eq!(left(&ground, "users").await, "u1 u2", "{protected}");
    }
}

async fn users_below_people_are_polled(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = "CREATE TABLE people (id bigint PRIMARY KEY);
        CREATE TABLE logins (id bigint PRIMARY KEY, person bigint REFERENCES people);
        CREATE TABLE memberships (organization_id text REFERENCES organizations, person bigint REFERENCES people);
        INSERT INTO people VALUES (1), (2), (3); INSERT INTO logins SELECT id, id FROM people;
        INSERT INTO memberships VALUES ('a', 1), ('a', 2), ('b', 2), ('b', 3)";
    let plan = "{organization: {table: organizations, key: id}, steps: [
        {entity: memberships, table: memberships, organization: organization_id},
        {entity: users, table: logins, parent: people, column: person},
        {entity: people, table: people, referencedBy: memberships, column: person}]}";
    let compiled = ground.prepare(&format!("{ORGANIZATIONS}{schema}"), plan).await.expect("compiled");
    let polled = ground.database().tenants(&["a".into(), "b".into()], &compiled).await.expect("polled");
    assert_eq!((polled["a"].users, polled["b"].users), (Some(2), Some(2)), "the rows that refer to the people");
    assert!(compiled.cascade().is_some_and(|cascade| cascade.observes_referrers));
    ground.cascade(&compiled, "a").await.expect("erased");
    assert_eq!(left(&ground, "logins").await, "2 3");
}

/// One table, two steps: members and guests. Neither refers to people by a foreign key.
async fn what_keeps_a_person_of_one_step_keeps_him_from_another(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema = "CREATE TABLE users (id text PRIMARY KEY); CREATE TABLE notes (author text);
        CREATE TABLE members (organization_id text REFERENCES organizations, user_id text);
        CREATE TABLE guests (organization_id text REFERENCES organizations, user_id text);
        INSERT INTO users SELECT 'u' || n FROM generate_series(1, 5) n; INSERT INTO notes VALUES ('u1');
        INSERT INTO members VALUES ('a', 'u1'), ('a', 'u2'), ('b', 'u3'), ('a', 'u5');
        INSERT INTO guests VALUES ('a', 'u1'), ('b', 'u2'), ('a', 'u3'), ('a', 'u4')";
    let plan = "{organization: {table: organizations, key: id}, steps: [
        {entity: members, table: members, organization: organization_id},
        {entity: guests, table: guests, organization: organization_id},
        {entity: users, table: users, referencedBy: members, column: user_id, unless: [{table: notes, column: author}]},
        {entity: users, table: users, referencedBy: guests, column: user_id}]}";
    ground.erased(&format!("{ORGANIZATIONS}{schema}"), plan, "a").await.expect("erased");
    assert_eq!(left(&ground, "users").await, "u1 u2 u3");
}

/// The foreign key of the table below would keep everybody, and nobody could be told why.
async fn memberships_that_are_a_view_are_refused(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let schema =
        "CREATE TABLE users (id text PRIMARY KEY); CREATE TABLE grants (subject text, user_id text REFERENCES users);
        CREATE VIEW memberships AS SELECT substr(subject, 5) AS organization_id, user_id FROM grants";
    let plan = "{organization: {table: organizations, key: id}, steps: [
        {entity: memberships, table: memberships, organization: organization_id},
        {entity: users, table: users, referencedBy: memberships, column: user_id}]}";
    let compiled = ground.prepare(&format!("{ORGANIZATIONS}{schema}"), plan).await.expect("the organization is there");
    let faults = compiled.faults().map(ToString::to_string).unwrap_or_default();
    assert!(faults.contains("`public.memberships` is a view"), "{faults}");
}
