//! Objects where the API server keeps them: a restored backup of etcd has what no client can write.

use k8s_openapi::ByteString;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Scene;

/// The etcd of a scene's control plane.
pub struct Etcd {
    port: u16,
}

impl Etcd {
    pub fn of(scene: &Scene) -> Self {
        Self { port: scene.world.control_plane().etcd_port() }
    }

    /// The object as it is stored.
    pub async fn get(&self, name: &str) -> Value {
        let answer = self.post("/v3/kv/range", &json!({"key": key(name)})).await;
        let stored: ByteString = serde_json::from_value(answer["kvs"][0]["value"].clone()).expect("a stored object");
        serde_json::from_slice(&stored.0).expect("JSON")
    }

    /// Stores an object, whether or not it is there.
    pub async fn put(&self, name: &str, object: &Value) {
        let value = ByteString(serde_json::to_vec(object).expect("JSON"));
        self.post("/v3/kv/put", &json!({"key": key(name), "value": value})).await;
    }

    /// Makes every time of the object's metadata so many days earlier.
    pub async fn age(&self, name: &str, days: i64) {
        let mut object = self.get(name).await;
        let metadata = &mut object["metadata"];
        for field in ["creationTimestamp", "deletionTimestamp"] {
            earlier(&mut metadata[field], days);
        }
        for entry in metadata["managedFields"].as_array_mut().into_iter().flatten() {
            earlier(&mut entry["time"], days);
        }
        self.put(name, &object).await;
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.expect("etcd answers");
        let request =
            format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("etcd reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("etcd answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.contains(" 200 "), "etcd: {answer}");
        serde_json::from_str(body).unwrap_or_else(|e| panic!("etcd: {e}: {answer}"))
    }
}

fn key(name: &str) -> ByteString {
    ByteString(format!("/registry/organization-operator.io/organizations/{name}").into_bytes())
}

fn earlier(time: &mut Value, days: i64) {
    let was: Timestamp = time.as_str().and_then(|t| t.parse().ok()).expect("a time");
    *time = json!(format!("{:.0}", was - SignedDuration::from_hours(24 * days)));
}
