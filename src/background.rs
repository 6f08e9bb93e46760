//! Background tasks that the process cannot do without. Where one is lost, the process ends, so that the kubelet starts it
//! again: an operator that looks healthy and no longer looks at anything is worse than one that is restarted.

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// A task that runs for as long as the process. Dropping it ends it.
#[derive(Debug)]
pub struct Background {
    name: &'static str,
    task: JoinHandle<()>,
}

/// A background task is gone although nobody told the process to stop.
#[derive(Debug, thiserror::Error)]
#[error("the background task {task:?} {how}; the operator ends so that it is started again")]
pub struct Lost {
    task: &'static str,
    how: String,
}

impl Background {
    /// Starts `work`. Where it ends before `stop` is true, the task is lost; after that it may.
    pub fn spawn(
        name: &'static str,
        stop: watch::Receiver<bool>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let task = tokio::spawn(async move {
            work.await;
            if *stop.borrow() {
                std::future::pending::<()>().await;
            }
        });
        Self { name, task }
    }

    /// Does `work`, unless the task is lost before it is done.
    ///
    /// # Errors
    /// Fails when the task is lost.
    pub async fn guard<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Lost> {
        tokio::select! {
            done = work => Ok(done),
            lost = self.lost() => Err(lost),
        }
    }

    async fn lost(&mut self) -> Lost {
        let how = match (&mut self.task).await {
            Ok(()) => "ended".to_owned(),
            Err(error) => told(error),
        };
        Lost { task: self.name, how }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn told(error: JoinError) -> String {
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

    /// What is said of a task that is lost while other work would go on for ever.
    async fn told_of(task: &mut Background) -> String {
        let guarded = task.guard(std::future::pending::<()>());
        let done = tokio::time::timeout(std::time::Duration::from_secs(10), guarded).await;
        done.expect("it is noticed").expect_err("lost").to_string()
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_lost_and_named() {
        let (_sender, stop) = watch::channel(false);
        let mut panics = Background::spawn("census", stop.clone(), async { panic!("no more {}", "rows") });
        let lost = told_of(&mut panics).await;
        assert!(lost.starts_with("the background task \"census\" panicked: no more rows;"), "{lost}");
        let mut ends = Background::spawn("server", stop, async {});
        let lost = told_of(&mut ends).await;
        assert!(lost.starts_with("the background task \"server\" ended;"), "{lost}");
    }

    #[tokio::test]
    async fn a_task_that_ends_when_the_process_is_told_to_stop_is_not_lost() {
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
        drop(Background::spawn("census", stop, async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        }));
        assert!(gone.await.is_err());
    }
}
