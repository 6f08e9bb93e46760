//! The listening socket of a proxy, which can be closed and opened again.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::Protocol;
use super::trigger::Trigger;
use crate::error::{Error, Result};
use crate::ports::free_port;

/// Ports to try, should another process be quicker.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Gate<P> {
    port: u16,
    protocol: Arc<P>,
    trigger: Arc<Trigger>,
    open: Mutex<Option<Open>>,
}

/// The task that accepts connections. It ends when the sender is dropped or used.
#[derive(Debug)]
struct Open {
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl<P: Protocol> Gate<P> {
    pub(super) async fn open(protocol: P, trigger: Arc<Trigger>) -> Result<Self> {
        let mut attempt = 1;
        let (port, listener) = loop {
            let port = free_port()?;
            match listen(port).await {
                Err(Error::Listen { source, .. }) if attempt < ATTEMPTS && source.kind() == ErrorKind::AddrInUse => {
                    attempt += 1;
                }
                outcome => break (port, outcome?),
            }
        };
        let gate = Self { port, protocol: Arc::new(protocol), trigger, open: Mutex::new(None) };
        *gate.open.lock().await = Some(gate.accept_from(listener));
        Ok(gate)
    }

    pub(super) fn protocol(&self) -> &P {
        &self.protocol
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Returns when the socket and all connections are closed.
    pub(super) async fn close(&self) {
        if let Some(Open { close, task }) = self.open.lock().await.take() {
            let _ = close.send(());
            let _ = task.await;
        }
    }

    pub(super) async fn reopen(&self) -> Result<()> {
        let mut open = self.open.lock().await;
        if open.is_none() {
            *open = Some(self.accept_from(listen(self.port).await?));
        }
        Ok(())
    }

    fn accept_from(&self, listener: TcpListener) -> Open {
        let (close, mut closed) = oneshot::channel();
        let (protocol, trigger) = (Arc::clone(&self.protocol), Arc::clone(&self.trigger));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    _ = &mut closed => break,
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else {
                            // Out of file descriptors, most likely: connections have to end first.
                            tokio::time::sleep(PAUSE).await;
                            continue;
                        };
                        // Without this a small answer waits for the acknowledgement of the one before.
                        let _ = client.set_nodelay(true);
                        let (protocol, trigger) = (Arc::clone(&protocol), Arc::clone(&trigger));
                        connections.spawn(async move { protocol.serve(client, trigger).await });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
            drop(listener);
            connections.shutdown().await;
        });
        Open { close, task }
    }
}

async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|source| Error::Listen { port, source })
}
