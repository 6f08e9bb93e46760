//! A name that is not in the list: the status says who does not serve it, and nothing is touched.

use super::{Arc, World, eventually, list};
use crate::support::{Operator, Org, Scene, Seen, Variant};

crate::tests![what_nobody_serves_is_told_and_left_alone, what_another_instance_serves_is_not_spoken_for];

const REASON: &str = "DatabaseNotServed";

fn unserved(seen: &Seen) -> bool {
    seen.reason("Ready") == REASON && seen.is("Stalled", "True")
}

async fn counted(operator: &Operator, number: usize) {
    let line = format!("organization_operator_unserved_objects {number}\n");
    eventually(&line, || async { operator.metrics().await.contains(&line).then_some(()) }).await;
}

async fn what_nobody_serves_is_told_and_left_alone(world: Arc<World>) {
    let apart = Arc::new(world.apart().await);
    let (eu, us) = (Scene::new(apart.clone(), Variant::Platform).await, Scene::new(apart, Variant::Platform).await);
    let [acme, globex] = [1, 2].map(|n| us.key(n));
    us.seed(&acme).await;
    us.seed(&globex).await;
    let before = us.others(&[]).await;
    let operator = eu.operator().databases(list([&eu])).start().await;
    counted(&operator, 0).await;

    us.apply(&us.org("acme", &acme).policy("Delete")).await;
    let seen = us.until("acme", "it is told", unserved).await;
    let message = seen.message("Ready");
    for part in [format!("`{}`", us.class), format!("this operator serves {}", eu.class), "--database".to_owned()] {
        assert!(message.contains(&part), "{part}: {message}");
    }
    assert!(seen.0.metadata.finalizers.is_none(), "nothing holds it: {}", seen.yaml());
    us.warned("acme", REASON).await;
    counted(&operator, 1).await;
    let error = seen.error().expect("an error");
    assert_eq!((error.reason.as_str(), error.code), (REASON, 404));
    us.delete("acme").await;
    us.gone("acme").await;
    counted(&operator, 0).await;

    // One that an operator has taken up before, and that is deleted when nobody serves it any more.
    us.apply(&us.org("globex", &globex).policy("Delete").with_finalizer()).await;
    us.until("globex", "it is told", unserved).await;
    us.delete("globex").await;
    let seen = us
        .until("globex", "the deletion is seen", |s| unserved(s) && s.is("Ready", "False") && s.has("DeletionBlocked"))
        .await;
    assert_eq!(seen.reason("DeletionBlocked"), REASON);
    assert!(seen.0.metadata.finalizers.is_some());
    assert_eq!(us.others(&[]).await, before, "a database that it does not serve has changed");
    operator.stop().await;

    // Once it is listed, everything goes its way.
    let operator = eu.operator().databases(list([&eu, &us])).start().await;
    us.gone("globex").await;
    assert_eq!((us.total(&globex).await, us.ledger().await.len()), (0, 1));
    assert!(us.total(&acme).await > 0);
    counted(&operator, 0).await;
    operator.stop().await;
}

async fn what_another_instance_serves_is_not_spoken_for(world: Arc<World>) {
    let apart = Arc::new(world.apart().await);
    let (eu, us) = (Scene::new(apart.clone(), Variant::Platform).await, Scene::new(apart, Variant::Platform).await);
    let [acme, globex] = [1, 2].map(|n| us.key(n));
    us.seed(&acme).await;
    us.seed(&globex).await;
    let (listing, single) = (eu.operator().databases(list([&eu])).start().await, us.start().await);
    us.apply(&us.org("acme", &acme)).await;
    us.ready("acme").await;
    // Something that only the one that lists says, at a time when it would have said this, too.
    let nobody = Org::new(&us.name("nobody"), &globex, "nobody");
    us.apply(&nobody).await;
    us.until("nobody", "it is told", unserved).await;
    let seen = us.get("acme").await.expect("an object");
    assert_eq!(seen.reason("Ready"), "Reconciled", "{}", seen.yaml());
    us.patch("acme", r#"{"deletionPolicy":"Delete"}"#).await;
    us.delete("acme").await;
    us.gone("acme").await;
    assert!(us.events("acme").await.iter().all(|(reason, _)| reason != REASON));

    // An instance that is away longer is not there, as far as anybody can see. When it is back, it goes on.
    single.stop().await;
    us.patch("nobody", r#"{"suspend":true}"#).await;
    let moved = us.org("globex", &globex);
    us.apply(&moved).await;
    us.until("globex", "it is told", unserved).await;
    let single = us.start().await;
    us.ready("globex").await;
    single.stop().await;
    listing.stop().await;
}
