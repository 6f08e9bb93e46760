//! In front of PostgreSQL.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::trigger::{Moment, Strike, Trigger};
use super::wire::{Message, Opening, Statements, read_opening};
use super::{Protocol, Proxy};
use crate::error::Result;
use crate::postgres::Postgres;

/// PostgreSQL's protocol, of which every simple query and every execution of a portal counts.
#[derive(Debug)]
pub struct Sql {
    host: String,
    port: u16,
}

/// Stands between a client and PostgreSQL and numbers its statements.
///
/// `BEGIN` and `COMMIT` are statements too, and so are those that a driver sends on its own. The
/// proxy offers no TLS. An answer is complete, for a fault after it, when the server is ready for
/// the next query: then a statement outside a transaction is committed.
pub type SqlProxy = Proxy<Sql>;

impl Proxy<Sql> {
    /// Starts a proxy in front of the database server. It may be stopped and started meanwhile.
    ///
    /// # Errors
    ///
    /// Fails when there is no free port.
    pub async fn start(postgres: &Postgres) -> Result<Self> {
        Self::over(Sql { host: postgres.host(), port: postgres.port() }).await
    }

    /// Bytes of messages in both directions so far, without those that begin a connection.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.trigger.bytes.load(Ordering::Relaxed)
    }
}

impl Protocol for Sql {
    async fn serve(&self, client: TcpStream, trigger: Arc<Trigger>) {
        // Whichever side fails, both connections end; that is all a proxy can say.
        let _ = self.session(client, &trigger).await;
    }
}

impl Sql {
    async fn session(&self, client: TcpStream, trigger: &Arc<Trigger>) -> io::Result<()> {
        let (reader, mut writer) = client.into_split();
        let mut reader = BufReader::new(reader);
        let opening = loop {
            match read_opening(&mut reader).await? {
                Opening::Encryption => writer.write_all(b"N").await?,
                opening => break opening,
            }
        };
        let mut server = TcpStream::connect((self.host.as_str(), self.port)).await?;
        server.set_nodelay(true)?;
        let startup = match opening {
            Opening::Cancel(request) => return server.write_all(&request).await,
            Opening::Session(startup) => startup,
            // The loop above goes on until it is something else.
            Opening::Encryption => return Ok(()),
        };
        server.write_all(&startup).await?;
        let (from_server, to_server) = server.into_split();
        let withheld = Withheld::default();
        // The first to end ends the other, and with it both connections.
        tokio::select! {
            ended = requests(reader, BufWriter::new(to_server), trigger, &withheld) => ended,
            ended = answers(BufReader::new(from_server), BufWriter::new(writer), trigger, &withheld) => ended,
        }
    }
}

/// The answer that the client is not to see: both directions of a connection know of it.
#[derive(Default)]
struct Withheld(Mutex<Option<(u64, Strike)>>);

impl Withheld {
    fn set(&self, round: u64, strike: Strike) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((round, strike));
    }

    fn is(&self, round: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|(withheld, _)| *withheld == round)
    }

    fn take(&self) -> Option<Strike> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(|(_, strike)| strike)
    }
}

/// From the client to the server.
async fn requests(
    mut client: BufReader<OwnedReadHalf>,
    mut server: BufWriter<OwnedWriteHalf>,
    trigger: &Arc<Trigger>,
    withheld: &Withheld,
) -> io::Result<()> {
    let mut statements = Statements::default();
    // Each round ends with the server's ReadyForQuery.
    let mut round = 1;
    let mut struck = u64::MAX;
    while let Some(message) = Message::read(&mut client).await? {
        // Nothing follows the statement after which the client is struck, except the data of its COPY.
        if round > struck && !matches!(message.kind(), b'd' | b'c' | b'f') {
            return std::future::pending().await;
        }
        trigger.bytes.fetch_add(message.as_bytes().len() as u64, Ordering::Relaxed);
        let strike = statements.carried_out_by(&message).and_then(|sql| trigger.observe(&sql));
        match strike {
            Some(strike) if strike.moment == Moment::Before => {
                strike.carry_out(trigger).await;
                return Ok(());
            }
            // Before the server can possibly answer.
            Some(strike) => {
                struck = round;
                withheld.set(round, strike);
            }
            None => {}
        }
        // Query, Sync and FunctionCall.
        if matches!(message.kind(), b'Q' | b'S' | b'F') {
            round += 1;
        }
        server.write_all(message.as_bytes()).await?;
        if client.buffer().is_empty() {
            server.flush().await?;
        }
    }
    Ok(())
}

/// From the server to the client.
async fn answers(
    mut server: BufReader<OwnedReadHalf>,
    mut client: BufWriter<OwnedWriteHalf>,
    trigger: &Arc<Trigger>,
    withheld: &Withheld,
) -> io::Result<()> {
    // The ReadyForQuery of round zero is that of the login.
    let mut round = 0;
    let mut answered = false;
    while let Some(message) = Message::read(&mut server).await? {
        trigger.bytes.fetch_add(message.as_bytes().len() as u64, Ordering::Relaxed);
        let ready = message.kind() == b'Z';
        if withheld.is(round) {
            // After an error the server may end the session instead of becoming ready again.
            answered |= ready || message.kind() == b'E';
            if ready {
                break;
            }
            // Without these the client would not send the data of a COPY, and no answer would come.
            if !matches!(message.kind(), b'G' | b'W') {
                continue;
            }
        }
        round += u64::from(ready);
        client.write_all(message.as_bytes()).await?;
        if server.buffer().is_empty() {
            client.flush().await?;
        }
    }
    if answered && let Some(strike) = withheld.take() {
        strike.carry_out(trigger).await;
    }
    Ok(())
}
