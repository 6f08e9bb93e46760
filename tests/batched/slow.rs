//! What lies between two reads of the object takes long: it is read again, and what it says then counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Arc, Large, Seen, Variant, World, launch};
use crate::tests;

tests![a_successor_that_comes_too_late_does_not_stop_a_slow_end];

/// The operator reads an object again that it read longer ago than half a second.
const LONG: Duration = Duration::from_millis(700);

/// The last transaction takes so long that the object is read again: nobody takes the rest over, so it goes on.
async fn a_successor_that_comes_too_late_does_not_stop_a_slow_end(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let proxy = scene.sql_proxy().await;
    let launch = launch(&scene).url(&scene.url_through(&proxy));
    let large = Large::launched(scene, launch, 0).await;
    let holder = large.held().await;
    large.scene.apply(&large.scene.org("newer", &large.acme).policy("Retain")).await;
    large.scene.until("newer", "refused", |s: &Seen| s.reason("Ready") == "OrganizationClaimed").await;
    let ends = Arc::new(AtomicUsize::new(0));
    let slow = ends.clone();
    proxy.count_only(move |statement| {
        // The last transaction locks the organization, and then looks for blockers.
        if statement.contains("FROM \"public\".\"organizations\"") && statement.ends_with("FOR UPDATE") {
            slow.fetch_add(1, Ordering::Relaxed);
            tokio::task::block_in_place(|| std::thread::sleep(LONG));
        }
        true
    });
    proxy.record();
    large.release(holder).await;
    large.erased().await;
    assert_eq!(ends.load(Ordering::Relaxed), 1, "it took several attempts");
    large.scene.until("newer", "absent", |s| s.reason("Ready") == "OrganizationNotFound").await;
    large.stop().await;
}
