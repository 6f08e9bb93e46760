//! "However often it is killed, every row is deleted and counted once": `kill -9` of the real operator at random.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use testbed::Signal;

use super::places::slow_outputs;
use super::{Arc, Variant, World, launch, nothing_under_way, numbers, numbers_of};
use crate::support::PATIENCE;
use crate::tests;

tests![fifty_kills_at_random];

/// How often the operator is killed.
const KILLS: u32 = 50;
/// It is killed within this time after it is ready, and sometimes before.
const WITHIN: Duration = Duration::from_millis(1500);

/// One tenant after the other, until the operator was killed often enough. The moment is random: whatever it was doing then.
async fn fifty_kills_at_random(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    scene.seed(&scene.key(99)).await;
    slow_outputs(&scene, 300).await;
    let (mut kills, mut number, mut in_pages) = (0, 0, 0);
    while kills < KILLS {
        number += 1;
        let (key, name) = (scene.key(number), format!("acme{number}"));
        // Many pages of about 100 ms.
        scene.seed_sized(&key, 20, 10, 20, 30).await;
        let (rows, others) = (scene.rows(&key).await, scene.others(&[&key]).await);
        let operator = launch(&scene).start().await;
        scene.apply(&scene.org(&name, &key).policy("Delete")).await;
        scene.ready(&name).await;
        let uid = scene.get(&name).await.and_then(|seen| seen.0.uid()).expect("a uid");
        operator.stop().await;
        scene.delete(&name).await;
        let end = Instant::now() + PATIENCE * 4;
        while scene.get(&name).await.is_some() {
            assert!(Instant::now() < end, "{name} is not deleted after {kills} kills");
            let operator = launch(&scene).launch().await;
            if kills >= KILLS {
                scene.gone(&name).await;
                operator.stop().await;
                break;
            }
            if kills % 5 > 0 {
                operator.wait_ready().await;
            }
            tokio::time::sleep(WITHIN.mul_f64(fastrand::f64())).await;
            operator.signal(Signal::Kill);
            assert!(operator.guard().wait_exit(PATIENCE).await.is_some(), "it was not killed");
            kills += 1;
            let under_way = "SELECT count(*) FROM organization_operator.erasures WHERE deleted <> '[]'";
            in_pages += scene.value::<i64>(under_way).await;
            assert_eq!(scene.others(&[&key]).await, others, "other tenants changed, after {kills} kills");
        }
        assert!(scene.rows(&key).await.iter().all(|(_, left)| *left == 0), "rows are left");
        let ledger: Vec<_> = scene.ledger().await.into_iter().filter(|row| row.object_uid == uid).collect();
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!((ledger[0].outcome.as_str(), ledger[0].organizations_deleted), ("Erased", 1), "{ledger:?}");
        assert_eq!(numbers(&ledger[0].steps), numbers_of(&rows), "after {kills} kills");
        let events = scene.events(&name).await;
        assert_eq!(events.iter().filter(|(reason, _)| reason == "Erased").count(), 1, "{events:?}");
        nothing_under_way(&scene).await;
    }
    assert!(in_pages >= i64::from(KILLS) / 4, "only {in_pages} of {KILLS} kills were between pages");
    eprintln!("{KILLS} kills, {in_pages} of them between the pages of {number} deletions");
}
