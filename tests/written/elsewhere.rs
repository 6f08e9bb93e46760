//! The same on another server, and through `PgBouncer`, where a session serves many clients.

use std::sync::Arc;

use super::{one_after_the_other, what_triggers_write_is_named_by_a_rehearsal_and_in_the_ledger};
use crate::support::{Need, PASSWORD, ROLE, Scene, Test, Variant, World};

pub fn tests() -> Vec<Test> {
    [pooler::tests(), newest::tests()].concat()
}

mod pooler {
    use super::{Arc, Need, PASSWORD, ROLE, Scene, Variant, World, one_after_the_other};

    crate::tests![needs Need::PgBouncer; each_deletion_records_its_own_writes_behind_a_pooler];

    async fn each_deletion_records_its_own_writes_behind_a_pooler(world: Arc<World>) {
        let scene = Scene::new(world, Variant::Ordinary).await;
        let port = scene.world.pooler().await.port();
        let url = scene.world.postgres().url_through(port, ROLE, PASSWORD, &scene.database);
        one_after_the_other(&scene, &url).await;
    }
}

mod newest {
    use super::{
        Arc, Need, Scene, Variant, World, one_after_the_other,
        what_triggers_write_is_named_by_a_rehearsal_and_in_the_ledger,
    };

    crate::tests![needs Need::Newest; what_triggers_write_is_counted_by_the_newest_server];

    async fn what_triggers_write_is_counted_by_the_newest_server(world: Arc<World>) {
        what_triggers_write_is_named_by_a_rehearsal_and_in_the_ledger(world.newer().await).await;
        let scene = Scene::new(world.newer().await, Variant::Ordinary).await;
        let url = scene.url();
        one_after_the_other(&scene, &url).await;
    }
}
