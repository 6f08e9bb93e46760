//! SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::background::Background;
use crate::commands::error::CommandError;

/// A task that waits for signals, and a channel that turns true at SIGTERM or SIGINT.
pub(super) fn stop() -> Result<(Background, watch::Receiver<bool>), CommandError> {
    let refused = |e: std::io::Error| CommandError(format!("cannot receive signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let (sender, receiver) = watch::channel(false);
    let signals = Background::spawn("signals", receiver.clone(), async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop; the current reconciliations end first");
        sender.send_replace(true);
        // Keeps the channel open for later readers.
        std::future::pending::<()>().await;
    });
    Ok((signals, receiver))
}
