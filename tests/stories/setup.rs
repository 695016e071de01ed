//! What a story's station is made of: its rooms, routes and times, and how one may differ from the usual one.
use std::time::Duration;

pub const BOT: &str = "b07e57b07e57b07e57b07e57aa";
pub const GROUP: &str = "90210";
pub const TOKEN: &str = "callback-token-of-the-tests";
pub const OTHER_BOT: &str = "0ff1ce0ff1ce0ff1ce0ff1ceaa";
pub const OTHER_GROUP: &str = "77701";
pub const MEMBER: &str = "members-access-token-of-the-tests";
pub const KEY: &str = "key-of-the-tests";
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How a story's station differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    /// TOML of rooms and routes.
    pub rooms: String,
    /// Lines that go into `[lanes]`, instead of the usual ones of their keys.
    pub lanes: String,
    /// Further environment.
    pub vars: Vec<(&'static str, String)>,
    /// Whether the room's lines come back by callback.
    pub callbacks: bool,
    /// A migrated database on a server of the story's own.
    pub database: Option<String>,
    /// Bots beside the first.
    pub bots: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rooms: usual_rooms("20ms", 3),
            lanes: String::new(),
            vars: Vec::new(),
            callbacks: true,
            database: None,
            bots: Vec::new(),
        }
    }
}

/// One room and the routes of infra/talkback.toml, without exchanges.
pub fn usual_rooms(pace: &str, burst: u32) -> String {
    format!(
        r#"
[[rooms]]
name = "staff"
bot_id = "{BOT}"
group = "{GROUP}"
pace = "{pace}"
burst = {burst}

[[routes]]
pattern = "source.twilio.sms.incoming"
rooms = ["staff"]
patience = "15s"
[[routes]]
pattern = "source.twilio.sms.outgoing"
action = "block"
[[routes]]
pattern = "source.twilio.ban"
action = "block"
[[routes]]
pattern = "source.groupme.dashboard.#"
action = "block"
[[routes]]
pattern = "notification.ups.#"
rooms = ["staff"]
priority = "urgent"
[[routes]]
pattern = "source.#"
rooms = ["staff"]
[[routes]]
pattern = "notification.#"
rooms = ["staff"]
"#
    )
}

/// A second room, `tech`, with a bot and a group of its own; what comes by `source.#` goes to both.
pub fn two_rooms() -> Setup {
    let both = usual_rooms("20ms", 3)
        .replace("\"source.#\"\nrooms = [\"staff\"]", "\"source.#\"\nrooms = [\"staff\", \"tech\"]");
    let rooms = format!(
        "{both}\n[[rooms]]\nname = \"tech\"\nbot_id = \"{OTHER_BOT}\"\ngroup = \"{OTHER_GROUP}\"\npace = \"20ms\"\n"
    );
    Setup { rooms, bots: vec![(OTHER_BOT.to_owned(), OTHER_GROUP.to_owned())], ..Setup::default() }
}

/// The times of design.md, by ten to twenty.
const LANES: &str = r#"
[lanes]
lease = "2s"
http = "1s"
margin = "300ms"
window = "1s"
unconfirmed_after = "3s"
pause_min = "50ms"
pause_max = "1s"
slow_for = "2s"
quantum = "500ms"
set_aside_delays = ["1s", "1s", "1s"]
stay_unknown_deadline = "2s"
poll = "50ms"
statement_timeout = "1500ms"
"#;

/// The usual `[lanes]`, with other lines for some keys.
pub fn lanes(others: &str) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
    let others: Vec<&str> = others.lines().collect();
    let usual =
        LANES.lines().filter(|line| line.trim().is_empty() || !others.iter().any(|other| key(other) == key(line)));
    let lines: Vec<&str> = usual.chain(others.iter().copied()).collect();
    lines.join("\n")
}
