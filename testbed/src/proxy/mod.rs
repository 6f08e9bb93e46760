//! Faults between the operator and its servers, at exactly chosen points.
//!
//! [`ApiProxy`] and [`SqlProxy`] pass everything on and number what changes something: the writes to
//! the API server, and the statements to PostgreSQL. [`Proxy::arm`] chooses one number; when it
//! comes up, the proxy calls a closure (which kills the operator, say) and closes the connection,
//! either before the server has seen the request or after it has answered it.
//!
//! ```no_run
//! # async fn example(control_plane: testbed::ControlPlane, operator: std::sync::Arc<testbed::ProcessGuard>) -> testbed::Result<()> {
//! use testbed::proxy::{ApiProxy, Fault, Moment};
//!
//! let proxy = ApiProxy::start(&control_plane).await?;
//! proxy.arm(Fault { ordinal: 3, moment: Moment::After }, move || {
//!     let _ = operator.signal(testbed::Signal::Kill);
//! });
//! # Ok(()) }
//! ```

mod api;
mod gate;
mod hold;
mod sql;
mod trigger;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use api::{Api, ApiProxy};
pub use sql::{Sql, SqlProxy};
pub use trigger::{Fault, Moment, Passed};

use crate::error::Result;
use gate::Gate;
use trigger::Trigger;

/// What a proxy does with one connection of a client.
trait Protocol: Send + Sync + 'static {
    /// Serves the client until either side ends the connection.
    fn serve(&self, client: tokio::net::TcpStream, trigger: Arc<Trigger>) -> impl Future<Output = ()> + Send;
}

/// A proxy for one protocol: [`ApiProxy`] or [`SqlProxy`].
#[derive(Debug)]
pub struct Proxy<P> {
    gate: Gate<P>,
    trigger: Arc<Trigger>,
}

#[allow(private_bounds, reason = "there are two protocols, and nobody else needs to add one")]
impl<P: Protocol> Proxy<P> {
    async fn over(protocol: P) -> Result<Self> {
        let trigger = Arc::new(Trigger::default());
        let gate = Gate::open(protocol, Arc::clone(&trigger)).await?;
        Ok(Self { gate, trigger })
    }

    fn protocol(&self) -> &P {
        self.gate.protocol()
    }

    /// The port on 127.0.0.1 where the proxy listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.gate.port()
    }

    /// Counts from one again, and calls `hook` when the chosen number comes up. Replaces an
    /// earlier fault that has not come up.
    ///
    /// The hook may block; the connection is closed when it returns. A fault comes up once, and
    /// counting goes on afterwards.
    pub fn arm(&self, fault: Fault, hook: impl Fn() + Send + Sync + 'static) {
        self.trigger.arm(Some((fault, Arc::new(hook))));
    }

    /// Counts from one again, without a fault: to learn how many numbers there are.
    pub fn record(&self) {
        self.trigger.arm(None);
    }

    /// Stops counting and forgets the fault. What was counted can still be read.
    pub fn disarm(&self) {
        self.trigger.disarm();
    }

    /// Counts only what `counts` says yes to, given the text that [`Proxy::log`] would show. This
    /// keeps writes and statements out that come by the clock, such as those of a lease.
    ///
    /// It is called before the text is passed on, for several connections at once, and may take its time in
    /// [`tokio::task::block_in_place`].
    pub fn count_only(&self, counts: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.trigger.count_only(Arc::new(counts));
    }

    /// How many were counted since [`Proxy::arm`] or [`Proxy::record`].
    #[must_use]
    pub fn count(&self) -> u64 {
        self.trigger.count()
    }

    /// What was counted since [`Proxy::arm`] or [`Proxy::record`], in order.
    #[must_use]
    pub fn log(&self) -> Vec<Passed> {
        self.trigger.log()
    }

    /// What the fault struck, if it has come up. True only once the hook has returned.
    #[must_use]
    pub fn fired(&self) -> Option<Passed> {
        self.trigger.fired()
    }

    /// Waits until the fault has come up and its hook has returned.
    pub async fn wait_fired(&self, timeout: Duration) -> Option<Passed> {
        self.trigger.wait_fired(timeout).await
    }

    /// Closes all connections and refuses new ones, like a network that is down.
    pub async fn sever(&self) {
        self.gate.close().await;
    }

    /// Accepts connections again after [`Proxy::sever`], on the same port.
    ///
    /// # Errors
    ///
    /// Fails when another process has taken the port.
    pub async fn restore(&self) -> Result<()> {
        self.gate.reopen().await
    }
}
