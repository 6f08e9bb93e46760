//! Background tasks that the process cannot do without. If one is lost, the process ends and the kubelet starts it again:
//! an operator that looks healthy and does nothing is worse than one that restarts.

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

/// A task that runs for as long as the process. Dropping it ends it.
#[derive(Debug)]
pub struct Background {
    name: &'static str,
    task: JoinHandle<()>,
}

/// A background task ended although the process was not asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("the background task {task:?} {how}; the operator exits so that the kubelet restarts it")]
pub struct Lost {
    task: &'static str,
    how: String,
}

impl Background {
    /// Starts `work`. The task is lost if it ends before `stop` is true.
    pub fn spawn(
        name: &'static str,
        stop: watch::Receiver<bool>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let task = async move {
            work.await;
            if *stop.borrow() {
                std::future::pending::<()>().await;
            }
        };
        // Its log lines say, as those of whoever starts it, which database they are about.
        let task = tokio::spawn(task.in_current_span());
        Self { name, task }
    }

    /// Does `work`, unless the task is lost first.
    ///
    /// # Errors
    /// Fails if the task is lost.
    pub async fn guard<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Lost> {
        tokio::select! {
            done = work => Ok(done),
            lost = self.lost() => Err(lost),
        }
    }

    async fn lost(&mut self) -> Lost {
        let how = match (&mut self.task).await {
            Ok(()) => "ended".to_owned(),
            Err(error) => cause(error),
        };
        Lost { task: self.name, how }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn cause(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "was cancelled".to_owned() };
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    match text.or_else(|| panic.downcast_ref::<String>().cloned()) {
        Some(text) => format!("panicked: {text}"),
        None => "panicked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message about a task that is lost while other work would never end.
    async fn loss_of(task: &mut Background) -> String {
        let guarded = task.guard(std::future::pending::<()>());
        let done = tokio::time::timeout(std::time::Duration::from_secs(10), guarded).await;
        done.expect("it is noticed").expect_err("lost").to_string()
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_lost_and_named() {
        let (_sender, stop) = watch::channel(false);
        let mut panics = Background::spawn("drift", stop.clone(), async { panic!("no more {}", "rows") });
        let lost = loss_of(&mut panics).await;
        assert!(lost.starts_with("the background task \"drift\" panicked: no more rows;"), "{lost}");
        let mut ends = Background::spawn("server", stop, async {});
        let lost = loss_of(&mut ends).await;
        assert!(lost.starts_with("the background task \"server\" ended;"), "{lost}");
    }

    #[tokio::test]
    async fn a_task_that_ends_when_the_process_is_asked_to_stop_is_not_lost() {
        let (sender, stop) = watch::channel(false);
        let (ending, ended) = tokio::sync::oneshot::channel::<()>();
        let mut waiting = stop.clone();
        let mut task = Background::spawn("server", stop, async move {
            let _ending = ending;
            drop(waiting.wait_for(|s| *s).await);
        });
        sender.send_replace(true);
        assert!(ended.await.is_err(), "its work is done");
        assert!(futures::poll!(Box::pin(task.guard(std::future::pending::<()>()))).is_pending());
        assert_eq!(task.guard(async { 7 }).await.expect("not lost"), 7);
    }

    #[tokio::test]
    async fn a_task_that_nobody_waits_for_is_ended() {
        let (_sender, stop) = watch::channel(false);
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        drop(Background::spawn("drift", stop, async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        }));
        assert!(gone.await.is_err());
    }
}
