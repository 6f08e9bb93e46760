//! As much of PostgreSQL's wire protocol as it takes to number statements.

use std::collections::HashMap;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Asks whether the server wants TLS.
const SSL_REQUEST: u32 = 80_877_103;
/// Asks whether the server wants GSSAPI encryption.
const GSS_ENCRYPTION_REQUEST: u32 = 80_877_104;
/// Asks to cancel the statement of another connection.
const CANCEL_REQUEST: u32 = 80_877_102;

/// The longest message taken seriously; PostgreSQL's own limit is 1 GiB.
const LONGEST: u32 = 1 << 30;

/// The first message of a connection, which has no type.
pub(super) enum Opening {
    /// TLS or GSSAPI encryption is asked for.
    Encryption,
    /// A request to cancel a statement; no answer follows.
    Cancel(Vec<u8>),
    /// The session begins.
    Session(Vec<u8>),
}

/// Reads the first message of a connection.
pub(super) async fn read_opening(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Opening> {
    let length = from.read_u32().await?;
    let mut message = length.to_be_bytes().to_vec();
    read_rest(from, length, &mut message).await?;
    let code = message.get(4..8).and_then(|code| code.try_into().ok()).map_or(0, u32::from_be_bytes);
    Ok(match code {
        SSL_REQUEST | GSS_ENCRYPTION_REQUEST => Opening::Encryption,
        CANCEL_REQUEST => Opening::Cancel(message),
        _ => Opening::Session(message),
    })
}

/// A message after the first: one byte of type, four of length, and its content.
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Reads the next message; `None` at the end of the connection.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let kind = match from.read_u8().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            kind => kind?,
        };
        let length = from.read_u32().await?;
        let mut bytes = vec![kind];
        bytes.extend(length.to_be_bytes());
        read_rest(from, length, &mut bytes).await?;
        Ok(Some(Self { bytes }))
    }

    pub(super) fn kind(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first texts of the content, each of which ends with a zero byte.
    fn texts(&self) -> impl Iterator<Item = String> {
        let content = self.bytes.get(5..).unwrap_or_default();
        content.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// Reads what the length promises; the length counts its own four bytes.
async fn read_rest(from: &mut (impl AsyncRead + Unpin), length: u32, into: &mut Vec<u8>) -> io::Result<()> {
    let rest = length.checked_sub(4).filter(|rest| *rest <= LONGEST);
    let rest = rest.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    from.take(u64::from(rest)).read_to_end(into).await?;
    Ok(())
}

/// Remembers which SQL the prepared statements and portals of one connection stand for.
#[derive(Default)]
pub(super) struct Statements {
    prepared: HashMap<String, String>,
    portals: HashMap<String, String>,
}

impl Statements {
    /// The SQL, if the client's message has the server carry out a statement.
    pub(super) fn carried_out_by(&mut self, message: &Message) -> Option<String> {
        let mut texts = message.texts();
        let mut text = || texts.next().unwrap_or_default();
        match message.kind() {
            b'Q' => Some(on_one_line(&text())),
            b'P' => {
                let name = text();
                self.prepared.insert(name, on_one_line(&text()));
                None
            }
            b'B' => {
                let portal = text();
                let sql = self.prepared.get(&text()).cloned().unwrap_or_default();
                self.portals.insert(portal, sql);
                None
            }
            b'E' => Some(self.portals.get(&text()).cloned().unwrap_or_default()),
            _ => None,
        }
    }
}

fn on_one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
