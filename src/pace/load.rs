//! How far the standbys are.

use std::time::Duration;

/// What is behind by less than this is not behind: a standby of a busy server always is.
const NOTHING: u64 = 1 << 20;
/// What is behind by more than this without a time is behind: the server has not measured one yet.
const MUCH: u64 = 16 << 20;

/// What the server says about its standbys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The server's own name (`cluster_name`), with which its standbys know it after a failover. Empty if it has none.
    pub server: String,
    /// Everything that follows the server.
    pub standbys: Vec<Standby>,
}

/// Something that follows the server, as `pg_stat_replication` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standby {
    /// Its `application_name`.
    pub name: String,
    /// Its state. `None` if the operator's role may not see it.
    pub state: Option<String>,
    /// For how long it has not replayed what the server wrote. `None` if the server has not measured it lately.
    pub lag: Option<Duration>,
    /// How many bytes it has not replayed. `None` if it replays nothing: a backup, or an archive.
    pub behind: Option<u64>,
}

/// How a standby stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It replays nothing, so it cannot be late.
    ReplaysNothing,
    /// The operator's role may not see.
    Hidden,
    /// It copies what it missed.
    CatchingUp,
    /// It is this late.
    Late(Duration),
}

impl Standby {
    pub(super) fn stand(&self) -> Stand {
        let Some(state) = &self.state else { return Stand::Hidden };
        let Some(behind) = self.behind else { return Stand::ReplaysNothing };
        match self.lag {
            _ if behind <= NOTHING => Stand::Late(Duration::ZERO),
            _ if state != "streaming" => Stand::CatchingUp,
            Some(lag) => Stand::Late(lag),
            None if behind > MUCH => Stand::CatchingUp,
            None => Stand::Late(Duration::ZERO),
        }
    }
}

/// The names in a value of `synchronous_standby_names`: `a, b`, `FIRST 2 (a, "b c")`, `ANY 1 (*)`.
#[must_use]
pub fn synchronous(setting: &str) -> Vec<String> {
    let list = setting.split_once('(').map_or(setting, |(_, list)| list.trim_end().trim_end_matches(')'));
    let mut names = Vec::new();
    let (mut name, mut quoted) = (String::new(), false);
    for character in list.chars().chain([',']) {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name).trim().to_owned()),
            _ => name.push(character),
        }
    }
    names.retain(|name| !name.is_empty() && name != "*");
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_synchronous_standbys() {
        for (setting, expected) in [
            ("", &[][..]),
            ("*", &[]),
            ("a", &["a"]),
            ("a, b", &["a", "b"]),
            ("2 (a,b)", &["a", "b"]),
            ("FIRST 2 (a, \"b c\", \"d,e\")", &["a", "b c", "d,e"]),
            ("ANY 1 (*)", &[]),
        ] {
            assert_eq!(synchronous(setting), expected, "{setting}");
        }
    }

    #[test]
    fn how_a_standby_stands() {
        let late = |seconds| Stand::Late(Duration::from_secs(seconds));
        for (state, lag, behind, expected) in [
            (None, None, None, Stand::Hidden),
            (Some("backup"), None, None, Stand::ReplaysNothing),
            (Some("streaming"), None, None, Stand::ReplaysNothing),
            (Some("streaming"), None, Some(0), late(0)),
            // The server shows the last measured time long after the standby has caught up.
            (Some("streaming"), Some(600), Some(0), late(0)),
            (Some("streaming"), Some(600), Some(1 << 20), late(0)),
            (Some("streaming"), Some(600), Some((1 << 20) + 1), late(600)),
            (Some("streaming"), None, Some(2 << 20), late(0)),
            (Some("streaming"), None, Some(1 << 30), Stand::CatchingUp),
            (Some("catchup"), Some(1), Some(1 << 30), Stand::CatchingUp),
            (Some("startup"), None, Some(1 << 30), Stand::CatchingUp),
        ] {
            let standby = Standby {
                name: "a".into(),
                state: state.map(str::to_owned),
                lag: lag.map(Duration::from_secs),
                behind,
            };
            assert_eq!(standby.stand(), expected, "{standby:?}");
        }
    }
}
