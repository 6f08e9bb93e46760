//! "We have outgrown one PostgreSQL": one operator serves several databases, and none hinders another.

mod commands;
mod servers;
mod unserved;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Operator, Scene, Test, World, eventually};

/// All tests of this module.
pub fn tests() -> Vec<Test> {
    [servers::tests(), unserved::tests(), commands::tests()].concat()
}

/// The entry of a database in `databases`, with its URL in a file.
fn entry(scene: &Scene) -> Value {
    json!({"name": scene.class, "urlFile": scene.file("url", &scene.url())})
}

/// The same for several.
fn list<'a>(scenes: impl IntoIterator<Item = &'a Scene>) -> Value {
    scenes.into_iter().map(entry).collect()
}

/// Waits until the operator says this of one of its databases.
async fn ready(operator: &Operator, scene: &Scene, status: u16, part: &str) {
    let path = format!("/readyz/{}", scene.class);
    let what = format!("{path} answers {status} with {part:?}");
    let answer = || async { operator.fetch(&path).await.filter(|(code, text)| *code == status && text.contains(part)) };
    eventually(&what, answer).await;
}

/// Waits until a metric of a database has this value.
async fn metric(operator: &Operator, name: &str, scene: &Scene, value: u32) {
    let line = format!("organization_operator_{name}{{database=\"{}\"}} {value}\n", scene.class);
    eventually(&line, || async { operator.metrics().await.contains(&line).then_some(()) }).await;
}
