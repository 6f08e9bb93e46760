//! What the tests stand on. Nothing here asserts anything about the operator.

mod operator;
mod organization;
mod scene;
mod world;

pub use operator::{Launch, Operator};
pub use organization::{Org, Seen};
pub use scene::{OPERATOR, Scene, Variant};
pub use world::{PASSWORD, ROLE, World, binary, path};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A test with its name.
pub type Test = (&'static str, fn(Arc<World>) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// Lists the tests of a module: `tests![a, b]`.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub fn tests() -> Vec<$crate::support::Test> {
            vec![$((
                concat!(module_path!(), "::", stringify!($name)),
                |world| Box::pin($name(world)),
            )),*]
        }
    };
}

/// How long anything that should happen may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `look` finds something. Panics with what was waited for.
pub async fn eventually<T, F, Fut>(what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
