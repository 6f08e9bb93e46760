//! What the tests stand on. Nothing here asserts anything about the operator.

mod engines;
mod etcd;
pub mod http;
mod needs;
mod operator;
mod organization;
mod scene;
mod subject;
mod world;

pub use engines::Engines;
pub use etcd::Etcd;
pub use needs::{Need, Unmet, selected};
pub use operator::{Launch, Operator};
pub use organization::{Org, Seen};
pub use scene::{OPERATOR, Scene, Variant};
pub use subject::subject;
pub use world::{NEWEST, OLDEST, PASSWORD, ROLE, World, binary, given, path};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// The body of a test.
pub type Body = fn(Arc<World>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    pub name: &'static str,
    pub run: Body,
    /// What it needs beside the servers of every test.
    pub needs: Vec<Need>,
}

/// Lists the tests of a module: `tests![a, b]`. Those that need more than the servers have a list of their own:
/// `tests![needs Need::Psql; c]`.
#[macro_export]
macro_rules! tests {
    (needs $($need:expr),+; $($name:ident),* $(,)?) => { $crate::tests!(@ [$($need),+] $($name),*); };
    (@ $needs:tt $($name:ident),*) => {
        /// The tests of this module.
        pub fn tests() -> Vec<$crate::support::Test> {
            vec![$($crate::tests!(@one $needs $name)),*]
        }
    };
    (@one $needs:tt $name:ident) => {
        $crate::support::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            run: |world| Box::pin($name(world)),
            needs: vec!$needs,
        }
    };
    ($($name:ident),* $(,)?) => { $crate::tests!(@ [] $($name),*); };
}

/// Enough seconds for the operator to see an expiration while it is in the future, on a busy machine too.
pub const SOON: i64 = 12;

/// A time from now, in whole seconds as people write it.
pub fn time(seconds: i64) -> String {
    let time = Timestamp::now() + SignedDuration::from_secs(seconds);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long anything that should happen may take.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How often to look whether it has happened.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Waits until `check` finds something. Panics with `what` if it finds nothing in time.
pub async fn eventually<T, F, Fut>(what: &str, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain for: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
