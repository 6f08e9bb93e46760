//! The replica that stands by: it is ready, it changes nothing, and it says why if it could not lead.

use std::sync::Arc;

use serde_json::json;

use super::pair::{NAMESPACE, Pair, Replica, allow, times};
use crate::support::{Operator, Scene, Variant, World, eventually};
use crate::tests;

tests![
    an_idle_pair_writes_nothing_but_the_lease,
    a_replica_that_could_not_lead_is_not_ready,
    a_lease_that_is_deleted_or_edited_stays_with_its_leader,
    without_a_namespace_one_process_leads,
];

async fn an_idle_pair_writes_nothing_but_the_lease(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let (status, text) = pair.second.operator.fetch("/readyz").await.expect("it answers");
    assert_eq!((status, text.as_str()), (200, "ok\n"), "a rollout goes on");
    assert!(pair.second.operator.metrics().await.contains("organization_operator_leader 0\n"));
    // What was still under way is done.
    pair.renewals(2).await;
    for replica in [&pair.first, &pair.second] {
        replica.api.record();
        replica.sql.record();
    }
    pair.renewals(5).await;
    let path = format!(
        "PUT /apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/organization-operator-{}",
        pair.scene.class
    );
    let written: Vec<String> = pair.first.api.log().iter().map(ToString::to_string).collect();
    assert!(written.len() >= 4, "{written:?}");
    assert!(written.iter().all(|write| write.ends_with(&path)), "{written:#?}");
    assert_eq!(pair.second.api.log().len(), 0, "{:?}", pair.second.api.log());
    assert_eq!(pair.second.sql.log().len(), 0, "{:?}", pair.second.sql.log());
    pair.end().await;
}

/// Waits until /readyz says this.
async fn not_ready(operator: &Operator, why: &str) {
    eventually(&format!("/readyz says: {why}"), || async {
        let (status, text) = operator.fetch("/readyz").await?;
        (status == 503 && text.contains(why)).then_some(())
    })
    .await;
}

/// So a rollout of a configuration that does not work ends before it replaces the leader.
async fn a_replica_that_could_not_lead_is_not_ready(world: Arc<World>) {
    allow(&world).await;
    let scene = Scene::new(world, Variant::Platform).await;
    let leader = Replica::start(&scene, "leader", |launch| launch).await;
    leader.leads().await;
    let replica = |name| scene.operator().replica(name, NAMESPACE, &times());

    let unreachable = replica("unreachable").url("postgres://nobody:x@127.0.0.1:1/nothing").launch().await;
    let users = json!({"entity": "users", "table": "users", "organization": "organization_id"});
    let misfit = json!({"organization": {"table": "organisations", "key": "id"}, "steps": [users]});
    let misfit = replica("misfit").configure("cascade", misfit).launch().await;
    let forbidden = scene.operator().replica("forbidden", "kube-system", &times()).launch().await;
    not_ready(&unreachable, "the database cannot be used").await;
    not_ready(&misfit, "the plan cannot be used").await;
    not_ready(&forbidden, "the Lease of the leader cannot be read").await;
    eventually("what to do about it", || async { forbidden.log().contains("apply deploy/base").then_some(()) }).await;
    for operator in [unreachable, misfit, forbidden] {
        assert!(!operator.leads().await);
        operator.stop().await;
    }
    leader.operator.guard().stop().await.expect("it stops");
}

/// Whatever a person does to the Lease, there is one leader.
async fn a_lease_that_is_deleted_or_edited_stays_with_its_leader(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let name = format!("organization-operator-{}", pair.scene.class);
    pair.scene.ok(&["label", "lease", &name, "-n", NAMESPACE, "seen=yes"]).await;
    pair.renewals(2).await;
    let before = pair.lease().await;
    assert!(before.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("seen")), "{before:?}");
    pair.scene.ok(&["delete", "lease", &name, "-n", NAMESPACE]).await;
    eventually("the Lease is there again", || async {
        let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
            kube::Api::namespaced(pair.scene.world.client.clone(), NAMESPACE);
        leases.get_opt(&name).await.expect("the API server answers")
    })
    .await;
    pair.renewals(3).await;
    let holder = |lease: &k8s_openapi::api::coordination::v1::Lease| lease.spec.clone().and_then(|s| s.holder_identity);
    assert_eq!(holder(&pair.lease().await), holder(&before));
    assert!(pair.first.operator.leads().await && !pair.second.operator.leads().await);

    // A person who empties it makes the leader step down.
    let free = r#"{"spec":{"holderIdentity":""}}"#;
    pair.scene.ok(&["patch", "lease", &name, "-n", NAMESPACE, "--type=merge", "-p", free]).await;
    pair.first.operator.guard().wait_exit(crate::support::PATIENCE).await.expect("it ends");
    pair.second.leads().await;
    pair.delete().await;
    pair.erased_once().await;
    pair.end().await;
}

async fn without_a_namespace_one_process_leads(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    for election in [json!({}), json!("never")] {
        let operator = scene.operator().configure("leaderElection", election).start().await;
        assert!(operator.leads().await);
        assert!(operator.log().contains("leads without an election"), "{}", operator.log());
        operator.stop().await;
    }
}
