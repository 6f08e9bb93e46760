//! The ways to erase a tenant that are compared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use kube::runtime::wait::await_condition;
use organization_operator::api::Organization;
use organization_operator::config::Config;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use super::process::Memory;
use super::tenants::Size;
use super::{by_hand, progress};
use crate::support::{Launch, Scene, Seen};

/// A way to erase a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Children first, in one transaction.
    HandWritten,
    /// One statement, and foreign keys with `ON DELETE CASCADE`.
    OnDeleteCascade,
    /// The operator, in one transaction.
    Atomic,
    /// The operator, in pages.
    Batched,
}

/// An erasure that is done.
#[derive(Clone, Copy, Debug)]
pub struct Erased {
    /// When it was asked for.
    pub began: Instant,
    pub took: Duration,
    /// Memory of the operator, before and after.
    pub memory: Option<[Memory; 2]>,
}

/// What the condition `Deleting` says while rows go in pages, and from how many rows on that lasts long enough to be seen.
const IN_PAGES: &str = "Shrinking";
const SAYS_SO: u64 = 1_000_000;

/// Longer than any erasure: the timeouts that ship would end what is measured here.
const NO_TIMEOUT: u64 = 6 * 3600;

impl Side {
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandWritten => "hand-written SQL",
            Self::OnDeleteCascade => "ON DELETE CASCADE",
            Self::Atomic => "operator, one transaction",
            Self::Batched => "operator, in pages",
        }
    }

    /// Why it cannot be measured.
    pub fn missing(self) -> Option<String> {
        (self == Self::Batched && !knows_batches())
            .then(|| "not measured: this build does not know `cascade.batch`".to_owned())
    }

    /// Erases tenant number 1 of a scene.
    pub async fn erase(self, scene: &Scene, size: Size) -> Erased {
        let erasing = async {
            match self {
                Self::HandWritten | Self::OnDeleteCascade => self.by_hand(scene, size).await,
                Self::Atomic | Self::Batched => self.by_operator(scene, size).await,
            }
        };
        progress().during(&format!("{} rows, {}", size.words(), self.name()), erasing).await
    }

    async fn by_hand(self, scene: &Scene, size: Size) -> Erased {
        if self == Self::OnDeleteCascade {
            by_hand::cascade_on_delete(scene).await;
        }
        let (mut connection, key) = (scene.connect().await, scene.key(1));
        // As PostgreSQL ships.
        connection.execute("SET jit = on").await.expect("set");
        let began = Instant::now();
        let (rows, all) = if self == Self::OnDeleteCascade {
            (by_hand::organization(&mut connection, &key).await, 1)
        } else {
            (by_hand::children_first(&mut connection, &key).await, size.rows())
        };
        let took = began.elapsed();
        assert_eq!(rows, all, "{} rows, {}", size.words(), self.name());
        connection.close().await.expect("closed");
        Erased { began, took, memory: None }
    }

    /// As shipped, but for the timeouts, the wait for a successor, and how many rows make a large tenant.
    fn launch(self, scene: &Scene, size: Size) -> Launch {
        let launch = launch(scene)
            .configure("reconcileTimeoutSeconds", json!(NO_TIMEOUT))
            .configure("database", json!({"statementTimeoutSeconds": NO_TIMEOUT}));
        match (self, knows_batches()) {
            (Self::Batched, _) => launch.configure("cascade", json!({"batch": {"rows": (size.rows() / 2).max(1)}})),
            (_, true) => launch.configure("cascade", json!({"batch": "never"})),
            (_, false) => launch,
        }
    }

    /// From the request to delete the object until it is gone, with everything that the operator checks and records.
    async fn by_operator(self, scene: &Scene, size: Size) -> Erased {
        let operator = self.launch(scene, size).start().await;
        let org = scene.org("erased", &scene.key(1)).policy("Delete");
        scene.apply(&org).await;
        scene.ready("erased").await;
        let before = Memory::of(operator.guard().pid());
        let began = Instant::now();
        scene.api().delete(&org.name(), &DeleteParams::default()).await.expect("accepted");
        let in_pages = AtomicBool::new(false);
        let ended = |object: Option<&Organization>| {
            let seen = object.map(|o| Seen(o.clone()));
            if seen.as_ref().is_some_and(|seen| seen.reason("Deleting") == IN_PAGES) {
                in_pages.store(true, Ordering::Relaxed);
            }
            seen.is_none_or(|seen| seen.is("DeletionBlocked", "True"))
        };
        let last = await_condition(scene.api(), &org.name(), ended).await.expect("a watch");
        let took = began.elapsed();
        assert!(last.is_none(), "the erasure is blocked: {}", last.map(|o| Seen(o).yaml()).unwrap_or_default());
        let after = Memory::of(operator.guard().pid());
        if size.rows() >= SAYS_SO {
            let expected = self == Self::Batched;
            assert_eq!(in_pages.into_inner(), expected, "whether the rows went in pages, as the status said");
        }
        let ledger = scene.ledger().await;
        let steps = ledger[0].steps.as_array().into_iter().flatten();
        let deleted: i64 =
            steps.filter_map(|step| step["deleted"].as_i64()).sum::<i64>() + ledger[0].organizations_deleted;
        assert_eq!((ledger.len(), ledger[0].outcome.as_str()), (1, "Erased"));
        assert_eq!(deleted.unsigned_abs(), size.rows(), "the ledger has every row");
        operator.stop().await;
        Erased { began, took, memory: Some([before, after]) }
    }
}

/// As shipped, but for the wait for a successor.
pub fn launch(scene: &Scene) -> Launch {
    scene.operator().shipped_defaults().configure("handoverSeconds", json!(0))
}

/// Whether this build can delete in pages.
fn knows_batches() -> bool {
    let known = |batch: Value| {
        let config = serde_yaml::to_string(&json!({"cascade": {"batch": batch}})).expect("a configuration");
        serde_yaml::from_str::<Config>(&config).is_ok()
    };
    known(json!({"rows": 1000})) && known(json!("never"))
}
