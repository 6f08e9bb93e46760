//! Which statement of a cascade runs, for a person who waits for it.

use crate::db::error::During;

/// What a cascade is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In words, with the table: `deleting from public.users`.
    pub doing: String,
    /// Whether it changes rows, as [`planner::ErasePlan::deletes`] do.
    pub changes: bool,
}

/// Who is told.
type Tell = Box<dyn Fn(Step) + Send + Sync>;

tokio::task_local! {
    static FOLLOWER: Tell;
}

/// Does `work`, and tells before each statement of a cascade in it which one it is.
pub async fn followed<T>(tell: impl Fn(Step) + Send + Sync + 'static, work: impl Future<Output = T>) -> T {
    FOLLOWER.scope(Box::new(tell), work).await
}

/// Tells whoever follows. The operator's own deletions are followed by nobody, and cost nothing here.
pub(super) fn tell(during: During<'_>, changes: bool) {
    // An error says that nobody follows.
    let _ = FOLLOWER.try_with(|tell| {
        let tables = during.table.map_or_else(|| during.tables.join(", "), str::to_owned);
        tell(Step { doing: format!("{} {tables}", during.action).trim_end().to_owned(), changes });
    });
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn each_step_is_told_to_whoever_follows() {
        let told: Arc<Mutex<Vec<Step>>> = Arc::default();
        let keep = told.clone();
        tell(During::action("counting"), false);
        followed(move |step| keep.lock().expect("a lock").push(step), async {
            tell(During::action("counting"), false);
            tell(During::change("deleting from", Some("users"), "public.users"), true);
            tell(During::changes("deleting from", &["a", "b"]), true);
        })
        .await;
        let step = |doing: &str, changes| Step { doing: doing.to_owned(), changes };
        let expected =
            [step("counting", false), step("deleting from public.users", true), step("deleting from a, b", true)];
        assert_eq!(*told.lock().expect("a lock"), expected);
    }
}
