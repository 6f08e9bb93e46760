//! Many objects at once: made, ready, deleted.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, ResourceExt as _};
use organization_operator::api::Organization;
use serde_json::json;

use super::progress;
use crate::support::{Scene, Seen};

/// Requests at the same time.
const AT_ONCE: usize = 32;
/// The label by which objects are told apart.
const LABEL: &str = "burst";

/// Objects of a scene, each with a small tenant, which share a label.
pub struct Objects<'s> {
    scene: &'s Scene,
    name: String,
    number: u32,
}

impl<'s> Objects<'s> {
    /// Makes objects, each with a tenant of 25 rows: 4 users, 2 flows with an execution, 8 outputs and 8 statuses.
    pub async fn create(scene: &'s Scene, name: String, number: u32, finalizer: Option<&str>) -> Self {
        let keys: Vec<String> = (0..number).map(|_| scene.key(scene.world.number())).collect();
        let seeds: Vec<String> = keys.iter().map(|key| format!("SELECT seed_tenant('{key}', 4, 2, 1, 4)")).collect();
        progress().during(&format!("writing {number} tenants"), scene.sql(&seeds.join(";"))).await;
        scene.sql("ANALYZE").await;
        let object = |(n, key): (usize, String)| -> Organization {
            let mut org = scene.org(&format!("{name}-{n}"), &key).policy("Delete").label(LABEL, &name);
            if let Some(finalizer) = finalizer {
                org = org.finalizers(&json!([finalizer]));
            }
            serde_yaml::from_str(&org.yaml()).expect("an object")
        };
        let objects: Vec<Organization> = keys.into_iter().enumerate().map(object).collect();
        let api = scene.api();
        let creations = futures::stream::iter(objects).map(move |object| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &object).await.expect("created") }
        });
        let created = creations.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        progress().during(&format!("creating {number} objects"), created).await;
        Self { scene, name, number }
    }

    fn selector(&self) -> String {
        format!("{LABEL}={}", self.name)
    }

    /// Waits until the operator says of each that it is ready.
    pub async fn ready(&self) {
        let config = Config::default().labels(&self.selector());
        let mut events = std::pin::pin!(watcher(self.scene.api(), config));
        let all_ready = async {
            let mut ready = HashSet::new();
            while ready.len() < self.number as usize {
                if let Event::Apply(object) | Event::InitApply(object) =
                    events.try_next().await.expect("a watch").expect("the watch goes on")
                {
                    let name = object.name_any();
                    if Seen(object).is("Ready", "True") {
                        ready.insert(name);
                    }
                }
            }
        };
        progress().during(&format!("{} objects, until they are ready", self.number), all_ready).await;
    }

    /// Deletes all by one request. Returns how long it took until the last one was gone.
    pub async fn delete(self) -> Duration {
        let metadata: Api<PartialObjectMeta<Organization>> = Api::all(self.scene.world.client.clone());
        let config = Config::default().labels(&self.selector());
        let mut events = std::pin::pin!(watcher(metadata, config));
        let mut left = HashSet::new();
        loop {
            match events.try_next().await.expect("a watch").expect("the watch goes on") {
                Event::InitApply(object) => drop(left.insert(object.name_any())),
                Event::InitDone => break,
                _ => {}
            }
        }
        assert_eq!(left.len(), self.number as usize, "every object is there");
        let began = Instant::now();
        let request = request(self.scene.api(), self.selector());
        let gone = async {
            while !left.is_empty() {
                match events.try_next().await.expect("a watch").expect("the watch goes on") {
                    Event::Delete(object) => drop(left.remove(&object.name_any())),
                    Event::Init => left.clear(),
                    Event::InitApply(object) => drop(left.insert(object.name_any())),
                    Event::Apply(_) | Event::InitDone => {}
                }
            }
            began.elapsed()
        };
        let both = futures::future::join(request, gone);
        progress().during(&format!("{} objects deleted at once", self.number), both).await.1
    }
}

async fn request(api: Api<Organization>, selector: String) {
    let list = ListParams::default().labels(&selector);
    api.delete_collection(&DeleteParams::default(), &list).await.expect("accepted");
}
