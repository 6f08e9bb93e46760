//! As which role the operator asks how far standbys are.

use std::sync::Arc;
use std::time::Duration;

use organization_operator::db::{Database, Settings, UrlSource};

use crate::support::{Need, PASSWORD, Test, World};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    [any::tests(), newest::tests()].concat()
}

const SETTINGS: Settings = Settings {
    max_connections: 2,
    connect_timeout: Duration::from_secs(20),
    lock_timeout: Duration::from_secs(20),
    statement_timeout: Duration::from_secs(30),
};

/// A role with this grant can ask about the standbys, and sees them or does not.
async fn asks(world: &World, name: &str, attribute: &str, grant: &str, sees: bool) {
    let role = format!("sight_{}_{}_{name}", std::process::id(), world.number());
    let postgres = world.postgres();
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' {attribute}; {}", grant.replace(":role", &role));
    postgres.run_sql("postgres", &sql).await.expect(&sql);
    let database = Database::new(UrlSource::Text(postgres.url(&role, PASSWORD, "postgres")), SETTINGS).expect("a URL");
    let hidden = database.role_without_replay_lag().await.expect("an answer");
    assert_eq!(hidden, (!sees).then_some(role.clone()), "{grant} {attribute}");
    let load = database.load().await;
    assert!(load.is_ok(), "{grant} {attribute}: {load:?}");
    database.close().await;
}

mod any {
    use super::{Arc, World, asks};
    use crate::tests;

    tests![a_role_that_may_act_as_another_sees_the_standbys];

    async fn a_role_that_may_act_as_another_sees_the_standbys(world: Arc<World>) {
        const GRANT: &str = "GRANT pg_read_all_stats TO :role";
        asks(&world, "heir", "INHERIT", GRANT, true).await;
        asks(&world, "member", "NOINHERIT", GRANT, true).await;
        asks(&world, "stranger", "", "", false).await;
    }
}

mod newest {
    use super::{Arc, Need, World, asks};
    use crate::tests;

    tests![needs Need::Newest; a_member_that_may_not_act_as_the_role_is_not_made_to];

    async fn a_member_that_may_not_act_as_the_role_is_not_made_to(world: Arc<World>) {
        let world = world.newer().await;
        for (inherit, set) in [("TRUE", "FALSE"), ("FALSE", "TRUE"), ("FALSE", "FALSE"), ("TRUE", "TRUE")] {
            let grant = format!("GRANT pg_read_all_stats TO :role WITH INHERIT {inherit}, SET {set}");
            asks(&world, "some", "", &grant, inherit == "TRUE" || set == "TRUE").await;
        }
    }
}
